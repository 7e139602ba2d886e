"""Pi-hole FTL databases, schema 1 to 21: the `queries` table of old, or `query_storage` with its tables of names.

Rows leave SQLite packed into a few integers each and are taken apart by numpy; the view is slow and is not used.
"""

# ruff: noqa: S608 - the names of columns in these statements are ours
from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pcsv

from dnsnb.errors import LogFormatError
from dnsnb.formats import columns, sqlitefile
from dnsnb.formats.columns import build
from dnsnb.formats.feeding import Context
from dnsnb.formats.opening import Input
from dnsnb.formats.sniff import Head

TYPES = (
    None,
    "A",
    "AAAA",
    "ANY",
    "SRV",
    "SOA",
    "PTR",
    "TXT",
    "NAPTR",
    "MX",
    "DS",
    "RRSIG",
    "DNSKEY",
    "NS",
    None,
    "SVCB",
    "HTTPS",
)
STATUSES = (
    ("unknown", "unknown"),
    ("blocked", "gravity"),
    ("forwarded", "forwarded"),
    ("cached", "cache"),
    ("blocked", "regex"),
    ("blocked", "denylist"),
    ("blocked", "external IP"),
    ("blocked", "external NULL"),
    ("blocked", "external NXRA"),
    ("blocked", "gravity CNAME"),
    ("blocked", "regex CNAME"),
    ("blocked", "denylist CNAME"),
    ("forwarded", "retried"),
    ("forwarded", "retried DNSSEC"),
    ("unknown", "in progress"),
    ("blocked", "database busy"),
    ("blocked", "special domain"),
    ("stale", "cache stale"),
    ("blocked", "external EDE15"),
)
RCODES = (
    None,
    "NOERROR",
    "NXDOMAIN",
    "NOERROR",
    "NOERROR",
    "NOERROR",
    "NOERROR",
    "SERVFAIL",
    "REFUSED",
    "NOTIMP",
    None,
    "NOERROR",
    None,
    "NOERROR",
)
CHUNK = 65_536
WORKERS = 2
#: privacy settings and old versions leave text in columns that else hold the number of a text
_BY_NUMBER = "typeof(domain) = 'integer' AND typeof(client) = 'integer'"
_AD = 1
_LAST = (1 << 63) - 1


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
            version = connection.execute("SELECT value FROM ftl WHERE id = 0").fetchone() if "ftl" in names else None
            if version:
                context.report.note(f"FTL schema {version[0]}")
            if source == "query_storage":
                yield from _packed(connection, uri, have, context)
            else:
                yield from _plain(connection, have, context)
        except (sqlite3.Error, UnicodeDecodeError) as error:
            context.report.note(f"the database is damaged or was cut off; what could be read was read ({error})")
            context.skip_count("rows that lie behind the damage", 1)
        finally:
            connection.close()


def _packed(connection: sqlite3.Connection, uri: str, have: set[str], context: Context) -> Iterator[pa.Table]:
    tables = _Names(connection, context)
    span = connection.execute("SELECT min(id) FROM query_storage").fetchone()
    if span[0] is None:
        return
    listed = "list_id" if "list_id" in have else "regex_id" if "regex_id" in have else "NULL"
    ede = "ede" if "ede" in have else "NULL"
    info = "additional_info" if "additional_info" in have else "NULL"
    reply = [c if c in have else "NULL" for c in ("reply_type", "reply_time", "dnssec")]
    sql = f"""
        SELECT group_concat(printf('%d,%d,%d,%d,%d,%d', id, timestamp * 1000000 + 0.5,
            (((type * 32 + status) * 32 + ifnull({reply[0]}, 31)) * 8 + ifnull({reply[2]}, 7)) * 128 + ifnull({ede},
            -1) + 1,
            domain * 1048576 + client, ifnull(forward, 0) * 4294967296 + ifnull({info}, 0),
            (ifnull({listed}, -1) + 1) * 4294967296 + min(ifnull({reply[1]} * 1000000 + 1, 0), 4294967295)), char(10))
            FILTER (WHERE {_BY_NUMBER}), sum(NOT ({_BY_NUMBER}))
        FROM query_storage WHERE id BETWEEN ? AND ?
    """
    workers = [sqlitefile.connect(uri) for _ in range(WORKERS)]  # SQLite lets go of the interpreter while it works
    free = deque(workers)

    def fetch(start: int) -> tuple[int, bytes | None, int]:
        worker = free.popleft()
        try:
            text, odd = worker.execute(sql, (start, min(start + CHUNK - 1, _LAST))).fetchone()
        finally:
            free.append(worker)
        return start, text, odd or 0

    for worker in workers:
        worker.text_factory = bytes
    try:
        with ThreadPoolExecutor(WORKERS, thread_name_prefix="dnsnb-sqlite") as pool:
            ahead: deque[Future[tuple[int, bytes | None, int]]] = deque()
            starts = _starts(connection, span[0])
            while True:
                while len(ahead) < WORKERS + 1 and (start := next(starts, None)) is not None:
                    ahead.append(pool.submit(fetch, start))
                if not ahead:
                    return
                start, text, odd = ahead.popleft().result()
                if text:
                    yield _unpacked(text, tables)
                if odd:
                    rows = connection.execute(
                        f"SELECT id, timestamp, type, status, domain, client, forward, {info}, {', '.join(reply)}, "
                        f"{listed}, {ede} FROM query_storage WHERE id BETWEEN ? AND ? AND NOT ({_BY_NUMBER})",
                        (start, min(start + CHUNK - 1, _LAST)),
                    ).fetchall()
                    yield _texts(rows, tables)
    finally:
        for worker in workers:
            worker.close()


