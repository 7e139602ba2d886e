"""Two logs side by side, two periods or two servers: what came, what went, what is more, less, faster or slower."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

import narwhals as nw
import pandas as pd

from dnsnb.analysis.facts import Facts, facts, with_zone
from dnsnb.analysis.latency import latency
from dnsnb.analysis.native import collected, lazy
from dnsnb.analysis.result import Result, result
from dnsnb.analysis.wording import printable, share

_SHARES = ("status", "rcode", "qtype")
_OF_A_COLUMN = 8


class Comparison(Result):
    """One row a figure: `aspect`, `what`, `unit`, `a`, `b`, `difference` (b - a), `ratio` (b / a).

    `names` are those of the two; `names_asked`, `clients`, `types` the values whose share changed most, `new` and
    `gone` the names that only one of the two has.
    """

    _columns: Callable[[str, int], Result]
    names: tuple[str, str]

    def of(self, column: str, n: int = 20) -> Result:
        """Return the `n` values of a column whose share changed most, as `compare(a, b, column)` does."""
        return self._columns(column, n)

    @property
    def names_asked(self) -> Result:
        """The names whose share of all queries changed most."""
        return self.of("qname")

    @property
    def clients(self) -> Result:
        """The clients whose share of all queries changed most."""
        return self.of("client")

    @property
    def types(self) -> Result:
        """The query types whose share changed most."""
        return self.of("qtype")

    @property
    def new(self) -> pd.DataFrame:
        """The names that only the second has, the most frequent first; at most 1,000."""
        found = self.of("qname", 0)
        return _alone(found, "new")

    @property
    def gone(self) -> pd.DataFrame:
        """The names that only the first has, the most frequent first; at most 1,000."""
        return _alone(self.of("qname", 0), "gone")

    def drawn(self) -> Result:
        """The shares of both as bars side by side, in per cent."""
        shares = pd.DataFrame(self[self["unit"] == "share"])
        first, second = self.names
        wide = pd.DataFrame(
            {"figure": shares["what"].astype(str), first: shares["a"] * 100, second: shares["b"] * 100}
        ).reset_index(drop=True)
        chart = {"kind": "paired", "name": "figure", "series": [first, second], "unit": "% of the queries"}
        return result(wide, "compare", self.read_as, chart)

    def _repr_html_(self) -> str:
        first, second = (escape(printable(name)) for name in self.names)
        rows = []
        for row in self.to_dict("records"):
            shown = [_shown(row["unit"], row[name]) for name in ("a", "b")]
            shown.append(_shown("points" if row["unit"] == "share" else row["unit"], row["difference"], signed=True))
            cells = "".join(f'<td style="text-align:right">{escape(text)}</td>' for text in shown)
            what = escape(printable(f"{row['aspect']}: {row['what']}"))
            rows.append(f'<tr><td style="text-align:left">{what}</td>{cells}</tr>')
        head = f"<tr><th></th><th>{first}</th><th>{second}</th><th>difference</th></tr>"
        line = f"<p>{escape(printable(self.read_as))}</p>"
        return f'<div class="dnsnb-compare">{line}<table>{head}{"".join(rows)}</table></div>'


def compare(a: Any, b: Any, column: str | None = None, n: int = 20, *, names: tuple[str, str] | None = None) -> Result:
    """Return two logs side by side, two periods or two servers: a `Comparison` of their figures.

    With `column` instead the `n` values of it whose share changed most: `count_a`, `count_b`, `share_a`, `share_b` of
    all rows (0-1), `change`, and `fate` "new", "gone" or "both". `names` are what the two are called: by default their
    `source`, else their times. Both need qname (or the column); figures whose columns one lacks are left out.

    >>> from dnsnb import simulate
    >>> found = compare(simulate.frame(1, 0.2), simulate.frame(2, 0.2), names=("Monday", "Tuesday"))
    >>> found[["aspect", "what"]].iloc[0].tolist(), found.names
    (['volume', 'queries'], ('Monday', 'Tuesday'))
    >>> compare(simulate.frame(1, 0.2), simulate.frame(2, 0.2), "client", n=3)["change"].abs().is_monotonic_decreasing
    True
    """
    if n < 1:
        raise ValueError(f"n: {n!r}: must be at least 1")
    if column is not None:
        return _changes(a, b, column, n)
    (a, zone, _), (b, _, _) = with_zone(a), with_zone(b)
    sides = (facts(a, zone), facts(b, zone))
    lazy(a, "qname"), lazy(b, "qname")
    table = _figures((a, b), sides)
    shown = names or called(*sides)
    asked = _changes(a, b, "qname", 1).attrs["fates"]
    read_as = (
        f"{shown[0]} against {shown[1]}: {sides[0].rows:,} and {sides[1].rows:,} queries; "
        f"{asked['new']:,} names new, {asked['gone']:,} gone, {asked['both']:,} in both"
    )
    made = Comparison(table)
    made.attrs = result(table, "compare", read_as, {"kind": "paired"}, names=list(shown)).attrs
    object.__setattr__(made, "names", shown)
    object.__setattr__(made, "_columns", lambda name, most: _changes(a, b, name, most))
    return made


def _shown(unit: str, value: float, *, signed: bool = False) -> str:
    """Return a figure with its unit."""
    if value != value:
        return "–"
    sign = "+" if signed and value > 0 else ""
    if unit == "share":
        return share(value)
    if unit == "points":
        return f"{sign}{value * 100:.1f} points"
    return f"{sign}{value:,.0f}" if unit == "count" else f"{sign}{value:,.1f} {unit}"


def _figures(frames: tuple[Any, Any], sides: tuple[Facts, Facts]) -> pd.DataFrame:
    rows: list[tuple[str, str, str, float | None, float | None]] = []

    def add(aspect: str, what: str, unit: str, values: list[float | None]) -> None:
        if any(value is not None for value in values):
            rows.append((aspect, what, unit, values[0], values[1]))

    add("volume", "queries", "count", [float(side.rows) for side in sides])
    add("volume", "queries an hour", "count", [s.rows / s.seconds * 3600 if s.seconds else None for s in sides])
    add("volume", "clients", "count", [None if s.clients is None else float(s.clients) for s in sides])
    add("volume", "names", "count", [None if s.names is None else float(s.names) for s in sides])
    have = set(sides[0].columns) & set(sides[1].columns)
    for column in _SHARES:
        if column in have:
            shares = [_shares(frame, column) for frame in frames]
            both = pd.concat(shares, axis=1).fillna(0.0)
            largest = both.max(axis=1).sort_index().sort_values(ascending=False, kind="stable").head(_OF_A_COLUMN)
            for value in largest.index:
                add(column, str(value), "share", [float(share.get(value, 0.0)) for share in shares])
    if "status" in have:
        add("cache", "hit ratio", "share", [side.from_memory for side in sides])
    if {"latency_ms", "status"} <= have:
        waits = [latency(frame, by=None) for frame in frames]
        for name in ("p50", "p90", "p95", "p99"):
            add(
                "wait",
                name,
                "ms",
                [float(w[name].iloc[0]) if len(w) and w[name].notna().all() else None for w in waits],
            )
    table = pd.DataFrame(rows, columns=["aspect", "what", "unit", "a", "b"])
    table[["a", "b"]] = table[["a", "b"]].astype("float64")
    table["difference"] = table["b"] - table["a"]
    table["ratio"] = table["b"] / table["a"].where(table["a"] != 0)
    return table.astype({"aspect": "str", "what": "str", "unit": "str"})


def _shares(frame: Any, column: str) -> pd.Series:
    """Return each value's share of all rows (0-1)."""
    rows = lazy(frame, column)
    total = int(collected(rows.select(nw.len().alias("n")))["n"].iloc[0])
    found = collected(rows.filter(~nw.col(column).is_null()).group_by(column).agg(nw.len().alias("n")))
    return pd.Series(
        (found["n"] / max(total, 1)).to_numpy(), index=pd.Index(found[column], dtype="str"), dtype="float64"
    )


