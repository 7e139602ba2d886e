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
    have = {row[1] for part in sqlitefile.rows(one, context, "PRAGMA table_info(queries)", 100) for row in part}
    names = [n for n in schema.NAMES if n in have]
    if not names:
        return
    sql = f"SELECT {', '.join(chr(34) + n + chr(34) for n in names)} FROM queries ORDER BY id"  # noqa: S608 - the schema's names
    for rows in sqlitefile.rows(one, context, sql, 50_000):
        found: dict[str, Any] = {n: list(v) for n, v in zip(names, zip(*rows, strict=True), strict=True)}
        if "answers" in found:
            found["answers"] = [_list(v) for v in found["answers"]]
        table = schema.to_arrow(found)
        if "source" not in found or all(v is None for v in found["source"]):
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
