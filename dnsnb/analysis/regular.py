"""How regular gaps are, and whether chance would do the same: jitter and lost calls allowed; Fisher's test beside it.

Pure; knows numpy only.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

# gaps within such a factor of one another count as alike: none, some, and 30 % of jitter (1.3 / 0.7)
_FACTORS = (1.1, 1.3, 1.87)
_MOST_BINS = 1 << 15


class Regularity(NamedTuple):
    """`share` of the gaps is alike, about `period` seconds, `jitter` (0-1) around it; `lost` (0-1) calls are missing.

    `log10_chance` is that of so many alike gaps if the same number of calls came at random times (a Poisson process).
    """

    share: float
    period: float
    jitter: float
    lost: float
    log10_chance: float


def regularity(gaps: Any) -> Regularity:
    """Return how regular gaps (seconds, all > 0) are.

    A lost call makes a gap of two periods or more and leaves the others alike, so it is the share of alike ones that
    counts. The chance is Chernoff's bound of the binomial tail, times the places and widths where it was looked for.
    """
    ordered = np.sort(np.asarray(gaps, dtype="float64"))
    n = len(ordered)
    if n < 3:
        return Regularity(0.0, math.nan, math.nan, math.nan, 0.0)
    best: tuple[bool, float, float, int, int] | None = None
    for factor in _FACTORS:
        ends = np.searchsorted(ordered, ordered * factor + 1e-9, side="right")
        begin = int(np.argmax(ends - np.arange(n)))
        end = int(ends[begin])
        share = (end - begin) / n
        # the narrowest may be the least likely and yet hold a part alone: half of the gaps come first
        found = (share < 0.5, _log10_chance(share, _at_random(factor), n), -share, begin, end)
        if best is None or found < best:
            best = found
    assert best is not None
    _, chance, share, begin, end = best
    alike = ordered[begin:end]
    period = float(np.median(alike))
    low, high = alike[round(0.05 * (len(alike) - 1))], alike[round(0.95 * (len(alike) - 1))]
    lost = 1 - n * period / float(ordered.sum())
    return Regularity(-share, period, float((high - low) / 2 / period), min(1.0, max(0.0, lost)), chance)


def _at_random(factor: float) -> float:
    """The greatest share of exponential gaps that lies between some a and factor * a."""
    return float(factor ** (-1 / (factor - 1)) * (1 - 1 / factor))


def _log10_chance(share: float, expected: float, n: int) -> float:
    if share <= expected:
        return 0.0
    bits = share * math.log(share / expected)
    if share < 1:
        bits += (1 - share) * math.log((1 - share) / (1 - expected))
    return min(0.0, (math.log(len(_FACTORS) * n) - n * bits) / math.log(10))


def fisher_g(times: Any, step: float) -> tuple[float, float]:
    """Return Fisher's g of events (seconds), counted in bins of `step`, and the chance of so high a peak (0-1).

    g is the share of the periodogram's highest peak; the chance is the first term of Fisher's series (1929), an upper
    bound. (NaN, NaN) where there are fewer than 4 bins, or more than 32,768.
    """
    times = np.asarray(times, dtype="float64")
    bins = int((times[-1] - times[0]) // step) + 1 if len(times) else 0
    if not 4 <= bins <= _MOST_BINS:
        return math.nan, math.nan
    counts = np.bincount(((times - times[0]) // step).astype("int64"), minlength=bins).astype("float64")
    power = np.abs(np.fft.rfft(counts - counts.mean())[1 : (bins - 1) // 2 + 1]) ** 2
    whole = float(power.sum())
    if whole <= 1e-9 * bins:
        return math.nan, math.nan
    g = float(power.max()) / whole
    n = len(power)
    if g >= 1:
        return 1.0, 0.0
    return g, min(1.0, math.exp(min(0.0, math.log(n) + (n - 1) * math.log1p(-g))))
