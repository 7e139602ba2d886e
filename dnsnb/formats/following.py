"""`follow`: a log that another system is writing, through rotation and truncation, as rows for a live frame.

One thread a log; what is read is parsed by the same readers as whole files. Knows reading and feeding.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa

from dnsnb import schema
from dnsnb.errors import LogFormatError, SettingError
from dnsnb.formats import columns, opening, reading
from dnsnb.formats.feeding import Context, Feed
from dnsnb.formats.report import ImportReport
from dnsnb.formats.tail import Tail
from dnsnb.formats.times import Clock

if TYPE_CHECKING:
    import pandas as pd

PIECE = 1 << 20
IDLE_S = 5.0
CLOSE_S = 5.0
GONE_S = 5.0
"""A rotation may leave so long no file of the log's name."""


class Rows:
    """Keeps the newest rows; what a follower feeds when it is given no sink of one's own. Safe from any thread."""

    def __init__(self, limit: int = 1_000_000) -> None:
        self.limit = limit
        self.dropped: int = 0
        self._tables: deque[pa.Table] = deque()
        self._count = 0
        self._lock = threading.Lock()

    def take(self, table: pa.Table) -> None:
        """Take finished rows; the oldest go when there are more than `limit`."""
        with self._lock:
            self._tables.append(table)
            self._count += len(table)
            while self._count > self.limit and len(self._tables) > 1:
                gone = len(self._tables.popleft())
                self._count -= gone
                self.dropped += gone

    def __len__(self) -> int:
        return self._count

    def frame(self) -> pd.DataFrame:
        """Return the rows as a frame."""
        with self._lock:
            tables = list(self._tables)
        table = (
            pa.concat_tables(tables, promote_options="permissive") if tables else schema.arrow_schema().empty_table()
        )
        return schema.to_frame(table)


def to_columns(table: pa.Table) -> schema.Columns:
    """Return finished rows as lists by column, `time` in µs, for a `LiveFrame` or the event stream; all-null columns
    are left out."""
    out: schema.Columns = {}
    for name in schema.NAMES:
        column = table.column(name)
        if column.null_count < len(column):
            out[name] = (column.cast(pa.int64()) if name == "time" else column).to_pylist()
    return out


class Live:
    """Hands finished rows to a sink: an object with `extend(columns)`, a function of such columns, or (None) its own
    `Rows`."""

    #: where the rows come from, in a few words, for who shows them
    about: str = ""

    def __init__(self, sink: Any = None, limit: int = 1_000_000) -> None:
        self._sinks: list[Any] = []
        self.rows: Rows = Rows(limit)
        self.report: ImportReport = ImportReport()
        self.error: Exception | None = None
        self._give: Callable[[schema.Columns], None] | None = None
        if sink is not None:
            give = getattr(sink, "extend", sink)
            if not callable(give):
                raise SettingError("sink", sink, "must have a method extend(columns), or be a function of columns")
            self._give = give
        self._changed = threading.Condition()
        self._shown: Any = None

    @property
    def frame(self) -> pd.DataFrame:
        """The newest rows, as `read_log` gives them; `attrs["import"]` is the report so far."""
        frame = self.rows.frame()
        frame.attrs["import"] = self.report
        return frame

    def wait_for(self, rows: int, timeout_s: float = 10.0) -> bool:
        """Wait until so many rows have come; return whether they have."""
        with self._changed:
            return self._changed.wait_for(lambda: self.report["rows"] >= rows, timeout_s)

    def pass_on(self, sink: Any) -> Watch:
        """Give a sink the rows that are there (`update(frame)`), then each batch as it comes (`extend(columns)`).

        No row is missed and none comes twice. `.close()` of the result ends it.
        """
        with self._changed:
            sink.update(self.rows.frame())
            self._sinks.append(sink)
        return Watch(self._sinks, sink)

    def _take(self, table: pa.Table) -> None:
        with self._changed:
            self.rows.take(table)
            sinks = list(self._sinks)
        if self._give is not None or sinks:
            columns = to_columns(table)
            for give in (self._give, *(sink.extend for sink in sinks)):
                if give is not None:
                    give(columns)
        with self._changed:
            self._changed.notify_all()

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """In a notebook it shows itself: the live view of a session, without commands."""
        import dnsnb

        if self._shown is None:
            self._shown = dnsnb.Dashboard(self)
        return self._shown._repr_mimebundle_(**kwargs)


class Watch:
    """A sink that is given rows; `close()` ends that."""

    def __init__(self, sinks: list[Any], sink: Any) -> None:
        self._sinks = sinks
        self._sink = sink

    def close(self) -> None:
        """Give it no more."""
        if self._sink in self._sinks:
            self._sinks.remove(self._sink)


