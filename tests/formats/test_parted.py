"""Questions and answers in files of their own: joined as one log, in bounded memory."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from dnsnb.formats import parted, read_log, reading
from dnsnb.formats.report import ImportReport


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = random.Random(5)
    questions, answers = [], []
    for i in range(600):
        about = f"192.0.2.{i % 7}:{2000 + i} for n{i}.example. A"
        number, stamp = rng.randrange(65536), f"[17954827{i // 10:02}.{i:09}]"
        questions.append(f"{stamp} Packet from {about} with id {number}\n")
        if i % 3:
            answers.append(f"{stamp} Answer to {about} (No Error) with id {number}\n")
    (tmp_path / "questions.log").write_text("".join(questions))
    (tmp_path / "answers.log").write_text("".join(answers))
    return tmp_path


def test_what_is_put_down_on_disk_is_joined_as_in_memory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = read_log(folder)
    assert (len(whole), int(whole["rcode"].count())) == (600, 400)
    monkeypatch.setattr(parted, "KEPT", 100)
    monkeypatch.setattr(reading.Feed.__init__, "__defaults__", (None, 1 << 12))  # blocks of 4 KiB
    again = read_log(folder)
    columns = ["time", "client", "client_port", "qname", "qtype", "rcode", "source", "id"]
    assert again[columns].astype(str).equals(whole[columns].astype(str))
    assert again.attrs["import"].lines == 1000


def test_no_part_holds_more_than_its_share_and_nothing_is_left_on_disk(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    below = tmp_path / "below"
    below.mkdir()
    monkeypatch.setattr(parted.tempfile, "tempdir", str(below))
    monkeypatch.setattr(parted, "KEPT", 100)
    sizes = []
    for table in reading.tables(str(folder), reading.Options(), ImportReport(), ordered=False):
        sizes.append(len(table))
        assert list(below.iterdir())
    assert sum(sizes) == 600
    assert max(sizes) < 60
    assert not list(below.iterdir())
