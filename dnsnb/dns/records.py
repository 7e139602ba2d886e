"""Records in a message: read, freed of compression, and shown as text. No I/O; knows wire only."""

from __future__ import annotations

import struct
from typing import Any, NamedTuple, Protocol

from dnsnb.dns import wire
from dnsnb.dns.svcb import svcb_text
from dnsnb.errors import WireError

_RR = struct.Struct("!HHIH")
_COUNTS = struct.Struct("!HHHH")
MAX_NAMES = 8_192  # octets of all the names that a message's pointers lead to
MAX_TEXT = 65_535  # octets of data that are shown


class Body(Protocol):
    """What an answer keeps of its message."""

    ancount: int
    nscount: int
    body: bytes
    qname: bytes
    qtype: int


class Record(NamedTuple):
    """One record as read: owner (wire, lower case), type, class, TTL, and where its data stands in the message."""

    name: bytes
    rtype: int
    rclass: int
    ttl: int
    at: int
    end: int


def read_records(message: bytes, at: int, count: int) -> tuple[list[Record], int]:
    """Return `count` records from an offset on, and the offset behind them; raises WireError or struct.error.

    Pointers to ever other places of long names are refused: each would be read anew.
    """
    records: list[Record] = []
    room = MAX_NAMES
    names: dict[int, bytes] = {}  # most owners are pointers to a name that was read before
    unpack, length = _RR.unpack_from, len(message)
    for _ in range(count):
        first = message[at]
        if first >= 0xC0:
            pointer = (first & 0x3F) << 8 | message[at + 1]
            name = names.get(pointer)
            if name is None:
                name = names[pointer] = wire.read_name(message, at)[0].lower()
                room -= len(name)
                if room < 0:
                    raise WireError("names that are too long without their compression")
            at += 2
        else:
            name, at = wire.read_name(message, at)
            name = name.lower()
        rtype, rclass, ttl, size = unpack(message, at)
        at += 10
        end = at + size
        if end > length:
            raise WireError("a record is cut off")
        records.append(Record(name, rtype, rclass, ttl, at, end))
        at = end
    return records, at


def sections(answer: Body) -> tuple[bytes, list[Record], list[Record]]:
    """Return an answer's records: the message that they stand in, the answer section, the authority section."""
    head = bytes(4) + _COUNTS.pack(1, answer.ancount, answer.nscount, 0)
    message = head + answer.qname + answer.qtype.to_bytes(2) + b"\0\1" + answer.body
    answers, at = read_records(message, 12 + len(answer.qname) + 4, answer.ancount)
    authority, _ = read_records(message, at, answer.nscount)
    return message, answers, authority


def check_names(message: bytes, records: list[Record]) -> None:
    """Raise WireError where data that names are in can't be read: it is not to be passed on."""
    known: dict[int, int] = {}  # where pointers lead -> the length of the name there, which is looked at once
    room = MAX_NAMES

    def behind(at: int) -> int:
        nonlocal room
        start = at
        while (label := message[at]) and label < 0xC0:
            if label > 63:
                raise WireError("a label of a type that is not in use")
            at += label + 1
        size, end = at + 1 - start, at + 1
        if label:
            pointer, end = (label & 0x3F) << 8 | message[at + 1], at + 2
            if pointer not in known:
                known[pointer] = len(wire.read_name(message, at)[0])
                room -= known[pointer]
            size += known[pointer] - 1
        if size > 255 or room < 0:
            raise WireError("a name that is too long without its compression")
        return end

    try:
        for r in records:
            if r.rtype in _NAME_FIRST:
                end = behind(r.at)
            elif r.rtype == wire.MX:
                end = behind(r.at + 2)
            elif r.rtype == wire.SOA:
                end = behind(behind(r.at)) + 20
            else:
                continue
            if end != r.end:
                raise WireError("a name that ends elsewhere than its record's data")
    except IndexError:
        raise WireError("a name is cut off") from None


_NAME_FIRST = frozenset({wire.NS, 3, 4, wire.CNAME, 7, 8, 9, wire.PTR, wire.DNAME})


