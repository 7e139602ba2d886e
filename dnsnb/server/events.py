"""DNSEventService: turns what happens into the channels' content, only on change and only while somebody is connected.

Reads engine and policy; changes nothing. Rows go on to the storage.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from dnsnb.dns.engine import Engine
from dnsnb.dns.journal import LogBatch
from dnsnb.dns.listanalytics import Hits
from dnsnb.dns.lists import BLACKLIST, WHITELIST
from dnsnb.dns.policy import Change, Policy
from dnsnb.dns.privacy import Privacy
from dnsnb.dns.wire import name_to_text, qtype_text, rcode_text
from dnsnb.drivers.paging import Selection
from dnsnb.schema import Columns
from dnsnb.server.responder import SSEResponder

if TYPE_CHECKING:
    from dnsnb.drivers import Drivers
    from dnsnb.server.storage import Storage

log = logging.getLogger(__name__)

TICK_SECONDS = 0.05  # while somebody is connected, and queries come
BUSY_TICK_SECONDS = 0.004  # at least that, while so many come that a batch would grow beyond `STEP_ROWS`
QUIET_TICK_SECONDS = 0.09  # while none come: the first is still told within a tenth of a second
IDLE_TICK_SECONDS = 0.5  # while nobody is: the log driver still gets its rows
INFO_SECONDS = 1.0
#: Rows of a batch. Fewer than the containers (700) after which the cycle collector comes: larger ones cost half as much
#: again a row, by its runs over what is only passing through, and by whole runs over a notebook's heap.
STEP_ROWS = 512
NEWEST_ROWS = 200
NEWEST_NAMES = 200
MAX_DELTA_NAMES = 1000  # above, an edit is told as the list's new state
MAX_NOTICES = 20
NOTICE_AGAIN_SECONDS = 60.0


class DNSEventService:
    """What each channel says. `status()` is the server's own; everything else is read from engine and policy."""

    def __init__(
        self,
        engine: Engine,
        policy: Policy,
        storage: Storage,
        responder: SSEResponder,
        status: Callable[[], dict[str, Any]],
        hits: Hits,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], int] = time.time_ns,
    ) -> None:
        self.engine = engine
        self.policy = policy
        self.storage = storage
        self.responder = responder
        self.notices: deque[dict[str, Any]] = deque(maxlen=MAX_NOTICES)
        self.hits = hits
        self._status = status
        self._status_version = 0
        self._last_status: dict[str, Any] = {}
        self._status_dirty = False
        self._clock = clock
        self._wall = wall
        self._newest: deque[tuple[Columns, int]] = deque()
        self._wake = asyncio.Event()
        self._noticed: dict[str, float] = {}
        self._info_due = 0.0
        self._last: dict[str, dict[str, Any]] = {}
        self._rate = (clock(), 0, 0.0)
        self._log_version = 0
        responder.states = self.states
        responder.on_presence = self._presence
        self._privacy = Privacy((), b"")
        self._leave = policy.on_change(self._policy_changed)
        self._tasks: list[asyncio.Task[None]] = []

    def set_privacy(self, privacy: Privacy) -> None:
        """Leave out of log and stream what is private, from the next rows on."""
        self._privacy = privacy

    def start(self) -> None:
        """Begin to drain the journal."""
        self._tasks = [
            asyncio.create_task(self._tick_forever(), name="dnsnb-events"),
        ]

    async def close(self) -> None:
        """Bring what was logged to the driver, and end."""
        self._leave()
        if self._tasks:
            (ticker,) = self._tasks
            ticker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await ticker
            await self.tick()

    @property
    def drivers(self) -> Drivers:
        """The drivers in use."""
        return self.storage.drivers

    # --- rows ---

    async def _tick_forever(self) -> None:
        loop = asyncio.get_running_loop()
        journal = self.engine.journal
        busy = TICK_SECONDS
        rows = 0
        while True:
            if rows:  # so long that not quite a batch gathers
                busy = min(TICK_SECONDS, max(BUSY_TICK_SECONDS, busy * 0.8 * STEP_ROWS / rows))
            wait = (busy if rows else QUIET_TICK_SECONDS) if self.responder.streams else IDLE_TICK_SECONDS
            timer = loop.call_later(wait, self._wake.set)
            await self._wake.wait()
            timer.cancel()
            self._wake.clear()
            rows = len(journal.rows)
            if not (rows or journal.dropped or self._status_dirty or self._clock() >= self._info_due):
                continue
            try:
                await self.tick()
            except Exception:  # one of the three places that catch broadly: the stream must outlive a bad batch
                log.exception("a batch of the log was lost")

    async def tick(self) -> None:
        """Take what the journal holds to driver and stream, then tell what else has changed."""
        while (batch := self.engine.drain(STEP_ROWS)) is not None:
            self._on_batch(batch)
            if batch.count < STEP_ROWS:
                break
            await asyncio.sleep(0)
        if self._status_dirty:
            self.status_changed()
        now = self._clock()
        if self.responder.streams and now >= self._info_due:
            self._info_due = now + INFO_SECONDS
            self._emit_changes()

    def _on_batch(self, batch: LogBatch) -> None:
        if batch.dropped:
            text = f"the log is too slow: {batch.dropped:,} queries were answered but not logged"
            self.storage.lost(batch.dropped, text)
        if not batch.count:
            return
        self._name_clients(batch.columns)
        batch = self._privacy.apply(batch)
        self._log_version += 1
        self._remember(batch.columns, batch.count)
        self.hits.add(batch.columns["list"], batch.columns["rule"])
        self.storage.put(batch)
        self.responder.emit_rows(batch)

    def _name_clients(self, columns: Columns) -> None:
        """Write beside each address what its client is called, if any client has a name."""
        clients = self.policy.directory
        if clients.clients:
            names = {address: clients.identify(address).name for address in set(columns["client"]) if address}
            columns["client_name"] = [names.get(address) for address in columns["client"]]

    def _remember(self, columns: Columns, count: int) -> None:
        if count > NEWEST_ROWS:
            columns, count = {k: v[-NEWEST_ROWS:] for k, v in columns.items()}, NEWEST_ROWS
        self._newest.append((columns, count))
        total = sum(n for _, n in self._newest)
        while total - self._newest[0][1] >= NEWEST_ROWS:
            total -= self._newest.popleft()[1]

    async def log_page(
        self,
        limit: int,
        before: int | None,
        after: int | None,
        wanted: Selection | None = None,
        *,
        oldest_first: bool = False,
    ) -> dict[str, Any]:
        """Return a page of what the log driver keeps: every question that was answered by now, unless it is stuck."""
        if not before:
            await self.tick()
            await self.storage.settle()
        page = await self.storage.page(limit, before, after, wanted, oldest_first=oldest_first)
        return {
            "driver": self.drivers.log.name,
            "count": self.storage.log_count,
            "dropped": self.storage.log_dropped,
            "columns": page.columns,
            "next": page.next,
        }

    def newest(self, limit: int = NEWEST_ROWS) -> Columns:
        """Return the newest rows by column, oldest first."""
        names = {name for columns, _ in self._newest for name in columns}
        merged: Columns = {name: [] for name in sorted(names)}
        for columns, count in self._newest:
            for name, values in merged.items():
                values.extend(columns.get(name) or [None] * count)
        return {name: values[-limit:] for name, values in merged.items()}

    # --- what each channel says ---

    def states(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield each channel's present content, for somebody who has just connected."""
        yield "dns/status", self.status()
        yield "dns/info", self.info()
        yield "dns/log/", {**self.log_state(), "newest": {"columns": self.newest()}}
        yield "dns/cache/", self.cache_state()
        yield "dns/blacklist/", self.list_state(BLACKLIST)
        yield "dns/whitelist/", self.list_state(WHITELIST)

    def status(self) -> dict[str, Any]:
        """Return the server's status with the version of its last change."""
        status = self._status()
        if _without_times(status) != self._last_status:
            self._last_status = _without_times(status)
            self._status_version += 1
        return {**status, "version": self._status_version}

    def info(self) -> dict[str, Any]:
        """Return counters and drivers."""
        counts, cache = self.engine.counts, self.engine.cache
        return {
            "queries": sum(counts.values()),
            "qps": round(self._rate[2], 1),
            "statuses": dict(counts),
            "cache": {"entries": len(cache), "hits": cache.hits, "misses": cache.misses},
            "drivers": {
                "log": self.drivers.log.name,
                "cache": self.drivers.cache.name,
                "blacklist": self.drivers.lists.name,
                "whitelist": self.drivers.lists.name,
            },
            "clients": len(self.responder.streams),
            "dropped": self.storage.log_dropped,
            "notices": list(self.notices),
            "policy": self.policy.summary(),
        }

    def log_state(self) -> dict[str, Any]:
        """Return the log's driver, count and version."""
        return {
            "driver": self.drivers.log.name,
            "count": self.storage.log_count,
            "dropped": self.storage.log_dropped,
            "version": self._log_version,
        }

    def cache_state(self) -> dict[str, Any]:
        """Return the cache's driver, count, version and counters."""
        cache = self.engine.cache
        return {
            "driver": self.drivers.cache.name,
            "count": len(cache),
            "version": cache.version,
            "hits": cache.hits,
            "misses": cache.misses,
            "stale": cache.stale,
            "evictions": cache.evictions,
        }

    def cache_page(self, limit: int, search: str = "") -> dict[str, Any]:
        """Return the cache's state and its most recently used answers whose name holds `search`."""
        now = self._clock()
        entries: list[dict[str, Any]] = []
        parts = _parts(search)
        for question, entry in self.engine.cache.items():
            if len(entries) >= limit:
                break
            if not all(part in question.qname for part in parts):
                continue
            name = name_to_text(question.qname)
            if search in name:
                entries.append(
                    {
                        "qname": name,
                        "qtype": qtype_text(question.qtype),
                        "rcode": rcode_text(entry.answer.rcode),
                        "ttl": max(0, int(entry.expires - now)),
                        "answers": entry.answer.texts(),
                        "hits": entry.hits,
                    }
                )
        return self.cache_state() | {"entries": entries}

    def list_state(self, name: str, limit: int = NEWEST_NAMES, search: str = "") -> dict[str, Any]:
        """Return a list with its newest names."""
        item = self.policy.list(name)
        entries: list[dict[str, Any]] = []
        parts = _parts(search.removeprefix("*."))
        for rule in reversed(item.names):
            if len(entries) >= limit:
                break
            if all(part in rule.tail for part in parts) and search in rule.text:
                entries.append({"name": rule.text, "added": item.names[rule]})
        driver = self.drivers.lists.name
        return {"list": name, "driver": driver, "version": item.version, "count": item.count, "entries": entries}

    # --- changes ---

    def status_changed(self) -> None:
        """Tell the status, if it is another than was told last."""
        self._status_dirty = False
        before = self._status_version
        status = self.status()
        if self._status_version != before:
            self.responder.emit("dns/status", status)

    def upstreams_changed(self, _target: object = None) -> None:
        """Take note that an upstream went up or down; told with the next tick, however often it flaps."""
        self._status_dirty = True

    def cache_flushed(self, gone: int) -> None:
        """Tell that cached answers were forgotten."""
        state = self.cache_state()
        self._last["dns/cache/"] = state
        self.responder.emit("dns/cache/", {**state, "flushed": gone})

    def notice(self, level: str, text: str, key: str = "") -> None:
        """Tell people something on `dns/info`; the same `key` at most once a minute."""
        now = self._clock()
        if key and now - self._noticed.get(key, -1e9) < NOTICE_AGAIN_SECONDS:
            return
        self._noticed[key] = now
        self.notices.append({"time": self._wall() // 1_000_000, "level": level, "text": text})
        log.log(logging.INFO if level == "info" else logging.WARNING, "%s", text)
        self._info_due = 0.0

    def _policy_changed(self, change: Change) -> None:
        if change.list in (BLACKLIST, WHITELIST):
            if change.kind == "list" and len(change.added) + len(change.removed) <= MAX_DELTA_NAMES:
                delta = {
                    "list": change.list,
                    "driver": self.drivers.lists.name,
                    "version": change.version,
                    "count": change.count,
                    "added": change.added,
                    "removed": change.removed,
                }
                self.responder.emit(f"dns/{change.list}/", delta)
            else:
                self.responder.emit(f"dns/{change.list}/", self.list_state(change.list))
        else:
            # Told at once, and as what it is: the counters' next turn may be a second away.
            info = self._last["dns/info"] = self.info()
            self.responder.emit("dns/info", info | {"change": change.as_dict()})
        if change.kind != "list":
            self.status_changed()

    def _emit_changes(self) -> None:
        now = self._clock()
        queries = sum(self.engine.counts.values())
        since, before, _ = self._rate
        self._rate = (now, queries, (queries - before) / (now - since) if now > since else 0.0)
        for channel, state in (
            ("dns/info", self.info()),
            ("dns/log/", self.log_state()),
            ("dns/cache/", self.cache_state()),
        ):
            if state != self._last.get(channel):
                self._last[channel] = state
                self.responder.emit(channel, state)

    def _presence(self, anybody: bool) -> None:
        """Somebody came, or the last one left: rates begin anew, and the first tick comes at once."""
        if anybody:
            self._rate = (self._clock(), sum(self.engine.counts.values()), 0.0)
            self._info_due = self._clock() + INFO_SECONDS
            self._last = {"dns/info": self.info(), "dns/log/": self.log_state(), "dns/cache/": self.cache_state()}
            self._wake.set()


def _parts(search: str) -> list[bytes]:
    """What a wire name must hold for its text to hold `search`: a quick look before the text is made."""
    return [] if "\\" in search else [part.encode() for part in search.split(".") if part]


def _without_times(status: dict[str, Any]) -> dict[str, Any]:
    """What of a status counts as a change: an upstream's answer time alone does not."""
    upstreams = [{k: v for k, v in u.items() if k != "latency_ms"} for u in status.get("upstreams", ())]
    return {**status, "upstreams": upstreams}
