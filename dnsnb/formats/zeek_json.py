"""Zeek dns.log as JSON lines: epoch (s, ms) or ISO times, with or without json-streaming's ``_path``.

Knows zeek's columns; equal traffic gives the same frame as the tab-separated log.
"""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dnsnb.formats import jsonrows, zeek
from dnsnb.formats.feeding import Context
from dnsnb.formats.lines import Block
from dnsnb.formats.sniff import Head

_BOOL, _INT, _TEXT = pa.bool_(), pa.int32(), pa.string()
_SCHEMA = [
    ("_path", _TEXT),
    ("uid", _TEXT),
    ("id.orig_h", _TEXT),
    ("id.orig_p", _INT),
    ("id.resp_h", _TEXT),
    ("proto", _TEXT),
    ("trans_id", _INT),
    ("rtt", pa.float64()),
    ("query", _TEXT),
    ("qclass", _INT),
    ("qtype", _INT),
    ("rcode", _INT),
    ("AA", _BOOL),
    ("TC", _BOOL),
    ("RD", _BOOL),
    ("RA", _BOOL),
    ("Z", _INT),
    ("answers", pa.list_(_TEXT)),
    ("TTLs", pa.list_(pa.float64())),
]


def score(head: Head) -> int:
    """Zeek's connection key, and a transaction id or a query; a stream of all logs has lines whose path is dns."""
    among = 80 if any(i.get("_path") == "dns" and "id.orig_h" in i for i in head.items) else 0
    return max(head.keyed("ts", "id.orig_h", "trans_id"), head.keyed("ts", "id.orig_h", "query"), among)


class Reader:
    """Parses blocks of one log."""

    def __init__(self, context: Context) -> None:
        self.context = context

    def prepare(self, block: Block) -> Any:
        """Return the job that gives a block's rows: each block stands for itself."""
        return partial(self.parse, block)

    def parse(self, block: Block) -> pa.Table | None:
        """Return the rows of a block. Where its first and last line tell times as numbers, all are taken to."""
        if not len(block):
            return None
        outer = [_NUMBER.search(block.data, block.starts[row], block.ends[row]) for row in (0, -1)]
        stamp = pa.float64() if all(outer) else _TEXT
        named = [(f"{key}_name", _TEXT) for key in ("qtype", "qclass", "rcode") if _needs_name(block.data, key)]
        table, numbers = jsonrows.read(block, pa.schema([("ts", stamp), *_SCHEMA, *named]), self.context)
        if not len(table):
            return None
        other = pc.not_equal(table.column("_path").fill_null("dns"), "dns")
        if pc.any(other).as_py():
            mask = other.to_numpy()
            self.context.skip("a line of another log of Zeek's", block, np.isin(block.numbers, numbers[mask]))
            table, numbers = table.filter(pc.invert(other)), numbers[~mask]
            if not len(table):
                return None
        columns = {name: zeek._one(table.column(name)) for name in table.column_names}
        for name, _ in named:
            if columns[name.removesuffix("_name")].null_count == len(table):
                del columns[name.removesuffix("_name")]
        if "qtype_name" not in columns:
            columns |= _netbios(block, columns["qtype"], numbers)
        empty = columns["query"].is_null()
        if empty.true_count == len(table) and columns["uid"].null_count == len(table):
            self.context.skip("no key of Zeek's dns.log", block, [True] * len(block))
            return None
        return zeek.rows_of(columns, numbers, doubled=False, escapes=b"\\" in block.data)


def _needs_name(data: bytes, key: str) -> bool:
    """Whether a code's name is to be read too: its number was left out."""
    return f'"{key}_name"'.encode() in data and f'"{key}"'.encode() not in data


_NUMBER = re.compile(rb'"ts"\s*:\s*\d')
_QTYPE_NAME = re.compile(rb'"qtype_name"\s*:\s*"([A-Z0-9-]+)"')


def _netbios(block: Block, qtype: Any, numbers: Any) -> dict[str, Any]:
    """Return the names of the types that NetBIOS has other numbers for, out of those lines alone: few have any."""
    odd = np.flatnonzero(pc.is_in(qtype, zeek.NETBIOS).to_numpy(zero_copy_only=False))
    if not len(odd):
        return {}
    names: list[str | None] = [None] * len(qtype)
    for row, place in zip(odd.tolist(), np.searchsorted(block.numbers, numbers[odd]).tolist(), strict=True):
        found = _QTYPE_NAME.search(block.data, block.starts[place], block.ends[place])
        names[row] = found[1].decode() if found else None
    return {"qtype_name": pa.array(names, pa.string())}
