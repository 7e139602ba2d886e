"""Others open what we write while we write it: DuckDB, Polars, pandas and PyArrow a Parquet folder, SQLite the rest."""

from __future__ import annotations

import io
import sqlite3
import threading
from pathlib import Path

import pytest

from dnsnb.dns.journal import LogBatch
from dnsnb.drivers.console_log import ConsoleLog
from dnsnb.drivers.parquet_log import ParquetLog
from dnsnb.drivers.sqlite_log import SqliteLog
from tests.drivers.test_log_contract import START, batch


def counts(folder: Path) -> dict[str, int]:
    """Open the folder as each reader's own page says; returns the rows that each finds."""
    import duckdb
    import pandas as pd
    import polars as pl
    import pyarrow.dataset as ds

    everything = f"read_parquet('{folder}/**/*.parquet', hive_partitioning = true)"
    sql = f"SELECT count(*), count(DISTINCT id), min(length(qname)) FROM {everything}"
    [row] = duckdb.connect().execute(sql).fetchall()
    assert row[0] == row[1]
    return {
        "duckdb": row[0],
        "polars": pl.scan_parquet(folder, hive_partitioning=True).select(pl.len()).collect().item(),
        "pyarrow": ds.dataset(folder, partitioning="hive").count_rows(),
        "pandas": len(pd.read_parquet(folder)),
    }


def test_readers_open_the_folder_while_it_is_written(tmp_path: Path) -> None:
    pytest.importorskip("duckdb")
    pytest.importorskip("polars")
    log = ParquetLog(tmp_path / "parquet", roll_rows=300)
    stop = threading.Event()
    written = 0

    def write() -> None:
        nonlocal written
        while not stop.is_set():
            log.append(batch(written + 1, 100))
            written += 100

    log.append(batch(1, 300))
    written = 300
    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(5):
            before = written
            found = counts(tmp_path / "parquet")
            after = written + 100
            for reader, count in found.items():
                assert before - 300 - 100 <= count <= after, reader
                assert count % 100 == 0
    finally:
        stop.set()
        writer.join()
    log.close()
    assert set(counts(tmp_path / "parquet").values()) == {written}


def test_a_day_is_a_partition(tmp_path: Path) -> None:
    import pyarrow.dataset as ds

    log = ParquetLog(tmp_path / "parquet")
    log.append(batch(1, 200))  # the new year begins after a hundred rows
    log.close()
    found = ds.dataset(tmp_path / "parquet", partitioning="hive").to_table(filter=ds.field("date") == "2026-01-01")
    assert found.num_rows == 101
    assert min(found["time"].to_pylist()).isoformat() == "2026-01-01T00:00:00+00:00"


def test_a_killed_writer_leaves_no_row_twice(tmp_path: Path) -> None:
    """Killed between the Parquet file and forgetting the waiting rows."""
    log = ParquetLog(tmp_path / "parquet")
    log.append(batch(1, 50))
    waiting = (tmp_path / "parquet-waiting.jsonl").read_bytes()
    log.close()
    (tmp_path / "parquet-waiting.jsonl").write_bytes(waiting + b'{"time":"2026-01-01T00:0')
    (tmp_path / ".queries-x.parquet-1.tmp").write_bytes(b"half")
    again = ParquetLog(tmp_path / "parquet")
    assert again.count == 50
    again.append(batch(51, 5))
    again.close()
    assert ParquetLog(tmp_path / "parquet").count == 55
    assert [p.name for p in tmp_path.rglob(".*.tmp")] == []


def test_sqlite_is_read_while_it_is_written(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path / "log.sqlite")
    log.append(batch(1, 100))
    other = sqlite3.connect(f"file:{tmp_path}/log.sqlite?mode=ro", uri=True)
    other.execute("BEGIN")
    assert other.execute("SELECT count(*) FROM queries").fetchone() == (100,)
    log.append(batch(101, 100))  # not held up by the reader
    assert other.execute("SELECT count(*) FROM queries").fetchone() == (100,)
    other.execute("COMMIT")
    sql = "SELECT status, count(*) FROM queries WHERE time >= ? GROUP BY 1 ORDER BY 1"
    assert other.execute(sql, [START]).fetchall() == [("blocked", 40), ("cached", 160)]
    other.close()
    log.close()


def test_the_console_prints_one_plain_line_a_row() -> None:
    stream = io.StringIO()
    log = ConsoleLog(stream)
    hostile = batch(1, 4)
    hostile.columns["qname"] = ["a.example", "x\n\x1b[2J", "b c", "\u2028\x9b\x00"]
    log.append(hostile)
    log.append(LogBatch({}, 0, 1, 5))
    lines = stream.getvalue().split("\n")
    assert len(lines) == 5
    assert all(line.isascii() and line.isprintable() for line in lines)
    assert all(len(line.split(" ")) == 10 for line in lines[:4])
    assert lines[1].split(" ")[2] == r"x\n\x1b[2J"
    assert (log.count, log.last_id, list(log.scan())) == (4, 4, [])