def _starts(connection: sqlite3.Connection, first: int | None) -> Iterator[int]:
    """Yield the id that each chunk begins with; stretches without ids are jumped over."""
    while first is not None:
        yield first
        if first > _LAST - CHUNK:
            return
        first = connection.execute("SELECT min(id) FROM query_storage WHERE id >= ?", (first + CHUNK,)).fetchone()[0]


class _Names:
    """The tables that turn numbers into names, as Arrow arrays by number."""

    def __init__(self, connection: sqlite3.Connection, context: Context) -> None:
        def table(sql: str) -> list[tuple[Any, ...]]:
            try:
                return connection.execute(sql).fetchall()
            except (sqlite3.Error, UnicodeDecodeError):
                return []

        self.domain = _by_number(table("SELECT id, domain FROM domain_by_id"))
        clients = table("SELECT id, ip, name FROM client_by_id")
        self.client = _by_number([(i, ip) for i, ip, _ in clients])
        self.client_name = _by_number([(i, name or None) for i, _, name in clients])
        self.forward = _by_number(table("SELECT id, forward FROM forward_by_id"))
        self.info = _by_number(
            [(i, f"list {c}" if t == 2 else str(c)) for i, t, c in table("SELECT id, type, content FROM addinfo_by_id")]
        )


def _by_number(rows: list[tuple[Any, ...]]) -> tuple[Any, pa.Array]:
    """Return (sorted numbers, names) for `_look_up`."""
    good = [(i, None if v is None else str(v)) for i, v in rows if isinstance(i, int)]
    good.sort()
    return np.array([i for i, _ in good], np.int64), pa.array([v for _, v in good], pa.string())


def _look_up(table: tuple[Any, pa.Array], numbers: Any) -> pa.DictionaryArray:
    keys, names = table
    if not len(keys):
        return pa.DictionaryArray.from_arrays(pa.nulls(len(numbers), pa.int32()), pa.array([], pa.string()))
    place = np.minimum(np.searchsorted(keys, numbers), len(keys) - 1)
    return pa.DictionaryArray.from_arrays(pa.array(place, pa.int32(), mask=keys[place] != numbers), names)


def _unpacked(text: bytes, tables: _Names) -> pa.Table:
    parsed = pcsv.read_csv(
        pa.BufferReader(text),
        read_options=pcsv.ReadOptions(column_names=list("abcdef"), block_size=4 << 20),
        convert_options=pcsv.ConvertOptions(column_types=dict.fromkeys("abcdef", pa.int64())),
    )
    number, micros, small, who, via, reply = (parsed.column(c).to_numpy() for c in "abcdef")
    ede = small % 128 - 1
    small = small // 128
    dnssec, small = small % 8, small // 8
    answer, small = small % 32, small // 32
    status, kind = small % 32, small // 32
    client = who & 0xFFFFF
    took = (reply & 0xFFFFFFFF) - 1
    listed = (reply >> 32) - 1
    info = via & 0xFFFFFFFF
    rule = _look_up(tables.info, info)
    forward = _look_up(tables.forward, via >> 32)
    raw = {
        "client": _look_up(tables.client, client).cast(pa.string()),
        "client_name": _look_up(tables.client_name, client).cast(pa.string()),
        "qname": _look_up(tables.domain, who >> 20),
        "upstream": forward,
        "rule": rule.cast(pa.string()) if len(tables.info[0]) else None,
    }
    return _table(raw, number, micros, kind, status, answer, took, dnssec, listed, ede)