def plain_rdata(message: bytes, r: Record) -> bytes:
    """Return a record's data with its names uncompressed (only the types of RFC 1035 may be compressed: RFC 3597 4)."""
    if r.rtype in _NAME_FIRST:
        return wire.read_name(message, r.at)[0]
    if r.rtype == wire.MX:
        return message[r.at : r.at + 2] + wire.read_name(message, r.at + 2)[0]
    if r.rtype == wire.SOA:
        first, at = wire.read_name(message, r.at)
        second, at = wire.read_name(message, at)
        return first + second + message[at : r.end]
    return message[r.at : r.end]


def answer_texts(answer: Body) -> list[str]:
    """Return the data of an answer's answer section as text, escaped; what can't be shown is given as RFC 3597 does."""
    if not answer.ancount:
        return []
    try:
        message, records, _ = sections(answer)
    except (WireError, struct.error, IndexError):
        return []
    texts, room = [], MAX_TEXT
    for r in records:
        rdata = plain_rdata_or_raw(message, r)
        room -= len(rdata)
        if room < 0:  # names that grow a hundredfold without their compression
            break
        texts.append(rdata_text(r.rtype, rdata))
    return texts


def plain_rdata_or_raw(message: bytes, r: Record) -> bytes:
    """As `plain_rdata`, but the raw bytes where names in it can't be read."""
    try:
        return plain_rdata(message, r)
    except WireError:
        return message[r.at : r.end]


def rdata_text(rtype: int, rdata: bytes) -> str:
    """Return record data (uncompressed) as one line of printable ASCII, never raising."""
    try:
        maker: Any = _TEXTS.get(rtype)
        if maker is not None:
            return str(maker(rdata))
    except (IndexError, ValueError, WireError, struct.error):
        pass
    return f"\\# {len(rdata)} {rdata.hex()}".rstrip()


def _strings(rdata: bytes) -> str:
    parts = []
    at = 0
    while at < len(rdata):
        piece = rdata[at + 1 : at + 1 + rdata[at]]
        shown = "".join(chr(c) if 32 <= c <= 126 and c not in (34, 92) else f"\\{c:03d}" for c in piece)
        parts.append(f'"{shown}"')
        at += 1 + rdata[at]
    return " ".join(parts)


def _name(rdata: bytes) -> str:
    return wire.name_to_text(wire.read_name(bytes(12) + rdata, 12)[0])


def _v4(rdata: bytes) -> str:
    a, b, c, d = rdata
    return f"{a}.{b}.{c}.{d}"


def _v6(rdata: bytes) -> str:
    import ipaddress

    return str(ipaddress.IPv6Address(rdata))


def _soa(rdata: bytes) -> str:
    message = bytes(12) + rdata
    first, at = wire.read_name(message, 12)
    second, at = wire.read_name(message, at)
    numbers = struct.unpack_from("!5I", message, at)
    return " ".join([wire.name_to_text(first), wire.name_to_text(second), *map(str, numbers)])


def _srv(rdata: bytes) -> str:
    return " ".join([*map(str, struct.unpack_from("!3H", rdata)), _name(rdata[6:])])


def _caa(rdata: bytes) -> str:
    size = rdata[1]
    tag = "".join(c for c in rdata[2 : 2 + size].decode("ascii", "replace") if c.isalnum())
    return f"{rdata[0]} {tag} {_strings(bytes([len(rdata) - 2 - size]) + rdata[2 + size :])}"


_TEXTS: dict[int, Any] = {
    wire.A: _v4,
    wire.AAAA: _v6,
    wire.NS: _name,
    wire.CNAME: _name,
    wire.PTR: _name,
    wire.DNAME: _name,
    wire.MX: lambda rdata: f"{int.from_bytes(rdata[:2])} {_name(rdata[2:])}",
    wire.TXT: _strings,
    99: _strings,
    wire.HINFO: _strings,
    wire.SOA: _soa,
    wire.SRV: _srv,
    64: svcb_text,
    wire.HTTPS: svcb_text,
    257: _caa,
}
