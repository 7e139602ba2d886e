r"""Zeek dns.log as tab-separated text: columns by its own ``#fields``, escapes ``\xHH``, vectors as lists.

What the JSON reader shares is here too: `rows_of` turns Zeek's columns into the frame's.
"""

from __future__ import annotations

import re
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv

from dnsnb.formats import columns, times
from dnsnb.formats.feeding import Context
from dnsnb.formats.lines import Block
from dnsnb.formats.sniff import Head

_FIELDS = [
    "ts",
    "uid",
    "id.orig_h",
    "id.orig_p",
    "id.resp_h",
    "id.resp_p",
    "proto",
    "trans_id",
    "rtt",
    "query",
    "qclass",
    "qclass_name",
    "qtype",
    "qtype_name",
    "rcode",
    "rcode_name",
    "AA",
    "TC",
    "RD",
    "RA",
    "Z",
    "answers",
    "TTLs",
    "rejected",
]
_KINDS = {
    "ts": pa.float64(), "rtt": pa.float64(), "id.orig_p": pa.int32(), "trans_id": pa.int32(), "qclass": pa.int32(),
    "qtype": pa.int32(), "rcode": pa.int32(), "Z": pa.int32(), "AA": pa.bool_(), "TC": pa.bool_(), "RD": pa.bool_(),
    "RA": pa.bool_(),
}  # fmt: skip
_WANTED = (
    *_KINDS,
    "uid",
    "id.orig_h",
    "id.resp_h",
    "proto",
    "query",
    "original_query",
    "qtype_name",
    "qclass_name",
    "answers",
    "TTLs",
)


def score(head: Head) -> int:
    """Zeek's header names its path and fields; a headless file has an address in its third column."""
    top = head.lines[:20]
    if any(line.startswith(("#separator", "#fields")) for line in top):
        fields = next((line for line in top if line.startswith("#fields")), "")
        return 98 if any(line == "#path\tdns" for line in top) or "\ttrans_id\t" in fields else 0
    body = [line.split("\t") for line in top if not line.startswith("#")]
    good = [
        p
        for p in body
        if len(p) in (23, 24) and re.fullmatch(r"\d+\.\d{6}", p[0]) and p[3].isdigit() and p[5].isdigit()
    ]
    return 80 if body and len(good) * 2 > len(body) else 0


class Reader:
    """Parses blocks of one log; a new header in the middle (files put together) is followed."""

    header_word = "#"

    def __init__(self, context: Context) -> None:
        self.context = context
        self.fields = list(_FIELDS)
        self.told = False
        self.separator, self.set_separator, self.empty, self.unset = "\t", ",", "(empty)", "-"

    def prepare(self, block: Block) -> Any:
        """Follow the headers of a block, in order; return the job that gives its rows."""
        header = block.has(b"#", block.starts)
        if not header.any():
            return partial(self._rows, block, self._layout(block))
        parts: list[Any] = []
        self.context.report.aside("header and comment lines", int(header.sum()))
        places = np.flatnonzero(header)
        start = 0
        for place in [*places.tolist(), len(block)]:
            if place > start:
                mask = np.zeros(len(block), bool)
                mask[start:place] = True
                part = block.keep(mask)
                parts.append(partial(self._rows, part, self._layout(part)))
            if place < len(block):
                self._header(block.line(place) if block.ends[place] - block.starts[place] < 200 else
                             block.data[block.starts[place] : block.ends[place]].decode())  # fmt: skip
            start = place + 1

        def rows() -> pa.Table | None:
            found = [p for part in parts if (p := part()) is not None]
            return pa.concat_tables(found, promote_options="permissive") if found else None

        return rows

    def _header(self, line: str) -> None:
        word, _, rest = line.partition(self.separator if not line.startswith("#separator") else " ")
        if word == "#separator":
            told = re.sub(r"\\x([0-9a-fA-F]{2})", lambda m: chr(int(m[1], 16)), rest)
            self.separator = told if len(told) == 1 and told.isascii() and told not in "\r\n" else "\t"
        elif word == "#set_separator":
            self.set_separator = rest or ","
        elif word == "#empty_field":
            self.empty = rest
        elif word == "#unset_field":
            self.unset = rest
        elif word == "#fields":
            self.fields = rest.split(self.separator)
            self.told = True

    def _layout(self, block: Block) -> _Layout:
        fields = self.fields
        if not self.told:
            tabs = _count(block, self.separator)
            if len(tabs) and tabs[0] == len(_FIELDS) - 2:
                fields = [f for f in _FIELDS if f != "rtt"]
        return _Layout(fields, self.separator, self.set_separator, self.empty, self.unset)

    def _rows(self, block: Block, layout: _Layout) -> pa.Table | None:
        bad: list[str] = []

        def ragged(row: Any) -> str:
            bad.append(row.text)
            return "skip"

        data = memoryview(block.data)[int(block.starts[0]) : int(block.ends[-1]) + 1]
        whole = int((block.ends - block.starts).sum()) + 2 * len(block) >= len(data)
        if not whole:
            data = memoryview(
                b"".join(
                    block.data[s:e] + b"\n" for s, e in zip(block.starts.tolist(), block.ends.tolist(), strict=True)
                )
            )
        table = _csv(data, layout, ragged)
        numbers = block.numbers
        if bad or len(table) != len(block):
            good = _count(block, layout.separator) == len(layout.fields) - 1
            self.context.skip(f"not {len(layout.fields)} columns", block, ~good)
            numbers = numbers[good]
            if len(numbers) != len(table):
                return None
        return rows_of(_typed(table, layout), numbers, escapes=b"\\" in block.data) if len(table) else None


