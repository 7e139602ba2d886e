"""Another program's SQLite database, opened to be read alone: live, in WAL mode, beside a stale WAL, or compressed.

Never writes beside the file unless SQLite must (a live WAL); a copy is made of what is no plain file.
"""

# ruff: noqa: S608 - the names in these statements are ours
from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from dnsnb.errors import LogFormatError
from dnsnb.formats.opening import Input
from dnsnb.formats.report import ImportReport
from dnsnb.formats.sniff import Head

MAGIC = b"SQLite format 3\0"
_DAMAGE = (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
MOST_DAMAGES = 200
MOST_ASTRAY = 100_000


def holds(head: Head, *words: bytes) -> bool:
    """Return whether a file is a database whose schema, in its first 64 KiB, has all of these words."""
    return head.raw.startswith(MAGIC) and all(word in head.raw for word in words)


@contextmanager
def opened(one: Input, report: ImportReport) -> Iterator[str]:
    """Yield the URI under which a database can be read; raises LogFormatError when it can't."""
    if one.path is not None and one.compression is None:
        yield _working(one.path, report)
        return
    with tempfile.TemporaryDirectory(prefix="dnsnb-") as folder:
        copy = Path(folder) / "copy.db"
        with copy.open("wb") as out:
            for piece in one.pieces():
                out.write(piece)
        yield _working(copy, report)


def connect(uri: str) -> sqlite3.Connection:
    """Return a connection that any thread may use in turn."""
    connection = sqlite3.connect(uri, uri=True, timeout=5.0, check_same_thread=False)
    connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
    return connection


def _working(path: Path, report: ImportReport) -> str:
    base = "file:" + quote(str(path.resolve()))
    failure: Exception | None = None
    for mode in ("mode=ro", "immutable=1"):
        uri = f"{base}?{mode}"
        try:
            connection = connect(uri)
            try:
                connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            finally:
                connection.close()
        except (sqlite3.Error, UnicodeDecodeError) as error:
            failure = error
            continue
        if mode != "mode=ro":
            report.note(
                f"{path.name}: opened as it lies on disk; what its write-ahead log holds is not in it ({failure})"
            )
        return uri
    raise LogFormatError(f"{path}: the database can't be read: {failure}")


def rows(
    one: Input, context: Any, table: str, wanted: Sequence[str], chunk: int, key: str = "rowid"
) -> Iterator[list[tuple[Any, ...]]]:
    """Yield a table's rows by the chunk, each its key, then the wanted columns (null where the table has none).

    They come by their key; damaged pages are passed over with a report, not an error.
    """
    with opened(one, context.report) as uri:
        connection = connect(uri)
        try:
            have = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
            columns = ", ".join([key, *(f'"{name}"' if name in have else "NULL" for name in wanted)])
            yield from chunks(by_id(connection, table, columns, None, damaged(context), key), chunk)
        except (sqlite3.Error, UnicodeDecodeError) as error:
            context.report.note(f"the database is damaged or not as expected; what could be read was read ({error})")
            context.skip_count("rows that lie behind the damage", 1)
        finally:
            connection.close()


def chunks(rows: Iterator[tuple[Any, ...]], size: int) -> Iterator[list[tuple[Any, ...]]]:
    """Yield rows by the chunk; where an error of the database ends them, those before it come first."""
    found: list[tuple[Any, ...]] = []
    try:
        for row in rows:
            found.append(row)
            if len(found) >= size:
                yield found
                found = []
    except (sqlite3.Error, UnicodeDecodeError):
        if found:
            yield found
        raise
    if found:
        yield found


def damaged(context: Any) -> Callable[[int], None]:
    """Return what reports the rows that `by_id` had to pass over."""

    def told(count: int) -> None:
        context.report.note("the database is damaged; what could be read was read")
        if count:
            context.skip_count("rows on damaged pages, or as many as their numbers leave room for", count)
        else:
            context.skip_count("rows that lie behind the damage", 1)

    return told


def by_id(
    connection: sqlite3.Connection,
    table: str,
    columns: str,
    after: int | None,
    damaged: Callable[[int], None],
    key: str = "id",
) -> Iterator[tuple[Any, ...]]:
    """Yield a table's rows, the first of `columns` being the `key` that it is ordered by; those on damaged pages are
    passed over.

    `damaged` is told how many rows that may be: as many as their numbers leave room for, 0 when nothing is behind them.
    """

    def one(behind: int) -> tuple[Any, ...] | None:
        sql = f"SELECT {columns} FROM {table} WHERE {key} > {behind:d} ORDER BY {key} LIMIT 1"
        row: tuple[Any, ...] | None = connection.execute(sql).fetchone()
        if row is not None and row[0] <= behind:
            raise sqlite3.DatabaseError("rows that are not in order")
        return row

    astray = 0
    for _ in range(MOST_DAMAGES):
        where = "" if after is None else f" WHERE {key} > {after:d}"
        try:
            for row in connection.execute(f"SELECT {columns} FROM {table}{where} ORDER BY {key}"):
                if after is None or row[0] > after:
                    after = row[0]
                elif (astray := astray + 1) > MOST_ASTRAY:  # pages that lead back to one another
                    damaged(0)
                    return
                yield row
            return
        except sqlite3.Error as error:
            if error.sqlite_errorcode & 0xFF not in _DAMAGE or not isinstance(after, int | None):
                raise
        try:  # Python's cursor looks ahead: the row just before the damage was lost with it
            last = after or 0
            while (row := one(last)) is not None:
                last = row[0]
                yield row
            return
        except sqlite3.Error:
            pass
        after, found = _behind(one, last)
        damaged(found - last - 1 if found is not None else 0)
        if found is None:
            return
    damaged(0)


def _behind(one: Callable[[int], tuple[Any, ...] | None], last: int) -> tuple[int, int | None]:
    """Return the least id behind which a row can be read, and that row's id (None: there is none)."""

    def found(behind: int) -> tuple[bool, int | None]:
        try:
            row = one(behind)
        except sqlite3.Error:
            return False, None
        return True, None if row is None else int(row[0])

    step = 1
    while not (good := found(last + step))[0]:
        step *= 2
        if last + step >= 1 << 62:
            return last, None
    low, high = last + step // 2, last + step
    while high - low > 1:
        middle = (low + high) // 2
        at = found(middle)
        low, high, good = (low, middle, at) if at[0] else (middle, high, good)
    return high, good[1]
