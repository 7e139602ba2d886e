"""Small figures on answers: how long they may be kept, and how much larger than the question they are."""

from __future__ import annotations

from typing import Any

import narwhals as nw
import pandas as pd

from dnsnb.analysis.native import collected, columns_of, lazy
from dnsnb.analysis.result import Result, result

#: answers whose TTL is not what their zone says
NOT_FRESH = ("cached", "stale", "local", "blocked")
#: the least TTL of each class, in seconds
TTL_CLASSES = (0, 1, 30, 60, 300, 900, 3600, 14400, 86400)


def ttls(frame: Any) -> Result:
    """Return how TTLs of answers are spread: `ttl` (a class such as "60-299"), `count`, `share` (0-1) and `names`.

    Of fresh answers alone where the frame has `status`: what a cache gives has less left, and local and blocked answers
    are of our own making. `names` are distinct; rows without a TTL are left out.

    >>> from dnsnb import simulate
    >>> bool(ttls(simulate.frame(hours=0.2))["share"].sum().round(6) == 1)
    True
    """
    fresh = "status" in columns_of(frame)
    rows = lazy(frame, "ttl", "qname", *(["status"] if fresh else []))
    if fresh:
        kept = nw.when(nw.col("status").is_in(list(NOT_FRESH))).then(1).otherwise(0)
        rows = rows.with_columns(kept.alias("kept")).filter(nw.col("kept") == 0)
    rows = rows.filter(~nw.col("ttl").is_null()).with_columns(nw.col("qname").fill_null("").alias("qname"))
    group = nw.lit(0)
    for number, least in enumerate(TTL_CLASSES[1:], 1):
        group = nw.when(nw.col("ttl") >= least).then(number).otherwise(group)
    rows = rows.with_columns(group.alias("class"))
    distinct = nw.col("qname").n_unique().alias("names")  # no nulls
    found = collected(rows.group_by("class").agg(nw.len().alias("count"), distinct).sort("class"))
    found["ttl"] = pd.Series([_class(int(number)) for number in found["class"]], dtype="str")
    found["share"] = found["count"] / max(int(found["count"].sum()), 1)
    found = found[["ttl", "count", "share", "names"]]
    read_as = "seconds that fresh answers may be kept; share is of those with a TTL"
    if not len(found):
        read_as = "no fresh answer has a TTL"
    return result(found, "ttls", read_as, {"kind": "bars", "name": "ttl", "value": "count"})


def _class(number: int) -> str:
    least = TTL_CLASSES[number]
    if number + 1 == len(TTL_CLASSES):
        return f"{least} and more"
    most = TTL_CLASSES[number + 1] - 1
    return str(least) if least == most else f"{least}-{most}"


def amplification(frame: Any, by: str = "qtype", n: int = 20) -> Result:
    """Return how much larger answers are than their questions, by a column, the largest ratio first.

    `count`, `query_bytes` and `response_bytes` in all, their `ratio`, and the `largest` answer in bytes. Rows without
    both sizes are left out. What floods somebody is a high ratio of many rows, of types such as ANY, TXT or DNSKEY.

    >>> from dnsnb import simulate
    >>> bool((amplification(simulate.frame(hours=0.2))["ratio"] > 1).all())
    True
    """
    if n < 1:
        raise ValueError(f"n: {n!r}: must be at least 1")
    rows = lazy(frame, "query_bytes", "response_bytes", by)
    for name in ("query_bytes", "response_bytes", by):
        rows = rows.filter(~nw.col(name).is_null())
    both = ("query_bytes", "response_bytes")
    rows = rows.with_columns(*(nw.col(name).cast(nw.Int64) for name in both))  # a sum of 32 bits may not fit in them
    sums = [nw.col(name).sum().alias(f"{name}_sum") for name in both]
    largest = nw.col("response_bytes").max().alias("largest")
    found = collected(rows.group_by(by).agg(nw.len().alias("count"), *sums, largest))
    found = found.rename(columns={"query_bytes_sum": "query_bytes", "response_bytes_sum": "response_bytes"})
    found["ratio"] = found["response_bytes"] / found["query_bytes"].where(lambda size: size > 0)
    found = found.astype({"query_bytes": "int64", "response_bytes": "int64", "largest": "int64"})
    found = found[[by, "count", "query_bytes", "response_bytes", "ratio", "largest"]]
    found = found.sort_values(["ratio", by], ascending=[False, True], ignore_index=True).head(n)
    read_as = "bytes answered for each byte asked" if len(found) else "no row has the sizes of question and answer"
    return result(found, "amplification", read_as, {"kind": "bars", "name": by, "value": "ratio"}, by=by, n=n)
