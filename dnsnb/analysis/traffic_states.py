"""What is kept of a stream for rate, top, rcodes, nxdomain, latency, cache_hits: counts that add up, each with a limit.

The results are made by the batch analyses' own last step, so that both say the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import pandas as pd

from dnsnb.analysis.folding import OTHER, free_label
from dnsnb.analysis.latency import PERCENTILES, SUMS, latency_result, latency_rows
from dnsnb.analysis.memory import COUNTED, cache_hits_result
from dnsnb.analysis.native import collected, window_us
from dnsnb.analysis.nonexistent import nxdomain_result
from dnsnb.analysis.result import Result
from dnsnb.analysis.sketches import Distinct, Frequent, Percentiles
from dnsnb.analysis.traffic import rate_result, rcodes_result, top_result

_OTHERS = object()  # what the limits folded together; no value of a frame equals it


class Rates:
    """`rate`, exact for the newest `limit` windows while `by` has at most `values` values; later ones are "(other)"."""

    analysis = "rate"

    def __init__(
        self, every: str = "1min", by: str | None = None, most: int = 9, limit: int = 20_000, values: int = 1_000
    ) -> None:
        self.params = {"every": every, "by": by, "most": most, "limit": limit, "values": values}
        self.step, self.by, self.most, self.limit, self.values = window_us(every), by, most, limit, values
        self.every = every
        self.needs = ("time", *([by] if by else []))
        self.takes: tuple[str, ...] = ()
        self.dropped = 0
        self.windows: dict[int, Counter[Any]] = {}
        self.known: set[Any] = set()

    def add(self, rows: pd.DataFrame) -> None:
        """Take a batch; rows without a time are left out, as `rate` does."""
        rows = rows[rows["time"].notna()]
        windows = micros(rows["time"]) // self.step
        values = [None] * len(rows) if self.by is None else plain(rows[self.by])
        self._count(Counter(zip(windows.tolist(), values, strict=True)))

    def absorb(self, other: Self) -> None:
        """Take what another has counted."""
        self.dropped += other.dropped
        self._count({(w, v): n for w, counts in other.windows.items() for v, n in counts.items()})

    def _count(self, counts: dict[tuple[int, Any], int]) -> None:
        for (window, value), count in counts.items():
            if value not in self.known:
                if value is not _OTHERS and len(self.known) < self.values:
                    self.known.add(value)
                else:
                    self.dropped += 0 if value is _OTHERS else count
                    value = _OTHERS
            self.windows.setdefault(window, Counter())[value] += count
        if len(self.windows) > self.limit:
            for window in sorted(self.windows)[: -self.limit]:
                self.dropped += sum(self.windows.pop(window).values())

    def result(self) -> Result:
        """Return the rate; of windows farther apart than `limit` (a clock gone wrong), the span with most queries."""
        newest = self._busiest_end()
        shown = {w: counts for w, counts in self.windows.items() if 0 <= newest - w < self.limit}
        totals: Counter[Any] = Counter()
        for counts in shown.values():
            totals.update(counts)
        named = [v for v in totals if v is not _OTHERS]
        kept = sorted(named, key=lambda v: (-totals[v], v is None, v if v is not None else ""))[: self.most]
        own = set(kept)
        cells: Counter[tuple[int, Any, int]] = Counter()
        for window, counts in shown.items():
            for value, count in counts.items():
                fold = (2 if value is None else 0) if value in own else 1
                cells[window, None if fold else value, fold] += count
        found = pd.DataFrame(
            {
                "window": [w for w, _, _ in cells], self.by or "by": [v for _, v, _ in cells],
                "folded": [f for _, _, f in cells], "count": list(cells.values()),
            }
        ).sort_values("window", ignore_index=True)  # fmt: skip
        return rate_result(found, self.every, self.by, kept, self.most, self.limit)

    def _busiest_end(self) -> int:
        """Return the last window of the span of `limit` windows in which most was asked, the newest of equals."""
        ends = sorted(self.windows)
        begin, inside, most, found = 0, 0, -1, 0
        for end in ends:
            inside += self.windows[end].total()
            while end - ends[begin] >= self.limit:
                inside -= self.windows[ends[begin]].total()
                begin += 1
            if inside >= most:
                most, found = inside, end
        return found


class Tops:
    """`top`, exact while there are at most `limit` values; beyond that by space-saving.

    Then `count` is too high by at most `error`, and what isn't shown came at most as often as `read_as` says. `clients`
    is exact up to 1,023 a value, beyond that within about 3 %.
    """

    analysis = "top"

    def __init__(self, column: str = "qname", n: int = 10, limit: int = 20_000) -> None:
        if n < 1:
            raise ValueError(f"n: {n!r}: must be at least 1")
        self.params = {"column": column, "n": n, "limit": limit}
        self.column, self.n = column, n
        self.needs: tuple[str, ...] = (column,)
        self.takes: tuple[str, ...] = () if column == "client" else ("client",)
        self.dropped = self.total = 0
        self.values = Frequent(limit)
        self.clients: dict[Any, Distinct] = {}

    def add(self, rows: pd.DataFrame) -> None:
        """Take a batch; nulls count in the share's whole."""
        self.total += len(rows)
        values = plain(rows[self.column])
        counts = Counter(values)
        counts.pop(None, None)
        gone = self.values.add(counts)
        if self.takes:
            seen: dict[Any, set[str]] = {}
            for value, client in set(zip(values, plain(rows["client"]), strict=True)):
                if value is not None and client is not None:
                    seen.setdefault(value, set()).add(client)
            for value, clients in seen.items():
                if value in self.values.counts:
                    self.clients.setdefault(value, Distinct()).add(clients)
        self._forget(gone)

    def absorb(self, other: Self) -> None:
        """Take what another has counted."""
        self.total += other.total
        self.dropped += other.dropped
        gone = self.values.absorb(other.values)
        for value, clients in other.clients.items():
            if value in self.values.counts:
                self.clients.setdefault(value, Distinct()).absorb(clients)
        self._forget(gone)

    def _forget(self, gone: list[Any]) -> None:
        self.dropped += len(gone)
        for value in gone:
            self.clients.pop(value, None)

    def result(self) -> Result:
        """Return the most frequent now."""
        ranked = sorted(self.values.counts.items(), key=lambda item: (-item[1], item[0]))[: self.n]
        best = pd.DataFrame({self.column: [v for v, _ in ranked], "count": np.array([c for _, c in ranked], "int64")})
        if self.takes:
            best["clients"] = [len(self.clients.get(v, ())) for v, _ in ranked]
        note = ""
        if self.values.floor:
            best["error"] = [self.values.errors.get(v, 0) for v, _ in ranked]
            note = f"; counts are too high by up to error, what is not here came at most {self.values.floor:,} times"
        return top_result(best, self.column, self.n, self.total, note)


