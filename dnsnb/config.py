"""Every setting, checked in one model; and where each value came from: default, file, environment, caller.

Wrong values and unknown keys are SettingErrors that name the key, the value and what would be right.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, ValidationError

from dnsnb.errors import SettingError

ENVIRONMENT = "DNSNB_"


def _as_list(value: Any) -> Any:
    """A single text stands for a list of one; the environment separates by commas."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return list(value) if isinstance(value, tuple | set | frozenset) else value


def _as_items(value: Any) -> Any:
    """Objects; the environment gives them as a JSON array."""
    return json.loads(value) if isinstance(value, str) else value


Texts = Annotated[tuple[str, ...], BeforeValidator(_as_list)]
Items = Annotated[tuple[dict[str, Any], ...], BeforeValidator(_as_items)]


#: what `privacy` may hold: clients under other addresses, no clients at all, no names
PRIVACY = ("pseudonyms", "no-clients", "no-names")
Privacy = Annotated[tuple[Literal["pseudonyms", "no-clients", "no-names"], ...], BeforeValidator(_as_list)]

#: settings that hold from the next start on; all others change while the server runs
AT_START = frozenset(
    {
        "name", "dns", "http", "tls_http", "tls_dns", "tls_cert", "tls_key", "routes", "blacklist", "whitelist",
        "lists", "list_folders", "list_networks", "clients", "groups", "records", "hosts_files", "zone_files",
        "journal_limit", "allow_remote", "doh_open", "heartbeat_seconds", "max_streams", "replay_events",
        "replay_bytes",
    }
)  # fmt: skip
#: settings that only the one who starts the server can give
AT_HAND = frozenset({"folder", "token"})
KEPT = "settings.json"


