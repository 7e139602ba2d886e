"""Edits of the lists in an SQLite database; each edit is on the disk when it returns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dnsnb.drivers.database import open_database, reporting

_SCHEMA = """
CREATE TABLE IF NOT EXISTS names (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    list TEXT NOT NULL,
    name TEXT NOT NULL,
    added INTEGER NOT NULL,  -- ms since the epoch
    UNIQUE (list, name)
)
"""


class SqliteLists:
    """A database file with all lists."""

    name = "sqlite"

    def __init__(self, path: Path) -> None:
        self.path = path
        self._db = open_database(path, _SCHEMA, durable=True)

    def load(self, list_name: str) -> list[tuple[str, int]]:
        with reporting(self.path):
            sql = "SELECT name, added FROM names WHERE list = ? ORDER BY position"
            return self._db.execute(sql, [list_name]).fetchall()

    def change(self, list_name: str, added: Sequence[tuple[str, int]], removed: Sequence[str]) -> None:
        with reporting(self.path), self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany(
                "DELETE FROM names WHERE list = ? AND name = ?", [(list_name, text) for text in removed]
            )
            self._db.executemany(
                "INSERT INTO names (list, name, added) VALUES (?, ?, ?) "
                "ON CONFLICT (list, name) DO UPDATE SET added = excluded.added",
                [(list_name, text, moment) for text, moment in added],
            )

    def close(self) -> None:
        self._db.close()
