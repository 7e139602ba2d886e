"""How much of the traffic is on given lists: what was blocked, what would have been, who asked, which list it is on."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from typing import Any

import narwhals as nw
import pandas as pd

from dnsnb.analysis.givenlists import Given, policy_of
from dnsnb.analysis.native import collected, columns_of, lazy
from dnsnb.analysis.result import Result, result
from dnsnb.dns.policy import Policy
from dnsnb.dns.wire import text_to_name
from dnsnb.errors import WireError

#: what was settled before any list was asked: no list would have changed it
SETTLED = ("local", "refused", "limited")


def trackers(frame: Any, lists: Given, by: str = "rule", n: int = 20) -> Result:
    """Return how much of a log is on lists, by "rule", "client", "list", or "overlap" of lists.

    `lists` are names (each with all below it), a file in any list format, or several by name, as for `replay`; a policy
    zone's or hosts file's own way of matching holds. `queries` are those on any list, `share` their part of all rows
    with a name (by client: of that client's), `names` and `clients` are distinct; `blocked` were blocked in the log,
    `would_be` would have been: they passed, though listed. By rule the most specific counts; by list `only` are queries
    that no other list has; by overlap the rows are of what both `list` and `other` have.

    >>> from dnsnb import simulate
    >>> found = trackers(simulate.frame(hours=0.5), simulate.ADS, by="client")
    >>> bool((found["blocked"] + found["would_be"] == found["queries"]).all())
    True
    """
    if by not in ("rule", "client", "list", "overlap"):
        raise ValueError(f"by: {by!r}: must be 'rule', 'client', 'list' or 'overlap'")
    if n < 1:
        raise ValueError(f"n: {n!r}: must be at least 1")
    policy, _ = policy_of(lists, (), False)
    groups = _groups(frame)
    matched = _matches(policy, groups["qname"].unique())
    listed = groups[[name in matched for name in groups["qname"]]].copy() if len(groups) else groups.copy()
    listed["would_be"] = listed["queries"] - listed["blocked"]
    lists_of = pd.Series([matched[name][1] for name in listed["qname"]], listed.index, dtype="object")
    key = [by]
    if by == "overlap":
        key = ["list", "other"]
        pairs = listed.assign(pair=lists_of.map(lambda names: list(combinations(names, 2))))
        pairs = pairs.explode("pair", ignore_index=True).dropna(subset=["pair"])
        for place, name in enumerate(key):
            pairs[name] = pd.Series([pair[place] for pair in pairs["pair"]], pairs.index, dtype="str")
        found = _summed(pairs, key)
    elif by == "list":
        found = _summed(listed.assign(list=lists_of).explode("list", ignore_index=True), key)
        alone = lists_of[lists_of.map(len) == 1].map(lambda names: names[0])
        only = listed.loc[alone.index, "queries"].groupby(alone).sum()
        found["only"] = found["list"].map(only).fillna(0).astype("int64")
    elif by == "client":
        found = _summed(listed[listed["client"].notna()], key).drop(columns="clients")
        wholes = groups.groupby("client")["queries"].sum()
        found["share"] = found["queries"] / found["client"].map(wholes.to_dict()).astype("float64")
    else:
        rules = pd.Series([matched[name][0] for name in listed["qname"]], listed.index, dtype="str")
        found = _summed(listed.assign(rule=rules), key)
    total = int(groups["queries"].sum())
    if by != "client":
        found["share"] = found["queries"] / max(total, 1)
    order = ["queries", "share", "names", "clients", "blocked", "would_be", "only"]
    found = found[[*key, *(name for name in order if name in found)]]
    found = found.sort_values(["queries", *key], ascending=[False, *[True] * len(key)], ignore_index=True).head(n)
    passed = int(listed["would_be"].sum())
    read_as = f"{int(listed['queries'].sum()):,} of {total:,} queries are on the lists; {passed:,} of them passed"
    chart = {"kind": "bars", "name": key, "value": "queries"}
    return result(found, "trackers", read_as, chart, by=by, n=n, lists=sorted(policy.lists))


def listed_names(lists: Given, names: Iterable[str]) -> dict[str, tuple[str, list[str]]]:
    """Return those of the names that are on the lists, with the most specific rule and the names of all lists."""
    policy, _ = policy_of(lists, (), False)
    return _matches(policy, names)


def _matches(policy: Policy, names: Iterable[Any]) -> dict[str, tuple[str, list[str]]]:
    rules = policy.rules_for("")
    found: dict[str, tuple[str, list[str]]] = {}
    for name in names:
        if not isinstance(name, str):
            continue
        try:
            matches = [match for match in rules.matches(text_to_name(name)) if match.action == "block"]
        except WireError:
            continue
        if matches:
            best = max(matches, key=lambda match: match.specific)
            found[name] = (best.rule, sorted({match.list for match in matches}))
    return found


def _groups(frame: Any) -> pd.DataFrame:
    """Return `queries` and `blocked` by client and name, without what no list would have been asked for."""
    have = columns_of(frame)
    key = [*(["client"] if "client" in have else []), "qname"]
    rows = lazy(frame, *key, "status").filter(~nw.col("qname").is_null())
    settled = nw.when(nw.col("status").is_in(list(SETTLED))).then(1).otherwise(0)
    blocked = nw.when(nw.col("status") == "blocked").then(1).otherwise(0)
    rows = rows.with_columns(settled.alias("settled"), blocked.alias("blocked")).filter(nw.col("settled") == 0)
    groups = collected(rows.group_by(*key).agg(nw.len().alias("queries"), nw.col("blocked").sum()))
    if "client" not in groups:
        groups["client"] = pd.Series([None] * len(groups), dtype="str")
    return groups.astype({"blocked": "int64"}).sort_values(["client", "qname"], ignore_index=True)


def _summed(groups: pd.DataFrame, key: list[str]) -> pd.DataFrame:
    found = groups.groupby(key, as_index=False).agg(
        queries=("queries", "sum"), names=("qname", "nunique"), clients=("client", "nunique"),
        blocked=("blocked", "sum"), would_be=("would_be", "sum"),
    )  # fmt: skip
    return found.astype(dict.fromkeys(("queries", "names", "clients", "blocked", "would_be"), "int64"))