class Rcodes:
    """`rcodes`, exact."""

    analysis = "rcodes"
    needs: tuple[str, ...] = ("rcode",)
    takes: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.params: dict[str, Any] = {}
        self.dropped = 0
        self.counts: Counter[str] = Counter()

    def add(self, rows: pd.DataFrame) -> None:
        """Take a batch."""
        self.counts.update(v for v in plain(rows["rcode"]) if v is not None)

    def absorb(self, other: Self) -> None:
        """Take what another has counted."""
        self.counts.update(other.counts)

    def result(self) -> Result:
        """Return the mix now."""
        counts = np.array(list(self.counts.values()), "int64")
        return rcodes_result(pd.DataFrame({"rcode": pd.Series(list(self.counts), dtype="str"), "count": counts}))


class Latencies:
    """`latency`, each percentile within 1 % of the true one (below 0.0001 ms and above 1e8 ms: the bound itself).

    From `limit` groups on, new ones count together as "(other)".
    """

    analysis = "latency"

    def __init__(self, by: str | None = "upstream", answered_by: str = "upstream", limit: int = 1_000) -> None:
        self.params = {"by": by, "answered_by": answered_by, "limit": limit}
        self.by, self.answered_by, self.limit = by, answered_by, limit
        self.needs = ("latency_ms", "status", *([] if by is None else ["time" if by == "hour" else by]))
        self.takes = tuple(name for name in ("rcode", "ede") if name not in self.needs)
        self.dropped = 0
        self.groups: dict[Any, tuple[Counter[str], Percentiles]] = {}

    def add(self, rows: pd.DataFrame) -> None:
        """Take a batch."""
        lazy_rows, key = latency_rows(rows, self.by, self.answered_by)
        for value, group in collected(lazy_rows).groupby(key, sort=False):
            sums, times = self._group(value, len(group))
            sums.update({name: int(group[name].sum()) for name in SUMS}, asked=len(group))
            good = group["latency_ms"].astype("float64").to_numpy()[(group["bad"] == 0).to_numpy()]
            times.add(good[~np.isnan(good)])

    def absorb(self, other: Self) -> None:
        """Take what another has counted."""
        self.dropped += other.dropped
        for value, (theirs, times) in other.groups.items():
            sums, mine = self._group(value, theirs["asked"])
            sums.update(theirs)
            mine.absorb(times)

    def _group(self, value: Any, rows: int) -> tuple[Counter[str], Percentiles]:
        if value not in self.groups and value is not _OTHERS and len(self.groups) >= self.limit:
            self.dropped += rows
            value = _OTHERS
        return self.groups.setdefault(value, (Counter(), Percentiles()))

    def result(self) -> Result:
        """Return the percentiles now."""
        key = self.by or "group"
        other = free_label(OTHER, [v for v in self.groups if v is not _OTHERS])
        rows = []
        for value, (sums, times) in self.groups.items():
            row: dict[str, Any] = {name: sums[name] for name in ("asked", *SUMS)}
            row |= {name: times.quantile(share) for name, share in PERCENTILES.items()}
            rows.append({key: other if value is _OTHERS else value, "count": times.count} | row)
        found = pd.DataFrame(rows, columns=[key, "asked", *SUMS, "count", *PERCENTILES])
        return latency_result(found, key, self.by, self.answered_by)


