"""Bytes of a log in, tables of rows out, piece by piece: the same road for whole files, streams and logs being written.

No files, no threads. A reader parses; what is here cuts lines, unwraps, counts, joins and finishes.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import takewhile
from typing import Any

import numpy as np
import pyarrow as pa

from dnsnb.errors import LogFormatError
from dnsnb.formats import columns, jsonstream, wrappers
from dnsnb.formats.lines import Block
from dnsnb.formats.report import ImportReport
from dnsnb.formats.table import Format
from dnsnb.formats.times import Clock

BLOCK = 8 << 20
LONGEST = 4 << 20
_HOLE = "NUL octets (padding after a power loss, or a sparse file) were left out"
WORKERS = 2
"""Threads that parse; numpy and Arrow let go of the interpreter while they work."""


class Context:
    """What a reader knows of its job: the report, the clock, the name of the source, and the caller's options."""

    def __init__(
        self, report: ImportReport, clock: Clock, source: str, *, events: bool = False, errors: str = "report",
        template: str | None = None,
    ) -> None:  # fmt: skip
        self.report = report
        self.clock = clock
        self.source = source
        self.events = events
        self.errors = errors
        self.template = template
        self.tail = False
        self.several = False
        """Whether the log is in several files: what belongs together may then be in two of them."""

    def skip(self, reason: str, block: Block, mask: Any) -> None:
        """Report the lines of a block where `mask` is true; raises LogFormatError when the caller wants no line left
        out."""
        places = np.flatnonzero(mask)
        if not len(places):
            return
        if self.tail:
            reason = f"the last line is cut off ({reason})"
        examples = [(self.source, int(block.numbers[i]), block.line(i)) for i in places[:3]]
        self.skip_count(reason, len(places), examples)

    def skip_count(self, reason: str, count: int, examples: list[tuple[str, int, str]] | None = None) -> None:
        """Report records that gave no row."""
        if count and self.errors == "raise":
            where = f"{examples[0][0]}:{examples[0][1]}: {examples[0][2]!r}: " if examples else f"{self.source}: "
            raise LogFormatError(f"{where}{reason}")
        self.report.skip(reason, count, examples)


