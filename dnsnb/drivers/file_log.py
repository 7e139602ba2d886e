"""The query log as JSON lines in a folder: `queries.jsonl` grows, and is set aside by size under its last id.

A row is there when `append` returns; after a kill at any moment the file ends with a whole line again once opened.
"""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import orjson

from dnsnb import schema
from dnsnb.dns.journal import LogBatch
from dnsnb.drivers.columns import from_lines, time_us, to_lines
from dnsnb.drivers.private import append_all, make_folder, open_private

ACTIVE = "queries.jsonl"
_ASIDE = re.compile(r"queries-(\d{19})\.jsonl")
BLOCK = 1 << 18  # bytes read at once


class Segment(NamedTuple):
    """A file set aside: its rows end with `last_id`."""

    path: Path
    last_id: int
    rows: int
    size: int


class FileLog:
    """JSON lines; above `segment` bytes a file is set aside, above `limit` bytes in all the oldest file goes."""

    name = "file"
    readable = True
    quick = False

    def __init__(self, folder: Path, limit: int = 1 << 30, segment: int = 16 << 20) -> None:
        self.folder = make_folder(folder)
        self.limit = limit
        self.segment = max(1, min(segment, limit // 4))
        self._aside = deque(_read_segment(p) for p in sorted(folder.iterdir()) if _ASIDE.fullmatch(p.name))
        self._open()
        self._count = _count_lines(self.folder / ACTIVE)
        self.last_id = _last_id(self.folder / ACTIVE) or (self._aside[-1].last_id if self._aside else 0)

    def _open(self) -> None:
        self._handle = open_private(self.folder / ACTIVE)
        end = _end_of_lines(self._handle)
        os.ftruncate(self._handle, end)
        self._size = end

    @property
    def count(self) -> int:
        return self._count + sum(segment.rows for segment in self._aside)

    def append(self, batch: LogBatch) -> None:
        if not batch.count:
            return
        data = to_lines(batch.columns)
        if self._size and self._size + len(data) > self.segment:
            self._set_aside()
        append_all(self._handle, data)
        self._size += len(data)
        self._count += batch.count
        self.last_id = batch.columns["id"][-1]

    def _set_aside(self) -> None:
        path = self.folder / f"queries-{self.last_id:019d}.jsonl"
        (self.folder / ACTIVE).rename(path)
        os.close(self._handle)
        self._aside.append(Segment(path, self.last_id, self._count, self._size))
        self._count = 0
        self._open()
        while self._aside and sum(s.size for s in self._aside) + self.segment > self.limit:
            self._aside.popleft().path.unlink(missing_ok=True)

    def scan(
        self,
        before: int | None = None,
        after: int | None = None,
        *,
        since: int | None = None,
        until: int | None = None,
        oldest_first: bool = False,
    ) -> Iterator[schema.Columns]:
        files = [s.path for s in self._aside if after is None or s.last_id > after]
        files.append(self.folder / ACTIVE)
        for path in files if oldest_first else reversed(files):
            try:
                with path.open("rb") as file:
                    yield from _scan_file(file.fileno(), before, after, oldest_first)
            except FileNotFoundError:
                continue  # it was due meanwhile

    def expire(self, older_than: int) -> int:
        gone = 0
        while self._aside and _last_time(self._aside[0].path) < older_than:
            segment = self._aside.popleft()
            segment.path.unlink(missing_ok=True)
            gone += segment.rows
        if self._count and not self._aside and _last_time(self.folder / ACTIVE) < older_than:
            gone += self._count
            os.ftruncate(self._handle, 0)
            self._size = self._count = 0
        return gone

    def close(self) -> None:
        handle, self._handle = self._handle, -1
        os.close(handle)


def _scan_file(handle: int, before: int | None, after: int | None, oldest_first: bool) -> Iterator[schema.Columns]:
    end = os.fstat(handle).st_size
    start = 0 if after is None else _find(handle, end, after + 1)
    if before is not None:
        end = _find(handle, end, before)
    while start < end:
        if oldest_first:
            data = _read_at(handle, min(BLOCK, end - start), start)
            cut = data.rfind(b"\n") + 1
            if not cut:  # a line longer than a block
                data = _read_at(handle, end - start, start)
                cut = data.rfind(b"\n") + 1
            data = data[:cut]
            start = start + cut if cut else end
        else:
            low = max(start, end - BLOCK)
            data = _read_at(handle, end - low, low)
            if low > start:
                cut = data.find(b"\n") + 1
                if cut == len(data):
                    low, data = start, _read_at(handle, end - start, start)
                else:
                    low, data = low + cut, data[cut:]
            end = low
        if columns := from_lines(data.splitlines()):
            yield columns


def _read_at(handle: int, size: int, start: int) -> bytes:
    os.lseek(handle, start, os.SEEK_SET)
    return os.read(handle, size)


def _find(handle: int, size: int, row_id: int) -> int:
    """Return where the first line with an id of at least `row_id` begins; ids rise along the file."""
    low, high = 0, size  # both at the beginning of a line, or at the end
    while low < high:
        middle = _line_start(handle, (low + high) // 2, low)
        line = _line_at(handle, middle)
        found = _id_of(line)
        if found is not None and found >= row_id:
            high = middle
        else:
            low = middle + len(line)
    return low


def _line_start(handle: int, at: int, least: int) -> int:
    while at > least:
        begin = max(least, at - 4096)
        data = _read_at(handle, at - begin, begin)
        cut = data.rfind(b"\n")
        if cut >= 0:
            return begin + cut + 1
        at = begin
    return least


def _line_at(handle: int, start: int) -> bytes:
    parts = []
    while data := _read_at(handle, 4096, start):
        cut = data.find(b"\n")
        if cut >= 0:
            parts.append(data[: cut + 1])
            break
        parts.append(data)
        start += len(data)
    return b"".join(parts)


def _id_of(line: bytes) -> int | None:
    try:
        return int(orjson.loads(line)["id"])
    except (ValueError, TypeError, KeyError):
        return None


def _end_of_lines(handle: int) -> int:
    """Return where the last whole line ends."""
    return _line_start(handle, os.fstat(handle).st_size, 0)


def _last_line(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            end = _end_of_lines(file.fileno())
            return _line_at(file.fileno(), _line_start(file.fileno(), end - 1, 0)) if end else b""
    except FileNotFoundError:
        return b""


def _last_id(path: Path) -> int:
    return _id_of(_last_line(path)) or 0


def _last_time(path: Path) -> int:
    try:
        return time_us(orjson.loads(_last_line(path))["time"])
    except (ValueError, TypeError, KeyError):
        return 0


def _count_lines(path: Path) -> int:
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))


def _read_segment(path: Path) -> Segment:
    found = _ASIDE.fullmatch(path.name)
    assert found is not None
    return Segment(path, int(found[1]), _count_lines(path), path.stat().st_size)
