"""Counts, sums, least and greatest values by key, a batch at a time: what several detectors keep of a stream.

Bounded: beyond the limit the least of the groups go, and what they counted is told. Knows pandas only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np
import pandas as pd

#: keys that are text; the others are numbers
_TEXTS = ("client", "domain", "qname", "series")
_TOGETHER = 8192


class Gathered:
    """A table of groups: `keys`, `count` (rows), `sums`, `least` and `most`; two of them add up to that of both's rows.

    Exact while there are at most `limit` groups. Beyond that those go whose `worth` (a number a group, by default its
    count) is smallest; `dropped` counts their rows. `reduce` makes groups of the rows that are fed.
    """

    def __init__(
        self,
        keys: tuple[str, ...],
        sums: tuple[str, ...] = (),
        least: tuple[str, ...] = (),
        most: tuple[str, ...] = (),
        *,
        limit: int | None = None,
        worth: Callable[[pd.DataFrame], Any] | None = None,
        reduce: Callable[[pd.DataFrame], pd.DataFrame] | None = None,
    ) -> None:
        self.keys = list(keys)
        self.how = {
            "count": "sum",
            **dict.fromkeys(sums, "sum"),
            **dict.fromkeys(least, "min"),
            **dict.fromkeys(most, "max"),
        }
        self.limit = limit
        self.worth = worth
        self.reduce = reduce
        self._dropped = 0
        self._rows: list[pd.DataFrame] = []
        self._table: pd.DataFrame | None = None
        self._waiting: list[pd.DataFrame] = []

    def feed(self, rows: pd.DataFrame) -> None:
        """Take rows, to be reduced together with those that come next: few cost as much as many."""
        self._rows.append(rows)
        if sum(map(len, self._rows)) >= _TOGETHER:
            self._reduce()

    @property
    def dropped(self) -> int:
        """Rows of the groups that the limit pushed out."""
        self._settle()
        return self._dropped

    def add(self, groups: pd.DataFrame) -> None:
        """Take groups: `count` and the other columns by the keys, in any order; equal keys are put together."""
        if len(groups):
            self._waiting.append(groups[[*self.keys, *self.how]])
            # putting together costs a look at all: seldom enough, and often enough to stay small
            if sum(map(len, self._waiting)) > max(50_000, 0 if self._table is None else len(self._table) // 4):
                self._settle()

    def absorb(self, other: Self) -> None:
        """Take all that another has gathered; the other stays as it is."""
        self.add(other.table())
        self._dropped += other.dropped

    def table(self) -> pd.DataFrame:
        """Return the groups, in the order of their keys."""
        self._settle()
        if self._table is None:
            kinds = {name: "object" if name in _TEXTS else "float64" for name in (*self.keys, *self.how)}
            return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in kinds.items()})
        return self._table.copy()

    def _reduce(self) -> None:
        if self._rows and self.reduce is not None:
            rows, self._rows = self._rows, []
            self.add(self.reduce(pd.concat(rows, ignore_index=True) if len(rows) > 1 else rows[0]))

    def _settle(self) -> None:
        self._reduce()
        if not self._waiting:
            return
        parts = [] if self._table is None else [self._table]
        joined = pd.concat([*parts, *self._waiting], ignore_index=True)
        self._waiting = []
        table = joined.groupby(self.keys, sort=True, as_index=False).agg(self.how)
        if self.limit is not None and len(table) > self.limit:
            worth = table["count"] if self.worth is None else self.worth(table)
            order = np.argsort(-np.asarray(worth, dtype="float64"), kind="stable")
            kept = np.sort(order[: self.limit])
            self._dropped += int(table["count"].sum() - table["count"].iloc[kept].sum())
            table = table.iloc[kept].reset_index(drop=True)
        self._table = table
