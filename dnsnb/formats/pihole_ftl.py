"""Pi-hole FTL databases, schema 1 to 21: the `queries` table of old, or `query_storage` with its tables of names.

Rows are read from the database's own pages (sqlitepages.py), where those are as expected; the view is slow and is not
used.
"""

# ruff: noqa: S608 - the names of columns in these statements are ours
from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dnsnb.errors import LogFormatError
from dnsnb.formats import pihole_values as values
from dnsnb.formats import sqlitefile
from dnsnb.formats.feeding import Context
from dnsnb.formats.opening import Input
from dnsnb.formats.pihole_values import NOBODY, Names
from dnsnb.formats.sniff import Head
from dnsnb.formats.sqlitepages import Pages, Rows, UnreadableError

CHUNK = 65_536
WORKERS = 2
BATCH = 4 << 20
"""Octets of pages that are taken apart at once: about a hundred thousand rows."""
RESTARTS = 5
"""How often a database that is written meanwhile is begun anew, behind the last row, before SQLite reads the rest."""
#: what the columns of `query_storage` are called here, and in the versions that had them
STORED = {
    "number": ("id",),
    "time": ("timestamp",),
    "kind": ("type",),
    "status": ("status",),
    "domain": ("domain",),
    "client": ("client",),
    "forward": ("forward",),
    "info": ("additional_info",),
    "answer": ("reply_type",),
    "took": ("reply_time",),
    "dnssec": ("dnssec",),
    "listed": ("list_id", "regex_id"),
    "ede": ("ede",),
}


def score(head: Head) -> int:
    """An SQLite file with FTL's tables."""
    if sqlitefile.holds(head, b"ftl") and (
        sqlitefile.holds(head, b"query_storage") or sqlitefile.holds(head, b"queries", b"forward")
    ):
        return 97
    return 0


def read(one: Input, context: Context) -> Iterator[pa.Table]:
    """Yield the queries of a database, oldest first."""
    with sqlitefile.opened(one, context.report) as uri:
        connection = sqlitefile.connect(uri)
        try:
            names = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            source = "query_storage" if "query_storage" in names else "queries"
            if source not in names:
                raise LogFormatError(
                    f"{one.name}: a database, but not FTL's: it has no table of queries, only "
                    f"{', '.join(sorted(names)[:8])}"
                )
            have = {row[1] for row in connection.execute(f"PRAGMA table_info({source})")}
            if version := _version(connection, names):
                context.report.note(f"FTL schema {version}")
            if source == "query_storage":
                yield from _stored(connection, uri, context)
            else:
                yield from _plain(connection, source, have, None, None, context)
        except (sqlite3.Error, UnicodeDecodeError) as error:
            context.report.note(f"the database is damaged, cut off or locked; what could be read was read ({error})")
            context.skip_count("rows that lie behind the damage", 1)
        finally:
            connection.close()


def _version(connection: sqlite3.Connection, names: set[str]) -> Any:
    try:
        row = connection.execute("SELECT value FROM ftl WHERE id = 0").fetchone() if "ftl" in names else None
    except sqlite3.DatabaseError:  # damaged there; the queries may be whole
        return None
    return row and row[0]


def _stored(connection: sqlite3.Connection, uri: str, context: Context) -> Iterator[pa.Table]:
    """Yield the rows of `query_storage`, by its pages; where those are not as expected, by SQLite."""
    place = _places(connection)
    last: int | None = None
    for _ in range(RESTARTS if place else 0):
        try:
            for table, end in _paged(connection, uri, place, last, context):
                last = end
                yield table
            return
        except _ChangedError:
            continue
        except (UnreadableError, OSError, ValueError, sqlite3.DatabaseError):
            break
        finally:
            connection.rollback()
    have = {row[1] for row in connection.execute("PRAGMA table_info(query_storage)")}
    yield from _plain(connection, "query_storage", have, Names(connection, context.report), last, context)


class _ChangedError(Exception):
    """Somebody wrote into the database; what was read is good, what comes must be looked for anew."""


def _places(connection: sqlite3.Connection) -> dict[str, int]:
    """Return at which place of the table each column stands; nothing for a table unlike FTL's."""
    columns_ = connection.execute("PRAGMA table_xinfo(query_storage)").fetchall()
    (sql,) = connection.execute("SELECT upper(sql) FROM sqlite_master WHERE name = 'query_storage'").fetchone()
    key = [(name, kind.upper()) for _, name, kind, _, _, pk, _ in columns_ if pk]
    if "WITHOUT ROWID" in " ".join(sql.split()) or key != [("id", "INTEGER")]:
        return {}
    if any(hidden or default is not None for _, _, _, _, default, _, hidden in columns_):
        return {}
    by_name = {column[1]: column[0] for column in columns_}
    place = {k: by_name[n] for k, names in STORED.items() for n in names[::-1] if n in by_name}
    return place if {"number", "time", "kind", "status", "domain", "client", "forward"} <= place.keys() else {}


