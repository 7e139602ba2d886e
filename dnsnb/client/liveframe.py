"""The query log as a bounded, columnar, typed frame that grows while one looks at it.

Batches arrive in one thread, snapshots are taken in any; knows the schema alone.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from dnsnb import schema
from dnsnb.errors import SettingError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

log = logging.getLogger("dnsnb.client")

_CHUNK = 65_536  # rows of a settled chunk: fewer chunks make snapshots cheap


class LiveFrame:
    """The newest `limit` rows, in the order of arrival.

    `extend` takes batches, `snapshot` gives a frame of what is there at one moment, never half a batch, made anew only
    when something came. `dropped` counts rows that the limit pushed out.
    """

    def __init__(self, limit: int = 1_000_000) -> None:
        if not isinstance(limit, int) or limit < 1:
            raise SettingError("limit", limit, "a number of rows, 1 or more")
        self.limit = limit
        self.dropped = 0
        self.sequence = 0  # grows with every change
        self._lock = threading.Lock()
        self._settled: deque[pa.Table] = deque()
        self._recent: list[schema.Columns] = []
        self._recent_rows = 0
        self._nulls: dict[pa.DataType, pa.Array] = {}
        self._rows = 0
        self.total = 0  # rows that ever came
        self._cached: tuple[int, pd.DataFrame] | None = None
        self._handlers: list[Callable[[], None]] = []

    def extend(self, columns: schema.Columns) -> None:
        """Append a batch of rows (`schema.Columns`); columns that are missing are null."""
        count = max((len(v) for v in columns.values()), default=0)
        if not count:
            return
        wrong = [name for name, values in columns.items() if len(values) != count]
        if wrong:
            raise ValueError(f"{wrong[0]}: {len(columns[wrong[0]])} values where other columns have {count}")
        with self._lock:
            self._recent.append(columns)
            self._recent_rows += count
            self._rows += count
            self.total += count
            if self._recent_rows >= _CHUNK:
                self._settle()
            self._trim()
            self.sequence += 1
        for handler in list(self._handlers):
            try:
                handler()
            except Exception:
                log.exception("a handler of the live frame failed")

    def snapshot(self) -> pd.DataFrame:
        """Return the rows as a DataFrame with the documented dtypes; it never changes afterwards."""
        import pyarrow as pa

        with self._lock:
            if self._cached is None or self._cached[0] != self.sequence:
                self._settle()
                table = pa.concat_tables(self._settled) if self._settled else schema.arrow_schema().empty_table()
                self._cached = (self.sequence, schema.to_frame(table))
            # shallow: copy-on-write keeps the cached one from being written through
            return self._cached[1].copy(deep=False)

    def clear(self) -> None:
        """Forget all rows."""
        with self._lock:
            self._settled.clear()
            self._recent = []
            self._recent_rows = self._rows = 0
            self.sequence += 1

    def on_change(self, handler: Callable[[], None]) -> Watch:
        """Call `handler()` after each batch, in the thread that brought it; `.close()` of the result ends that."""
        self._handlers.append(handler)
        return Watch(self._handlers, handler)

    def __len__(self) -> int:
        return self._rows

    def __repr__(self) -> str:
        return f"<LiveFrame of {self._rows:,} rows, limit {self.limit:,}, {self.dropped:,} dropped>"

    def _settle(self) -> None:
        """Turn the batches that came since into Arrow; small neighbours are joined, so that chunks stay few."""
        import pyarrow as pa

        if not self._recent:
            return
        fresh = pa.concat_tables([schema.to_arrow(columns) for columns in self._recent])
        self._recent = []
        self._recent_rows = 0
        if self._settled and len(self._settled[-1]) + len(fresh) <= _CHUNK:
            fresh = pa.concat_tables([self._settled.pop(), fresh])
        self._settled.append(self._without_nulls(fresh.unify_dictionaries().combine_chunks()))

    def _without_nulls(self, table: pa.Table) -> pa.Table:
        """Put one and the same array in the place of each column that is all null: most rows lack most of a schema."""
        import pyarrow as pa

        for i, column in enumerate(table.columns):
            if column.null_count == len(table) > 0:
                kind = column.type
                if len(self._nulls.get(kind, ())) < len(table):
                    self._nulls[kind] = pa.nulls(max(len(table), _CHUNK), kind)
                table = table.set_column(i, table.field(i), self._nulls[kind].slice(0, len(table)))
        return table

    def _trim(self) -> None:
        over = self._rows - self.limit
        if over <= 0:
            return
        if over > sum(map(len, self._settled)):
            self._settle()
        while over > 0 and self._settled:
            first = self._settled[0]
            if len(first) <= over:
                self._settled.popleft()
                gone = len(first)
            else:
                self._settled[0] = first.slice(over)
                gone = over
            over -= gone
            self._rows -= gone
            self.dropped += gone


class Watch:
    """A handler that is told of changes; `close()` ends that."""

    def __init__(self, handlers: list[Callable[[], None]], handler: Callable[[], None]) -> None:
        self._handlers = handlers
        self._handler = handler

    def close(self) -> None:
        """Tell it no more."""
        if self._handler in self._handlers:
            self._handlers.remove(self._handler)
