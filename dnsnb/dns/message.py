"""Answers: kept without ID and question, as bytes with the places of their TTLs; rendered for one asker.

No I/O; knows wire and records only.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from dnsnb.dns import wire
from dnsnb.dns.records import answer_texts, plain_rdata, sections
from dnsnb.dns.wire import Edns, Query, Question

UDP_LIMIT = 1232  # RFC 9715
ENCRYPTED = frozenset({"dot", "doh"})
PADDING, BLOCK = 12, 468  # RFC 7830, RFC 8467 4.1
KEEPALIVE, STREAMS = 11, frozenset({"tcp", "dot"})  # RFC 7828
IDLE_SECONDS = 10.0  # a connection on which nothing is asked for so long is closed

_RR = struct.Struct("!HHIH")
_TTL = struct.Struct("!I")
_HEAD = struct.Struct("!5H")
_OPT_HEAD = b"\0\0\x29" + UDP_LIMIT.to_bytes(2)
_OPT, _OPT_DO = _OPT_HEAD + bytes(6), _OPT_HEAD + b"\0\0\x80\0\0\0"


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

    def aged(self, age: int, fixed: int | None = None) -> bytes:
        """Return the body with each TTL lessened by `age` seconds (never below 0), or all of them `fixed`."""
        if not self.ttls or (age <= 0 and fixed is None):
            return self.body
        out = bytearray(self.body)
        for offset, ttl in self.ttls:
            left = ttl - age if ttl > age else 0
            _TTL.pack_into(out, offset, left if fixed is None else fixed)
        return bytes(out)


class AddressAnswer(Answer):
    """Addresses of the very name that was asked, each with a pointer to it: what is in the body is read when wanted."""

    __slots__ = ()
    ttl: int

    def __init__(self, body: bytes, question: Question, ancount: int, ttl: int, ad: bool, upstream: str | None) -> None:
        self.rcode = self.nscount = self.arcount = 0
        self.body = body
        self.qname = question.qname
        self.qtype = question.qtype
        self.ancount = ancount
        self.ttl = ttl
        self.keep = ttl
        self.ad = ad
        self.ede = None
        self.ede_text = ""
        self.upstream = upstream
        self._texts = None

    def texts(self) -> list[str]:
        """Return the addresses as text, made anew: of a million cached answers few are ever asked for twice."""
        if self.qtype != wire.A:
            return answer_texts(self)
        body = self.body
        if self.ancount == 1:
            a, b, c, d = body[12:]
            return [f"{a}.{b}.{c}.{d}"]
        return [".".join(map(str, body[at : at + 4])) for at in range(12, len(body), 16)]

    def aged(self, age: int, fixed: int | None = None) -> bytes:
        body = self.body
        if age <= 0 and fixed is None:
            return body
        if self.ancount == 1:
            ttl = self.ttl
            return body[:6] + _TTL.pack(fixed if fixed is not None else ttl - age if ttl > age else 0) + body[10:]
        return super().aged(age, fixed)

    @property
    def names(self) -> tuple[bytes, ...]:  # type: ignore[override]
        return (self.qname,)

    @property
    def ttls(self) -> tuple[tuple[int, int], ...]:  # type: ignore[override]
        body, step = self.body, len(self.body) // self.ancount
        return tuple((at, int.from_bytes(body[at : at + 4])) for at in range(6, len(body), step))

    @property
    def addresses(self) -> tuple[bytes, ...]:  # type: ignore[override]
        body, step = self.body, len(self.body) // self.ancount
        return tuple(body[at + 12 : at + step] for at in range(0, len(body), step))


def render(
    query: Query,
    answer: Answer,
    *,
    age: int = 0,
    fixed: int | None = None,
    transport: str = "udp",
    ede: int | None = None,
) -> bytes:
    """Return the whole reply to one asker: its ID and question, TTLs aged, OPT only if it sent one, cut to its size.

    Over UDP at most the size that the asker takes and never over 1232 octets (RFC 9715), elsewhere 65,535; what is
    longer has TC and no records (RFC 2181 9). An extended error (RFC 8914) goes out only with an OPT; padding only to
    who padded, and where it hides something (RFC 8467: DoT and DoH); how long a connection is kept, to who asks there
    (RFC 7828).
    """
    ident, asked_flags, asked, _, edns, _ = query
    body = answer.body if age <= 0 and fixed is None else answer.aged(age, fixed)
    opt = b""
    limit = 512
    rcode = answer.rcode
    if edns is not None:
        limit = min(max(512, edns.size), UDP_LIMIT)
        if ede is None and answer.ede is None and not edns.options and rcode < 16:
            opt = _OPT_DO if edns.do else _OPT
        else:
            opt = _opt(edns, answer, ede, transport, 12 + len(asked) + len(body))
    flags = 0x8080 | (asked_flags & 0x0110) | (rcode & 15)
    if answer.ad and query.wants_ad:
        flags |= 0x0020
    if 12 + len(asked) + len(body) + len(opt) > (limit if transport == "udp" else 0xFFFF):
        head = _HEAD.pack(flags | 0x0200, 1, 0, 0, 1 if opt else 0)
        return ident + head + asked + opt
    head = _HEAD.pack(flags, 1, answer.ancount, answer.nscount, answer.arcount + 1 if opt else answer.arcount)
    return b"".join((ident, head, asked, body, opt))


def _opt(edns: Edns, answer: Answer, ede: int | None, transport: str, plain: int) -> bytes:
    """Return the OPT record of a reply; `plain` octets stand before it."""
    code = ede if ede is not None else answer.ede
    options = b""
    if code is not None:
        text = answer.ede_text.encode()[:200].decode(errors="ignore").encode()  # no half of a letter
        options = struct.pack("!HHH", 15, 2 + len(text), code) + text
    if transport in STREAMS and any(option == KEEPALIVE for option, _ in edns.options):
        options += struct.pack("!HHH", KEEPALIVE, 2, int(IDLE_SECONDS * 10))
    if transport in ENCRYPTED and any(option == PADDING for option, _ in edns.options):
        plain += 11 + len(options) + 4
        missing = min(-plain % BLOCK, 0xFFFF - plain) if plain <= 0xFFFF else 0
        options += struct.pack("!HH", PADDING, missing) + bytes(missing)
    return _OPT_HEAD + struct.pack("!BBHH", answer.rcode >> 4, 0, 0x8000 if edns.do else 0, len(options)) + options


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
    message, _, authority = sections(answer)
    rrs = [(r.name, r.rtype, r.rclass, r.ttl, plain_rdata(message, r)) for r in authority if r.rtype == wire.SOA]
    return make_answer(question, answer.rcode, (), rrs)
