"""The quick way through the commonest answers gives what the long way gives, and takes nothing else."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnsnb.dns.message import Answer
from dnsnb.dns.reading import read_addresses, read_answer
from dnsnb.dns.wire import Question
from dnsnb.errors import WireError

QNAME = b"\3www\7example\0"
OPT = b"\0\0\x29\x04\xd0\0\0\0\0\0\0"


def quickly(message: bytes, question: Question, **limits: int) -> Any:
    """Read as a forwarder does: the commonest answers by their shape."""
    return read_addresses(message, question, **limits) or read_answer(message, question, **limits)


def record(qtype: int, ttl: int, data: bytes, owner: bytes = b"\xc0\x0c", rclass: int = 1) -> bytes:
    return owner + struct.pack("!HHIH", qtype, rclass, ttl, len(data)) + data


def fields(answer: Any) -> dict[str, Any]:
    return {name: getattr(answer, name) for name in Answer.__slots__ if name != "_texts"} | {"texts": answer.texts()}


@settings(max_examples=300, deadline=None)
@given(
    qtype=st.sampled_from([1, 28]),
    ttls=st.lists(st.sampled_from([0, 1, 59, 60, 86_400, 86_401, 0x7FFFFFFF, 0x80000001]), min_size=1, max_size=6),
    odd=st.sampled_from(
        ["", "type", "class", "owner", "length", "opt", "opt option", "opt rcode", "extra", "cut", "two opt"]
    ),
    floor=st.sampled_from([0, 30]),
    flags=st.sampled_from([0x8180, 0x81A0, 0x8380]),
)
def test_both_ways_agree(qtype: int, ttls: list[int], odd: str, floor: int, flags: int) -> None:
    size = 4 if qtype == 1 else 16
    records = [record(qtype, ttl, bytes([n]) * size) for n, ttl in enumerate(ttls)]
    if odd == "type":
        records[-1] = record(16, 60, b"\1x")
    elif odd == "class":
        records[-1] = record(qtype, 60, bytes(size), rclass=3)
    elif odd == "owner":
        records[-1] = record(qtype, 60, bytes(size), owner=b"\5other\0")
    elif odd == "length":
        records[-1] = record(qtype, 60, bytes(size + 1))
    additional = {
        "opt": OPT,
        "two opt": OPT + OPT,
        "opt option": OPT[:-2] + b"\0\6\0\x0f\0\2\0\3",
        "extra": record(1, 9, bytes(4)),
    }
    extra = additional.get(odd, b"")
    if odd == "opt rcode":
        extra = OPT[:5] + b"\1" + OPT[6:]
    arcount = {"two opt": 2}.get(odd, 1 if extra else 0)
    message = struct.pack("!6H", 7, flags, 1, len(records), 0, arcount) + QNAME + struct.pack("!HH", qtype, 1)
    message += b"".join(records) + extra
    if odd == "cut":
        message = message[:-1]
    question = Question(QNAME, qtype, 1, False, False)
    try:
        expected = fields(read_answer(message, question, ttl_floor=floor))
    except WireError:
        with pytest.raises(WireError):
            quickly(message, question, ttl_floor=floor)
        return
    assert fields(quickly(message, question, ttl_floor=floor)) == expected


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=120), st.integers(0, 2), st.integers(0, 1))
def test_any_bytes_end_in_an_answer_or_a_wire_error(tail: bytes, ancount: int, arcount: int) -> None:
    message = struct.pack("!6H", 7, 0x8180, 1, ancount, 0, arcount) + QNAME + b"\0\1\0\1" + tail
    question = Question(QNAME, 1, 1, False, False)
    try:
        expected = fields(read_answer(message, question))
    except WireError:
        with pytest.raises(WireError):
            quickly(message, question)
        return
    assert fields(quickly(message, question)) == expected
