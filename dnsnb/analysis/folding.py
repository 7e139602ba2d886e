"""Which values get a place of their own and which are folded together; names for "no value" and "the others".

Totals are kept: what is folded is counted under one label that no value of the frame has.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import narwhals as nw
import pandas as pd

from dnsnb.analysis.native import collected

NONE, OTHER = "(none)", "(other)"


def free_label(label: str, taken: Iterable[Any]) -> str:
    """Return the label, in so many more brackets that no value is called so."""
    names = {str(value) for value in taken}
    while label in names:
        label = f"({label})"
    return label


def frequent_values(rows: Any, column: str, most: int) -> tuple[list[Any], bool]:
    """Return the `most` most frequent values of a lazy frame's column (None among them), and whether there are more."""
    if most < 1:
        raise ValueError(f"most: {most!r}: must be at least 1")
    counts = rows.group_by(column).agg(nw.len().alias("count"))
    best = counts.sort("count", column, descending=[True, False], nulls_last=True).head(most + 1)
    values = [None if pd.isna(v) else v for v in collected(best)[column]]
    return values[:most], len(values) > most


def folded(rows: Any, column: str, kept: list[Any]) -> Any:
    """Return a lazy frame whose column has the kept values alone; `folded` is 1 where another stood, 2 for a null."""
    own = nw.col(column).is_in([v for v in kept if v is not None])
    rows = rows.with_columns(nw.when(own).then(0).otherwise(1).alias("folded"))
    if None in kept:
        rows = rows.with_columns(nw.when(nw.col(column).is_null()).then(2).otherwise(nw.col("folded")).alias("folded"))
    return rows.with_columns(nw.when(nw.col("folded") == 0).then(nw.col(column)).alias(column))


def labelled(values: pd.Series, fold: pd.Series) -> pd.Series:
    """Return folded values as text, nulls and others under their labels."""
    texts = values.astype("str")
    own = texts[fold == 0].unique()
    texts = texts.where(fold == 0, free_label(OTHER, own))
    return texts.where(fold != 2, free_label(NONE, own))
