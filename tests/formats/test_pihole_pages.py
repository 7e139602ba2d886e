"""What numpy reads from a database's pages is what SQLite reads: any values, page sizes, versions, and logs."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from dnsnb.formats import pihole_ftl, reading
from dnsnb.formats.report import ImportReport

COLUMNS = ["timestamp", "type", "status", "domain", "client", "forward"]
COLUMNS += ["additional_info", "reply_type", "reply_time", "dnssec", "list_id", "ede"]
#: how many of them a version of the schema has
AFTER = {10: 6, 11: 7, 12: 10, 13: 11, 17: 11, 21: 12}


def make(path: Path, version: int = 21, page: int = 4096, grown: int | None = None) -> sqlite3.Connection:
    """Return a new database; with `grown` only so many columns at first, the rest are added by `grow`."""
    database = sqlite3.connect(path, isolation_level=None)
    database.execute(f"PRAGMA page_size = {page}")
    database.execute("PRAGMA synchronous = OFF")
    names = ["regex_id" if n == "list_id" and version < 17 else n for n in COLUMNS[: grown or AFTER[version]]]
    spelled = [f"{n} REAL" if n == "reply_time" else f"{n} INTEGER" for n in names]
    database.executescript(f"""
        CREATE TABLE ftl (id INTEGER PRIMARY KEY NOT NULL, value BLOB NOT NULL);
        CREATE TABLE query_storage (id INTEGER PRIMARY KEY AUTOINCREMENT, {", ".join(spelled)});
        CREATE TABLE domain_by_id (id INTEGER PRIMARY KEY, domain TEXT NOT NULL);
        CREATE TABLE client_by_id (id INTEGER PRIMARY KEY, ip TEXT NOT NULL, name TEXT);
        CREATE TABLE forward_by_id (id INTEGER PRIMARY KEY, forward TEXT NOT NULL);
        CREATE TABLE addinfo_by_id (id INTEGER PRIMARY KEY, type INTEGER NOT NULL, content NOT NULL);
        INSERT INTO ftl VALUES (0, {version});
        INSERT INTO domain_by_id VALUES (1, 'www.example.com'), (2, 'Ads.Example.NET'), (3, 'a\\b c.example'),
            (4, 'hidden'), (900000, '{"x" * 70}.example');
        INSERT INTO client_by_id VALUES (1, '192.0.2.1', 'pc.lan'), (2, '2001:DB8::1', ''), (300, '0.0.0.0', NULL);
        INSERT INTO forward_by_id VALUES (1, '192.0.2.53#53');
        INSERT INTO addinfo_by_id VALUES (1, 1, 'cname.example'), (2, 2, 7);
    """)
    return database


def fill(database: sqlite3.Connection, rows: list[tuple[Any, ...]], columns: int = 12) -> None:
    database.executemany(
        f"INSERT OR REPLACE INTO query_storage VALUES (?, {', '.join('?' * columns)})",
        [row[: columns + 1] for row in rows],
    )


def plain_rows(first: int, count: int) -> list[tuple[Any, ...]]:
    return [
        (
            i,
            1772359200.25 + i,
            1 + i % 3,
            i % 18,
            1 + i % 4,
            1 + i % 3,
            i % 2 or None,
            None,
            i % 14,
            i / 1e5,
            i % 3,
            i,
            -1,
        )
        for i in range(first, first + count)
        for rest in [(None, i % 14, i / 1e5, i % 3, i, -1)]
    ]


@pytest.fixture
def both(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that reads a database by its pages, wants the same of SQLite, and returns the frame."""
    asked: list[int | None] = []
    plain = pihole_ftl._plain

    def seen(connection: Any, source: str, have: Any, names: Any, after: int | None, context: Any) -> Any:
        asked.append(after)
        return plain(connection, source, have, names, after, context)

    def columns(path: Path) -> dict[str, list[Any]]:
        tables = list(reading.tables(path, reading.Options(), ImportReport()))
        return pa.concat_tables(tables, promote_options="permissive").to_pydict()

    def read(path: Path) -> pd.DataFrame:
        with monkeypatch.context() as patch:
            patch.setattr(pihole_ftl, "_plain", seen)
            asked.clear()
            found = columns(path)
            assert not asked, "SQLite was asked for all rows"
            patch.setattr(pihole_ftl, "RESTARTS", 0)
            wanted = columns(path)
            assert asked
        for name in found.keys() | wanted.keys():  # a column that is null throughout may be left out
            none = [None] * len(wanted["id"])
            assert found.get(name, none) == wanted.get(name, none), name
        return pd.DataFrame(found)

    return read


