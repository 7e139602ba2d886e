"""`dnsnb follow`: a line a query as the log grows, printable whatever the names hold, and a report at the end."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dnsnb.cli import main
from dnsnb.commands.follow import lines

LINE = "[177244560{}] unbound[10:0] info: 192.0.2.7 {} A IN NOERROR 0.021 0 64\n"


def test_rows_are_printed_as_they_come(tmp_path: Path) -> None:
    path = tmp_path / "unbound.log"
    path.write_text(LINE.format(1, "first.example."), encoding="utf-8")
    command = [sys.executable, "-m", "dnsnb", "follow", str(path), "--beginning"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().split() == [
            "2026-03-02T10:00:01.000000Z", "192.0.2.7", "first.example", "A", "NOERROR", "forwarded", "21", "ms",
        ]  # fmt: skip
        with path.open("a", encoding="utf-8") as log:
            log.write(LINE.format(2, "second.example."))
        assert "second.example" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        out, report = process.communicate(timeout=20)
    assert (process.returncode, out) == (0, "")
    assert "rows        2" in report


def test_lines_are_text_alone() -> None:
    columns = {
        "time": [1_772_445_601_000_000, None],
        "qname": ["a\x1b[2Jb\u202e", None],
        "answers": [["\x07", "x"], None],
    }
    plain = list(lines(columns, as_json=False))
    assert plain[0] == r"2026-03-02T10:00:01.000000Z  -  a\x1b[2Jb\x202e  -  -  \x07, x"
    assert plain[1] == "-  -  -  -  -"
    (first, second) = lines(columns, as_json=True)
    assert first.isascii()
    assert first.isprintable()
    assert json.loads(first)["qname"] == columns["qname"][0]
    assert json.loads(second) == {}


@pytest.mark.parametrize(
    ("arguments", "culprit"),
    [
        (["follow", "nothing.log"], "nothing.log: no such file"),
        (["follow", "."], "a folder"),
        (["follow", "nothing.log", "--tz", "Nowhere"], "Nowhere"),
        (["listen", "nowhere"], "must be 'unix:/path"),
    ],
)
def test_what_is_wrong_is_one_line(
    arguments: list[str],
    culprit: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert culprit in said
    assert said.count("\n") == 1
