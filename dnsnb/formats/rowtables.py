"""Readers for logs whose lines are objects or delimited fields: a function from one record to one row, no more.

Pure; knows jsonrows, columns and times. Keys of a row are as the groups of `patterns`.
"""

from __future__ import annotations

import csv
from typing import Any

import numpy as np
import pyarrow as pa

from dnsnb.formats import columns, jsonrows, patterns, times
from dnsnb.formats.columns import KIND, QUERY
from dnsnb.formats.feeding import Context
from dnsnb.formats.lines import Block

Row = dict[str, Any]
_NO_RECORD = "not a record of this format"


def table(
    rows: list[Row], numbers: list[int], context: Context, block: Block | None = None, lossy: str | None = None
) -> pa.Table | None:
    """Return rows as canonical events. Lists are answers; `kind` is `columns.QUERY` where a row does not say."""
    if not rows:
        return None
    count = len(rows)
    raw: dict[str, Any] = {"id": pa.array(numbers, pa.int64())}
    keys = dict.fromkeys(k for row in rows for k in row)
    stamps = np.full(count, times.MISSING)
    if block is not None and block.stamps is not None:
        stamps = block.stamps[np.searchsorted(block.numbers, np.array(numbers))]
    own: dict[str, Any] = {}
    for key in keys:
        values = [row.get(key) for row in rows]
        if key in ("time_iso", "time_utc", "time_syslog"):
            told = patterns._TIMES[key](pa.array([None if v is None else str(v) for v in values], pa.string()), context)
            stamps = np.where(told == times.MISSING, stamps, told)
        elif key == "time_epoch":
            texts = [
                v if v is None or isinstance(v, str) else f"{v:.6f}" if isinstance(v, float) else repr(v)
                for v in values
            ]
            told = times.epoch(pa.array(texts, pa.string()))
            stamps = np.where(told == times.MISSING, stamps, told)
        elif key == "time_us":
            told = np.array([v if isinstance(v, int) and abs(v) < 1 << 62 else times.MISSING for v in values], np.int64)
            stamps = np.where(told == times.MISSING, stamps, told)
        elif key == KIND:
            own[key] = pa.array([QUERY if v is None else v for v in values], pa.int8())
        elif key in columns._TYPES:
            raw[key] = _array(values, key)
        else:
            own[key] = pa.array([None if v is None else str(v) for v in values], pa.string())
    raw["time"] = stamps
    raw.setdefault("event", "query")
    made = columns.build(raw, count, lossy=lossy)
    own.setdefault(KIND, columns.constant(QUERY, count, pa.int8()))
    for key, values in own.items():
        made = made.append_column(key, values)
    return made


def _array(values: list[Any], key: str) -> pa.Array:
    kind = columns._TYPES[key]
    if pa.types.is_dictionary(kind):
        kind = pa.string()
    return pa.array([jsonrows.fitted(v, kind) for v in values], kind)


class ObjectReader:
    """Reads JSON lines; a subclass gives `row(item)`, which returns a row, a list of rows, or None for what is no
    DNS."""

    joiner: Any = None
    noise = "no DNS record"

    def __init__(self, context: Context) -> None:
        self.context = context

    def row(self, item: dict[str, Any]) -> Row | list[Row] | None:
        """Return what an object says."""
        raise NotImplementedError

    def parse(self, block: Block) -> pa.Table | None:
        """Return the events of a block."""
        items, good = jsonrows.objects(block, self.context)
        numbers = block.numbers[good]
        places = np.flatnonzero(good)
        rows: list[Row] = []
        kept: list[int] = []
        other: list[int] = []
        for item, number, place in zip(items, numbers.tolist(), places.tolist(), strict=True):
            try:
                made = self.row(item)
            except (TypeError, ValueError, AttributeError, KeyError, IndexError):
                made = None
            if made is None:
                other.append(place)
                continue
            for at, one in self.taken(made if isinstance(made, list) else [made], number):
                rows.append(one)
                kept.append(at)
        self.context.skip(self.noise, block, np.isin(np.arange(len(block)), other))
        return table(rows, kept, self.context, block)

    def taken(self, rows: list[Row], number: int) -> list[tuple[int, Row]]:
        """Return a line's rows with their line numbers; a reader that needs several lines for a row overrides it."""
        return [(number, row) for row in rows]


class DelimitedReader:
    """Reads CSV (quotes, line breaks in quotes) or TSV; a subclass gives `row(fields)` or, with a header,
    `row(by_name)`."""

    joiner: Any = None
    delimiter = ","
    quoted = True
    header: list[str] | None = None
    header_word: str | None = None
    """What a header's first field is, in lower case; None: a file has no header."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self._open: tuple[int, str, int] | None = None  # the first line of a quotation, its text, its lines

    def row(self, fields: Any) -> Row | None:
        """Return what a record says, or None when it can't be one."""
        raise NotImplementedError

    def parse(self, block: Block) -> pa.Table | None:
        """Return the events of a block."""
        rows: list[Row] = []
        kept: list[int] = []
        bad = np.zeros(len(block), bool)
        for i, (number, line) in enumerate(zip(block.numbers.tolist(), block.lines().to_pylist(), strict=True)):
            text, count = line or "", 1
            if self._open is not None and not self._goes_on(text):
                self.finish()
            if self._open is not None:
                number, text, count = self._open[0], self._open[1] + "\n" + text, self._open[2] + 1
            if self.quoted and text.count('"') % 2 and len(text) < 1 << 16:
                self._open = (number, text, count)
                continue
            self._open = None
            fields = self._fields(text)
            if self.header_word is not None and fields and fields[0].lower() == self.header_word:
                self.header = fields
                self.context.report.aside("header lines", count)
                continue
            made = self._made(fields)
            if made is not None:
                rows.append(made)
                kept.append(number)
                self.context.report.aside("lines that go on with a record", count - 1)
            elif count == 1:
                bad[i] = True
            else:
                self.context.skip_count(_NO_RECORD, count, [(self.context.source, number, text[:200])])
        self.context.skip(_NO_RECORD, block, bad)
        return table(rows, kept, self.context, block)

    def _made(self, fields: list[str]) -> Row | None:
        try:
            return self.row(dict(zip(self.header, fields, strict=False)) if self.header is not None else fields)
        except (TypeError, ValueError, AttributeError, KeyError, IndexError):
            return None

    def _goes_on(self, text: str) -> bool:
        """Whether a line can stand within a quotation: not when it is a whole record, for then the quotation was cut
        off."""
        quotes = text.count('"')
        return quotes % 2 == 1 or (quotes == 0 and self.header is None) or self._made(self._fields(text)) is None

    def finish(self) -> None:
        """Report a quotation that was never closed."""
        if self._open is not None:
            number, text, count = self._open
            self._open = None
            self.context.skip_count(
                "a quotation that is never closed", count, [(self.context.source, number, text[:200])]
            )

    def _fields(self, text: str) -> list[str]:
        if not self.quoted:
            return text.split(self.delimiter)
        try:
            return [f.strip() for f in next(csv.reader([text], delimiter=self.delimiter, skipinitialspace=True), [])]
        except csv.Error:
            return []