def some_value(chance: random.Random) -> Any:
    whole = chance.getrandbits(chance.choice([1, 4, 8, 16, 32, 63])) * chance.choice([1, 1, -1])
    odd = [None, None, chance.uniform(-9, 5000.0), "text", "", "long " * 400, b"\xffblob", 1e300, float("inf")]
    return whole if chance.random() < 0.6 else chance.choice(odd)


def some_row(chance: random.Random) -> tuple[Any, ...]:
    strange = chance.random() < 0.3
    return (
        chance.choice([chance.randrange(1, 80), chance.randrange(1, 1 << 50)]),
        some_value(chance) if strange else chance.choice([chance.uniform(0, 2e9), chance.randrange(2_000_000_000)]),
        chance.choice([*range(18), 165, 65_635]),
        chance.randrange(21),
        some_value(chance) if strange else chance.choice([1, 2, 3, 4, 5, 900_000]),
        some_value(chance) if strange else chance.choice([1, 2, 3, 300]),
        *(some_value(chance) if strange else chance.choice([None, 0, 1, 2, 0.5]) for _ in range(7)),
    )


@pytest.mark.parametrize("seed", range(8))
def test_any_values_are_read_as_sqlite_reads_them(tmp_path: Path, both: Any, seed: int) -> None:
    chance = random.Random(seed)
    path = tmp_path / "any.db"
    version = chance.choice(list(AFTER))
    database = make(path, version, chance.choice([512, 1024, 4096, 65536]), grown=6)
    fill(database, [some_row(chance) for _ in range(10)], 6)  # older than the columns that the next versions brought
    for name in COLUMNS[6 : AFTER[version]]:
        name = "regex_id" if name == "list_id" and version < 17 else name
        database.execute(f"ALTER TABLE query_storage ADD COLUMN {name} {'REAL' if name == 'reply_time' else 'INTEGER'}")
    fill(database, [some_row(chance) for _ in range(60)], AFTER[version])
    database.close()
    both(path)


@pytest.mark.parametrize(("version", "page"), list(zip(AFTER, (512, 1024, 512, 4096, 1024, 512), strict=True)))
def test_tables_of_many_levels_come_whole_and_in_order(tmp_path: Path, both: Any, version: int, page: int) -> None:
    path = tmp_path / "deep.db"
    database = make(path, version, page)
    database.execute("BEGIN")
    fill(database, plain_rows(1, 700), AFTER[version])
    fill(database, plain_rows(1_000_000_000_000, 700), AFTER[version])
    database.execute("COMMIT")
    database.execute("DELETE FROM query_storage WHERE id % 7 = 3 OR id BETWEEN 400 AND 600")
    database.close()
    frame = both(path)
    assert frame["id"].is_monotonic_increasing
    assert len(frame) > 900


def test_a_live_log_is_read_up_to_its_last_commit(tmp_path: Path, both: Any) -> None:
    path = tmp_path / "live.db"
    database = make(path)
    fill(database, plain_rows(1, 300))
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA wal_autocheckpoint = 0")
    assert len(both(path)) == 300
    for first in (301, 601, 901):  # the same pages again and again, and new ones
        database.execute("BEGIN")
        fill(database, plain_rows(first, 300))
        database.execute("UPDATE query_storage SET status = 2 WHERE id % 5 = 0")
        database.execute("COMMIT")
    frame = both(path)
    assert len(frame) == 1200
    assert (frame.loc[frame["id"] % 5 == 0, "status"] == "forwarded").all()
    database.execute("PRAGMA cache_size = 5")
    database.execute("BEGIN")
    fill(database, plain_rows(1201, 3000))  # more than the cache holds: frames in the log that nobody has committed
    assert len(both(path)) == 1200
    database.execute("ROLLBACK")
    database.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
    fill(database, plain_rows(5000, 10))  # the log begins anew, old frames behind the new ones
    assert len(both(path)) == 1210
    database.execute("DELETE FROM query_storage WHERE id > 100")
    database.execute("PRAGMA incremental_vacuum")
    assert len(both(path)) == 100
    database.close()


