"""Who asks: the devices that talk most, and how many clients stand behind each value before a log is given away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import narwhals as nw
import pandas as pd

from dnsnb.analysis.native import collected, columns_of, lazy, with_windows
from dnsnb.analysis.result import Result, result

HOUR_US = 3_600_000_000


def chatty(frame: Any, n: int = 20) -> Result:
    """Return the clients that asked most: `queries`, `share` (0-1), `hours`, `per_hour`, `names`, and the `favourite`.

    `hours` are those of the clock in which it asked anything, `per_hour` the queries in each of those; `favourite` is
    the name it asked most, `favourite_share` that name's part of its queries: near 1 is a device that polls.

    >>> from dnsnb import simulate
    >>> chatty(simulate.frame(hours=0.5))["queries"].is_monotonic_decreasing
    True
    """
    if n < 1:
        raise ValueError(f"n: {n!r}: must be at least 1")
    rows = lazy(frame, "client", "qname", "time")
    total = int(collected(rows.select(nw.len().alias("n")))["n"].iloc[0])
    rows = rows.filter(~nw.col("client").is_null())
    counts = rows.group_by("client").agg(nw.len().alias("queries"))
    found = collected(counts.sort("queries", "client", descending=[True, False]).head(n))
    mine = rows.filter(nw.col("client").is_in(found["client"].tolist()))
    hours = mine.filter(~nw.col("time").is_null())
    hours = with_windows(hours, HOUR_US, "hour").select("client", "hour").unique()
    active = collected(hours.group_by("client").agg(nw.len().alias("hours")))
    names = collected(mine.filter(~nw.col("qname").is_null()).group_by("client", "qname").agg(nw.len().alias("rows")))
    names = names.sort_values(["client", "rows", "qname"], ascending=[True, False, True])
    most = names.groupby("client", as_index=False).agg(
        names=("qname", "size"), favourite=("qname", "first"), rows=("rows", "first")
    )
    found = found.merge(active, on="client", how="left").merge(most, on="client", how="left")
    for name in ("hours", "names", "rows"):
        found[name] = found[name].fillna(0).astype("int64")
    found["share"] = found["queries"] / max(total, 1)
    found["per_hour"] = found["queries"] / found["hours"].where(found["hours"] > 0)
    found["favourite_share"] = found["rows"] / found["queries"]
    found = found[["client", "queries", "share", "hours", "per_hour", "names", "favourite", "favourite_share"]]
    read_as = f"the clients that asked most; share is of all {total:,} rows, favourite the name each asked most"
    return result(found, "chatty", read_as, {"kind": "bars", "name": "client", "value": "queries"}, n=n)


def anonymity(frame: Any, columns: Sequence[str] = ("qname", "hour"), k: int = 5) -> Result:
    """Return how far a log tells clients apart (k-anonymity): values that fewer than `k` clients share, by column.

    "hour" is the hour of the clock. `values` in all, `rare` with fewer than `k` clients, `unique` with one, `rows` and
    `share` of rows that have a rare value, `clients` that could be told by a unique one, and the `least` number of
    clients behind a value. A column is safe to give away by this measure where `rare` is 0. Rows without a client are
    left out. Sweeney, k-anonymity (IJUFKS 2002).

    >>> from dnsnb import simulate
    >>> anonymity(simulate.frame(hours=0.5), ["qtype"], k=2)["column"].tolist()
    ['qtype']
    """
    if k < 2:
        raise ValueError(f"k: {k!r}: must be at least 2")
    names = [columns] if isinstance(columns, str) else list(columns)
    clock = "hour" in names and "hour" not in columns_of(frame)
    rows = lazy(frame, "client", *("time" if clock and name == "hour" else name for name in names))
    rows = rows.filter(~nw.col("client").is_null())
    found = []
    for name in names:
        mine = rows
        if clock and name == "hour":
            mine = with_windows(rows.filter(~nw.col("time").is_null()), HOUR_US, "hour")
        pairs = collected(mine.filter(~nw.col(name).is_null()).group_by(name, "client").agg(nw.len().alias("rows")))
        values = pairs.groupby(name).agg(clients=("client", "size"), rows=("rows", "sum"))
        rare, unique = values["clients"] < k, values["clients"] == 1
        total = int(values["rows"].sum())
        told = pairs[pairs[name].isin(values.index[unique])]["client"].nunique()
        found.append(
            {
                "column": name, "values": len(values), "rare": int(rare.sum()), "unique": int(unique.sum()),
                "rows": int(values["rows"][rare].sum()), "share": float(values["rows"][rare].sum()) / max(total, 1),
                "clients": told, "least": int(values["clients"].min()) if len(values) else 0,
            }
        )  # fmt: skip
    table = pd.DataFrame(found)
    read_as = f"values that fewer than {k} clients share tell those clients apart"
    return result(table, "anonymity", read_as, {"kind": "bars", "name": "column", "value": "share"}, columns=names, k=k)
