"""What was ever seen, kept in a file: a domain, when first, when last. SQLite (in place) or Parquet (rewritten).

Equal rows given twice change nothing. Knows no analysis.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd

from dnsnb.errors import SettingError

_SQLITE = (".sqlite", ".sqlite3", ".db")
_COLUMNS = ["domain", "first", "last"]
_TABLE = "CREATE TABLE IF NOT EXISTS seen (domain TEXT PRIMARY KEY, first INTEGER NOT NULL, last INTEGER NOT NULL)"
_PUT = (
    "INSERT INTO seen VALUES (?, ?, ?) ON CONFLICT (domain) DO UPDATE "
    "SET first = min(first, excluded.first), last = max(last, excluded.last)"
)


def read_seen(store: Any) -> pd.DataFrame:
    """Return `domain`, `first`, `last` (µs since the epoch) of a store: a path, a frame like this, or None for nothing.

    A file that isn't there yet holds nothing. Raises SettingError.
    """
    if store is None:
        return pd.DataFrame(
            {"domain": pd.Series(dtype="object"), "first": pd.Series(dtype="int64"), "last": pd.Series(dtype="int64")}
        )
    if isinstance(store, pd.DataFrame):
        missing = [name for name in _COLUMNS if name not in store.columns]
        if missing:
            raise SettingError(
                "store", list(store.columns), f"has no column {missing[0]!r}; it wants {', '.join(_COLUMNS)}"
            )
        return store[_COLUMNS].reset_index(drop=True)
    path = _path(store)
    if not path.exists():
        return read_seen(None)
    try:
        if path.suffix == ".parquet":
            return read_seen(pd.read_parquet(path))
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            rows = database.execute("SELECT domain, first, last FROM seen").fetchall()
    except (OSError, ValueError, sqlite3.Error) as error:
        raise SettingError("store", str(path), f"can't be read as what was seen before: {error}") from None
    return pd.DataFrame(rows, columns=_COLUMNS).astype({"domain": "object", "first": "int64", "last": "int64"})


def put_seen(store: Any, seen: pd.DataFrame) -> None:
    """Add what was seen to the file of a store, all or nothing. Raises SettingError."""
    path = _path(store)
    try:
        if path.suffix == ".parquet":
            both = pd.concat([read_seen(path), seen[_COLUMNS]]).groupby("domain", as_index=False, sort=True)
            beside = path.with_name(f"{path.name}.new")
            both.agg(first=("first", "min"), last=("last", "max")).to_parquet(beside, index=False)
            os.replace(beside, path)
            return
        rows = [(str(d), int(a), int(b)) for d, a, b in seen[_COLUMNS].itertuples(index=False)]
        with closing(sqlite3.connect(path)) as database, database:
            database.execute(_TABLE)
            database.executemany(_PUT, rows)
    except (OSError, sqlite3.Error) as error:
        raise SettingError("store", str(path), f"can't be written: {error}") from None


def _path(store: Any) -> Path:
    if not isinstance(store, str | os.PathLike):
        raise SettingError("store", store, "must be a path, a frame of domain, first and last, or None")
    path = Path(store).expanduser()
    if path.suffix not in (*_SQLITE, ".parquet"):
        raise SettingError("store", str(store), f"must end in .parquet, or for SQLite in {', '.join(_SQLITE)}")
    return path
