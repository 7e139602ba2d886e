"""The cache from one run to the next: a file of lines, or a table of an SQLite database; replaced whole."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from dnsnb.drivers.database import open_database, reporting
from dnsnb.drivers.private import clear_leftovers, make_folder, write_whole


class FileCache:
    """One entry a line (entries hold no line feed); the file is replaced whole."""

    name = "file"
    lasting = True

    def __init__(self, path: Path) -> None:
        self.path = path
        make_folder(path.parent)
        clear_leftovers(path.parent)

    def load(self) -> Iterable[bytes]:
        try:
            return self.path.read_bytes().splitlines()
        except FileNotFoundError:
            return ()

    def save(self, entries: Iterable[bytes]) -> None:
        write_whole(self.path, lambda out: out.writelines(entry + b"\n" for entry in entries))

    def close(self) -> None:
        return


class SqliteCache:
    """A table with an entry a row; the rows are replaced in one transaction."""

    name = "sqlite"
    lasting = True

    def __init__(self, path: Path) -> None:
        self.path = path
        self._db = open_database(path, "CREATE TABLE IF NOT EXISTS answers (entry BLOB NOT NULL)")

    def load(self) -> Iterable[bytes]:
        with reporting(self.path):
            return [entry for (entry,) in self._db.execute("SELECT entry FROM answers ORDER BY rowid")]

    def save(self, entries: Iterable[bytes]) -> None:
        with reporting(self.path), self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute("DELETE FROM answers")
            self._db.executemany("INSERT INTO answers VALUES (?)", ((entry,) for entry in entries))

    def close(self) -> None:
        self._db.close()
