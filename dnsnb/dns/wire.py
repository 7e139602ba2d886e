"""DNS messages as bytes: the checks before anything is parsed, names, questions, OPT, and the texts of numbers.

No I/O; knows errors and nametext. Every function is linear in the message and raises WireError alone.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from dnsnb.dns.nametext import name_to_text as name_to_text  # noqa: PLC0414 - to be had here too
from dnsnb.dns.nametext import text_to_name as text_to_name  # noqa: PLC0414 - to be had here too
from dnsnb.errors import WireError

NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED, BADVERS = 0, 1, 2, 3, 4, 5, 16
A, NS, CNAME, SOA, PTR, HINFO, MX, TXT, AAAA, SRV, DNAME, OPT, DS, RRSIG, HTTPS, IXFR, AXFR, ANY = (
    1, 2, 5, 6, 12, 13, 15, 16, 28, 33, 39, 41, 43, 46, 65, 251, 252, 255,
)  # fmt: skip
IN, CH = 1, 3

# fmt: off
QTYPES: dict[int, str] = {
    1: "A", 2: "NS", 3: "MD", 4: "MF", 5: "CNAME", 6: "SOA", 7: "MB", 8: "MG", 9: "MR", 10: "NULL", 11: "WKS",
    12: "PTR", 13: "HINFO", 14: "MINFO", 15: "MX", 16: "TXT", 17: "RP", 18: "AFSDB", 19: "X25", 20: "ISDN", 21: "RT",
    22: "NSAP", 23: "NSAP-PTR", 24: "SIG", 25: "KEY", 26: "PX", 27: "GPOS", 28: "AAAA", 29: "LOC", 30: "NXT",
    31: "EID", 32: "NIMLOC", 33: "SRV", 34: "ATMA", 35: "NAPTR", 36: "KX", 37: "CERT", 38: "A6", 39: "DNAME",
    40: "SINK", 41: "OPT", 42: "APL", 43: "DS", 44: "SSHFP", 45: "IPSECKEY", 46: "RRSIG", 47: "NSEC", 48: "DNSKEY",
    49: "DHCID", 50: "NSEC3", 51: "NSEC3PARAM", 52: "TLSA", 53: "SMIMEA", 55: "HIP", 56: "NINFO", 57: "RKEY",
    58: "TALINK", 59: "CDS", 60: "CDNSKEY", 61: "OPENPGPKEY", 62: "CSYNC", 63: "ZONEMD", 64: "SVCB", 65: "HTTPS",
    66: "DSYNC", 99: "SPF", 100: "UINFO", 101: "UID", 102: "GID", 103: "UNSPEC", 104: "NID", 105: "L32", 106: "L64",
    107: "LP", 108: "EUI48", 109: "EUI64", 128: "NXNAME", 249: "TKEY", 250: "TSIG", 251: "IXFR", 252: "AXFR",
    253: "MAILB", 254: "MAILA", 255: "ANY", 256: "URI", 257: "CAA", 258: "AVC", 259: "DOA", 260: "AMTRELAY",
    261: "RESINFO", 262: "WALLET", 263: "CLA", 264: "IPN", 32768: "TA", 32769: "DLV",
}
RCODES: dict[int, str] = {
    0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED", 6: "YXDOMAIN", 7: "YXRRSET",
    8: "NXRRSET", 9: "NOTAUTH", 10: "NOTZONE", 11: "DSOTYPENI", 16: "BADVERS", 17: "BADKEY", 18: "BADTIME",
    19: "BADMODE", 20: "BADNAME", 21: "BADALG", 22: "BADTRUNC", 23: "BADCOOKIE",
}
# fmt: on
QCLASSES: dict[int, str] = {1: "IN", 3: "CH", 4: "HS", 254: "NONE", 255: "ANY"}
_QTYPE_NUMBERS = {text: number for number, text in QTYPES.items()}

_HEADER = struct.Struct("!HHHHHH")
_RR = struct.Struct("!HHIH")
_QUESTION = struct.Struct("!HH")
MAX_RECORDS_IN_QUERY = 2  # an OPT, and a TSIG that we don't check
MAX_OPTIONS = 32
MAX_PLAIN_OPTS = 256
MAX_TAILS = 8192
MAX_POINTERS = 20  # in a name; encoders make one, or one for each name that it is below
#: Flags and counts of what nearly everybody asks: RD, perhaps AD and CD, one question, perhaps an OPT.
_PLAIN_HEADS = frozenset(b"\1" + bytes((low, 0, 1, 0, 0, 0, 0, 0, n)) for low in (0, 16, 32, 48) for n in (0, 1))
_new = tuple.__new__  # a named tuple's own constructor costs three times as much


class Question(NamedTuple):
    """What is asked, the key of the cache: wire name in lower case, type, class, DNSSEC OK, checking disabled.

    `view` names the upstreams of the asker's group, where it has its own: their answers are for nobody else.
    """

    qname: bytes
    qtype: int
    qclass: int
    do: bool
    cd: bool
    view: str = ""


class Edns(NamedTuple):
    """The OPT record of a query: payload size that the asker takes, the DO bit, options as (code, data)."""

    size: int
    do: bool
    options: tuple[tuple[int, bytes], ...]


_plain_opts: dict[bytes, Edns] = {}  # OPT records without options, by their bytes


class Query(NamedTuple):
    """A well-formed query. `asked` is its question section to the letter (the asker's case), to be echoed."""

    id: bytes
    flags: int
    asked: bytes
    question: Question
    edns: Edns | None
    size: int

    @property
    def rd(self) -> bool:
        return bool(self.flags & 0x0100)

    @property
    def wants_ad(self) -> bool:
        """AD is told to askers who set it, or DO (RFC 6840 5.7)."""
        return bool(self.flags & 0x0020) or self.question.do


class BadQuery(Exception):  # noqa: N818 - an answer, not an error: `reply` is what to send, b"" for silence
    """A message that is no query that we serve. `reply` is the whole answer, or b"" for silence."""

    def __init__(self, reply: bytes) -> None:
        self.reply = reply


def read_query(wire: bytes, *, plain: bool = True) -> Query:
    """Return the query in a message, or raise BadQuery with the answer that the RFCs ask for.

    Responses are dropped (RFC 8906); other opcodes get NOTIMP; what can't be read FORMERR (RFC 1035 4.1.1, 9619);
    EDNS versions above 0 BADVERS (RFC 6891 6.1.3).
    """
    length = len(wire)
    if length < 12:
        raise BadQuery(b"")
    if plain and wire[2:12] in _PLAIN_HEADS:
        query = _read_plain(wire, length)
        if query is not None:
            return query
    _, flags, qdcount, ancount, nscount, arcount = _HEADER.unpack_from(wire)
    if flags & 0x8000:
        raise BadQuery(b"")
    if flags & 0x7800:
        raise BadQuery(error_reply(wire, NOTIMP))
    if qdcount != 1 or ancount or nscount or arcount > MAX_RECORDS_IN_QUERY:
        raise BadQuery(error_reply(wire, FORMERR))
    at = 12
    try:
        while label := wire[at]:
            if label > 63:  # pointers have nothing to point at here, and other label types are gone (RFC 6891 5)
                raise BadQuery(error_reply(wire, FORMERR))
            at += label + 1
        at += 1
        if at > 12 + 255 or at + 4 > length:
            raise BadQuery(error_reply(wire, FORMERR))
        qtype, qclass = _QUESTION.unpack_from(wire, at)
        end = at + 4
        edns = None
        rest = end
        for _ in range(arcount):
            root = wire[rest] == 0
            rest = skip_name(wire, rest)
            rtype, size, ttl, rdlength = _RR.unpack_from(wire, rest)
            rest += 10
            if rest + rdlength > length:
                raise BadQuery(error_reply(wire, FORMERR))
            if rtype == OPT:
                if edns is not None or not root:
                    raise BadQuery(error_reply(wire, FORMERR))
                options = _read_options(wire, rest, rdlength)
                if ttl & 0x00FF0000:
                    raise BadQuery(_badvers(wire, end))
                edns = Edns(size, bool(ttl & 0x8000), options)
                if not options and rest - 11 == end and rest == length:
                    if len(_plain_opts) >= MAX_PLAIN_OPTS:
                        _plain_opts.clear()
                    _plain_opts[wire[end:]] = edns
            rest += rdlength
    except (IndexError, struct.error, WireError):
        raise BadQuery(error_reply(wire, FORMERR)) from None
    question = Question(wire[12:at].lower(), qtype, qclass, edns is not None and edns.do, bool(flags & 0x0010))
    return Query(wire[:2], flags, wire[12:end], question, edns, length)


def _read_plain(wire: bytes, length: int) -> Query | None:
    """Read the commonest query: one question, and no OPT or one without options that was seen before; else None."""
    at = 12
    try:
        while label := wire[at]:
            if label > 63 or at > 266:
                return None
            at += label + 1
    except IndexError:
        return None
    end = at + 5
    if at > 266 or end > length:
        return None
    edns = None
    if wire[11]:
        edns = _plain_opts.get(wire[end:])
        if edns is None:
            return None
    qtype, qclass = _QUESTION.unpack_from(wire, at + 1)
    high, low = wire[2], wire[3]
    do = edns is not None and edns.do
    question = _new(Question, (wire[12 : at + 1].lower(), qtype, qclass, do, low & 0x10 != 0, ""))
    return _new(Query, (wire[:2], high << 8 | low, wire[12:end], question, edns, length))


def error_reply(wire: bytes, rcode: int) -> bytes:
    """Return a bare header that answers a message with an error: same ID, opcode and RD, all counts 0."""
    flags = int.from_bytes(wire[2:4])
    return wire[:2] + (0x8000 | (flags & 0x7900) | rcode).to_bytes(2) + bytes(8)


def _badvers(wire: bytes, end: int) -> bytes:
    flags = 0x8000 | (int.from_bytes(wire[2:4]) & 0x0100)
    opt = b"\0\0\x29\x04\xd0\x01\0\0\0\0\0"  # extended rcode 1: BADVERS is 16
    return wire[:2] + flags.to_bytes(2) + b"\0\1\0\0\0\0\0\1" + wire[12:end] + opt


def _read_options(wire: bytes, at: int, length: int) -> tuple[tuple[int, bytes], ...]:
    end = at + length
    found: list[tuple[int, bytes]] = []
    while at < end:
        if at + 4 > end or len(found) == MAX_OPTIONS:
            raise WireError("an EDNS option is cut off, or there are too many")
        code, size = _QUESTION.unpack_from(wire, at)
        at += 4
        if at + size > end:
            raise WireError("an EDNS option is longer than its record")
        found.append((code, wire[at : at + size]))
        at += size
    return tuple(found)


def skip_name(wire: bytes, at: int) -> int:
    """Return the offset behind a name, wherever it leads; raises WireError or IndexError."""
    while True:
        label = wire[at]
        if label == 0:
            return at + 1
        if label >= 0xC0:
            if at + 2 > len(wire):
                raise WireError("a name is cut off")
            return at + 2
        if label > 63:
            raise WireError("a label of a type that is not in use")
        at += label + 1


def read_name(wire: bytes, at: int) -> tuple[bytes, int]:
    """Return the name at an offset, uncompressed, in its own case, and the offset behind it.

    Pointers must point backwards, so a loop can't be (RFC 9267 2), and be few: a chain costs every reader of its end
    (CVE-2024-8508). Raises WireError.
    """
    labels: list[bytes] = []
    total = 1
    behind = -1
    limit = at
    hops = 0
    try:
        while True:
            label = wire[at]
            if label == 0:
                if behind < 0:
                    behind = at + 1
                return b"".join(labels) + b"\0", behind
            if label >= 0xC0:
                target = (label & 0x3F) << 8 | wire[at + 1]
                if behind < 0:
                    behind = at + 2
                if target >= limit or target < 12:
                    raise WireError("a compression pointer does not point backwards")
                hops += 1
                if hops > MAX_POINTERS:
                    raise WireError("a name of too many compression pointers")
                at = limit = target
                continue
            if label > 63:
                raise WireError("a label of a type that is not in use")
            total += label + 1
            if total > 255:
                raise WireError("a name of more than 255 octets")
            end = at + 1 + label
            if end > len(wire):
                raise WireError("a name is cut off")
            labels.append(wire[at:end])
            at = end
    except IndexError:
        raise WireError("a name is cut off") from None


def qtype_text(qtype: int) -> str:
    """Return a type as text: ``AAAA``, or ``TYPE65280`` (RFC 3597)."""
    return QTYPES.get(qtype) or f"TYPE{qtype}"


def qtype_number(text: str) -> int:
    """Return a type given as text (``aaaa``, ``TYPE65280``, ``28``); raises WireError."""
    upper = text.strip().upper()
    number = _QTYPE_NUMBERS.get(upper)
    if number is None:
        digits = upper.removeprefix("TYPE")
        number = int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 6 else -1
    if not 0 <= number <= 65535:
        raise WireError(f"{text!r} is no DNS type; write such as A, AAAA, HTTPS or TYPE65280")
    return number


def qclass_text(qclass: int) -> str:
    """Return a class as text: ``IN``, or ``CLASS32`` (RFC 3597)."""
    return QCLASSES.get(qclass) or f"CLASS{qclass}"


def rcode_text(rcode: int) -> str:
    """Return an rcode as text: ``NXDOMAIN``, or ``RCODE12``."""
    return RCODES.get(rcode) or f"RCODE{rcode}"


def make_query(
    qname: bytes, qtype: int, *, qclass: int = IN, do: bool = False, cd: bool = False, ad: bool = True
) -> bytes:
    """Return a query message with ID 0, RD set and an OPT (payload 1232, RFC 9715) that carries no options."""
    tail = _tails.get((qtype, qclass, do))
    if tail is None:
        if len(_tails) >= MAX_TAILS:
            _tails.clear()
        tail = _tails[qtype, qclass, do] = _QUESTION.pack(qtype, qclass) + (_OPT_DO if do else _OPT)
    if ad and not cd:
        return _AD_HEAD + qname + tail
    flags = 0x0100 | (0x0020 if ad else 0) | (0x0010 if cd else 0)
    return _HEADER.pack(0, flags, 1, 0, 0, 1) + qname + tail


def without_opt(query: bytes) -> bytes:
    """Return what `make_query` made without its OPT, for servers that know no EDNS (RFC 6891 7)."""
    return query[:10] + b"\0\0" + query[12:-11] if query[11] else query


_tails: dict[tuple[int, int, bool], bytes] = {}
_AD_HEAD = _HEADER.pack(0, 0x0120, 1, 0, 0, 1)
_OPT, _OPT_DO = b"\0\0\x29\x04\xd0\0\0\0\0\0\0", b"\0\0\x29\x04\xd0\0\0\x80\0\0\0"
