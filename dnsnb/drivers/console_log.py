"""The query log as lines on a terminal, for a person to watch; nothing can be read back."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import IO

from dnsnb import schema
from dnsnb.dns.journal import LogBatch
from dnsnb.drivers.columns import time_text


class ConsoleLog:
    """One line a query on standard error, or on `stream`."""

    name = "console"
    readable = False
    quick = False

    def __init__(self, stream: IO[str] | None = None) -> None:
        self._stream = stream
        self.count = 0
        self.last_id = 0

    def append(self, batch: LogBatch) -> None:
        if not batch.count:
            return
        stream = self._stream or sys.stderr
        stream.write("".join(lines(batch.columns)))
        stream.flush()
        self.count += batch.count
        self.last_id = batch.columns["id"][-1]

    def scan(
        self,
        before: int | None = None,
        after: int | None = None,
        *,
        since: int | None = None,
        until: int | None = None,
        oldest_first: bool = False,
    ) -> Iterator[schema.Columns]:
        return iter(())

    def expire(self, older_than: int) -> int:
        return 0

    def close(self) -> None:
        return


def lines(columns: schema.Columns) -> Iterator[str]:
    """Yield a line a row, printable ASCII alone, whatever a name or a rule holds."""
    keys = ("client", "qname", "qtype", "status", "rcode", "list", "upstream")
    nothing = [None] * len(columns["id"])
    texts = [columns.get(key) or nothing for key in keys]
    latencies = columns.get("latency_ms") or nothing
    for time, latency, *values in zip(columns["time"], latencies, *texts, strict=True):
        shown = " ".join("-" if value is None else plain(str(value)) for value in values)
        yield f"{time_text(time)} {shown} {0.0 if latency is None else latency:.2f} ms\n"


def plain(text: str) -> str:
    """Return a text as printable ASCII without spaces: what is not becomes ``\\x1b`` or ``\\u2028``."""
    if text.isascii() and text.isprintable() and " " not in text:
        return text
    return "".join(c if "!" <= c <= "~" else c.encode("unicode_escape").decode() if c != " " else r"\x20" for c in text)
