"""Drivers that keep everything in memory, within a limit, for as long as the server runs."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Sequence

from dnsnb import schema
from dnsnb.dns.journal import LogBatch


class MemoryLog:
    """The newest `limit` rows, in the batches that they came in."""

    name = "memory"

    def __init__(self, limit: int = 100_000) -> None:
        self.limit = limit
        self._batches: deque[LogBatch] = deque()
        self._count = 0
        self._lock = threading.Lock()

    @property
    def count(self) -> int:
        return min(self._count, self.limit)

    def append(self, batch: LogBatch) -> None:
        if not batch.count:
            return
        with self._lock:
            self._batches.append(batch)
            self._count += batch.count
            while self._count - self._batches[0].count >= self.limit and len(self._batches) > 1:
                self._count -= self._batches.popleft().count

    def page(
        self, limit: int, before: int | None = None, after: int | None = None
    ) -> tuple[schema.Columns, int | None]:
        with self._lock:
            batches = list(self._batches)
            kept = self.count
        if not batches or limit <= 0:
            return {}, None
        oldest = batches[-1].columns["id"][-1] - kept  # ids up to this one are over the limit
        floor = oldest if after is None else max(oldest, after)
        parts: list[schema.Columns] = []
        wanted = limit
        more = False
        for batch in reversed(batches):
            ids = batch.columns["id"]
            end = len(ids) if before is None else bisect_left(ids, before)
            start = bisect_left(ids, floor + 1)
            if end <= start:
                if ids[-1] <= floor:
                    break
                continue
            if not wanted:
                more = True
                break
            more = end - start > wanted
            start = max(start, end - wanted)
            wanted -= end - start
            parts.append({name: values[start:end] for name, values in batch.columns.items()})
            if more:
                break
        columns = join_columns(list(reversed(parts)))
        return columns, columns["id"][0] if more and columns else None

    def close(self) -> None:
        return


def join_columns(parts: Sequence[schema.Columns]) -> schema.Columns:
    """Return batches one after the other; a column that one of them lacks is null there."""
    if len(parts) == 1:
        return dict(parts[0])
    names = [n for n in schema.NAMES if any(n in part for part in parts)]
    joined: schema.Columns = {name: [] for name in names}
    for part in parts:
        length = len(part["id"])
        for name in names:
            values = part.get(name)
            joined[name].extend(values if values is not None else [None] * length)
    return joined


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

    def load(self) -> Iterable[bytes]:
        return ()

    def save(self, entries: Iterable[bytes]) -> None:
        return

    def close(self) -> None:
        return
