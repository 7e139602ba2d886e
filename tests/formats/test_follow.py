"""Logs that are being written: growth, rotation, truncation; and dnstap from a socket, also from a real unbound."""

from __future__ import annotations

import os
import shutil
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dnsnb.errors import LogFormatError, SettingError
from dnsnb.formats import follow, listen, read_log

from .conftest import ANSWER, QUERY, control, dnstap_payload, frame

LINE = "2026-03-01T10:00:00.000Z client 192.0.2.1#50000 (n{0}.example): query: n{0}.example IN A + (192.0.2.53)\n"


def append(path: Path, *numbers: int) -> None:
    with path.open("a") as out:
        out.write("".join(LINE.format(n) for n in numbers))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "query.log"
    append(path, 0, 1)
    return path


def test_only_new_lines_come_and_reach_the_sink_by_columns(log: Path) -> None:
    got: list[dict[str, Any]] = []
    with follow(log, got.append, interval_s=0.02) as follower:
        append(log, 2, 3)
        assert follower.wait_for(2)
        assert list(follower.frame["qname"]) == ["n2.example", "n3.example"]
    assert [name for columns in got for name in columns["qname"]] == ["n2.example", "n3.example"]
    assert all(isinstance(t, int) for columns in got for t in columns["time"])


def test_the_public_door_opens_more_than_once(log: Path) -> None:
    import dnsnb

    for _ in range(2):
        with dnsnb.follow(log, start="beginning", interval_s=0.02) as follower:
            assert follower.wait_for(2)


def test_a_sink_may_be_a_live_frame(log: Path) -> None:
    from dnsnb.client.liveframe import LiveFrame

    live = LiveFrame()
    with follow(log, live, start="beginning", interval_s=0.02) as follower:
        assert follower.wait_for(2)
    assert list(live.snapshot()["qname"]) == ["n0.example", "n1.example"]


def test_rotation_loses_nothing(log: Path) -> None:
    with follow(log, start="beginning", interval_s=0.02) as follower:
        assert follower.wait_for(2)
        append(log, 2)
        log.rename(log.with_name("query.log.1"))
        append(log.with_name("query.log.1"), 3)
        append(log, 4)
        assert follower.wait_for(5)
        assert list(follower.frame["qname"]) == [f"n{i}.example" for i in range(5)]
        assert any("rotated" in note for note in follower.report.notes)


def test_a_truncated_log_is_read_from_its_new_beginning(log: Path) -> None:
    append(log, *range(2, 9))
    with follow(log, start="beginning", interval_s=0.02) as follower:
        assert follower.wait_for(9)
        log.write_text(LINE.format(99))
        assert follower.wait_for(10)
        assert follower.frame["qname"].iloc[-1] == "n99.example"


def test_half_a_line_waits_for_its_other_half(log: Path) -> None:
    with follow(log, interval_s=0.02) as follower:
        text = LINE.format(7)
        with log.open("a") as out:
            out.write(text[:40])
            out.flush()
            assert not follower.wait_for(1, timeout_s=0.2)
            out.write(text[40:])
        assert follower.wait_for(1)
        assert follower.report.skipped_count == 0


def test_an_empty_log_is_recognised_when_it_gets_lines(tmp_path: Path) -> None:
    path = tmp_path / "empty.log"
    path.touch()
    with follow(path, interval_s=0.02) as follower:
        append(path, 1)
        assert follower.wait_for(1)
        assert follower.report.format == "bind"


def test_what_can_not_be_followed_says_so(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("nonsense\n")
    with pytest.raises(LogFormatError, match="not a DNS log"):
        follow(tmp_path / "x")
    with pytest.raises(FileNotFoundError):
        follow(tmp_path / "absent")
    with pytest.raises(LogFormatError, match="folder"):
        follow(tmp_path)
    with pytest.raises(SettingError, match="extend"):
        follow(tmp_path / "x", sink=7)


def connected(address: str) -> socket.socket:
    if address.startswith("unix:"):
        sender = socket.socket(socket.AF_UNIX)
        sender.connect(address.removeprefix("unix:"))
        return sender
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)), 5)


