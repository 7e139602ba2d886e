"""Commands on the policy, one method a route: lists, clients, local names, pauses, and why a name is answered so."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from dnsnb.errors import SettingError

Request = Callable[..., Any]


class PolicyCommands:
    """The policy's routes of a server, through a `Client.request`; raises what that raises."""

    def __init__(self, request: Request) -> None:
        self._request = request

    # --- lists ---

    def lists(self) -> dict[str, Any]:
        """Return every list with its counts, load report, error and hits; pauses; the policy function's counts."""
        return self._ask("GET", "/api/dns/lists")

    def add_list(
        self,
        name: str,
        *,
        url: str | None = None,
        path: str | Path | None = None,
        text: str | Iterable[str] | None = None,
        kind: str = "block",
        **how: Any,
    ) -> dict[str, Any]:
        """Add a list from a URL (fetched by the server), a file here, or a text; or give one another source.

        `how`: `format`, `scope` ("as written", "exact", "subdomains"), `schedule` ("22:00-06:00 weekdays"), `enabled`,
        `refresh_hours`. Returns its status with the load report.
        """
        return self._ask("POST", "/api/dns/lists", _source(name, url, path, text, kind) | how)

    def preview_list(
        self,
        *,
        url: str | None = None,
        path: str | Path | None = None,
        text: str | Iterable[str] | None = None,
        **how: Any,
    ) -> dict[str, Any]:
        """Return what a list would add to those there are, without adding it."""
        return self._ask("POST", "/api/dns/lists/preview", _source("preview", url, path, text, "block") | how)

    def change_list(self, name: str, **changes: Any) -> dict[str, Any]:
        """Change `enabled`, `schedule` ("" for always) or `refresh_hours` of a list."""
        return self._ask("PATCH", "/api/dns/lists", {"name": name, **changes})

    def remove_list(self, name: str) -> dict[str, Any]:
        """Take a list away."""
        return self._ask("DELETE", f"/api/dns/lists{_query(name=name)}")

    def refresh_lists(self, name: str | None = None) -> list[dict[str, Any]]:
        """Look whether a list (or each) has changed at its source; returns their status."""
        told = self._ask("POST", "/api/dns/lists/refresh", {} if name is None else {"name": name})
        return list(told["lists"])

    def entries(self, name: str, search: str = "", limit: int = 100) -> list[dict[str, Any]]:
        """Return names of a list that contain `search`."""
        return list(
            self._ask("GET", f"/api/dns/lists/entries{_query(name=name, search=search, limit=limit)}")["entries"]
        )

    def overlap(self) -> list[dict[str, Any]]:
        """Return for each block list: names, how many only it catches, how many each other list catches too."""
        return list(self._ask("GET", "/api/dns/lists/overlap")["lists"])

    def hits(self, name: str | None = None, limit: int = 100) -> dict[str, Any]:
        """Return hits per list and rule; with a list's name, its rules that never hit too."""
        return self._ask("GET", f"/api/dns/lists/hits{_query(name=name, limit=limit)}")

    # --- clients ---

    def clients(self) -> dict[str, Any]:
        """Return clients and groups."""
        return self._ask("GET", "/api/dns/clients")

    def set_clients(
        self,
        clients: Iterable[Mapping[str, Any]] | None = None,
        groups: Iterable[Mapping[str, Any]] | None = None,
    ) -> dict[str, Any]:
        """Take these clients, and these groups, for all there were; None leaves a part as it is."""
        body: dict[str, Any] = {}
        if clients is not None:
            body["clients"] = [dict(item) for item in clients]
        if groups is not None:
            body["groups"] = [dict(item) for item in groups]
        return self._ask("POST", "/api/dns/clients", body)

    def remove_client(self, name: str) -> dict[str, Any]:
        """Take a client or group away by name."""
        return self._ask("DELETE", f"/api/dns/clients{_query(name=name)}")

    # --- local names ---

    def records(self, search: str = "") -> list[dict[str, Any]]:
        """Return local records."""
        return list(self._ask("GET", f"/api/dns/records{_query(search=search, limit=100_000)}")["records"])

    def add_records(self, records: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Add local records: mappings with name, type, data and ttl; all or nothing."""
        return list(self._ask("POST", "/api/dns/records", {"records": [dict(r) for r in records]})["added"])

    def remove_records(self, name: str, type: str | None = None, data: str | None = None) -> list[dict[str, Any]]:  # noqa: A002
        """Take local records away by name, and type, and data; returns them."""
        return list(self._ask("DELETE", f"/api/dns/records{_query(name=name, type=type, data=data)}")["removed"])

    # --- pauses ---

    def pause(self, seconds: float = 300, client: str | None = None) -> list[dict[str, Any]]:
        """Let lists rest, for everybody or for an address, client or group; returns the pauses there are."""
        body = {"seconds": seconds} | ({} if client is None else {"client": client})
        return list(self._ask("POST", "/api/dns/pause", body)["paused"])

    def resume(self, client: str | None = None) -> bool:
        """End a pause; returns whether there was one."""
        return bool(self._ask("DELETE", f"/api/dns/pause{_query(client=client)}")["ended"])

    # --- why ---

    def explain(
        self,
        name: str,
        type: str = "A",  # noqa: A002 - the word that people use for it
        client: str | None = None,
        *,
        upstreams: bool = True,
    ) -> dict[str, Any]:
        """Return each step of the decision on a question, all rules that match, and what each upstream says."""
        query = _query(name=name, type=type, client=client, upstreams=None if upstreams else 0)
        return self._ask("GET", f"/api/dns/test{query}")

    def _ask(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        answer: dict[str, Any] = self._request(method, path, body)
        return answer


def _source(
    name: str, url: str | None, path: str | Path | None, text: str | Iterable[str] | None, kind: str
) -> dict[str, Any]:
    given = [key for key, value in (("url", url), ("path", path), ("text", text)) if value is not None]
    if len(given) != 1:
        raise SettingError("list", given, "wants exactly one of url, path and text")
    held: dict[str, Any] = {"name": name, "kind": kind}
    if url is not None:
        return held | {"url": url}
    if path is not None:
        file = Path(path)
        try:
            return held | {"text": file.read_bytes().decode("utf-8", "replace")}
        except OSError as error:
            raise SettingError("list.path", str(path), f"can't be read ({error.strerror})") from None
    return held | {"text": text if isinstance(text, str) else "\n".join(text or ())}


def _query(**values: Any) -> str:
    parts = [f"{key}={quote(str(value), safe='')}" for key, value in values.items() if value not in (None, "")]
    return f"?{'&'.join(parts)}" if parts else ""
