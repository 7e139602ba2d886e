"""Data carried in names: which client sends how much below which registered domain, how sure that is, and why."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd

from dnsnb.analysis.gathered import Gathered
from dnsnb.analysis.pairs import (
    IGNORED,
    QUERY_OVERHEAD,
    as_time,
    octets,
    present,
    ramp,
    reduced,
    several,
    unsized,
    with_domains,
)
from dnsnb.analysis.result import Result, result

#: types that carry much, or that people's programs seldom ask for
ODD_TYPES = ("TXT", "NULL", "CNAME", "MX", "KEY", "PRIVATE", "TYPE65399", "TYPE65280")
_NEEDS = ("client", "qname", "qtype")
_TAKES = ("time", "query_bytes", "response_bytes")
_SUMS = ("odd", "up", "down")
_PART = {"volume": 0.30, "length": 0.25, "odd": 0.20, "new": 0.15, "random": 0.10}
_FEWEST_NAMES, _LEAST_BYTES = 8, 300
COLUMNS = (
    "client", "domain", "verdict", "score", "reasons", "queries", "names", "sub_bytes", "mean_sub", "odd_share",
    "entropy", "up_bytes", "down_bytes", "per_min", "uncacheable", "first", "last",
)  # fmt: skip


def tunnels(frame: Any, n: int | None = 20, *, least: float = 0.55, ignore: Iterable[str] = IGNORED) -> Result:
    """Return the `n` pairs of client and registered domain that look most like a tunnel, the surest first.

    `names` distinct names below the domain, `sub_bytes` the octets that they carry in all (4,000 a day is the bound of
    Paxson et al., USENIX Security 2013), `mean_sub` octets a name, `odd_share` of types such as TXT and NULL, `entropy`
    bits a character, `up_bytes` and `down_bytes` of the messages, `per_min` queries, `uncacheable` the share of
    questions whose name was new. `verdict` is "tunnel" where `score` (0-1) is at least `least`, with 8 names and 300
    octets at least; `reasons` says why. `ignore` are domains that are left out, with all below them. Memory holds a
    row for each client and distinct name.

    >>> from dnsnb import simulate
    >>> day = simulate.frame(hours=2, rate=0.1)
    >>> tunnels(day).query("verdict == 'tunnel'")[["client", "domain"]].to_dict("records")
    [{'client': '127.0.2.30', 'domain': 'deep-current.example'}]
    """
    ignore = several(ignore)
    return _judged(_by_name(frame, ignore), {"n": n, "least": least, "ignore": ignore})


class Tunnels:
    """The incremental twin of `tunnels`: the same while there are at most `names` names of (client, domain).

    Beyond that the pairs with the fewest names go first, and of those left what is beyond 20,000 names of one pair.
    """

    analysis = "tunnels"
    needs = _NEEDS
    takes = _TAKES

    def __init__(
        self,
        n: int | None = 20,
        *,
        least: float = 0.55,
        ignore: Iterable[str] = IGNORED,
        names: int = 500_000,
    ) -> None:
        self.params: dict[str, Any] = {"n": n, "least": least, "ignore": several(ignore), "names": names}
        self._groups = Gathered(
            ("client", "domain", "qname"),
            _SUMS,
            ("first",),
            ("last",),
            limit=names,
            worth=_names_of_its_pair,
            reduce=partial(_by_name, ignore=self.params["ignore"]),
        )

    @property
    def dropped(self) -> int:
        return self._groups.dropped

    def add(self, rows: pd.DataFrame) -> None:
        self._groups.feed(rows)

    def absorb(self, other: Tunnels) -> None:
        self._groups.absorb(other._groups)

    def result(self) -> Result:
        return _judged(self._groups.table(), {k: v for k, v in self.params.items() if k != "names"})


def _names_of_its_pair(table: pd.DataFrame) -> Any:
    pair = table.groupby(["client", "domain"], sort=False)["qname"]
    size, number = pair.transform("size"), pair.cumcount()
    return np.where(number < 20_000, size, 0)


def _by_name(frame: Any, ignore: tuple[str, ...]) -> pd.DataFrame:
    """Return a frame's rows by client and name: how often, of odd types, octets up and down, first and last time."""
    have = present(frame, *_TAKES)
    sums = {
        "odd": nw.col("qtype").cast(nw.String).fill_null("").is_in(list(ODD_TYPES)).cast(nw.Int64),
        "up": octets("query_bytes", have),
        "bare": unsized("query_bytes", have),
        "down": octets("response_bytes", have),
    }
    times = "time" in have
    found = reduced(frame, ("client", "qname"), sums, {}, (*_NEEDS, *have), times=times)
    if not times:
        found["first"] = found["last"] = np.nan
    # where a source doesn't tell sizes: what a question of that name has at least
    found["up"] += found["bare"] * (found["qname"].str.len().astype("int64") + QUERY_OVERHEAD)
    return with_domains(found, ignore)