class _Layout(NamedTuple):
    """How the lines of a stretch of the log are laid out."""

    fields: list[str]
    separator: str
    set_separator: str
    empty: str
    unset: str


def _count(block: Block, separator: str) -> Any:
    places = block.places(ord(separator))
    return np.searchsorted(places, block.ends) - np.searchsorted(places, block.starts)


def _csv(data: Any, layout: _Layout, ragged: Any) -> pa.Table:
    names = [f if layout.fields.index(f) == i else f"{f}#{i}" for i, f in enumerate(layout.fields)]
    kinds = {n: _KINDS.get(n, pa.string()) for n in names}
    for types in (kinds, dict.fromkeys(names, pa.string())):
        try:
            return pcsv.read_csv(
                pa.BufferReader(pa.py_buffer(data)),
                read_options=pcsv.ReadOptions(column_names=names, block_size=2 << 20),
                parse_options=pcsv.ParseOptions(
                    delimiter=layout.separator, quote_char=False, invalid_row_handler=ragged
                ),
                convert_options=pcsv.ConvertOptions(
                    column_types=types,
                    null_values=[layout.unset],
                    strings_can_be_null=True,
                    true_values=["T"],
                    false_values=["F"],
                    include_columns=[n for n in names if n in _WANTED],
                ),
            ).combine_chunks()
        except pa.ArrowInvalid:
            continue
    return pa.table({})


def _typed(table: pa.Table, layout: _Layout) -> dict[str, pa.Array]:
    out = {}
    for name in table.column_names:
        column = _one(table.column(name))
        kind = _KINDS.get(name)
        if kind is not None and pa.types.is_string(column.type):
            if kind == pa.bool_():
                column = pc.if_else(pc.is_in(column, pa.array(["T", "F"])), pc.equal(column, "T"), None)
            else:
                column = columns.numbers(column, kind)
        elif name in ("answers", "TTLs"):
            column = _vector(column, layout)
        elif name in ("query", "original_query") and layout.empty:
            column = pc.if_else(pc.equal(column, layout.empty), ".", column)
        out[name] = column
    return out


def _vector(column: pa.Array, layout: _Layout) -> pa.Array:
    empty = pc.equal(column, layout.empty)
    lists = pc.split_pattern(column, layout.set_separator)
    if pc.any(empty).as_py():
        lists = pc.if_else(empty, pa.scalar([], lists.type), lists)
    return lists