class Follower(Live):
    """Follows one log file until closed. `start` is ``"end"`` (only what is written from now on) or ``"beginning"``."""

    def __init__(
        self,
        path: Any,
        sink: Any = None,
        *,
        start: str = "end",
        interval_s: float = 0.2,
        limit: int = 1_000_000,
        **settings: Any,
    ) -> None:
        super().__init__(sink, limit)
        if start not in ("end", "beginning"):
            raise SettingError("start", start, "must be 'end' or 'beginning'")
        if not (isinstance(interval_s, (int, float)) and 0 < interval_s <= 3600):
            raise SettingError("interval_s", interval_s, "must be the seconds between two looks, such as 0.2")
        self.path: Path = opening.named(path)[1]
        self.about: str = str(self.path)
        self.options = reading.Options(**settings)
        if not self.path.exists():
            raise FileNotFoundError(f"{self.path}: no such file")
        if not self.path.is_file():
            kind = "a folder" if self.path.is_dir() else "no plain file"
            raise LogFormatError(f"{self.path}: {kind}; follow takes the one file that is being written")
        self.interval_s = interval_s
        self._whole = start == "beginning"
        self._file = Tail(self.path)
        self._feed: Feed | None = None
        self._early = b""
        self._mute_until = 0
        try:
            self._begin(not self._whole)
        except BaseException:
            self._file.close()
            raise
        self._stop = threading.Event()
        self._patience = math.inf
        self._thread = threading.Thread(target=self._run, name=f"dnsnb-follow-{self.path.name}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop following; what waited for an answer is given as it is."""
        self._patience = time.monotonic() + CLOSE_S
        self._stop.set()
        self._thread.join(2 * CLOSE_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._stop.is_set() else "following"
        return f"<Follower {self.path} {state}, {self.report['rows']:,} rows>"

    def _begin(self, at_end: bool) -> None:
        """Find out the format, and go to where following starts."""
        if not self._recognise() or not at_end or self._feed is None:
            return
        if self._feed.row.kind == "bytes":  # records are told apart only from the beginning on
            self._mute_until = self._file.size()
            return
        header = self._feed.header(opening.Input(self.path).head)
        if header:
            self._hand(self._feed.feed(header, flush=True))
        self._file.to_last_line()

    def _recognise(self) -> bool:
        one = opening.Input(self.path)
        if not one.head.strip(b"\0\r\n"):
            return False
        row, wrapping = reading.recognise(one, self.options)
        if self.options.format != "auto" and self.options.template is None:
            reading.refuse_if_other(one, row, wrapping)
        if row.kind == "path" or one.compression is not None:
            raise LogFormatError(
                f"{self.path}: {row.title}{' (compressed)' if one.compression else ''} can't be followed; text logs, "
                f"dnstap and captures can"
            )
        written = one.modified if self._whole else time.time()  # what is still to come is of now
        clock = Clock(self.report, self.options.tz, self.options.year, written)
        options = self.options
        context = Context(
            self.report, clock, one.source, events=options.events, errors=options.errors, template=options.template
        )
        self._feed = Feed(row, context, wrapping)
        self.report.update(files=[one.name], format=row.name, untold=row.untold)
        return True

    def _run(self) -> None:
        last = time.monotonic()
        try:
            while True:
                stopping = self._stop.is_set()
                if self._step():
                    last = time.monotonic()
                elif self._feed is not None and time.monotonic() - last > IDLE_S:
                    self._settle()
                    last = time.monotonic()
                if stopping:
                    break
                self._stop.wait(self.interval_s)
            if self._feed is not None:
                self._hand(self._feed.finish())
        except Exception as error:
            self.error = error
            self.report.note(f"following stopped: {type(error).__name__}: {error}")
        finally:
            self._file.close()

    def _step(self) -> bool:
        """Read what is new, in the file that we have and in those that took its name meanwhile."""
        if self._file.rewritten():
            self.report.note("the log was truncated; it is read from its new beginning")
            self._anew()
            self._file.seek(0)
        got = self._read()
        while (after := self._file.successor()) is not None:
            # who writes may go on in the old file until it is told to open the new one
            if not after.size() and not self._stop.is_set():
                after.close()
                break
            got |= self._read()
            self.report.note("the log was rotated; the new file is followed")
            if self._file.lost:
                self.report.note("its old file is gone from the folder: of one rotated twice at once, rows are missing")
            self._file.close()
            self._file = after
            self._anew()
            got |= self._read()
        if self._file.gone_for_s() > GONE_S:
            self.report.note("there is no file of the log's name any more; it is waited for")
        if self._file.refused:
            self.report.note(f"the log was rotated, but the new file can't be opened yet: {self._file.refused}")
        return got

    def _anew(self) -> None:
        """Another file begins: what the one before left unfinished is reported, headers are read anew."""
        self._early = b""
        self._mute_until = 0
        if self._feed is None:
            return
        if self._feed.row.kind == "bytes":
            self._hand(self._feed.finish())
            self._feed = None
        else:
            self._hand(self._feed.begin(opening.shown(self.path.name)))

    def _read(self) -> bool:
        got = False
        while piece := self._file.read(min(PIECE, self._mute_until - self._file.at) if self._mute_until else PIECE):
            got = True
            if self._feed is None:
                self._early += piece
                if not self._recognised_by_now():
                    continue
                piece, self._early = self._early, b""
            if self._feed is not None:
                self._hand(self._feed.feed(piece, flush=True))
            if self._mute_until and self._file.at >= self._mute_until:
                self._loud()
            if time.monotonic() > self._patience:
                self.report.note("closed before all that was written had been read")
                break
        return got

    def _loud(self) -> None:
        """What was there before has been read, without giving its rows; from here on they count."""
        self._mute_until = 0
        self.report.forget()
        if self._feed is not None and self._feed.joiner is not None:
            self._feed.joiner.waiting = None

    def _recognised_by_now(self) -> bool:
        """Whether enough was written to tell the format; first lines that tell nothing are waited out."""
        if b"\n" not in self._early and b"\0" not in self._early:
            return False
        try:
            return self._recognise()
        except LogFormatError as error:
            if len(self._early) >= opening.HEAD:
                raise
            self.report.note(f"not known yet, more lines are waited for: {error}")
            return False

    def _hand(self, tables: Iterable[pa.Table]) -> None:
        for table in tables:
            if not self._mute_until:
                self.report["lossy"] += columns.lossy_rows(table)
                self.report["untimed"] += table.column("time").null_count
                self._take(table)

    def _settle(self) -> None:
        """Nothing was written for a while: queries that wait for an answer are given without it."""
        if self._feed is not None:
            self._hand(self._feed.rest())