def _judged(groups: pd.DataFrame, params: dict[str, Any]) -> Result:
    n, least = params["n"], params["least"]
    groups = groups.sort_values(["client", "domain", "qname"], ignore_index=True)
    groups["octets"] = np.maximum(groups["qname"].str.len().astype("int64") - groups["domain"].str.len() - 1, 0)
    groups["below"] = (groups["octets"] > 0).astype("int64")
    by_pair = groups.groupby(["client", "domain"], sort=True, as_index=False)
    found = by_pair.agg(
        queries=("count", "sum"), names=("below", "sum"), asked=("qname", "size"), sub_bytes=("octets", "sum"),
        odd=("odd", "sum"), up_bytes=("up", "sum"), down_bytes=("down", "sum"),
        first=("first", "min"), last=("last", "max"),
    )  # fmt: skip
    found["entropy"] = _entropy(groups, by_pair.ngroup().to_numpy(), len(found))
    found["mean_sub"] = found["sub_bytes"] / found["names"].clip(lower=1)
    found["odd_share"] = found["odd"] / found["queries"].clip(lower=1)
    found["uncacheable"] = found["asked"] / found["queries"].clip(lower=1)
    minutes = (found["last"] - found["first"]) / 60e6
    found["per_min"] = found["queries"] / minutes.clip(lower=1.0)
    parts = {
        "volume": ramp(np.log10(found["sub_bytes"].clip(lower=1)), np.log10(200), np.log10(4000)),
        "length": ramp(found["mean_sub"], 12, 40),
        "odd": found["odd_share"].to_numpy(),
        "new": ramp(found["uncacheable"], 0.3, 0.9),
        "random": ramp(found["entropy"], 3.2, 3.9),
    }
    found["score"] = sum(_PART[name] * part for name, part in parts.items()) if len(found) else 0.0
    found["score"] = found["score"].astype("float64").round(3)
    sure = (found["score"] >= least) & (found["names"] >= _FEWEST_NAMES) & (found["sub_bytes"] >= _LEAST_BYTES)
    found["verdict"] = pd.Series(np.where(sure, "tunnel", ""), dtype="str")
    flagged, pairs = int(sure.sum()), len(found)
    ranked = found.assign(sure=sure)[found["names"] > 0].sort_values(
        ["sure", "score", "sub_bytes", "client", "domain"], ascending=[False, False, False, True, True]
    )
    best = ranked.head(len(ranked) if n is None else n).reset_index(drop=True)
    best["reasons"] = pd.Series([_reasons(row) for row in best.to_dict("records")], dtype="str")
    for name in ("first", "last"):
        best[name] = as_time(best[name])
    for name in ("client", "domain"):
        best[name] = best[name].astype("str")
    best["client"] = best["client"].where(best["client"] != "", None)
    read_as = f"{flagged} of {pairs:,} pairs of client and domain look like a tunnel; sub_bytes: what names carried"
    chart = {"kind": "bars", "name": ["client", "domain"], "value": "sub_bytes"}
    return result(best[list(COLUMNS)], "tunnels", read_as, chart, **params)


def _entropy(groups: pd.DataFrame, pair: Any, pairs: int) -> Any:
    """Return the Shannon entropy, in bits a character, of what stands below each pair's domain (dots left out)."""
    subs = [q[:k] if k else "" for q, k in zip(groups["qname"], groups["octets"], strict=True)]
    text = [s.replace(".", "").encode("utf-8", "replace") for s in subs]
    lengths = np.fromiter(map(len, text), dtype="int64", count=len(text))
    octets = np.frombuffer(b"".join(text), dtype="uint8")
    keys = np.repeat(np.asarray(pair, dtype="int64"), lengths) * 256 + octets
    places, counts = np.unique(keys, return_counts=True)
    of = places // 256
    whole = np.bincount(of, weights=counts, minlength=pairs)
    share = counts / whole[of]
    # 0 - …: a single character's entropy is 0, never -0
    return 0.0 - np.bincount(of, weights=share * np.log2(share), minlength=pairs)


def _reasons(row: dict[Any, Any]) -> str:
    said = [f"{row['sub_bytes']:,} octets in {row['names']:,} names ({row['mean_sub']:.0f} a name)"]
    if row["odd_share"] >= 0.2:
        said.append(f"{row['odd_share']:.0%} of types such as TXT")
    if row["uncacheable"] >= 0.8:
        said.append(f"{row['uncacheable']:.0%} of the questions for a new name")
    if row["entropy"] >= 3.7 and row["names"] >= _FEWEST_NAMES:
        said.append(f"{row['entropy']:.1f} bits a character")
    if row["per_min"] >= 10 and row["queries"] >= 10:
        said.append(f"{row['per_min']:,.0f} questions a minute")
    return "; ".join(said)
