"""What a stream keeps in bounded space: frequent values, numbers of distinct ones, percentiles. Each adds up.

Exact up to a stated limit, and beyond it within a stated error. Knows no frame.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from heapq import nlargest, nsmallest
from typing import Any, Self


class Frequent:
    """Counts of the most frequent values: exact while there are at most `limit` of them (else space-saving).

    Beyond that `counts[v]` is too high by at most `errors.get(v, 0)`, and no value that isn't there came more than
    `floor` times. Sums as in Agarwal et al., Mergeable Summaries (PODS 2012).
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.counts: dict[Any, int] = {}
        self.errors: dict[Any, int] = {}
        self.floor = 0

    def add(self, counts: Mapping[Any, int]) -> list[Any]:
        """Add exact counts; returns the values that the limit pushed out."""
        return self._sum(counts, {}, 0)

    def absorb(self, other: Self) -> list[Any]:
        """Add another's; returns the values that the limit pushed out."""
        return self._sum(other.counts, other.errors, other.floor)

    def _sum(self, counts: Mapping[Any, int], errors: Mapping[Any, int], floor: int) -> list[Any]:
        if floor:  # what the other doesn't name it may have seen as often as that
            for value in self.counts.keys() - counts.keys():
                self.counts[value] += floor
                self.errors[value] = self.errors.get(value, 0) + floor
        for value, count in counts.items():
            known = value in self.counts
            self.counts[value] = self.counts.get(value, self.floor) + count
            error = errors.get(value, 0) + (self.errors.get(value, 0) if known else self.floor)
            if error:
                self.errors[value] = error
        self.floor += floor
        if len(self.counts) <= self.limit + self.limit // 4:  # cut seldom: it costs a look at all
            return []
        kept = set(nlargest(self.limit, self.counts, key=self.counts.__getitem__))
        gone = [value for value in self.counts if value not in kept]
        for value in gone:
            self.floor = max(self.floor, self.counts.pop(value))
            self.errors.pop(value, None)
        return gone


class Distinct:
    """How many different values: exact below `limit`, then within about 1/sqrt(limit) of it (one sigma).

    Keeps the `limit` smallest hashes: Beyer et al., On Synopses for Distinct-Value Estimation (SIGMOD 2007).
    The sum of two is that of the union.
    """

    __slots__ = ("hashes", "limit")

    def __init__(self, limit: int = 1024) -> None:
        self.limit = limit
        self.hashes: set[int] = set()

    def add(self, values: Iterable[str]) -> None:
        """Take values; equal ones count once."""
        self._keep({hash64(value) for value in values})

    def absorb(self, other: Self) -> None:
        """Take what another has seen."""
        self._keep(other.hashes)

    def _keep(self, hashes: set[int]) -> None:
        self.hashes |= hashes
        if len(self.hashes) > self.limit:
            self.hashes = set(nsmallest(self.limit, self.hashes))

    @property
    def exact(self) -> bool:
        """Whether the count is no estimate."""
        return len(self.hashes) < self.limit

    def __len__(self) -> int:
        if self.exact:
            return len(self.hashes)
        return round((self.limit - 1) * 2.0**64 / max(*self.hashes, 1))


def hash64(value: str) -> int:
    """Return 64 bits that are the same in every process and machine, so that states of several can be added."""
    return int.from_bytes(blake2b(value.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


class Percentiles:
    """Percentiles of numbers > 0, each within `error` of the true one (relative); sums exactly.

    DDSketch (Masson et al., VLDB 2019): counts by logarithm. Beyond `smallest` and `largest` the bound counts.
    """

    __slots__ = ("buckets", "count", "error", "highest", "lowest")

    def __init__(self, error: float = 0.01, smallest: float = 1e-4, largest: float = 1e8) -> None:
        self.error = error
        step = math.log((1 + error) / (1 - error))
        self.lowest, self.highest = math.floor(math.log(smallest) / step), math.ceil(math.log(largest) / step)
        self.buckets: Counter[int] = Counter()
        self.count = 0

    def add(self, values: Any) -> None:
        """Take an array of numbers (no nulls)."""
        import numpy as np

        step = math.log((1 + self.error) / (1 - self.error))
        with np.errstate(divide="ignore"):
            places = np.ceil(np.log(np.maximum(np.asarray(values, dtype="float64"), 0.0)) / step)
        places = np.clip(places, self.lowest, self.highest).astype("int64")
        for place, count in zip(*np.unique(places, return_counts=True), strict=True):
            self.buckets[int(place)] += int(count)
        self.count += len(places)

    def absorb(self, other: Self) -> None:
        """Take what another has seen, of the same error."""
        self.buckets.update(other.buckets)
        self.count += other.count

    def quantile(self, share: float) -> float:
        """Return the value below which `share` (0-1) lie, between ranks as numpy's "linear"; NaN of nothing."""
        if not self.count:
            return math.nan
        rank = share * (self.count - 1)
        low, part = math.floor(rank), rank - math.floor(rank)
        below = self._at(low)
        return below if not part else below + part * (self._at(low + 1) - below)

    def _at(self, rank: int) -> float:
        seen = 0
        ratio = (1 + self.error) / (1 - self.error)
        for place in sorted(self.buckets):
            seen += self.buckets[place]
            if seen > rank:
                return float(2 * ratio**place / (ratio + 1))
        raise AssertionError("a rank beyond the count")
