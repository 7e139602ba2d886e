"""How long answers took: percentiles by upstream, type or hour, with what failed and what nobody answered beside."""

from __future__ import annotations

from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
import pyarrow as pa

from dnsnb.analysis.native import collected, columns_of, lazy, with_windows
from dnsnb.analysis.questions import batches
from dnsnb.analysis.result import Result, result

PERCENTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
#: who is timed: what an upstream was asked for, or what memory answered (also local names and blocks)
ANSWERED_BY = {"upstream": ("forwarded", "failed", "unknown"), "memory": ("cached", "stale", "local", "blocked")}
#: No Reachable Authority and Network Error (RFC 8914): the server says that nobody answered it
UNANSWERED_EDE = (22, 23)
HOUR_US = 3_600_000_000
#: what is summed up beside the times, each 0 or 1 a row: failed, and of that unanswered; a capture without an answer;
#: a row that tells an answer from none
SUMS = ("bad", "unanswered", "lost", "said")
MOST_GROUPS = 5_000_000


def latency(frame: Any, by: str | None = "upstream", answered_by: str = "upstream") -> Result:
    """Return how long answers took, in ms: `count`, `p50`, `p90`, `p95`, `p99`, by a column, "hour" (UTC), or None.

    What upstreams answered and what memory did are apart: `answered_by` is "upstream" or "memory". Upstreams that
    a log doesn't name are one, "unknown". Those that failed are not timed; their share is `failed` (0-1), and of it
    those that nobody answered, `timeouts` (no rcode, or EDE 22 or 23; in captures also a question that no answer was
    seen to; null where no row has either).

    >>> from dnsnb import simulate
    >>> bool(latency(simulate.frame(hours=0.2))["p50"].gt(0).all())
    True
    """
    rows, key = latency_rows(frame, by, answered_by)
    counts = [nw.col(name).sum() for name in SUMS]
    sums = collected(rows.group_by(key).agg(*counts, nw.len().alias("asked")))
    good = rows.filter((nw.col("bad") == 0) & ~nw.col("latency_ms").is_null())
    timed = percentiles(good, key)
    # one that never gave a good answer has a row too: it is the one that is looked for
    return latency_result(sums.merge(timed, on=key, how="left"), key, by, answered_by)


def percentiles(rows: Any, key: str) -> pd.DataFrame:
    """Return `count` and the percentiles of `latency_ms` by a column, to the microsecond.

    Worked out from how often each microsecond stands there: an engine's own quantiles hold every single value.
    """
    us = (nw.col("latency_ms").cast(nw.Float64) * 1000).round(0).cast(nw.Int64).alias("us")
    groups = rows.select(key, us).group_by(key, "us").agg(nw.len().alias("n"))
    held, size = [], 0
    for batch in batches(groups):
        held.append(batch)
        size += batch.num_rows
        if size > MOST_GROUPS:  # so many keys that one row each is less
            asked = [nw.col("latency_ms").quantile(q, interpolation="linear").alias(p) for p, q in PERCENTILES.items()]
            return collected(rows.group_by(key).agg(nw.len().alias("count"), *asked))
    if not size:
        return collected(rows.group_by(key).agg(nw.len().alias("count"))).assign(**dict.fromkeys(PERCENTILES, 0.0))
    table = collected(nw.from_native(pa.Table.from_batches(held)).lazy()).sort_values([key, "us"], ignore_index=True)
    ends = table["n"].cumsum().to_numpy()
    found = table.groupby(key, sort=True)["n"].sum().rename("count").reset_index()
    counts = found["count"].to_numpy()
    before = counts.cumsum() - counts
    values = table["us"].to_numpy() / 1000
    for name, q in PERCENTILES.items():
        place = (counts - 1) * q
        low = np.floor(place).astype(np.int64)
        high = np.ceil(place).astype(np.int64)
        one, other = (values[np.searchsorted(ends, before + at, side="right")] for at in (low, high))
        found[name] = one + (other - one) * (place - low)
    return found


def latency_rows(frame: Any, by: str | None, answered_by: str) -> tuple[Any, str]:
    """Return the lazy rows that count (the key, `latency_ms` and SUMS), and the key."""
    if answered_by not in ANSWERED_BY:
        raise ValueError(f"answered_by: {answered_by!r}: must be 'upstream' or 'memory'")
    have = columns_of(frame)
    signs = [name for name in ("rcode", "ede") if name in have]
    given = [] if by is None else ["time" if by == "hour" else by]
    rows = lazy(frame, "latency_ms", "status", *given, *signs)
    rows = rows.filter(nw.col("status").is_in(list(ANSWERED_BY[answered_by])))
    key = by or "group"
    if by is None:
        rows = rows.with_columns(nw.lit("all").alias("group"))
    elif by == "hour":
        rows = with_windows(rows.filter(~nw.col("time").is_null()), HOUR_US, "hour")
        rows = rows.with_columns((nw.col("hour") - nw.col("hour") // 24 * 24).alias("hour"))
    if key == "upstream" and answered_by == "upstream":  # a capture, or a log that doesn't name it
        rows = rows.with_columns(nw.col("upstream").cast(nw.String).fill_null("unknown"))
    rows = rows.filter(~nw.col(key).is_null())
    rows = rows.with_columns((nw.col("status") == "failed").cast(nw.Int64).alias("bad"))
    silent, said, lost = nw.lit(0), nw.lit(0), nw.lit(0)
    if "ede" in signs:
        silent = nw.when(nw.col("ede").is_in(list(UNANSWERED_EDE))).then(1).otherwise(silent)
        said = nw.when(nw.col("ede").is_null()).then(said).otherwise(1)
    if "rcode" in signs:
        silent = nw.when(nw.col("rcode").is_null()).then(1).otherwise(silent)
        said = nw.when(nw.col("rcode").is_null()).then(said).otherwise(1)
        nothing = nw.col("rcode").is_null() & nw.col("latency_ms").is_null()
        lost = nw.when((nw.col("status") == "unknown") & nothing).then(1).otherwise(0)
    unanswered = nw.when(nw.col("bad") == 1).then(silent).otherwise(0)
    return rows.with_columns(unanswered.alias("unanswered"), said.alias("said"), lost.alias("lost")), key


def latency_result(found: pd.DataFrame, key: str, by: str | None, answered_by: str) -> Result:
    """Return `asked`, the SUMS, `count` and percentiles by the key as the result of `latency`."""
    found = found.sort_values(key, ignore_index=True)
    found["count"] = found["count"].fillna(0).astype("int64")
    asked = found["asked"].clip(lower=1).astype("float64")
    known = found["said"].sum() > 0  # else it is not known who was silent: a log of questions alone
    lost = found["lost"].astype("float64") if known else 0.0
    found["failed"] = (found["bad"].astype("float64") + lost) / asked
    found["timeouts"] = (found["unanswered"].astype("float64") + lost) / asked if known else float("nan")
    found = found[[key, "count", *PERCENTILES, "failed", "timeouts"]]
    for name in PERCENTILES:
        found[name] = found[name].astype("float64").round(3)
    chart = {"kind": "bars", "name": key, "value": "p95"}
    who = "an upstream" if answered_by == "upstream" else "memory"
    read_as = f"milliseconds until {who} answered; failed is the share without a good answer, timeouts without any"
    if not len(found):
        read_as = f"no row was answered by {who}, as far as its status and {key} say"
    return result(found, "latency", read_as, chart, by=by, answered_by=answered_by)
