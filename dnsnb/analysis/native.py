"""One way into every frame library: pandas, Polars (lazy or not), DuckDB relations, PySpark, through narwhals.

Only expressions that give the same on all of them are used; `tests/analysis/test_every_analysis.py` holds it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import PurePath
from typing import Any

import narwhals as nw
import pandas as pd
import pyarrow as pa

from dnsnb import schema
from dnsnb.errors import MissingColumnError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LARGE = 1_000_000  # rows of pandas that DuckDB is asked about, where it is installed: on all cores, ten times as fast


def lazy(frame: Any, *needed: str) -> Any:
    """Return any frame as a narwhals LazyFrame with categories as text; raises MissingColumnError."""
    found = opened(frame)
    names = found.collect_schema()
    missing = [name for name in needed if name not in names]
    if missing:
        known = " (a column of the schema that this source lacks)" if missing[0] in schema.NAMES else ""
        raise MissingColumnError(f"the frame has no column {missing[0]!r}{known}; it has {', '.join(map(str, names))}")
    if isinstance(frame, pd.DataFrame) and len(frame) >= LARGE:
        found = _elsewhere(frame, needed) or found
        names = found.collect_schema()
    if "time" in needed and (isinstance(names["time"], nw.String) or names["time"].is_numeric()):
        raise TypeError(f"time: {names['time']}: must be times; with pandas: pd.to_datetime(frame['time'], utc=True)")
    if "time" in needed and isinstance(frame, pd.DataFrame) and getattr(names["time"], "time_zone", "UTC") is None:
        raise TypeError("time: has no time zone; say which by frame['time'].dt.tz_localize('UTC')")
    texts = [name for name in needed if isinstance(names[name], nw.Categorical | nw.Enum)]
    found = found.select(*dict.fromkeys(needed))
    return found.with_columns(*(nw.col(name).cast(nw.String) for name in texts)) if texts else found


def opened(frame: Any) -> Any:
    """Return any frame as a narwhals LazyFrame; raises TypeError for what is none."""
    try:
        return nw.from_native(frame).lazy()
    except TypeError:
        hint = "; read a log by dnsnb.read_log" if isinstance(frame, str | PurePath) else ""
        raise TypeError(
            f"{type(frame).__name__} is no frame that is known; give pandas, Polars, DuckDB or PySpark{hint}"
        ) from None


def _elsewhere(frame: pd.DataFrame, needed: tuple[str, ...]) -> Any:
    """Return columns of a pandas frame as a DuckDB relation on the same memory, None where that can't be had."""
    try:
        import duckdb

        table = pa.Table.from_pandas(frame[list(dict.fromkeys(needed))], preserve_index=False)
    except (ImportError, pa.ArrowException, TypeError, ValueError):
        return None
    return nw.from_native(duckdb.connect().from_arrow(table)).lazy()


def columns_of(frame: Any) -> tuple[str, ...]:
    """Return the names of any frame's columns."""
    return tuple(opened(frame).collect_schema().names())


def collected(frame: Any) -> pd.DataFrame:
    """Return a lazy frame's rows as pandas with a fresh index and the same dtypes whatever the library.

    Texts are `str`, whole numbers int64 (Int64 where there are nulls), others float64, times datetime64[us, UTC].
    """
    kinds = frame.collect_schema()
    found = frame.collect().to_pandas().reset_index(drop=True)
    return pd.DataFrame({name: _plain(found[name], kind) for name, kind in kinds.items()})


def _plain(values: pd.Series, kind: Any) -> pd.Series:
    if isinstance(kind, nw.String | nw.Categorical | nw.Enum):
        # an empty one of its own: pandas can't merge what came without a chunk from Arrow
        return values.astype("str") if len(values) else pd.Series([], dtype="str")
    if isinstance(kind, nw.Boolean):
        return values.astype("boolean" if values.hasnans else "bool")
    if isinstance(kind, nw.Datetime):
        times = pd.Series(pd.DatetimeIndex(values)).dt
        # what has no values may have lost its zone on the way
        return (times.tz_localize("UTC") if times.tz is None else times.tz_convert("UTC")).dt.as_unit("us")
    if isinstance(kind, nw.Decimal):
        numbers = values.astype("float64")
        return numbers.astype("int64") if numbers.mod(1).eq(0).all() else numbers
    if kind.is_integer():  # DuckDB sums to 128 bits, some libraries' nulls make floats
        if values.dtype == object:
            values = pd.to_numeric(values)
        return values.astype("Int64" if values.hasnans else "int64")
    return values.astype("float64") if kind.is_float() else values


def since_epoch_us(column: str) -> Any:
    """Return an expression: a time as whole microseconds since the epoch (DuckDB has no other way through narwhals)."""
    return (nw.col(column) - nw.lit(EPOCH)).dt.total_microseconds()


def with_windows(rows: Any, step_us: int, name: str = "window") -> Any:
    """Return a lazy frame with `name`: the number since the epoch of the window of `step_us` that its `time` is in.

    With `step_us` 1 that is the time in microseconds. DuckDB and Spark are asked in their own words: what narwhals
    makes of the same takes the first fifteen times as long, and the second not at all.
    """
    native = nw.to_native(rows)
    library = type(native).__module__.partition(".")[0]
    if library in ("duckdb", "_duckdb"):
        import duckdb

        us = 'epoch_us("time")'
        window = duckdb.SQLExpression(f"{us} // {step_us} - CAST({us} % {step_us} < 0 AS BIGINT)")
        return nw.from_native(native.select(duckdb.StarExpression(), window.alias(name))).lazy()
    if library == "pyspark":
        from pyspark.sql import functions

        window = functions.expr(f"CAST(floor(unix_micros(time) / CAST({step_us} AS DECIMAL(20, 0))) AS BIGINT)")
        return nw.from_native(native.withColumn(name, window)).lazy()
    return rows.with_columns((since_epoch_us("time") // step_us).alias(name))


def window_us(every: str, name: str = "every") -> int:
    """Return the microseconds of a window such as ``10s``, ``1min``, ``1h``; raises ValueError naming the parameter."""
    try:
        step = int(pd.Timedelta(every).value // 1000)
    except ValueError:
        step = 0
    if step <= 0:
        raise ValueError(f"{name}: {every!r}: must be a time such as '10s', '1min' or '1h'")
    return step
