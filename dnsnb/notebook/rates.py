"""Queries over time, kept small: counts by status and latency histograms by second (an hour) and minute (two days).

The same bins as `static/rates.js`, so that a view can be painted without the rows. No widgets, no threads.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Any

from dnsnb import schema

SECONDS = 3600
MINUTES = 2880
BINS = 40  # half octaves from 1/64 ms
_AT = {status: i for i, status in enumerate(schema.STATUSES)}
_OTHER = len(schema.STATUSES) - 1

Pack = dict[str, Any]


def latency_bin(ms: float) -> int:
    """Return the histogram bin of a latency in milliseconds."""
    return max(0, min(BINS - 1, math.floor((math.log2(ms) + 6) * 2))) if ms > 0 else 0


def bin_middle(number: int) -> float:
    """Return the latency, in milliseconds, that a bin stands for."""
    return float(2 ** ((number + 0.5) / 2 - 6))


class Rates:
    """Counts by second and by minute, bounded; the oldest are given up first."""

    def __init__(self) -> None:
        self._rings: dict[int, OrderedDict[int, tuple[list[int], dict[int, int]]]] = {
            1: OrderedDict(),
            60: OrderedDict(),
        }

    def add(self, columns: schema.Columns) -> None:
        """Count a batch of rows."""
        times = columns.get("time") or []
        statuses = columns.get("status") or [None] * len(times)
        latencies = columns.get("latency_ms") or [None] * len(times)
        tally: dict[tuple[int, int, int], int] = {}
        known: dict[Any, int] = {}
        for time, status, latency in zip(times, statuses, latencies, strict=True):
            bin_ = known.get(latency)
            if bin_ is None:
                bin_ = known[latency] = -1 if latency is None or latency != latency else latency_bin(latency)
            key = (time // 1_000_000, _AT.get(status, _OTHER), bin_)
            tally[key] = tally.get(key, 0) + 1
        self._take(tally)

    def add_frame(self, frame: Any) -> None:
        """Count a frame of the documented schema, however long, without a loop over its rows."""
        import numpy as np

        if not len(frame):
            return
        seconds = frame["time"].astype("int64").to_numpy() // 1_000_000
        codes = np.array([_AT.get(s, _OTHER) for s in frame["status"].cat.categories] + [_OTHER])
        kinds = codes[frame["status"].cat.codes.to_numpy()]
        ms = frame["latency_ms"].to_numpy()
        with np.errstate(divide="ignore", invalid="ignore"):
            bins = np.clip(np.floor((np.log2(ms) + 6) * 2), 0, BINS - 1)
        bins = np.where(np.isnan(ms), -1, np.nan_to_num(bins)).astype("int64")
        packed = (seconds * 16 + kinds) * 64 + bins + 1
        values, counts = np.unique(packed, return_counts=True)
        tally = {
            (int(v) // 1024, int(v) // 64 % 16, int(v) % 64 - 1): int(n) for v, n in zip(values, counts, strict=True)
        }
        self._take(tally)

    def _take(self, tally: dict[tuple[int, int, int], int]) -> None:
        for (second, kind, bin_), n in tally.items():
            for step, ring in self._rings.items():
                slot = ring.get(second // step)
                if slot is None:
                    slot = ring[second // step] = ([0] * len(schema.STATUSES), {})
                slot[0][kind] += n
                if bin_ >= 0:
                    slot[1][bin_] = slot[1].get(bin_, 0) + n
        for step, most in ((1, SECONDS), (60, MINUTES)):
            ring = self._rings[step]
            while len(ring) > most:
                ring.pop(min(ring) if _disordered(ring) else next(iter(ring)))

    def pack(self, step: int = 1, last: int = SECONDS) -> Pack:
        """Return the newest `last` slots of `step` seconds (1 or 60) as plain data for the browser."""
        ring = self._rings[step]
        ticks = sorted(ring)[-last:]
        return {
            "step": step,
            "at": [t * step for t in ticks],
            "counts": [list(ring[t][0]) for t in ticks],
            "hist": [[x for pair in sorted(ring[t][1].items()) for x in pair] for t in ticks],
        }

    def recent(self, seconds: int = 300) -> dict[str, Any]:
        """Return sums of the newest `seconds`: `statuses` by name, `count`, `p50`, `p95`, `p99` in ms or None."""
        ring = self._rings[1]
        newest = max(ring, default=0)
        statuses = dict.fromkeys(schema.STATUSES, 0)
        hist = [0] * BINS
        for tick, (counts, bins) in ring.items():
            if tick > newest - seconds:
                for name, n in zip(schema.STATUSES, counts, strict=True):
                    statuses[name] += n
                for b, n in bins.items():
                    hist[b] += n
        return {"statuses": statuses, "count": sum(statuses.values())} | {
            f"p{q}": _quantile(hist, q / 100) for q in (50, 95, 99)
        }


def _disordered(ring: OrderedDict[int, Any]) -> bool:
    first = next(iter(ring))
    return bool(first > next(reversed(ring)))


def _quantile(hist: list[int], q: float) -> float | None:
    whole = sum(hist)
    seen = 0
    for number, n in enumerate(hist):
        seen += n
        if n and seen >= q * whole:
            return bin_middle(number)
    return None
