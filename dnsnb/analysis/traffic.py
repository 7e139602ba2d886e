"""How much, of what, by whom, how fast: rates, the most frequent, the mix of answers, latency, cache hits."""

from __future__ import annotations

from typing import Any

import narwhals as nw
import pandas as pd

from dnsnb.analysis.native import collected, columns_of, lazy, since_epoch_us, window_us
from dnsnb.analysis.result import Result, result

PERCENTILES = (0.5, 0.9, 0.95, 0.99)


def top(frame: Any, column: str = "qname", n: int = 10) -> Result:
    """Return the `n` most frequent values of a column: `count`, `share` of all rows (0-1), distinct `clients`.

    Equal counts are in the values' order. Nulls are left out, but count in the share's whole.

    >>> from dnsnb import simulate
    >>> top(simulate.frame(hours=0.1), "status", n=2).columns.tolist()
    ['status', 'count', 'share', 'clients']
    """
    if n < 1:
        raise ValueError(f"n: {n!r}: must be at least 1")
    by_client = "client" in columns_of(frame) and column != "client"
    rows = lazy(frame, column, *(["client"] if by_client else []))
    total = int(collected(rows.select(nw.len().alias("n")))["n"].iloc[0])
    counts = [nw.len().alias("count"), *([nw.col("client").n_unique().alias("clients")] if by_client else [])]
    kept = rows.filter(~nw.col(column).is_null()).group_by(column).agg(*counts)
    best = collected(kept.sort("count", column, descending=[True, False]).head(n))
    best.insert(2, "share", best["count"] / max(total, 1))
    chart = {"kind": "bars", "name": column, "value": "count"}
    return result(
        best, "top", f"the most frequent {column} first; share is of all {total:,} rows", chart, column=column, n=n
    )


