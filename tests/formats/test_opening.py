"""Where bytes come from: compression by magic, rotated sets in order, wrappers, encodings, and one clear error for
the rest."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from dnsnb.errors import LogFormatError, SettingError
from dnsnb.formats import compressed, opening, read_log, reading
from dnsnb.formats.report import ImportReport

LINE = (
    "2026-03-01T10:00:{:02d}.000Z client 192.0.2.{}#50000 (a{}.example.com): query: a{}.example.com IN A + "
    "(192.0.2.53)\n"
)


def bind_lines(first: int, count: int) -> bytes:
    return "".join(LINE.format(i % 60, i % 250, i, i) for i in range(first, first + count)).encode()


def zstd(data: bytes) -> bytes:
    return bytes(pa.compress(data, codec="zstd", asbytes=True))


@pytest.mark.parametrize(
    ("suffix", "compress"),
    [
        (".gz", gzip.compress),
        (".bz2", bz2.compress),
        (".xz", lzma.compress),
        (".lzma", lambda data: lzma.compress(data, lzma.FORMAT_ALONE)),
        (".zst", zstd),
        ("", bytes),
    ],
)
def test_compression_is_told_by_magic_not_by_name(
    tmp_path: Path, suffix: str, compress: Callable[[bytes], bytes]
) -> None:
    target = tmp_path / "query.log.odd"
    target.write_bytes(compress(bind_lines(0, 500)) + compress(bind_lines(500, 500)))
    frame = read_log(target)
    assert len(frame) == 1000
    assert not frame.attrs["import"].notes


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress, zstd])
def test_a_compressed_file_that_ends_too_early_gives_what_was_there(
    tmp_path: Path, compress: Callable[[bytes], bytes]
) -> None:
    whole = compress(bind_lines(0, 20_000))
    target = tmp_path / "query.log"
    target.write_bytes(whole[: len(whole) * 3 // 4])
    frame = read_log(target)
    assert 1000 < len(frame) < 20_000
    assert any("early" in note or "damaged" in note for note in frame.attrs["import"].notes)


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress, zstd])
def test_a_member_that_is_cut_takes_nothing_from_the_one_before(compress: Callable[[bytes], bytes]) -> None:
    whole = compress(bind_lines(0, 50))
    frame = read_log(whole + whole[:30])
    assert len(frame) == 50
    assert frame.attrs["import"].notes == ["stream: the compressed data ends too early; what came before was read"]


@pytest.mark.parametrize(
    ("compress", "at"),
    [(gzip.compress, -8), (lzma.compress, -(1 << 14)), (zstd, None)],  # gzip: the check at the end; zstd has none
    ids=["gzip", "xz", "zstd"],
)
def test_what_comes_before_damage_is_read(compress: Callable[[bytes], bytes], at: int | None) -> None:
    whole = compress(bind_lines(0, 20_000))
    whole = whole + whole[:4] + b"\xff" * 60 if at is None else whole[:at] + b"\xff" * 8 + whole[at + 8 :]
    frame = read_log(whole)
    assert len(frame) > 3_000
    assert any("damaged" in note for note in frame.attrs["import"].notes)


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_members_may_be_padded(compress: Callable[[bytes], bytes]) -> None:
    frame = read_log((compress(bind_lines(0, 50)) + bytes(9000)) * 2)
    assert (len(frame), frame.attrs["import"].notes) == (100, [])


def test_little_that_becomes_much_is_opened_bit_by_bit() -> None:
    much = gzip.compress(bytes(64 << 20))
    pieces = compressed.opened("gzip", much, iter(()), print)
    assert max(map(len, pieces)) < 8 << 20


def test_compressed_twice_is_told() -> None:
    with pytest.raises(LogFormatError, match="gzip data, compressed twice"):
        read_log(gzip.compress(gzip.compress(bind_lines(0, 5))))


def test_parallel_zstd_starts_with_a_frame_of_its_own() -> None:
    skippable = b"\x50\x2a\x4d\x18\x04\0\0\0size"
    assert len(read_log((skippable + zstd(bind_lines(0, 50))) * 2)) == 100


def test_damaged_from_the_start_is_not_called_empty() -> None:
    with pytest.raises(LogFormatError, match="nothing can be read: the compressed data is damaged"):
        read_log(zstd(bind_lines(0, 5))[:8] + b"x" * 90)


def test_rotated_sets_are_read_oldest_first(tmp_path: Path) -> None:
    (tmp_path / "query.log.2.gz").write_bytes(gzip.compress(bind_lines(0, 10)))
    (tmp_path / "query.log.1").write_bytes(bind_lines(10, 10))
    (tmp_path / "query.log.10.gz").write_bytes(gzip.compress(bind_lines(-10 + 60, 10)))
    (tmp_path / "query.log").write_bytes(bind_lines(20, 10))
    frame = read_log(tmp_path)
    assert list(frame["qname"].iloc[10:]) == [f"a{i}.example.com" for i in range(30)]
    assert frame["source"].iloc[0] == "query.log.10.gz"
    assert list(frame["id"].iloc[10:20]) == list(range(1, 11))


@pytest.mark.parametrize(
    "names",
    [
        ["dns.log-20260101", "dns.log-20260102", "dns.log"],
        ["dns.15:00:00-16:00:00.log.gz", "dns.16:00:00-17:00:00.log.gz", "dns.log"],
        ["q.log.3", "q.log.2.gz", "q.log.1", "q.log"],
        ["2026-01-31_ALL.log", "2026-02-01_ALL.log"],
        ["2026-01-01-00-50-9e4e.csv.gz", "2026-01-01-01-00-0aa1.csv.gz", "2026-01-01-01-10-zz0z.csv.gz"],
        [f"vpc-1_vpcdnsquerylogs_123456789012_2026070{d}T{h}Z_0c4c9f9a.log.gz" for d, h in ((1, "2350"), (2, "0010"))],
        ["20260101T000000Z_20260101T000500Z_b1.log.gz", "20260101T000500Z_20260101T001000Z_b1.log.gz"],
        ["queries.log.20260101-0000.gz", "queries.log.20260101-1200.gz", "queries.log"],
        ["query.log.20260101000000000", "query.log.20260101100000000", "query.log"],
        ["q.log-1767000000.gz", "q.log-1767100000.gz", "q.log"],
        ["q.10.log.gz", "q.2.log.gz", "q.1.log", "q.log"],
        ["q-2026-01-01T10-11-12.123.log.gz", "q-2026-01-02T10-11-12.045.log", "q.log"],
        ["dns.pcap", "dns.pcap1", "dns.pcap2", "dns.pcap10"],
    ],
)
def test_names_of_rotated_files_tell_their_order(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    paths = [tmp_path / name for name in names]
    assert opening.in_order(sorted(paths, reverse=True)) == paths
    assert len({opening.stem(p) for p in paths}) == 1 or names[0].startswith("dns.15")


def test_numbers_of_hosts_are_no_rotation(tmp_path: Path) -> None:
    paths = [tmp_path / f"192.0.2.{n}.log" for n in (1, 2)]
    for path in paths:
        path.write_bytes(b"x")
    assert opening.in_order(paths) == paths
    assert len({opening.stem(p) for p in paths}) == 2


def test_files_as_a_shell_lists_them_are_read_oldest_first(tmp_path: Path) -> None:
    for name, first in (("z.log", 0), ("q.log.10", 10), ("q.log.2", 20), ("q.log", 30)):
        (tmp_path / name).write_bytes(bind_lines(first, 10))
    frame = read_log([tmp_path / n for n in ("z.log", "q.log", "q.log.10", "q.log.2")])
    assert list(frame["qname"]) == [f"a{i}.example.com" for i in range(40)]


def test_many_files_are_not_all_held_open(tmp_path: Path) -> None:
    for n in range(reading.HELD_OPEN + 30):
        (tmp_path / f"q.log.{n}").write_bytes(bind_lines(n, 1) * 700)
    before = len(os.listdir("/proc/self/fd"))
    options, report = reading.Options(), ImportReport()
    rows = 0
    for table in reading.tables(tmp_path, options, report):
        assert len(os.listdir("/proc/self/fd")) - before <= reading.HELD_OPEN + 1
        rows += len(table)
    assert rows == (reading.HELD_OPEN + 30) * 700


def test_a_file_that_is_gone_when_its_turn_comes_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "HELD_OPEN", 0)
    for name, first in (("q.log.2", 0), ("q.log.1", 10), ("q.log", 20)):
        (tmp_path / name).write_bytes(bind_lines(first, 10))
    recognise = reading.recognise

    def and_rotate(one: opening.Input, *how: Any) -> object:
        found = recognise(one, *how)
        if one.source == "q.log":
            (tmp_path / "q.log.1").unlink()
        return found

    monkeypatch.setattr(reading, "recognise", and_rotate)
    frame = read_log(tmp_path)
    assert list(frame["qname"]) == [f"a{i}.example.com" for i in [*range(10), *range(20, 30)]]
    assert frame.attrs["import"].skipped[reading.UNREADABLE]["examples"][0][0] == "q.log.1"


def test_what_is_no_file_in_a_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "q.log").write_bytes(bind_lines(0, 3))
    (tmp_path / "2026-01-01").mkdir()
    (tmp_path / "latest.log").symlink_to(tmp_path / "absent")
    notes = read_log(tmp_path).attrs["import"].notes
    assert len(notes) == 2
    assert "1 folders within were not looked into" in notes[0]
    assert "1 entries that are no files" in notes[1]


def test_a_name_that_is_no_utf_8_is_a_name(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/q\xff.log"
    with open(path, "wb") as out:
        out.write(bind_lines(0, 3))
    for source in (os.fsdecode(path), tmp_path):
        frame = read_log(source)
        assert list(frame["source"]) == ["q\\xff.log"] * 3
        assert frame.attrs["import"].files == [f"{tmp_path}/q\\xff.log"]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("https://example.com/dns.log", "is a URL; logs are read from files"),
        ("s3://bucket/dns.log", "is a URL; logs are read from files"),
        (bind_lines(0, 500).decode(), "is the text of a log, not its path; give it as bytes"),
    ],
)
def test_what_is_often_taken_for_a_path_is_told(source: str, said: str) -> None:
    with pytest.raises(SettingError, match=f"source: .*{said}"):
        read_log(source)


def test_an_answer_in_the_next_file_of_a_set_is_found(tmp_path: Path) -> None:
    (tmp_path / "dnsmasq.log.1").write_text("Mar  1 10:00:00 dnsmasq[1]: query[A] a.example from 192.0.2.1\n")
    (tmp_path / "dnsmasq.log").write_text("Mar  1 10:00:00 dnsmasq[1]: reply a.example is 198.51.100.1\n")
    frame = read_log(tmp_path / "dnsmasq.log*", year=2026, tz="UTC")
    assert len(frame) == 1
    assert list(frame["answers"].iloc[0]) == ["198.51.100.1"]


def test_lines_whose_query_is_not_in_the_log_are_told_of() -> None:
    lines = "Mar  1 10:00:00 dnsmasq[1]: forwarded a.example to 192.0.2.53\n"
    lines += "Mar  1 10:00:01 dnsmasq[1]: query[A] b.example from 192.0.2.1\n"
    lines += "Mar  1 10:00:01 dnsmasq[1]: forwarded b.example to 192.0.2.53\n"
    report = read_log(lines.encode(), year=2026, tz="UTC").attrs["import"]
    assert report.rows == 1
    assert "1 lines tell of queries that are not in the log" in report.notes


def test_streams_bytes_and_lists_are_sources_too(tmp_path: Path) -> None:
    assert len(read_log(io.BytesIO(bind_lines(0, 5)))) == 5
    assert len(read_log(bind_lines(0, 5))) == 5
    (tmp_path / "a").write_bytes(bind_lines(0, 5))
    assert len(read_log([tmp_path / "a", io.BytesIO(gzip.compress(bind_lines(0, 7)))])) == 12


@pytest.mark.parametrize(
    ("wrap", "stamped"),
    [
        (lambda s: f"<30>Mar  1 10:00:00 host named[27014]: {s}", True),
        (lambda s: f"2026-03-01T10:00:00.5+00:00 host named[27014]: {s}", True),
        (lambda s: f'<165>1 2026-03-01T10:00:00.5Z host named 27014 ID47 [x@1 a="b]c\\"d"] {s}', True),
        (lambda s: f"2026-03-01T10:00:00.5Z stdout F {s}", True),
        (lambda s: json.dumps({"log": s + "\n", "stream": "stdout", "time": "2026-03-01T10:00:00.5Z"}), True),
        (lambda s: json.dumps({"@timestamp": "2026-03-01T10:00:00.5Z", "message": s, "host": {"name": "x"}}), True),
        (lambda s: json.dumps({"result": {"_raw": s, "_time": "2026-03-01T10:00:00.5Z"}}), True),
        (lambda s: json.dumps({"message": s, "timestamp": 1772359200500, "ingestionTime": 1}), True),
        (lambda s: f"Mar 01 10:00:00.500000 host named[27014]: {s}", True),
        (lambda s: f"1772359200.500000 host named[27014]: {s}", True),
        (lambda s: json.dumps({"MESSAGE": s, "__REALTIME_TIMESTAMP": "1772359200500000"}), True),
        (lambda s: json.dumps({"MESSAGE": list(s.encode()), "__REALTIME_TIMESTAMP": "1772359200500000"}), True),
        (lambda s: f"__CURSOR=s=1;i=2\n__REALTIME_TIMESTAMP=1772359200500000\nPRIORITY=6\nMESSAGE={s}\n_PID=7\n", True),
        (lambda s: f"named-1  | 2026-03-01T10:00:00.5Z {s}", True),
        (lambda s: f"[pod/named-5d7/named] 2026-03-01T10:00:00.5Z {s}", True),
        (lambda s: f"2026-03-01T10:00:00.500000000Z {s}", True),
        (lambda s: json.dumps({"labels": {}, "line": s, "timestamp": "2026-03-01T10:00:00.5Z"}), True),
        (lambda s: json.dumps({"date": 1772359200.5, "log": s}), True),
        (lambda s: json.dumps({"textPayload": s, "timestamp": "2026-03-01T10:00:00.5Z"}), True),
        (lambda s: json.dumps({"_source": {"message": s, "@timestamp": "2026-03-01T10:00:00.5Z"}}), True),
        (lambda s: json.dumps({"event": {"original": s}, "@timestamp": "2026-03-01T10:00:00.5Z"}), True),
        (lambda s: f"Sun 2026-03-01 10:00:00 UTC host named[27014]: {s}", True),
        (lambda s: json.dumps({"time": 1772359200.5, "host": "gw", "source": "named", "event": s}), True),
        (lambda s: json.dumps({"time": "1772359200.500", "event": {"line": s, "source": "stdout"}}), True),
        (lambda s: json.dumps({"version": "1.1", "host": "gw", "short_message": s, "timestamp": 1772359200.5}), True),
        (lambda s: json.dumps({"short_message": s[:9], "full_message": s, "timestamp": 1772359200.5}), True),
        (
            lambda s: json.dumps({"message": {"message": s, "timestamp": "2026-03-01T10:00:00.500Z"}, "index": "g"}),
            True,
        ),
    ],
    ids=[
        "syslog",
        "syslog-iso",
        "rfc5424",
        "kubernetes",
        "docker",
        "filebeat",
        "splunk",
        "cloudwatch",
        "journal-precise",
        "journal-unix",
        "journal-json",
        "journal-octets",
        "journal-export",
        "compose",
        "kubectl",
        "docker-logs",
        "loki",
        "fluent-bit",
        "google",
        "elastic",
        "elastic-original",
        "journal-full",
        "splunk-hec",
        "splunk-docker",
        "gelf",
        "gelf-full",
        "graylog",
    ],
)
def test_wrapped_lines_are_unwrapped(wrap: Callable[[str], str], stamped: bool) -> None:
    inner = "client @0x7f 192.0.2.1#50000 (a.example.com): query: a.example.com IN A + (192.0.2.53)"
    frame = read_log("".join(wrap(inner) + "\n" for _ in range(5)).encode(), tz="UTC", year=2026)
    assert frame.attrs["import"].format == "bind"
    assert list(frame["qname"]) == ["a.example.com"] * 5
    assert frame["time"].iloc[0].strftime("%F %H:%M:%S") == "2026-03-01 10:00:00"
    report = frame.attrs["import"]
    assert report.lines == report.rows + sum(report.asides.values())


SYSLOG = "Mar  1 10:00:01 gw {}"
WITHIN = {
    "unbound": "unbound[12]: [12:0] info: 192.0.2.7 a.example. A IN NOERROR 0.021 0 64",
    "coredns": 'coredns[5]: [INFO] 192.0.2.7:57413 - 1 "A IN a.example. udp 42 true 4096" NOERROR qr,rd,ra 188 0.02s',
    "bind": "named[27]: client @0x7f 192.0.2.7#24602 (a.example): query: a.example IN A + (192.0.2.53)",
    "dnsmasq": "dnsmasq[7]: query[A] a.example from 192.0.2.7",
    "dnsdist": "dnsdist[5]: Packet from 192.0.2.7:53646 for a.example. A with id 2152",
}


@pytest.mark.parametrize("name", WITHIN)
@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: json.dumps({"@timestamp": "2026-03-01T12:00:00.5Z", "message": s}),
        lambda s: json.dumps({"result": {"_raw": f"<30>{s}", "_time": "2026-03-01T12:00:00.5Z"}}),
        lambda s: json.dumps({"log": s + "\n", "stream": "stdout", "time": "2026-03-01T12:00:00.5Z"}),
        lambda s: f"2026-03-01T12:00:00.5Z stdout F {s}",
    ],
    ids=["filebeat", "splunk", "docker", "kubernetes"],
)
def test_syslog_that_a_shipper_took_along_is_unwrapped_too(name: str, wrap: Callable[[str], str]) -> None:
    log = "".join(wrap(SYSLOG.format(WITHIN[name])) + "\n" for _ in range(5)).encode()
    for form in ("auto", name):
        frame = read_log(log, format=form, tz="UTC", year=2026)
        assert frame.attrs["import"].format == name
        assert list(frame["qname"]) == ["a.example"] * 5
        assert set(frame["time"].dt.strftime("%F %T")) == {"2026-03-01 10:00:01"}  # the daemon's, not the shipper's
        assert frame.attrs["import"].skipped_count == 0


def test_a_line_that_is_not_in_the_inner_wrapper_has_the_outer_ones_time() -> None:
    inner = [SYSLOG.format(WITHIN["unbound"])] * 4 + [WITHIN["unbound"].partition(" ")[2]]
    wrapped = [json.dumps({"log": s + "\n", "time": "2026-03-01T12:00:00Z"}) for s in inner]
    frame = read_log("\n".join(wrapped).encode(), tz="UTC", year=2026)
    assert list(frame["time"].dt.hour) == [10, 10, 10, 10, 12]


def test_a_wrapped_line_of_nothing_is_a_line_too() -> None:
    inner = "client @0x7f 192.0.2.1#50000 (a.example): query: a.example IN A + (192.0.2.53)"
    wrapped = [json.dumps({"log": s + "\n", "time": "2026-03-01T10:00:00Z"}) for s in (inner, inner, inner, "")]
    report = read_log("\n".join([*wrapped, ""]).encode()).attrs["import"]
    assert (report.lines, report.rows, report.skipped_count) == (4, 3, 1)


@pytest.mark.parametrize("wrapper", ["docker", "cri"])
def test_long_lines_that_a_container_log_cut_are_put_together(wrapper: str) -> None:
    dns = {"version": 3, "type": "request", "id": 1, "queries": [{"rrname": "a.example", "rrtype": "A"}]}
    ends = {"src_ip": "192.0.2.1", "src_port": 5353, "dest_ip": "192.0.2.53", "dest_port": 53, "proto": "UDP"}
    event = json.dumps(
        {"timestamp": "2026-03-01T10:00:00Z", "event_type": "dns", **ends, "dns": dns, "pad": "x" * 40_000}
    )
    cuts = [event[i : i + 16_384] for i in range(0, len(event), 16_384)]
    log = ""
    for part in cuts * 3:
        last = part is cuts[-1] or part == cuts[-1]
        log += (
            f"2026-03-01T10:00:00.5Z stdout {'F' if last else 'P'} {part}\n"
            if wrapper == "cri"
            else json.dumps({"log": part + "\n" * last, "stream": "stdout", "time": "2026-03-01T10:00:00.5Z"}) + "\n"
        )
    frame = read_log(log.encode())
    assert list(frame["qname"]) == ["a.example"] * 3
    assert frame.attrs["import"].asides == {"parts of longer lines": 6}


@pytest.mark.parametrize(
    "damage",
    [
        lambda d: b"\xef\xbb\xbf" + d,
        lambda d: d.replace(b"\n", b"\r\n"),
        lambda d: bytes(4096) + d + bytes(512),
        lambda d: d[:-1],
        lambda d: d.decode().encode("utf-16"),
        lambda d: d.replace(b"\n", b"\n\n"),
    ],
    ids=["bom", "crlf", "nul padding", "no last line end", "utf-16", "empty lines"],
)
def test_encodings_and_paddings_change_nothing(damage: Callable[[bytes], bytes]) -> None:
    plain = read_log(bind_lines(0, 50))
    other = read_log(damage(bind_lines(0, 50)))
    assert list(other["qname"]) == list(plain["qname"])
    assert list(other["time"]) == list(plain["time"])
    assert other.attrs["import"].skipped_count == 0


def test_a_last_line_that_is_cut_off_is_reported() -> None:
    report = read_log(bind_lines(0, 3)[:-60]).attrs["import"]
    assert report.rows == 2
    assert any("cut off" in reason for reason in report.skipped)


def test_errors_raise_names_the_first_bad_line() -> None:
    with pytest.raises(LogFormatError, match=r"stream:3: 'rubbish'"):
        read_log(bind_lines(0, 2) + b"rubbish\n" + bind_lines(0, 2), errors="raise")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "empty"),
        (bytes(100), "NUL"),
        (b"\x7fELF" + bytes(range(256)) * 4, "binary data"),
        (b"once upon a time\nthere was\n", "the first line is 'once upon a time'"),
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" + bytes(range(32)) * 40, "not a DNS log"),
    ],
)
def test_what_is_no_log_is_one_clear_error(data: bytes, says: str) -> None:
    with pytest.raises(LogFormatError, match=says) as caught:
        read_log(data)
    assert "expected" in str(caught.value)


def test_a_named_format_that_is_wrong_says_so(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="not a format we know"):
        read_log(b"x", format="nonsense")
    with pytest.raises(LogFormatError, match=r"not pcap .packet captures"):
        read_log(bind_lines(0, 2), format="pcap")
    with pytest.raises(LogFormatError, match=r"not zeek .Zeek.*the first line is '2026-03.*looks like bind"):
        read_log(bind_lines(0, 2), format="zeek")
    assert (
        len(read_log(b"[1772359200] unbound[1:0] notice: init\n" * 3, format="unbound")) == 0
    )  # the right one, with nothing in it
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_log(tmp_path / "absent.log")
    with pytest.raises(SettingError, match="Europe/Berlin"):
        read_log(b"x", tz="Middle/Earth")


def test_a_folder_reports_the_files_that_are_no_logs(tmp_path: Path) -> None:
    (tmp_path / "query.log").write_bytes(bind_lines(0, 5))
    (tmp_path / "notes.txt").write_text("buy milk\n")
    report = read_log(tmp_path).attrs["import"]
    assert report.rows == 5
    assert report.skipped["a file that is not a DNS log we know"]["count"] == 1
    assert str(report).count("notes.txt") == 1
    with pytest.raises(LogFormatError, match=r"notes.txt: not a DNS log"):
        read_log(tmp_path, errors="raise")


def test_the_report_is_shown_and_pickled_and_hostile_text_is_escaped() -> None:
    import copy
    import pickle

    frame = read_log(bind_lines(0, 2) + b"<script>alert(1)</script>\x1b[31m\n" + bind_lines(0, 2))
    report = frame.attrs["import"]
    assert "<script>" not in report._repr_html_()
    assert "&lt;script&gt;" in report._repr_html_()
    assert "\x1b" not in str(report) + report._repr_html_()
    assert all("text-align:left" in cell for cell in re.findall("<t[hd] .*?>", report._repr_html_()))
    assert pickle.loads(pickle.dumps(report)) == report == copy.deepcopy(report)
    assert frame.head(1).attrs["import"] is report


@pytest.mark.parametrize("source", ["", None, 5, [], b"".join, {"a": 1}])
def test_what_is_no_source_is_named(source: object) -> None:
    with pytest.raises(SettingError, match=r"source: .*must be a path"):
        read_log(source)


def test_a_closed_stream_is_named() -> None:
    stream = io.BytesIO(b"x")
    stream.close()
    with pytest.raises(LogFormatError, match=r"can't be read: .*closed"):
        read_log(stream)


@pytest.mark.parametrize(
    ("start", "said"),
    [(b"PK\3\4", "ZIP"), (b"\0" * 257 + b"ustar", "tar"), (b"SQLite format 3\0", "SQLite"), (b"ElfFile\0", "Windows")],
)
def test_what_is_often_taken_for_a_log_is_told(start: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "dns.log").write_bytes(start + b"\1" * 600)
    with pytest.raises(LogFormatError, match=said):
        read_log(tmp_path / "dns.log")


def test_a_template_is_for_those_who_have_one(tmp_path: Path) -> None:
    (tmp_path / "zeek.log").write_text('{"ts":1.0,"id.orig_h":"192.0.2.1","query":"a.example","trans_id":1}\n' * 3)
    with pytest.raises(
        SettingError, match=r"template: '%h'.*coredns, dnscollector, windows alone; this log is zeek-json"
    ):
        read_log(tmp_path / "zeek.log", template="%h")
    with pytest.raises(SettingError, match="tz: 5"):
        read_log(tmp_path / "zeek.log", tz=5)
