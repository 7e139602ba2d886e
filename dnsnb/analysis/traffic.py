"""How much, of what, by whom, and how it was answered: rates, the most frequent, the mix of answers."""

from __future__ import annotations

from typing import Any

import narwhals as nw
import pandas as pd

from dnsnb.analysis.folding import NONE, folded, frequent_values, labelled
from dnsnb.analysis.native import collected, columns_of, lazy, window_us, with_windows
from dnsnb.analysis.result import Result, result


def top(frame: Any, column: str = "qname", n: int = 10) -> Result:
    """Return the `n` most frequent values of a column: `count`, `share` of all rows (0-1), distinct `clients`.

    Equal counts are in the values' order. Nulls are left out, but count in the share's whole; a row without a client
    adds none.

    >>> from dnsnb import simulate
    >>> top(simulate.frame(hours=0.1), "status", n=2).columns.tolist()
    ['status', 'count', 'share', 'clients']
    """
    if n < 1:
        raise ValueError(f"n: {n!r}: must be at least 1")
    by_client = "client" in columns_of(frame) and column != "client"
    rows = lazy(frame, column, *(["client"] if by_client else []))
    total = int(collected(rows.select(nw.len().alias("n")))["n"].iloc[0])
    rows = rows.filter(~nw.col(column).is_null())
    counts = rows.group_by(column).agg(nw.len().alias("count"))
    best = collected(counts.sort("count", column, descending=[True, False]).head(n))
    if by_client:
        # of the best alone, and without nulls: some engines count those as one more
        mine = rows.filter(~nw.col("client").is_null()).filter(nw.col(column).is_in(best[column].tolist()))
        distinct = nw.col("client").n_unique().alias("clients")  # no nulls
        clients = collected(mine.group_by(column).agg(distinct))
        known = dict(zip(clients[column], clients["clients"], strict=True))
        best["clients"] = [int(known.get(value, 0)) for value in best[column]]
    return top_result(best, column, n, total)


def top_result(best: pd.DataFrame, column: str, n: int, total: int, note: str = "") -> Result:
    """Return counts (value, `count` …) of `total` rows as the result of `top`."""
    best.insert(2, "share", best["count"] / max(total, 1))
    read_as = f"the most frequent {column} first; share is of all {total:,} rows{note}"
    return result(best, "top", read_as, {"kind": "bars", "name": column, "value": "count"}, column=column, n=n)


def rate(frame: Any, every: str = "1min", by: str | None = None, most: int = 9, limit: int = 200_000) -> Result:
    """Return the queries in each window of `every` ("10s", "1h"), 0 where there were none, by its start (UTC).

    With `by` one column each of the `most` most frequent values of that column, the others in one, "(other)"; nulls
    are "(none)", in more brackets where a value is called so. Else the column `count`. More windows than `limit` are a
    ValueError that says where the hole in the times is.

    >>> from dnsnb import simulate
    >>> bool(rate(simulate.frame(hours=1), "10min")["count"].sum() == len(simulate.frame(hours=1)))
    True
    """
    step = window_us(every)
    rows = lazy(frame, "time", *([by] if by else [])).filter(~nw.col("time").is_null())
    keys = ["window", *([by, "folded"] if by else [])]
    rows = with_windows(rows, step)
    kept: list[Any] = []
    if by:
        kept, _ = frequent_values(rows, by, most)
        rows = folded(rows, by, kept)
    found = collected(rows.group_by(*keys).agg(nw.len().alias("count")).sort(*keys))
    return rate_result(found, every, by, kept, most, limit)


def rate_result(found: pd.DataFrame, every: str, by: str | None, kept: list[Any], most: int, limit: int) -> Result:
    """Return counts by `window` (and `by`, `folded`) as the result of `rate`."""
    step = window_us(every)
    whole: Any = pd.DatetimeIndex([], dtype="datetime64[us, UTC]", name="time")
    if len(found):
        first, last = int(found["window"].min()), int(found["window"].max())
        if last - first >= limit:
            raise ValueError(_too_many(found, every, step, limit))
        whole = pd.to_datetime([w * step for w in range(first, last + 1)], unit="us", utc=True).as_unit("us")
        whole.name = "time"
    stamps = pd.to_datetime(found["window"] * step, unit="us", utc=True).dt.as_unit("us")
    if by is None:
        table = pd.DataFrame({"count": found["count"].to_numpy()}, index=pd.DatetimeIndex(stamps, name="time"))
    else:
        table = found.assign(time=stamps, value=labelled(found[by], found["folded"])).pivot(
            index="time", columns="value", values="count"
        )
        order = {str(value): place for place, value in enumerate(kept) if value is not None}
        # the most frequent first, then "(other)", then "(none)"
        table = table[sorted(table.columns, key=lambda name: (order.get(str(name), len(order)), name == NONE))]
        table.columns = pd.Index([str(c) for c in table.columns], dtype="str", name=by)
    table = table.reindex(whole).fillna(0).astype("int64")
    chart = {"kind": "stacked", "series": None, "unit": f"queries in {every}"}
    read_as = f"queries in each {every}{f', by {by}' if by else ''}"
    return result(table, "rate", read_as, chart, every=every, by=by, most=most, limit=limit)


def _too_many(found: pd.DataFrame, every: str, step: int, limit: int) -> str:
    """Say why there are too many windows, and which few rows stand far from the others (a clock of 1970)."""
    counts = found.groupby("window")["count"].sum().sort_index()
    windows = counts.index.to_numpy()
    text = f"every: {every!r}: gives {int(windows[-1] - windows[0]) + 1:,} windows, more than limit={limit:,}"
    hole = int((windows[1:] - windows[:-1]).argmax())
    before = int(counts.iloc[: hole + 1].sum())
    after = int(counts.iloc[hole + 1 :].sum())
    end, start = (pd.Timestamp(int(w) * step, unit="us") for w in (windows[hole], windows[hole + 1]))
    few, where = (before, f"up to {end}") if before <= after else (after, f"from {start} on")
    return f"{text}; take a longer one, or leave out the {few:,} of {before + after:,} rows that are {where} (UTC)"


def rcodes(frame: Any) -> Result:
    """Return the mix of answers: `rcode`, `count`, `share` of the answered (0-1).

    >>> from dnsnb import simulate
    >>> rcodes(simulate.frame(hours=0.1))["rcode"].iloc[0]
    'NOERROR'
    """
    rows = lazy(frame, "rcode").filter(~nw.col("rcode").is_null())
    return rcodes_result(collected(rows.group_by("rcode").agg(nw.len().alias("count"))))


def rcodes_result(found: pd.DataFrame) -> Result:
    """Return counts by `rcode` as the result of `rcodes`."""
    found = found.sort_values(["count", "rcode"], ascending=[False, True], ignore_index=True)
    found["share"] = found["count"] / max(int(found["count"].sum()), 1)
    chart = {"kind": "bars", "name": "rcode", "value": "count"}
    return result(found, "rcodes", "how queries were answered; share is of those that were", chart)