class Settings(BaseModel):
    """How a server runs. Immutable: `changed(**values)` gives another.

    >>> Settings(upstreams="1.1.1.1").changed(block_mode="nxdomain").block_mode
    'nxdomain'
    >>> Settings(block_mode="no")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    dnsnb.errors.SettingError: block_mode: 'no': ...
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    name: str = Field("default", min_length=1, max_length=60, description="what the server calls itself in the log")
    dns: str = Field("127.0.0.1:0", description="HOST:PORT to answer DNS on, or several by commas; port 0: a free one")
    http: str = Field("127.0.0.1:0", description="HOST:PORT of the API and the event stream; port 0 picks a free one")
    http_hosts: Texts = Field((), description="host names, besides its address, that the API may be called by")
    tls_http: bool = Field(False, description="speak HTTPS on the API's port: page, stream, DNS over HTTPS")
    tls_dns: str | None = Field(None, description="HOST:PORT to answer DNS over TLS on, or several by commas")
    tls_cert: Path | None = Field(None, description="PEM file with the certificate chain; none: a self-made one")
    tls_key: Path | None = Field(None, description="PEM file with the private key")
    upstreams: Texts = Field((), description="who is asked, such as 1.1.1.1 or tls://…; none: the system's resolvers")
    routes: dict[str, Texts] = Field(default_factory=dict, description="upstreams by domain suffix; the longest wins")
    strategy: Literal["ordered", "fastest", "parallel", "balanced"] = Field(
        "ordered", description="which upstream first"
    )
    blacklist: Texts = Field((), description="names, or files of names, that are blocked with all below them")
    whitelist: Texts = Field((), description="names, or files of names, that are exceptions to the blacklist")
    allow_only: bool = Field(False, description="nothing resolves but what the whitelist names")
    block_mode: Literal["null", "nxdomain", "nodata", "refused", "address"] = Field(
        "null", description="how a blocked name is answered; null is 0.0.0.0 and ::"
    )
    block_addresses: Texts = Field((), description="the addresses of block_mode 'address'")
    block_ttl: int = Field(60, ge=0, le=86_400, description="TTL of such an answer, seconds")
    block_ede: Literal[15, 16, 17] = Field(15, description="extended error of it: blocked, censored or filtered")
    rebind_protection: bool = Field(False, description="refuse private addresses in the answers of public names")
    rebind_allow: Texts = Field((), description="names that may point to private addresses, with all below them")
    lists: Items = Field((), description="further lists: objects with name, kind, and text, path or url")
    list_folders: Texts = Field((), description="folders that lists set over HTTP may read files from")
    list_networks: Texts = Field((), description="private networks that lists may be fetched from")
    clients: Items = Field((), description="names for addresses: objects with name and addresses")
    groups: Items = Field((), description="groups of clients, with lists, upstreams and schedules of their own")
    records: Items = Field((), description="local names: objects with name, type, data and ttl")
    hosts_files: Texts = Field((), description="hosts files that are answered from")
    zone_files: Texts = Field((), description="zone files that are answered from")
    allow_clients: Texts = Field(("127.0.0.0/8", "::1/128"), description="addresses and networks that may ask")
    rate_limit: float = Field(0, ge=0, description="queries a second and client; 0: no limit")
    rate_burst: float = Field(100, ge=1, description="queries that a client may ask at once above its rate")
    rate_prefix4: int = Field(32, ge=8, le=32, description="bits of an IPv4 address that share a rate; 24: a network")
    rate_prefix6: int = Field(56, ge=16, le=128, description="the same for IPv6, where a household has a /56")
    cache_entries: int = Field(100_000, ge=0, le=10_000_000, description="answers kept at most")
    cache_bytes: int = Field(128 << 20, ge=0, description="memory for answers at most, bytes")
    ttl_floor: int = Field(0, ge=0, le=3600, description="shortest time that an answer is kept, seconds")
    ttl_cap: int = Field(86_400, ge=1, le=604_800, description="longest time that an answer is kept, seconds")
    negative_cap: int = Field(10_800, ge=1, le=86_400, description="the same for NXDOMAIN and no data (RFC 2308 5)")
    serve_stale: bool = Field(True, description="answer from what has ended when no upstream does (RFC 8767)")
    prefetch: bool = Field(True, description="refresh popular names before they end")
    log_driver: str = Field("memory", description="where the query log is kept")
    cache_driver: str = Field("memory", description="where the cache survives a restart")
    list_driver: str = Field("memory", description="where edits of the lists are kept")
    log_rows: int = Field(100_000, ge=0, le=100_000_000, description="rows of the log that memory holds at most")
    log_bytes: int = Field(1 << 30, ge=1 << 16, description="size of the log on disk at most, bytes")
    log_days: float = Field(7, gt=0, le=3660, description="days that the log is kept")
    privacy: Privacy = Field((), description="what the log and the stream leave out; any of: " + ", ".join(PRIVACY))
    journal_limit: int = Field(500_000, ge=1000, description="rows that may wait to be written")
    folder: Path | None = Field(None, description="folder for what is to survive a restart")
    token: str | None = Field(None, min_length=8, repr=False, description="token of the API; random unless given")
    allow_remote: bool = Field(False, description="let the API be reached from other machines")
    doh_open: bool = Field(False, description="answer DNS over HTTPS (/dns-query) without a token too")
    heartbeat_seconds: float = Field(30, ge=0.05, le=3600, description="seconds between heartbeats of the event stream")
    max_streams: int = Field(1_000, ge=1, le=100_000, description="connections to the event stream at most")
    replay_events: int = Field(50_000, ge=0, description="events kept for clients that come back")
    replay_bytes: int = Field(32 << 20, ge=0, description="memory for such events at most, bytes")
    fast_paths: bool = Field(True, description="answer repeated questions by their exact bytes")

    _sources: dict[str, str] = PrivateAttr(default_factory=dict)

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise _as_setting_error(error) from None
        self._check()

    def _check(self) -> None:
        """What the types alone can't say."""
        from dnsnb.dns.blocking import BlockAnswer
        from dnsnb.dns.options import EngineOptions
        from dnsnb.dns.rebind import Rebinding
        from dnsnb.dns.upstream import parse_upstream

        for number, text in enumerate(self.upstreams):
            parse_upstream(text, f"upstreams[{number}]")
        for suffix, texts in self.routes.items():
            for number, text in enumerate(texts):
                parse_upstream(text, f"routes.{suffix}[{number}]")
        BlockAnswer(self.block_mode, self.block_ttl, tuple(self.block_addresses), self.block_ede)
        Rebinding(True, self.rebind_allow)
        EngineOptions(access=tuple(self.allow_clients)).networks()
        for key in ("list_folders", "hosts_files", "zone_files"):
            for number, text in enumerate(getattr(self, key)):
                if not text.isprintable():
                    raise SettingError(f"{key}[{number}]", text, "is no path")
        for key in ("tls_cert", "tls_key"):
            path = getattr(self, key)
            if path is not None and not _is_file(path):
                raise SettingError(key, str(path), "is not a file that can be read")
        if (self.tls_cert is None) != (self.tls_key is None):
            alone = "tls_cert" if self.tls_key is None else "tls_key"
            raise SettingError(alone, str(getattr(self, alone)), "needs the other one of tls_cert and tls_key")

    def changed(self, **values: Any) -> Settings:
        """Return these settings with some changed, all checked again; None puts a setting back to its default."""
        for key, value in values.items():
            if key not in Settings.model_fields:
                raise SettingError(key, value, f"no such setting{_nearest(key)}")
        given = {key: getattr(self, key) for key in self.model_fields_set if values.get(key, key) is not None}
        settings = Settings(**(given | {key: value for key, value in values.items() if value is not None}))
        changed = {key: "changed" for key, value in values.items() if value is not None}
        settings._sources = {k: v for k, v in self._sources.items() if k in settings.model_fields_set} | changed
        return settings

    def with_kept(self) -> Settings:
        """Return these settings with those that were changed and kept in the folder, where nothing else was given."""
        kept = {k: v for k, v in read_kept(self.folder).items() if k not in self.model_fields_set}
        if not kept:
            return self
        settings = self.changed(**kept)
        settings._sources |= dict.fromkeys(kept, "kept")
        return settings

    def source(self, key: str) -> str:
        """Return where a value came from: default, file, environment, kept, given or changed."""
        return self._sources.get(key) or ("given" if key in self.model_fields_set else "default")

    def public(self) -> dict[str, Any]:
        """Return the settings as JSON can carry them, without the token."""
        return self.model_dump(mode="json", exclude={"token"})

    def __repr__(self) -> str:
        given = ", ".join(f"{k}={getattr(self, k)!r}" for k in sorted(self.model_fields_set) if k != "token")
        return f"Settings({given})"

    __str__ = __repr__


