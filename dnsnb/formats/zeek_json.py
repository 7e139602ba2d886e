"""Zeek dns.log as JSON lines: epoch (s, ms) or ISO times, with or without json-streaming's ``_path``.

Knows zeek's columns; equal traffic gives the same frame as the tab-separated log.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import pyarrow as pa

from dnsnb.formats import jsonrows, zeek
from dnsnb.formats.feeding import Context
from dnsnb.formats.lines import Block
from dnsnb.formats.sniff import Head

_BOOL, _INT, _TEXT = pa.bool_(), pa.int32(), pa.string()
_SCHEMA = [
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
    """Zeek's connection key, and a transaction id or a query."""
    return max(head.keyed("ts", "id.orig_h", "trans_id"), head.keyed("ts", "id.orig_h", "query"))


class Reader:
    """Parses blocks of one log."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self._stamp = pa.float64()

    def prepare(self, block: Block) -> Any:
        """Return the job that gives a block's rows: each block stands for itself."""
        return partial(self.parse, block)

    def parse(self, block: Block) -> pa.Table | None:
        """Return the rows of a block; the first line says how times are written."""
        first = block.line(0) + (block.data[block.starts[0] + 200 : block.ends[0]].decode() if len(block) else "")
        at = first.find('"ts":')
        self._stamp = pa.string() if at >= 0 and first[at + 5 :].lstrip().startswith('"') else pa.float64()
        table, numbers = jsonrows.read(block, pa.schema([("ts", self._stamp), *_SCHEMA]), self.context)
        if not len(table):
            return None
        columns = {name: zeek._one(table.column(name)) for name in table.column_names}
        empty = columns["query"].is_null()
        if empty.true_count == len(table) and columns["uid"].null_count == len(table):
            self.context.skip("no key of Zeek's dns.log", block, [True] * len(block))
            return None
        return zeek.rows_of(columns, numbers)
