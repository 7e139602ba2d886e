"""Two logs side by side: what came, what went, what is asked more or less."""

from __future__ import annotations

from typing import Any

import narwhals as nw
import pandas as pd

from dnsnb.analysis.native import collected, lazy
from dnsnb.analysis.result import Result, result


def compare(a: Any, b: Any, column: str = "qname", n: int = 20) -> Result:
    """Return the `n` values of a column whose share changed most from log `a` to log `b` (two periods, two servers).

    `share_a`, `share_b` are of all rows (0-1), `change` their difference, `fate` "new", "gone" or "both".

    >>> from dnsnb import simulate
    >>> compare(simulate.frame(1, 0.2), simulate.frame(2, 0.2), n=3)["change"].abs().is_monotonic_decreasing
    True
    """
    counts = []
    totals = []
    for frame in (a, b):
        rows = lazy(frame, column)
        counts.append(collected(rows.filter(~nw.col(column).is_null()).group_by(column).agg(nw.len().alias("n"))))
        totals.append(max(int(collected(rows.select(nw.len().alias("n")))["n"].iloc[0]), 1))
    both = counts[0].merge(counts[1], on=column, how="outer", suffixes=("_a", "_b"))
    for side, total in zip("ab", totals, strict=True):
        both[f"n_{side}"] = both[f"n_{side}"].fillna(0).astype("int64")
        both[f"share_{side}"] = both[f"n_{side}"] / total
    both["change"] = both["share_b"] - both["share_a"]
    both["fate"] = "both"
    both.loc[both["n_a"] == 0, "fate"] = "new"
    both.loc[both["n_b"] == 0, "fate"] = "gone"
    ranked = both.assign(size=both["change"].abs()).sort_values(["size", column], ascending=[False, True]).head(n)
    ranked = ranked.drop(columns="size").reset_index(drop=True).rename(columns={"n_a": "count_a", "n_b": "count_b"})
    gone, new = int((both["n_b"] == 0).sum()), int((both["n_a"] == 0).sum())
    read_as = f"{column}: {new:,} new, {gone:,} gone, {len(both) - new - gone:,} in both; the largest changes first"
    return result(pd.DataFrame(ranked), "compare", read_as, None, column=column, n=n)
