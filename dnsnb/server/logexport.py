"""Rows of the log as CSV, JSON lines or Parquet, a chunk at a time. No I/O.

A cell of CSV that a spreadsheet would take for a formula begins with an apostrophe (CWE-1236), unless told otherwise.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import Any, NamedTuple

from dnsnb import schema
from dnsnb.drivers.columns import NAMES, time_text, to_lines
from dnsnb.errors import SettingError

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_TEXTS = frozenset(c.name for c in schema.COLUMNS if c.kind in ("str", "category", "list"))


class CsvWriter:
    """Comma-separated values (RFC 4180) with a header; answers are separated by "; "."""

    def __init__(self, guard: bool) -> None:
        self._guard = guard
        self._out = io.StringIO()
        self._csv = csv.writer(self._out)
        self._csv.writerow(NAMES)

    def add(self, columns: schema.Columns) -> bytes:
        nothing = [None] * len(columns["id"])
        cells = [self._cells(name, columns.get(name) or nothing) for name in NAMES]
        self._csv.writerows(zip(*cells, strict=True))
        return self.end()

    def end(self) -> bytes:
        text = self._out.getvalue()
        self._out.seek(0)
        self._out.truncate()
        return text.encode("utf-8", "backslashreplace")

    def _cells(self, name: str, values: list[Any]) -> list[Any]:
        if name == "time":
            return [time_text(value) for value in values]
        if name == "answers":
            values = [None if value is None else "; ".join(value) for value in values]
        if name not in _TEXTS or not self._guard:
            return values
        return [guarded(value) for value in values]


def guarded(value: str | None) -> str | None:
    """Return a text that no spreadsheet takes for a formula."""
    return f"'{value}" if value and value.startswith(_FORMULA) else value


class JsonLinesWriter:
    """One JSON object a line, nulls left out."""

    def __init__(self, guard: bool) -> None:
        self._head = b""

    def add(self, columns: schema.Columns) -> bytes:
        return to_lines(columns)

    def end(self) -> bytes:
        return b""


class ParquetWriter:
    """One row group a chunk."""

    def __init__(self, guard: bool) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._sink = io.BytesIO()
        self._schema = pa.schema([field for field in schema.arrow_schema() if field.name in NAMES])
        self._out = pq.ParquetWriter(_Unseekable(self._sink), self._schema, compression="zstd")

    def add(self, columns: schema.Columns) -> bytes:
        self._out.write_table(schema.to_arrow(columns).select(self._schema.names))
        return self._taken()

    def end(self) -> bytes:
        self._out.close()
        return self._taken()

    def _taken(self) -> bytes:
        data = self._sink.getvalue()
        self._sink.seek(0)
        self._sink.truncate()
        return data


class _Unseekable(io.RawIOBase):
    """What Parquet is written to: it only needs to know how far it is."""

    def __init__(self, sink: io.BytesIO) -> None:
        self._sink = sink
        self._at = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        count = self._sink.write(data)
        self._at += count
        return count

    def tell(self) -> int:
        return self._at


class Format(NamedTuple):
    """A format of the export."""

    make: Callable[[bool], Any]
    content_type: str
    suffix: str


EXPORTS: dict[str, Format] = {
    "csv": Format(CsvWriter, "text/csv; charset=utf-8", "csv"),
    "jsonl": Format(JsonLinesWriter, "application/x-ndjson", "jsonl"),
    "parquet": Format(ParquetWriter, "application/vnd.apache.parquet", "parquet"),
}


def export_format(name: str) -> Format:
    """Return a format by its name; raises SettingError."""
    found = EXPORTS.get(name)
    if found is None:
        raise SettingError("format", name, f"one of {', '.join(EXPORTS)}")
    return found