@pytest.mark.parametrize("harm", ["cut", "flip", "salt"])
def test_a_damaged_log_ends_where_sqlite_ends_it(tmp_path: Path, both: Any, harm: str) -> None:
    path, copy = tmp_path / "live.db", tmp_path / "copy.db"
    database = make(path)
    database.execute("PRAGMA journal_mode = WAL")
    for first in range(1, 600, 100):
        database.execute("BEGIN")
        fill(database, plain_rows(first, 100))
        database.execute("COMMIT")
    shutil.copy(path, copy)
    log = bytearray(path.with_name("live.db-wal").read_bytes())
    database.close()
    frames = (len(log) - 32) // 4120
    last = 32 + (frames - 1) * 4120
    if harm == "cut":
        del log[last + 700 :]
    elif harm == "flip":
        log[last + 2000] ^= 4
    else:
        log[last + 8] ^= 1
    copy.with_name("copy.db-wal").write_bytes(log)
    assert 0 < len(both(copy)) < 600


def test_a_log_of_another_moment_is_left_alone(tmp_path: Path, both: Any) -> None:
    path = tmp_path / "moved.db"
    database = make(path)
    fill(database, plain_rows(1, 200))
    database.close()
    path.with_name("moved.db-wal").write_bytes(b"\x37\x7f\x06\x82" + os.urandom(9000))
    assert len(both(path)) == 200


def test_rows_written_meanwhile_are_neither_lost_nor_doubled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "busy.db"
    database = make(path)
    database.execute("BEGIN")
    fill(database, plain_rows(1, 2000))
    database.execute("COMMIT")
    monkeypatch.setattr(pihole_ftl, "BATCH", 4096)
    found = []
    for table in reading.tables(path, reading.Options(), ImportReport()):
        found += table.column("id").to_pylist()
        if len(found) < 800:  # between any two batches, for a while
            end = database.execute("SELECT max(id) FROM query_storage").fetchone()[0]
            fill(database, plain_rows(end + 1, 100))
    assert found == list(range(1, end + 101))
    assert end > 2100
    database.close()


