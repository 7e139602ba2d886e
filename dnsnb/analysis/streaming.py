"""The incremental twin of an analysis: rows come a batch at a time, in any number of places, and states add up.

Decides how a state is fed, added and read; what is kept is each state's own affair. Knows no source of rows.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from copy import deepcopy
from typing import Any, Protocol, Self

import pandas as pd

from dnsnb.analysis.native import collected, columns_of, lazy
from dnsnb.analysis.result import Result
from dnsnb.schema import Columns


class State(Protocol):
    """What one analysis keeps of a stream: bounded, and the sum of two is the state of all their rows.

    `result()` is what the batch analysis gives for the same rows, within the error that the state's docstring states.
    """

    @property
    def analysis(self) -> str:
        """Name of the batch analysis."""

    @property
    def params(self) -> dict[str, Any]:
        """What it was made with: only states of equal parameters can be added."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Columns that a row must have."""

    @property
    def takes(self) -> tuple[str, ...]:
        """Columns that it uses when they are there; `add` gets them always, null where they aren't."""

    @property
    def dropped(self) -> int:
        """Rows that its limits folded together or left out."""

    def add(self, rows: pd.DataFrame) -> None:
        """Take a batch: a plain pandas frame of the columns named by `needs` and `takes`, texts as `str`."""

    def absorb(self, other: Self) -> None:
        """Take all that another state of the same parameters has seen; the other stays as it is."""

    def result(self) -> Result:
        """Return what there is now as the batch analysis would."""


class Stream:
    """An analysis that is fed: `update` with any frame, or `extend` as the sink of `follow` and of a live frame.

    `result()` may be read at any moment, in any thread. `a + b` is a new stream of both's rows; neither changes.

    >>> from dnsnb import simulate
    >>> from dnsnb.analysis import live
    >>> frame, types = simulate.frame(hours=0.2), live("top", column="qtype")
    >>> for start in range(0, len(frame), 100):
    ...     types.update(frame[start : start + 100])
    >>> bool(types.result()["count"].sum() == types.rows == len(frame))
    True
    """

    def __init__(self, state: State) -> None:
        self.state = state
        self.rows: int = 0  #: rows that came
        self._lock = threading.Lock()

    @property
    def dropped(self) -> int:
        """Rows that limits folded together or left out; 0 means: the result is that of the batch analysis."""
        return self.state.dropped

    def update(self, frame: Any) -> None:
        """Take a frame's rows: pandas, Arrow, Polars, DuckDB, as the batch analysis does; raises MissingColumnError."""
        have = columns_of(frame)
        wanted = [name for name in self.state.takes if name in have]
        self._add(collected(lazy(frame, *self.state.needs, *wanted)))

    def extend(self, columns: Columns) -> None:
        """Take a batch by column (`schema.Columns`, `time` in µs since the epoch); columns it lacks are null."""
        count = max((len(values) for values in columns.values()), default=0)
        if count:
            names = (*self.state.needs, *self.state.takes)
            self._add(pd.DataFrame({n: _series(n, columns.get(n), count) for n in dict.fromkeys(names)}))

    def merge(self, other: Stream) -> None:
        """Take all that another stream of the same analysis and parameters has seen; the other stays as it is."""
        mine, theirs = self.state, other.state
        if type(mine) is not type(theirs) or mine.params != theirs.params:
            raise ValueError(
                f"{theirs.analysis} {theirs.params} can't be added to {mine.analysis} {mine.params}: "
                "only the same analysis with the same parameters can"
            )
        with other._lock:  # a copy, so that two streams that take each other never wait for one another
            rows, state = other.rows, deepcopy(theirs)
        with self._lock:
            mine.absorb(state)
            self.rows += rows

    def __add__(self, other: Stream) -> Stream:
        with self._lock:
            made = Stream(deepcopy(self.state))
            made.rows = self.rows
        made.merge(other)
        return made

    def result(self) -> Result:
        """Return the analysis of all rows so far; `attrs` has `rows` and `dropped` too."""
        with self._lock:
            found = self.state.result()
            found.attrs |= {"rows": self.rows, "dropped": self.state.dropped}
        return found

    def _add(self, rows: pd.DataFrame) -> None:
        for name in self.state.takes:
            if name not in rows:
                rows[name] = _series(name, None, len(rows))
        with self._lock:
            self.state.add(rows)
            self.rows += len(rows)

    def _repr_html_(self) -> str:
        return str(self.result()._repr_html_())

    def __repr__(self) -> str:
        return f"<{self.state.analysis}, live: {self.rows:,} rows, {self.dropped:,} dropped>"


_NUMBERS = {"latency_ms": "float64", "ttl": "Int64", "ede": "Int64", "query_bytes": "Int64", "response_bytes": "Int64"}


def _series(name: str, values: Sequence[Any] | None, count: int) -> pd.Series:
    given: Any = [None] * count if values is None else values
    if hasattr(given, "to_pylist"):  # an Arrow array
        given = given.to_pylist()
    if name == "time":
        return pd.Series(pd.to_datetime(pd.array(given, dtype="Int64"), unit="us", utc=True)).dt.as_unit("us")
    if name == "answers":
        return pd.Series(list(given), dtype="object")
    return pd.Series(given, dtype=_NUMBERS.get(name, "Int64" if name == "id" else "str"))
