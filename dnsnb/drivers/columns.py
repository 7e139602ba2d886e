"""Rows by column, one after the other, and as lines of JSON: what the log drivers share. No I/O."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import orjson

from dnsnb import schema

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
#: what a server's own log keeps: `source` is the server itself
NAMES = tuple(name for name in schema.NAMES if name != "source")


def join_columns(parts: Sequence[schema.Columns]) -> schema.Columns:
    """Return batches one after the other; a column that one of them lacks is null there."""
    if len(parts) == 1:
        return dict(parts[0])
    names = [n for n in schema.NAMES if any(n in part for part in parts)]
    joined: schema.Columns = {name: [] for name in names}
    for part in parts:
        length = len(part["id"])
        for name in names:
            values = part.get(name)
            joined[name].extend(values if values is not None else [None] * length)
    return joined


def slice_columns(columns: schema.Columns, start: int, end: int) -> schema.Columns:
    """Return rows `start` to `end`."""
    return {name: values[start:end] for name, values in columns.items()}


def time_text(time_us: int) -> str:
    """Return µs since the epoch as ISO 8601 in UTC, to the microsecond."""
    second, rest = divmod(time_us, 1_000_000)
    return f"{_second_text(second)}.{rest:06d}Z"


@lru_cache(maxsize=4096)
def _second_text(second: int) -> str:
    return (_EPOCH + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%S")


def time_us(text: str) -> int:
    """Return ISO 8601 as µs since the epoch; raises ValueError."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return (moment - _EPOCH) // _MICROSECOND


def day_of(time_us: int) -> str:
    """Return the UTC day of a time, as 2026-01-31."""
    return (_EPOCH + timedelta(microseconds=time_us)).strftime("%Y-%m-%d")


def to_lines(columns: schema.Columns) -> bytes:
    """Return a batch as JSON lines: nulls left out, `time` as text, nothing but printable ASCII."""
    texts = {"time": [time_text(time) for time in columns["time"]]}
    whole = {name: texts.get(name, values) for name, values in columns.items() if None not in values}
    rows = [dict(zip(whole, values, strict=True)) for values in zip(*whole.values(), strict=True)]
    for name, values in columns.items():
        if name not in whole:
            for row, value in zip(rows, values, strict=True):
                if value is not None:
                    row[name] = value
    data = b"\n".join([*map(orjson.dumps, rows), b""])
    if data.isascii() and b"\x7f" not in data:
        return data
    lines = [json.dumps(row, separators=(",", ":")).replace("\x7f", "\\u007f") for row in rows]  # rare: a rule's text
    return "\n".join([*lines, ""]).encode()


def from_lines(lines: Iterable[bytes]) -> schema.Columns:
    """Return JSON lines as a batch; lines that are damaged are passed over."""
    rows: list[dict[str, Any]] = []
    for line in lines:
        try:
            row = orjson.loads(line)
            row["time"] = time_us(row["time"])
            row["id"] = int(row["id"])
        except (ValueError, TypeError, KeyError):
            continue
        rows.append(row)
    return {name: [row.get(name) for row in rows] for name in NAMES} if rows else {}
