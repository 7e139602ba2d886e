"""Who asks whom for what: flows from client to domain to what answered, totals kept, drawn as a Sankey diagram."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import narwhals as nw
import pandas as pd

from dnsnb.analysis.folding import NONE, OTHER, free_label
from dnsnb.analysis.native import collected, lazy
from dnsnb.analysis.result import Result, result
from dnsnb.names import registered_domain


def flow(frame: Any, stages: Sequence[str] = ("client", "domain", "answered_by"), most: int = 8) -> Result:
    """Return the flows between neighbouring stages: `stage` (0, 1 …), `source`, `target`, `count`.

    A stage is a column, or "domain" (registered), or "answered_by" (the upstream; of what none answered the status).
    The `most` most frequent values of a stage stand for themselves, the others are "(other)", nulls "(none)" (in more
    brackets where a value is called so), so that the counts of every stage add up to all rows.

    >>> from dnsnb import simulate
    >>> frame = simulate.frame(hours=0.2)
    >>> bool((flow(frame).groupby("stage")["count"].sum() == len(frame)).all())
    True
    """
    if len(stages) < 2 or len(set(stages)) != len(stages):
        raise ValueError(f"stages: {tuple(stages)!r}: must be two different ones at least")
    if most < 1:
        raise ValueError(f"most: {most!r}: must be at least 1")
    needed = {"domain": ["qname"], "answered_by": ["upstream", "status"]}
    columns = list(dict.fromkeys(c for stage in stages for c in needed.get(stage, [stage])))
    rows = lazy(frame, *columns)
    rows = rows.with_columns(*(nw.col(name).cast(nw.String) for name in columns))
    groups = collected(rows.group_by(*columns).agg(nw.len().alias("count")))
    if "domain" in stages:
        names = groups["qname"].drop_duplicates().dropna().tolist()
        domains = dict(zip(names, registered_domain(names), strict=True))
        groups["domain"] = pd.Series([domains.get(name) or name for name in groups["qname"]], dtype="str")
    if "answered_by" in stages:
        groups["answered_by"] = groups["upstream"].fillna(groups["status"])
    labels = pd.DataFrame({stage: _folded(groups, stage, most) for stage in stages})
    found = []
    for number, (source, target) in enumerate(pairwise(stages)):
        pairs = pd.DataFrame({"source": labels[source], "target": labels[target], "count": groups["count"]})
        pairs = pairs.groupby(["source", "target"], as_index=False).agg({"count": "sum"})
        pairs.insert(0, "stage", number)
        found.append(pairs.sort_values(["count", "source", "target"], ascending=[False, True, True]))
    table = pd.concat(found, ignore_index=True)
    read_as = f"who asks whom for what: {' → '.join(stages)}; every stage adds up to all {groups['count'].sum():,} rows"
    chart = {"kind": "sankey", "stages": list(stages)}
    return result(table, "flow", read_as, chart, stages=list(stages), most=most)


def _folded(groups: pd.DataFrame, stage: str, most: int) -> pd.Series:
    values = groups[stage]
    totals = groups.groupby(stage)["count"].sum()
    ranked = sorted(totals.items(), key=lambda item: (-item[1], item[0]))[:most]
    kept = {value for value, _ in ranked}
    other, none = free_label(OTHER, kept), free_label(NONE, kept)
    return pd.Series([none if pd.isna(value) else value if value in kept else other for value in values], dtype="str")
