"""Asked again and again: storms of one question, and retries after no or no good answer."""

from __future__ import annotations

from typing import Any

import narwhals as nw
import pandas as pd

from dnsnb.analysis.native import collected, columns_of, lazy, window_us, with_windows
from dnsnb.analysis.result import Result, result


def storms(frame: Any, every: str = "10s", least: int = 20) -> Result:
    """Return questions that one client asked at least `least` times within a window of `every`, the worst first.

    `windows` had that many, with `queries` altogether and `worst` in one; `first` and `last` are the windows' starts
    (UTC). What a program does that ignores answers, or a cache that never keeps one.

    >>> from dnsnb import simulate
    >>> storms(simulate.frame(hours=0.5), every="1min", least=2)["worst"].is_monotonic_decreasing
    True
    """
    if least < 2:
        raise ValueError(f"least: {least!r}: must be at least 2")
    step = window_us(every)
    key = ["client", "qname", "qtype"]
    rows = lazy(frame, "time", *key)
    for name in ("time", "qname"):
        rows = rows.filter(~nw.col(name).is_null())
    rows = with_windows(rows, step)
    crowded = rows.group_by(*key, "window").agg(nw.len().alias("rows")).filter(nw.col("rows") >= least)
    found = collected(
        crowded.group_by(*key).agg(
            nw.len().alias("windows"), nw.col("rows").sum().alias("queries"), nw.col("rows").max().alias("worst"),
            nw.col("window").min().alias("first"), nw.col("window").max().alias("last"),
        )
    )  # fmt: skip
    found = found.sort_values(["worst", "queries", *key], ascending=[False, False, True, True, True], ignore_index=True)
    for name in ("first", "last"):
        found[name] = pd.to_datetime(found[name] * step, unit="us", utc=True).dt.as_unit("us")
    found = found.astype({"queries": "int64"})
    read_as = f"questions that a client asked {least} times or more within {every}"
    chart = {"kind": "bars", "name": key, "value": "worst"}
    return result(found, "storms", read_as, chart, every=every, least=least)


def retries(frame: Any, within: str = "10s") -> Result:
    """Return by client what went without a good answer and what was asked again: `failed`, `timeouts`, `retried`.

    `failed` are rows with the status "failed" or the rcode SERVFAIL, `timeouts` those of them that nobody answered (no
    rcode; in captures, no answer was seen), `retried` the questions asked again within that time of a failure of
    theirs, `recovered` those of them that then got an answer. `failed_share` is of the client's `queries` (0-1).

    >>> from dnsnb import simulate
    >>> found = retries(simulate.frame(hours=0.5))
    >>> bool((found["recovered"] <= found["retried"]).all())
    True
    """
    step = window_us(within, "within")
    have = columns_of(frame)
    key = ["client", "qname", "qtype"]
    rows = lazy(frame, "time", *key, "rcode", *(["status"] if "status" in have else []))
    answered = collected(rows.filter(~nw.col("rcode").is_null()).select(nw.len().alias("n")))["n"].iloc[0]
    for name in ("time", "client", "qname"):
        rows = rows.filter(~nw.col(name).is_null())
    bad = nw.when(nw.col("rcode") == "SERVFAIL").then(1).otherwise(0)
    if "status" in have:
        lost = ["failed", "unknown"] if answered else ["failed"]  # a log of questions alone says nothing of answers
        silence = nw.col("rcode").is_null() & nw.col("status").is_in(lost)
        bad = nw.when((nw.col("status") == "failed") | silence).then(1).otherwise(bad)
    rows = with_windows(rows, 1, "at").with_columns(bad.alias("bad"))
    silent = nw.when((nw.col("bad") == 1) & nw.col("rcode").is_null()).then(1).otherwise(0)
    # of equal times the failure comes first, so that each library sees the same order
    rows = rows.with_columns(silent.alias("silent"), (nw.col("at") * 2 - nw.col("bad")).alias("order"))
    rows = rows.with_columns(
        nw.col("at").shift(1).over(*key, order_by="order").alias("before"),
        nw.col("bad").shift(1).over(*key, order_by="order").alias("was_bad"),
    )
    again = (nw.col("was_bad") == 1) & ((nw.col("at") - nw.col("before")) <= step)
    rows = rows.with_columns(nw.when(again).then(1).otherwise(0).alias("again"))
    good = nw.when((nw.col("again") == 1) & (nw.col("bad") == 0)).then(1).otherwise(0)
    rows = rows.with_columns(good.alias("good"))
    sums = {"failed": "bad", "timeouts": "silent", "retried": "again", "recovered": "good"}
    found = collected(
        rows.group_by("client").agg(
            nw.len().alias("queries"), *(nw.col(column).sum().alias(name) for name, column in sums.items())
        )
    )
    found = found.astype(dict.fromkeys(sums, "int64"))
    found.insert(2, "failed_share", found["failed"] / found["queries"])
    found = found.sort_values(["failed", "client"], ascending=[False, True], ignore_index=True)
    read_as = f"what went without a good answer, and what was asked again within {within} of that"
    return result(found, "retries", read_as, {"kind": "bars", "name": "client", "value": "failed"}, within=within)