def _paged(
    connection: sqlite3.Connection, uri: str, place: dict[str, int], after: int | None, context: Context
) -> Iterator[tuple[pa.Table, int]]:
    """Yield tables, each with its last id. Raises `_ChangedError`; `UnreadableError` for what SQLite must read."""

    def hold() -> int:
        connection.execute("BEGIN")
        sql = "SELECT rootpage FROM sqlite_master WHERE type = 'table' AND name = 'query_storage'"
        return int(connection.execute(sql).fetchone()[0])

    root = hold()
    path = Path(connection.execute("PRAGMA database_list").fetchone()[2])
    wal = not uri.endswith("immutable=1") and connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    with Pages(path, wal=wal) as pages, ThreadPoolExecutor(WORKERS, thread_name_prefix="dnsnb-sqlite") as pool:
        names = Names(connection, context.report)
        leaves = pages.leaves(root, after)
        if not wal:
            connection.rollback()
        step = max(1, BATCH // pages.size)
        batches: Iterator[Any] = (leaves[start : start + step] for start in range(0, len(leaves), step))
        ahead: deque[Future[tuple[pa.Table, Any, Any]]] = deque()
        last = None
        while True:
            while len(ahead) <= WORKERS and (batch := next(batches, None)) is not None:
                if not wal:
                    hold()
                octets = pages.read(batch)
                changed = not wal and pages.changed()
                if not wal:  # a writer need not wait for longer than the reading of one batch
                    connection.rollback()
                if changed:
                    batches = iter(())
                    ahead.append(pool.submit(_raise, _ChangedError()))
                    break
                ahead.append(pool.submit(_taken_apart, octets, pages.usable, place, after, names))
            if not ahead:
                return
            table, odd, ids = ahead.popleft().result()
            if not len(ids):
                continue
            if last is not None and ids[0] <= last:
                raise UnreadableError("rows that are not in order")
            last = int(ids[-1])
            if len(odd):
                table = _with_odd(connection, table, odd, names)
            yield table, last


def _raise(error: Exception) -> tuple[pa.Table, Any, Any]:
    raise error


def _taken_apart(
    octets: Any, usable: int, place: dict[str, int], after: int | None, names: Names
) -> tuple[pa.Table, Any, Any]:
    """Return the rows of leaf pages, the ids of those that SQLite must read, and all their ids."""
    wanted = {place[k] for k in place if k != "number"}
    rows = Rows(octets, usable, wanted, {place[k] for k in ("time", "took") if k in place})
    new = np.ones(len(rows.ids), bool) if after is None else rows.ids > after
    keep = new & ~rows.odd
    count = int(keep.sum())

    def whole(name: str, null: int) -> Any:
        return rows.whole(place[name], null)[keep] if name in place else np.full(count, null, np.int64)

    def seconds(name: str) -> Any:
        return rows.real(place[name])[keep] if name in place else np.full(count, np.nan)

    domain, client = whole("domain", NOBODY), whole("client", NOBODY)
    raw = {
        "client_name": names.client_name.taken(client),
        "upstream": names.forward.coded(whole("forward", NOBODY)),
        "rule": names.info.taken(whole("info", NOBODY)),
    }
    spelled = {"client": names.client.taken(client), "qname": names.domain.taken(domain)}
    if names.strange is not None:
        spelled["lossy"] = names.strange.taken(domain).fill_null(False)
        raw["qname_raw"] = pc.if_else(spelled["lossy"], names.domain_raw.taken(domain), pa.scalar(None, pa.string()))
    table = values.table(
        raw,
        spelled,
        rows.ids[keep],
        values.times(seconds("time")),
        whole("kind", 0),
        whole("status", 0),
        whole("answer", 31),
        values.spans(seconds("took")),
        whole("dnssec", 0),
        whole("listed", -1),
        whole("ede", -1),
    )
    return table, rows.ids[new & rows.odd], rows.ids[new]


def _with_odd(connection: sqlite3.Connection, table: pa.Table, odd: Any, names: Names) -> pa.Table:
    have = {row[1] for row in connection.execute("PRAGMA table_info(query_storage)")}
    parts = [table]
    for start in range(0, len(odd), 10_000):
        numbers = ",".join(map(str, odd[start : start + 10_000].tolist()))
        sql = f"SELECT {_columns(have)} FROM query_storage WHERE id IN ({numbers})"
        if rows := connection.execute(sql).fetchall():
            parts.append(values.texts(rows, names))
    whole = pa.concat_tables(parts, promote_options="permissive").unify_dictionaries().combine_chunks()
    if "lossy" in whole.column_names:  # only parts with such a name have it
        at = whole.column_names.index("lossy")
        whole = whole.set_column(at, "lossy", whole.column("lossy").fill_null(False))
    return whole.take(pa.array(np.argsort(whole.column("id").to_numpy(), kind="stable")))


def _columns(have: set[str]) -> str:
    return ", ".join(next((n for n in old if n in have), "NULL") for old in STORED.values())


def _plain(
    connection: sqlite3.Connection,
    source: str,
    have: set[str],
    names: Names | None,
    after: int | None,
    context: Context,
) -> Iterator[pa.Table]:
    """Yield the rows of a table as SQLite gives them; what lies on damaged pages is reported."""
    found = sqlitefile.by_id(connection, source, _columns(have), after, sqlitefile.damaged(context))
    for rows in sqlitefile.chunks(found, CHUNK):
        yield values.texts(rows, names)
