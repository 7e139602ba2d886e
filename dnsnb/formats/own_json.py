"""dnsnb's own rows as JSON lines: the file log, an export, or events of the stream.

Times are µs since the epoch or ISO 8601.
"""

from __future__ import annotations

import re
from typing import Any

import pyarrow as pa

from dnsnb import schema
from dnsnb.formats import columns, jsonrows, times
from dnsnb.formats.feeding import Context
from dnsnb.formats.lines import Block
from dnsnb.formats.sniff import Head

_NUMBERS = {
    "float32": pa.float64(),
    "int16": pa.int64(),
    "int32": pa.int64(),
    "int64": pa.int64(),
    "list": pa.list_(pa.string()),
}


_TEXT_TIME = re.compile(rb'"time": ?"')


def score(head: Head) -> int:
    """The frame's own keys."""
    return head.keyed("time", "client", "qname", "status") and 98


class Reader:
    """Parses blocks of one log."""

    def __init__(self, context: Context) -> None:
        self.context = context

    def parse(self, block: Block) -> pa.Table | None:
        """Return the rows of a block."""
        stamp = pa.string() if _TEXT_TIME.search(block.data, 0, block.size) else pa.int64()
        fields = [("time", stamp)] + [
            (c.name, _NUMBERS.get(c.kind, pa.string())) for c in schema.COLUMNS if c.name != "time"
        ]
        fields += [
            (n, pa.int64() if pa.types.is_integer(k) else pa.string())
            for n, (k, _) in columns.EXTRAS.items()
            if n not in ("event", "lossy", "last")
        ]
        table, numbers = jsonrows.read(block, pa.schema(fields), self.context)
        if not len(table):
            return None
        raw: dict[str, Any] = {
            n: c for n in table.column_names if (c := table.column(n).combine_chunks()).null_count < len(table)
        }
        when = raw.pop("time", None)
        if when is not None:
            raw["time"] = (
                times.iso(when, self.context.clock, assume_utc=True)
                if stamp == pa.string()
                else when.fill_null(times.MISSING).to_numpy()
            )
        raw.setdefault("id", pa.array(numbers))
        return columns.build(raw, len(table))
