"""Logs larger than memory: converted once, lazily read, the same rows; and what the command line does."""

from __future__ import annotations

import builtins
import csv
import errno
import inspect
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dnsnb.cli import build_parser
from dnsnb.errors import DnsnbError, SettingError
from dnsnb.formats import FORMATS, Format, read_log, scan, scan_log
from dnsnb.formats.commands import read_command
from dnsnb.formats.namefeatures import with_features
from dnsnb.formats.patterns import TextFormat
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


def test_a_format_of_ones_own_that_changed_is_read_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my.log").write_text("192.0.2.1 asked a.example for 198.51.100.1\n" * 3)
    clients = []
    for pattern in (
        r"^(?P<client>\S+) asked (?P<qname>\S+) for \S+$",
        r"^\S+ asked (?P<qname>\S+) for (?P<client>\S+)$",
    ):
        monkeypatch.setitem(FORMATS, "mylog", Format("mylog", "Mine", "lines", "", TextFormat(pattern)))
        relation = scan_log(tmp_path / "my.log", "mylog", cache=tmp_path / "cache", progress=False)
        clients.append(relation.select("client").limit(1).fetchall()[0][0])
    assert clients == ["192.0.2.1", "198.51.100.1"]


def test_two_threads_may_convert_the_same_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = threading.Barrier(2)
    to_parquet = scan.to_parquet

    def at_once(*given: Any) -> int:
        both.wait(20)
        written = to_parquet(*given)
        both.wait(20)
        return written

    monkeypatch.setattr(scan, "to_parquet", at_once)
    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(scan_log, DATA / "bind.log", cache=tmp_path, progress=False) for _ in range(2)]
        assert [job.result(60).aggregate("count(*)").fetchall() for job in jobs] == [[(6,)], [(6,)]]
    assert len(list(tmp_path.glob("scan-*"))) == 1


def test_what_a_conversion_that_was_killed_left_goes_with_time(tmp_path: Path) -> None:
    old, new = (tmp_path / f"scan-{n}.x.partial" for n in "ab")
    for left in (old, new):
        left.write_bytes(b"PAR1")
    os.utime(old, (1, 1))
    scan_log(DATA / "bind.log", cache=tmp_path, progress=False)
    assert list(tmp_path.glob("*.partial")) == [new]


def test_a_full_disk_is_named_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "Error writing bytes to file")

    monkeypatch.setattr(scan, "to_parquet", full)
    with pytest.raises(SettingError, match=rf"cache: '{tmp_path}': has no room for the converted log"):
        scan_log(DATA / "bind.log", cache=tmp_path, progress=False)
    monkeypatch.setattr("dnsnb.formats.commands._to_parquet", full)
    with pytest.raises(SettingError, match=r"--out: .*out.parquet': can't be written: No space left"):
        read_command(
            build_parser().parse_args(["read", str(DATA / "bind.log"), "--out", str(tmp_path / "out.parquet")])
        )
    assert not list(tmp_path.iterdir())


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


def test_every_line_of_a_csv_has_the_cells_of_its_header(tmp_path: Path) -> None:
    for name in ("bind.log", "zeek.json", "adguard.json"):  # each has other columns beside the frame's
        (tmp_path / name).write_bytes((DATA / name).read_bytes())
    done = dnsnb("read", tmp_path, "--tz", "UTC", "--out", tmp_path / "out.csv")
    assert done.returncode == 0, done.stderr
    written = pd.read_csv(tmp_path / "out.csv").set_index(["source", "id"]).sort_index()
    for name in ("bind.log", "zeek.json", "adguard.json"):
        frame = read_log(tmp_path / name, tz="UTC").set_index(["source", "id"]).sort_index()
        for column in ("qname", "client_port", "dns_id", "reason", "uid"):
            if column in frame:
                told = written.loc[name][column]
                assert list(told.dropna().astype(str)) == list(
                    frame[column].dropna().astype(told.dropna().dtype).astype(str)
                )


def test_no_cell_of_a_csv_is_a_formula(tmp_path: Path) -> None:
    (tmp_path / "=HYPERLINK(1).log").write_text(
        "2026-03-01T10:00:00Z client 192.0.2.1#50000 (-x.example): rpz QNAME NXDOMAIN rewrite "
        "-x.example/A/IN via -x.example.+rpz.example\n"
        "2026-03-01T10:00:00Z client 192.0.2.1#50000 (=x.example): query: =x.example IN A + (192.0.2.53)\n" * 3
    )
    done = dnsnb("read", tmp_path / "=HYPERLINK(1).log", "--out", tmp_path / "out.csv")
    assert done.returncode == 0, done.stderr
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert "'=HYPERLINK(1).log" in cells
    assert "'=x.example" in cells
    assert not [cell for cell in cells if cell[:1] in "=+@-\t\r\n" and cell]


def test_a_csv_of_no_rows_has_a_header(tmp_path: Path) -> None:
    (tmp_path / "unbound.log").write_text("[1772359200] unbound[1:0] notice: init\n" * 3)
    done = dnsnb("read", tmp_path / "unbound.log", "--format", "unbound", "--out", tmp_path / "out.csv")
    assert done.returncode == 0, done.stderr
    assert pd.read_csv(tmp_path / "out.csv").columns[0] == "time"


@pytest.mark.parametrize("name", ["ev\x1b[31mil.log", "two\nlines.log", os.fsdecode(b"no\xffutf8.log")])
def test_names_of_files_do_nothing_to_a_terminal(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("hello\n")
    done = dnsnb("read", path)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert done.stderr.rstrip("\n").isprintable()
    path.write_bytes((DATA / "bind.log").read_bytes())
    done = dnsnb("read", path, "--out", tmp_path / f"{name}.csv")
    assert done.returncode == 0, done.stderr
    assert all(line.isprintable() for line in done.stdout.splitlines())


def test_the_command_when_output_can_go_nowhere(tmp_path: Path) -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run(
            [sys.executable, "-m", "dnsnb", "read", DATA / "bind.log"], stdout=full, stderr=subprocess.PIPE, text=True,
            timeout=60, check=False,
        )  # fmt: skip
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    for out, why in ((tmp_path / "absent" / "x.csv", "there is no folder"), (tmp_path / "x.csv", "is a folder")):
        (tmp_path / "x.csv").mkdir(exist_ok=True)
        done = dnsnb("read", DATA / "bind.log", "--out", out)
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
        assert why in done.stderr


def test_who_reads_the_output_may_have_seen_enough(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "dnsnb", "read", DATA / "bind.log", "--out", tmp_path / "out.csv"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert (process.wait(60), process.stderr.read()) == (0, "")
    assert (tmp_path / "out.csv").exists()


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
