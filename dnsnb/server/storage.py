"""What is kept: rows on their way to the log driver, the cache across restarts, and drivers swapped while running.

Nothing here is waited for on the query path: what a driver can't take in time is dropped, counted and told.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, TypeVar

from dnsnb import schema
from dnsnb.background import in_thread
from dnsnb.config import Settings
from dnsnb.dns.cache import Cache
from dnsnb.dns.journal import LogBatch
from dnsnb.dns.keptcache import dump_entry, load_entry
from dnsnb.drivers import KINDS, Drivers, make_driver, open_drivers
from dnsnb.drivers.columns import join_columns
from dnsnb.drivers.paging import Page, Selection, read_page
from dnsnb.drivers.private import lock_folder, unlock_folder
from dnsnb.errors import SettingError

log = logging.getLogger(__name__)
T = TypeVar("T")

APPEND_ROWS = 16_384  # rows that a driver is given at once
RETRY_SECONDS = (0.5, 1.0, 2.0, 5.0)
EXPIRE_SECONDS = 60.0
SAVE_CACHE_SECONDS = 300.0
CLOSE_SECONDS = 1.0
SETTLE_SECONDS = 0.5
DAY_US = 86_400_000_000
EXPORT_ROWS = 4096

#: kind -> a new driver that is opened and not yet in use
Prepared = dict[str, Any]


class Storage:
    """The three drivers of a server. `notice(level, text, key)` tells people; `close()` writes what waits."""

    def __init__(
        self,
        settings: Settings,
        drivers: Drivers,
        cache: Cache,
        *,
        notice: Callable[[str, str, str], None],
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], int] = time.time_ns,
    ) -> None:
        self.settings = settings
        self.drivers = drivers
        self.cache = cache
        self.log_count = drivers.log.count
        self.log_dropped = 0  # rows that the journal or the log driver couldn't take
        self._notice = notice
        self._clock = clock
        self._wall = wall
        self._lock: int | None = None
        self._waiting: deque[LogBatch] = deque()
        self._rows = 0
        self._more = asyncio.Event()
        self._idle = asyncio.Event()  # nothing waits for the log driver
        self._idle.set()
        self._closing = asyncio.Event()
        # a task that is cancelled leaves its worker thread behind: the next one must not meet it in a driver
        self._mutexes = {kind: threading.Lock() for kind in KINDS}
        self._log_lock = asyncio.Lock()
        self._cache_lock = asyncio.Lock()
        self._cache_saved = -1
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    async def open(cls, settings: Settings, cache: Cache, **given: Any) -> Storage:
        """Open the drivers and fill the cache; raises SettingError, and then has left nothing open."""
        lock = await in_thread(_lock, settings)
        try:
            drivers = await in_thread(open_drivers, settings)
        except BaseException:
            unlock_folder(lock)
            raise
        storage = cls(settings, drivers, cache, **given)
        storage._lock = lock
        try:
            await storage._fill_cache()
        except BaseException:
            await storage.close()
            raise
        return storage

    def start(self) -> None:
        """Begin to write."""
        self._tasks = [
            asyncio.create_task(self._write(), name="dnsnb-log"),
            asyncio.create_task(self._tidy(), name="dnsnb-tidy"),
        ]

    async def close(self) -> None:
        """Give the drivers what waits, once, and close them."""
        self._closing.set()
        self._more.set()
        if self._tasks:
            writer, tidier = self._tasks
            tidier.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await tidier
            try:
                async with asyncio.timeout(CLOSE_SECONDS):
                    await writer
            except TimeoutError:
                log.warning("the log driver is too slow: %d rows are lost at the end", self._rows)
            await self.save_cache()
        for kind, driver in zip(KINDS, self.drivers, strict=True):
            await self._close_driver(kind, driver)
        unlock_folder(self._lock)
        self._lock = None

    async def _use(self, kind: str, function: Callable[..., T], *args: Any) -> T:
        """Call a driver in a worker thread, one call at a time."""

        def alone() -> T:
            with self._mutexes[kind]:
                return function(*args)

        return await in_thread(alone)

    async def _close_driver(self, kind: str, driver: Any) -> None:
        def close() -> None:
            if not self._mutexes[kind].acquire(timeout=CLOSE_SECONDS):
                raise TimeoutError("it is busy")
            try:
                driver.close()
            finally:
                self._mutexes[kind].release()

        try:
            await in_thread(close)
        except Exception as error:
            log.warning("the %s driver can't be closed: %s", kind, _why(error))

    async def change_list(self, name: str, added: Sequence[tuple[str, int]], removed: Sequence[str]) -> None:
        """Keep an edit of a list; raises OSError when it can't be kept."""
        await self._use("list", self.drivers.lists.change, name, added, removed)

    # --- the log ---

    def next_id(self) -> int:
        """Return the id of the first row of this run.

        With a folder ids begin at the time in µs, so that they rise over restarts and over every driver there.
        """
        first = self.drivers.log.last_id + 1
        return first if self.settings.folder is None else max(first, self._wall() // 1000)

    def put(self, batch: LogBatch) -> None:
        """Take rows for the log driver; never waits. Above the limit the oldest that wait are dropped."""
        driver = self.drivers.log
        if driver.quick and self._idle.is_set() and not self._log_lock.locked():
            with contextlib.suppress(OSError):  # then it is tried again, as with any driver
                driver.append(batch)
                self.log_count = driver.count
                return
        self._waiting.append(batch)
        self._idle.clear()
        self._rows += batch.count
        while self._rows > self.settings.journal_limit and len(self._waiting) > 1:
            lost = self._waiting.popleft()
            self._rows -= lost.count
            self.lost(lost.count, "the log driver is too slow: its oldest waiting rows were dropped")
        self._more.set()

    def lost(self, count: int, text: str) -> None:
        """Count rows that can't be kept, and tell."""
        self.log_dropped += count
        self._notice("warning", text, "driver")

    def _take(self) -> LogBatch | None:
        """Return what waits, up to `APPEND_ROWS`, as one batch."""
        batches = []
        count = 0
        while self._waiting and (not count or count + self._waiting[0].count <= APPEND_ROWS):
            batches.append(self._waiting.popleft())
            count += batches[-1].count
        self._rows -= count
        if len(batches) < 2:
            return batches[0] if batches else None
        return LogBatch(join_columns([b.columns for b in batches]), count, 0, batches[0].first_id)

    async def _write(self) -> None:
        while True:
            await self._more.wait()
            self._more.clear()
            while (batch := self._take()) is not None:
                await self._append(batch)
            self._idle.set()
            if self._closing.is_set():
                return

    async def _append(self, batch: LogBatch) -> None:
        """Give a batch to the driver; while it can't be written the rows wait with those that follow."""
        for attempt in range(1_000_000_000):
            try:
                async with self._log_lock:
                    driver = self.drivers.log
                    await self._use("log", driver.append, batch)
                    self.log_count = driver.count
                return
            except Exception as error:
                log.debug("log driver failed", exc_info=True)
                self._notice("error", f"the log driver {driver.name} can't write: {_why(error)}", "driver")
                full = self._rows + batch.count > self.settings.journal_limit
                if not isinstance(error, OSError) or self._closing.is_set() or full:
                    self.lost(batch.count, f"{batch.count:,} rows of the log were lost")
                    return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), RETRY_SECONDS[min(attempt, len(RETRY_SECONDS) - 1)])

    async def settle(self) -> None:
        """Wait until the log driver has what was put, a moment at most: a reader sees its own questions."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), SETTLE_SECONDS)

    async def page(
        self,
        limit: int,
        before: int | None = None,
        after: int | None = None,
        wanted: Selection | None = None,
        *,
        oldest_first: bool = False,
    ) -> Page:
        """Return a page of what the log driver keeps; rows get there within a second."""

        def read() -> Page:
            return read_page(self.drivers.log, limit, before, after, wanted=wanted, oldest_first=oldest_first)

        async with self._log_lock:
            return await self._use("log", read)

    async def rows(self, wanted: Selection | None = None) -> AsyncGenerator[schema.Columns]:
        """Yield all rows that are there now, oldest first; the driver is free between the chunks."""
        if not self.drivers.log.readable:
            name = self.drivers.log.name
            raise SettingError("log_driver", name, "this driver's rows can't be read back; choose another")
        end = self.drivers.log.last_id + 1
        cursor: int | None = None
        while True:
            page = await self.page(EXPORT_ROWS, end, cursor, wanted, oldest_first=True)
            if page.columns:
                yield page.columns
            if page.next is None:
                return
            cursor = page.next

    # --- the cache ---

    async def _fill_cache(self) -> None:
        driver = self.drivers.cache
        if not driver.lasting:
            return
        now, wall = self._clock(), self._wall() / 1e9
        try:
            kept = await self._use("cache", lambda: [load_entry(data, now, wall) for data in driver.load()])
        except OSError as error:
            self._notice("warning", f"the cache driver {driver.name} can't be read: {_why(error)}", "cache")
            return
        for item in reversed(kept):  # saved with the most recently used first
            if item is not None and self.cache.peek(item[0]) is None:
                self.cache.restore(*item)
        self._cache_saved = self.cache.version

    async def save_cache(self) -> None:
        """Save the cache, if the driver outlives us and there is something new."""
        async with self._cache_lock:
            driver = self.drivers.cache
            if not driver.lasting or self._cache_saved == self.cache.version:
                return
            version = self.cache.version
            now, wall = self._clock(), self._wall() / 1e9
            items = list(self.cache.items())

            def save() -> None:
                driver.save(dump_entry(q, e, now, wall) for q, e in items if now < e.expires + self.cache.stale_ttl)

            try:
                await self._use("cache", save)
                self._cache_saved = version
            except Exception as error:
                log.debug("cache driver failed", exc_info=True)
                self._notice("warning", f"the cache driver {driver.name} can't save: {_why(error)}", "cache")

    # --- upkeep ---

    async def _tidy(self) -> None:
        due = self._clock() + SAVE_CACHE_SECONDS
        while True:
            await self.expire()
            await asyncio.sleep(EXPIRE_SECONDS)
            if self._clock() >= due:
                due = self._clock() + SAVE_CACHE_SECONDS
                await self.save_cache()

    async def expire(self) -> int:
        """Drop rows that are too old, and those above the log's size; returns how many went."""
        oldest = self._wall() // 1000 - int(self.settings.log_days * DAY_US)
        async with self._log_lock:
            driver = self.drivers.log
            try:
                gone = await self._use("log", driver.expire, oldest)
            except Exception as error:
                self._notice("warning", f"the log driver {driver.name} can't drop old rows: {_why(error)}", "expire")
                return 0
            self.log_count = driver.count
            return gone

    # --- other drivers, while running ---

    async def prepare(self, settings: Settings) -> Prepared:
        """Open the drivers that these settings change; raises SettingError, and then has left none open."""
        prepared: Prepared = {}
        try:
            names = (self.drivers.log.name, self.drivers.lists.name, self.drivers.cache.name)
            for kind, name in zip(KINDS, names, strict=True):
                if getattr(settings, f"{kind}_driver") != name:
                    prepared[kind] = await in_thread(make_driver, kind, settings)
        except BaseException:
            await self.discard(prepared)
            raise
        return prepared

    async def discard(self, prepared: Prepared) -> None:
        """Close what was prepared in vain."""
        for driver in prepared.values():
            await in_thread(driver.close)

    async def commit(self, settings: Settings, prepared: Prepared) -> None:
        """Take new settings, and the prepared drivers in the place of those there are; rows and answers go along.

        The lists' names are the server's to carry over, before.
        """
        self.settings = settings
        old: list[tuple[str, Any]] = []
        if "log" in prepared:
            async with self._log_lock:
                old.append(("log", self.drivers.log))
                await self._carry_log(prepared["log"])
                self.drivers = self.drivers._replace(log=prepared["log"])
                self.log_count = self.drivers.log.count
        elif hasattr(self.drivers.log, "limit"):
            self.drivers.log.limit = settings.log_rows if self.drivers.log.name == "memory" else settings.log_bytes
        if "list" in prepared:
            old.append(("list", self.drivers.lists))
            self.drivers = self.drivers._replace(lists=prepared["list"])
        if "cache" in prepared:
            async with self._cache_lock:
                old.append(("cache", self.drivers.cache))
                self.drivers = self.drivers._replace(cache=prepared["cache"])
                self._cache_saved = -1
            await self.save_cache()
        for kind, driver in old:
            await self._close_driver(kind, driver)

    async def _carry_log(self, new: Any) -> None:
        """Give a new log driver the rows that it lacks; what it can't take stays with the old one's files."""

        def carry(old: Any) -> None:
            if not new.readable:
                return
            after = new.last_id or None
            for columns in old.scan(after=after, oldest_first=True):
                ids = columns["id"]
                new.append(LogBatch(columns, len(ids), 0, ids[0]))

        try:
            await self._use("log", carry, self.drivers.log)
        except Exception as error:
            self._notice("warning", f"not all rows could be carried to the new log: {_why(error)}", "driver")


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _lock(settings: Settings) -> int | None:
    if settings.folder is None:
        return None
    try:
        return lock_folder(settings.folder)
    except BlockingIOError as error:
        raise SettingError("folder", str(settings.folder), f"{error}; stop that one, or give another folder") from None
