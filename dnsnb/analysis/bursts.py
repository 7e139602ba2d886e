"""When there was suddenly more, or less, than is usual: two opinions on each window of a rate, both with a sign."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd

from dnsnb.analysis.gathered import Gathered
from dnsnb.analysis.native import collected, lazy, window_us, with_windows
from dnsnb.analysis.result import Result, result

MOST_WINDOWS = 200_000
MOST_SERIES = 1_000
_MOST_CELLS = 3_000_000
_DAY = 86_400_000_000


def bursts(
    frame: Any,
    every: str = "1min",
    by: str | None = None,
    *,
    n: int | None = 20,
    least: float = 6.0,
    fewest: int = 50,
    weight: float = 0.1,
) -> Result:
    """Return the `n` windows of `every` whose number of queries is furthest from what was usual, the furthest first.

    `expected` is the trend (a median over an hour's windows on both sides) and, where the log covers two days or more,
    the time of day; `robust_z` is how far the count is from it, in units of 1.4826 MAD (never less than chance, or a
    usual handful of questions, gives); `ewma_z` how far from the exponentially weighted mean of what came before
    (Roberts 1959, `weight`). Both are signed: minus is a lull. `verdict` is "burst" or "lull" where both are beyond
    `least`, and the count half as much again or more (and `fewest` more at least), or half or less. With `by` each
    value of a column (the 1,000 most frequent) has its own series.

    >>> from dnsnb import simulate
    >>> day = simulate.frame(hours=2, rate=0.1, infected=[simulate.Burst(start=3600)])
    >>> bursts(day, by="client")[["client", "verdict"]].head(1).to_dict("records")
    [{'client': '127.0.2.11', 'verdict': 'burst'}]
    """
    params = _params(every, by, n, least, fewest, weight)
    return _judged(_counted(frame, every, by), params)


class Bursts:
    """The incremental twin of `bursts`: the same while there are at most `windows` windows (of all series).

    Beyond that the oldest go.
    """

    analysis = "bursts"
    takes: tuple[str, ...] = ()

    def __init__(
        self,
        every: str = "1min",
        by: str | None = None,
        *,
        n: int | None = 20,
        least: float = 6.0,
        fewest: int = 50,
        weight: float = 0.1,
        windows: int = 100_000,
    ) -> None:
        self.params = _params(every, by, n, least, fewest, weight) | {"windows": windows}
        self.needs = ("time", *([by] if by else []))
        self._counts = Gathered(
            ("series", "window"),
            limit=windows,
            worth=lambda table: table["window"],
            reduce=partial(_counted, every=every, by=by),
        )

    @property
    def dropped(self) -> int:
        return self._counts.dropped

    def add(self, rows: pd.DataFrame) -> None:
        self._counts.feed(rows)

    def absorb(self, other: Bursts) -> None:
        self._counts.absorb(other._counts)

    def result(self) -> Result:
        counts = self._counts.table()
        if len(counts):  # a clock far ahead, or far behind, must not stop the stream
            counts = counts[counts["window"] > counts["window"].max() - MOST_WINDOWS]
        return _judged(counts, {k: v for k, v in self.params.items() if k != "windows"})


def _params(every: str, by: str | None, n: int | None, least: float, fewest: int, weight: float) -> dict[str, Any]:
    window_us(every)
    if not 0 < weight < 1:
        raise ValueError(
            f"weight: {weight!r}: must be between 0 and 1: the part that the newest window has in the mean"
        )
    return {"every": every, "by": by, "n": n, "least": least, "fewest": fewest, "weight": weight}


def _counted(frame: Any, every: str, by: str | None) -> pd.DataFrame:
    """Return how many rows each series has in each window."""
    rows = lazy(frame, "time", *([by] if by else [])).filter(~nw.col("time").is_null())
    series = nw.col(by).cast(nw.String).fill_null("") if by else nw.lit("")
    rows = with_windows(rows, window_us(every)).with_columns(series.alias("series"))
    found = collected(rows.group_by("series", "window").agg(nw.len().alias("count")))
    return found.astype({"series": "object", "window": "int64", "count": "int64"})


def _judged(counts: pd.DataFrame, params: dict[str, Any]) -> Result:
    every, by, n, least = (params[name] for name in ("every", "by", "n", "least"))
    step = window_us(every)
    key = by or "series"
    names = [*([by] if by else []), "time", "count", "expected", "robust_z", "ewma_z", "verdict"]
    parts = []
    if len(counts):
        first, last = int(counts["window"].min()), int(counts["window"].max())
        length = last - first + 1
        if length > MOST_WINDOWS:
            begin, end = (pd.to_datetime(w * step, unit="us", utc=True) for w in (first, last))
            why = f"gives {length:,} windows from {begin:%Y-%m-%d} to {end:%Y-%m-%d}; take a longer one, or fewer days"
            raise ValueError(f"every: {every!r}: {why}")
        totals = counts.groupby("series", sort=True)["count"].sum()
        kept = totals.sort_values(ascending=False, kind="stable").index[
            : max(1, min(MOST_SERIES, _MOST_CELLS // length))
        ]
        for name, of in counts[counts["series"].isin(kept)].groupby("series", sort=True):
            whole = np.zeros(length)
            whole[of["window"].to_numpy() - first] = of["count"].to_numpy()
            parts.append(_series(name, whole, first, step, params["weight"]))
    empty = dict.fromkeys(("count", "expected", "robust_z", "ewma_z", "series", "window"), pd.Series(dtype="float64"))
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(empty)
    both = np.minimum(table["robust_z"].abs(), table["ewma_z"].abs())
    agree = np.sign(table["robust_z"]) == np.sign(table["ewma_z"])
    more = agree & (table["robust_z"] >= least) & (table["ewma_z"] >= least)
    more &= table["count"] >= np.maximum(1.5 * table["expected"], table["expected"] + params["fewest"])
    less = agree & (table["robust_z"] <= -least) & (table["ewma_z"] <= -least)
    less &= table["count"] <= 0.5 * table["expected"]
    table["verdict"] = pd.Series(np.where(more, "burst", np.where(less, "lull", "")), dtype="str")
    table["far"] = np.where(agree, both, 0.0)
    table["flag"] = more | less
    ranked = table.sort_values(["flag", "far", "series", "window"], ascending=[False, False, True, True])
    best = ranked.head(len(ranked) if n is None else n).reset_index(drop=True)
    best["time"] = pd.to_datetime(best["window"].astype("int64") * step, unit="us", utc=True).dt.as_unit("us")
    best[key] = best["series"].astype("str").where(best["series"] != "", None)
    best["count"] = best["count"].astype("int64")
    for name in ("expected", "robust_z", "ewma_z"):
        best[name] = best[name].astype("float64").round(3)
    read_as = f"{int(more.sum())} windows of {every} with far more queries than usual, {int(less.sum())} with far fewer"
    made = result(best[names], "bursts", read_as, None, **params)
    if parts:
        made.attrs["chart"] = {"kind": "bars", "name": [*([by] if by else []), "time"], "value": "robust_z"}
    return made


def _series(name: Any, counts: Any, first: int, step: int, weight: float) -> pd.DataFrame:
    half = max(1, round(3_600_000_000 / step))
    expected = usual(counts, half, round(_DAY / step), first)
    residual = counts - expected
    active = counts > 0
    if len(counts):  # the greatest, with what is near it, is no measure for itself
        top, near = int(np.argmax(np.abs(residual))), max(2, half // 6)
        active[max(0, top - near) : top + near + 1] = False
    spread = 1.4826 * float(np.median(np.abs(residual - np.median(residual))))
    # people's questions come in handfuls: what one in ten of the busy windows has is no burst (1.645: the normal's)
    handful = float(np.quantile(np.abs(residual[active]), 0.9)) / 1.645 if active.any() else 0.0
    # and a count of so many varies by its root even when nothing happens
    scale = np.maximum(max(spread, handful), np.sqrt(np.maximum(expected, 1.0)))
    found = pd.DataFrame({"count": counts, "expected": expected, "robust_z": residual / scale})
    found["ewma_z"] = ewma_z(counts, weight, handful)
    found["series"], found["window"] = name, first + np.arange(len(counts))
    # the rest can't be among the furthest, and there may be many
    return found[(counts > 0) | (expected > 0)]


def usual(counts: Any, half: int, period: int, first: int = 0) -> Any:
    """Return what is usual for each window: a running median of `half` windows on both sides, and the season's median.

    The season is what remains at the same place of each `period`, where there are two of them; as STL (Cleveland et al.
    1990), with medians in the place of loess, which no burst moves.
    """
    trend = _running_median(counts, half)
    if period < 2 or len(counts) < 2 * period:
        return trend
    place = (first + np.arange(len(counts))) % period
    rest = pd.Series(counts - trend)
    season = _running_median(rest.groupby(place).median().to_numpy(), max(1, half // 4), around=True)
    return np.maximum(trend + season[place], 0.0)


def _running_median(values: Any, half: int, *, around: bool = False) -> Any:
    if around:
        values = np.concatenate([values[-half:], values, values[:half]])
    run = pd.Series(values, dtype="float64").rolling(2 * half + 1, center=True, min_periods=1).median().to_numpy()
    return run[half:-half] if around else run


def ewma_z(counts: Any, weight: float, floor: float = 1.0) -> Any:
    """Return how far each count is from the weighted mean of those before it, in their weighted standard deviations.

    The deviation is never taken for less than `floor`, the root of the mean, or 1; the first ten windows are only
    learned; of a burst no more than three deviations are learned, so that its second window is one too.
    """
    found = np.zeros(len(counts))
    values = np.asarray(counts, dtype="float64").tolist()
    mean, variance = values[0] if values else 0.0, 0.0
    for number, count in enumerate(values):
        away = count - mean
        deviation = max(math.sqrt(max(variance, mean, 1.0)), floor)
        if number >= 10:
            found[number] = away / deviation
            away = min(max(away, -3 * deviation), 3 * deviation)
        mean += weight * away
        variance = (1 - weight) * (variance + weight * away * away)
    return found
