"""Upstreams' answers: checked against the question, scrubbed of all beside its chain, TTLs set right.

No I/O; knows wire, records and message. Whatever the bytes, WireError is all that is raised.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from dnsnb.dns import wire
from dnsnb.dns.message import AddressAnswer, Answer, make_answer
from dnsnb.dns.records import Record, check_names, plain_rdata, read_records
from dnsnb.dns.wire import Question
from dnsnb.errors import WireError

MAX_CHAIN = 17
MAX_RECORDS = 2500  # more than any real answer, and few enough to be read in 5 ms
TTL_LIMIT = 0x7FFFFFFF

_RR = struct.Struct("!HHIH")
_TTL = struct.Struct("!I")
_HEAD = struct.Struct("!5H")
_TYPE_CLASS = struct.Struct("!HH")
_RECORD = struct.Struct("!6sIH")  # owner (a pointer), type and class; TTL; length of the data
#: flags and counts of an answer with one to 32 records in one section, perhaps an OPT -> how many, OPTs, AD
_PLAIN_HEADS = {
    bytes((high, low, 0, 1, 0, count, 0, 0, 0, opts)): (count, opts, low & 0x20 != 0)
    for high in (0x80, 0x81, 0x84, 0x85)
    for low in (0x80, 0xA0, 0x90, 0xB0, 0x00)
    for count in range(1, 33)
    for opts in (0, 1)
}
# How a record of the question's own name begins (a pointer to it, type, class), its data's length, its whole length,
# and how the question ends.
_SHAPES = {
    wire.A: (b"\xc0\x0c\0\x01\0\x01", 4, 16, b"\0\x01\0\x01"),
    wire.AAAA: (b"\xc0\x0c\0\x1c\0\x01", 16, 28, b"\0\x1c\0\x01"),
}


class Limits(NamedTuple):
    """How long an answer may be kept, in seconds: at least, at most, and at most what says that there is none."""

    ttl_floor: int = 0
    ttl_cap: int = 86_400
    negative_cap: int = 10_800


def read_answer(
    message: bytes, question: Question, ttl_floor: int = 0, ttl_cap: int = 86400, negative_cap: int = 10800
) -> Answer:
    """Return an upstream's answer to `question`, scrubbed: nothing beside the question's own chain becomes an answer.

    Positive answers keep the answer section (and, for DO, authority); negative ones their authority section; OPT and
    additional records never stay. TTLs are capped, those with the top bit set count as 0 (RFC 2181 8), negative ones go
    by the SOA (RFC 2308 5). Raises WireError when it is not an answer to this question, or can't be read.
    """
    if len(message) < 12:
        raise WireError("shorter than a header")
    flags, qdcount, ancount, nscount, arcount = _HEAD.unpack_from(message, 2)
    if not flags & 0x8000 or flags & 0x7800:
        raise WireError("not a response to a query")
    if qdcount != 1 or not matches(message, question):
        raise WireError("answers another question")
    if ancount + nscount + arcount > MAX_RECORDS:
        raise WireError("too many records")
    start = 12 + len(question.qname) + 4
    at = start
    rcode = flags & 15
    try:
        answers, at = read_records(message, at, ancount)
        after_answers = at
        authority, at = read_records(message, at, nscount)
        after_authority = at
        ede, ede_text, high = _read_opt(message, at, arcount)
    except (struct.error, IndexError):
        raise WireError("a record is cut off") from None
    rcode |= high << 4
    chain, kept = _follow(message, question, answers)
    found = any(r.rtype == question.qtype or question.qtype == wire.ANY for r in kept)
    soa = next((r for r in authority if r.rtype == wire.SOA and r.rclass == question.qclass), None)
    check_names(message, kept)
    if len(kept) != len(answers):  # foreign records among them: rebuilt from those on the chain alone
        return _rebuilt(message, question, kept, chain, rcode, ttl_floor, ttl_cap, ede, ede_text)
    keep_authority = question.do or not found
    records = answers
    if keep_authority and authority:
        check_names(message, authority)
        records = answers + authority
    end = after_authority if keep_authority else after_answers
    negative_ttl = None
    if not found and soa is not None:
        negative_ttl = min(_ttl(soa.ttl), _soa_minimum(message, soa), negative_cap)
    ttls = []
    changed = False
    before = start + 6
    for r in records:
        given = r.ttl
        if ttl_floor <= given <= ttl_cap and (negative_ttl is None or r is not soa):
            ttls.append((r.at - before, given))
            continue
        left = min(_ttl(given), ttl_cap)
        if r is soa and negative_ttl is not None:
            left = negative_ttl
        elif left and left < ttl_floor:
            left = ttl_floor
        changed = True
        ttls.append((r.at - before, left))
    ttl: int | None = min((t for _, t in ttls[: len(answers)]), default=None)
    if rcode == wire.NOERROR and found:
        keep = ttl or 0
    elif rcode in (wire.NOERROR, wire.NXDOMAIN) and negative_ttl is not None:
        keep = min(negative_ttl, ttl) if ttl is not None else negative_ttl
    else:
        keep = 0
    body = message[start:end]
    if changed:
        patched = bytearray(body)
        for offset, t in ttls:
            _TTL.pack_into(patched, offset, t)
        body = bytes(patched)
    addresses = _addresses(message, kept)
    return Answer(
        rcode,
        body,
        qname=question.qname,
        qtype=question.qtype,
        counts=(len(answers), len(authority) if keep_authority else 0, 0),
        ttls=tuple(ttls),
        ttl=ttl,
        keep=keep,
        ad=bool(flags & 0x0020),
        names=chain,
        addresses=addresses,
        ede=ede,
        ede_text=ede_text,
    )


def read_addresses(
    message: bytes, question: Question, ttl_floor: int = 0, ttl_cap: int = 86400, negative_cap: int = 0
) -> Answer | None:
    """Return the commonest answer, addresses of the very name that was asked and an OPT without options; else None.

    What it returns is what `read_answer` does, sooner; None says nothing about the message.
    """
    counts = _PLAIN_HEADS.get(message[2:12])
    if counts is None:
        return None
    qname, qtype, qclass, _, _, _ = question
    shape = _SHAPES.get(qtype)
    if shape is None or qclass != wire.IN:
        return None
    count, arcount, ad = counts
    start = 16 + len(qname)
    head, length, step, asked = shape
    if message[12:start] != qname + asked and not matches(message, question):
        return None
    end = start + count * step
    if len(message) != end + 11 * arcount:
        return None
    if arcount and (
        message[end : end + 3] != b"\0\0\x29" or message[end + 5] or message[end + 9 : end + 11] != b"\0\0"
    ):
        return None
    patched = None
    smallest = TTL_LIMIT
    for at in range(start, end, step):
        owner, ttl, size = _RECORD.unpack_from(message, at)
        if owner != head or size != length:
            return None
        if not ttl_floor <= ttl <= ttl_cap:
            left = min(_ttl(ttl), ttl_cap)
            ttl = ttl_floor if left and left < ttl_floor else left
            if patched is None:
                patched = bytearray(message)
            _TTL.pack_into(patched, at + 6, ttl)
        if ttl < smallest:
            smallest = ttl
    body = message[start:end] if patched is None else bytes(patched[start:end])
    return AddressAnswer(body, question, count, smallest, ad, None)


def matches(message: bytes, question: Question) -> bool:
    """Whether a response's question section is this question, whatever the letters' case (RFC 5452 9.1, 4343)."""
    end = 12 + len(question.qname)
    name = message[12:end]
    if name != question.qname and name.lower() != question.qname:
        return False
    return _TYPE_CLASS.unpack_from(message, end) == question[1:3] if len(message) >= end + 4 else False


def _ttl(ttl: int) -> int:
    return ttl if ttl <= TTL_LIMIT else 0


def _read_opt(message: bytes, at: int, count: int) -> tuple[int | None, str, int]:
    """Return (extended error, its text, upper bits of the rcode) of the OPT among the additional records."""
    for _ in range(count):
        at = wire.skip_name(message, at)
        rtype, _, ttl, size = _RR.unpack_from(message, at)
        at += 10
        if at + size > len(message):
            raise WireError("a record is cut off")
        if rtype == wire.OPT:
            end, here = at + size, at
            while here + 4 <= end:
                code, length = struct.unpack_from("!HH", message, here)
                here += 4
                if code == 15 and 2 <= length <= end - here:
                    text = message[here + 2 : here + length].decode("utf-8", "replace").rstrip("\0")
                    return int.from_bytes(message[here : here + 2]), text, ttl >> 24
                here += length
            return None, "", ttl >> 24
        at += size
    return None, "", 0


def _follow(message: bytes, question: Question, answers: list[Record]) -> tuple[tuple[bytes, ...], list[Record]]:
    """Return the names from the question along its CNAMEs, and the records that belong to them."""
    plain = (question.qname, question.qtype, question.qclass)
    if answers and all(r[:3] == plain for r in answers):
        return (question.qname,), answers
    aliases: dict[bytes, Record] = {}
    for r in answers:
        if r.rtype == wire.CNAME and r.rclass == question.qclass and r.name not in aliases:
            aliases[r.name] = r
    chain = [question.qname]
    if question.qtype not in (wire.CNAME, wire.ANY):
        while (alias := aliases.get(chain[-1])) is not None:
            target = wire.read_name(message, alias.at)[0].lower()
            if target in chain:
                break
            if len(chain) == MAX_CHAIN:
                raise WireError("a chain of too many CNAMEs")
            chain.append(target)
    names = set(chain)
    dnames = [r.name for r in answers if r.rtype == wire.DNAME and any(n.endswith(r.name) for n in names)]
    last = chain[-1]

    def belongs(r: Record) -> bool:
        if r.rclass != question.qclass:
            return False
        if r.rtype == wire.RRSIG:
            return r.name in names or r.name in dnames
        if r.rtype == wire.DNAME:
            return r.name in dnames
        if r.rtype == wire.CNAME:
            return r.name in names
        return r.name == last and (r.rtype == question.qtype or question.qtype == wire.ANY)

    return tuple(chain), [r for r in answers if belongs(r)]


def _addresses(message: bytes, records: list[Record]) -> tuple[bytes, ...]:
    found = []
    for r in records:
        if r.rtype == wire.A or r.rtype == wire.AAAA:
            if r.end - r.at != (4 if r.rtype == wire.A else 16):
                raise WireError("an address of the wrong length")
            found.append(message[r.at : r.end])
    return tuple(found)


def _soa_minimum(message: bytes, soa: Record) -> int:
    return _ttl(int.from_bytes(message[soa.end - 4 : soa.end])) if soa.end - soa.at >= 22 else 0


def _rebuilt(
    message: bytes,
    question: Question,
    kept: list[Record],
    chain: tuple[bytes, ...],
    rcode: int,
    floor: int,
    cap: int,
    ede: int | None,
    ede_text: str,
) -> Answer:
    rrs = []
    room = 0xFFFF
    for r in kept:
        ttl = min(_ttl(r.ttl), cap)
        rdata = plain_rdata(message, r)
        room -= len(rdata)
        if room < 0:
            raise WireError("too long without its compression")
        rrs.append((r.name, r.rtype, r.rclass, max(ttl, floor) if ttl else 0, rdata))
    answer = make_answer(question, rcode, rrs)
    answer.names = chain
    answer.keep = (answer.ttl or 0) if any(r.rtype == question.qtype for r in kept) else 0
    answer.ede, answer.ede_text = ede, ede_text
    return answer
