"""RITA v5's beacon score by its formula, to three decimals; the figures are those that its own unit tests want."""

from __future__ import annotations

from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsnb.analysis.rita import (
    beacon_score,
    duration_score,
    histogram_score,
    quartiles,
    size_score,
    timestamp_score,
)

DAY = 86_400


def times(*gaps: int) -> list[int]:
    return list(accumulate(gaps, initial=1_517_338_924))


@pytest.mark.parametrize(
    ("gaps", "score"),
    [
        ([1] * 9, 1.0),
        ([60] * 9, 1.0),
        ([98, 99, 99, 100, 100, 100, 101, 101, 102], 0.995),  # MAD 1 of 100, no skew
        ([98, 300] * 5, 0.746),  # quartiles 98, 199, 300: no skew; MAD 101 of 199
        ([1, 299, 25, 4975, 90, 2, 42, 500, 1500], 0.083),  # skew 833.5 / 986.5, MAD 89 of 90
        ([60, 0, 60, 0, 60], 1.0),  # equal times are no gaps
    ],
)
def test_times(gaps: list[int], score: float) -> None:
    assert timestamp_score(times(*gaps)) == score


@pytest.mark.parametrize(
    ("sizes", "score"),
    [
        (range(1, 11), 0.773),  # MAD 2.5 of 5.5; a spread below 10 has no skew
        ([60] * 9, 1.0),
        ([98, 99, 99, 100, 100, 100, 101, 101, 102], 0.995),
        ([524885, 1, 5000, 98654, 50, 41, 965842, 3], 0.008),  # skew 306741.5 / 311747.5, MAD 2523 of 2525
        ([0] * 10, 0.5),
    ],
)
def test_sizes(sizes: object, score: float) -> None:
    assert size_score(sizes) == score


@pytest.mark.parametrize(
    ("seen", "span", "bins", "found"),
    [
        ([n for n in range(1, 11) for _ in range(n)], (1, 11), 10, (10, 10, 0.478)),
        ([n * 3600 for n in range(24)], (0, DAY), 24, (24, 24, 1.0)),
        ([98, 99, 99, 100, 100, 100, 101, 101, 102], (98, 102), 8, (5, 3, 0.064)),
        ([1, 3, 41, 50, 5000, 12001, 98654, 104001, 199999, 200400, 524885, 965842], (0, 1_000_000), 10, (5, 4, 0.0)),
        ([10 * b + n for b in range(10) for n in ((1, 2, 3, 4) if b % 2 == 0 else (5,))], (0, 100), 10, (10, 10, 1.0)),
        ([10, 20, 100, 110, 110, 220], (0, 250), 5, (3, 2, 0.028)),  # the run goes around the end
        ([n * 60 for n in range(10)], (0, DAY), 24, (1, 1, 0.0)),
    ],
)
def test_histogram(seen: list[int], span: tuple[int, int], bins: int, found: tuple[int, int, float]) -> None:
    assert histogram_score(seen, *span, bins=bins, least=6) == found


@pytest.mark.parametrize(
    ("begin", "end", "bars", "run", "score"),
    [
        (0, 24, 24, 24, 1.0),
        (12, 24, 6, 0, 0.5),
        (6, 24, 6, 0, 0.75),
        (12, 24, 12, 12, 1.0),
        (12, 18, 6, 6, 0.5),
        (6, 18, 3, 1, 0.0),
    ],
)
def test_duration(begin: int, end: int, bars: int, run: int, score: float) -> None:
    assert duration_score(0, DAY, begin * 3600, end * 3600, bars, run) == score


def test_the_whole_is_the_weighted_mean() -> None:
    hourly = [n * 3600 for n in range(25)]
    assert beacon_score(hourly, [60] * 25, 0, DAY).score == 1.0
    six = [n * 3600 for n in range(7)]
    # seven of 24 bins: 1 - sqrt(7/24 * 17/24) / (7/24) < 0 -> 0; seven in a row of twelve, six hours of the day
    assert tuple(beacon_score(six, [60] * 7, 0, DAY)) == (0.646, 1.0, 1.0, 0.0, 0.584)
    assert beacon_score(six, [60] * 7, 0, DAY, weights=(1, 0, 0, 0)).score == 1.0
    assert beacon_score([0, 60, 120], [60] * 3, 0, DAY).score == 0.0  # two gaps are too few
    assert beacon_score(six, [60] * 7, 5, 5).score == 0.0


@given(st.lists(st.integers(0, 10_000), min_size=4, max_size=40), st.integers(0, 10**9))
def test_scores_are_shares_and_do_not_know_the_date(seen: list[int], later: int) -> None:
    seen.sort()
    parts = beacon_score(seen, [44] * len(seen), 0, 10_001)
    assert all(0 <= part <= 1 for part in parts)
    assert beacon_score([t + later for t in seen], [44] * len(seen), later, later + 10_001) == parts
    low, middle, high = quartiles(np.sort(seen))
    assert low <= middle <= high