def rate(frame: Any, every: str = "1min", by: str | None = None) -> Result:
    """Return the queries in each window of `every` ("10s", "1h"), 0 where there were none, by its start (UTC).

    With `by` one column a value of that column; else the column `count`.

    >>> from dnsnb import simulate
    >>> bool(rate(simulate.frame(hours=1), "10min")["count"].sum() == len(simulate.frame(hours=1)))
    True
    """
    step = window_us(every)
    rows = lazy(frame, "time", *([by] if by else [])).filter(~nw.col("time").is_null())
    keys = ["window", *([by] if by else [])]
    rows = rows.with_columns((since_epoch_us("time") // step).alias("window"))
    found = collected(rows.group_by(*keys).agg(nw.len().alias("count")).sort(*keys))
    if found.empty:
        whole: Any = pd.DatetimeIndex([], dtype="datetime64[us, UTC]", name="time")
    else:
        first, last = int(found["window"].min()), int(found["window"].max())
        if last - first > 5_000_000:
            raise ValueError(f"every: {every!r}: gives {last - first:,} windows; take a longer one")
        whole = pd.to_datetime([w * step for w in range(first, last + 1)], unit="us", utc=True).as_unit("us")
        whole.name = "time"
    stamps = pd.to_datetime(found["window"] * step, unit="us", utc=True).dt.as_unit("us")
    if by is None:
        table = pd.DataFrame({"count": found["count"].to_numpy()}, index=pd.DatetimeIndex(stamps, name="time"))
    else:
        table = found.assign(time=stamps, value=found[by].fillna("(none)")).pivot(
            index="time", columns="value", values="count"
        )
        table.columns = pd.Index([str(c) for c in table.columns], dtype="str", name=by)
    table = table.reindex(whole).fillna(0).astype("int64")
    chart = {"kind": "stacked", "series": None, "unit": f"queries in {every}"}
    return result(table, "rate", f"queries in each {every}{f', by {by}' if by else ''}", chart, every=every, by=by)


def rcodes(frame: Any) -> Result:
    """Return the mix of answers: `rcode`, `count`, `share` of the answered (0-1).

    >>> from dnsnb import simulate
    >>> rcodes(simulate.frame(hours=0.1))["rcode"].iloc[0]
    'NOERROR'
    """
    rows = lazy(frame, "rcode").filter(~nw.col("rcode").is_null())
    found = collected(
        rows.group_by("rcode").agg(nw.len().alias("count")).sort("count", "rcode", descending=[True, False])
    )
    found["share"] = found["count"] / max(int(found["count"].sum()), 1)
    chart = {"kind": "bars", "name": "rcode", "value": "count"}
    return result(found, "rcodes", "how queries were answered; share is of those that were", chart)


def latency(frame: Any, by: str | None = "upstream") -> Result:
    """Return how long answers took, in ms: `count`, `p50`, `p90`, `p95`, `p99`, by upstream, type, or None for all.

    Only what an upstream answered counts: answers from memory are left out, and so are those that failed, whose share
    stands beside in `failed` (0-1).

    >>> from dnsnb import simulate
    >>> bool(latency(simulate.frame(hours=0.2))["p50"].gt(0).all())
    True
    """
    rows = lazy(frame, "latency_ms", "status", *([by] if by else []))
    rows = rows.filter(nw.col("status").is_in(["forwarded", "failed", "unknown"]))
    if by is None:
        rows = rows.with_columns(nw.lit("all").alias("group"))
    key = by or "group"
    rows = rows.filter(~nw.col(key).is_null())
    failed = collected(
        rows.with_columns((nw.col("status") == "failed").cast(nw.Int64).alias("bad"))
        .group_by(key)
        .agg(nw.col("bad").sum().alias("bad"), nw.len().alias("asked"))
    )
    good = rows.filter((nw.col("status") != "failed") & ~nw.col("latency_ms").is_null())
    quantiles = [
        nw.col("latency_ms").quantile(q, interpolation="linear").alias(f"p{int(q * 100)}") for q in PERCENTILES
    ]
    timed = collected(good.group_by(key).agg(nw.len().alias("count"), *quantiles))
    # one that never gave a good answer has a row too: it is the one that is looked for
    found = failed.merge(timed, on=key, how="left").sort_values(key, ignore_index=True)
    found["count"] = found["count"].fillna(0).astype("int64")
    found["failed"] = (found["bad"].astype("float64") / found["asked"].clip(lower=1)).astype("float64")
    found = found[[key, "count", *(f"p{int(q * 100)}" for q in PERCENTILES), "failed"]]
    for q in PERCENTILES:
        found[f"p{int(q * 100)}"] = found[f"p{int(q * 100)}"].astype("float64").round(3)
    chart = {"kind": "bars", "name": key, "value": "p95"}
    read_as = "milliseconds until an upstream answered; failed is the share that got no good answer"
    return result(found, "latency", read_as, chart, by=by)


def cache_hits(frame: Any, every: str | None = None) -> Result:
    """Return how much memory answered: `cached`, `stale`, `forwarded`, `hit_ratio` = cached / (cached + forwarded).

    Blocked, local and failed queries are left out; stale answers (RFC 8767) stand apart. With `every` one row a window.

    >>> from dnsnb import simulate
    >>> bool(0 < cache_hits(simulate.frame(hours=0.5))["hit_ratio"].iloc[0] < 1)
    True
    """
    if every is None:
        rows = lazy(frame, "status").with_columns(nw.lit(0).alias("window"))
        step = 0
    else:
        step = window_us(every)
        rows = lazy(frame, "status", "time").filter(~nw.col("time").is_null())
        rows = rows.with_columns((since_epoch_us("time") // step).alias("window"))
    wanted = ("cached", "stale", "forwarded")
    rows = rows.filter(nw.col("status").is_in(list(wanted)))
    rows = rows.with_columns(*((nw.col("status") == s).cast(nw.Int64).alias(s) for s in wanted))
    found = collected(rows.group_by("window").agg(*(nw.col(s).sum() for s in wanted)).sort("window"))
    found[list(wanted)] = found[list(wanted)].astype("int64")  # DuckDB sums to 128 bits
    found["hit_ratio"] = found["cached"] / (found["cached"] + found["forwarded"]).where(lambda n: n > 0)
    if every is not None:
        found.insert(0, "time", pd.to_datetime(found["window"] * step, unit="us", utc=True).dt.as_unit("us"))
    found = found.drop(columns="window")
    chart = {"kind": "lines", "x": "time", "series": ["hit_ratio"], "unit": "hit ratio"} if every else None
    return result(
        found, "cache_hits", "the share of the questions for upstreams that memory answered", chart, every=every
    )
