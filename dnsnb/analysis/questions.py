"""A log, reduced by its own engine to its distinct questions with counts: what is left to look at, row by row.

Batches of Arrow, so that a log larger than memory passes through. Knows native only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import narwhals as nw
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from dnsnb.analysis.native import columns_of

BATCH = 100_000
#: between the answers of a row, in the text that they are made for grouping; it stands in no name and no address
SEPARATOR = "\x1f"


def with_answer_text(frame: Any) -> Any:
    """Return a frame with `answers` (a list of text) as one text, by its own engine; other frames as they are.

    No expression of narwhals joins a list, and pandas can't group by one.
    """
    if "answers" not in columns_of(frame):
        return frame
    if isinstance(frame, nw.DataFrame | nw.LazyFrame):
        frame = nw.to_native(frame)
    if isinstance(frame, pd.DataFrame):
        answers = pa.array(frame["answers"], type=pa.list_(pa.string()), from_pandas=True)
        if isinstance(answers, pa.ChunkedArray):
            answers = answers.combine_chunks()
        return frame.assign(answers=pd.array(pc.binary_join(answers, SEPARATOR), dtype="str"))
    kind = type(frame).__module__.partition(".")[0]
    if kind in ("duckdb", "_duckdb"):
        return frame.select(*_sql_star(f"array_to_string(answers, '{SEPARATOR}')"))
    if kind == "polars":
        import polars as pl

        return frame.with_columns(pl.col("answers").list.join(SEPARATOR))
    if kind == "pyspark":
        from pyspark.sql import functions

        return frame.withColumn("answers", functions.concat_ws(SEPARATOR, "answers"))
    if isinstance(frame, pa.Table):
        joined = pc.binary_join(frame.column("answers").cast(pa.list_(pa.string())), SEPARATOR)
        return frame.set_column(frame.column_names.index("answers"), "answers", joined)
    return frame


def _sql_star(answers: str) -> Any:
    import duckdb

    return duckdb.StarExpression(exclude=["answers"]), duckdb.SQLExpression(answers).alias("answers")


def counted(rows: Any, *keys: str, where: Any = None) -> Iterator[pa.RecordBatch]:
    """Yield the distinct `keys` of a narwhals LazyFrame and their `count`, in batches; `where` is an expression."""
    if where is not None:
        rows = rows.filter(where)
    yield from batches(rows.group_by(*keys).agg(nw.len().alias("count")))


def batches(rows: Any) -> Iterator[pa.RecordBatch]:
    """Yield a lazy frame's rows as Arrow; from DuckDB as they come, never all at once."""
    native = nw.to_native(rows)
    if type(native).__module__.partition(".")[0] in ("duckdb", "_duckdb"):
        yield from native.to_arrow_reader(BATCH)
    else:
        yield from rows.collect(backend="pyarrow").to_native().to_batches(BATCH)
