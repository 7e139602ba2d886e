"""Followed logs whose files are renamed, truncated, rewritten or removed: no row is lost, none comes twice."""

from __future__ import annotations

import gzip
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from dnsnb.errors import LogFormatError, SettingError
from dnsnb.formats import follow, read_log
from dnsnb.formats import following as following_
from dnsnb.formats.following import Follower
from dnsnb.formats.report import ImportReport

from .conftest import CLIENT, SERVER, capture, ethernet, message, udp

LINE = "2026-03-01T10:00:00.000Z client 192.0.2.1#50000 (n{0}.example): query: n{0}.example IN A + (192.0.2.53)\n"


def append(path: Path, *numbers: int) -> None:
    with path.open("a") as out:
        out.write("".join(LINE.format(n) for n in numbers))


def following(path: Path, start: str = "beginning") -> Follower:
    return follow(path, start=start, interval_s=0.01)


def numbers(follower: Follower) -> list[int]:
    return [int(name.removeprefix("n").partition(".")[0]) for name in follower.frame["qname"]]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "query.log"
    append(path, 0, 1)
    return path


def rotate(log: Path, *, most: int = 3) -> None:
    for n in range(most, 0, -1):
        if (old := log.with_name(f"{log.name}.{n}")).exists():
            old.rename(log.with_name(f"{log.name}.{n + 1}"))
    log.rename(log.with_name(f"{log.name}.1"))


def test_rotated_thrice_between_two_looks(log: Path) -> None:
    with following(log) as follower:
        assert follower.wait_for(2)
        append(log, 2)
        for n in (3, 4, 5):
            rotate(log)
            append(log, n)
        assert follower.wait_for(6)
        assert numbers(follower) == [0, 1, 2, 3, 4, 5]


def test_who_writes_on_in_the_old_file_is_read_until_the_new_one_is_begun(log: Path) -> None:
    with following(log) as follower:
        assert follower.wait_for(2)
        rotate(log)
        log.touch()  # as logrotate's "create" does, before it tells the daemon
        append(log.with_name("query.log.1"), 2)
        assert follower.wait_for(3)
        append(log.with_name("query.log.1"), 3)
        append(log, 4)
        assert follower.wait_for(5)
        assert numbers(follower) == [0, 1, 2, 3, 4]


def test_the_old_file_is_compressed_at_once(log: Path) -> None:
    with following(log) as follower:
        assert follower.wait_for(2)
        append(log, 2)
        rotate(log)
        old = log.with_name("query.log.1")
        append(log, 3)
        old.with_name("query.log.1.gz").write_bytes(gzip.compress(old.read_bytes()))
        old.unlink()
        assert follower.wait_for(4)
        assert numbers(follower) == [0, 1, 2, 3]


def test_half_a_line_at_the_end_of_a_file_is_not_joined_with_the_next(log: Path) -> None:
    with following(log) as follower:
        assert follower.wait_for(2)
        with log.open("a") as out:
            out.write(LINE.format(2)[:50])
        rotate(log)
        append(log, 3)
        assert follower.wait_for(3)
        assert numbers(follower) == [0, 1, 3]
        assert [(reason[:20], entry["count"]) for reason, entry in follower.report.skipped.items()] == [
            ("the last line is cut", 1)
        ]


def test_copied_and_truncated_and_grown_beyond_where_we_were(log: Path) -> None:
    with following(log) as follower:
        assert follower.wait_for(2)
        with log.open("r+") as out:  # as copytruncate does: the same file
            out.truncate(0)
            out.write("".join(LINE.format(n) for n in range(10, 19)))
        assert follower.wait_for(11)
        assert numbers(follower) == [0, 1, *range(10, 19)]
        assert any("truncated" in note for note in follower.report.notes)


def test_replaced_by_a_shorter_and_by_a_longer_file(log: Path) -> None:
    with following(log) as follower:
        assert follower.wait_for(2)
        for first, count in ((10, 1), (20, 5)):
            other = log.with_name("other")
            append(other, *range(first, first + count))
            other.replace(log)
            assert follower.wait_for(3 if first == 10 else 8)
        assert numbers(follower) == [0, 1, 10, 20, 21, 22, 23, 24]


def test_half_a_line_before_truncation_is_not_joined_with_what_comes(log: Path) -> None:
    with following(log) as follower:
        assert follower.wait_for(2)
        with log.open("r+") as out:
            out.seek(0, os.SEEK_END)
            out.write(LINE.format(2)[:50])
            out.flush()
            out.truncate(0)
            out.seek(0)
            out.write(LINE.format(3))
        assert follower.wait_for(3)
        assert numbers(follower) == [0, 1, 3]


def test_a_writer_that_does_not_append_leaves_a_hole_of_nuls(log: Path) -> None:
    with log.open("r+") as out:
        out.seek(5 << 20)
        out.write("\n" + LINE.format(2))
        out.flush()
        with following(log) as follower:
            assert follower.wait_for(3)
            out.truncate(0)
            out.write(LINE.format(3))  # far behind the new end
            out.flush()
            assert follower.wait_for(4)
            assert numbers(follower) == [0, 1, 2, 3]
            assert follower.report.skipped_count == 0
            assert any("NUL octets" in note for note in follower.report.notes)


