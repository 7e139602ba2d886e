"""What the cache gave: hits, stale answers, and how long it really held what it had."""

from __future__ import annotations

from typing import Any

import narwhals as nw
import pandas as pd

from dnsnb.analysis.native import collected, columns_of, lazy, window_us, with_windows
from dnsnb.analysis.result import Result, result

COUNTED = ("cached", "stale", "forwarded")


def cache_hits(frame: Any, every: str | None = None) -> Result:
    """Return how much memory answered: `cached`, `stale`, `forwarded`, `hit_ratio` = cached / (cached + forwarded).

    Blocked, local and failed queries are left out; stale answers (RFC 8767) stand apart, `stale_ratio` is their share
    of the three. With `every` one row a window that had any of them.

    >>> from dnsnb import simulate
    >>> bool(0 < cache_hits(simulate.frame(hours=0.5))["hit_ratio"].iloc[0] < 1)
    True
    """
    if every is None:
        rows = lazy(frame, "status").with_columns(nw.lit(0).alias("window"))
    else:
        rows = lazy(frame, "status", "time").filter(~nw.col("time").is_null())
        rows = with_windows(rows, window_us(every))
    rows = rows.filter(nw.col("status").is_in(list(COUNTED)))
    rows = rows.with_columns(*((nw.col("status") == s).cast(nw.Int64).alias(s) for s in COUNTED))
    return cache_hits_result(collected(rows.group_by("window").agg(*(nw.col(s).sum() for s in COUNTED))), every)


def cache_hits_result(found: pd.DataFrame, every: str | None) -> Result:
    """Return the three counts by `window` as the result of `cache_hits`."""
    found = found.sort_values("window", ignore_index=True)
    found[list(COUNTED)] = found[list(COUNTED)].astype("int64")  # DuckDB sums to 128 bits
    found["hit_ratio"] = found["cached"] / (found["cached"] + found["forwarded"]).where(lambda n: n > 0)
    found["stale_ratio"] = found["stale"] / found[list(COUNTED)].sum(axis=1).where(lambda n: n > 0)
    if every is not None:
        starts = pd.to_datetime(found["window"] * window_us(every), unit="us", utc=True)
        found.insert(0, "time", starts.dt.as_unit("us"))
    found = found.drop(columns="window")
    chart = {"kind": "lines", "x": "time", "series": ["hit_ratio"], "unit": "hit ratio"} if every else None
    read_as = "the share of the questions for upstreams that memory answered; stale answers apart"
    if not len(found):
        read_as = "no row says whether memory or an upstream answered it (status)"
    return result(found, "cache_hits", read_as, chart, every=every)


def effective_ttl(frame: Any, n: int = 20) -> Result:
    """Return how long memory really held an answer, of the `n` questions that upstreams were asked most often.

    After an upstream's answer the cache went on answering for `held_s` seconds at least (its latest hit) and asked
    again after `refetch_s` at the earliest: the effective TTL lies between. `ttl` is the largest seen (null if the
    frame has none), `asked` and `hits` are counts. `early`: it once asked again more than a second before that TTL was
    over, as a cache does that is small, capped or flushed.

    >>> from dnsnb import simulate
    >>> found = effective_ttl(simulate.frame(hours=2))
    >>> bool((found["held_s"] >= 0).all())
    True
    """
    timed = "ttl" in columns_of(frame)
    key = ["qname", "qtype"]
    rows = lazy(frame, "time", *key, "status", *(["ttl"] if timed else []))
    rows = rows.filter(nw.col("status").is_in(["cached", "forwarded"]))
    for name in ("time", *key):
        rows = rows.filter(~nw.col(name).is_null())
    fresh = (nw.col("status") == "forwarded").cast(nw.Int64)
    ttl = nw.col("ttl").cast(nw.Float64) if timed else nw.lit(None, nw.Float64)
    rows = with_windows(rows, 1, "at").with_columns(fresh.alias("fresh"), ttl.alias("ttl"))
    # of equal times the upstream's answer comes first
    rows = rows.with_columns((nw.col("at") * 2 - nw.col("fresh")).alias("order"))
    rows = rows.with_columns(nw.col("fresh").cum_sum().over(*key, order_by="order").cast(nw.Int64).alias("term"))
    terms = rows.filter(nw.col("term") > 0).group_by(*key, "term")
    terms = terms.agg(
        nw.col("at").min().alias("from"), nw.col("at").max().alias("to"), nw.len().alias("rows"), nw.col("ttl").max()
    )
    terms = terms.with_columns(nw.col("from").shift(-1).over(*key, order_by="from").alias("next"))
    terms = terms.with_columns(
        (nw.col("to") - nw.col("from")).alias("held"), (nw.col("next") - nw.col("from")).alias("refetch")
    )
    found = terms.group_by(*key).agg(
        nw.len().alias("asked"), nw.col("rows").sum().alias("rows"), nw.col("ttl").max(),
        nw.col("held").max(), nw.col("refetch").min(),
    )  # fmt: skip
    found = collected(found.filter(nw.col("rows") > 1).sort("asked", *key, descending=[True, False, False]).head(n))
    found["hits"] = (found["rows"].astype("int64") - found["asked"]).astype("int64")
    found["held_s"] = found["held"].astype("float64") / 1e6
    found["refetch_s"] = found["refetch"].astype("float64") / 1e6
    found["ttl"] = found["ttl"].astype("float64")
    found["early"] = (found["refetch_s"] < found["ttl"] - 1).to_numpy(dtype=bool, na_value=False)
    found = found[[*key, "asked", "hits", "ttl", "held_s", "refetch_s", "early"]]
    read_as = "an answer was held between held_s and refetch_s seconds; early: asked again before its TTL was over"
    return result(found, "effective_ttl", read_as, {"kind": "bars", "name": key, "value": "asked"}, n=n)
