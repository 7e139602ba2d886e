"""The rows of an SQLite table straight from its pages, by numpy: what `sqlite3` gives, several times as fast.

Reads numbers and nulls of a plain table, with the committed part of its write-ahead log; a row that holds anything else
is pointed out, to be asked of SQLite. The caller holds a read transaction. File format: sqlite.org/fileformat2.html.
"""

from __future__ import annotations

import struct
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

Ints = np.ndarray[Any, np.dtype[np.int64]]
Bytes = np.ndarray[Any, np.dtype[np.uint8]]
LEAF, INTERIOR = 13, 5
DEPTH = 20
NULL, REAL = 0, 7
_PAD = 16
_FRAMES = 256  # of a write-ahead log, taken at once

#: Of each serial type below 128: octets, how far its big-endian word of eight is shifted right, is it no number?
_SIZES = np.array([0, 1, 2, 3, 4, 6, 8, 8, 0, 0, 0, 0, *((n - 12) // 2 for n in range(12, 128))], np.int64)
_SHIFTS = np.array([63, 56, 48, 40, 32, 16, 0, 0, 63, 63] + [0] * 118, np.int64)
_NO_NUMBER = np.arange(128) >= 10


class UnreadableError(Exception):
    """The pages are not as this module knows them; SQLite itself must read them, or say what is wrong."""


class Pages:
    """The pages of a database as a reader sees them now: the file and, over it, what its log has committed.

    Raises `UnreadableError` for what is no database of format 1 or 2, OSError for what can't be read.
    """

    def __init__(self, path: Path, *, wal: bool) -> None:
        self._file = path.open("rb", buffering=0)
        self._log: Any = None
        try:
            head = self._file.read(100)
            if len(head) < 100 or head[:16] != b"SQLite format 3\0" or head[18] not in (1, 2) or head[19] not in (1, 2):
                raise UnreadableError("no database of a known format")
            size = int.from_bytes(head[16:18], "big")
            self.size = 65_536 if size == 1 else size
            if self.size < 512 or self.size & (self.size - 1) or self.size - head[20] < 480:
                raise UnreadableError("no database of a known format")
            self.usable = self.size - head[20]
            self._changes = head[24:28]
            self._places: dict[int, int] = {}
            log = path.with_name(path.name + "-wal")
            if wal and log.exists():
                self._log = log.open("rb", buffering=0)
                self._places = _committed(self._log, self.size)
            self._limit = path.stat().st_size // self.size + len(self._places)
            self._logged = np.sort(np.fromiter(self._places, np.int64, len(self._places)))
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the files; with that, SQLite's own locks on them end that this process holds (as POSIX has it)."""
        self._file.close()
        if self._log is not None:
            self._log.close()

    def changed(self) -> bool:
        """Return whether somebody has written into the file since it was opened (without a log: see `wal`)."""
        self._file.seek(24)
        return bool(self._file.read(4) != self._changes)

    def read(self, numbers: Ints) -> Bytes:
        """Return pages by number, a row each."""
        out = np.empty((len(numbers), self.size), np.uint8)
        logged = np.isin(numbers, self._logged) if len(self._logged) else np.zeros(len(numbers), bool)
        plain = np.flatnonzero(~logged)
        breaks = np.flatnonzero((np.diff(numbers[plain]) != 1) | (np.diff(plain) != 1)) + 1
        for run in np.split(plain, breaks) if len(plain) else []:
            self._fill(self._file, (int(numbers[run[0]]) - 1) * self.size, out[run[0] : run[-1] + 1])
        for at in np.flatnonzero(logged).tolist():
            self._fill(self._log, self._places[int(numbers[at])], out[at : at + 1])
        return out

    def leaves(self, root: int, after: int | None = None) -> Ints:
        """Return the numbers of a table's leaf pages in the order of their rows; with `after`, those behind a row."""
        level = np.array([root], np.int64)
        for _ in range(DEPTH):
            pages = self.read(level)
            if (pages[:, 0] == LEAF).all():
                return level
            if not (pages[:, 0] == INTERIOR).all():
                raise UnreadableError("a page of another kind within a table")
            level = self._below(pages, after)
            if len(level) > self._limit or (level < 2).any():
                raise UnreadableError("a table's pages lead nowhere")
        raise UnreadableError("a table that is too deep")

    def _below(self, pages: Bytes, after: int | None) -> Ints:
        flat, starts, counts = _cells(pages, self.usable, 12)
        children = _big(flat, starts, 4)
        rightmost = _big(flat, np.arange(len(pages)) * self.size + 8, 4)
        keep = np.ones(len(children) + len(pages), bool)
        ends = np.cumsum(counts)
        if after is not None:
            keys, _ = _varint(flat, starts + 4)
            keep = np.insert(keys > after, ends, True)
        return np.insert(children, ends, rightmost)[keep]

    def _fill(self, file: Any, at: int, out: Bytes) -> None:
        view = memoryview(out.data).cast("B")
        file.seek(at)
        while len(view):
            got = file.readinto(view)
            if not got:
                raise UnreadableError("a page lies behind the file's end")
            view = view[got:]


class Rows:
    """The rows of leaf pages, cell by cell: `ids`, `odd` (SQLite must be asked), and columns by place in the table.

    Raises `UnreadableError` for pages that are damaged or of another kind.
    """

    def __init__(self, pages: Bytes, usable: int, wanted: set[int], reals: set[int]) -> None:
        if not (pages[:, 0] == LEAF).all():
            raise UnreadableError("a page of another kind within a table")
        flat, at, _ = _cells(pages, usable, 8)
        ends = at // pages.shape[1] * pages.shape[1] + usable
        length, at = _varint(flat, at)
        self.ids, at = _varint(flat, at)
        if (np.diff(self.ids) <= 0).any():
            raise UnreadableError("rows that are not in order")
        self.odd = length > usable - 35  # the rest of it lies in pages of its own
        if (~self.odd & (at + length > ends)).any():
            raise UnreadableError("a row that leaves its page")
        head = flat[at].astype(np.int64)
        self.odd |= (head > 127) | (head > length) | (head < 1)
        last = max(wanted, default=-1)
        end = at + length
        value = at + head
        words: Any = np.ndarray((len(flat) - 7,), ">i8", flat, strides=(1,))  # the word that begins at each octet
        self._kinds: dict[int, Any] = {}
        self._values: dict[int, Ints] = {}
        for column in range(last + 1):
            kind = flat[np.minimum(at + 1 + column, len(flat) - 1)]
            kind = np.where(column + 1 < head, kind, NULL)  # rows older than the column lack it
            self.odd |= kind > 127
            kind = np.minimum(kind, 127)
            if column in wanted:
                self.odd |= _NO_NUMBER[kind]
                if column not in reals:
                    self.odd |= kind == REAL
                place = np.minimum(value, len(words) - 1)
                whole = words[place].astype(np.int64) >> _SHIFTS[kind]
                if (kind > REAL).any():
                    whole = np.where(kind == 8, 0, np.where(kind == 9, 1, whole))
                self._kinds[column], self._values[column] = kind, whole
            value = value + _SIZES[kind]
        self.odd |= value > end

    def whole(self, column: int, null: int) -> Ints:
        """Return a column of integers; what is null, or no integer, is `null`."""
        kind = self._kinds[column]
        return np.where((kind == NULL) | (kind == REAL), null, self._values[column])

    def real(self, column: int) -> Any:
        """Return a column as float64; null is NaN."""
        kind, values = self._kinds[column], self._values[column]
        return np.where(kind == REAL, values.view(np.float64), np.where(kind == NULL, np.nan, values))


def _cells(pages: Bytes, usable: int, head: int) -> tuple[Bytes, Ints, Ints]:
    """Return the pages as one run of octets, where each cell begins in it, and how many each page has."""
    count, size = pages.shape
    flat = np.concatenate([pages.ravel(), np.zeros(_PAD, np.uint8)])
    cells = pages[:, 3].astype(np.int64) << 8 | pages[:, 4]
    if (cells * 2 + head > usable).any():
        raise UnreadableError("a page with more cells than it can hold")
    page = np.repeat(np.arange(count) * size, cells)
    within = np.arange(len(page)) - np.repeat(np.cumsum(cells) - cells, cells)
    place = _big(flat, page + head + 2 * within, 2)
    if ((place < head) | (place > usable - 2)).any():
        raise UnreadableError("a cell outside its page")
    return flat, page + place, cells


def _big(flat: Bytes, at: Ints, octets: int) -> Ints:
    value = flat[at].astype(np.int64)
    for i in range(1, octets):
        value = value << 8 | flat[at + i]
    return value


def _varint(flat: Bytes, at: Ints) -> tuple[Ints, Ints]:
    """Return the numbers that begin at these places, and where each ends; those of nine octets are not known."""
    octet = flat[at]
    value = (octet & 127).astype(np.int64)
    size = np.ones(len(at), np.int64)
    more = octet > 127
    for i in range(1, 8):
        if not more.any():
            return value, at + size
        octet = flat[np.minimum(at + i, len(flat) - 1)]
        value = np.where(more, value << 7 | (octet & 127), value)
        size += more
        more &= octet > 127
    if more.any():
        raise UnreadableError("a number too large")
    return value, at + size


def _committed(log: Any, size: int) -> dict[int, int]:
    """Return where in a write-ahead log the newest committed copy of each page lies; a log without sense is empty.

    A frame counts when its salts are the log's and the checksum over all octets up to it is right.
    """
    head = log.read(32)
    if len(head) < 32:
        return {}
    magic, version, page, _, *rest = struct.unpack(">8I", head)
    if magic & ~1 != 0x377F0682 or version != 3_007_000:
        return {}
    order = ">u4" if magic & 1 else "<u4"
    state = _sum(0, 0, np.frombuffer(head[:24], order).reshape(1, -1))[0]
    if state != tuple(rest[2:]) or page != size:
        return {}
    salts = head[16:24]
    found: dict[int, int] = {}
    open_: dict[int, int] = {}
    frame, at = 24 + size, 32
    while piece := log.read(frame * _FRAMES):
        frames = np.frombuffer(piece[: len(piece) // frame * frame], np.uint8).reshape(-1, frame)
        summed = np.concatenate([frames[:, :8], frames[:, 24:]], axis=1).view(order)
        for row, sums in zip(frames, _sum(*state, summed), strict=True):
            number, commit, *_, first, second = struct.unpack(">6I", row[:24].tobytes())
            if row[8:16].tobytes() != salts or sums != (first, second) or not number:
                return found
            open_[number] = at + 24
            at += frame
            if commit:
                found.update(open_)
                found = {n: p for n, p in found.items() if n <= commit} if max(found) > commit else found
                open_.clear()
            state = sums
        if len(piece) < frame * _FRAMES:
            break
    return found


def _sum(first: int, second: int, rows: Any) -> list[tuple[int, int]]:
    """Return SQLite's running checksum after each row of 32-bit words.

    A pair (x, y) makes s0 += x + s1, s1 += y + s0: linear, so that a row's share is one product with fixed weights.
    """
    pairs = rows.shape[1] // 2
    weights = np.empty((pairs, 2, 2), np.uint32)
    a, b, c, d = 1, 0, 0, 1  # the matrix (1 1; 1 2) to the power of the pairs that follow
    mask = 0xFFFFFFFF
    for i in range(pairs - 1, -1, -1):
        weights[i] = ((a + b) & mask, (c + d) & mask), (b, d)  # by what x and y add to (s0, s1): (1, 1) and (0, 1)
        a, b, c, d = (a + b) & mask, (a + 2 * b) & mask, (c + d) & mask, (c + 2 * d) & mask
    shares = rows.astype(np.uint32) @ weights.reshape(-1, 2)
    out = []
    for share in shares.tolist():
        first, second = (a * first + b * second + share[0]) & mask, (c * first + d * second + share[1]) & mask
        out.append((first, second))
    return out
