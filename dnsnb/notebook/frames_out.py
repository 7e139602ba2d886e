"""What travels to the browser: a batch of rows as dictionary-encoded columns in binary buffers.

Decides the wire format alone (`static/wire.js` reads it), and each name's registered domain; no widgets, no threads.
"""

from __future__ import annotations

from array import array
from typing import Any

from dnsnb import schema
from dnsnb.names import registered_domain

_TEXT = {"str", "category", "list"}
_NULL_INT = -2147483648
_CODES = (("u8", "B", 1 << 8), ("u16", "H", 1 << 16), ("u32", "I", 1 << 32))
_KINDS = {c.name: c.kind for c in schema.COLUMNS} | {"domain": "str"}

Encoded = tuple[list[dict[str, Any]], list[bytes]]


def encode(columns: schema.Columns) -> Encoded:
    """Return the description of each column and the buffers that it names; `time` stays µs since the epoch.

    Text columns become `dict` (distinct values, null among them) and codes; a column with one value needs no buffer; a
    column that is all null is left out.
    """
    heads: list[dict[str, Any]] = []
    buffers: list[bytes] = []
    for name, values in columns.items():
        kind = _KINDS.get(name)
        if kind is None or not values:
            continue
        head: dict[str, Any]
        if kind in _TEXT:
            head, data = _text(values, kind)
            if data is None and head["dict"] == [None]:
                continue
        else:
            head, data = _number(values, kind)
        head["name"] = name
        if data is not None:
            head["buffer"] = len(buffers)
            buffers.append(data)
        heads.append(head)
    return heads, buffers


def with_domains(columns: schema.Columns) -> schema.Columns:
    """Return the columns with `domain`: the registered domain of each name, or the name where nothing is registered."""
    names = columns.get("qname")
    if not names or "domain" in columns:
        return columns
    distinct = [name for name in dict.fromkeys(names) if name is not None]
    found = {name: domain or name for name, domain in zip(distinct, registered_domain(distinct), strict=True)}
    return {**columns, "domain": [found.get(name) for name in names]}


def _text(values: list[Any], kind: str) -> tuple[dict[str, Any], bytes | None]:
    if kind == "list":
        values = ["\n".join(v) if v else None for v in values]
    seen: dict[Any, int] = {}
    codes = [seen.setdefault(v, len(seen)) for v in values]
    texts = list(seen)
    if len(texts) == 1:
        return {"kind": "const", "dict": texts}, None
    for word, letter, most in _CODES:
        if len(texts) <= most:
            return {"kind": word, "dict": texts}, array(letter, codes).tobytes()
    raise ValueError(f"{len(texts)} distinct values in one batch")


def _number(values: list[Any], kind: str) -> tuple[dict[str, Any], bytes]:
    if kind in ("time", "int64"):
        return {"kind": "f64"}, array("d", [float("nan") if v is None else v for v in values]).tobytes()
    if kind == "float32":
        return {"kind": "f32"}, array("f", [float("nan") if v is None else v for v in values]).tobytes()
    return {"kind": "i32"}, array("i", [_NULL_INT if v is None else v for v in values]).tobytes()


def tail(frame: Any, rows: int) -> schema.Columns:
    """Return the last rows of a frame by column, as the stream would have sent them."""
    import pandas as pd

    part = frame.tail(rows)
    columns: schema.Columns = {}
    for name, kind in _KINDS.items():
        if name not in part:
            continue
        series = part[name]
        if kind == "time":
            columns[name] = (series.astype("int64") if len(series) else series).tolist()
        elif kind == "list":
            columns[name] = [None if v is None or v is pd.NA else list(v) for v in series.tolist()]
        else:
            held = series.astype(object)
            columns[name] = held.where(held.notna(), None).tolist()
    return columns
