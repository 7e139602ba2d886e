"""Trackers behind a site's own name: a CNAME chain that leads from a first party to somebody else's tracker."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import narwhals as nw
import pandas as pd

from dnsnb.analysis.givenlists import Given
from dnsnb.analysis.native import collected, columns_of, lazy
from dnsnb.analysis.questions import SEPARATOR, with_answer_text
from dnsnb.analysis.result import Result, result
from dnsnb.analysis.trackers import listed_names
from dnsnb.names import registered_domain

TYPES = ("A", "AAAA", "CNAME", "HTTPS", "SVCB")
_ADDRESS = re.compile(r"[0-9.]+|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*")
#: how our own engine writes the rule that blocked a name for what its chain leads to
_CHAIN = re.compile(r" \(CNAME (\S+)\)$")


def cloaking(frame: Any, trackers: Given | None = None, n: int = 50) -> Result:
    """Return names whose CNAME chain ends at somebody else's tracker: `qname`, `site`, `target`, `tracker`.

    `trackers` are names (each with all below it) or files in any list format, as for `replay`; without them the list of
    cloaking domains that comes with the package (NextDNS, MIT). A tracker of the site's own registered domain is none.
    `queries` and distinct `clients` had that chain, `blocked` of them were blocked for it (as the `rule` of our own log
    tells). Wants `answers`, which cached or blocked rows of some logs lack. Dimova et al., The CNAME of the Game (PETS
    2021).

    >>> import pandas as pd
    >>> row = {"qname": "metrics.news.example", "qtype": "A", "answers": [["news.eulerian.net", "192.0.2.1"]]}
    >>> cloaking(pd.DataFrame(row))[["site", "tracker"]].values.tolist()
    [['news.example', 'eulerian.net']]
    """
    if n < 1:
        raise ValueError(f"n: {n!r}: must be at least 1")
    groups = _chains(frame)
    targets = [_targets(answers, rule) for answers, rule in zip(groups["answers"], groups["rule"], strict=True)]
    every = sorted({name for chain in targets for name in chain})
    listed = listed_names(_shipped() if trackers is None else trackers, every)
    sites = dict(zip(groups["qname"], registered_domain(groups["qname"].tolist()), strict=True))
    homes = dict(zip(every, registered_domain(every), strict=True))
    found = []
    whole = zip(targets, groups["qname"], groups["client"], groups["queries"], groups["status"], strict=True)
    for chain, qname, client, queries, status in whole:
        hit = next((name for name in chain if name in listed and homes[name] != sites[qname]), None)
        if hit is not None:
            blocked = queries if status == "blocked" else 0
            found.append((qname, sites[qname], hit, listed[hit][0], client, queries, blocked))
    columns = ["qname", "site", "target", "tracker", "client", "queries", "blocked"]
    rows = pd.DataFrame(found, columns=columns).astype(
        dict.fromkeys(columns[:5], "str") | {"queries": "int64", "blocked": "int64"}
    )
    rows["site"] = rows["site"].fillna(rows["qname"])
    table = rows.groupby(columns[:4], as_index=False).agg(
        queries=("queries", "sum"), clients=("client", "nunique"), blocked=("blocked", "sum")
    )
    table = table.sort_values(["queries", *columns[:4]], ascending=[False, *[True] * 4], ignore_index=True).head(n)
    read_as = f"{table['qname'].nunique():,} names of sites that lead to a tracker of somebody else's domain"
    return result(table, "cloaking", read_as, {"kind": "bars", "name": "qname", "value": "queries"}, n=n)


def _shipped() -> list[str]:
    text = files("dnsnb.analysis").joinpath("cloaking.txt").read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def _chains(frame: Any) -> pd.DataFrame:
    """Return `queries` by `client`, `qname`, `answers` (as one text), `rule` and `status`."""
    have = columns_of(frame)
    optional = [name for name in ("client", "rule", "status") if name in have]
    keys = ["qname", "answers", *optional]
    rows = lazy(with_answer_text(frame), "qtype", *keys).filter(~nw.col("qname").is_null())
    rows = rows.filter(nw.col("qtype").is_in(list(TYPES)))
    groups = collected(rows.group_by(*keys).agg(nw.len().alias("queries")))
    for name in ("client", "rule", "status"):
        if name not in groups:
            groups[name] = pd.Series([None] * len(groups), dtype="str")
    return groups.sort_values(keys, ignore_index=True)


def _targets(answers: Any, rule: Any) -> list[str]:
    return list(dict.fromkeys(_names(answers, rule)))


def _names(answers: Any, rule: Any) -> Iterator[str]:
    if isinstance(rule, str) and (chain := _CHAIN.search(rule)):
        yield chain[1].rstrip(".").lower()
    if isinstance(answers, str):
        for text in answers.split(SEPARATOR):
            if text and " " not in text and not _ADDRESS.fullmatch(text):
                yield text.rstrip(".").lower()
