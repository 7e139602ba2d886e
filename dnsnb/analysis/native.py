"""One way into every frame library: pandas, Polars (lazy or not), DuckDB relations, PySpark, through narwhals.

Only expressions that give the same on all of them are used; `tests/analysis/test_traffic.py` holds it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import narwhals as nw
import pandas as pd

from dnsnb import schema
from dnsnb.errors import MissingColumnError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def lazy(frame: Any, *needed: str) -> Any:
    """Return any frame as a narwhals LazyFrame with categories as text; raises MissingColumnError."""
    try:
        found = nw.from_native(frame).lazy()
    except TypeError:
        raise TypeError(
            f"{type(frame).__name__} is no frame that is known; give pandas, Polars, DuckDB or PySpark"
        ) from None
    names = found.collect_schema()
    missing = [name for name in needed if name not in names]
    if missing:
        known = " (a column of the schema that this source lacks)" if missing[0] in schema.NAMES else ""
        raise MissingColumnError(f"the frame has no column {missing[0]!r}{known}; it has {', '.join(map(str, names))}")
    texts = [name for name in needed if isinstance(names[name], nw.Categorical | nw.Enum)]
    found = found.select(*dict.fromkeys(needed))
    return found.with_columns(*(nw.col(name).cast(nw.String) for name in texts)) if texts else found


def columns_of(frame: Any) -> tuple[str, ...]:
    """Return the names of any frame's columns."""
    return tuple(nw.from_native(frame).lazy().collect_schema().names())


def collected(frame: Any) -> pd.DataFrame:
    """Return a lazy frame's rows as pandas, with a fresh index and counts as int64."""
    plain = frame.collect().to_pandas().reset_index(drop=True)
    for name in plain.columns:
        if pd.api.types.is_unsigned_integer_dtype(plain[name].dtype) or str(plain[name].dtype) == "int32":
            plain[name] = plain[name].astype("int64")
    return pd.DataFrame(plain)


def since_epoch_us(column: str) -> Any:
    """Return an expression: a time as whole microseconds since the epoch (DuckDB has no other way through narwhals)."""
    return (nw.col(column) - nw.lit(EPOCH)).dt.total_microseconds()


def window_us(every: str) -> int:
    """Return the microseconds of a window such as ``10s``, ``1min``, ``1h``; raises ValueError."""
    try:
        step = int(pd.Timedelta(every).value // 1000)
    except ValueError:
        step = 0
    if step <= 0:
        raise ValueError(f"every: {every!r}: must be a time such as '10s', '1min' or '1h'")
    return step
