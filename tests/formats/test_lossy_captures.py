"""A capture that lost packets: what came whole is read, what did not is counted, and every packet is accounted for."""

from __future__ import annotations

import struct

from dnsnb.formats import read_log

from .conftest import CLIENT, SERVER, V6, capture, ethernet, message, tcp, udp

FIN, SYN = 0x11, 2


def framed(name: str) -> bytes:
    body = message(7, 0x0100, name, 1)
    return struct.pack("!H", len(body)) + body


def test_a_lost_segment_costs_its_own_message_alone() -> None:
    parts = [framed(f"{c}.example") for c in "abcd"]
    places = [101 + sum(map(len, parts[:i])) for i in range(5)]
    packets = [(1.0, ethernet(tcp(b"", 40000, 53, 100, SYN), CLIENT, SERVER, 6))]
    packets += [
        (2.0 + i, ethernet(tcp(parts[i], 40000, 53, places[i]), CLIENT, SERVER, 6)) for i in (0, 2, 3)
    ]  # b is lost
    packets.append((9.0, ethernet(tcp(b"", 40000, 53, places[4], FIN), CLIENT, SERVER, 6)))
    frame = read_log(capture(packets), rows="events")
    report = frame.attrs["import"]
    assert sorted(frame["qname"]) == ["a.example", "c.example", "d.example"]
    assert report.skipped["a message of which packets are missing"]["count"] == 1


def test_what_the_end_of_a_capture_cuts_is_counted() -> None:
    whole = framed("a.example")
    fragment = struct.pack("!BBHI", 17, 0, 1, 7) + udp(b"x" * 40, 40000, 53)  # more are to come
    packets = [
        (1.0, ethernet(tcp(b"", 40000, 53, 100, SYN), CLIENT, SERVER, 6)),
        (2.0, ethernet(tcp(whole[:9], 40000, 53, 101), CLIENT, SERVER, 6)),
        (3.0, ethernet(fragment, V6, V6, 44)),
        (4.0, ethernet(udp(message(8, 0x0100, "b.example", 1), 40001, 53), CLIENT, SERVER)),
        (5.0, ethernet(udp(b"other", 1, 2), CLIENT, SERVER)),
    ]
    report = read_log(capture(packets), rows="events").attrs["import"]
    assert report.rows == 1
    assert report.skipped["a message of which packets are missing"]["count"] == 2
    assert report.lines == report.rows + sum(report.asides.values()) == 5


def test_a_cut_message_tells_how_long_it_was() -> None:
    whole = ethernet(udp(message(9, 0x8180, "b.example", 1, ((1, 60, bytes(4)),) * 20), 53, 40001), SERVER, CLIENT)
    data = capture([])
    for kept in (76, 60):
        data += struct.pack("<IIII", 1, 0, kept, len(whole)) + whole[:kept]
    frame = read_log(data)
    assert list(frame["response_bytes"]) == [len(whole) - 42]
    assert frame["answers"].isna().all()  # what was not captured is not "no answers"
    reasons = [reason for reason in frame.attrs["import"].skipped if "snaplen" in reason]
    assert reasons == ["a message of which too little was captured to tell its question (snaplen)"]
