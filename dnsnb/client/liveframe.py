"""The query log as a bounded, columnar, typed frame that grows while one looks at it.

Batches arrive in one thread, snapshots are taken in any; knows schema and pieces alone.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dnsnb import schema
from dnsnb.client.pieces import Piece, Words, frame_of, join, piece_of
from dnsnb.errors import SettingError

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger("dnsnb.client")

_CHUNK = 65_536  # rows of a settled piece: fewer pieces make snapshots cheap
_BATCHES = 256  # batches that wait to be joined into one
_WORDS = 4096  # words of a category from which on those that no row has any more are looked for and forgotten


class LiveFrame:
    """The newest `limit` rows, in the order of arrival.

    `extend` takes batches, `snapshot` gives a frame of what is there at one moment, never half a batch, made anew only
    when something came. `dropped` counts rows that the limit pushed out. Each row is held once: a snapshot that was
    made is what the rows are kept in from then on.

    >>> live = LiveFrame(limit=2)
    >>> for at, name in enumerate(["a.example", "b.example", "c.example"]):
    ...     live.extend({"id": [at], "qname": [name], "status": ["cached"]})
    >>> live.snapshot()["qname"].tolist(), len(live), live.dropped
    (['b.example', 'c.example'], 2, 1)
    """

    def __init__(self, limit: int = 1_000_000) -> None:
        if not isinstance(limit, int) or limit < 1:
            raise SettingError("limit", limit, "a number of rows, 1 or more")
        self.limit = limit
        self.dropped: int = 0
        self.sequence: int = 0  # grows with every change
        self.total: int = 0  # rows that ever came
        self._rows = 0
        self._lock = threading.Lock()
        self._drawing = threading.Lock()  # one snapshot at a time; taken before `_lock`
        self._words = _words()
        self._settled: deque[Piece] = deque()
        self._recent: list[Piece] = []
        self._recent_rows = 0
        self._cached: tuple[int, pd.DataFrame] | None = None
        self._handlers: list[Callable[[], None]] = []
        self._sinks: list[Any] = []

    def extend(self, columns: schema.Columns) -> None:
        """Append a batch of rows (`schema.Columns`; Arrow arrays do too); columns that are missing are null.

        Raises ValueError or TypeError for columns of unlike length or values of a wrong type; then nothing is appended.
        """
        count = max((len(v) for v in columns.values()), default=0)
        if not count:
            return
        wrong = [name for name, values in columns.items() if len(values) != count]
        if wrong:
            raise ValueError(f"{wrong[0]}: {len(columns[wrong[0]])} values where other columns have {count}")
        with self._lock:
            # made at once: a batch of Python objects that waits is work for the collector of the whole process
            self._recent.append(piece_of(columns, count, self._words))
            self._recent_rows += count
            self._rows += count
            self.total += count
            if self._recent_rows >= _CHUNK or len(self._recent) >= _BATCHES:
                self._settle()
            self._trim()
            self.sequence += 1
            sinks = list(self._sinks)
        for sink in sinks:
            try:
                sink.extend(columns)
            except Exception:
                log.exception("a sink of the live frame failed")
        for handler in list(self._handlers):
            try:
                handler()
            except Exception:
                log.exception("a handler of the live frame failed")

    def snapshot(self) -> pd.DataFrame:
        """Return the rows as a DataFrame with the documented dtypes; it never changes afterwards."""
        return self._drawn()

    def _drawn(self, sink: Any = None) -> pd.DataFrame:
        """Return the rows; what comes after exactly these goes to the sink, if there is one."""
        with self._drawing:
            with self._lock:
                if sink is not None:
                    self._sinks.append(sink)
                cached = self._cached
                if cached is None or cached[0] != self.sequence:
                    self._settle()
                    cached = None
                    self._forget_words()
                sequence, pieces, before = self.sequence, list(self._settled), self._cached
            if cached is None:  # rows come on while it is made
                cached = (sequence, frame_of(pieces, self._words))
                with self._lock:
                    drawn = set(map(id, pieces))  # a piece that was cut meanwhile may lie in the frame before
                    self._settled = deque(p if id(p) in drawn else p.own() for p in self._settled)
                    self._cached = cached
                del before  # until now rows lay in it
            # Shallow: while the cached one is there, whoever writes to a copy writes to memory of its own.
            return cached[1].copy(deep=False)

    def clear(self) -> None:
        """Forget all rows."""
        with self._drawing, self._lock:
            self._settled.clear()
            self._recent = []
            self._recent_rows = self._rows = 0
            self._cached = None
            self._words = _words()
            self.sequence += 1

    def on_change(self, handler: Callable[[], None]) -> Watch:
        """Call `handler()` after each batch, in the thread that brought it; `.close()` of the result ends that."""
        self._handlers.append(handler)
        return Watch(self._handlers, handler)

    def pass_on(self, sink: Any) -> Watch:
        """Give a sink the rows that are there (`update(frame)`), then each batch as it comes (`extend(columns)`).

        No row is missed and none comes twice, such as to an incremental analysis (`dnsnb.analysis.live`). `.close()` of
        the result ends it.
        """
        sink.update(self._drawn(sink))
        return Watch(self._sinks, sink)

    def __len__(self) -> int:
        return self._rows

    def __repr__(self) -> str:
        return f"<LiveFrame of {self._rows:,} rows, limit {self.limit:,}, {self.dropped:,} dropped>"

    def _settle(self) -> None:
        """Join the batches that came since; small neighbours are joined too, so that pieces stay few."""
        if not self._recent:
            return
        fresh, self._recent, self._recent_rows = self._recent, [], 0
        rows = sum(piece.rows for piece in fresh)
        # as in a log-structured merge: a row is copied a few times at most, however small the steps are
        while self._settled and self._settled[-1].rows <= min(2 * rows, _CHUNK - rows):
            fresh.insert(0, self._settled.pop())
            rows += fresh[0].rows
        self._settled.append(join(fresh))

    def _forget_words(self) -> None:
        for name, words in self._words.items():
            if len(words.numbers) >= _WORDS:
                pieces = [*self._settled, *self._recent]
                if (fewer := words.without_unused([p.columns.get(name) for p in pieces])) is not None:
                    self._words[name], numbers = fewer
                    for piece in pieces:
                        if name in piece.columns:
                            piece.columns[name] = numbers[piece.columns[name]]

    def _trim(self) -> None:
        over = self._rows - self.limit
        if over <= 0:
            return
        if over > sum(piece.rows for piece in self._settled):
            self._settle()
        while over > 0 and self._settled:
            first = self._settled.popleft()
            gone = min(first.rows, over)
            if gone < first.rows:
                self._settled.appendleft(first.cut(gone))
            over -= gone
            self._rows -= gone
            self.dropped += gone
        if self._cached is not None and not any(piece.shared for piece in self._settled):
            self._cached = None  # none of our rows lies in it any more


def _words() -> dict[str, Words]:
    return {column.name: Words() for column in schema.COLUMNS if column.kind == "category"}


class Watch:
    """A handler that is told of changes; `close()` ends that."""

    def __init__(self, handlers: list[Any], handler: Any) -> None:
        self._handlers = handlers
        self._handler = handler

    def close(self) -> None:
        """Tell it no more."""
        if self._handler in self._handlers:
            self._handlers.remove(self._handler)
