"""A page of the query log, the same over every driver: newest or oldest rows first, filtered, with a cursor. No I/O."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from dnsnb import schema
from dnsnb.drivers.columns import join_columns, slice_columns
from dnsnb.drivers.protocols import LogDriver

MAX_SCANNED = 200_000  # rows looked at for one page: a rare match must not hold the log up


class Selection(Protocol):
    """Which rows are wanted; `since` and `until` in µs since the epoch."""

    since: int | None
    until: int | None

    def apply(self, columns: schema.Columns, count: int) -> tuple[schema.Columns, int]:
        """Return the rows that are wanted, and how many they are."""


class Page(NamedTuple):
    """Rows with ids rising, and the id to go on from: `before` it, or `after` it when oldest first. None: no more.

    A page may hold fewer rows than asked for, even none, and still have more to come.
    """

    columns: schema.Columns
    next: int | None


def read_page(
    driver: LogDriver,
    limit: int,
    before: int | None = None,
    after: int | None = None,
    *,
    wanted: Selection | None = None,
    oldest_first: bool = False,
    most: int = MAX_SCANNED,
) -> Page:
    """Return up to `limit` rows with an id below `before` and above `after`, the newest unless `oldest_first`."""
    since, until = (wanted.since, wanted.until) if wanted is not None else (None, None)
    chunks: Iterator[schema.Columns] = iter(())
    if limit > 0 and driver.readable:
        chunks = driver.scan(before, after, since=since, until=until, oldest_first=oldest_first)
    parts: list[schema.Columns] = []
    room, scanned = limit, 0
    cursor: int | None = None
    for chunk in chunks:
        if room <= 0 or scanned >= most:
            break
        ids = chunk["id"]
        scanned += len(ids)
        cursor = ids[-1] if oldest_first else ids[0]
        found, count = chunk, len(ids)
        if wanted is not None:
            found, count = wanted.apply(chunk, count)
        if count > room:
            found = slice_columns(found, 0, room) if oldest_first else slice_columns(found, count - room, count)
            cursor = found["id"][-1] if oldest_first else found["id"][0]
            count = room + 1  # there is more in this very chunk
        if count:
            parts.append(found)
            room -= count
    else:
        if room >= 0:
            cursor = None
    if not oldest_first:
        parts.reverse()
    return Page(join_columns(parts) if parts else {}, cursor)