def rows_of(zeek: dict[str, Any], numbers: Any, doubled: bool = True, escapes: bool = True) -> pa.Table:
    r"""Return Zeek's columns (typed, vectors as lists) as the frame's.

    `doubled`: a backslash is written as two, as in tabs (JSON has it as it is); one alone is older than that.
    `escapes`: there are backslashes.
    """
    count = len(numbers)
    ts, rtt = zeek.get("ts"), zeek.get("rtt")
    raw: dict[str, Any] = {
        "time": _time(ts, count),
        "client": zeek.get("id.orig_h"),
        "client_port": zeek.get("id.orig_p"),
        "server": zeek.get("id.resp_h"),
        "transport": zeek.get("proto"),
        "dns_id": zeek.get("trans_id"),
        "uid": zeek.get("uid"),
        "qname": _name(zeek.get("query"), doubled) if escapes or not doubled else zeek.get("query"),
        "id": pa.array(numbers),
        "event": "query",
    }
    if rtt is not None:
        micros = np.rint(rtt.cast(pa.float64()).fill_null(np.nan).to_numpy(zero_copy_only=False) * 1e6)
        raw["latency_ms"] = pa.array((micros / 1e3).astype(np.float32), mask=np.isnan(micros))
    for name, spell in (("qtype", columns.qtype), ("qclass", columns.qclass), ("rcode", columns.rcode)):
        if name in zeek and pa.types.is_integer(zeek[name].type):
            raw[name] = by_number(zeek[name], spell)
        elif name in zeek or f"{name}_name" in zeek:
            raw[name] = zeek[name if name in zeek else f"{name}_name"].cast(pa.string())
    netbios = pc.is_in(zeek["qtype"], NETBIOS) if "qtype" in zeek and "qtype_name" in zeek else None
    if netbios is not None and pc.any(netbios).as_py():  # its types have numbers of their own: Zeek knows by the port
        named = pc.and_(netbios, pc.is_in(zeek["qtype_name"], pa.array(["NB", "NBSTAT"])))
        raw["qtype"] = columns.mapped(pc.if_else(named, zeek["qtype_name"], raw["qtype"].cast(pa.string())), str)
    if "rcode" in raw:
        answered = raw["rcode"].is_valid().to_numpy(zero_copy_only=False)
        raw["flags"] = _flags(zeek, answered)
        raw["status"] = columns.mapped(raw["rcode"], lambda r: columns.outcome(r) or "unknown")
    if "answers" in zeek:
        raw["answers"] = _unescaped(zeek["answers"], doubled) if escapes else _one(zeek["answers"])
    if "TTLs" in zeek:
        raw["ttl"] = smallest(zeek["TTLs"])
    return columns.build({k: v for k, v in raw.items() if v is not None}, count)


NETBIOS = pa.array([32, 33], pa.int32())


def _name(query: Any, doubled: bool) -> Any:
    if query is not None and not doubled:  # JSON has "" for the root: this is a name that was asked
        query = pc.if_else(pc.equal(query, "(empty)"), "\\x28empty)", query)
    if query is None or not pc.any(pc.match_substring(query, "\\"), min_count=0).as_py():
        return query
    return columns.plain(query, (lambda t: _LONE.sub(r"\1\\\\", t)) if doubled else columns.unescaped)


_LONE = re.compile(r"(?<!\\)((?:\\\\)*)\\(?![\\]|x[0-9a-fA-F]{2})")


def _time(ts: Any, count: int) -> Any:
    if ts is None:
        return np.full(count, times.MISSING)
    if pa.types.is_timestamp(ts.type):
        return ts.cast(pa.timestamp("us", tz="UTC"), safe=False)
    if pa.types.is_string(ts.type):
        written = times.iso(ts, times.Clock(_Silent, "UTC", None, 0.0), assume_utc=True)
        lost = written == times.MISSING
        return np.where(lost, times.epoch(ts), written) if lost.any() else written
    return times.epoch(ts)


