"""Lines of JSON as columns: DuckDB's parser, or Arrow's, for whole blocks; orjson line by line where those refuse.

Knows lines and the parsers. A bad line costs itself alone.
"""

from __future__ import annotations

import math
import os
import re
import threading
from contextlib import suppress
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from dnsnb.formats.feeding import Context
from dnsnb.formats.lines import Block

LARGE = 1 << 20
"""Octets from which on DuckDB is asked: a query costs it a millisecond before the first line."""
_own = threading.local()  # each thread's database, and the file that it reads


def read(block: Block, wanted: pa.Schema, context: Context) -> tuple[pa.Table, Any]:
    """Return the wanted keys of each line (absent and wrongly typed ones null) and the lines' numbers.

    Lines that are no JSON objects are reported. Other keys are left alone.
    """
    whole = len(block) and int(block.ends[-1]) + 2 >= block.size
    data = memoryview(block.data)[: block.size] if whole else b"".join(_lines(block))
    if isinstance(data, memoryview) and block.size >= LARGE:
        table = _by_duckdb(data, wanted)
        if table is not None and len(table) == len(block):
            return table, block.numbers
    try:
        table = pj.read_json(
            pa.BufferReader(pa.py_buffer(data)),
            read_options=pj.ReadOptions(use_threads=False, block_size=max(1 << 20, min(block.size + 1, 4 << 20))),
            parse_options=pj.ParseOptions(explicit_schema=wanted, unexpected_field_behavior="ignore"),
        )
        if len(table) == len(block):
            return table.combine_chunks(), block.numbers
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowKeyError, pa.ArrowTypeError):
        pass
    return _slowly(block, wanted, context)


def _by_duckdb(data: memoryview, wanted: pa.Schema) -> pa.Table | None:
    """Return what DuckDB makes of the lines (in half of Arrow's time); None without it, or where it refuses one."""
    if not hasattr(os, "memfd_create"):
        return None
    try:
        import duckdb

        shape = ", ".join(f"'{field.name}': '{_sql(field.type)}'" for field in wanted)
    except (ImportError, KeyError):
        return None
    if not hasattr(_own, "database"):
        _own.database = _Database(duckdb)
    try:
        table = _own.database.read(data, shape).cast(wanted).combine_chunks()
    except (duckdb.Error, pa.ArrowInvalid):
        return None
    return None if any(map(_holds_json, table.columns)) else table


class _Database:
    """A thread's DuckDB, and what it reads: it takes files alone, so this one is nothing but memory (Linux)."""

    def __init__(self, duckdb: Any) -> None:
        self._connection = duckdb.connect(config={"threads": 1, "autoinstall_known_extensions": False})
        with suppress(duckdb.Error):  # 1.3 and later
            self._connection.execute("set enable_external_file_cache = false")
        self._file = os.memfd_create("dnsnb")

    def read(self, data: memoryview, shape: str) -> pa.Table:
        size = 0
        while size < len(data):
            size += os.pwrite(self._file, data[size:], size)
        os.ftruncate(self._file, size)
        query = f"from read_json('/proc/self/fd/{self._file}', format='newline_delimited', columns={{{shape}}})"
        return self._connection.sql(query).to_arrow_table()

    def __del__(self) -> None:
        os.close(self._file)


def _sql(kind: pa.DataType) -> str:
    return f"{_sql(kind.value_type)}[]" if pa.types.is_list(kind) else _SQL[kind]


_SQL = {
    pa.string(): "VARCHAR", pa.float64(): "DOUBLE", pa.int32(): "INTEGER", pa.int64(): "BIGINT", pa.bool_(): "BOOLEAN"
}  # fmt: skip


def _holds_json(column: pa.ChunkedArray) -> bool:
    """Whether a text was an object or a list, which DuckDB writes as JSON: that is no text."""
    if pa.types.is_list(column.type):
        column = pc.list_flatten(column)
    if not pa.types.is_string(column.type):
        return False
    return any(pc.any(pc.starts_with(column, mark)).as_py() for mark in "{[")


def _lines(block: Block) -> list[bytes]:
    data = block.data
    return [data[s:e] + b"\n" for s, e in zip(block.starts.tolist(), block.ends.tolist(), strict=True)]


def _slowly(block: Block, wanted: pa.Schema, context: Context) -> tuple[pa.Table, Any]:
    items, good = objects(block, context)
    return table_of(items, wanted), block.numbers[good]


_OCTET = re.compile(rb"(?<!\\)((?:\\\\)*)\\x")


def objects(block: Block, context: Context) -> tuple[list[dict[str, Any]], Any]:
    """Return the objects, and which lines they are (a mask); lines that are no JSON objects are reported."""
    import orjson

    items: list[dict[str, Any]] = []
    good = np.zeros(len(block), bool)
    data = block.data
    for i, (start, end) in enumerate(zip(block.starts.tolist(), block.ends.tolist(), strict=True)):
        try:
            item = orjson.loads(data[start:end])
        except orjson.JSONDecodeError:
            try:  # an octet that is no UTF-8 stands as \xHH in a block, which JSON knows only as \\xHH
                item = orjson.loads(_OCTET.sub(rb"\1\\\\x", data[start:end]))
            except orjson.JSONDecodeError:
                continue
        if isinstance(item, dict):
            good[i] = True
            items.append(item)
    context.skip("not a JSON object", block, ~good)
    return items, good


def table_of(items: list[dict[str, Any]], wanted: pa.Schema) -> pa.Table:
    """Return objects as a table of the wanted keys; a value of another type is converted where that is sure, else
    null."""
    arrays = [pa.array([fitted(item.get(field.name), field.type) for item in items], field.type) for field in wanted]
    return pa.Table.from_arrays(arrays, schema=wanted)


def fitted(value: Any, kind: pa.DataType) -> Any:
    """Return a JSON value as an Arrow type would hold it, or None."""
    if value is None:
        return None
    if pa.types.is_string(kind):
        if isinstance(value, str):
            return value
        if isinstance(value, bool):
            return str(value).lower()
        return str(value) if isinstance(value, (int, float)) else None
    if pa.types.is_boolean(kind):
        if isinstance(value, (int, float)):
            return value != 0
        return {"true": True, "false": False}.get(str(value).lower())
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        try:
            number = float(value) if not isinstance(value, (list, dict)) else math.nan
        except (ValueError, OverflowError):
            return None
        if not math.isfinite(number):
            return None
        if pa.types.is_floating(kind):
            return number
        exact = int(value) if isinstance(value, (int, str)) and str(value).lstrip("-").isdigit() else round(number)
        return exact if -(1 << 31 if kind.bit_width == 32 else 1 << 63) <= exact < (1 << (kind.bit_width - 1)) else None
    if pa.types.is_list(kind):
        values = value if isinstance(value, list) else [value]
        return [fitted(v, kind.value_type) for v in values]
    if pa.types.is_struct(kind):
        return {f.name: fitted(value.get(f.name), f.type) for f in kind} if isinstance(value, dict) else None
    return None
