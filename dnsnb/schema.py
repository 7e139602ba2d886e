"""The one shape of a query: a log row, an SSE row, a frame row, and what every log reader gives.

Imports nothing heavy: pandas and pyarrow are loaded by the functions that need them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


class Column(NamedTuple):
    """One column of the frame: its name, its kind (a key of `KINDS`), and what it means."""

    name: str
    kind: str
    meaning: str


KINDS = ("time", "str", "category", "float32", "int16", "int32", "int64", "list")

COLUMNS: tuple[Column, ...] = (
    Column("time", "time", "when the query arrived (UTC)"),
    Column("client", "str", "address of the asker"),
    Column("client_name", "str", "name of the asker, where a source knows one"),
    Column("transport", "category", "udp, tcp, dot, doh, doq"),
    Column("qname", "str", "lower case, no final dot, A-label form; the root is '.'; escapes as in RFC 4343"),
    Column("qtype", "category", "A, AAAA, HTTPS, TYPE65280 …"),
    Column("qclass", "category", "IN, CH, CLASS4 …"),
    Column("rcode", "category", "NOERROR, NXDOMAIN …; null when nobody answered"),
    Column("status", "category", "cached, stale, forwarded, local, blocked, refused, limited, failed or unknown"),
    Column("list", "category", "which list decided (null when none did)"),
    Column("rule", "str", "which rule of that list decided (null when none did)"),
    Column("upstream", "category", "who answered (null when nobody was asked)"),
    Column("latency_ms", "float32", "asked to answered, milliseconds"),
    Column("answers", "list", "data of the answer section as text"),
    Column("ttl", "int32", "smallest TTL of the answer section, seconds"),
    Column("flags", "category", "flags of the answer as dig prints them: 'qr rd ra ad'"),
    Column("ede", "int16", "extended DNS error code (RFC 8914)"),
    Column("query_bytes", "int32", "size of the query message"),
    Column("response_bytes", "int32", "size of the answer message"),
    Column("source", "category", "server or file that the row is from"),
    Column("id", "int64", "position in its source's sequence"),
)

NAMES: tuple[str, ...] = tuple(c.name for c in COLUMNS)

STATUSES: tuple[str, ...] = (
    "cached",
    "stale",
    "forwarded",
    "local",
    "blocked",
    "refused",
    "limited",
    "failed",
    "unknown",
)


class QueryEvent(TypedDict, total=False):
    """One row of the query log as it travels: keys as in `COLUMNS`, `time` in whole µs since the epoch (UTC)."""

    time: int
    client: str
    client_name: str | None
    transport: str
    qname: str
    qtype: str
    qclass: str
    rcode: str | None
    status: str
    list: str | None
    rule: str | None
    upstream: str | None
    latency_ms: float | None
    answers: list[str] | None
    ttl: int | None
    flags: str | None
    ede: int | None
    query_bytes: int | None
    response_bytes: int | None
    source: str | None
    id: int | None


#: Rows by column: each value is a list as long as the batch; a column that is absent is all null.
Columns = dict[str, list[Any]]


def whole(batch: dict[str, Any]) -> Columns:
    """Return the columns of a batch of the stream, with its constants written out for every row."""
    columns: Columns = batch["columns"]
    rows = len(next(iter(columns.values()), ()))
    for name, value in (batch.get("constants") or {}).items():
        columns[name] = [value] * rows
    return columns


def arrow_schema() -> pa.Schema:
    """Return the frame's columns as an Arrow schema: categories are dictionaries of int32 to string."""
    import pyarrow as pa

    text = pa.string()
    kinds = {
        "time": pa.timestamp("us", tz="UTC"),
        "str": text,
        "category": pa.dictionary(pa.int32(), text),
        "float32": pa.float32(),
        "int16": pa.int16(),
        "int32": pa.int32(),
        "int64": pa.int64(),
        "list": pa.list_(text),
    }
    return pa.schema([pa.field(c.name, kinds[c.kind]) for c in COLUMNS])


def to_arrow(columns: Columns) -> pa.Table:
    """Return a batch of columns (`time` in µs since the epoch) as an Arrow table with the whole schema."""
    import pyarrow as pa

    length = max((len(v) for v in columns.values()), default=0)
    arrays = []
    schema = arrow_schema()
    for field in schema:
        values = columns.get(field.name)
        if values is None:
            arrays.append(pa.nulls(length, field.type))
        elif pa.types.is_dictionary(field.type):
            arrays.append(pa.array(values, pa.string()).dictionary_encode())
        elif pa.types.is_timestamp(field.type):
            arrays.append(pa.array(values, pa.int64()).cast(field.type))
        else:
            arrays.append(pa.array(values, field.type))
    return pa.Table.from_arrays(arrays, schema=schema)


def to_frame(table: pa.Table) -> pd.DataFrame:
    """Return an Arrow table as a DataFrame with the documented dtypes.

    Columns of the schema that the table lacks are added as nulls; other columns are kept, after them. Their whole
    numbers are Int64 (nullable), so that a port is no fraction where one is not told. What is returned has `.dns`.
    """
    import pandas as pd
    import pyarrow as pa

    import dnsnb

    dnsnb.give_analyses()
    schema = arrow_schema()
    have = set(table.column_names)
    data: dict[str, Any] = {}
    for column, field in zip(COLUMNS, schema, strict=True):
        values = (
            table.column(column.name) if column.name in have else pa.chunked_array([pa.nulls(len(table), field.type)])
        )
        data[column.name] = _series(column.kind, values, field.type)
    for name in table.column_names:
        if name not in data:
            values = table.column(name)
            whole = pa.types.is_integer(values.type) and not pa.types.is_uint64(values.type)
            data[name] = _series("int", values, pa.int64()) if whole else values.to_pandas()
    return pd.DataFrame(data, copy=False)


def _series(kind: str, values: pa.ChunkedArray, wanted: pa.DataType) -> Any:
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    if kind == "category":
        if not pa.types.is_dictionary(values.type):
            values = values.cast(pa.string()).dictionary_encode()
        if values.num_chunks == 0:
            return pd.Categorical([], categories=pd.Index([], dtype="str"))
        one = values.unify_dictionaries().combine_chunks()
        codes = one.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        names = pd.Index(one.dictionary.cast(pa.string()).to_pandas(), dtype="str")
        return pd.Categorical.from_codes(codes, categories=names)
    if values.type != wanted:
        values = values.cast(wanted)
    if kind == "str":
        return pd.array(values.to_pandas(), dtype="str")
    if kind == "time":
        return pd.DatetimeIndex(values.to_pandas(), dtype="datetime64[us, UTC]")
    if kind == "list":
        return pd.array(values, dtype=pd.ArrowDtype(wanted))
    if kind == "float32":
        return values.to_numpy()
    plain = np.array(values.fill_null(0).to_numpy())  # a copy: Arrow's memory is read-only
    return pd.arrays.IntegerArray(plain, np.array(values.is_null().to_numpy()))


def empty_frame() -> pd.DataFrame:
    """Return a frame with the whole schema and no rows."""
    return to_frame(arrow_schema().empty_table())
