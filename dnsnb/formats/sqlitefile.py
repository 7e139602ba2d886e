"""Another program's SQLite database, opened to be read alone: live, in WAL mode, beside a stale WAL, or compressed.

Never writes beside the file unless SQLite must (a live WAL); a copy is made of what is no plain file.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from dnsnb.errors import LogFormatError
from dnsnb.formats.opening import Input
from dnsnb.formats.report import ImportReport
from dnsnb.formats.sniff import Head

MAGIC = b"SQLite format 3\0"


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


def rows(one: Input, context: Any, sql: str, chunk: int) -> Iterator[list[tuple[Any, ...]]]:
    """Yield the rows of a query by the chunk; damage ends it with a report, not an error."""
    with opened(one, context.report) as uri:
        connection = connect(uri)
        try:
            cursor = connection.execute(sql)
            while found := cursor.fetchmany(chunk):
                yield found
        except (sqlite3.Error, UnicodeDecodeError) as error:
            context.report.note(f"the database is damaged or not as expected; what could be read was read ({error})")
            context.skip_count("rows that lie behind the damage", 1)
        finally:
            connection.close()
