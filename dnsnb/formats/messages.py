"""Many DNS messages at once: header, question, answers, OPT, as columns; one numpy step for all of them, not one
loop each.

Never raises on what is in a message: what can't be read is null and counted. Names: wirenames; rare types: dns/records.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from dnsnb.dns import records as dns_records
from dnsnb.errors import WireError
from dnsnb.formats import columns
from dnsnb.formats.lines import TEXT
from dnsnb.formats.wirenames import MOST_LABELS, names

Ints = np.ndarray[Any, np.dtype[Any]]
MOST_RECORDS = (65_535 - 12) // 11
"""As many as there can be in a message."""
_NAME_TYPES = (2, 5, 12, 39)


class Messages:
    """The columns of a batch of messages, each as long as the batch.

    `good`: a header and a question could be read; `id`, `flags`, `rcode` (with OPT's upper bits), `qtype`, `qclass`,
    `counts` (n x 4) are integers; `qname` text, with `qtype` and `qclass` the first record's where there is no
    question; `answers` a list of text; `ttl` the smallest of the answer section (-1: none); `ede` -1 or a code;
    `dnssec_ok`; `ecs` text or null; `whole`: every record of the answer section could be read.
    """

    id: Ints
    flags: Ints
    rcode: Ints
    counts: Ints
    good: Ints
    whole: Ints
    qtype: Ints
    qclass: Ints
    ttl: Ints
    ede: Ints
    dnssec_ok: Ints
    qname: pa.Array
    answers: pa.Array
    ecs: pa.Array | None
    size: Ints


def decode(data: bytes, starts: Ints, ends: Ints, *, records: bool = True) -> Messages:
    """Return the messages that lie at `starts` to `ends` of `data` (which must end in `lines.PAD` octets more)."""
    octets = np.frombuffer(data, np.uint8)
    out = Messages()
    count = len(starts)
    size = ends - starts
    out.good = size >= 12
    at = np.where(out.good, starts, 0)
    words = np.ndarray((len(data) - 7,), ">i8", data, strides=(1,))
    head, tail = (np.where(out.good, words[at + ahead], 0) for ahead in (0, 4))
    out.id, out.flags = head >> 48 & 0xFFFF, head >> 32 & 0xFFFF
    out.rcode = out.flags & 15
    out.counts = np.stack([head >> 16 & 0xFFFF, head & 0xFFFF, tail >> 16 & 0xFFFF, tail & 0xFFFF], axis=1)
    asked = out.counts[:, 0] > 0
    # where there is no question (mDNS, the later messages of a transfer) the first record tells: it begins like one
    told = out.good & (asked | (out.counts[:, 1] > 0))
    out.qname, behind, readable = names(data, octets, at + 12, starts, np.where(told, ends, 0))
    readable &= behind + 4 <= ends
    question = words[np.where(readable, behind, 0)].astype(np.int64)
    out.qtype = np.where(readable, question >> 48 & 0xFFFF, -1)
    out.qclass = np.where(readable, question >> 32 & 0xFFFF, -1)
    out.good &= readable | ~asked
    if not readable.all():
        out.qname = pa.array(np.where(readable, out.qname.to_numpy(zero_copy_only=False), None), pa.string())
    out.ttl = np.full(count, -1, np.int64)
    out.ede = np.full(count, -1, np.int64)
    out.dnssec_ok = np.zeros(count, bool)
    out.whole = np.ones(count, bool)
    out.ecs = None
    if records:
        _records(data, octets, starts, ends, np.where(readable & asked, behind + 4, at + 12), out)
    else:
        out.answers = pa.nulls(count, pa.list_(pa.string()))
    return out


def _skip_names(octets: Ints, at: Ints, ends: Ints) -> tuple[Ints, Ints]:
    where = at.copy()
    good = where < ends
    rows = np.flatnonzero(good)
    steps = 0
    while len(rows) and steps < MOST_LABELS:
        steps += 1
        here = where[rows]
        label = octets[here].astype(np.int64)
        pointer = label >= 0xC0
        done = pointer | (label == 0)
        where[rows] = here + np.where(pointer, 2, 1 + np.where(done, 0, label))
        wrong = ((label > 63) & ~pointer) | (where[rows] > ends[rows])
        good[rows[wrong]] = False
        rows = rows[~(done | wrong)]
    good[rows] = False
    return where, good


def _records(data: bytes, octets: Ints, starts: Ints, ends: Ints, at: Ints, out: Messages) -> None:
    count = len(starts)
    answers = np.minimum(out.counts[:, 1], MOST_RECORDS)
    totals = np.minimum(out.counts[:, 1] + out.counts[:, 2] + out.counts[:, 3], MOST_RECORDS)
    rows = np.flatnonzero(out.good & (totals > 0))
    where = at[rows]
    words = np.ndarray((len(data) - 7,), ">i8", data, strides=(1,))
    found: list[tuple[Ints, ...]] = []
    options: list[tuple[Ints, ...]] = []
    step = 0
    while len(rows):
        where, good = _skip_names(octets, where, ends[rows])
        good &= where + 10 <= ends[rows]
        here = np.where(good, where, 0)
        head, size = words[here].astype(np.int64), words[here + 2].astype(np.int64) & 0xFFFF
        rtype, rclass, ttl = head >> 48 & 0xFFFF, head >> 32 & 0xFFFF, head & 0xFFFFFFFF
        good &= where + 10 + size <= ends[rows]
        cut = rows[~good]
        out.whole[cut[step < answers[cut]]] = False
        first = good & (step < answers[rows])
        if first.any():
            found.append((rows[first], rtype[first], ttl[first], where[first] + 10, size[first]))
        opt = good & ~first & (rtype == 41)
        if opt.any():
            options.append((rows[opt], ttl[opt], where[opt] + 10, size[opt], rclass[opt]))
        where = where + 10 + size
        step += 1
        going = good & (step < totals[rows])
        rows, where = rows[going], where[going]
    _answers(data, octets, starts, ends, found, count, out)
    for part in options:
        _options(data, part, out)


def _answers(
    data: bytes, octets: Ints, starts: Ints, ends: Ints, found: list[tuple[Ints, ...]], count: int, out: Messages
) -> None:
    lengths = np.zeros(count, np.int64)
    if not found:
        out.answers = _lists(pa.array([], pa.string()), lengths, out)
        return
    rows, rtype, ttl, at, size = (np.concatenate(x) for x in zip(*found, strict=True))
    order = np.argsort(rows, kind="stable")
    rows, rtype, ttl, at, size = rows[order], rtype[order], ttl[order], at[order], size[order]
    lengths = np.bincount(rows, minlength=count)
    some = lengths > 0
    smallest = np.minimum.reduceat(ttl, (np.cumsum(lengths) - lengths)[some])
    out.ttl = np.full(count, -1, np.int64)
    out.ttl[some] = np.where(smallest > 0x7FFFFFFF, 0, smallest)
    out.answers = _lists(_rdata(data, octets, starts, ends, rows, rtype, at, size), lengths, out)


def _lists(flat: pa.Array, lengths: Ints, out: Messages) -> pa.Array:
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    none = (((out.flags & 0x8000) == 0) | ~out.whole) & (lengths == 0)  # cut off before its answers, or a query
    return pa.ListArray.from_arrays(pa.array(offsets), flat, mask=pa.array(none) if none.any() else None)


def _rdata(
    data: bytes, octets: Ints, starts: Ints, ends: Ints, rows: Ints, rtype: Ints, at: Ints, size: Ints
) -> pa.Array:
    """Return record data as text, in the order given: each kind at once, then put back in place."""
    parts: list[pa.Array] = []
    places: list[Ints] = []
    left = np.ones(len(rows), bool)
    for number, width in ((1, 4), (28, 16)):
        pick = np.flatnonzero((rtype == number) & (size == width))
        if len(pick):
            left[pick] = False
            raw = np.ascontiguousarray(octets[at[pick][:, None] + np.arange(width)])
            coded = pa.Array.from_buffers(pa.binary(width), len(pick), [None, pa.py_buffer(raw)]).dictionary_encode()
            texts = [dns_records.rdata_text(number, v) for v in coded.dictionary.to_pylist()]
            parts.append(pa.array(texts, TEXT).take(coded.indices))
            places.append(pick)
    pick = np.flatnonzero(np.isin(rtype, _NAME_TYPES))
    if len(pick):
        texts, _, good = names(data, octets, at[pick], starts[rows[pick]], ends[rows[pick]])
        left[pick[good]] = False
        parts.append(texts.filter(pa.array(good)))
        places.append(pick[good])
    pick = np.flatnonzero(left)
    if len(pick):
        parts.append(pa.array(_slow(data, starts, ends, rows, rtype, at, size, pick), pa.string()))
        places.append(pick)
    if len(parts) == 1:
        return parts[0]
    back = np.empty(len(rows), np.int64)
    back[np.concatenate(places)] = np.arange(len(rows))
    return pa.concat_arrays(parts).take(pa.array(back))


_PACKED = {6, 14, 15, 17, 18, 21, 26, 33, 35, 36, 7, 8, 9, 3, 4}


def _slow(
    data: bytes, starts: Ints, ends: Ints, rows: Ints, rtype: Ints, at: Ints, size: Ints, pick: Ints
) -> list[str]:
    seen: dict[tuple[int, bytes], str] = {}
    out = []
    for i in pick.tolist():
        number, first, length, row = int(rtype[i]), int(at[i]), int(size[i]), int(rows[i])
        raw = data[first : first + length]
        if number in _PACKED:
            message = data[int(starts[row]) : int(ends[row])]
            begin = first - int(starts[row])
            record = dns_records.Record(b"\0", number, 1, 0, begin, begin + length)
            try:
                raw = dns_records.plain_rdata(message, record)
            except (WireError, IndexError):
                pass
        text = seen.get((number, raw))
        if text is None:
            text = dns_records.rdata_text(number, raw)
            if len(seen) < 100_000:
                seen[(number, raw)] = text
        out.append(text)
    return out


def _options(data: bytes, found: tuple[Ints, ...], out: Messages) -> None:
    rows, ttl, at, size, _ = found
    out.rcode[rows] |= (ttl >> 24 & 0xFF) << 4
    out.dnssec_ok[rows] = (ttl & 0x8000) != 0
    ecs: dict[int, str | None] = {}
    for i in np.flatnonzero(size >= 4).tolist():
        here, stop, row = int(at[i]), int(at[i] + size[i]), int(rows[i])
        while here + 4 <= stop:
            code, length = int.from_bytes(data[here : here + 2]), int.from_bytes(data[here + 2 : here + 4])
            value = data[here + 4 : min(here + 4 + length, stop)]
            if code == 15 and len(value) >= 2 and out.ede[row] < 0:
                out.ede[row] = min(int.from_bytes(value[:2]), 32767)
            elif code == 8 and len(value) >= 4:
                ecs[row] = subnet(value)
            here += 4 + length
    if ecs:
        values: list[str | None] = [None] * len(out.id) if out.ecs is None else out.ecs.to_pylist()
        for row, text in ecs.items():
            values[row] = text
        out.ecs = pa.array(values, pa.string())


def subnet(option: bytes) -> str | None:
    """Return a client subnet option (RFC 7871) as ``address/source/scope``."""
    import ipaddress

    family, source, scope = int.from_bytes(option[:2]), option[2], option[3]
    width = {1: 4, 2: 16}.get(family)
    if width is None or len(option) - 4 > width:
        return None
    return f"{ipaddress.ip_address(option[4:].ljust(width, bytes(1)))}/{source}/{scope}"


_FLAGS = (
    (0x8000, "qr"),
    (0x0400, "aa"),
    (0x0200, "tc"),
    (0x0100, "rd"),
    (0x0080, "ra"),
    (0x0020, "ad"),
    (0x0010, "cd"),
)


def flags_text(flags: Ints, do: Ints | None = None) -> pa.DictionaryArray:
    """Return header flags as dig prints them; with `do`, the DO bit after them."""
    word = (flags & 0x87B0) | (0 if do is None else do.astype(np.int64))
    distinct, codes = _distinct(word)
    texts = [" ".join([t for bit, t in _FLAGS if w & bit] + (["do"] if w & 1 else [])) for w in distinct.tolist()]
    return pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), pa.array(texts, pa.string()))


def coded(numbers: Ints, spell: Any) -> pa.DictionaryArray:
    """Return numbers as a category; below 0 is null."""
    distinct, codes = _distinct(numbers)
    texts = [spell(int(n)) if n >= 0 else None for n in distinct.tolist()]
    return columns.mapped(
        pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), pa.array(texts, pa.string())), str
    )


def _distinct(numbers: Ints) -> tuple[Ints, Ints]:
    """Return the distinct ones of numbers from -1 to 65535, ascending, and which of them each is: without a sort."""
    seen = np.zeros(65537, bool)
    seen[numbers + 1] = True
    places = np.flatnonzero(seen)
    codes = np.zeros(65537, np.int32)
    codes[places] = np.arange(len(places))
    return places - 1, codes[numbers + 1]