class CacheHits:
    """`cache_hits`, exact for the newest `limit` windows."""

    analysis = "cache_hits"
    takes: tuple[str, ...] = ()

    def __init__(self, every: str | None = None, limit: int = 20_000) -> None:
        self.params = {"every": every, "limit": limit}
        self.every, self.limit = every, limit
        self.needs: tuple[str, ...] = ("status",) if every is None else ("status", "time")
        self.step = 0 if every is None else window_us(every)
        self.dropped = 0
        self.windows: dict[int, Counter[str]] = {}

    def add(self, rows: pd.DataFrame) -> None:
        """Take a batch."""
        rows = rows[rows["status"].isin(COUNTED)]
        if self.every is None:
            self._count({0: Counter(rows["status"])} if len(rows) else {})
            return
        rows = rows[rows["time"].notna()]
        found: dict[int, Counter[str]] = {}
        for window, status in zip((micros(rows["time"]) // self.step).tolist(), rows["status"], strict=True):
            found.setdefault(window, Counter())[status] += 1
        self._count(found)

    def absorb(self, other: Self) -> None:
        """Take what another has counted."""
        self.dropped += other.dropped
        self._count(other.windows)

    def _count(self, windows: dict[int, Counter[str]]) -> None:
        for window, counts in windows.items():
            self.windows.setdefault(window, Counter()).update(counts)
        for window in sorted(self.windows)[: max(len(self.windows) - self.limit, 0)]:
            self.dropped += sum(self.windows.pop(window).values())

    def result(self) -> Result:
        """Return the hit ratios now."""
        table: dict[str, list[int]] = {"window": list(self.windows)}
        table |= {s: [counts[s] for counts in self.windows.values()] for s in COUNTED}
        return cache_hits_result(pd.DataFrame(table, dtype="int64"), self.every)


class Nonexistent:
    """`nxdomain`, exact for the first `limit` pairs of client and name; later ones count as names of no habit."""

    analysis = "nxdomain"

    def __init__(self, by: str | None = None, limit: int = 200_000) -> None:
        self.params = {"by": by, "limit": limit}
        self.by, self.limit = by, limit
        self.more = [by] if by and by not in ("client", "qname") else []
        self.needs: tuple[str, ...] = ("rcode", "qname", *self.more)
        self.takes: tuple[str, ...] = ("client",)
        self.dropped = 0
        self.groups: dict[tuple[Any, ...], list[int]] = {}  # rows, answered, NXDOMAIN

    def add(self, rows: pd.DataFrame) -> None:
        """Take a batch."""
        keys = zip(*(plain(rows[name]) for name in ("client", "qname", *self.more)), strict=True)
        for key, rcode in zip(keys, plain(rows["rcode"]), strict=True):
            self._count(key, (1, int(rcode is not None), int(rcode == "NXDOMAIN")))

    def absorb(self, other: Self) -> None:
        """Take what another has counted."""
        self.dropped += other.dropped
        for key, counts in other.groups.items():
            self._count(key, counts)

    def _count(self, key: tuple[Any, ...], counts: Sequence[int]) -> None:
        if key not in self.groups and len(self.groups) >= self.limit:
            self.dropped += counts[0]
            key = (key[0] if self.by == "client" else None, None, *key[2:])
        mine = self.groups.setdefault(key, [0, 0, 0])
        for place, count in enumerate(counts):
            mine[place] += count

    def result(self) -> Result:
        """Return the ratios now."""
        names = ["client", "qname", *self.more]
        groups = pd.DataFrame(list(self.groups), columns=names).astype(dict.fromkeys(names, "str"))
        counts = np.array(list(self.groups.values()), "int64").reshape(-1, 3)
        for place, name in enumerate(("rows", "answered", "nxdomain")):
            groups[name] = counts[:, place]
        return nxdomain_result(groups, self.by)


def plain(values: pd.Series) -> list[Any]:
    """Return a column's values with None for every kind of null."""
    return values.astype("object").where(values.notna(), None).tolist()


def micros(times: pd.Series) -> np.ndarray:
    """Return times without nulls as µs since the epoch."""
    return pd.DatetimeIndex(times).as_unit("us").asi8
