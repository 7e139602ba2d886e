"""dnsnb's own query log in SQLite: the frame's columns, `time` in µs, `answers` as a JSON array.

Read by another process while the server writes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from dnsnb import schema
from dnsnb.formats import columns, sqlitefile
from dnsnb.formats.feeding import Context
from dnsnb.formats.opening import Input
from dnsnb.formats.sniff import Head


def score(head: Head) -> int:
    """An SQLite file with the frame's columns in a table of queries."""
    return 98 if sqlitefile.holds(head, b"queries", b"qname", b"latency_ms", b"qclass") else 0


def read(one: Input, context: Context) -> Iterator[pa.Table]:
    """Yield the log, oldest first."""
    for rows in sqlitefile.rows(one, context, "queries", schema.NAMES, 50_000):
        values = list(zip(*rows, strict=True))[1:]
        found: dict[str, Any] = {n: list(v) for n, v in zip(schema.NAMES, values, strict=True)}
        found["answers"] = [_list(v) for v in found["answers"]]
        table = schema.to_arrow(found)
        if all(v is None for v in found["source"]):
            table = table.set_column(
                table.column_names.index("source"),
                "source",
                columns.constant(context.source, len(table), columns.CATEGORY),
            )
        yield table


def _list(text: Any) -> list[str] | None:
    try:
        value = json.loads(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return [str(v) for v in value] if isinstance(value, list) else None
