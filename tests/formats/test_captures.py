"""What a capture's own format and its links may hold: clocks of several interfaces, tunnels, headers before UDP."""

from __future__ import annotations

import struct

import pytest

from dnsnb.formats import read_log

from .conftest import CLIENT, SERVER, V6, capture, ethernet, message, tcp, udp

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
