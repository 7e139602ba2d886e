"""When clients were busy: sessions by silence, and what is looked up together as a page is opened."""

from __future__ import annotations

from collections import Counter
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd

from dnsnb.analysis.native import collected, lazy, window_us, with_windows
from dnsnb.analysis.result import Result, result

#: the types that one program asks of one name at once (happy eyeballs, RFC 8305; service bindings, RFC 9460)
TOGETHER = ("A", "AAAA", "HTTPS")
#: how long after the first of them the others count as the same lookup
FOLD_US = 1_000_000


def sessions(frame: Any, gap: str = "30min") -> Result:
    """Return each client's sessions: `start`, `end`, `minutes`, `queries`, `lookups`, `names`.

    More than `gap` without a query parts two. `lookups` are the queries, but A, AAAA and HTTPS of one name within a
    second counted once. Rows without client, time or name are left out.

    >>> from dnsnb import simulate
    >>> found = sessions(simulate.frame(hours=0.5))
    >>> int(found["queries"].sum()) == len(simulate.frame(hours=0.5))
    True
    """
    rows = _looked_up(frame)
    # one row a client and moment first: of equal times no library keeps the same order
    moments = rows.group_by("client", "at").agg(nw.len().alias("rows"), nw.col("lookup").sum().alias("lookups"))
    before = nw.col("at").shift(1).over("client", order_by="at")
    moments = moments.with_columns((nw.col("at") - before).alias("silence"))
    begins = nw.when(nw.col("silence").is_null() | (nw.col("silence") > window_us(gap, "gap"))).then(1).otherwise(0)
    moments = moments.with_columns(begins.alias("begins"))
    number = nw.col("begins").cum_sum().over("client", order_by="at").cast(nw.Int64)
    moments = moments.with_columns(number.alias("session"))
    key = ["client", "session"]
    found = collected(
        moments.group_by(*key).agg(
            nw.col("at").min().alias("start"), nw.col("at").max().alias("end"), nw.col("rows").sum().alias("queries"),
            nw.col("lookups").sum(),
        )
    )  # fmt: skip
    named = rows.join(moments.select("client", "at", "session"), on=["client", "at"])
    names = collected(named.group_by(*key).agg(nw.col("qname").n_unique().alias("names")))  # no nulls
    found = found.merge(names, on=key).sort_values(key, ignore_index=True)
    found["minutes"] = ((found["end"] - found["start"]) / 60e6).round(3)
    for name in ("start", "end"):
        found[name] = pd.to_datetime(found[name], unit="us", utc=True).dt.as_unit("us")
    found = found[[*key, "start", "end", "minutes", "queries", "lookups", "names"]]
    found = found.astype({"queries": "int64", "lookups": "int64"})
    read_as = f"each client's times of activity, parted by more than {gap} of silence"
    return result(found, "sessions", read_as, {"kind": "bars", "name": key, "value": "queries"}, gap=gap)


def page_loads(frame: Any, window: str = "2s", n: int = 20, limit: int = 5_000_000) -> Result:
    """Return the names that begin a burst of lookups, and what came within `window` of them, as a page's parts do.

    A burst begins with a client's first lookup after `window` of silence or after the last burst's end. `root` is the
    name it began with, `loads` and `clients` how often and by whom, `names` the mean number of other names with it,
    `companions` the commonest of those. Roots that were always alone are left out. Reads at most `limit` lookups.

    >>> from dnsnb import simulate
    >>> bool((page_loads(simulate.frame(hours=0.5))["names"] > 0).all())
    True
    """
    if n < 1:
        raise ValueError(f"n: {n!r}: must be at least 1")
    step = window_us(window, "window")
    rows = collected(_looked_up(frame).filter(nw.col("lookup") == 1).select("client", "at", "qname").head(limit + 1))
    if len(rows) > limit:
        raise ValueError(f"limit: {limit:,}: the frame has more lookups; give a part of it, or a higher limit")
    rows = rows.sort_values(["client", "at", "qname"], ignore_index=True)
    begins = _bursts(rows["client"].factorize()[0], rows["at"].to_numpy(), step)
    rows["burst"] = np.cumsum(begins)
    roots = rows[begins].set_index("burst")
    rows["root"] = rows["burst"].map(roots["qname"])
    others = rows[rows["qname"] != rows["root"]].drop_duplicates(["burst", "qname"])
    table = roots.groupby("qname").agg(loads=("at", "size"), clients=("client", "nunique"))
    table["names"] = others.groupby("root").size().reindex(table.index).fillna(0) / table["loads"]
    table = table[table["names"] > 0].rename_axis("root").reset_index()
    table = table.sort_values(["loads", "root"], ascending=[False, True], ignore_index=True).head(n)
    shown = others[others["root"].isin(table["root"])]
    companions = {root: Counter(names) for root, names in shown.groupby("root")["qname"]}
    table["companions"] = pd.Series([_commonest(companions[root]) for root in table["root"]], dtype="str")
    read_as = f"names that begin a burst of lookups, and what came within {window} of them"
    chart = {"kind": "bars", "name": "root", "value": "loads"}
    return result(table, "page_loads", read_as, chart, window=window, n=n, limit=limit)


def _looked_up(frame: Any) -> Any:
    """Return lazy rows `client`, `at` (µs), `qname`, and `lookup`: 0 where a type of TOGETHER came just before."""
    rows = lazy(frame, "time", "client", "qname", "qtype")
    for name in ("time", "client", "qname"):
        rows = rows.filter(~nw.col(name).is_null())
    apart = nw.when(nw.col("qtype").is_in(list(TOGETHER))).then(0).otherwise(1)
    rows = with_windows(rows, 1, "at").with_columns(apart.alias("apart"))
    before = nw.col("at").shift(1).over("client", "qname", "apart", order_by="at")
    rows = rows.with_columns((nw.col("at") - before).alias("since"))
    follows = (nw.col("apart") == 0) & ~nw.col("since").is_null() & (nw.col("since") <= FOLD_US)
    return rows.with_columns(nw.when(follows).then(0).otherwise(1).alias("lookup"))


def _bursts(clients: np.ndarray, times: np.ndarray, step: int) -> np.ndarray:
    """Return where a burst begins: a new client, or more than `step` after the burst's first."""
    begins = np.zeros(len(times), dtype=bool)
    client, first = -1, 0
    for place, (who, at) in enumerate(zip(clients.tolist(), times.tolist(), strict=True)):
        if who != client or at - first > step:
            begins[place] = True
            client, first = who, at
    return begins


def _commonest(names: Counter[str]) -> str:
    return ", ".join(name for name, _ in sorted(names.items(), key=lambda item: (-item[1], item[0]))[:3])
