"""The query log as a table of an SQLite database (WAL): others may read it while it is written.

The columns are the frame's; `time` is µs since the epoch, `answers` a JSON array.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from dnsnb import schema
from dnsnb.dns.journal import LogBatch
from dnsnb.drivers.columns import NAMES
from dnsnb.drivers.database import open_database, reporting

CHUNK = 4096
_TYPES = {"time": "INTEGER", "float32": "REAL", "int16": "INTEGER", "int32": "INTEGER", "int64": "INTEGER"}
_COLUMNS = tuple(c for c in schema.COLUMNS if c.name in NAMES)
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS queries ("
    + ", ".join(f'"{c.name}" {_TYPES.get(c.kind, "TEXT")}' for c in _COLUMNS if c.name != "id")
    + ", id INTEGER PRIMARY KEY); CREATE INDEX IF NOT EXISTS queries_time ON queries (time)"
)
_INSERT = f"INSERT INTO queries ({', '.join(NAMES)}) VALUES ({', '.join('?' * len(NAMES))})"  # noqa: S608 - our names
_SELECT = f"SELECT {', '.join(NAMES)} FROM queries WHERE "  # noqa: S608 - our own names


class SqliteLog:
    """A database file; above `limit` bytes the oldest rows go."""

    name = "sqlite"
    readable = True
    quick = False

    def __init__(self, path: Path, limit: int = 1 << 30) -> None:
        self.path = path
        self.limit = limit
        self._db = open_database(path, _SCHEMA)
        with reporting(path):
            self.count, self.last_id = self._db.execute("SELECT count(*), coalesce(max(id), 0) FROM queries").fetchone()

    def append(self, batch: LogBatch) -> None:
        if not batch.count:
            return
        columns = dict(batch.columns)
        answers = columns.get("answers")
        if answers is not None:
            columns["answers"] = [None if v is None else orjson.dumps(v).decode() for v in answers]
        nothing = [None] * batch.count
        rows = zip(*(columns.get(name) or nothing for name in NAMES), strict=True)
        with reporting(self.path), self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany(_INSERT, rows)
        self.count += batch.count
        self.last_id = columns["id"][-1]

    def scan(
        self,
        before: int | None = None,
        after: int | None = None,
        *,
        since: int | None = None,
        until: int | None = None,
        oldest_first: bool = False,
    ) -> Iterator[schema.Columns]:
        low = -1 if after is None else after
        high = (1 << 63) - 1 if before is None else before
        where, bounds = "id > ? AND id < ?", []
        for sign, moment in ((">=", since), ("<=", until)):
            if moment is not None:
                where += f" AND time {sign} ?"
                bounds.append(moment)
        order = "ASC" if oldest_first else "DESC"
        while True:
            sql = f"{_SELECT}{where} ORDER BY id {order} LIMIT {CHUNK}"
            with reporting(self.path):
                rows = self._db.execute(sql, [low, high, *bounds]).fetchall()
            if not rows:
                return
            if not oldest_first:
                rows.reverse()
                high = rows[0][-1]
            else:
                low = rows[-1][-1]
            yield _columns(rows)

    def expire(self, older_than: int) -> int:
        with reporting(self.path), self._db:
            self._db.execute("BEGIN IMMEDIATE")
            gone = self._db.execute("DELETE FROM queries WHERE time < ?", [older_than]).rowcount
            kept = self.count - gone
            over = self._size() - self.limit
            if over > 0 and kept:
                share = min(1.0, over / self._size() + 0.1)  # a tenth more, so that it is not every time
                most = max(1, int(kept * share))
                sql = "DELETE FROM queries WHERE id IN (SELECT id FROM queries ORDER BY id LIMIT ?)"
                gone += self._db.execute(sql, [most]).rowcount
        if gone:
            with reporting(self.path):
                self._db.execute("PRAGMA incremental_vacuum").fetchall()
            self.count -= gone
        return int(gone)

    def _size(self) -> int:
        """Bytes that rows take."""
        pages, free, size = (
            self._db.execute(f"PRAGMA {what}").fetchone()[0] for what in ("page_count", "freelist_count", "page_size")
        )
        return int((pages - free) * size)

    def close(self) -> None:
        self._db.close()


def _columns(rows: list[tuple[Any, ...]]) -> schema.Columns:
    columns: schema.Columns = dict(zip(NAMES, map(list, zip(*rows, strict=True)), strict=True))
    columns["answers"] = [None if v is None else orjson.loads(v) for v in columns["answers"]]
    return columns
