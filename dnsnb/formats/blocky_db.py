"""blocky's query log in SQLite: table log_entries.

Times are the server's, with or without a zone.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from dnsnb.formats import blocky, rowtables, sqlitefile
from dnsnb.formats.feeding import Context
from dnsnb.formats.opening import Input
from dnsnb.formats.sniff import Head

_COLUMNS = (
    "request_ts", "client_ip", "client_name", "duration_ms", "reason", "response_type", "question_type",
    "question_name", "answer", "response_code",
)  # fmt: skip


def score(head: Head) -> int:
    """An SQLite file with its table."""
    return 97 if sqlitefile.holds(head, b"log_entries", b"request_ts", b"question_name") else 0


def read(one: Input, context: Context) -> Iterator[pa.Table]:
    """Yield the queries of a database, in the order in which they were answered."""
    reader = blocky.Reader(context)
    for rows in sqlitefile.rows(one, context, "log_entries", _COLUMNS, 50_000):
        made, numbers = [], []
        for number, when, client, name, took, reason, kind, qtype, question, answer, rcode in rows:
            fields = [when, client, name, took if took is not None else 0, reason, question, answer, rcode, kind, qtype]
            texts = [str("" if f is None else f) for f in fields]
            row = reader.row(texts)
            if row is None:
                context.skip_count("not a query", 1, [(context.source, int(number), " ".join(texts))])
                continue
            made.append(row)
            numbers.append(int(number))
        table = rowtables.table(made, numbers, context)
        if table is not None:
            yield table
