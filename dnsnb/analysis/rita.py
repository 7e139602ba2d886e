"""The beacon score of RITA v5 (github.com/activecm/rita, analysis/beacons.go, default_config.hjson), on arrays.

Its four parts, each 0-1, by its formulas and its defaults, rounded as it rounds. Pure; knows numpy only.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

FEWEST_TIMES = 4


class Score(NamedTuple):
    """RITA's `score` and its parts: how alike the gaps and the sizes are, how flat the hours, how long it goes on."""

    score: float
    times: float
    sizes: float
    histogram: float
    duration: float


def beacon_score(
    times: Any,
    sizes: Any,
    first: float,
    last: float,
    *,
    bins: int = 24,
    weights: tuple[float, float, float, float] = (0.25, 0.25, 0.25, 0.25),
) -> Score:
    """Return the score of a pair's `times` (whole seconds, sorted) and `sizes` (octets) in a data set `first`..`last`.

    All parts are 0 where there are fewer than three gaps, or the data set has no length. `weights` are those of times,
    sizes, duration and histogram.
    """
    times = np.asarray(times, dtype="int64")
    sizes = np.asarray(sizes, dtype="float64")
    if len(times) < FEWEST_TIMES or np.count_nonzero(np.diff(times)) < 3 or last <= first:
        return Score(0.0, 0.0, 0.0, 0.0, 0.0)
    ts = timestamp_score(times)
    ds = size_score(sizes)
    bars, run, hist = histogram_score(times, first, last, bins=bins)
    duration = duration_score(first, last, times[0], times[-1], bars, run)
    parts = zip((ts, ds, duration, hist), weights, strict=True)
    return Score(_round(sum(part * weight for part, weight in parts)), ts, ds, hist, duration)


def timestamp_score(times: Any) -> float:
    """Return how alike the gaps between times are; gaps of 0 are left out."""
    gaps = np.diff(np.asarray(times, dtype="int64")).astype("float64")
    return _dispersion_score(gaps[gaps > 0], 1.0)


def size_score(sizes: Any) -> float:
    """Return how alike the sizes are."""
    return _dispersion_score(np.asarray(sizes, dtype="float64"), 0.0)


def histogram_score(
    times: Any,
    first: float,
    last: float,
    *,
    bins: int = 24,
    sensitivity: float = 0.05,
    outliers: int = 1,
    least: int = 11,
) -> tuple[int, int, float]:
    """Return how many of the `bins` have anything, the longest run of them (around the end too), and how flat they are.

    Flat is the better of 1 - coefficient of variation and of the share of the two commonest heights (`least` bins).
    """
    edges = first + np.arange(bins + 1) * ((last - first) / bins)
    place = np.clip(np.searchsorted(edges, np.asarray(times, dtype="float64"), side="right") - 1, 0, bins - 1)
    bars = np.bincount(place, minlength=bins)
    used = int(np.count_nonzero(bars))
    variation = float(bars.std() / bars.mean())
    flat = 0.0 if variation > 1 else _round(1 - variation)
    modal = 0.0
    if used >= (least if least >= 6 else 11):
        size = math.ceil(float(bars.max()) * sensitivity)
        heights = np.floor(bars[bars > 0] / size) * size
        counts = np.sort(np.unique(heights, return_counts=True)[1])
        modal = min(1.0, _round(float(counts[-2:].sum()) / max(used - outliers, 1)))
    return used, _longest_run(bars > 0), max(flat, modal)


def duration_score(
    first: float, last: float, begin: float, end: float, bars: int, run: int, *, least: int = 6, ideal: int = 12
) -> float:
    """Return how much of the data set it covers, or its longest run of bins of `ideal`; 0 below `least` bins."""
    if bars < least:
        return 0.0
    coverage = math.ceil((end - begin) / (last - first) * 1000) / 1000
    return min(1.0, max(coverage, math.ceil(run / ideal * 1000) / 1000))


def _dispersion_score(values: Any, default: float) -> float:
    """Mean of 1 - |Bowley's skewness| and of 1 - MAD / median (`default` where the median is below 1)."""
    values = np.sort(values)
    if len(values) < 3:
        return 0.0
    low, middle, high = quartiles(values)
    spread = high - low
    skew = (high + low - 2 * middle) / spread if spread >= 10 and middle not in (low, high) else 0.0
    deviation = float(np.median(np.abs(values - middle)))
    alike = max(0.0, (middle - deviation) / middle) if middle >= 1 else default
    return _round((1 - abs(skew) + alike) / 2)


def quartiles(values: Any) -> tuple[float, float, float]:
    """Return the quartiles of sorted values as medians of their halves, the middle one in neither."""
    half = len(values) // 2
    return float(np.median(values[:half])), float(np.median(values)), float(np.median(values[len(values) - half :]))


def _longest_run(used: Any) -> int:
    if used.all():
        return len(used)
    around = np.concatenate([used, used])
    ends = np.flatnonzero(~around)
    return int(np.max(np.diff(np.concatenate([[-1], ends, [len(around)]])) - 1))


def _round(value: float) -> float:
    return math.floor(value * 1000 + 0.5) / 1000