@pytest.mark.parametrize("both_ways", [True, False])
@pytest.mark.parametrize("kind", ["unix", "tcp"])
def test_dnstap_by_socket(tmp_path: Path, kind: str, both_ways: bool) -> None:
    got: list[dict[str, Any]] = []
    with listen(f"unix:{tmp_path}/tap.sock" if kind == "unix" else "127.0.0.1:0", got.append) as tap:
        with connected(tap.address) as sender:
            sender.settimeout(5)
            if both_ways:
                sender.sendall(control(4))  # READY
                assert sender.recv(100) == control(1)  # ACCEPT
            sender.sendall(control(2) + frame(dnstap_payload(5, QUERY)) + frame(dnstap_payload(6, b"", ANSWER)))
            assert tap.wait_for(1)
            if both_ways:
                sender.sendall(control(3, None))  # STOP
                assert sender.recv(100) == control(5, None)  # FINISH
        row = tap.frame.iloc[0]
        assert (row["qname"], row["client"], row["rcode"], row["latency_ms"]) == (
            "www.example.com",
            "192.0.2.10",
            "NOERROR",
            20.0,
        )
        assert got[0]["answers"] == [["web.example.com", "198.51.100.7"]]
    if kind == "unix":
        assert not (tmp_path / "tap.sock").exists()


@pytest.mark.parametrize(
    "rubbish", [b"GET / HTTP/1.1\r\n\r\n", control(4, b"protobuf:other"), b"\xff" * 64, b"\0\0\0\0\xff\xff\xff\xff"]
)
def test_a_sender_of_rubbish_is_let_go_and_others_go_on(rubbish: bytes) -> None:
    with listen("127.0.0.1:0") as tap:
        with connected(tap.address) as bad, connected(tap.address) as good:
            bad.settimeout(5)
            bad.sendall(rubbish)
            bad.shutdown(socket.SHUT_WR)
            assert bad.recv(10) == b""
            good.sendall(control(2) + frame(dnstap_payload(6, QUERY, ANSWER)))
            assert tap.wait_for(1)
        assert tap.error is None


def test_what_came_before_a_sender_died_counts_and_what_was_cut_is_reported() -> None:
    whole = frame(dnstap_payload(6, QUERY, ANSWER))
    with listen("127.0.0.1:0") as tap:
        with connected(tap.address) as sender:
            sender.sendall(control(2) + whole + whole[:-9])
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 0, 0))
        assert tap.wait_for(1)
        with connected(tap.address) as slow:
            for octet in control(2) + whole:
                slow.sendall(bytes([octet]))
            assert tap.wait_for(2)
    assert tap.report.skipped["the last frame is cut off"]["count"] == 1


def test_powerdns_protobuf_is_told_from_dnstap_by_its_first_octets(sample: Callable[[str], Path]) -> None:
    stream = sample("powerdns-protobuf").read_bytes()
    with listen("127.0.0.1:0") as tap:
        with connected(tap.address) as sender, connected(tap.address) as other:
            for octet in stream[:9]:
                sender.sendall(bytes([octet]))
            sender.sendall(stream[9:-7])
            other.sendall(control(2) + frame(dnstap_payload(6, QUERY, ANSWER)))
        assert tap.wait_for(18)
    whole = read_log(stream)
    rows = tap.frame[tap.frame["qname"] != "www.example.com"]
    assert sorted(rows["client_port"]) == sorted(whole["client_port"])
    assert rows["rcode"].count() == whole["rcode"].count() - 1  # the last answer was cut
    assert (tap.report.format, tap.report.skipped_count) == ("dnstap, powerdns-protobuf", 1)


def test_what_no_message_of_powerdns_can_be(sample: Callable[[str], Path]) -> None:
    whole = sample("powerdns-protobuf").read_bytes()
    first = whole[: 2 + int.from_bytes(whole[:2])]
    broken = bytes([0, 4]) + b"\x08\x01\xff\xff" + bytes([0, 0]) + bytes([0, 2]) + b"\x08\x09"
    report = read_log(first + broken + first).attrs["import"]
    assert (report.lines, report.events, report.skipped_count) == (5, 2, 3)


