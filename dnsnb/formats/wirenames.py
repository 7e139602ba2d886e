"""Many names of DNS messages at once, as canonical text: labels walked by numpy for all of them, pointers followed.

Pure; knows numpy, pyarrow and dns/wire, which spells the few names with octets that must be escaped.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dnsnb.dns import wire
from dnsnb.formats.lines import PAD, TEXT, text_of

Ints = np.ndarray[Any, np.dtype[Any]]
MOST_LABELS = 128

_PLAIN = b"abcdefghijklmnopqrstuvwxyz0123456789-_*."
_LOWER = bytes(low if (low := octet | 32 * (65 <= octet <= 90)) in _PLAIN else 0 for octet in range(256))
"""What a name is written in, in lower case; 0 for all that must be escaped."""


def names(data: bytes, octets: Ints, at: Ints, starts: Ints, ends: Ints) -> tuple[pa.Array, Ints, Ints]:
    """Return the names at positions as canonical text, the positions behind them, and which could be read.

    Compression pointers must point backwards within the message (from `starts`), as RFC 9267 wants.
    """
    count = len(at)
    behind = np.full(count, -1, np.int64)
    labels = np.zeros(count, np.int64)
    bad = at >= ends
    rows = np.flatnonzero(~bad)
    where = at[rows].astype(np.int64)
    begin, size, number = where.copy(), np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int64)
    dots: list[Ints] = []
    runs: list[tuple[Ints, Ints, Ints]] = []
    steps = 0
    while len(rows) and steps < MOST_LABELS * 2:
        steps += 1
        label = octets[where].astype(np.int64)
        pointer = label >= 0xC0
        done = label == 0
        ends_here = (pointer | done) & (where > begin)
        if ends_here.any():
            runs.append((rows[ends_here], begin[ends_here], where[ends_here]))
        stop = ends[rows]
        wrong = where >= stop
        if pointer.any():
            target = starts[rows] + ((label & 0x3F) << 8 | octets[np.minimum(where + 1, len(octets) - 1)])
            first = pointer & (behind[rows] < 0)
            behind[rows[first]] = where[first] + 2
            wrong |= pointer & ((target >= begin) | (target < starts[rows] + 12) | (where + 1 >= stop))
            where, begin = np.where(pointer, target, where), np.where(pointer, target, begin)
        wrong &= ~done
        plain = ~(pointer | done)
        wrong |= plain & ((label > 63) | (where + 1 + label > stop))
        plain &= ~wrong
        dots.append(where[plain])
        number += plain
        width = np.where(plain, label + 1, 0)
        size, where = size + width, where + width
        wrong |= size > 254
        bad[rows[wrong]] = True
        going = ~(done | wrong)
        if done.any():
            ready = rows[done]
            labels[ready] = number[done]
            behind[ready] = np.where(behind[ready] < 0, where[done] + 1, behind[ready])
        rows, where, begin, size, number = rows[going], where[going], begin[going], size[going], number[going]
    bad[rows] = True
    good = ~bad
    return _texts(data, octets, (at, starts), dots, runs, labels, good), np.where(good, behind, 0), good


def _texts(
    data: bytes,
    octets: Ints,
    spans: tuple[Ints, Ints],
    dots: list[Ints],
    runs: list[tuple[Ints, Ints, Ints]],
    labels: Ints,
    good: Ints,
) -> pa.Array:
    """Return names as text: what lies in one piece as it lies there, dots over the labels' lengths; what a pointer
    puts together is copied behind all that, piece by piece."""
    count = len(good)
    rows, first, last = (np.concatenate(x) for x in zip(*runs, strict=True)) if runs else (np.zeros(0, np.int64),) * 3
    several = (np.bincount(rows, minlength=count) > 1)[rows]
    order = np.flatnonzero(several)
    order = order[np.argsort(rows[order], kind="stable")]
    begins, widths = first[order], (last - first)[order]
    edges = np.concatenate([[0], np.cumsum(widths)])
    room = int(edges[-1])
    text = np.zeros(len(octets) + room + 1 + PAD, np.uint8)
    text[: len(octets)] = octets
    if dots:
        text[np.concatenate(dots)] = 46
    text[len(octets) : len(octets) + room] = text[np.repeat(begins - edges[:-1], widths) + np.arange(room)]
    text[len(octets) + room] = 46  # the root
    start, stop = np.zeros(count, np.int64), np.zeros(count, np.int64)
    alone = ~several
    start[rows[alone]], stop[rows[alone]] = first[alone] + 1, last[alone]
    if room:
        whose = rows[order]
        new = np.append(True, whose[1:] != whose[:-1])
        start[whose[new]] = len(octets) + edges[:-1][new] + 1
        stop[whose[np.append(new[1:], True)]] = len(octets) + edges[1:][np.append(new[1:], True)]
    root = good & (labels == 0)
    start, stop = np.where(root, len(octets) + room, start), np.where(root, len(octets) + room + 1, stop)
    stop = np.where(good, stop, start)
    raw = text_of(text, start, stop, pa.binary())
    valid, offsets, buffer = raw.buffers()
    lower = bytes(buffer).translate(_LOWER) if buffer is not None else b""
    texts = pa.Array.from_buffers(pa.string(), count, [valid, offsets, pa.py_buffer(lower)])
    wanted = np.where(root, 1, np.maximum(labels - 1, 0)) * good
    strange = b"\0" in lower
    if not strange and lower.count(b".") == wanted.sum():
        return texts
    bounds = np.frombuffer(offsets, np.int32)[: count + 1]
    signs = np.frombuffer(lower, np.uint8)
    here = [np.searchsorted(bounds, np.flatnonzero(signs == sign), side="right") - 1 for sign in (0, 46)]
    escapes, dotted = (np.bincount(rows, minlength=count) for rows in here)
    odd = (escapes > 0) | (dotted != wanted)
    spelled = [_spelled(data, a, s) for a, s in zip(*(one[odd].tolist() for one in spans), strict=True)]
    return pc.replace_with_mask(texts, pa.array(odd), pa.array(spelled, TEXT))


def _spelled(data: bytes, at: int, start: int) -> str:
    """Return a name that was found to be readable, label by label."""
    labels = []
    while length := data[at]:
        if length >= 0xC0:
            at = start + ((length & 0x3F) << 8 | data[at + 1])
        else:
            labels.append(data[at : at + 1 + length])
            at += 1 + length
    return wire.name_to_text(b"".join(labels) + b"\0")