def test_damaged_pages_cost_their_own_rows(tmp_path: Path) -> None:
    path = tmp_path / "card.db"
    database = make(path, page=1024)
    fill(database, plain_rows(1, 2000))
    leaves = [
        n for (n,) in database.execute("SELECT pageno FROM dbstat WHERE name = 'query_storage' AND pagetype = 'leaf'")
    ]
    names = database.execute("SELECT rootpage FROM sqlite_master WHERE name = 'forward_by_id'").fetchone()[0]
    database.close()
    whole = reading.read_log(path)
    octets = bytearray(path.read_bytes())
    for page in (leaves[3], leaves[len(leaves) // 2], names):
        octets[(page - 1) * 1024 : page * 1024] = b"\xff" * 1024
    path.write_bytes(octets)
    frame = reading.read_log(path)
    report = frame.attrs["import"]
    assert 1850 < len(frame) < 2000
    assert report.skipped_count == 2000 - len(frame)
    assert report.notes == [
        "FTL schema 21",
        "the table forward_by_id is damaged: some rows lack the names that it held",
        "the database is damaged; what could be read was read",
    ]
    kept = whole[whole["id"].isin(frame["id"])].reset_index(drop=True)
    same = [c for c in whole if c != "upstream"]
    pd.testing.assert_frame_equal(frame[same].astype(object), kept[same].astype(object))


def test_rows_before_a_damaged_odd_one_are_read(tmp_path: Path) -> None:
    path = tmp_path / "odd.db"
    database = make(path, page=512)
    fill(database, plain_rows(1, 300))
    fill(database, [(301, 1.5, 1, 2, "long " * 400, *[None] * 8)])  # its name lies in pages of its own
    fill(database, plain_rows(302, 9))
    pages = database.execute(
        "SELECT pageno FROM dbstat WHERE name = 'query_storage' AND pagetype = 'overflow'"
    ).fetchall()
    version = database.execute("SELECT rootpage FROM sqlite_master WHERE name = 'ftl'").fetchone()[0]
    database.close()
    octets = bytearray(path.read_bytes())
    octets[(pages[0][0] - 1) * 512 : (pages[0][0] - 1) * 512 + 4] = b"\xff\xff\xff\xff"
    octets[(version - 1) * 512 : version * 512] = bytes(512)
    path.write_bytes(octets)
    frame = reading.read_log(path)
    assert list(frame["id"]) == [*range(1, 301), *range(302, 311)]
    assert frame.attrs["import"].skipped_count == 1


def test_pages_in_the_wrong_place_end_the_search_for_more(tmp_path: Path) -> None:
    path = tmp_path / "swapped.db"
    database = make(path, page=1024)
    fill(database, plain_rows(1, 2000))
    sql = "SELECT pageno FROM dbstat WHERE name = 'query_storage' AND pagetype = 'leaf' ORDER BY path"
    leaves = [n - 1 for (n,) in database.execute(sql)]
    database.close()
    octets = bytearray(path.read_bytes())
    old = bytes(octets)
    for here, there in ((leaves[5], leaves[20]), (leaves[20], leaves[5])):
        octets[here * 1024 : here * 1024 + 1024] = old[there * 1024 : there * 1024 + 1024]
    octets[leaves[25] * 1024] = 0xFF
    path.write_bytes(octets)
    frame = reading.read_log(path)
    assert len(set(frame["id"])) > 1900
    assert frame.attrs["import"].skipped_count > 0


OTHERS = {
    "technitium": ("dns_logs", {
        "timestamp": "2026-03-01 10:00:00.1", "client_ip": "192.0.2.1", "protocol": 0, "response_type": 2,
        "response_rtt": 12.5, "rcode": 0, "qname": "www.example.com", "qtype": 1, "qclass": 1,
        "answer": "A 198.51.100.7",
    }),
    "blocky": ("log_entries", {
        "request_ts": "2026-03-01 10:00:00.1", "client_ip": "192.0.2.1", "duration_ms": 12, "reason": "CACHED",
        "response_type": "CACHED", "question_type": "A", "question_name": "www.example.com",
        "response_code": "NOERROR",
    }),
    "dnsnb": ("queries", {
        "time": 1_772_359_200_000_000, "client": "192.0.2.1", "qname": "www.example.com", "qtype": "A",
        "rcode": "NOERROR", "status": "cached",
    }),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_rows_around_damage_are_read_from_any_database(name: str, tmp_path: Path) -> None:
    path = tmp_path / "querylogs.db"
    database = sqlite3.connect(path, isolation_level=None)
    database.executescript((Path(__file__).parent / "data" / f"{name}.sql").read_text())
    table, row = OTHERS[name]
    database.execute(f"DELETE FROM {table}")
    insert = f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})"
    database.executemany(insert, [tuple(row.values())] * 3000)
    sql = f"SELECT pageno FROM dbstat WHERE name = '{table}' AND pagetype = 'leaf' ORDER BY path"
    leaves = [n - 1 for (n,) in database.execute(sql)]
    size = database.execute("PRAGMA page_size").fetchone()[0]
    last = database.execute(f"SELECT max(rowid) FROM {table}").fetchone()[0]
    database.close()
    octets = bytearray(path.read_bytes())
    for leaf in (leaves[3], leaves[-2]):
        octets[leaf * size : (leaf + 1) * size] = b"\xff" * size
    path.write_bytes(octets)
    frame = reading.read_log(path)
    assert set(frame["qname"]) == {"www.example.com"}
    report = frame.attrs["import"]
    assert 2800 < len(frame) < 3000
    assert len(frame) + report.skipped_count == 3000
    assert frame["id"].is_monotonic_increasing
    assert frame["id"].iloc[-1] == last
