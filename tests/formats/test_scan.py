"""Logs larger than memory: converted once, lazily read, the same rows; and what the command line does."""

from __future__ import annotations

import builtins
import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dnsnb.errors import DnsnbError, SettingError
from dnsnb.formats import read_log, scan_log
from dnsnb.formats.namefeatures import with_features
from dnsnb.formats.report import ImportReport

DATA = Path(__file__).parent / "data"


def test_the_relation_holds_the_rows_of_read_log_and_name_features(tmp_path: Path) -> None:
    report = ImportReport()
    relation = scan_log(
        [DATA / "bind.log", DATA / "unbound.log"], cache=tmp_path, progress=False, report=report, tz="UTC"
    )
    plain = pd.concat([read_log(DATA / "bind.log", tz="UTC"), read_log(DATA / "unbound.log")])
    frame = relation.order("source, id").to_arrow_table().to_pandas()
    assert list(frame["qname"]) == list(plain["qname"])
    assert list(pd.DatetimeIndex(frame["time"]).tz_convert("UTC")) == list(plain["time"])
    first = relation.filter("qname = 'www.example.com'").limit(1).to_arrow_table().to_pandas().iloc[0]
    assert (first["name_length"], first["name_labels"]) == (15, 3)
    assert first["etld1"] == "example.com"
    assert first["name_entropy"] == pytest.approx(3.0270, abs=1e-3)
    assert report.rows == len(plain)


def test_lengths_and_labels_count_octets_not_their_escapes() -> None:
    names = ["www.example.com", r"a\.b.example.com", r"sp\032ace.example", r"x\\.y", r"\\\.z", ".", None]
    found = with_features(pa.table({"qname": names})).select(["name_length", "name_labels"]).to_pydict()
    assert found["name_length"] == [15, 15, 14, 4, 3, 0, None]
    assert found["name_labels"] == [3, 3, 2, 2, 1, 0, None]


def test_a_log_is_converted_once_until_it_changes(tmp_path: Path) -> None:
    log = tmp_path / "bind.log"
    log.write_bytes((DATA / "bind.log").read_bytes())
    first, again = ImportReport(), ImportReport()
    scan_log(log, cache=tmp_path / "cache", progress=False, report=first)
    scan_log(log, cache=tmp_path / "cache", progress=False, report=again)
    assert any("converted before" in note for note in again.notes)
    assert again["rows"] == 6
    assert {**again, "notes": []} == {**first, "notes": []}  # as it was read then
    log.write_bytes(log.read_bytes() + (DATA / "bind.log").read_bytes())
    assert scan_log(log, cache=tmp_path / "cache", progress=False).aggregate("count(*)").fetchall() == [(12,)]
    assert not list((tmp_path / "cache").glob("*.partial"))


def test_a_wrong_limit_or_cache_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingError, match=r"memory_limit: 'much'.*such as '1GB'"):
        scan_log(DATA / "bind.log", cache=tmp_path, progress=False, memory_limit="much")
    with pytest.raises(SettingError, match=r"cache: .*must be a folder"):
        scan_log(DATA / "bind.log", cache=tmp_path / "file" / "cache", progress=False)


def test_it_takes_what_read_log_takes_and_names_what_it_does_not() -> None:
    own, alike = (set(inspect.signature(f).parameters) for f in (scan_log, read_log))
    assert alike < own
    with pytest.raises(TypeError, match=r"scan_log\(\) got an unexpected keyword argument 'limit'"):
        scan_log("dns.log", limit=3)


def test_parquet_is_read_where_it_lies(tmp_path: Path) -> None:
    read_log(DATA / "bind.log", tz="UTC").to_parquet(tmp_path / "a.parquet")
    relation = scan_log(str(tmp_path / "*.parquet"), cache=tmp_path / "cache", progress=False)
    assert relation.aggregate("count(*)").fetchall() == [(6,)]
    assert not list((tmp_path / "cache").glob("scan-*"))


def test_without_the_extra_the_error_says_which(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real = builtins.__import__
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(DnsnbError, match=r"dnsnb\[scan\]"):
        scan_log(DATA / "bind.log", cache=tmp_path)
    assert builtins.__import__ is real


def dnsnb(*arguments: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dnsnb", *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False
    )


def test_the_command_shows_rows_and_the_report(tmp_path: Path) -> None:
    done = dnsnb("read", DATA / "bind.log", "--head", "2", "--tz", "UTC")
    assert done.returncode == 0, done.stderr
    assert "www.example.com" in done.stdout
    assert "skipped" in done.stdout


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_the_command_converts(tmp_path: Path, suffix: str) -> None:
    target = tmp_path / f"out{suffix}"
    done = dnsnb("read", DATA / "adguard.json", "--out", target)
    assert done.returncode == 0, done.stderr
    if suffix == ".csv":
        frame = pd.read_csv(target)
        assert frame["answers"].iloc[0] == "198.51.100.7 198.51.100.8"
    else:
        frame = read_log(target)
        assert list(frame["answers"].iloc[0]) == ["198.51.100.7", "198.51.100.8"]
    assert len(frame) == 4
    if suffix == ".parquet":
        assert pq.read_metadata(target).num_rows == 4


def test_the_command_says_what_is_wrong_in_one_line(tmp_path: Path) -> None:
    for arguments in (
        ["read", tmp_path / "absent"],
        ["read", DATA / "dnsnb.sql"],
        ["read", DATA / "bind.log", "--format", "x"],
        ["read", DATA / "bind.log", "--out", "x.doc"],
    ):
        done = dnsnb(*arguments)
        assert done.returncode == 2
        assert len(done.stderr.strip().splitlines()) == 1
        assert "Traceback" not in done.stderr
    assert "zeek" in dnsnb("formats").stdout