_Silent: Any = {}


def by_number(values: pa.Array, spell: Any) -> pa.DictionaryArray:
    """Return small numbers as a category; `spell` is asked once for each distinct number, given as text."""
    coded = values.dictionary_encode()
    texts = coded.dictionary.cast(pa.string())
    return columns.mapped(pa.DictionaryArray.from_arrays(coded.indices, texts), spell)


_WORDS = ("aa", "tc", "rd", "ra", "ad", "cd")


def _flags(zeek: dict[str, Any], answered: Any) -> pa.DictionaryArray:
    code = np.zeros(len(answered), np.int32)
    for i, name in enumerate(("AA", "TC", "RD", "RA")):
        if name in zeek:
            code |= zeek[name].fill_null(False).to_numpy(zero_copy_only=False).astype(np.int32) << i
    if "Z" in zeek:
        z = zeek["Z"].fill_null(0).to_numpy(zero_copy_only=False)
        code |= ((z & 2) << 3 | (z & 1) << 5).astype(np.int32)
    texts = [" ".join(["qr", *(w for i, w in enumerate(_WORDS) if c >> i & 1)]) for c in range(64)]
    return pa.DictionaryArray.from_arrays(pa.array(code, mask=~answered), pa.array(texts)).cast(columns.CATEGORY)


def smallest(lists: Any) -> pa.Array:
    """Return the smallest number of each list (of numbers, or decimal text) as int32; empty and null lists are null."""
    lists = _one(lists)
    flat = lists.flatten()
    if pa.types.is_string(flat.type):
        try:
            flat = flat.cast(pa.float64())
        except pa.ArrowInvalid:
            flat = columns.numbers(flat, pa.float64())
    values = flat.cast(pa.float64()).fill_null(np.inf).to_numpy(zero_copy_only=False)
    lengths = pc.list_value_length(lists).fill_null(0).to_numpy(zero_copy_only=False)
    out = np.full(len(lists), np.inf)
    some = lengths > 0
    if some.any():
        out[some] = np.minimum.reduceat(values, np.concatenate([[0], np.cumsum(lengths[some])[:-1]]))
    good = (out >= 0) & (out < 2**31)
    return pa.array(np.where(good, out, 0).astype(np.int32), mask=~good)


def unescape(text: str, doubled: bool = True) -> str:
    r"""Return Zeek's ``\xHH`` as text: UTF-8 where all of it is, else, and where not printable, as ``\DDD``."""
    raw = (_DOUBLED if doubled else _ESCAPE).sub(lambda m: bytes([int(m[1], 16)]) if m[1] else b"\\", text.encode())
    try:
        characters = [c.encode() for c in raw.decode()]
    except UnicodeDecodeError:
        characters = [bytes([c]) for c in raw]
    return "".join(
        c.decode() if c == b"\t" or ((len(c) > 1 or c.isascii()) and c.decode().isprintable()) else _decimal(c)
        for c in characters
    )


def _decimal(octets: bytes) -> str:
    return "".join(f"\\{c:03d}" for c in octets)


_ESCAPE = re.compile(rb"\\x([0-9a-fA-F]{2})")
_DOUBLED = re.compile(rb"\\(?:x([0-9a-fA-F]{2})|\\)")


def _unescaped(lists: Any, doubled: bool) -> pa.Array:
    lists = _one(lists)
    flat = lists.flatten()
    if not pc.any(pc.match_substring(flat, "\\"), min_count=0).as_py():
        return lists
    flat = columns.plain(flat, partial(unescape, doubled=doubled))
    lengths = pc.list_value_length(lists)
    offsets = np.concatenate([[0], np.cumsum(lengths.fill_null(0).to_numpy(zero_copy_only=False))]).astype(np.int32)
    mask = lengths.is_null()
    return pa.ListArray.from_arrays(pa.array(offsets), flat, mask=mask if mask.true_count else None)


def _one(column: Any) -> pa.Array:
    if isinstance(column, pa.ChunkedArray):
        return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    return column