def test_many_senders_at_once_lose_nothing() -> None:
    each = b"".join(frame(dnstap_payload(6, QUERY, ANSWER, port=1024 + i)) for i in range(20))
    with listen("127.0.0.1:0") as tap:
        senders = [connected(tap.address) for _ in range(80)]
        for sender in senders:
            sender.sendall(control(2) + each)
        assert tap.wait_for(80 * 20, 30)
        for sender in senders:
            sender.close()
        assert (tap.report.lines, tap.report.skipped_count, tap.error) == (1600, 0, None)


@pytest.mark.parametrize(
    "address", ["", "unix:", "unix:/" + "a" * 200, "127.0.0.1:99999", "127.0.0.1:\u00b2", 7000, "unix:/dev/null/x.sock"]
)
def test_an_address_that_can_not_be(address: Any) -> None:
    with pytest.raises(SettingError, match="address"):
        listen(address)


def test_an_address_that_is_taken_or_wrong_is_one_clear_error(tmp_path: Path) -> None:
    with listen(f"unix:{tmp_path}/tap.sock"), pytest.raises(SettingError, match="another process"):
        listen(f"unix:{tmp_path}/tap.sock")
    with pytest.raises(SettingError, match="host:port"):
        listen("nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(SettingError, match="no socket"):
        listen(f"unix:{tmp_path}/file")
    left = socket.socket(socket.AF_UNIX)
    left.bind(f"{tmp_path}/left.sock")  # as after a crash
    left.close()
    with listen(f"unix:{tmp_path}/left.sock"):
        pass


@pytest.fixture
def unbound(tmp_path: Path) -> Iterator[tuple[Any, int]]:
    if shutil.which("unbound") is None:
        pytest.skip("unbound is not installed")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with listen(f"unix:{tmp_path}/tap.sock") as tap:
        config = tmp_path / "unbound.conf"
        config.write_text(f"""
server:
    interface: 127.0.0.1@{port}
    username: ""
    chroot: ""
    directory: "{tmp_path}"
    pidfile: ""
    use-syslog: no
    logfile: ""
    num-threads: 1
    do-daemonize: no
    module-config: "iterator"
    local-zone: "example." static
    local-data: "www.example. 60 IN A 198.51.100.7"
dnstap:
    dnstap-enable: yes
    dnstap-bidirectional: yes
    dnstap-socket-path: "{tmp_path}/tap.sock"
    dnstap-send-identity: yes
    dnstap-log-client-query-messages: yes
    dnstap-log-client-response-messages: yes
remote-control:
    control-enable: no
""")
        server = subprocess.Popen(["unbound", "-d", "-c", str(config)], stderr=subprocess.PIPE, text=True)
        seen = threading.Event()
        assert server.stderr is not None
        lines = server.stderr
        reader = threading.Thread(
            target=lambda: [seen.set() for line in lines if "start of service" in line], daemon=True
        )
        reader.start()
        try:
            assert seen.wait(20), "unbound did not start"
            yield tap, port
        finally:
            server.terminate()
            server.wait(20)
            reader.join(5)
            lines.close()


@pytest.mark.peer
def test_a_real_unbound_sends_us_its_queries(unbound: tuple[Any, int]) -> None:
    tap, port = unbound
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.settimeout(5)
        asker.connect(("127.0.0.1", port))
        for name in ("www", "nx"):
            head = os.urandom(2) + b"\1\0\0\1\0\0\0\0\0\0"
            asker.send(head + bytes([len(name)]) + name.encode() + b"\7example\0\0\1\0\1")
            asker.recv(512)
    assert tap.wait_for(2, 15), tap.report
    rows = tap.frame.set_index("qname")
    assert rows.loc["www.example", "rcode"] == "NOERROR"
    assert list(rows.loc["www.example", "answers"]) == ["198.51.100.7"]
    assert rows.loc["nx.example", "rcode"] == "NXDOMAIN"
    assert (rows["client"] == "127.0.0.1").all()
    assert time.time() - rows["time"].max().timestamp() < 60