def test_removed_and_made_again(log: Path) -> None:
    with following(log) as follower:
        assert follower.wait_for(2)
        log.unlink()
        append(log, 2)
        assert follower.wait_for(3)
        log.unlink()
        log.mkdir()  # nothing that can be read, for a while
        log.rmdir()
        append(log, 3)
        assert follower.wait_for(4)
        assert numbers(follower) == [0, 1, 2, 3]


def test_a_log_that_is_gone_is_told_and_waited_for(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following_, "GONE_S", 0.0)
    noted = threading.Event()
    note = ImportReport.note

    def and_tell(report: ImportReport, text: str, instead: str = "") -> None:
        note(report, text, instead)
        if "no file of the log's name" in text:
            noted.set()

    monkeypatch.setattr(ImportReport, "note", and_tell)
    with following(log) as follower:
        assert follower.wait_for(2)
        log.unlink()
        assert noted.wait(10)
        append(log, 2)
        assert follower.wait_for(3)


def test_a_link_that_moves_on(tmp_path: Path) -> None:
    days = [tmp_path / f"query-2026-03-0{n}.log" for n in (1, 2, 3)]
    for n, day in enumerate(days):
        append(day, n)
    link = tmp_path / "query.log"
    link.symlink_to(days[0])
    with following(link) as follower:
        assert follower.wait_for(1)
        append(days[0], 10)
        for day in days[1:]:
            (tmp_path / "next").symlink_to(day)
            (tmp_path / "next").replace(link)
        append(days[2], 12)
        assert follower.wait_for(5)
        assert numbers(follower) == [0, 10, 1, 2, 12]


def test_following_from_the_end_does_not_begin_within_a_line(log: Path) -> None:
    text = LINE.format(2)
    with log.open("a") as out:
        out.write(text[:60])
        out.flush()
        with following(log, "end") as follower:
            out.write(text[60:])
            out.flush()
            assert follower.wait_for(1)
            assert numbers(follower) == [2]
            assert follower.report.skipped_count == 0


def test_a_character_that_comes_in_two_halves(log: Path) -> None:
    text = LINE.format("0.caf\u00e9").encode()
    at = text.index(b"\xc3") + 1
    with following(log) as follower, log.open("ab", buffering=0) as out:
        assert follower.wait_for(2)
        out.write(text[:at])
        assert not follower.wait_for(3, 0.05)
        out.write(text[at:])
        assert follower.wait_for(3)
        assert follower.frame["qname"].iloc[-1] == r"n0.caf\195\169.example"


@pytest.mark.parametrize("name", ["zeek", "nextdns"])
def test_what_a_header_says_holds_for_what_is_written_later(
    tmp_path: Path, sample: Callable[[str], Path], name: str
) -> None:
    text = sample(name).read_bytes().replace(b"#fields\tts\tuid", b"#fields\tuid\tts")  # not the usual order
    lines = text.splitlines(keepends=True)
    whole = read_log(text)
    first = next(i for i, line in enumerate(lines) if not line.lower().startswith((b"#", b"timestamp")))
    path = tmp_path / sample(name).name
    path.write_bytes(b"".join(lines[: first + 1]))
    with following(path, "end") as follower:
        with path.open("ab") as out:
            out.write(b"".join(lines[first + 1 :]))
        assert follower.wait_for(len(whole) - 1)
        assert list(follower.frame["qname"]) == list(whole["qname"])[1:]
        assert follower.report.skipped_count == whole.attrs["import"].skipped_count


def test_a_capture_is_followed_from_its_end_and_over_its_rotation(tmp_path: Path) -> None:
    def packets(*named: str) -> list[tuple[float, bytes]]:
        return [
            (1772359200.0 + i, ethernet(udp(message(i, 0x8180, name, 1), 53, 40000), SERVER, CLIENT))
            for i, name in enumerate(named)
        ]

    path = tmp_path / "dns.pcap"
    path.write_bytes(capture(packets("old.example")))
    with following(path, "end") as follower:
        with path.open("ab") as out:
            out.write(capture(packets("new.example"))[24:])
        assert follower.wait_for(1)
        other = tmp_path / "other.pcap"
        other.write_bytes(capture(packets("a.example", "b.example"), order=">"))
        other.replace(path)
        assert follower.wait_for(3)
        assert list(follower.frame["qname"]) == ["new.example", "a.example", "b.example"]
        assert follower.report.skipped_count == 0


def test_a_log_of_another_format_than_was_said(log: Path) -> None:
    with pytest.raises(LogFormatError, match=r"not zeek \(Zeek dns.log, TSV\): .*it looks like bind"):
        follow(log, format="zeek")
    log.write_text("named: a banner\n" * 3)
    with follow(log, format="zeek"):  # nothing tells yet
        pass


def test_first_lines_that_tell_nothing_are_waited_out(tmp_path: Path, sample: Callable[[str], Path]) -> None:
    banner, rest = b".:53\nCoreDNS-1.12.0\n", sample("coredns").read_bytes()
    path = tmp_path / "coredns.log"
    path.touch()
    with following(path) as follower:
        with path.open("ab", buffering=0) as out:
            out.write(banner)
            assert not follower.wait_for(1, 0.05)
            assert follower.error is None
            out.write(rest.removeprefix(banner))
        assert follower.wait_for(len(read_log(sample("coredns"))))


def test_what_can_not_be_followed_says_so(tmp_path: Path, log: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(LogFormatError, match="no plain file"):
        follow(tmp_path / "pipe")
    with pytest.raises(SettingError, match="between two looks"):
        follow(log, interval_s=0)
