"""How much, of what, by whom: counts over time, the most frequent, the mix of answers."""

from __future__ import annotations

from typing import Any

import pandas as pd

from dnsnb import schema
from dnsnb.errors import MissingColumnError


def need(frame: pd.DataFrame, *columns: str) -> None:
    """Raise MissingColumnError unless the frame has these columns."""
    missing = [c for c in columns if c not in frame.columns]
    if missing:
        known = " (a column of the schema that this source lacks)" if missing[0] in schema.NAMES else ""
        raise MissingColumnError(
            f"the frame has no column {missing[0]!r}{known}; it has {', '.join(map(str, frame.columns))}"
        )


def _described(frame: pd.DataFrame, read_as: str, **params: Any) -> pd.DataFrame:
    frame.attrs = {"read_as": read_as, "params": params}
    return frame


def top(frame: pd.DataFrame, column: str = "qname", n: int = 10) -> pd.DataFrame:
    """Return the `n` most frequent values of a column: `count`, `share` of all rows (0-1), distinct `clients`.

    Ties are in the values' own order. Null values are left out, but count in the share's whole.

    >>> import dnsnb.simulate
    >>> frame = dnsnb.simulate.frame(hours=0.1)
    >>> top(frame, "status", n=2).columns.tolist()
    ['status', 'count', 'share', 'clients']
    """
    need(frame, column)
    if n < 1:
        raise ValueError(f"n: {n!r}: must be at least 1")
    values = frame[column].astype("str")
    counted = values.value_counts(dropna=True)
    ranked = counted.sort_index(kind="stable").sort_values(ascending=False, kind="stable").head(n)
    names = pd.Index(ranked.index, dtype="str")
    result = pd.DataFrame({column: names, "count": ranked.to_numpy(), "share": ranked.to_numpy() / max(len(frame), 1)})
    if "client" in frame.columns and column != "client":
        kept = values.isin(names)
        clients = frame.loc[kept, "client"].astype("str").groupby(values[kept]).nunique()
        result["clients"] = clients.reindex(names).fillna(0).astype("int64").to_numpy()
    return _described(
        result, f"the most frequent {column} first; share is of all {len(frame):,} rows", column=column, n=n
    )


def rate(frame: pd.DataFrame, every: str = "1min", by: str | None = None) -> pd.DataFrame:
    """Return the queries in each window of `every` (a pandas offset such as "10s"): 0 where there were none.

    With `by` one column a value of that column; else the column `count`. The index is the windows' start (UTC).
    """
    need(frame, "time", *([by] if by else []))
    times = frame["time"].dropna()
    if times.empty:
        empty = pd.DataFrame({"count": pd.Series([], dtype="int64")}, index=pd.DatetimeIndex([], tz="UTC", name="time"))
        return _described(empty, f"queries in each {every}", every=every, by=by)
    bins = times.dt.floor(every)
    whole = pd.date_range(bins.min(), bins.max(), freq=every, name="time")
    if by is None:
        result = bins.value_counts().reindex(whole, fill_value=0).rename("count").to_frame()
    else:
        groups = frame.loc[times.index, by].astype("str").fillna("(none)")
        result = pd.crosstab(bins, groups).reindex(whole, fill_value=0)
    return _described(
        result.astype("int64"), f"queries in each {every}{f', by {by}' if by else ''}", every=every, by=by
    )


def rcodes(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the mix of answers: `rcode`, `count`, `share` of the answered (0-1)."""
    need(frame, "rcode")
    counted = frame["rcode"].astype("str").value_counts(dropna=True)
    total = max(int(counted.sum()), 1)
    names = pd.Index(counted.index, dtype="str")
    result = pd.DataFrame({"rcode": names, "count": counted.to_numpy(), "share": counted.to_numpy() / total})
    return _described(result, "share is of the queries that were answered")
