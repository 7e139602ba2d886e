"""A piece of a text log as one array of bytes, and the columnar cuts that readers make in it.

No I/O, no format's grammar; knows numpy and pyarrow only. A position of `NONE` means "not found".
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

PAD = 64
NONE = np.int64(1 << 60)
TEXT = pa.string()
Ints = np.ndarray[Any, np.dtype[Any]]


class Block:
    """Whole lines of a log: `starts` and `ends` cut `data`; `numbers` are their line numbers (from 1).

    It is made of octets or of pieces of them, which are put together once: a log's copies cost more than its cuts.
    `stamps` holds the time (µs, UTC) that a wrapper such as syslog or Docker gave each line, or is None.
    """

    def __init__(
        self, data: bytes | list[bytes], first: int = 1, numbers: Ints | None = None, stamps: Ints | None = None
    ) -> None:
        pieces = [data] if isinstance(data, bytes) else data
        self.nuls = sum(piece.count(b"\0") for piece in pieces if b"\0" in piece)
        if self.nuls or not all(map(bytes.isascii, pieces)):
            whole = b"".join(pieces).replace(b"\0", b"")
            try:
                whole.decode()
            except UnicodeDecodeError:
                whole = whole.decode("utf-8", "backslashreplace").encode()
            pieces = [whole]
        self.size = sum(map(len, pieces))
        if self.size and not pieces[-1].endswith(b"\n"):
            pieces = [*pieces, b"\n"]
            self.size += 1
        self.data = b"".join((*pieces, bytes(PAD)))
        self.bytes: Ints = np.frombuffer(self.data, np.uint8)
        self.words: Ints = np.ndarray((len(self.data) - 7,), "<u8", self.data, strides=(1,))
        newlines = np.flatnonzero(self.bytes[: self.size] == 10)
        self.starts: Ints = np.concatenate([np.zeros(1, np.int64), newlines[:-1] + 1])[: len(newlines)]
        self.ends: Ints = newlines - (self.bytes[newlines - 1] == 13) if len(newlines) else newlines
        self.ends = np.maximum(self.ends, self.starts)
        self.numbers: Ints = np.arange(first, first + len(newlines)) if numbers is None else numbers
        self.stamps = stamps
        self._places: dict[int, Ints] = {}

    def __len__(self) -> int:
        return len(self.starts)

    def keep(self, mask: Ints) -> Block:
        """Return the same block with the lines where `mask` is true alone."""
        other = object.__new__(Block)
        other.__dict__.update(self.__dict__)
        other.starts, other.ends, other.numbers = self.starts[mask], self.ends[mask], self.numbers[mask]
        other.stamps = None if self.stamps is None else self.stamps[mask]
        return other

    def places(self, octet: int) -> Ints:
        """Return every position of an octet, ascending; the last one is `NONE`."""
        found = self._places.get(octet)
        if found is None:
            found = np.append(np.flatnonzero(self.bytes[: self.size] == octet), NONE)
            self._places[octet] = found
        return found

    def next(self, octet: int, at: Ints, skip: int = 0) -> Ints:
        """Return the first position of an octet at or after each of `at` (or the one `skip` further on)."""
        places = self.places(octet)
        return places[np.minimum(np.searchsorted(places, at) + skip, len(places) - 1)]

    def last(self, octet: int, before: Ints) -> Ints:
        """Return the last position of an octet before each of `before`; -1 where there is none."""
        places = self.places(octet)
        index = np.searchsorted(places, before) - 1
        return np.where(index >= 0, places[np.maximum(index, 0)], -1)

    def find(self, literal: bytes, starts: Ints, ends: Ints) -> Ints:
        """Return where a literal first occurs within each span, else `NONE`."""
        data = self.bytes
        rare = min(range(len(literal)), key=lambda i: (literal[i] in b" .:aeinoqrtsu", i))
        hits = self.places(literal[rare])[:-1] - rare
        hits = hits[hits >= 0]
        for i, octet in enumerate(literal):
            if i != rare:
                hits = hits[data[hits + i] == octet]
        hits = np.append(hits, NONE)
        found = hits[np.searchsorted(hits, starts)]
        return np.where(found + len(literal) <= ends, found, NONE)

    def has(self, literal: bytes, at: Ints) -> Ints:
        """Return whether a literal stands at each position (positions beyond the block: no)."""
        at = np.clip(at, 0, self.size + PAD - max(len(literal), 8))
        if len(literal) == 1:
            return self.bytes[at] == literal[0]
        head = literal[:8]  # one word of eight octets, from wherever it begins, instead of eight octets
        hit = (self.words[at] & ((1 << 8 * len(head)) - 1)) == int.from_bytes(head, "little")
        if len(literal) > 8 and hit.any():
            rest = np.flatnonzero(hit)
            tail = self.bytes[at[rest, None] + np.arange(8, len(literal))]
            hit[rest] = (tail == np.frombuffer(literal, np.uint8)[8:]).all(axis=1)
        return hit

    def number(self, at: Ints, width: int) -> Ints:
        """Return `width` decimal digits at each position as an integer; -1 where a digit is wanting. Blanks count as
        0."""
        at = np.clip(at, 0, self.size)
        total = np.zeros(len(at), np.int64)
        good = np.ones(len(at), bool)
        for i in range(width):
            digit = self.bytes[at + i].astype(np.int64) - 48
            if i == 0:
                digit = np.where(digit == -16, 0, digit)
            good &= (digit >= 0) & (digit <= 9)
            total = total * 10 + digit
        return np.where(good, total, -1)

    def digits(self, at: Ints, most: int = 5) -> Ints:
        """Return the decimal number that starts at each position, of at most `most` digits; -1 where none does."""
        at = np.clip(at, 0, self.size)
        total = np.full(len(at), -1, np.int64)
        going = np.ones(len(at), bool)
        for i in range(most):
            digit = self.bytes[at + i].astype(np.int64) - 48
            going &= (digit >= 0) & (digit <= 9)
            total = np.where(going, np.maximum(total, 0) * 10 + digit, total)
        return total

    def lines(self) -> pa.StringArray:
        """Return the lines as text."""
        return self.text(self.starts, self.ends)

    def text(self, starts: Ints, ends: Ints) -> pa.StringArray:
        """Return the spans as text; a span that is empty, reversed or beyond the block is null."""
        return text_of(self.data, starts, ends)

    def line(self, row: int) -> str:
        """Return one line as text, cut to 200 characters."""
        return self.data[self.starts[row] : min(self.ends[row], self.starts[row] + 200)].decode("utf-8", "replace")


def text_of(data: Any, starts: Ints, ends: Ints, kind: pa.DataType = TEXT) -> Any:
    """Return spans of a padded buffer as text (or `pa.binary()`) without a loop: views are laid out by numpy, then
    cast; empty, reversed and outlying spans are null."""
    lengths = ends - starts
    valid = (lengths > 0) & (starts >= 0) & (ends <= len(data) - PAD)
    bitmap = None
    if not valid.all():
        starts, lengths = np.where(valid, starts, 0), np.where(valid, lengths, 0)
        bitmap = pa.py_buffer(np.packbits(valid, bitorder="little"))
    words = np.ndarray((len(data) - 7,), "<u8", data, strides=(1,))
    inline = np.minimum(lengths, 12)
    views = np.empty((len(starts), 2), np.uint64)
    views[:, 0] = lengths.astype(np.uint64) | (words[starts] & _HEAD[inline]) << 32
    views[:, 1] = np.where(lengths <= 12, words[starts + 4] & _TAIL[inline], starts.astype(np.uint64) << 32)
    laid = pa.string_view() if kind == TEXT else pa.binary_view()
    return pa.Array.from_buffers(laid, len(starts), [bitmap, pa.py_buffer(views), pa.py_buffer(data)]).cast(kind)


_HEAD = np.array([(1 << 8 * min(n, 4)) - 1 for n in range(13)], np.uint64)
_TAIL = np.array([(1 << 8 * max(n - 4, 0)) - 1 for n in range(13)], np.uint64)
"""The octets of a short text that stand in the two words of its view."""


def extract(lines: pa.StringArray, pattern: str) -> tuple[Ints, pa.StructArray]:
    """Match lines against an RE2 pattern with named groups; return (mask of the matching ones, their groups)."""
    found = pc.extract_regex(lines, pattern=pattern)
    mask = found.is_valid().to_numpy(zero_copy_only=False)
    return mask, found.drop_null() if not mask.all() else found


def empty_to_null(values: pa.Array) -> pa.Array:
    """Return text with empty strings and single dashes as null."""
    return pc.if_else(pc.is_in(values, _NOTHING), pa.scalar(None, pa.string()), values)


_NOTHING = pa.array(["", "-"])
