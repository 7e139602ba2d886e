"""Commands to a server over HTTP, one method for each route, for any thread.

Knows the background loop and the stream; starts nothing but its own loop.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import threading
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote, urlsplit

import aiohttp
import orjson

from dnsnb.background import BackgroundLoop
from dnsnb.client.sse_client import SSEClient
from dnsnb.client.trust import trust, why_unreachable
from dnsnb.errors import CommandError, NotConnected, SettingError

TIMEOUT = 30.0  # seconds for a whole answer


class Client:
    """The server at `url` (``http://host:port``), spoken to with a token.

    Methods wait for the answer and return it as plain data. They raise CommandError when the server refuses (it names
    the setting or the name that is wrong) and NotConnected when it can't be reached. The certificate of an ``https://``
    server is checked by the system's authorities, by the PEM file `ca`, or by its SHA-256 `fingerprint`.

    >>> import dnsnb
    >>> with dnsnb.start("example", upstreams=["192.0.2.53"]) as session:
    ...     with Client(session.client.url, session.token) as client:
    ...         client.add_blacklist(["ads.example.com"])["added"], client.status()["running"]
    (['ads.example.com'], True)
    """

    def __init__(
        self, url: str, token: str, *, timeout: float = TIMEOUT, ca: str | None = None, fingerprint: str | None = None
    ) -> None:
        parts = urlsplit(url if "//" in url else f"http://{url}")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise SettingError("url", url, "the server's address, such as http://127.0.0.1:8053")
        self.url: str = f"{parts.scheme}://{parts.netloc}"
        self._tls = trust(ca, fingerprint)
        self._token = token
        self._timeout = timeout
        self._loop = BackgroundLoop("dnsnb-client")
        self._http: aiohttp.ClientSession | None = None
        self._lock = threading.Lock()
        self.sse: SSEClient = SSEClient(self.url, token, self._loop, tls=self._tls)
        atexit.register(_close_at_exit, weakref.ref(self))  # before the loop's own, so that connections are closed

    # --- state ---

    def status(self) -> dict[str, Any]:
        """Return the server's status."""
        return self._object("GET", "/api/dns/status")

    def start(self) -> dict[str, Any]:
        """Start answering DNS; returns the status after it."""
        return self._object("POST", "/api/dns/start")

    def stop(self) -> dict[str, Any]:
        """Stop answering DNS; the HTTP side stays. Returns the status after it."""
        return self._object("POST", "/api/dns/stop")

    def toggle(self) -> dict[str, Any]:
        """Start or stop; returns the status after it."""
        return self._object("POST", "/api/dns/toggle")

    def health(self) -> dict[str, Any]:
        """Return the server's version and uptime."""
        return self._object("GET", "/api/system/health")

    # --- lists ---

    def blacklist(self, *, limit: int = 100, search: str = "") -> dict[str, Any]:
        """Return the blacklist's newest entries."""
        return self._object("GET", f"/api/dns/blacklist{_query(limit=limit, search=search)}")

    def whitelist(self, *, limit: int = 100, search: str = "") -> dict[str, Any]:
        """Return the whitelist's newest entries."""
        return self._object("GET", f"/api/dns/whitelist{_query(limit=limit, search=search)}")

    def add_blacklist(self, names: Iterable[str]) -> dict[str, Any]:
        """Block names and all below them; all or nothing."""
        return self._object("POST", "/api/dns/blacklist", {"names": _names(names)})

    def remove_blacklist(self, names: Iterable[str]) -> dict[str, Any]:
        """Take names off the blacklist."""
        return self._object("DELETE", "/api/dns/blacklist", {"names": _names(names)})

    def add_whitelist(self, names: Iterable[str]) -> dict[str, Any]:
        """Make names, and all below them, exceptions to the blacklist; all or nothing."""
        return self._object("POST", "/api/dns/whitelist", {"names": _names(names)})

    def remove_whitelist(self, names: Iterable[str]) -> dict[str, Any]:
        """Take names off the whitelist."""
        return self._object("DELETE", "/api/dns/whitelist", {"names": _names(names)})

    # --- log and cache ---

    def log(
        self,
        *,
        limit: int = 1000,
        before: int | None = None,
        after: int | None = None,
        order: str = "newest",
        **filters: Any,
    ) -> dict[str, Any]:
        """Return a page of the log by column, between two ids; `next` is where the page after it goes on.

        Filters: last, since, until, client, name, type, status, rcode, upstream, list, slower, faster; several values
        of one are a list, or are separated by commas.
        """
        given = {"limit": limit, "before": before, "after": after, "order": order, **_filters(filters)}
        return self._object("GET", f"/api/dns/log{_query(**given)}")

    def export_log(
        self, path: str | os.PathLike[str], form: str | None = None, *, guard: bool = True, **filters: Any
    ) -> int:
        """Write all rows that pass the filters of `log` to a file; returns its size in bytes.

        `form` is csv, jsonl or parquet, by default what the file's name ends with. In CSV cells that a spreadsheet
        would take for formulas begin with an apostrophe unless `guard` is False.
        """
        form = form or Path(path).suffix.removeprefix(".") or "csv"
        given = _query(format=form, guard=int(guard), **_filters(filters))
        return self.download(f"/api/dns/log/export{given}", path)

    def cache(self, *, limit: int = 100, search: str = "") -> dict[str, Any]:
        """Return what the cache holds."""
        return self._object("GET", f"/api/dns/cache{_query(limit=limit, search=search)}")

    def flush_cache(self, *, name: str = "", suffix: str = "") -> dict[str, Any]:
        """Empty the cache: one name, all below a suffix, or everything."""
        return self._object("DELETE", f"/api/dns/cache{_query(name=name, suffix=suffix)}")

    # --- settings ---

    def config(self) -> dict[str, Any]:
        """Return the settings, where each came from, and which wait for a restart."""
        return self._object("GET", "/api/dns/config")

    def configure(self, **settings: Any) -> dict[str, Any]:
        """Change settings while the server runs; None puts one back to its default. All or nothing."""
        return self._object("PATCH", "/api/dns/config", settings)

    def config_schema(self) -> dict[str, Any]:
        """Return the JSON schema of the settings."""
        return self._object("GET", "/api/dns/config/schema")

    def openapi(self) -> dict[str, Any]:
        """Return the description of the API (OpenAPI 3.1)."""
        return self._object("GET", "/api/openapi.json")

    def test_stream(self) -> dict[str, Any]:
        """Send a marked message on each channel and return the stream's statistics."""
        return self._object("GET", "/api/sse/test")

    def stream_stats(self) -> dict[str, Any]:
        """Return the stream's figures, by channel and client."""
        return self._object("GET", "/api/sse/stats")

    # --- tokens, backup ---

    def me(self) -> dict[str, Any]:
        """Return the name, role and channels of the token in use."""
        return self._object("GET", "/api/auth/me")

    def tokens(self) -> dict[str, Any]:
        """Return all tokens' names, roles and channels."""
        return self._object("GET", "/api/auth/tokens")

    def add_token(self, name: str, role: str = "viewer", channels: Iterable[str] = ("*",)) -> str:
        """Make a token and return its text, which is nowhere else."""
        body = {"name": name, "role": role, "channels": list(channels)}
        return str(self._object("POST", "/api/auth/tokens", body)["token"])

    def revoke_token(self, name: str) -> None:
        """Revoke a token: its logins and streams end."""
        self._object("DELETE", f"/api/auth/tokens{_query(name=name)}")

    def export_archive(self, path: str | os.PathLike[str]) -> int:
        """Write settings, lists, clients and local records to a zip archive; returns its size in bytes."""
        return self.download("/api/system/archive", path)

    def import_archive(self, path: str | os.PathLike[str]) -> dict[str, Any]:
        """Give the server what an archive holds, all of it checked first; returns what was taken."""
        return self.upload("/api/system/archive", Path(path).read_bytes(), "application/zip")

    # --- any route ---

    def request(self, method: str, path: str, body: Any = None) -> Any:
        """Send one request to a route (``/api/…``) and return the JSON of the answer, None when it has none.

        Raises CommandError and NotConnected; RuntimeError when called from a stream handler: it would wait for itself.
        """
        if not path.startswith("/api/"):
            raise SettingError("path", path, "a route of the API: /api/…")
        if self._loop.here:
            raise RuntimeError("a handler of the stream can't wait for a command; use another thread")
        if self._loop.closed:
            raise NotConnected("this client is closed")
        future = self._loop.start(self._request, method, path, body)
        try:
            return future.result(self._timeout + 5)
        except TimeoutError:
            future.cancel()
            raise NotConnected(f"{self.url} did not answer within {self._timeout:g} s") from None

    def download(self, path: str, to: str | os.PathLike[str]) -> int:
        """Write a route's answer to a file, which is whole or not there; returns its size in bytes."""
        if self._loop.closed:
            raise NotConnected("this client is closed")
        return self._loop.call(self._download, path, Path(to))

    def upload(self, path: str, data: bytes, content_type: str) -> dict[str, Any]:
        """Send bytes to a route, and return its answer."""
        if self._loop.closed:
            raise NotConnected("this client is closed")
        answer: dict[str, Any] = self._loop.call(self._request, "POST", path, data, content_type)
        return answer

    async def _download(self, path: str, to: Path) -> int:
        headers = {"Authorization": f"Bearer {self._token}"}
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=self._timeout, sock_read=self._timeout)
        part = to.with_name(f".{to.name}.part")
        size = 0
        try:
            async with self._session().get(
                f"{self.url}{path}", headers=headers, timeout=timeout, allow_redirects=False
            ) as response:
                if response.status >= 300:
                    raise _refusal(response.status, await response.read())
                with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                    async for data in response.content.iter_chunked(1 << 18):
                        size += await asyncio.to_thread(file.write, data)
            part.replace(to)
        except TimeoutError:
            raise NotConnected(f"{self.url} did not answer within {self._timeout:g} s") from None
        except aiohttp.ClientError as error:
            raise NotConnected(f"{self.url} can't be reached: {why_unreachable(error)}") from None
        finally:
            part.unlink(missing_ok=True)
        return size

    def _session(self) -> aiohttp.ClientSession:
        if self._http is None:
            self._http = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=self._timeout), connector=aiohttp.TCPConnector(ssl=self._tls)
            )
        return self._http

    async def _request(self, method: str, path: str, body: Any, content_type: str = "application/json") -> Any:
        headers = {"Authorization": f"Bearer {self._token}", "Accept": "application/json"}
        data = None
        if body is not None:
            data = body if isinstance(body, bytes) else orjson.dumps(body)
            headers["Content-Type"] = content_type
        try:
            async with self._session().request(
                method, f"{self.url}{path}", headers=headers, data=data, allow_redirects=False
            ) as response:
                raw = await response.read()
        except TimeoutError:
            raise NotConnected(f"{self.url} did not answer within {self._timeout:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise NotConnected(f"{self.url} can't be reached: {why_unreachable(error)}") from None
        if response.status >= 300:
            raise _refusal(response.status, raw)
        if not raw:
            return None
        try:
            return orjson.loads(raw)
        except orjson.JSONDecodeError:
            return raw.decode("utf-8", "replace")

    def _object(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        answer = self.request(method, path, body)
        if not isinstance(answer, dict):
            raise CommandError(502, "bad_answer", f"{method} {path}: not the answer of a dnsnb server")
        return answer

    def close(self) -> None:
        """Leave the stream, close the connections, end the client's thread."""
        with self._lock:
            if self._loop.closed:
                return
            self.sse.close()
            self._loop.start(self._leave).result(5)
            self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Client of {self.url}, stream {self.sse.state}>"

    async def _leave(self) -> None:
        if self._http is not None:
            await self._http.close()
        for _ in range(5):  # a TLS connection is torn down a step each turn of the loop; the loop ends after this
            await asyncio.sleep(0)


def _close_at_exit(reference: weakref.ref[Client]) -> None:
    client = reference()
    if client is not None:
        with contextlib.suppress(Exception):  # whatever is wrong, the process is to end
            client.close()


def _refusal(status: int, raw: bytes) -> CommandError:
    try:
        error = orjson.loads(raw)["error"]
        return CommandError(status, str(error["code"]), str(error["message"]), error.get("setting"))
    except (ValueError, KeyError, TypeError):
        return CommandError(status, "refused", f"the server answered {status}")


def _names(names: Iterable[str]) -> list[str]:
    return [names] if isinstance(names, str) else list(names)


def _filters(filters: dict[str, Any]) -> dict[str, str]:
    return {
        key: value.isoformat()
        if hasattr(value, "isoformat")
        else ",".join(map(str, value))
        if isinstance(value, list | tuple | set | frozenset)
        else str(value)
        for key, value in filters.items()
        if value is not None
    }


def _query(**values: Any) -> str:
    parts = [f"{k}={quote(str(v), safe='')}" for k, v in values.items() if v not in (None, "")]
    return f"?{'&'.join(parts)}" if parts else ""
