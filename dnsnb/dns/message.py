"""Answers: read from an upstream's bytes and scrubbed, made by ourselves, and rendered for one asker.

No I/O; knows wire only. An answer is kept without ID and question, as bytes with the places of its TTLs.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any, NamedTuple

from dnsnb.dns import wire
from dnsnb.dns.wire import Query, Question
from dnsnb.errors import WireError

MAX_CHAIN = 17
MAX_RECORDS = 8192
UDP_LIMIT = 1232  # RFC 9715
TTL_LIMIT = 0x7FFFFFFF

_RR = struct.Struct("!HHIH")
_TTL = struct.Struct("!I")
_COUNTS = struct.Struct("!HHHH")
OPT_PLAIN = b"\0\0\x29" + UDP_LIMIT.to_bytes(2) + bytes(6)
_OPT_HEAD = b"\0\0\x29" + UDP_LIMIT.to_bytes(2)


class Answer:
    """A reply without ID and question. `body` follows a question section of the same length, pointers into it included.

    `ttls` are (offset in body, seconds) pairs; `names` the CNAME chain from the question on (wire, lower case);
    `keep` the seconds that a cache may hold it (0: not at all); `addresses` the A and AAAA data in it.
    """

    __slots__ = (
        "_texts", "ad", "addresses", "ancount", "arcount", "body", "ede", "ede_text", "keep", "names", "nscount",
        "qname", "qtype", "rcode", "ttl", "ttls", "upstream",
    )  # fmt: skip

    def __init__(
        self,
        rcode: int,
        body: bytes = b"",
        *,
        qname: bytes = b"\0",
        qtype: int = 0,
        counts: tuple[int, int, int] = (0, 0, 0),
        ttls: tuple[tuple[int, int], ...] = (),
        ttl: int | None = None,
        keep: int = 0,
        ad: bool = False,
        names: tuple[bytes, ...] = (),
        addresses: tuple[bytes, ...] = (),
        ede: int | None = None,
        ede_text: str = "",
        upstream: str | None = None,
    ) -> None:
        self.rcode = rcode
        self.body = body
        self.qname = qname
        self.qtype = qtype
        self.ancount, self.nscount, self.arcount = counts
        self.ttls = ttls
        self.ttl = ttl
        self.keep = keep
        self.ad = ad
        self.names = names
        self.addresses = addresses
        self.ede = ede
        self.ede_text = ede_text
        self.upstream = upstream
        self._texts: list[str] | None = None

    @property
    def negative(self) -> bool:
        """Whether it says that there is no such name, or nothing of that type."""
        return self.rcode == wire.NXDOMAIN or (self.rcode == wire.NOERROR and self.ttl is None)

    def texts(self) -> list[str]:
        """Return the data of the answer section as text; made once, off the query path."""
        if self._texts is None:
            self._texts = answer_texts(self)
        return self._texts

    def aged(self, age: int, cap: int | None = None) -> bytes:
        """Return the body with each TTL lessened by `age` seconds (never below 0), and not above `cap`."""
        if not self.ttls or (age <= 0 and cap is None):
            return self.body
        out = bytearray(self.body)
        for offset, ttl in self.ttls:
            left = ttl - age if ttl > age else 0
            _TTL.pack_into(out, offset, left if cap is None or left < cap else cap)
        return bytes(out)


def render(
    query: Query,
    answer: Answer,
    *,
    age: int = 0,
    cap: int | None = None,
    udp: bool = True,
    ede: int | None = None,
    ede_text: str = "",
) -> bytes:
    """Return the whole reply to one asker: its ID and question, TTLs aged, OPT only if it sent one, cut to its size.

    Over UDP at most the size that the asker takes and never over 1232 octets (RFC 9715); what is longer has TC and no
    records (RFC 2181 9). An extended error (RFC 8914) goes out only with an OPT.
    """
    body = answer.aged(age, cap)
    opt = b""
    edns = query.edns
    if edns is not None:
        code = ede if ede is not None else answer.ede
        options = b""
        if code is not None:
            text = (ede_text or answer.ede_text).encode()[:200]
            options = struct.pack("!HHH", 15, 2 + len(text), code) + text
        opt = _OPT_HEAD + struct.pack("!BBHH", answer.rcode >> 4, 0, 0x8000 if edns.do else 0, len(options)) + options
    flags = 0x8080 | (query.flags & 0x0110) | (answer.rcode & 15)
    if answer.ad and query.wants_ad:
        flags |= 0x0020
    counts = (1, answer.ancount, answer.nscount, answer.arcount + (1 if opt else 0))
    if udp:
        limit = min(max(512, edns.size), UDP_LIMIT) if edns is not None else 512
        if 12 + len(query.asked) + len(body) + len(opt) > limit:
            flags |= 0x0200
            body = b""
            counts = (1, 0, 0, 1 if opt else 0)
    return query.id + flags.to_bytes(2) + _COUNTS.pack(*counts) + query.asked + body + opt


class Record(NamedTuple):
    """One record as read: owner (wire, lower case), type, class, TTL, and where its data stands in the message."""

    name: bytes
    rtype: int
    rclass: int
    ttl: int
    at: int
    end: int


def read_answer(
    message: bytes, question: Question, *, ttl_floor: int = 0, ttl_cap: int = 86400, negative_cap: int = 10800
) -> Answer:
    """Return an upstream's answer to `question`, scrubbed: nothing beside the question's own chain becomes an answer.

    Positive answers keep the answer section (and, for DO, authority); negative ones their authority section; OPT and
    additional records never stay. TTLs are capped, those with the top bit set count as 0 (RFC 2181 8), negative ones go
    by the SOA (RFC 2308 5). Raises WireError when it is not an answer to this question, or can't be read.
    """
    if len(message) < 12:
        raise WireError("shorter than a header")
    flags, qdcount, ancount, nscount, arcount = struct.unpack_from("!5H", message, 2)
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
        answers, at = _read_records(message, at, ancount)
        after_answers = at
        authority, at = _read_records(message, at, nscount)
        after_authority = at
        ede, ede_text, high = _read_opt(message, at, arcount)
    except (struct.error, IndexError):
        raise WireError("a record is cut off") from None
    rcode |= high << 4
    chain, kept = _follow(message, question, answers)
    found = any(r.rtype == question.qtype or question.qtype == wire.ANY for r in kept)
    soa = next((r for r in authority if r.rtype == wire.SOA and r.rclass == question.qclass), None)
    if len(kept) != len(answers):  # foreign records among them: rebuilt from those on the chain alone
        return _rebuilt(message, question, kept, chain, rcode, ttl_floor, ttl_cap, ede, ede_text)
    keep_authority = question.do or not found
    records = answers + (authority if keep_authority else [])
    end = after_authority if keep_authority else after_answers
    negative_ttl = None
    if not found and soa is not None:
        negative_ttl = min(_ttl(soa.ttl), _soa_minimum(message, soa), negative_cap)
    ttls = []
    for r in records:
        left = min(_ttl(r.ttl), ttl_cap)
        if r is soa and negative_ttl is not None:
            left = negative_ttl
        elif left and left < ttl_floor:
            left = ttl_floor
        ttls.append((r.at - 6 - start, left))
    ttl: int | None = min((t for _, t in ttls[: len(answers)]), default=None)
    if rcode == wire.NOERROR and found:
        keep = ttl or 0
    elif rcode in (wire.NOERROR, wire.NXDOMAIN) and negative_ttl is not None:
        keep = min(negative_ttl, ttl) if ttl is not None else negative_ttl
    else:
        keep = 0
    body = message[start:end]
    if any(message[r.at - 6 : r.at - 2] != t.to_bytes(4) for (_, t), r in zip(ttls, records, strict=True)):
        patched = bytearray(body)
        for offset, t in ttls:
            _TTL.pack_into(patched, offset, t)
        body = bytes(patched)
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
        addresses=tuple(message[r.at : r.end] for r in kept if r.rtype in (wire.A, wire.AAAA)),
        ede=ede,
        ede_text=ede_text,
    )


def matches(message: bytes, question: Question) -> bool:
    """Whether a response's question section is this question, whatever the letters' case (RFC 5452 9.1, 4343)."""
    end = 12 + len(question.qname)
    if message[12:end].lower() != question.qname:
        return False
    return message[end : end + 4] == question.qtype.to_bytes(2) + question.qclass.to_bytes(2)


def _ttl(ttl: int) -> int:
    return ttl if ttl <= TTL_LIMIT else 0


def _read_records(message: bytes, at: int, count: int) -> tuple[list[Record], int]:
    records = []
    for _ in range(count):
        name, at = wire.read_name(message, at)
        rtype, rclass, ttl, size = _RR.unpack_from(message, at)
        at += 10
        end = at + size
        if end > len(message):
            raise WireError("a record is cut off")
        records.append(Record(name.lower(), rtype, rclass, ttl, at, end))
        at = end
    return records, at


def _read_opt(message: bytes, at: int, count: int) -> tuple[int | None, str, int]:
    """Return (extended error, its text, upper bits of the rcode) of the OPT among the additional records."""
    for _ in range(count):
        _, at = wire.read_name(message, at)
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
    if len(answers) == 1 and answers[0].name == question.qname and answers[0].rtype == question.qtype:
        return (question.qname,), answers
    aliases: dict[bytes, bytes] = {}
    for r in answers:
        if r.rtype == wire.CNAME and r.rclass == question.qclass and r.name not in aliases:
            aliases[r.name] = wire.read_name(message, r.at)[0].lower()
    chain = [question.qname]
    if question.qtype not in (wire.CNAME, wire.ANY):
        while (target := aliases.get(chain[-1])) is not None and target not in chain:
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
    for r in kept:
        ttl = min(_ttl(r.ttl), cap)
        rrs.append((r.name, r.rtype, r.rclass, max(ttl, floor) if ttl else 0, plain_rdata(message, r)))
    answer = make_answer(question, rcode, rrs)
    answer.names = chain
    answer.keep = (answer.ttl or 0) if any(r.rtype == question.qtype for r in kept) else 0
    answer.ede, answer.ede_text = ede, ede_text
    return answer


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


def make_answer(
    question: Question,
    rcode: int,
    answers: Iterable[tuple[bytes, int, int, int, bytes]] = (),
    authority: Iterable[tuple[bytes, int, int, int, bytes]] = (),
    *,
    ede: int | None = None,
    ede_text: str = "",
) -> Answer:
    """Return an answer of our own from records (owner, type, class, TTL, uncompressed rdata)."""
    out = bytearray()
    ttls: list[tuple[int, int]] = []
    counts = [0, 0]
    addresses = []
    smallest: int | None = None
    for section, records in enumerate((answers, authority)):
        for name, rtype, rclass, ttl, rdata in records:
            out += b"\xc0\x0c" if name == question.qname else name
            ttls.append((len(out) + 4, ttl))
            out += _RR.pack(rtype, rclass, ttl, len(rdata)) + rdata
            counts[section] += 1
            if section == 0:
                smallest = ttl if smallest is None else min(smallest, ttl)
                if rtype in (wire.A, wire.AAAA):
                    addresses.append(bytes(rdata))
    return Answer(
        rcode,
        bytes(out),
        qname=question.qname,
        qtype=question.qtype,
        counts=(counts[0], counts[1], 0),
        ttls=tuple(ttls),
        ttl=smallest,
        names=(question.qname,),
        addresses=tuple(addresses),
        ede=ede,
        ede_text=ede_text,
    )


def reframed(answer: Answer, question: Question) -> Answer:
    """Return a negative answer to one name as the answer to another: its pointers would point astray there."""
    head = bytes(4) + _COUNTS.pack(1, answer.ancount, answer.nscount, 0)
    message = head + answer.qname + answer.qtype.to_bytes(2) + b"\0\1" + answer.body
    _, at = _read_records(message, 12 + len(answer.qname) + 4, answer.ancount)
    authority, _ = _read_records(message, at, answer.nscount)
    rrs = [(r.name, r.rtype, r.rclass, r.ttl, plain_rdata(message, r)) for r in authority if r.rtype == wire.SOA]
    return make_answer(question, answer.rcode, (), rrs)


def answer_texts(answer: Answer) -> list[str]:
    """Return the data of an answer's answer section as text, escaped; what can't be shown is given as RFC 3597 does."""
    if not answer.ancount:
        return []
    head = bytes(4) + _COUNTS.pack(1, answer.ancount, 0, 0)
    message = head + answer.qname + answer.qtype.to_bytes(2) + b"\0\1" + answer.body
    try:
        records, _ = _read_records(message, 12 + len(answer.qname) + 4, answer.ancount)
    except (WireError, struct.error, IndexError):
        return []
    return [rdata_text(r.rtype, plain_rdata_or_raw(message, r)) for r in records]


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


def _svcb(rdata: bytes) -> str:
    from dnsnb.dns.svcb import svcb_text

    return svcb_text(rdata)


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
    64: _svcb,
    wire.HTTPS: _svcb,
    257: _caa,
}
