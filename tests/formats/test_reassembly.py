"""TCP streams as networks deliver them: whatever order, overlap and repetition, each message comes out once."""

from __future__ import annotations

import itertools
import struct
import time

import hypothesis.strategies as st
from hypothesis import given

from dnsnb.formats import read_log
from dnsnb.formats.reassembly import MOST_OCTETS, Fragments, Streams

from .conftest import CLIENT, SERVER, capture, ethernet, message, tcp

SYN, FIN, ACK = 2, 0x11, 0x10


def framed(name: str) -> bytes:
    body = message(7, 0x0100, name, 1)
    return struct.pack("!H", len(body)) + body


def segment(payload: bytes, number: int, flags: int = ACK, when: float = 1.0) -> tuple[float, bytes]:
    return when, ethernet(tcp(payload, 40000, 53, number & 0xFFFFFFFF, flags), CLIENT, SERVER, 6)


@given(st.data())
def test_each_message_comes_out_once(data: st.DataObject) -> None:
    names = [f"n{i}.example" for i in range(data.draw(st.integers(1, 8)))]
    octets = b"".join(map(framed, names))
    first = data.draw(st.sampled_from([0, 100, 0xFFFFFFF0]))
    cuts = sorted({0, len(octets), *data.draw(st.lists(st.integers(1, len(octets)), max_size=20))})
    spans = list(itertools.pairwise(cuts))
    spans += [
        (a, min(len(octets), a + n))
        for a, n in data.draw(st.lists(st.tuples(st.integers(0, len(octets)), st.integers(1, 300)), max_size=5))
    ]
    segments = [segment(octets[a:b], first + 1 + a) for a, b in data.draw(st.permutations(spans))]
    segments.insert(data.draw(st.integers(0, len(segments))), segment(b"", first + 1 + len(octets), FIN))
    frame = read_log(capture([segment(b"", first, SYN), *segments]), rows="events")
    report = frame.attrs["import"]
    assert sorted(frame["qname"]) == sorted(names)
    assert report.skipped_count == 0
    assert report.lines == frame["id"].nunique() + sum(report.asides.values())


def test_data_on_the_first_segment_counts() -> None:
    opened = framed("fast.example")
    packets = [segment(opened, 100, SYN), segment(framed("next.example"), 101 + len(opened))]
    assert list(read_log(capture(packets))["qname"]) == ["fast.example", "next.example"]


def test_what_lies_behind_a_lost_segment_keeps_its_time() -> None:
    a, b, c, d = (framed(f"{x}.example") for x in "abcd")
    packets = [segment(b"", 100, SYN), segment(a, 101)]
    packets.append(segment(c, 101 + len(a + b), when=2.0))  # b is lost
    packets += [segment(d, 101 + len(a + b + c), when=9.0)]
    frame = read_log(capture(packets), rows="events")
    assert {n: t.timestamp() for n, t in zip(frame["qname"], frame["time"], strict=True)} == {
        "a.example": 1.0,
        "c.example": 2.0,
        "d.example": 9.0,
    }


def test_a_stream_that_was_joined_in_the_middle_of_a_message_finds_the_next() -> None:
    whole = framed("cut.example")
    packets = [segment(whole[9:], 109), segment(framed("whole.example"), 100 + len(whole))]
    frame = read_log(capture(packets), rows="events")
    assert list(frame["qname"]) == ["whole.example"]
    assert frame.attrs["import"].skipped["a message of which packets are missing"]["count"] == 1


def test_another_connection_between_the_same_ports_is_another_stream() -> None:
    one, two = framed("one.example"), framed("two.example")
    packets = [segment(b"", 100, SYN), segment(one, 101), segment(b"", 101 + len(one), FIN)]
    packets += [segment(one, 101), segment(b"", 77, SYN), segment(two, 78)]
    assert sorted(read_log(capture(packets), rows="events")["qname"]) == ["one.example", "two.example"]


def test_a_segment_cut_by_the_snaplen_costs_no_other_message() -> None:
    parts = [framed("a" * 60 + f".{i}.example") for i in range(3)]
    places = [101 + sum(map(len, parts[:i])) for i in range(3)]
    packets = [segment(part, place)[1] for part, place in zip(parts, places, strict=True)]
    data = capture([])
    for one in (packets[0], packets[1][:90], packets[2]):
        data += struct.pack("<IIII", 1, 0, len(one), len(packets[0])) + one
    report = (frame := read_log(data, rows="events")).attrs["import"]
    assert [n.split(".")[1] for n in frame["qname"]] == ["0", "2"]
    assert sum(v["count"] for k, v in report.skipped.items() if "snaplen" in k) == 1
    assert report.lines == 3


def test_segments_that_wait_are_bounded_and_cost_little() -> None:
    streams = Streams()
    began = time.thread_time()
    for i in range(60_000):  # one octet each, of a stream whose first octet never comes
        streams.take("one", (i, i), 10 + 2 * (60_000 - i), ACK if i else SYN, b"x", 1)
    assert time.thread_time() - began < 5
    for i in range(2000):
        streams.take(i, (i, 0), 0, SYN, b"", 0)
        streams.take(i, (i, 0), 10, ACK, bytes(60_000), 60_000)
        streams.take(i, (i, 0), 70_010, ACK, bytes(60_000), 60_000)
    assert streams.waiting_octets == sum(s.octets for s in streams._streams.values()) <= MOST_OCTETS


def test_fragments_that_overlap_without_end_are_bounded() -> None:
    fragments = Fragments()
    for offset in range(0, 65_528, 8):
        assert fragments.take("one", offset, False, bytes(60_000)) is None
    assert sum(fragments._sizes.values()) <= 1 << 16
