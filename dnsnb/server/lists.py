"""Lists from texts, files and URLs: loaded beside the query path, refreshed on time, their last good copy kept.

Owns the timing and the I/O; what a list means is the policy's (dnsnb.dns). One change at a time, under one lock.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import random
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dnsnb.dns.listcontent import ListContent, LoadReport
from dnsnb.dns.listformats import read_list
from dnsnb.dns.lists import BLACKLIST, WHITELIST, NamedList, Staged
from dnsnb.dns.policy import Policy
from dnsnb.errors import DnsnbError, SettingError
from dnsnb.server.fetch import Fetcher, FetchError
from dnsnb.server.list_source import KEYS, ListSource, parse_source
from dnsnb.server.policy_store import PolicyStore

MAX_FILE = 512 << 20
RETRY_S = 60.0
PAUSE_S = 0.0002


@dataclass
class ListState:
    """How a list fares: when it was `checked` and `loaded` (epoch seconds), its `error`, its copy's marks."""

    source: ListSource
    kept: bool = True
    checked: float | None = None
    loaded: float | None = None
    error: str | None = None
    failures: int = 0
    due: float = float("inf")
    etag: str | None = None
    modified: str | None = None
    stamp: tuple[int, int] | None = None
    busy: bool = False
    report: LoadReport = field(default_factory=LoadReport)


