"""Where bytes come from: compression by magic, rotated sets in order, wrappers, encodings, and one clear error for
the rest."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from dnsnb.errors import LogFormatError, SettingError
from dnsnb.formats import opening, read_log

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
    [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress), (".zst", zstd), ("", bytes)],
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
    ],
)
def test_names_of_rotated_files_tell_their_order(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    paths = [tmp_path / name for name in names]
    assert opening.in_order(sorted(paths, reverse=True)) == paths
    assert len({opening.stem(p) for p in paths}) == 1 or names[0].startswith("dns.15")


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


def test_the_report_is_shown_and_pickled_and_hostile_text_is_escaped() -> None:
    import copy
    import pickle

    frame = read_log(bind_lines(0, 2) + b"<script>alert(1)</script>\x1b[31m\n" + bind_lines(0, 2))
    report = frame.attrs["import"]
    assert "<script>" not in report._repr_html_()
    assert "&lt;script&gt;" in report._repr_html_()
    assert "\x1b" not in str(report) + report._repr_html_()
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
