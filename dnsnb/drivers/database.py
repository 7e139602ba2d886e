"""Opening an SQLite database of ours: private, WAL, and its errors as OSError. Used from one thread at a time."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from dnsnb.drivers.private import make_folder, open_private

BUSY_SECONDS = 1.0  # how long somebody else's lock is waited for
_NUMBERS = {
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_BUSY: errno.EBUSY,
    sqlite3.SQLITE_LOCKED: errno.EBUSY,
    sqlite3.SQLITE_READONLY: errno.EROFS,
    sqlite3.SQLITE_CANTOPEN: errno.EACCES,
}


def open_database(path: Path, schema: str, *, durable: bool = False) -> sqlite3.Connection:
    """Open or make a database, mode 0600; raises OSError.

    A commit outlives the process; with `durable` also a loss of power.
    """
    make_folder(path.parent)
    os.close(open_private(path))
    with reporting(path):
        db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            db.execute("PRAGMA auto_vacuum = INCREMENTAL")
            db.execute("PRAGMA journal_mode = WAL").fetchone()
            db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            db.executescript(schema)
        except BaseException:
            db.close()
            raise
    return db


@contextlib.contextmanager
def reporting(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into OSError that names the file."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        raise OSError(_NUMBERS.get(code, errno.EIO), str(error), str(path)) from error
