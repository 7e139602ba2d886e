"""The policy at run time: what it needs of time and disk. Every change is decided, kept, then made, under one lock.

Lists are in lists.py; here are clients, groups, local records, pauses, and the clock's tick for schedules.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Self

from dnsnb.dns.clients import Directory, parse_client, parse_group
from dnsnb.dns.local import LocalRecords, Record, parse_record, read_hosts, read_zone
from dnsnb.dns.policy import Policy
from dnsnb.errors import SettingError
from dnsnb.server.fetch import Fetcher, FetchError
from dnsnb.server.lists import ListKeeper
from dnsnb.server.policy_store import PolicyStore

log = logging.getLogger(__name__)

MAX_WAIT_S = 60.0
MAX_LOCAL_FILE = 64 << 20


class PolicyKeeper:
    """Use as `async with`: brings back what `folder` keeps (None: nothing), then keeps lists and schedules on time."""

    def __init__(
        self,
        policy: Policy,
        folder: str | Path | None = None,
        *,
        allow_private: Iterable[str] = (),
        list_folders: Iterable[str | Path] = (),
        fetcher: Fetcher | None = None,
    ) -> None:
        self.policy = policy
        self.store = PolicyStore(folder)
        self._wake = asyncio.Event()
        self.lists = ListKeeper(
            policy,
            self.store,
            fetcher or Fetcher(allow_private),
            file_roots=list_folders,
            wall=policy.wall,
            changed=self._wake.set,
        )
        self.problems: list[str] = []
        self._task: asyncio.Task[None] | None = None
        self._leave: Callable[[], None] = lambda: None

    async def __aenter__(self) -> Self:
        held = await asyncio.to_thread(self.store.load)
        self._bring_back(held)
        self.problems += await self.lists.restore(held.get("lists", ()))
        self._leave = self.policy.on_change(lambda _: self._wake.set())
        self._task = asyncio.create_task(self._keep_time(), name="dnsnb-policy")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._leave()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def take(
        self,
        lists: Iterable[Mapping[str, Any]] = (),
        clients: Iterable[Mapping[str, Any]] = (),
        groups: Iterable[Mapping[str, Any]] = (),
        records: Iterable[Mapping[str, Any]] = (),
        files: Mapping[str, Iterable[str]] | None = None,
    ) -> None:
        """Take what the settings give, beside what was kept; a client or group goes before a kept one of its name.

        None of it is kept. A list that can't be fetched is a problem, and tried again; all else is a SettingError.
        """
        for number, item in enumerate(lists):
            try:
                await self.lists.add(item, trusted=True, kept=False)
            except FetchError as error:
                self.problems.append(f"list {item.get('name')}: {error}")
                self.lists.await_later(item)
            except SettingError as error:
                raise SettingError(
                    f"lists[{number}].{error.setting.partition('.')[2]}", error.value, error.why
                ) from None
        given = [parse_client(item, f"clients[{n}]") for n, item in enumerate(clients)]
        kin = [parse_group(item, f"groups[{n}]") for n, item in enumerate(groups)]
        if given or kin:
            held = self.policy.directory
            names, groups_named = {c.name for c in given}, {g.name for g in kin}
            given += [c for c in held.clients if c.name not in names]
            kin += [g for g in held.groups if g.name not in groups_named]
            self.policy.set_directory(Directory(given, kin))
        found = [parse_record(item, f"records[{n}]") for n, item in enumerate(records)]
        if found:
            self.policy.local.set_source("settings", found)
        for kind, paths in (files or {}).items():
            for path in paths:
                await self.read_local_file(path, kind)

    # --- commands ---

    async def set_directory(
        self, clients: Iterable[Mapping[str, Any]], groups: Iterable[Mapping[str, Any]]
    ) -> Directory:
        """Take these clients and groups for all there were; all or nothing: raises SettingError or OSError."""
        directory = Directory(
            [parse_client(item, f"clients[{n}]") for n, item in enumerate(clients)],
            [parse_group(item, f"groups[{n}]") for n, item in enumerate(groups)],
        )
        async with self.lists.lock:
            self.policy.check_directory(directory)
            await self._keep(directory.as_dict())
            self.policy.set_directory(directory)
        return directory

    async def add_records(self, items: Iterable[Mapping[str, Any]]) -> list[Record]:
        """Add local records; all or nothing: raises SettingError or OSError."""
        records = [parse_record(item, f"records[{n}]") for n, item in enumerate(items)]
        async with self.lists.lock:
            tried = LocalRecords()
            tried.replace(self.policy.local.records)
            tried.add(records)
            await self._keep_records(tried)
            self.policy.local.replace(tried.records)
        return records

    async def remove_records(self, name: str, rtype: str | None = None, data: str | None = None) -> list[Record]:
        """Take local records away by name, and type, and data; returns them."""
        async with self.lists.lock:
            tried = LocalRecords()
            tried.replace(self.policy.local.records)
            gone = tried.remove(name, rtype, data)
            if gone:
                await self._keep_records(tried)
                self.policy.local.replace(tried.records)
        return gone

    async def read_local_file(self, path: str | Path, kind: str = "hosts", origin: str | None = None) -> dict[str, Any]:
        """Answer from a hosts file or a zone file; reading it again replaces what came from it."""
        file = Path(path)
        setting = f"{kind}_file"
        try:
            if await asyncio.to_thread(lambda: file.stat().st_size) > MAX_LOCAL_FILE:
                raise SettingError(setting, str(path), f"larger than {MAX_LOCAL_FILE:,} octets")
            text = (await asyncio.to_thread(file.read_bytes)).decode("utf-8", "replace")
        except OSError as error:
            raise SettingError(setting, str(path), f"can't be read ({error.strerror})") from None
        read = {"hosts": read_hosts, "zone": read_zone}.get(kind)
        if read is None:
            raise SettingError("kind", kind, "hosts or zone")
        if kind == "zone":
            records, skipped = await asyncio.to_thread(read_zone, text, str(path), origin)
        else:
            records, skipped = await asyncio.to_thread(read_hosts, text, str(path))
        async with self.lists.lock:
            self.policy.local.set_source(str(path), records)
        return {
            "file": str(path),
            "kept": len(records),
            "skipped": [{"line": line, "text": what, "why": why} for line, what, why in skipped[:100]],
            "skipped_count": len(skipped),
        }

    # --- inside ---

    def _bring_back(self, held: Mapping[str, Any]) -> None:
        try:
            records = [parse_record(item) for item in held.get("records", ())]
            if records:
                self.policy.local.add(records)
        except (SettingError, TypeError, AttributeError) as error:
            self.problems.append(f"records: {error}")
        try:
            # Groups may name lists that come back after them, so they are taken unchecked.
            clients = [parse_client(item) for item in held.get("clients", ())]
            groups = [parse_group(item) for item in held.get("groups", ())]
            if clients or groups:
                self.policy.set_directory(Directory(clients, groups), checked=True)
        except (SettingError, TypeError, AttributeError) as error:
            self.problems.append(f"clients: {error}")

    async def _keep_records(self, local: LocalRecords) -> None:
        shown = [r._asdict() for r in local.records if r.source == "records"]
        await self._keep({"records": [{k: v for k, v in item.items() if k != "source"} for item in shown]})

    async def _keep(self, part: Mapping[str, Any]) -> None:
        def keep() -> None:
            if self.store.folder is not None:
                self.store.save(self.store.load() | dict(part))

        await asyncio.to_thread(keep)

    async def _keep_time(self) -> None:
        while True:
            self._wake.clear()
            try:
                due = await self.lists.refresh_due()
                self.policy.tick()
            except Exception:  # one list that goes wrong in a new way must not stop the clock for all
                log.exception("keeping lists up to date failed")
                due = self.policy.wall() + 60
            wait = min(due, self.policy.next_change()) - self.policy.wall()
            with contextlib.suppress(TimeoutError):
                # Woken at least every minute: the wall clock may be set.
                async with asyncio.timeout(max(0.0, min(wait, MAX_WAIT_S))):
                    await self._wake.wait()
