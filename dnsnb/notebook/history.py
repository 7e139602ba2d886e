"""The query log in a live frame: what the server kept, then what it streams, each row once and in order.

Rows that the stream can't bring (older than it, of a restarted server, gone from its replay) come from the log.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from concurrent.futures import CancelledError
from fnmatch import fnmatchcase
from typing import Any, Literal

from dnsnb import schema
from dnsnb.client.client import Client
from dnsnb.client.events import Event
from dnsnb.client.liveframe import LiveFrame
from dnsnb.errors import DnsnbError

log = logging.getLogger(__name__)

HISTORY = 10_000  # rows of the kept log that a new session begins with
MOST_FETCHED = 200_000  # rows read from the log after a gap; what is older stays counted as dropped
OPEN_SECONDS = 5.0  # waited for the stream before the history is read without it
CATCH_UP_SECONDS = 1.0  # the log driver may be that far behind the stream

Cause = Literal["start", "gone", "reset"]


class LogFeed:
    """Fills `live` from a server's log and stream until `close()`.

    `begin()` waits for the history. `dropped` counts rows that the server, the stream or this feed could not bring.
    """

    def __init__(self, client: Client, live: LiveFrame) -> None:
        self.dropped = 0
        self._client = client
        self._live = live
        self._lock = threading.RLock()
        self._held: deque[schema.Columns] | None = deque()  # batches that wait for older rows to come first
        self._held_rows = 0
        self._newest: schema.Columns | None = None
        self._told = threading.Event()  # what the newest rows are, or that the stream won't open
        self._began = False
        self._closed = False
        self._worker: threading.Thread | None = None
        self._last_id = 0
        self._first_id = 1  # of the server's present run
        self._handlers = {
            "dns/log/event": self._on_rows,
            "dns/log/": self._on_state,
            "system/gap": self._on_gap,
            "system/reset": self._on_reset,
        }
        # one subscription: with several, the stream could open between them
        self._leave = [
            client.sse.on_connection_change(self._on_change).close,
            client.sse.subscribe("*", self._on_event).close,
        ]

    def begin(self) -> None:
        """Take the kept rows, then those that came meanwhile."""
        if any(fnmatchcase("dns/log/", pattern) for pattern in self._client.me().get("channels", ())):
            self._told.wait(OPEN_SECONDS)  # a token that may not read this channel would wait in vain
        self._fill("start")
        self._began = True

    def close(self) -> None:
        """Take no more rows."""
        self._closed = True
        self._told.set()
        for leave in self._leave:
            leave()
        if self._worker is not None:
            self._worker.join(1.0)

    # --- from the stream, in the client's loop thread ---

    def _on_event(self, event: Event) -> None:
        handler = self._handlers.get(event.type)
        if handler is not None:
            handler(event)

    def _on_rows(self, event: Event) -> None:
        self.dropped += int(event.data.get("dropped") or 0)
        columns = event.data.get("columns") or {}
        with self._lock:
            if self._held is None:
                self._append(columns)
                return
            self._held.append(columns)
            self._held_rows += _count(columns)
            while self._held_rows > self._live.limit and len(self._held) > 1:
                lost = _count(self._held.popleft())
                self._held_rows -= lost
                self.dropped += lost

    def _on_state(self, event: Event) -> None:
        newest = event.data.get("newest")
        if newest is None:
            return
        with self._lock:
            first, self._newest = self._newest is None, newest.get("columns") or {}
        self._told.set()
        if first and self._began:
            self._fill_later("gone")  # the stream opened only after the history was read

    def _on_change(self, state: str, _reason: str) -> None:
        if state in ("closed", "waiting"):
            self._told.set()

    def _on_gap(self, event: Event) -> None:
        count = int(event.data.get("count") or 0)
        self.dropped += count
        # who is too slow for the stream would not be faster by reading the log as well
        if event.data.get("reason") == "gone":
            self._fill_later("gone", count)

    def _on_reset(self, event: Event) -> None:
        self._first_id = int(event.data.get("first_id") or 1)
        self._fill_later("reset")

    def _fill_later(self, cause: Cause, counted: int = 0) -> None:
        with self._lock:
            if self._held is not None or self._closed:
                return  # a fill is under way
            self._held = deque()
            self._held_rows = 0
            self._newest = None
            self._told.clear()
            self._worker = threading.Thread(target=self._fill, args=[cause, counted], name="dnsnb-history", daemon=True)
            self._worker.start()

    # --- from the log ---

    def _fill(self, cause: Cause, counted: int = 0) -> None:
        """Append the rows of the log that the frame lacks, then what was held back."""
        if cause != "start":
            self._told.wait(OPEN_SECONDS)
        parts: list[schema.Columns] = []
        try:
            parts = self._kept(cause)
        except (DnsnbError, CancelledError, RuntimeError) as error:  # the live rows don't depend on it
            if not self._closed:
                log.warning("the log so far can't be read: %s", error)
        with self._lock:
            if cause == "reset":
                self._last_id = 0  # a log in memory counts from 1 again
            before = self._live.total
            for columns in parts:
                self._append_new(columns)
            self.dropped -= min(counted, self._live.total - before)
            self._append_new(self._newest or {})
            held, self._held = self._held or deque(), None
            for columns in held:
                self._append_new(columns)

    def _kept(self, cause: Cause) -> list[schema.Columns]:
        """Read the log until it reaches the oldest row that the stream can bring."""
        end = time.monotonic() + CATCH_UP_SECONDS
        while True:
            parts = self._pages() if cause == "gone" else [self._client.log(limit=HISTORY).get("columns") or {}]
            if cause == "reset":  # ids went on, with those of runs between that nobody saw; or they began anew
                least = self._last_id + 1 if self._first_id > self._last_id else self._first_id
                parts = [_from(columns, "id", least) for columns in parts]
            reached = max((_last(columns, "id") for columns in parts), default=0)
            if not reached or self._closed or time.monotonic() > end or self._first_streamed() <= reached + 1:
                return parts
            time.sleep(0.05)  # rows on their way into the log driver

    def _pages(self) -> list[schema.Columns]:
        parts: list[schema.Columns] = []
        after: int | None = self._last_id
        rows = 0
        while after is not None and rows < MOST_FETCHED and not self._closed:
            page = self._client.log(limit=HISTORY, after=after, order="oldest")
            parts.append(page.get("columns") or {})
            rows += _count(parts[-1])
            after = page.get("next")
            if after is not None and after + 1 >= self._first_streamed() > 0:
                break
        return parts

    def _first_streamed(self) -> int:
        """The id of the oldest row that the stream has brought since the fill began; 0 for none."""
        with self._lock:
            for columns in [self._newest or {}, *(self._held or ())]:
                if ids := columns.get("id"):
                    return ids[0] or 0
        return 0

    # --- into the frame ---

    def _append_new(self, columns: schema.Columns) -> None:
        self._append(_from(columns, "id", self._last_id + 1))

    def _append(self, columns: schema.Columns) -> None:
        if _count(columns):
            self._live.extend(columns)
            self._last_id = _last(columns, "id") or self._last_id


def _count(columns: dict[str, list[Any]]) -> int:
    return max(map(len, columns.values()), default=0)


def _last(columns: dict[str, list[Any]], name: str) -> int:
    values = columns.get(name)
    return (values[-1] or 0) if values else 0


def _from(columns: dict[str, list[Any]], name: str, least: int) -> dict[str, list[Any]]:
    """Return the rows whose `name` is `least` or more; rows without one are kept."""
    values = columns.get(name)
    if not values or (values[0] is not None and values[0] >= least):
        return columns
    skip = next((i for i, value in enumerate(values) if value is None or value >= least), len(values))
    return {key: column[skip:] for key, column in columns.items()}
