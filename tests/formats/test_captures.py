"""What a capture's own format and its links may hold: clocks of several interfaces, tunnels, headers before UDP; its
files are one log."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from dnsnb.formats import read_log

from .conftest import (
    CLIENT,
    SERVER,
    V6,
    capture,
    control,
    dnstap_payload,
    ethernet,
    frame,
    message,
    tcp,
    udp,
)

BEGAN = 1_772_359_200
QUERY = message(8, 0x0100, "b.example", 1)
PACKET = ethernet(udp(QUERY, 40001, 53), CLIENT, SERVER)
V6_AH = ethernet(bytes([17, 4]) + bytes(22) + udp(QUERY, 40001, 53), V6, V6, 51)


def block(order: str, kind: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    size = len(body) + 12
    return struct.pack(order + "II", kind, size) + body + struct.pack(order + "I", size)


def option(order: str, code: int, value: bytes) -> bytes:
    return struct.pack(order + "HH", code, len(value)) + value + bytes(-len(value) % 4)


def section(order: str) -> bytes:
    return block(order, 0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1))


def interface(order: str, link: int = 1, options: bytes = b"") -> bytes:
    return block(order, 1, struct.pack(order + "HHI", link, 0, 0) + options)


def packet(order: str, number: int, ticks: int, octets: bytes = PACKET) -> bytes:
    head = struct.pack(order + "5I", number, ticks >> 32, ticks & 0xFFFFFFFF, len(octets), len(octets))
    return block(order, 6, head + octets)


def obsolete(order: str, number: int, ticks: int) -> bytes:
    head = struct.pack(order + "HH4I", number, 9, ticks >> 32, ticks & 0xFFFFFFFF, len(PACKET), len(PACKET))
    return block(order, 2, head + PACKET)


@pytest.mark.parametrize("order", "<>")
def test_each_interface_has_a_clock_of_its_own(order: str) -> None:
    data = (
        section(order)
        + interface(order, options=option(order, 9, b"\x09") + option(order, 14, struct.pack(order + "q", BEGAN)))
        + interface(order, options=option(order, 9, b"\x8a"))
        + packet(order, 0, 5 * 10**9)
        + packet(order, 1, (BEGAN + 6) << 10)
        + obsolete(order, 1, (BEGAN + 7) << 10)
    )
    times = read_log(data)["time"]
    assert [t.timestamp() - BEGAN for t in times] == [5, 6, 7]


def test_an_interface_of_an_unknown_kind_is_named() -> None:
    report = read_log(section("<") + interface("<", 147) + packet("<", 0, 1)).attrs["import"]
    assert any("link type 147" in note for note in report.notes)


@pytest.mark.parametrize(
    "outer",
    [
        udp(b"\x08\0\0\0\0\0\7\0" + PACKET, 5555, 4789),
        udp(b"\x08\0\0\0\0\0\7\0" + PACKET, 5555, 8472),
        udp(b"\x02\0\x65\x58\0\0\7\0" + bytes(8) + PACKET, 5555, 6081),
        udp(b"\x00\0\x08\x00\0\0\7\0" + PACKET[14:], 5555, 6081),
        udp(b"\x01\0\x86\xdd\0\0\7\0" + bytes(4) + V6_AH[14:], 5555, 6081),
    ],
    ids=["vxlan", "vxlan-linux", "geneve", "geneve-ipv4", "geneve-ipv6"],
)
def test_a_tunnel_is_looked_into(outer: bytes) -> None:
    assert list(read_log(capture([(1.0, ethernet(outer, SERVER, CLIENT))]))["qname"]) == ["b.example"]


def test_an_authentication_header_is_stepped_over() -> None:
    assert list(read_log(capture([(1.0, V6_AH)]))["qname"]) == ["b.example"]


def test_a_message_of_a_thousand_records_gives_a_thousand() -> None:
    addresses = [bytes([192, 0, i >> 8, i & 255]) for i in range(1000)]
    body = message(9, 0x8180, "b.example", 1, tuple((1, 60, one) for one in addresses))
    body = struct.pack("!H", len(body)) + body
    segments = [
        (2.0, ethernet(tcp(body[i : i + 1000], 53, 40001, 1 + i), SERVER, CLIENT, 6)) for i in range(0, len(body), 1000)
    ]
    assert list(read_log(capture(segments))["answers"][0]) == [".".join(map(str, one)) for one in addresses]


def _query(name: str, when: float) -> tuple[float, bytes]:
    return when, ethernet(udp(message(5, 0x0100, name, 1), 40000, 53), CLIENT, SERVER)


def _answer(name: str, when: float) -> tuple[float, bytes]:
    return when, ethernet(udp(message(5, 0x8180, name, 1), 53, 40000), SERVER, CLIENT)


@pytest.mark.parametrize(
    "names",
    [
        ("dns.pcap.1", "dns.pcap"),
        ("dns-20260301.pcap", "dns-20260302.pcap"),
        ("dns.pcap", "dns.pcap1"),
        ("dns.pcap9", "dns.pcap10"),
        ("dns_00001_20260301100000.pcapng", "dns_00002_20260301100000.pcapng"),
        ("dns_20260301100000_00001.pcapng", "dns_20260301100000_00002.pcapng"),
    ],
    ids=str,
)
def test_files_of_a_capture_are_one_log(tmp_path: Path, names: tuple[str, str]) -> None:
    length, asked = struct.pack("!H", 35), message(9, 0x0100, "split.example.org", 1)
    first, second = (length + asked)[:20], (length + asked)[20:]
    (tmp_path / names[0]).write_bytes(
        capture([
            _query("a.example", 1.0),
            (1.1, ethernet(tcp(first, 40001, 53, 100), CLIENT, SERVER, 6)),
        ])
    )  # fmt: skip
    (tmp_path / names[1]).write_bytes(
        capture([
            (1.2, ethernet(tcp(second, 40001, 53, 120), CLIENT, SERVER, 6)),
            _answer("a.example", 1.5), _query("b.example", 2.0),
        ], order=">")
    )  # fmt: skip
    rows = read_log(tmp_path)
    report = rows.attrs["import"]
    assert dict(zip(rows["qname"], rows["rcode"].astype(object), strict=True))["a.example"] == "NOERROR"
    assert list(zip(rows["qname"], rows["source"], rows["id"], strict=True)) == [
        ("a.example", names[0], 1),
        ("split.example.org", names[1], 1),
        ("b.example", names[1], 3),
    ]
    assert report.lines == 5
    assert report.skipped_count == 0


def test_a_file_that_breaks_off_does_not_spoil_the_next(tmp_path: Path) -> None:
    def stream(kind: int, query: bytes, answer: bytes) -> bytes:
        return control(2) + frame(dnstap_payload(kind, query, answer))

    (tmp_path / "dns.tap.2").write_bytes(stream(5, message(5, 0x0100, "a.example", 1), b"") + b"\0\0\0\x50 cut")
    (tmp_path / "dns.tap.1").write_bytes(stream(5, message(6, 0x0100, "b.example", 1), b"") + b"\xff" * 9)
    (tmp_path / "dns.tap").write_bytes(stream(6, b"", message(5, 0x8180, "a.example", 1)))
    (tmp_path / "dns.pcap.1").write_bytes(capture([_query("c.example", 1.0)])[:-5])
    (tmp_path / "dns.pcap").write_bytes(capture([_query("d.example", 2.0)]))
    rows = read_log(tmp_path)
    assert sorted(rows["qname"]) == ["a.example", "b.example", "d.example"]
    assert list(rows["source"][rows["qname"] == "a.example"]) == ["dns.tap.2"]
    assert sorted(rows.attrs["import"].skipped) == [
        "a frame of a length that can't be; what follows was left out",
        "the last frame is cut off",
        "the last packet is cut off",
    ]


def test_a_message_without_a_question_is_named_by_its_first_record() -> None:
    record = b"\2tv\5local\0" + struct.pack("!HHIH", 1, 0x8001, 120, 4)
    data = struct.pack("!6H", 0, 0x8400, 0, 2, 0, 0) + record + b"\xc0\0\2\1" + record + b"\xc0\0\2\2"
    frame = read_log(capture([(1.0, ethernet(udp(data, 5353, 5353), CLIENT, SERVER))]))
    row = frame.iloc[0]
    assert (row["qname"], row["qtype"], row["qclass"], row["ttl"]) == ("tv.local", "A", "IN", 120)
    assert list(row["answers"]) == ["192.0.2.1", "192.0.2.2"]


def test_a_transport_of_tomorrow_is_not_udp() -> None:
    payload = dnstap_payload(5, QUERY)
    assert payload.count(b"\x18\x01") == 1
    named = [payload, payload.replace(b"\x18\x01", b"\x18\x63")]
    rows = read_log(control(2) + b"".join(map(frame, named)), rows="events")
    assert rows["transport"].astype(object).where(rows["transport"].notna(), None).tolist() == ["udp", None]
