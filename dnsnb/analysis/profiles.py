"""What each client is like: its domains, its hours, its failures; and how two periods of it differ."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd

from dnsnb.analysis.native import collected, columns_of, lazy, with_windows
from dnsnb.analysis.result import Result, result
from dnsnb.names import registered_domain

HOUR_US = 3_600_000_000


def profile(frame: Any, n: int = 50) -> Result:
    """Return a row for each of the `n` clients that asked most: what, when, and with what success.

    `queries`, distinct `names` and `domains` (registered; a name that has none stands for itself), the `top_domain` and
    its `top_share`, `nxdomain` and `blocked` as shares (0-1; null without the column), `first` and `last` (UTC), the
    `busiest_hour` (0-23, UTC), and its `queries` by hour of the day in `h00` … `h23`.

    >>> from dnsnb import simulate
    >>> found = profile(simulate.frame(hours=0.5))
    >>> bool(found.filter(regex=r"^h\\d\\d$").sum().sum() == found["queries"].sum())
    True
    """
    if n < 1:
        raise ValueError(f"n: {n!r}: must be at least 1")
    signs = [name for name in ("rcode", "status") if name in columns_of(frame)]
    rows = _asked(frame, *signs)
    best = collected(
        rows.group_by("client")
        .agg(nw.len().alias("queries"))
        .sort("queries", "client", descending=[True, False])
        .head(n)
    )
    rows = rows.filter(nw.col("client").is_in(best["client"].tolist()))
    marks = {"nxdomain": ("rcode", "NXDOMAIN"), "blocked": ("status", "blocked")}
    marks = {name: mark for name, mark in marks.items() if mark[0] in signs}
    for name, (column, value) in marks.items():
        rows = rows.with_columns(nw.when(nw.col(column) == value).then(1).otherwise(0).alias(name))
    sums = collected(
        rows.group_by("client").agg(
            nw.col("at").min().alias("first"), nw.col("at").max().alias("last"), *(nw.col(name).sum() for name in marks)
        )
    )
    found = best.merge(sums, on="client")
    for name in ("nxdomain", "blocked"):
        found[name] = found[name] / found["queries"] if name in marks else np.nan
    domains = _by_domain(rows).sort_values(["client", "count", "domain"], ascending=[True, False, True])
    tops = domains.groupby("client").agg(
        names=("names", "sum"), domains=("domain", "size"), top_domain=("domain", "first"), most=("count", "first")
    )
    found = found.join(tops, on="client")
    found["top_share"] = found["most"] / found["queries"]
    hours = _by_hour(rows).reindex(found["client"]).fillna(0).astype("int64").reset_index(drop=True)
    found["busiest_hour"] = hours.to_numpy().argmax(axis=1) if len(hours) else pd.Series(dtype="int64")
    for name in ("first", "last"):
        found[name] = pd.to_datetime(found[name], unit="us", utc=True).dt.as_unit("us")
    for name in ("names", "domains"):
        found[name] = found[name].fillna(0).astype("int64")
    columns = [
        "client",
        "queries",
        "names",
        "domains",
        "top_domain",
        "top_share",
        "nxdomain",
        "blocked",
        "first",
        "last",
    ]
    found = pd.concat([found[[*columns, "busiest_hour"]], hours], axis=1)
    read_as = "each client's habits; top_share is the part of its queries that went to its top domain; hours are UTC"
    return result(found, "profile", read_as, {"kind": "bars", "name": "client", "value": "queries"}, n=n)


def profile_diff(frame: Any, before: Any, n: int = 50) -> Result:
    """Return how each client of `frame` differs from itself in `before`, an earlier period; the largest change first.

    `distance` is Jensen-Shannon's of the registered domains it asked for (0: the same mix, 1: nothing in common; Lin
    1991, base 2, the square root), `hour_distance` that of its hours of the day. `new` and `gone` count domains that
    are in one period alone, `new_share` is the new ones' part of its queries (0-1), `new_domains` names the commonest
    three. A client of one period alone has null distances and the `fate` "new" or "gone".

    >>> from dnsnb import simulate
    >>> found = profile_diff(simulate.frame(1, hours=0.5), simulate.frame(1, hours=0.5))
    >>> float(found["distance"].max())
    0.0
    """
    if n < 1:
        raise ValueError(f"n: {n!r}: must be at least 1")
    now, then = (_counts(_by_domain(_asked(f))) for f in (frame, before))
    hours = [_by_hour(_asked(f)) for f in (frame, before)]
    found = []
    for client in sorted({*now, *then}):
        one, other = now.get(client, {}), then.get(client, {})
        row: dict[str, Any] = {"client": client, "queries": sum(one.values()), "queries_before": sum(other.values())}
        new = [domain for _, domain in sorted((-one[d], d) for d in one.keys() - other.keys())]
        row |= {"distance": None, "hour_distance": None, "new": len(new), "gone": len(other.keys() - one.keys())}
        row["new_share"] = sum(one[domain] for domain in new) / max(row["queries"], 1)
        row["new_domains"] = ", ".join(new[:3])
        row["fate"] = "both" if one and other else "new" if one else "gone"
        if one and other:
            domains = sorted({*one, *other})
            row["distance"] = distance([one.get(d, 0) for d in domains], [other.get(d, 0) for d in domains])
            row["hour_distance"] = distance(*(table.loc[client].tolist() for table in hours))
        found.append(row)
    columns = [
        "client", "fate", "distance", "hour_distance", "new", "gone", "new_share", "new_domains", "queries",
        "queries_before",
    ]  # fmt: skip
    table = pd.DataFrame(found, columns=columns)
    for name in ("distance", "hour_distance", "new_share"):
        table[name] = table[name].astype("float64")
    table = table.sort_values(["distance", "client"], ascending=[False, True], na_position="first", ignore_index=True)
    read_as = (
        "how clients changed: 0 is the same mix of domains, 1 nothing in common; clients of one period alone first"
    )
    chart = {"kind": "bars", "name": "client", "value": "distance"}
    return result(table.head(n), "profile_diff", read_as, chart, n=n)


def distance(one: Iterable[float], other: Iterable[float]) -> float:
    """Return the Jensen-Shannon distance (base 2, 0-1) of two rows of counts; NaN if one of them is empty.

    >>> distance([1, 0], [0, 1]), distance([1, 3], [2, 6])
    (1.0, 0.0)
    """
    p, q = np.asarray(list(one), "float64"), np.asarray(list(other), "float64")
    if not p.sum() or not q.sum():
        return float("nan")
    p, q = p / p.sum(), q / q.sum()
    middle = (p + q) / 2
    divergence = 0.0
    for side in (p, q):
        there = side > 0
        divergence += float((side[there] * np.log2(side[there] / middle[there])).sum()) / 2
    return float(np.sqrt(min(max(divergence, 0.0), 1.0)))


def _asked(frame: Any, *more: str) -> Any:
    rows = lazy(frame, "time", "client", "qname", *more)
    for name in ("time", "client", "qname"):
        rows = rows.filter(~nw.col(name).is_null())
    return with_windows(rows, 1, "at")


def _by_domain(rows: Any) -> pd.DataFrame:
    """Return `count` and distinct `names` by client and `domain`."""
    groups = collected(rows.group_by("client", "qname").agg(nw.len().alias("count")))
    codes, names = pd.factorize(groups["qname"])
    domains = pd.Series(
        [d or name for d, name in zip(registered_domain(names.tolist()), names, strict=True)], dtype="str"
    )
    groups["domain"] = domains.to_numpy()[codes] if len(groups) else groups["qname"]
    found = groups.groupby(["client", "domain"], as_index=False).agg(count=("count", "sum"), names=("qname", "size"))
    return found.sort_values(["client", "domain"], ignore_index=True)


def _counts(domains: pd.DataFrame) -> dict[Any, dict[Any, int]]:
    """Return the counts by client and domain as dictionaries."""
    found: dict[Any, dict[Any, int]] = {}
    for client, domain, count in zip(domains["client"], domains["domain"], domains["count"], strict=True):
        found.setdefault(client, {})[domain] = int(count)
    return found


def _by_hour(rows: Any) -> pd.DataFrame:
    """Return the counts of each client (the index) by hour of the day, in 24 columns."""
    hours = nw.col("at") // HOUR_US
    rows = rows.with_columns((hours - hours // 24 * 24).alias("hour"))
    counts = collected(rows.group_by("client", "hour").agg(nw.len().alias("count")))
    table = counts.pivot(index="client", columns="hour", values="count").reindex(columns=range(24)).fillna(0)
    table.columns = pd.Index([f"h{hour:02}" for hour in range(24)], dtype="str")
    return table
