"""Names that never leave the house: answered here as RFC 6303, 6761, 6762, 7686, 8375 and 9462 ask.

No I/O; knows wire and message. `SPECIAL_USE` is the whole table, and the place where we say what we do otherwise.
"""

from __future__ import annotations

from collections.abc import Container

from dnsnb.dns import wire
from dnsnb.dns.message import Answer, make_answer
from dnsnb.dns.wire import Question, text_to_name

TTL = 3600

#: name -> (what is done with it and all below, why). "address": loopback addresses; "nxdomain"; "nodata".
SPECIAL_USE: dict[str, tuple[str, str]] = {
    "localhost": ("address", "RFC 6761 6.3"),
    "invalid": ("nxdomain", "RFC 6761 6.4"),
    "local": ("nxdomain", "RFC 6762 22.1: for multicast DNS alone"),
    "onion": ("nxdomain", "RFC 7686 2"),
    "home.arpa": ("nxdomain", "RFC 8375 4: the home's own names are not for public resolvers"),
    "resolver.arpa": ("nodata", "RFC 9462 4: discovery of designated resolvers is not offered"),
    "test": ("forward", "RFC 6761 6.2 asks for NXDOMAIN; laboratories run on it, and a public resolver says so too"),
    "example": ("forward", "RFC 6761 6.5: no special treatment"),
    "use-application-dns.net": ("forward", "Firefox's canary is the operator's to set: block it by list"),
}
# RFC 6303 4 and RFC 1918 space; RFC 6598 shared space
_REVERSE = (
    "0.in-addr.arpa", "127.in-addr.arpa", "254.169.in-addr.arpa", "2.0.192.in-addr.arpa", "100.51.198.in-addr.arpa",
    "113.0.203.in-addr.arpa", "255.255.255.255.in-addr.arpa", "10.in-addr.arpa", "168.192.in-addr.arpa",
    *(f"{n}.172.in-addr.arpa" for n in range(16, 32)), *(f"{n}.100.in-addr.arpa" for n in range(64, 128)),
    ".".join("0" * 32) + ".ip6.arpa", "1." + ".".join("0" * 31) + ".ip6.arpa", "d.f.ip6.arpa",
    "8.e.f.ip6.arpa", "9.e.f.ip6.arpa", "a.e.f.ip6.arpa", "b.e.f.ip6.arpa", "8.b.d.0.1.0.0.2.ip6.arpa",
)  # fmt: skip

#: what ends here unless it has an upstream of its own, but for what leads to this machine
INNER = tuple(n for n, (do, _) in SPECIAL_USE.items() if do in ("nxdomain", "nodata")) + tuple(
    n for n in _REVERSE if not n.startswith(("127.", "1.0."))
)

_TABLE: dict[bytes, str] = {text_to_name(n): do for n, (do, _) in SPECIAL_USE.items() if do != "forward"}
_TABLE |= {text_to_name(n): "nxdomain" for n in _REVERSE}
_LOOPBACK = {text_to_name("1.0.0.127.in-addr.arpa"), text_to_name("1." + ".".join("0" * 31) + ".ip6.arpa")}
#: names that have no records, but one below them has: they are there (RFC 8020 2.1)
_BETWEEN = {text_to_name("0.127.in-addr.arpa"), text_to_name("0.0.127.in-addr.arpa")}
_LOCALHOST = text_to_name("localhost")
_ARPA = b"\x04arpa\0"
_LENGTHS = frozenset(map(len, _TABLE))


def _last_label(name: bytes) -> bytes:
    at = 0
    while name[at + name[at] + 1]:
        at += name[at] + 1
    return name[at:]


TOPS = tuple({_last_label(name) for name in _TABLE})  # nearly every name ends in none of these


def special_answer(question: Question, routed: Container[bytes] = ()) -> Answer | None:
    """Return our own answer to a special-use name, or None. `routed` suffixes have an upstream of their own."""
    name = question.qname
    if not name.endswith(TOPS):
        return None
    at = 0
    while at < len(name) - 1:
        suffix = name[at:]
        if suffix in routed:
            return None
        if len(suffix) in _LENGTHS and (what := _TABLE.get(suffix)) is not None:
            return _answer(question, suffix, what)
        at += name[at] + 1
    return None


def _answer(question: Question, zone: bytes, what: str) -> Answer:
    name, qtype = question.qname, question.qtype
    if name in _LOOPBACK and qtype == wire.PTR:
        return make_answer(question, wire.NOERROR, [(name, wire.PTR, wire.IN, TTL, _LOCALHOST)])
    if what == "address" and qtype == wire.A:
        return make_answer(question, wire.NOERROR, [(name, wire.A, wire.IN, TTL, b"\x7f\0\0\1")])
    if what == "address" and qtype == wire.AAAA:
        return make_answer(question, wire.NOERROR, [(name, wire.AAAA, wire.IN, TTL, bytes(15) + b"\1")])
    if name == zone and zone.endswith(_ARPA):  # a zone that we serve has these two (RFC 6303 3)
        if qtype == wire.SOA:
            return make_answer(question, wire.NOERROR, [soa(zone, TTL)])
        if qtype == wire.NS:
            return make_answer(question, wire.NOERROR, [(zone, wire.NS, wire.IN, TTL, zone)])
    there = what != "nxdomain" or name in _LOOPBACK or name in _BETWEEN or (name == zone and zone.endswith(_ARPA))
    rcode = wire.NOERROR if there else wire.NXDOMAIN
    return make_answer(question, rcode, (), [soa(zone, TTL)])


def soa(zone: bytes, ttl: int) -> tuple[bytes, int, int, int, bytes]:
    """Return the SOA record of a zone of ours, so that stubs can cache its negative answers for `ttl` seconds."""
    numbers = b"".join(n.to_bytes(4) for n in (1, 3600, 600, 86400, ttl))
    return zone, wire.SOA, wire.IN, ttl, zone + _RNAME + numbers


_RNAME = b"\x06nobody\x07invalid\0"
