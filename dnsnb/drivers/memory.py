"""Drivers that keep everything in memory, within a limit, for as long as the server runs."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import orjson

from dnsnb import schema
from dnsnb.dns.journal import LogBatch
from dnsnb.drivers.columns import NAMES, slice_columns


class _Held(NamedTuple):
    """A batch as JSON: lists of a hundred thousand rows would be walked by every full run of the cycle collector."""

    data: bytes
    rows: int
    first_id: int
    last_id: int
    last_time: int


class MemoryLog:
    """The newest `limit` rows, in the batches that they came in."""

    name = "memory"
    readable = True
    quick = True

    def __init__(self, limit: int = 100_000) -> None:
        self.limit = limit
        self.last_id = 0
        self._batches: deque[_Held] = deque()
        self._held = 0
        self._lock = threading.Lock()

    @property
    def count(self) -> int:
        return min(self._held, self.limit)

    def append(self, batch: LogBatch) -> None:
        if not batch.count:
            return
        columns = batch.columns
        held = _Held(batch.json, batch.count, columns["id"][0], columns["id"][-1], columns["time"][-1])
        with self._lock:
            self._batches.append(held)
            self._held += batch.count
            self.last_id = held.last_id
            while self._held - self._batches[0].rows >= self.limit and len(self._batches) > 1:
                self._held -= self._batches.popleft().rows

    def scan(
        self,
        before: int | None = None,
        after: int | None = None,
        *,
        since: int | None = None,
        until: int | None = None,
        oldest_first: bool = False,
    ) -> Iterator[schema.Columns]:
        with self._lock:
            batches = list(enumerate(self._batches))
            over = self._held - self.count  # rows of the oldest batch that are above the limit
        for number, batch in batches if oldest_first else reversed(batches):
            if (after is not None and batch.last_id <= after) or (before is not None and batch.first_id >= before):
                continue
            kept = schema.whole(orjson.loads(batch.data))
            columns = {name: kept.get(name) or [None] * batch.rows for name in NAMES}
            ids = columns["id"]
            start = max(over if number == 0 else 0, 0 if after is None else bisect_left(ids, after + 1))
            end = len(ids) if before is None else bisect_left(ids, before)
            if start < end:
                yield slice_columns(columns, start, end)

    def expire(self, older_than: int) -> int:
        gone = 0
        with self._lock:
            while self._batches and self._batches[0].last_time < older_than:
                batch = self._batches.popleft()
                self._held -= batch.rows
                gone += batch.rows
        return gone

    def close(self) -> None:
        return


class MemoryLists:
    """Edits of the lists, kept while the server runs."""

    name = "memory"

    def __init__(self) -> None:
        self._lists: dict[str, dict[str, int]] = {}

    def load(self, list_name: str) -> list[tuple[str, int]]:
        return list(self._lists.get(list_name, {}).items())

    def change(self, list_name: str, added: Sequence[tuple[str, int]], removed: Sequence[str]) -> None:
        names = self._lists.setdefault(list_name, {})
        for text in removed:
            names.pop(text, None)
        names.update(added)

    def close(self) -> None:
        return


class MemoryCache:
    """No cache from one run to the next."""

    name = "memory"
    lasting = False

    def load(self) -> Iterable[bytes]:
        return ()

    def save(self, entries: Iterable[bytes]) -> None:
        return

    def close(self) -> None:
        return