def called(one: Facts, other: Facts) -> tuple[str, str]:
    """Name the two: by their sources, else by their times, else a and b."""
    if one.sources and other.sources and one.sources != other.sources:
        return ", ".join(one.sources[:2]), ", ".join(other.sources[:2])
    if one.first is not None and other.first is not None and one.first != other.first:
        same = one.first.date() == other.first.date()
        return (
            (f"{one.first:%H:%M}", f"{other.first:%H:%M}") if same else (f"{one.first:%b %d}", f"{other.first:%b %d}")
        )
    return "a", "b"


def _changes(a: Any, b: Any, column: str, n: int) -> Result:
    """Return the values whose share changed most; `n` 0: all."""
    counts = []
    totals = []
    for frame in (a, b):
        rows = lazy(frame, column)
        counts.append(collected(rows.filter(~nw.col(column).is_null()).group_by(column).agg(nw.len().alias("n"))))
        totals.append(max(int(collected(rows.select(nw.len().alias("n")))["n"].iloc[0]), 1))
    both = counts[0].merge(counts[1], on=column, how="outer", suffixes=("_a", "_b"))
    for side, total in zip("ab", totals, strict=True):
        both[f"n_{side}"] = both[f"n_{side}"].fillna(0).astype("int64")
        both[f"share_{side}"] = (both[f"n_{side}"] / total).astype("float64")
    both["change"] = both["share_b"] - both["share_a"]
    both["fate"] = "both"
    both.loc[both["n_a"] == 0, "fate"] = "new"
    both.loc[both["n_b"] == 0, "fate"] = "gone"
    ranked = both.assign(size=both["change"].abs()).sort_values(["size", column], ascending=[False, True])
    ranked = ranked.head(n) if n else ranked
    ranked = ranked.drop(columns="size").reset_index(drop=True).rename(columns={"n_a": "count_a", "n_b": "count_b"})
    fates = {fate: int((both["fate"] == fate).sum()) for fate in ("new", "gone", "both")}
    read_as = (
        f"{column}: {fates['new']:,} new, {fates['gone']:,} gone, {fates['both']:,} in both; the largest changes first"
    )
    chart = {"kind": "paired", "name": column, "series": ["share_a", "share_b"], "unit": "share of the queries"}
    made = result(pd.DataFrame(ranked), "compare", read_as, chart, column=column, n=n)
    made.attrs["fates"] = fates
    return made


def _alone(changes: pd.DataFrame, fate: str) -> pd.DataFrame:
    count = "count_b" if fate == "new" else "count_a"
    found = pd.DataFrame(changes[changes["fate"] == fate])[["qname", count]].rename(columns={count: "count"})
    return found.sort_values(["count", "qname"], ascending=[False, True]).head(1000).reset_index(drop=True)