def _is_file(path: Path) -> bool:
    """Whether there is such a file; what is too long or odd for a path is none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def split_names(texts: Iterable[str], setting: str) -> tuple[list[str], list[Path]]:
    """Return the names and the files among list entries: what holds a separator, or is there as a file, is a file.

    Raises SettingError for a file that can't be read.
    """
    names, files = [], []
    for number, text in enumerate(texts):
        path = Path(text).expanduser()
        if not (os.sep in text or path.suffix in {".txt", ".list", ".hosts"} or _is_file(path)):
            names.append(text)
            continue
        try:
            with path.open("rb"):
                files.append(path)
        except (OSError, ValueError) as error:
            said = getattr(error, "strerror", None) or error
            why = f"is a list file that can't be read ({said}); give a name or a readable file"
            raise SettingError(f"{setting}[{number}]", text, why) from None
    return names, files


class Sources(dict[str, str]):
    """Where each setting came from: "default", "file", "environment", "kept" or "given"."""


def load_settings(
    file: str | os.PathLike[str] | None = None, environ: Mapping[str, str] | None = None, **given: Any
) -> tuple[Settings, Sources]:
    """Return the effective settings, and where each came from.

    Defaults < TOML file < environment < what was changed at run time and kept in the folder < `given`, in which None
    counts as not given. Raises SettingError.
    """
    values: dict[str, Any] = {}
    sources = Sources(dict.fromkeys(Settings.model_fields, "default"))

    def take(found: Mapping[str, Any], where: str, shown: Callable[[str], str] = str) -> None:
        for key, value in found.items():
            if key not in Settings.model_fields:
                raise SettingError(shown(key), value, f"no such setting{_nearest(key)}")
            values[key] = value
            sources[key] = where

    if file is not None:
        take(_read_file(Path(file)), "file")
    prefixed = {k[len(ENVIRONMENT) :].lower(): v for k, v in (environ or {}).items() if k.startswith(ENVIRONMENT)}
    prefixed.pop("plain", None)  # no setting: see dns/options.py
    take(prefixed, "environment", lambda key: ENVIRONMENT + key.upper())
    given = {k: v for k, v in given.items() if v is not None}
    take(read_kept(given.get("folder", values.get("folder"))), "kept")
    take(given, "given")
    settings = Settings(**values)
    settings._sources = dict(sources)
    return settings, sources


def read_kept(folder: str | os.PathLike[str] | None) -> dict[str, Any]:
    """Return the settings that were changed at run time and kept in a folder; raises SettingError."""
    if folder is None:
        return {}
    path = Path(folder) / KEPT
    try:
        kept = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise SettingError("folder", str(path), f"can't be read ({error}); mend it or move it away") from None
    if not isinstance(kept, dict):
        raise SettingError("folder", str(path), "is not a JSON object; mend it or move it away")
    return {k: v for k, v in kept.items() if k not in AT_HAND}


def _read_file(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as stream:
            return tomllib.load(stream)
    except OSError as error:
        raise SettingError("config", str(path), f"can't be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingError("config", str(path), f"is not TOML: {error}") from None


def _nearest(key: str) -> str:
    import difflib

    near = difflib.get_close_matches(key, Settings.model_fields, 1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _as_setting_error(error: ValidationError) -> SettingError:
    first = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"] if part != "function-before")
    if first["type"] == "extra_forbidden":
        return SettingError(key, first["input"], f"no such setting{_nearest(key)}")
    why = first["msg"][0].lower() + first["msg"][1:]
    value = first["input"]
    return SettingError(key, "…" if key == "token" else value, why.replace("input should", "must"))
