"""Who calls home by the clock: regular pairs of client and registered domain, and which of them a TTL explains."""

from __future__ import annotations

import math
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
    newest_hours,
    octets,
    present,
    reduced,
    several,
    unsized,
    with_domains,
)
from dnsnb.analysis.regular import fisher_g, regularity
from dnsnb.analysis.result import Result, result
from dnsnb.analysis.rita import beacon_score

_NEEDS = ("client", "qname", "time")
_TAKES = ("ttl", "query_bytes")
MOST_EVENTS = 2_000_000
_SECOND = 1_000_000
_MARKS = ((1, "1 s"), (10, "10 s"), (60, "1 min"), (600, "10 min"), (3600, "1 h"), (86_400, "1 d"))
COLUMNS = (
    "client", "domain", "verdict", "score", "regularity", "period_s", "jitter", "lost", "chance", "ttl_explained",
    "ttl_s", "asks", "prevalence", "times_score", "sizes_score", "histogram_score", "duration_score", "fisher_p",
    "first", "last",
)  # fmt: skip


def beacons(
    frame: Any,
    n: int | None = 20,
    *,
    fewest: int = 12,
    together_s: int = 2,
    shortest_s: float = 10.0,
    ignore: Iterable[str] = IGNORED,
    most: int = MOST_EVENTS,
) -> Result:
    """Return the `n` most regular pairs of client and registered domain, those that chance doesn't explain first.

    Questions at most `together_s` seconds after one another are one ask; pairs with fewer than `fewest` asks are left
    out. `score` is that of RITA v5, of its four parts beside it, over the span of the frame. `regularity` is the share
    of the gaps that are alike, about `period_s` seconds, `jitter` (0-1) around it; `lost` (0-1) asks are missing;
    `chance` is how many pairs as regular as this one random times would give, `fisher_p` Fisher's g test. A client with
    a cache asks again when the TTL has ended: where most gaps are that, `ttl_explained` is true and `verdict` "ttl";
    "beacon" where half of the gaps are alike, `shortest_s` long at least (shorter ones are retries), the chance is
    below 0.01 and no TTL explains them. `ttl_s` is the median,
    `prevalence` the share of all clients that ask for the domain: what half of a network does is seldom malware. Of a
    log with more than `most` rows the newest hours are looked at, and `read_as` says so. The plot shows how long the
    gaps are: a clock's stand at one place.

    >>> from dnsnb import simulate
    >>> day = simulate.frame(hours=2, rate=0.05)
    >>> beacons(day, n=1)[["client", "domain", "verdict"]].to_dict("records")
    [{'client': '127.0.2.21', 'domain': 'quiet-harbor.example', 'verdict': 'beacon'}]
    """
    params = _params(n, fewest, together_s, shortest_s, ignore) | {"most": most}
    newest, left_out = newest_hours(frame, most)
    return _judged(_events(frame, params["ignore"], newest), params, left_out)


class Beacons:
    """The incremental twin of `beacons`: the same while there are at most `events` seconds in which somebody asked.

    Beyond that the oldest go, of all pairs: it is a window that slides.
    """

    analysis = "beacons"
    needs = _NEEDS
    takes = _TAKES

    def __init__(
        self,
        n: int | None = 20,
        *,
        fewest: int = 12,
        together_s: int = 2,
        shortest_s: float = 10.0,
        ignore: Iterable[str] = IGNORED,
        events: int = 500_000,
    ) -> None:
        self.params = _params(n, fewest, together_s, shortest_s, ignore) | {"events": events}
        self._events = Gathered(
            ("client", "domain", "second"),
            ("octets",),
            ("ttl",),
            limit=events,
            worth=lambda table: table["second"],
            reduce=partial(_events, ignore=self.params["ignore"]),
        )

    @property
    def dropped(self) -> int:
        return self._events.dropped

    def add(self, rows: pd.DataFrame) -> None:
        self._events.feed(rows)

    def absorb(self, other: Beacons) -> None:
        self._events.absorb(other._events)

    def result(self) -> Result:
        params = {k: v for k, v in self.params.items() if k != "events"}
        return _judged(self._events.table(), params | {"most": MOST_EVENTS}, self.dropped)


def _params(n: int | None, fewest: int, together_s: int, shortest_s: float, ignore: Iterable[str]) -> dict[str, Any]:
    if fewest < 4:
        raise ValueError(f"fewest: {fewest!r}: must be at least 4: three gaps are the least that can be alike")
    how = {"fewest": fewest, "together_s": together_s, "shortest_s": shortest_s}
    return {"n": n, **how, "ignore": several(ignore)}


def _events(frame: Any, ignore: tuple[str, ...], where: Any = None) -> pd.DataFrame:
    """Return the seconds in which a client asked for a domain: rows, octets of the questions, least TTL."""
    have = present(frame, *_TAKES)
    sums = {"octets": octets("query_bytes", have), "bare": unsized("query_bytes", have)}
    least = {"ttl": nw.col("ttl").cast(nw.Float64)} if "ttl" in have else {}
    found = reduced(
        frame,
        ("client", "qname", "second"),
        sums,
        least,
        (*_NEEDS, *have),
        window=("second", _SECOND),
        where=~nw.col("time").is_null() if where is None else where,
    )
    if not least:
        found["ttl"] = np.nan
    found["second"] = found["second"].astype("int64")
    found["octets"] += found["bare"] * (found["qname"].str.len().astype("int64") + QUERY_OVERHEAD)
    found = with_domains(found, ignore)
    gathered = Gathered(("client", "domain", "second"), ("octets",), ("ttl",))
    gathered.add(found)
    return gathered.table()