def _table(
    raw: dict[str, Any],
    number: Any,
    micros: Any,
    kind: Any,
    status: Any,
    answer: Any,
    took: Any,
    dnssec: Any,
    listed: Any,
    ede: Any,
) -> pa.Table:
    count = len(number)
    blocked = _pick([s == "blocked" for s, _ in STATUSES], status, False)
    raw |= {
        "time": micros,
        "qtype": _types(kind),
        "status": _words([s for s, _ in STATUSES], status, "unknown"),
        "reason": _words([r for _, r in STATUSES], status, None),
        "rcode": _words(list(RCODES), answer, None),
        "latency_ms": pa.array((took / 1000.0).astype(np.float32), mask=took < 0),
        "flags": pa.DictionaryArray.from_arrays(
            pa.array(np.zeros(count, np.int32), mask=dnssec != _AD), pa.array(["qr ad"])
        ),
        "ede": np.where(ede >= 0, ede, -1),
        "id": pa.array(number),
        "event": "query",
    }
    if (listed >= 0).any():
        lists = columns.mapped(pa.array(listed, mask=(listed < 0) | ~blocked), lambda n: f"list {n}")
        raw["list"] = lists
    return build({k: v for k, v in raw.items() if v is not None}, count, escapes=False)


def _pick(values: list[Any], codes: Any, other: Any) -> Any:
    return np.array([*values, other])[np.where((codes >= 0) & (codes < len(values)), codes, len(values))]


def _words(values: list[Any], codes: Any, other: Any) -> pa.DictionaryArray:
    table = [*values, other]
    distinct = [v for v in dict.fromkeys(table) if v is not None]
    remap = np.array([distinct.index(v) if v is not None else -1 for v in table])
    found = remap[np.where((codes >= 0) & (codes < len(values)), codes, len(values))]
    return pa.DictionaryArray.from_arrays(
        pa.array(np.maximum(found, 0), pa.int32(), mask=found < 0), pa.array(distinct, pa.string())
    )


def _types(kind: Any) -> pa.DictionaryArray:
    distinct, codes = np.unique(kind, return_inverse=True)
    texts = [
        columns.qtype(str(k - 100)) if k > 100 else (TYPES[k] if 0 <= k < len(TYPES) else None)
        for k in distinct.tolist()
    ]
    return columns.mapped(
        pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), pa.array(texts, pa.string())), str
    )


def _plain(connection: sqlite3.Connection, have: set[str], context: Context) -> Iterator[pa.Table]:
    info = "additional_info" if "additional_info" in have else "NULL"
    reply = [c if c in have else "NULL" for c in ("reply_type", "reply_time", "dnssec")]
    cursor = connection.execute(
        f"SELECT id, timestamp, type, status, domain, client, forward, {info}, {', '.join(reply)}, NULL, NULL FROM "
        f"queries ORDER BY id"
    )
    while rows := cursor.fetchmany(CHUNK):
        yield _texts(rows, None)


def _texts(rows: list[tuple[Any, ...]], tables: _Names | None) -> pa.Table:
    ids, stamps, kinds, statuses, domains, clients, forwards, infos, answers, took, dnssec, listed, ede = zip(
        *rows, strict=True
    )

    def text(values: tuple[Any, ...], table: tuple[Any, pa.Array] | None) -> pa.Array:
        by_number = dict(zip(table[0].tolist(), table[1].to_pylist(), strict=True)) if table is not None else {}
        return pa.array(
            [by_number.get(v, str(v)) if isinstance(v, int) else v if v is None else str(v) for v in values],
            pa.string(),
        )

    def whole(values: tuple[Any, ...], other: int) -> Any:
        return np.array(
            [int(v) if isinstance(v, (int, float)) and abs(v) < 1 << 40 else other for v in values], np.int64
        )

    micros = np.array(
        [round(v * 1e6) if isinstance(v, (int, float)) and abs(v) < 1e10 else -(1 << 63) for v in stamps], np.int64
    )
    raw: dict[str, Any] = {
        "client": text(clients, None if tables is None else tables.client),
        "qname": text(domains, None if tables is None else tables.domain),
        "upstream": text(forwards, None if tables is None else tables.forward).dictionary_encode(),
        "rule": text(infos, None if tables is None else tables.info),
    }
    spent = np.array([v * 1e6 if isinstance(v, (int, float)) and v < 4e9 else -1.0 for v in took]).astype(np.int64)
    return _table(
        raw,
        whole(ids, 0),
        micros,
        whole(kinds, 0),
        whole(statuses, 0),
        whole(answers, 31),
        spent,
        whole(dnssec, 0),
        whole(listed, -1),
        whole(ede, -1),
    )
