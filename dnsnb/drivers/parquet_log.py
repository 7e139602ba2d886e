"""The query log as Parquet files, one folder a UTC day (`date=2026-01-31`): pandas, DuckDB, Polars and Spark open it.

Newest rows wait as JSON lines beside the folder until there are enough for a Parquet file, which appears whole.
"""

from __future__ import annotations

import os
import re
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dnsnb import schema
from dnsnb.dns.journal import LogBatch
from dnsnb.drivers.columns import day_of, from_lines, join_columns, slice_columns, to_lines
from dnsnb.drivers.private import append_all, clear_leftovers, make_folder, open_private, write_whole

if TYPE_CHECKING:
    import pyarrow as pa

_FILE = re.compile(r"queries-(\d{19})-(\d{19})\.parquet")
GROUP_ROWS = 16_384
ROLL_ROWS = 100_000
ROLL_SECONDS = 300.0


class File(NamedTuple):
    """One Parquet file."""

    path: Path
    first_id: int
    last_id: int
    rows: int
    size: int

    @property
    def day(self) -> str:
        """The UTC day of its rows."""
        return self.path.parent.name.removeprefix("date=")


class ParquetLog:
    """A folder of Parquet files; above `limit` bytes the oldest go. `roll()` writes what waits."""

    name = "parquet"
    readable = True
    quick = False

    def __init__(
        self,
        folder: Path,
        limit: int = 1 << 30,
        *,
        roll_rows: int = ROLL_ROWS,
        roll_seconds: float = ROLL_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder = make_folder(folder)
        self.waiting = folder.with_name(f"{folder.name}-waiting.jsonl")  # Polars minds other files in the folder
        self.limit = limit
        self._roll_rows = roll_rows
        self._roll_seconds = roll_seconds
        self._clock = clock
        clear_leftovers(folder.parent)
        self._files = sorted(
            (_file(p) for p in folder.glob("date=*/queries-*.parquet") if _FILE.fullmatch(p.name)),
            key=lambda f: (f.first_id, f.last_id),
        )
        written = max((f.last_id for f in self._files), default=0)
        self._handle = open_private(self.waiting)
        kept = from_lines(self.waiting.read_bytes().splitlines())
        if kept and kept["id"][0] <= written:  # killed after the files were written, before these were forgotten
            kept = slice_columns(kept, bisect_left(kept["id"], written + 1), len(kept["id"]))
        self._waiting = [kept] if kept and kept["id"] else []
        self._waits = len(kept["id"]) if self._waiting else 0
        self._since = clock()
        self.last_id = self._waiting[0]["id"][-1] if self._waiting else written
        if self._waiting:
            self.roll()
        else:
            os.ftruncate(self._handle, 0)

    @property
    def count(self) -> int:
        return self._waits + sum(f.rows for f in self._files)

    def append(self, batch: LogBatch) -> None:
        if not batch.count:
            return
        append_all(self._handle, to_lines(batch.columns))
        if not self._waits:
            self._since = self._clock()
        self._waiting.append(batch.columns)
        self._waits += batch.count
        self.last_id = batch.columns["id"][-1]
        if self._waits >= self._roll_rows or self._clock() - self._since >= self._roll_seconds:
            try:
                self.roll()
            except OSError:
                if self._waits >= 2 * self._roll_rows:  # these rows are kept all the same, up to here
                    raise

    def roll(self) -> None:
        """Make Parquet files of the rows that wait, one for each day among them; raises OSError."""
        if not self._waiting:
            return
        rows = join_columns(self._waiting)
        days: dict[str, list[int]] = {}
        for number, moment in enumerate(rows["time"]):
            days.setdefault(day_of(moment), []).append(number)
        made: list[File] = []
        try:
            for day, numbers in days.items():
                part = {k: [v[n] for n in numbers] for k, v in rows.items()} if len(days) > 1 else rows
                made.append(self._write(day, part))
        except BaseException:
            for file in made:  # or their rows would be there twice
                file.path.unlink(missing_ok=True)
            raise
        self._files += made
        os.ftruncate(self._handle, 0)
        self._waiting, self._waits = [], 0

    def _write(self, day: str, columns: schema.Columns) -> File:
        import pyarrow.parquet as pq

        ids = columns["id"]
        folder = make_folder(self.folder / f"date={day}")
        path = folder / f"queries-{ids[0]:019d}-{ids[-1]:019d}.parquet"
        table = schema.to_arrow(columns).drop_columns(["source"])
        write_whole(
            path,
            lambda out: pq.write_table(table, out, compression="zstd", row_group_size=GROUP_ROWS),
            beside=self.folder.parent,
        )
        return File(path, ids[0], ids[-1], len(ids), path.stat().st_size)

    def scan(
        self,
        before: int | None = None,
        after: int | None = None,
        *,
        since: int | None = None,
        until: int | None = None,
        oldest_first: bool = False,
    ) -> Iterator[schema.Columns]:
        first, last = (None if since is None else day_of(since)), (None if until is None else day_of(until))
        files = [
            file
            for file in self._files
            if (before is None or file.first_id < before)
            and (after is None or file.last_id > after)
            and (first is None or file.day >= first)
            and (last is None or file.day <= last)
        ]
        sources: list[Iterator[schema.Columns]] = [_read(group, oldest_first) for group in _apart(files)]
        sources += [iter([part]) for part in self._waiting]
        for source in sources if oldest_first else reversed(sources):
            for columns in source:
                ids = columns["id"]
                start = 0 if after is None else bisect_left(ids, after + 1)
                end = len(ids) if before is None else bisect_left(ids, before)
                if start < end:
                    yield slice_columns(columns, start, end)

    def expire(self, older_than: int) -> int:
        gone = 0
        last_kept = day_of(older_than)
        size = sum(f.size for f in self._files)
        while self._files:
            file = self._files[0]
            if file.day >= last_kept and size <= self.limit:
                break
            file.path.unlink(missing_ok=True)
            self._files.pop(0)
            size -= file.size
            gone += file.rows
            try:
                file.path.parent.rmdir()
            except OSError:
                pass  # others of that day are left
        return gone

    def close(self) -> None:
        try:
            self.roll()
        finally:
            handle, self._handle = self._handle, -1
            os.close(handle)


def _file(path: Path) -> File:
    import pyarrow.parquet as pq

    found = _FILE.fullmatch(path.name)
    assert found is not None
    return File(path, int(found[1]), int(found[2]), pq.read_metadata(path).num_rows, path.stat().st_size)


def _apart(files: list[File]) -> list[list[File]]:
    """Return files in groups whose ids don't overlap: at midnight a slow answer's row may follow the new day's."""
    groups: list[list[File]] = []
    for file in files:
        if groups and file.first_id < max(f.last_id for f in groups[-1]):
            groups[-1].append(file)
        else:
            groups.append([file])
    return groups


def _read(files: list[File], oldest_first: bool) -> Iterator[schema.Columns]:
    """Yield the rows of files by row group; of several whose ids overlap, sorted and at once."""
    if len(files) == 1:
        yield from _groups(files[0], oldest_first)
        return
    parts = [part for file in files for part in _groups(file, True)]
    if parts:
        rows = join_columns(parts)
        order = sorted(range(len(rows["id"])), key=rows["id"].__getitem__)
        yield {name: [values[n] for n in order] for name, values in rows.items()}


def _groups(file: File, oldest_first: bool) -> Iterator[schema.Columns]:
    """Yield a file's row groups; a file that was due meanwhile gives nothing."""
    import pyarrow.parquet as pq

    try:
        opened = pq.ParquetFile(file.path)
    except FileNotFoundError:
        return
    with opened:
        numbers = range(opened.num_row_groups)
        for number in numbers if oldest_first else reversed(numbers):
            yield _to_columns(opened.read_row_group(number))


def _to_columns(table: pa.Table) -> schema.Columns:
    import pyarrow as pa

    columns: schema.Columns = {}
    for name in table.column_names:
        values = table.column(name)
        columns[name] = (values.cast(pa.int64()) if pa.types.is_timestamp(values.type) else values).to_pylist()
    return columns