def _judged(events: pd.DataFrame, params: dict[str, Any], left_out: int) -> Result:
    n, fewest = params["n"], params["fewest"]
    asks = _asks(events, params["together_s"])
    first, last = (int(f(events["second"])) if len(events) else 0 for f in (min, max))
    pairs = asks.groupby(["client", "domain"], sort=True, as_index=False).agg(
        asks=("second", "size"), begin=("place", "min")
    )
    pairs = pairs[pairs["asks"] >= fewest]
    times, ttls, sizes = (asks[name].to_numpy() for name in ("second", "ttl", "octets"))
    rows = []
    for pair in pairs.itertuples(index=False):
        of = slice(pair.begin, pair.begin + pair.asks)
        rows.append((pair.client, pair.domain, pair.asks, of, *regularity(np.diff(times[of]))))
    names = ("client", "domain", "asks", "of", "regularity", "period_s", "jitter", "lost", "log10")
    table = pd.DataFrame(rows, columns=list(names))
    # so many places were looked at: chance had as many tries
    askers = events.drop_duplicates(["client", "domain"])["domain"].value_counts()
    everybody = max(1, events["client"].nunique())
    table["prevalence"] = [askers[domain] / everybody for domain in table["domain"]]
    table["chance"] = [10.0 ** min(0.0, v) * len(table) for v in table["log10"]]
    regular = (table["regularity"] >= 0.5) & (table["chance"] < 0.01) & (table["period_s"] >= params["shortest_s"])
    explained = np.array(
        [bool(sure) and _by_ttl(times[of], ttls[of]) for sure, of in zip(regular, table["of"], strict=True)]
    )
    explained = explained.astype("bool")
    table["verdict"] = pd.Series(np.where(regular, np.where(explained, "ttl", "beacon"), ""), dtype="str")
    table["rank"] = np.where(regular, np.where(explained, 1, 0), 2)
    flagged = int((table["rank"] == 0).sum())
    by_ttl = int((table["rank"] == 1).sum())
    total = len(table)
    table = table.sort_values(["rank", "log10", "client", "domain"], ignore_index=True)
    table = table.head(len(table) if n is None else n)
    table["ttl_explained"] = pd.Series(
        [_by_ttl(times[of], ttls[of]) for of in table["of"]], dtype="bool", index=table.index
    )
    table["ttl_s"] = [_median(ttls[of]) for of in table["of"]]
    scores = [beacon_score(times[of], sizes[of], first, last) for of in table["of"]]
    for number, name in enumerate(("score", "times_score", "sizes_score", "histogram_score", "duration_score")):
        table[name] = pd.Series([s[number] for s in scores], dtype="float64", index=table.index)
    periods = zip(table["of"], table["period_s"], strict=True)
    table["fisher_p"] = [fisher_g(times[of], max(1.0, period / 3))[1] for of, period in periods]
    table["first"] = as_time([times[of.start] * _SECOND for of in table["of"]])
    table["last"] = as_time([times[of.stop - 1] * _SECOND for of in table["of"]])
    for name in ("client", "domain"):
        table[name] = table[name].astype("str")
    table["client"] = table["client"].where(table["client"] != "", None)
    read_as = f"{flagged} of {total:,} pairs call by the clock; {by_ttl} more do as a TTL tells them"
    if left_out:
        read_as += f"; the {left_out:,} oldest rows are left out"
    made = result(table[list(COLUMNS)], "beacons", read_as, None, **params)
    labels = [f"{client or ''} {domain}" for client, domain in zip(table["client"], table["domain"], strict=True)]
    made.attrs["chart"] = {
        "kind": "raster",
        "series": {label: _gaps(times[of]) for label, of in zip(labels[:12], table["of"].head(12), strict=True)},
        "marks": [(math.log10(seconds), said) for seconds, said in _MARKS],
    }
    return made


def _gaps(times: Any) -> list[float]:
    """Return the gaps as a drawing needs them: log10 of seconds, no more than it can show."""
    gaps = np.diff(times)
    return [round(math.log10(gap), 3) for gap in gaps[:: max(1, len(gaps) // 1500)].tolist()]


def _asks(events: pd.DataFrame, together_s: int) -> pd.DataFrame:
    """Put together what follows within `together_s` of what came before: one ask, at the time of its first question."""
    events = events.sort_values(["client", "domain", "second"], ignore_index=True)
    if events.empty:
        return events.assign(place=pd.Series(dtype="int64"))
    same = (events["client"] == events["client"].shift()) & (events["domain"] == events["domain"].shift())
    near = events["second"].diff() <= together_s
    ask = (~(same & near)).cumsum()
    asks = events.groupby(ask, sort=True).agg(
        client=("client", "first"),
        domain=("domain", "first"),
        second=("second", "first"),
        octets=("octets", "sum"),
        ttl=("ttl", "min"),
    )
    asks = asks.reset_index(drop=True)
    return asks.assign(place=np.arange(len(asks)))


def _by_ttl(times: Any, ttls: Any) -> bool:
    """Tell whether the gaps are those of a client with a cache that always needs the name.

    It never asks before the TTL has ended, and mostly at once after that. Seconds are whole: one more or less.
    """
    known = ttls[:-1]
    told = ~np.isnan(known)
    if np.count_nonzero(told) < 3:
        return False
    late = (np.diff(times) - known)[told]
    soon = (late >= -1) & (late <= np.maximum(2, known[told] * 0.02))
    return bool(np.mean(late >= -1) >= 0.95 and np.mean(soon) >= 0.7)


def _median(ttls: Any) -> float:
    known = ttls[~np.isnan(ttls)]
    return float(np.median(known)) if len(known) else math.nan
