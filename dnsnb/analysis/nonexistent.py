"""Names that don't exist: their share, with and without what machines ask by habit, and what search lists waste."""

from __future__ import annotations

from typing import Any

import narwhals as nw
import pandas as pd

from dnsnb.analysis.native import collected, columns_of, lazy
from dnsnb.analysis.result import Result, result

#: why an answered question may be left out of the ratio, the first that fits
HABITS = ("reverse", "single_label", "search_suffix")


def nxdomain(frame: Any, by: str | None = None) -> Result:
    """Return the share of answers that were NXDOMAIN, both ways: of all, and without what machines ask by habit.

    `answered`, `nxdomain` and `ratio` are of all rows with an rcode; `reverse` (below arpa), `single_label` (probes of
    browsers, wpad) and `search_suffix` (a name that the same client asked without its ending too) count the rows left
    out of `other_answered`, `other_nxdomain` and `other_ratio`. One row for each value of `by`, if given.

    >>> from dnsnb import simulate
    >>> found = nxdomain(simulate.frame(hours=0.5)).iloc[0]
    >>> bool(found["other_answered"] <= found["answered"])
    True
    """
    return nxdomain_result(_answered(frame, by), by)


def nxdomain_result(groups: pd.DataFrame, by: str | None) -> Result:
    """Return `rows`, `answered` and `nxdomain` by client, name and `by` as the result of `nxdomain`."""
    groups = _judged(groups)
    groups["group"] = "all" if by is None else groups[by]
    for habit in HABITS:
        groups[habit] = groups["answered"].where(groups["habit"] == habit, 0)
    own = groups["habit"] == ""
    groups["other_answered"] = groups["answered"].where(own, 0)
    groups["other_nxdomain"] = groups["nxdomain"].where(own, 0)
    counts = ["answered", "nxdomain", *HABITS, "other_answered", "other_nxdomain"]
    found = groups.dropna(subset=["group"]).groupby("group", as_index=False)[counts].sum()
    found["ratio"] = found["nxdomain"] / found["answered"].where(lambda n: n > 0)
    found["other_ratio"] = found["other_nxdomain"] / found["other_answered"].where(lambda n: n > 0)
    found = found.sort_values(["nxdomain", "group"], ascending=[False, True], ignore_index=True)
    key = by or "group"
    found = found.rename(columns={"group": key})[
        [key, "answered", "nxdomain", "ratio", *HABITS, "other_answered", "other_nxdomain", "other_ratio"]
    ]
    read_as = "ratio is NXDOMAIN of all answered; other_ratio leaves out reverse, single-label and search-list names"
    return result(found, "nxdomain", read_as, {"kind": "bars", "name": key, "value": "ratio"}, by=by)


def search_suffixes(frame: Any, n: int = 20) -> Result:
    """Return what search lists waste: endings that clients hang on names, asked in vain, by `suffix`.

    A name counts when it did not exist and the same client asked for it without the ending too. `queries`, their
    `share` of all rows (0-1), distinct `names` and `clients`, and an `example`.

    >>> from dnsnb import simulate
    >>> search_suffixes(simulate.frame(hours=0.2)).columns.tolist()
    ['suffix', 'queries', 'share', 'names', 'clients', 'example']
    """
    if n < 1:
        raise ValueError(f"n: {n!r}: must be at least 1")
    groups = _judged(_answered(frame, None))
    total = int(groups["rows"].sum())
    groups = groups[(groups["habit"] == "search_suffix") & (groups["nxdomain"] > 0)]
    found = groups.groupby("suffix", as_index=False).agg(
        queries=("nxdomain", "sum"), names=("qname", "nunique"), clients=("client", "nunique"), example=("qname", "min")
    )
    found = found.sort_values(["queries", "suffix"], ascending=[False, True], ignore_index=True).head(n)
    found.insert(2, "share", found["queries"] / max(total, 1))
    read_as = f"endings of search lists that were asked in vain; share is of all {total:,} rows"
    return result(found, "search_suffixes", read_as, {"kind": "bars", "name": "suffix", "value": "queries"}, n=n)


def _answered(frame: Any, by: str | None) -> pd.DataFrame:
    """Return `rows`, `answered` and `nxdomain` by client, name and `by`, by the frame's own engine."""
    asker = "client" in columns_of(frame)
    keys = [*(["client"] if asker else []), "qname", *([by] if by and by not in ("client", "qname") else [])]
    rows = lazy(frame, "rcode", *keys, *([by] if by == "client" else []))
    rows = rows.with_columns(
        nw.when(nw.col("rcode").is_null()).then(0).otherwise(1).alias("answered"),
        nw.when(nw.col("rcode") == "NXDOMAIN").then(1).otherwise(0).alias("nxdomain"),
    )
    sums = [nw.col(name).sum() for name in ("answered", "nxdomain")]
    groups = collected(rows.group_by(*keys).agg(nw.len().alias("rows"), *sums))
    groups = groups.sort_values(keys, ignore_index=True)
    return groups if asker else groups.assign(client="")


def _judged(groups: pd.DataFrame) -> pd.DataFrame:
    """Return the groups with the `habit` of each, and the `suffix` that a search list hung on it."""
    askers = groups["client"].fillna("").tolist()
    asked: dict[Any, set[Any]] = {}
    for client, qname in zip(askers, groups["qname"], strict=True):
        asked.setdefault(client, set()).add(qname)
    habits, suffixes = [], []
    for client, qname, missing in zip(askers, groups["qname"], groups["nxdomain"], strict=True):
        habit, suffix = _habit(qname, asked[client] if missing else set())
        habits.append(habit)
        suffixes.append(suffix)
    return groups.assign(habit=habits, suffix=pd.Series(suffixes, groups.index, dtype="str"))


def _habit(qname: Any, asked: set[Any]) -> tuple[str, str | None]:
    if not isinstance(qname, str):
        return "", None
    if qname == "arpa" or qname.endswith(".arpa"):
        return "reverse", None
    if "." not in qname:
        return "single_label", None
    dot = qname.rfind(".")
    while dot > 0:  # the longest name that was asked as it stands has the shortest ending
        if qname[:dot] in asked:
            return "search_suffix", qname[dot + 1 :]
        dot = qname.rfind(".", 0, dot)
    return "", None
