"""Reading that takes long shows how far it is, and what many files have in common is told once."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

import pytest

from dnsnb.formats import bind, progress, read_log, reading, scan_log, sniff
from dnsnb.formats.opening import Input
from dnsnb.formats.table import FORMATS

DATA = Path(__file__).parent / "data"
ZEEK = b'{"ts": %d.5, "uid": "C1", "id.orig_h": "192.0.2.7", "id.orig_p": 5000, "trans_id": 7, "query": "a.example"}\n'


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bars that do not wait for two seconds."""
    monkeypatch.setattr(progress, "DELAY_S", 0)


@pytest.mark.parametrize("read", [read_log, scan_log])
def test_bars_show_the_files_then_the_octets(
    read: Any, at_once: None, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    logs = tmp_path / "logs"
    logs.mkdir()
    for day in range(1, 4):
        (logs / f"dns-2026010{day}.log").write_bytes(ZEEK % (1767225600 + day * 86400) * 10_000)
    read(logs)
    shown = capsys.readouterr().err
    octets = sum(file.stat().st_size for file in logs.iterdir())
    assert "telling formats:" in shown
    assert "/3 [" in shown
    assert "reading the log:" in shown
    assert f"/{octets / 1e6:.2f}M" in shown
    assert shown.endswith(" \r"), "the bar goes when it is done"
    read(logs, progress=False)
    assert capsys.readouterr().err == ""


def test_a_quick_reading_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(read_log(DATA / "bind.log", tz="UTC"))
    assert capsys.readouterr().err == ""


def test_a_reading_that_fails_takes_its_bar_away(at_once: None, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Exception, match="not a DNS log"):
        read_log([ZEEK % 1767225600, io.BytesIO(b"something else\n")], errors="raise")
    shown = capsys.readouterr().err
    assert "telling formats:" in shown
    assert shown.endswith(" \r")


def test_what_is_quick_does_not_load_the_bars() -> None:
    code = f"import sys, dnsnb; print(len(dnsnb.read_log({str(DATA / 'bind.log')!r}, tz='UTC')), 'tqdm' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split()[1] == "False"


@pytest.mark.parametrize("terminal", [True, False])
def test_the_command_shows_bars_on_a_terminal_alone(terminal: bool, tmp_path: Path) -> None:
    log = tmp_path / "dns.log"
    log.write_bytes(ZEEK % 1767225600 * 1000)
    code = "import dnsnb.formats.progress as p, sys; p.DELAY_S = 0; from dnsnb.__main__ import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "read", str(log), "--out", str(tmp_path / "out.parquet")]
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    os.set_blocking(ours, False)
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=theirs if terminal else subprocess.PIPE, timeout=60, check=False
        )
        assert done.returncode == 0
        assert b"1,000" in done.stdout
        said = os.read(ours, 1 << 16) if terminal else done.stderr
    finally:
        os.close(ours)
        os.close(theirs)
    assert (b"reading the log:" in said) == terminal
    assert terminal or not said


def test_another_file_of_a_log_is_not_tried_by_every_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    score = bind.score
    monkeypatch.setattr(bind, "score", lambda head: asked.append(head.name) or score(head))
    for day in range(1, 4):
        (tmp_path / f"dns-2026010{day}.log").write_bytes(ZEEK % (1767225600 + day * 86400))
    (tmp_path / "dns-20260104.log").write_bytes((DATA / "bind.log").read_bytes())
    (tmp_path / "other.log").write_bytes((DATA / "unbound.log").read_bytes())
    frame = read_log(tmp_path, tz="UTC")
    assert frame.attrs["import"]["format"] == "zeek-json, bind, unbound"
    assert [Path(name).name for name in asked] == ["dns-20260101.log", "dns-20260104.log", "other.log"]


@pytest.mark.parametrize(
    "path", sorted(p for p in DATA.iterdir() if p.suffix not in (".sql", ".txt")), ids=lambda path: path.name
)
def test_who_is_asked_alone_says_what_all_would_have_said(path: Path) -> None:
    options = reading.Options()
    told = reading.recognise(Input(path), options)
    assert reading.recognise(Input(path), options, told[0]) == told
    other = next(row for row in FORMATS.values() if row.name != told[0].name)
    assert reading.recognise(Input(path), options, other) == told
    assert sniff.CERTAIN > sniff.ENOUGH
