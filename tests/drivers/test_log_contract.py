"""One contract for every log driver: rows come back as they were, in order, by page, within limits, after a restart."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dnsnb import schema
from dnsnb.dns.journal import LogBatch
from dnsnb.drivers.columns import join_columns, time_text
from dnsnb.drivers.file_log import FileLog
from dnsnb.drivers.memory import MemoryLog
from dnsnb.drivers.paging import read_page
from dnsnb.drivers.parquet_log import ParquetLog
from dnsnb.drivers.sqlite_log import SqliteLog

START = 1_767_225_599_000_000  # one second before 2026-01-01
HOSTILE = ["a\\010b.example", "<img src=x>.example", "=cmd().example", "\u2028\x9b\x1b[2J"]

MAKERS: dict[str, Callable[[Path], Any]] = {
    "memory": lambda folder: MemoryLog(100_000),
    "file": lambda folder: FileLog(folder / "log", segment=4096),
    "sqlite": lambda folder: SqliteLog(folder / "log.sqlite"),
    "parquet": lambda folder: ParquetLog(folder / "parquet", roll_rows=50),
}
LASTING = ["file", "sqlite", "parquet"]


def batch(first: int, count: int, *, step_us: int = 10_000) -> LogBatch:
    ids = list(range(first, first + count))
    columns: schema.Columns = {
        "time": [START + i * step_us for i in ids],
        "client": [f"192.0.2.{i % 250}" for i in ids],
        "transport": ["udp"] * count,
        "qname": [f"n{i}.example" for i in ids],
        "qtype": ["A" if i % 2 else "AAAA" for i in ids],
        "qclass": ["IN"] * count,
        "rcode": [None if i % 7 == 0 else "NOERROR" for i in ids],
        "status": ["blocked" if i % 5 == 0 else "cached" for i in ids],
        "list": ["blacklist" if i % 5 == 0 else None for i in ids],
        "rule": [HOSTILE[i % 4] if i % 5 == 0 else None for i in ids],
        "upstream": [None] * count,
        "answers": [["192.0.2.1", HOSTILE[i % 4]] if i % 3 else [] for i in ids],
        "ttl": [i % 300 for i in ids],
        "flags": ["qr rd ra"] * count,
        "ede": [15 if i % 5 == 0 else None for i in ids],
        "query_bytes": [40] * count,
        "response_bytes": [56] * count,
        "latency_ms": [float(i % 8) / 4 for i in ids],
        "id": ids,
    }
    return LogBatch(columns, count, 0, first)


def full(columns: schema.Columns) -> schema.Columns:
    """All columns that a log keeps, absent ones as nulls."""
    nothing = [None] * len(columns["id"])
    return {name: columns.get(name) or nothing for name in schema.NAMES if name != "source"}


def all_pages(driver: Any, limit: int, **given: Any) -> schema.Columns:
    parts, cursor = [], None
    while True:
        key = "after" if given.get("oldest_first") else "before"
        page = read_page(driver, limit, **({key: cursor} | given if cursor is not None else given))
        if page.columns:
            parts.append(page.columns)
        if page.next is None:
            break
        cursor = page.next
    if not given.get("oldest_first"):
        parts.reverse()
    return join_columns(parts) if parts else {}


@pytest.fixture(params=MAKERS)
def driver(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    made = MAKERS[request.param](tmp_path)
    yield made
    made.close()


def fill(driver: Any, *sizes: int) -> schema.Columns:
    first, parts = 1, []
    for size in sizes:
        part = batch(first, size)
        driver.append(part)
        parts.append(part.columns)
        first += size
    return full(join_columns(parts))


def test_rows_come_back_as_they_were(driver: Any) -> None:
    kept = fill(driver, 30, 1, 45, 70)  # over midnight, over several files
    assert driver.count == 146
    assert driver.last_id == 146
    page = read_page(driver, 1000)
    assert page.next is None
    assert full(page.columns) == kept


@pytest.mark.parametrize("limit", [1, 7, 50, 146, 147])
def test_pages_fit_together_both_ways(driver: Any, limit: int) -> None:
    kept = fill(driver, 30, 1, 45, 70)
    assert all_pages(driver, limit)["id"] == kept["id"]
    assert all_pages(driver, limit, oldest_first=True)["id"] == kept["id"]
    assert all_pages(driver, limit, oldest_first=True, before=101)["id"] == kept["id"][:100]
    assert all_pages(driver, limit, after=100)["id"] == kept["id"][100:]


def test_a_cursor_is_stable_while_rows_come_in(driver: Any) -> None:
    fill(driver, 60)
    first = read_page(driver, 10)
    driver.append(batch(61, 60))
    second = read_page(driver, 10, before=first.next)
    assert first.columns["id"] == list(range(51, 61))
    assert second.columns["id"] == list(range(41, 51))


def test_gaps_in_ids_do_no_harm(driver: Any) -> None:
    driver.append(batch(10, 5))
    driver.append(batch(1000, 5))
    assert all_pages(driver, 3)["id"] == [*range(10, 15), *range(1000, 1005)]
    assert read_page(driver, 10, before=500).columns["id"] == list(range(10, 15))
    assert read_page(driver, 10, after=14, oldest_first=True).columns["id"] == list(range(1000, 1005))


class Rare:
    since = until = None

    def apply(self, columns: schema.Columns, count: int) -> tuple[schema.Columns, int]:
        keep = [n for n, i in enumerate(columns["id"]) if i % 40 == 0]
        return {k: [v[n] for n in keep] for k, v in columns.items()}, len(keep)


def test_a_selection_sees_every_row(driver: Any) -> None:
    fill(driver, *[20] * 10)
    assert all_pages(driver, 2, wanted=Rare())["id"] == [40, 80, 120, 160, 200]
    assert all_pages(driver, 2, wanted=Rare(), oldest_first=True)["id"] == [40, 80, 120, 160, 200]
    # giving up early says where to go on
    assert all_pages(driver, 3, wanted=Rare(), most=20)["id"] == [40, 80, 120, 160, 200]
    assert all_pages(driver, 3, wanted=Rare(), most=20, oldest_first=True)["id"] == [40, 80, 120, 160, 200]


def test_an_empty_log_is_empty(driver: Any) -> None:
    assert driver.count == 0
    assert driver.last_id == 0
    assert read_page(driver, 10) == ({}, None)
    driver.append(LogBatch({}, 0, 3, 1))
    assert driver.count == 0


def test_a_hint_of_time_loses_nothing_inside_it(driver: Any) -> None:
    kept = fill(driver, 50, 50, 96)
    since, until = kept["time"][60], kept["time"][140]
    found = [t for part in driver.scan(since=since, until=until) for t in part["time"]]
    assert set(kept["time"][60:141]) <= set(found)


def test_old_rows_go(driver: Any) -> None:
    fill(driver, *[25] * 20)
    gone = driver.expire(START + 10**15)  # everything is older
    assert gone + driver.count == 500
    assert driver.count <= 100  # a file driver may keep what its last file holds
    driver.append(batch(501, 10))
    assert read_page(driver, 5).columns["id"] == list(range(506, 511))


def test_memory_keeps_the_newest_rows() -> None:
    driver = MemoryLog(100)
    fill(driver, *[30] * 10)
    assert driver.count == 100
    assert all_pages(driver, 17)["id"] == list(range(201, 301))


@pytest.mark.parametrize("name", LASTING)
def test_a_restart_finds_all_rows(name: str, tmp_path: Path) -> None:
    driver = MAKERS[name](tmp_path)
    kept = fill(driver, 30, 90, 26)
    driver.close()
    again = MAKERS[name](tmp_path)
    assert (again.count, again.last_id) == (146, 146)
    assert full(read_page(again, 1000).columns) == kept
    again.append(batch(147, 3))
    assert read_page(again, 4).columns["id"] == [146, 147, 148, 149]
    again.close()


@pytest.mark.parametrize("name", LASTING)
def test_a_driver_that_was_never_closed_lost_nothing(name: str, tmp_path: Path) -> None:
    """What `append` has taken is there for the next one, as after kill -9."""
    driver = MAKERS[name](tmp_path)
    kept = fill(driver, 30, 90, 26)
    again = MAKERS[name](tmp_path)
    assert full(read_page(again, 1000).columns) == kept
    again.close()
    driver.close() if name != "parquet" else os.close(driver._handle)


@pytest.mark.parametrize("name", LASTING)
@pytest.mark.parametrize("mask", [0o000, 0o022])
def test_files_are_for_their_owner_alone(name: str, mask: int, tmp_path: Path) -> None:
    before = os.umask(mask)
    try:
        driver = MAKERS[name](tmp_path)
        fill(driver, 30, 90, 26)
        modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in tmp_path.rglob("*") if p.is_file()}
        driver.close()
    finally:
        os.umask(before)
    assert modes
    assert set(modes.values()) == {0o600}, modes


@pytest.mark.parametrize("name", LASTING)
def test_size_is_bounded(name: str, tmp_path: Path) -> None:
    limit = 200_000
    driver: Any = {
        "file": lambda: FileLog(tmp_path / "log", limit),
        "sqlite": lambda: SqliteLog(tmp_path / "log.sqlite", limit),
        "parquet": lambda: ParquetLog(tmp_path / "parquet", limit, roll_rows=500),
    }[name]()
    for number in range(60):
        driver.append(batch(1 + number * 500, 500, step_us=1))
        driver.expire(0)
    size = sum(p.stat().st_size for p in tmp_path.rglob("*") if p.is_file() and not p.name.endswith(("-wal", "-shm")))
    assert size < 2 * limit
    assert 0 < driver.count < 30_000
    assert read_page(driver, 1).columns["id"] == [30_000]
    driver.close()


def test_a_half_written_line_is_dropped(tmp_path: Path) -> None:
    driver = FileLog(tmp_path)
    fill(driver, 10)
    driver.close()
    with (tmp_path / "queries.jsonl").open("ab") as file:
        file.write(b'{"time":"2026-01-01T00:00:00.0')
    again = FileLog(tmp_path)
    again.append(batch(11, 1))
    assert again.count == 11
    assert read_page(again, 100).columns["id"] == list(range(1, 12))
    again.close()
    text = (tmp_path / "queries.jsonl").read_bytes()
    assert text.isascii()
    assert all(byte >= 0x20 or byte == 0x0A for byte in text)
    assert b"\x7f" not in text


def test_a_line_longer_than_a_block_is_read(tmp_path: Path) -> None:
    driver = FileLog(tmp_path, segment=1 << 26)
    fill(driver, 3)
    long = batch(4, 1)
    long.columns["answers"] = [["x" * 600_000]]
    driver.append(long)
    driver.append(batch(5, 3))
    assert all_pages(driver, 2)["id"] == list(range(1, 8))
    assert all_pages(driver, 2, oldest_first=True)["id"] == list(range(1, 8))
    driver.close()


def test_rows_that_cross_midnight_out_of_order_are_read_in_order(tmp_path: Path) -> None:
    driver = ParquetLog(tmp_path / "parquet")
    mixed = batch(1, 6)
    day = 86_400_000_000
    mixed.columns["time"] = [START, START + day, START + 1, START + day + 1, START + 2, START + day + 2]
    driver.append(mixed)
    driver.roll()
    assert sorted(p.name for p in (tmp_path / "parquet").iterdir()) == ["date=2025-12-31", "date=2026-01-01"]
    assert all_pages(driver, 2)["id"] == [1, 2, 3, 4, 5, 6]
    assert all_pages(driver, 2, oldest_first=True)["id"] == [1, 2, 3, 4, 5, 6]
    driver.close()


def test_time_as_text_goes_both_ways() -> None:
    from dnsnb.drivers.columns import time_us

    for moment in (0, 1, START, 999_999, 253_402_300_799_999_999):
        assert time_us(time_text(moment)) == moment
    with pytest.raises(ValueError, match="no time zone"):
        time_us("2026-01-01T00:00:00")