class _Ready:
    """Finished rows."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    def __len__(self) -> int:
        return len(self.table)


class Feed:
    """Turns the bytes of one log (or one rotated set) into finished tables."""

    def __init__(self, row: Format, context: Context, wrapping: wrappers.Wrapping = (), block: int = BLOCK) -> None:
        self.row = row
        self.context = context
        self.wrapping = wrapping
        self.block = block
        self.reader = row.load().Reader(context)
        self.joiner = None if context.events else getattr(self.reader, "joiner", None)
        self._states: list[wrappers.State] = [{} for _ in wrapping]
        self._held: list[bytes] = []
        self._size = 0
        self._line = 1
        self._before: int | None = None
        self._decode: Callable[[bytes], bytes] | None = None
        self._records: jsonstream.Lines | None = None
        self._started = False
        self._pool: ThreadPoolExecutor | None = None
        self._jobs: deque[Future[Any]] = deque()

    def begin(self, source: str) -> Iterator[pa.Table]:
        """Start the next file of the set; what the one before left unfinished is parsed first."""
        if self.row.kind == "bytes":
            yield from self._work(self.reader.begin(), True)
        else:
            yield from self._tail()
        self.context.source = source
        self._line = 1
        self._started = False
        self._decode = None

    def header(self, head: bytes) -> bytes:
        """Return the first lines of a log without which later ones can't be read: Zeek's header, a table's names."""
        word = getattr(self.reader, "header_word", None)
        if not word:
            return b""
        lines = head.removeprefix(b"\xef\xbb\xbf").splitlines(keepends=True)
        mark = re.compile(b'"?' + re.escape(word.encode()), re.IGNORECASE)
        return b"".join(takewhile(mark.match, lines))

    def feed(self, data: bytes, flush: bool = False) -> Iterator[pa.Table]:
        """Take bytes; yield what is complete. With `flush` the whole lines so far are parsed at once."""
        if self.row.kind == "bytes":
            yield from self._work(self.reader.feed(data), flush)
            if flush:
                yield from self._work(self.reader.flush(), True)
            return
        if not self._started and data:
            self._started = True
            data = self._opening(data)
        if self._decode is not None:
            data = self._decode(data)
        if self._records is not None:
            data = self._records.feed(data)
        self._held.append(data)
        self._size += len(data)
        if self._size < self.block and not flush:
            return
        pieces = self._held
        cut = data.rfind(b"\n") + 1
        if not cut:
            whole = b"".join(pieces)
            cut = whole.rfind(b"\n") + 1
            pieces, data = [whole], whole
        if not cut:
            if len(whole) > LONGEST and not whole.strip(b"\0"):  # a hole that a truncated file's writer went on behind
                self.context.report.note(_HOLE)
                whole = b""
            elif len(whole) > LONGEST:
                self.context.skip_count(
                    "a line longer than 4 MiB", 1, [(self.context.source, self._line, whole[:80].decode("latin-1"))]
                )
                whole = b""
            self._held, self._size = [whole], len(whole)
            return
        self._held, self._size = [data[cut:]], len(data) - cut
        yield from self._lines([*pieces[:-1], data[:cut]])
        if flush:
            yield from self._drain()

    def finish(self) -> Iterator[pa.Table]:
        """Parse what is left, and yield the rows that still waited for an answer."""
        if self.row.kind == "bytes":
            yield from self._work(self.reader.finish(), True)
        else:
            yield from self._tail()
            yield from self._drain()
            if hasattr(self.reader, "finish"):
                yield from self.settle(self.reader.finish())
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None
        if self.joiner is not None:
            if self.joiner.unpaired:
                self.context.report.note(
                    f"{self.joiner.unpaired:,} queries were let go early: too many waited for an answer"
                )
            yield from self.rest()
            if self.joiner.repeats:
                self.context.report.note(
                    f"{self.joiner.repeats:,} answers say again what was answered: they are no rows"
                )
            if self.joiner.orphans:
                self.context.report.note(f"{self.joiner.orphans:,} lines tell of queries that are not in the log")

    def rest(self) -> Iterator[pa.Table]:
        """Yield the rows that wait for an answer, without it."""
        for left in self.joiner.finish() if self.joiner is not None else ():
            if len(left):
                yield self.finished(left)

    def _opening(self, data: bytes) -> bytes:
        import codecs

        text = data
        if data.startswith((b"\xff\xfe", b"\xfe\xff")):
            decoder = codecs.getincrementaldecoder("utf-16")("replace")
            self._decode = lambda piece: decoder.decode(piece).encode("utf-8", "replace")
            self.context.report.note("the file is UTF-16")
            text = data.decode("utf-16", "replace").encode("utf-8", "replace")
        else:
            text = data = data.removeprefix(b"\xef\xbb\xbf")
        if jsonstream.needed(text):
            self._records = jsonstream.Lines()
            self.context.report.note("the file's JSON is not one record a line: what is called a line here is a record")
        return data

    def _tail(self) -> Iterator[pa.Table]:
        if self._records is not None:
            if self._records.open:
                self.context.report.note(f"{self.context.source}: the JSON ends too early; what was there was read")
            self._held.append(self._records.finish())
            self._records = None
        rest = b"".join(self._held)
        self._held, self._size = [], 0
        cut = rest.rfind(b"\n") + 1
        if cut:
            yield from self._lines(rest[:cut])
        rest = rest[cut:]
        if rest.strip(b"\0\r\n\t "):
            yield from self._drain()
            self.context.tail = True
            yield from self._lines(rest)
            yield from self._drain()
            self.context.tail = False
        yield from self._drain()

    def _lines(self, data: bytes | list[bytes]) -> Iterator[pa.Table]:
        block = Block(data, self._line)
        self._line += len(block)
        report = self.context.report
        report["lines"] += len(block)
        if block.nuls:
            report.note(_HOLE)
        empty = block.starts >= block.ends
        if empty.any():
            report.aside("empty lines", int(empty.sum()))
            block = block.keep(~empty)
        for kind, state in zip(self.wrapping, self._states, strict=True):
            if len(block):
                told = partial(self._not_wrapped, block)
                block = wrappers.unwrap(block, kind, self.context.clock, told, state)
        if len(block):
            prepare = getattr(self.reader, "prepare", None)
            yield from self._work(self.reader.parse(block) if prepare is None else prepare(block), False)

    def _not_wrapped(self, block: Block, why: str, mask: Any) -> None:
        self.context.skip(why, block, mask)

    def _work(self, found: Any, drain: bool) -> Iterator[pa.Table]:
        """Settle a table at once; give a job (what a reader can do out of order) to the pool, whose results are
        settled in order."""
        if callable(found):
            if self._pool is None:
                self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="dnsnb-parse")
            if self.joiner is None:
                self._jobs.append(self._pool.submit(self._ready, found, self.context.source))
            else:
                self._jobs.append(self._pool.submit(found))
            while len(self._jobs) > WORKERS:
                yield from self.settle(self._jobs.popleft().result())
        elif found is not None:
            yield from self._drain()
            yield from self.settle(found)
        if drain:
            yield from self._drain()

    def _ready(self, job: Callable[[], pa.Table | None], source: str) -> _Ready | None:
        """Run a job whose events are rows already, and finish them too: less is left for the one thread that puts in
        order."""
        events = job()
        if events is None or not len(events):
            return None
        events = events.drop_columns([c for c in events.column_names if c not in columns._TYPES or c == columns.KIND])
        return _Ready(columns.finish(events, source, self.context.events))

    def _drain(self) -> Iterator[pa.Table]:
        while self._jobs:
            yield from self.settle(self._jobs.popleft().result())

    def settle(self, events: Any) -> Iterator[pa.Table]:
        """Count and join a reader's events; yield the rows that are complete."""
        if events is None or not len(events):
            return
        self.context.report["events"] += len(events)
        if isinstance(events, _Ready):
            self._watch(events.table)
            self.context.report["rows"] += len(events.table)
            yield events.table
            return
        if "source" not in events.column_names:
            events = events.append_column(
                "source", columns.constant(self.context.source, len(events), columns.CATEGORY)
            )
        self._watch(events)
        if self.joiner is None and columns.KIND in events.column_names:
            own = [c for c in events.column_names if c not in columns._TYPES or c == columns.KIND]
            events = events.drop_columns(own)
        rows = events if self.joiner is None else self.joiner.feed(events)
        if len(rows):
            yield self.finished(rows)

    def _watch(self, events: pa.Table) -> None:
        if "time" not in events.column_names or getattr(self.joiner, "by_time", False):
            return
        micros = events.column("time").cast(pa.int64()).drop_null().to_numpy()
        if len(micros):
            steps = np.diff(micros, prepend=micros[0] if self._before is None else self._before)
            self.context.report["clock_steps"] += int((steps < -60_000_000).sum())
            self._before = int(micros[-1])

    def finished(self, rows: pa.Table) -> pa.Table:
        """Return rows with the schema's columns, counted."""
        table = columns.finish(rows, self.context.source, self.context.events)
        self.context.report["rows"] += len(table)
        return table