class ListKeeper:
    """All lists that have a source. `file_roots`: folders that lists set over HTTP may read from."""

    def __init__(
        self,
        policy: Policy,
        store: PolicyStore | None = None,
        fetcher: Fetcher | None = None,
        *,
        file_roots: Iterable[str | Path] = (),
        wall: Callable[[], float] = time.time,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self.policy = policy
        self.store = store or PolicyStore(None)
        self.fetcher = fetcher or Fetcher()
        self.file_roots = tuple(Path(root).resolve() for root in file_roots)
        self.wall = wall
        self.states: dict[str, ListState] = {}
        self.lock = asyncio.Lock()
        self._changed = changed

    # --- commands ---

    async def add(self, settings: Mapping[str, Any], *, trusted: bool = False, kept: bool = True) -> dict[str, Any]:
        """Add a list, or replace the source of one: read it first, then keep it, then let it hold.

        `trusted` settings (a person's own Python or command line) may name any file; a list not `kept` ends with the
        server. Raises SettingError, FetchError, or OSError when it can't be kept; then everything is as it was.
        """
        source, text = parse_source(settings)
        if source.path is not None and not trusted:
            self.check_root(source.path)
        self._known(source)
        state = ListState(source, kept=kept)
        if text is None:
            text = await self._obtain(state)
        assert text is not None
        content = await self._read(source, text)
        async with self.lock:  # only now: a slow server must hold nobody else's change up
            known = self._known(source)
            if known is None:
                self.policy.create(source.name, source.kind, source.enabled, source.schedule)
            before = self.states.get(source.name)
            self.states[source.name] = state
            try:
                built = await self._build(source.name, content)
                if kept:
                    await self._keep(source, text)
            except (SettingError, OSError):
                if before is None:
                    del self.states[source.name]
                    if known is None:
                        self.policy.drop(source.name)
                else:
                    self.states[source.name] = before
                raise
            if known is not None:
                self.policy.configure(source.name, enabled=source.enabled, schedule=source.schedule)
            self._take(state, content, built)
        return self.status(source.name)

    def _known(self, source: ListSource) -> NamedList | None:
        known = self.policy.lists.get(source.name)
        if known is not None and known.kind != source.kind:
            raise SettingError("list.kind", source.kind, f"the list {source.name!r} is a list to {known.kind}")
        return known

    def await_later(self, settings: Mapping[str, Any]) -> None:
        """Have a list whose URL can't be fetched now: empty, and tried again soon."""
        source, _ = parse_source(settings)
        if source.name not in self.policy.lists:
            self.policy.create(source.name, source.kind, source.enabled, source.schedule)
        state = self.states[source.name] = ListState(
            source, kept=False, checked=self.wall(), failures=1, error="not fetched yet"
        )
        self._plan(state)

    async def change(self, name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Change `enabled`, `schedule` or `refresh_hours` of a list; when it raises, nothing has changed."""
        for key in settings:
            if key not in ("enabled", "schedule", "refresh_hours"):
                raise SettingError(
                    f"list.{key}", settings[key], "only enabled, schedule and refresh_hours can be changed"
                )
        async with self.lock:
            item = self.policy.list(name)
            state = self.states.get(name)
            merged = ListSource(name, enabled=item.enabled) if state is None else state.source
            source, _ = parse_source({**merged.as_dict(), **settings} | ({"text": ""} if merged.word == "text" else {}))
            schedule = source.schedule if "schedule" in settings else None
            enabled, hours = item.enabled, item.schedule.text if item.schedule else ""
            self.policy.configure(name, enabled=source.enabled, schedule=schedule)
            if state is not None:
                state.source = replace(source, kind=state.source.kind)
            try:
                await asyncio.to_thread(self._save)
            except OSError:
                self.policy.configure(name, enabled=enabled, schedule=hours)
                if state is not None:
                    state.source = merged
                raise
            if state is not None:
                self._plan(state)
        return self.status(name)

    async def remove(self, name: str) -> None:
        """Take a list away, with its copy; raises SettingError or OSError, and then it is still there."""
        async with self.lock:
            item = self.policy.list(name)
            large = item.content is not None and bool(item.content.hashes or item.content.specials)
            if name not in (BLACKLIST, WHITELIST):
                await asyncio.to_thread(self._save, name)
            self.policy.drop(name)
            self.states.pop(name, None)
            with contextlib.suppress(OSError):  # nothing leads to it any more
                await asyncio.to_thread(self.store.drop_copy, name)
            if large:  # give its memory back
                staged = self.policy.stage(None, None)
                self.policy.install(staged, await asyncio.to_thread(staged.build))

    async def refresh(self, name: str) -> dict[str, Any]:
        """Look whether a list has changed, and load it if so; a failure leaves it as it is and stands in its status."""
        state = self.states.get(name)
        if state is None:
            self.policy.list(name)
        elif not state.busy:
            state.busy = True
            try:
                await self._refresh(state)
            finally:
                state.busy = False
        return self.status(name)

    async def refresh_due(self) -> float:
        """Refresh every list whose time has come; returns when the next one is due (epoch seconds)."""
        for name, state in list(self.states.items()):
            if (state.checked or 0.0) > self.wall() + 1:  # the clock was set back since
                state.checked = self.wall()
                self._plan(state)
            if state.due <= self.wall() and name in self.states:
                await self.refresh(name)
        return min((state.due for state in self.states.values()), default=float("inf"))

    async def preview(self, settings: Mapping[str, Any], *, trusted: bool = False) -> ListContent:
        """Return what a list would hold, without adding it."""
        source, text = parse_source({"name": "preview", **settings})
        if source.path is not None and not trusted:
            self.check_root(source.path)
        if text is None:
            text = await self._obtain(ListState(source))
        assert text is not None
        return await self._read(source, text)

    async def restore(self, kept: Iterable[Mapping[str, Any]]) -> list[str]:
        """Bring back the lists that were kept, from their copies; returns what could not be brought back, as texts."""
        failed: list[str] = []
        for item in kept:
            marks = {key: item.get(key) for key in ("etag", "modified", "checked")}
            settings = {key: value for key, value in item.items() if key in KEYS}
            name = str(item.get("name"))
            async with self.lock:
                try:
                    if name in (BLACKLIST, WHITELIST) and "kind" not in settings:  # only how it holds was kept
                        self.policy.configure(name, enabled=settings["enabled"], schedule=settings["schedule"])
                        continue
                    inline = "url" not in settings and "path" not in settings
                    source, _ = parse_source({**settings, "text": ""} if inline else settings)
                    if name not in self.policy.lists:
                        self.policy.create(name, source.kind, source.enabled, source.schedule)
                    else:
                        self.policy.configure(name, enabled=source.enabled, schedule=source.schedule)
                    text = await asyncio.to_thread(self.store.load_copy, name)
                    state = self.states[name] = ListState(source)
                    if text is None:
                        state.error = "no copy of it was kept"
                        state.due = float("inf") if inline else self.wall()
                        continue
                    content = await self._read(source, text)
                    self._take(state, content, await self._build(name, content))
                    state.etag, state.modified, state.checked = marks["etag"], marks["modified"], marks["checked"]
                    self._plan(state)
                except (DnsnbError, OSError, TypeError, ValueError) as error:
                    failed.append(f"list {name}: {error}")
                    if name in self.states:  # its source may have a better one
                        self.states[name].error, self.states[name].failures = str(error), 1
                        self._plan(self.states[name])
        return failed

    # --- what is there ---

    def status(self, name: str) -> dict[str, Any]:
        """Return a list's settings and how it fares, for JSON."""
        item = self.policy.list(name)
        state = self.states.get(name)
        shown: dict[str, Any] = {
            "name": name,
            "kind": item.kind,
            "source": "typed" if state is None else state.source.word,
            "enabled": item.enabled,
            "schedule": item.schedule.text if item.schedule else "",
            "count": item.count,
            "typed": len(item.names),
            "version": item.version,
        }
        if state is not None:
            shown |= {key: value for key, value in state.source.as_dict().items() if key not in shown}
            shown |= {
                "loaded": _ms(state.loaded),
                "checked": _ms(state.checked),
                "due": _ms(state.due),
                "error": state.error,
                "report": state.report.as_dict(),
            }
        return shown

    def statuses(self) -> list[dict[str, Any]]:
        """Return the status of every list, oldest first."""
        return [self.status(name) for name in self.policy.lists]

    def as_kept(self) -> list[dict[str, Any]]:
        """Return what `restore` takes."""
        typed = [
            {"name": item.name, "enabled": item.enabled, "schedule": item.schedule.text if item.schedule else ""}
            for item in self.policy.lists.values()
            if item.name not in self.states and (not item.enabled or item.schedule is not None)
        ]
        return typed + [
            state.source.as_dict() | {"etag": state.etag, "modified": state.modified, "checked": state.checked}
            for state in self.states.values()
            if state.kept
        ]

    # --- inside ---

    async def _refresh(self, state: ListState) -> None:
        source, marks = state.source, (state.etag, state.modified, state.stamp)
        content: ListContent | None = None
        failed: str | None = None
        try:
            text = await self._obtain(state)
            content = None if text is None else await self._read(source, text)
        except (DnsnbError, OSError) as error:
            failed = error.why if isinstance(error, SettingError) else str(error)
        async with self.lock:
            if self.states.get(source.name) is not state:
                return  # taken away, or made anew, meanwhile
            try:
                if content is not None and text is not None:
                    held = self.policy.lists[source.name].content
                    if content.count == 0 and held is not None and held.count > 0:
                        raise FetchError("it holds no rule any more: the last good copy stays")
                    built = await self._build(source.name, content)
                    if state.kept:
                        await asyncio.to_thread(self.store.save_copy, source.name, text)
                    self._take(state, content, built)
            except (DnsnbError, OSError) as error:
                failed = str(error)
            if failed is not None:  # what was not taken must not pass for known next time
                state.etag, state.modified, state.stamp = marks
            state.error, state.failures = failed, 0 if failed is None else state.failures + 1
            state.checked = self.wall()
            self._plan(state)
            try:
                await asyncio.to_thread(self._save)
            except OSError as error:
                state.error = f"the folder can't be written ({error.strerror})"
        self._changed()

    async def _obtain(self, state: ListState) -> bytes | None:
        """Return the text of a file or URL, or None when it is as it was."""
        source = state.source
        if source.url is not None:
            fetched = await self.fetcher.fetch(source.url, state.etag, state.modified)
            state.etag, state.modified = fetched.etag, fetched.modified
            state.checked = self.wall()
            return fetched.text
        if source.path is not None:
            state.checked = self.wall()
            return await asyncio.to_thread(_read_file, state)
        return None

    async def _read(self, source: ListSource, text: bytes) -> ListContent:
        pause = functools.partial(time.sleep, PAUSE_S)  # lets go of the GIL, so that queries are answered meanwhile
        return await asyncio.to_thread(read_list, text, source.kind, source.format, source.scope, pause)

    async def _build(self, name: str, content: ListContent) -> tuple[Staged, Any]:
        """Make the tables with a list's new content, before anything is kept: it may not fit."""
        staged = self.policy.stage(name, content)
        return staged, await asyncio.to_thread(staged.build)

    def _take(self, state: ListState, content: ListContent, built: tuple[Staged, Any]) -> None:
        self.policy.install(*built)
        state.loaded = self.wall()
        state.report = content.report
        self._plan(state)

    async def _keep(self, source: ListSource, text: bytes) -> None:
        await asyncio.to_thread(self.store.save_copy, source.name, text)
        await asyncio.to_thread(self._save)

    def _save(self, but: str | None = None) -> None:
        held = self.store.load() if self.store.folder is not None else {}
        self.store.save(held | {"lists": [item for item in self.as_kept() if item["name"] != but]})

    def _plan(self, state: ListState) -> None:
        if state.source.word == "text" or state.source.refresh_hours <= 0:
            state.due = float("inf")
            return
        period = state.source.refresh_hours * 3600
        if state.failures:
            period = min(period, RETRY_S * 2 ** min(state.failures - 1, 10))
        # Spread, so that many servers (and many lists) don't all ask at the same minute.
        state.due = (state.checked or self.wall()) + period * random.uniform(0.95, 1.05)

    def check_root(self, path: str, setting: str = "list.path") -> None:
        """Raise SettingError for a file that somebody from afar may not have read."""
        try:
            resolved = Path(path).resolve()
        except (OSError, ValueError):
            raise SettingError(setting, path, "is no path") from None
        if not any(resolved.is_relative_to(root) for root in self.file_roots):
            why = "what is set over HTTP may read no file from here; name its folder in the setting list_folders"
            raise SettingError(setting, path, why)


def _read_file(state: ListState) -> bytes | None:
    assert state.source.path is not None
    path = Path(state.source.path)
    try:
        found = path.stat()
        if not path.is_file():
            raise SettingError("list.path", str(path), "is not a file")
        if found.st_size > MAX_FILE:
            raise SettingError("list.path", str(path), f"has {found.st_size:,} octets; {MAX_FILE:,} is the most")
        stamp = (found.st_mtime_ns, found.st_size)
        if stamp == state.stamp:
            return None
        text = path.read_bytes()
    except OSError as error:
        raise SettingError("list.path", str(path), f"can't be read ({error.strerror})") from None
    state.stamp = stamp
    return text


def _ms(seconds: float | None) -> int | None:
    return None if seconds is None or seconds == float("inf") else int(seconds * 1000)
