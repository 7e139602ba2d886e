"""What a test's made-up internet answers: names with records, failures, silence and delays. Decides bytes only."""

from __future__ import annotations

import ipaddress
from typing import Any

import dnslib
from dnslib import EDNS0, QTYPE, RCODE, RR

from dnsnb.errors import SettingError
from dnsnb.simulate.script import Reply

MAX_ALIASES = 8
RCODES = ("FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "NOTAUTH")


class Answers:
    """The names that a test has made; all others do not exist. The test's thread changes them, ours asks."""

    def __init__(self) -> None:
        self._records: dict[str, dict[int, tuple[RR, ...]]] = {}
        self._rcodes: dict[str, int] = {}
        self._silent: set[str] = set()
        self._delays: dict[str, float] = {}

    def answer(self, name: str, data: tuple[str, ...], qtype: str | None, ttl: int) -> None:
        """Give a name records of one type (guessed from addresses); they take the place of that type's old ones."""
        name = _given(name)
        if not data:
            raise SettingError("data", data, "at least one record, such as '192.0.2.1'")
        by_type: dict[int, list[RR]] = {}
        for item in data:
            kind = (qtype or _type_of(item)).upper()
            by_type.setdefault(_number(kind), []).append(_record(name, ttl, kind, item))
        known = self._records.get(name, {})
        self._records[name] = known | {number: tuple(found) for number, found in by_type.items()}
        self._rcodes.pop(name, None)
        self._silent.discard(name)

    def fail(self, name: str, rcode: str) -> None:
        """Answer a name, whatever its type, with an error."""
        if rcode.upper() not in RCODES:
            raise SettingError("rcode", rcode, f"one of {', '.join(RCODES)}")
        self._rcodes[_given(name)] = getattr(RCODE, rcode.upper())
        self._silent.discard(plain(name))

    def silence(self, name: str) -> None:
        """Never answer a name."""
        self._silent.add(_given(name))

    def delay(self, name: str, seconds: float) -> None:
        """Answer a name so much later."""
        if not 0 <= seconds <= 60:
            raise SettingError("seconds", seconds, "from 0 to 60")
        self._delays[_given(name)] = seconds * 1000

    def reply(self, wire: bytes, *, stream: bool = False) -> Reply:
        """Return the answer to a query message, or silence; over UDP what doesn't fit is cut (TC)."""
        try:
            query = dnslib.DNSRecord.parse(wire)
        except Exception:  # dnslib raises several kinds for bytes that are no message
            return Reply(None, 0.0)
        if query.header.qr or len(query.questions) != 1:
            return Reply(None, 0.0)
        name = str(query.q.qname).rstrip(".").lower()
        key = self._key(name)
        if key in self._silent:
            return Reply(None, 0.0)
        reply = query.reply(ra=1, aa=0)
        reply.header.ad = 0
        self._fill(reply, name, query.q.qtype)
        size = 512
        for extra in query.ar:
            if extra.rtype == QTYPE.OPT:
                size = max(512, int(extra.rclass))
                reply.add_ar(EDNS0(udp_len=1232))
        packed = bytes(reply.pack())
        if not stream and len(packed) > size:
            cut = query.reply(ra=1, aa=0)
            cut.header.tc = 1
            packed = bytes(cut.pack())
        return Reply(packed, self._delays.get(key, 0.0))

    def _key(self, name: str) -> str:
        """The entry that speaks for a name: its own, else the nearest ``*.`` above it."""
        known = (self._records, self._rcodes, self._silent, self._delays)
        if any(name in kept for kept in known):
            return name
        labels = name.split(".")
        for at in range(1, len(labels) + 1):
            star = ".".join(["*", *labels[at:]])
            if any(star in kept for kept in known):
                return star
        return name

    def _fill(self, reply: Any, name: str, qtype: int) -> None:
        for _ in range(MAX_ALIASES):
            key = self._key(name)
            if key in self._rcodes:
                reply.header.rcode = self._rcodes[key]
                break
            types = self._records.get(key)
            if types is None:
                if self._has_below(name):
                    break
                reply.header.rcode = RCODE.NXDOMAIN
                break
            found = types.get(qtype)
            if found:
                for record in found:
                    reply.add_answer(RR(name, record.rtype, ttl=record.ttl, rdata=record.rdata))
                return
            alias = types.get(QTYPE.CNAME)
            if not alias:
                break
            reply.add_answer(RR(name, QTYPE.CNAME, ttl=alias[0].ttl, rdata=alias[0].rdata))
            name = str(alias[0].rdata).rstrip(".").lower()
        if reply.header.rcode in (RCODE.NOERROR, RCODE.NXDOMAIN):
            soa = dnslib.SOA("ns.invalid", "nobody.invalid", (1, 60, 60, 60, 0))  # TTL 0: "not there" is not cached
            reply.add_auth(RR(".", QTYPE.SOA, ttl=0, rdata=soa))

    def _has_below(self, name: str) -> bool:
        """Whether a name is there because something is below it: no data then, not NXDOMAIN (RFC 8020)."""
        return any(known.endswith(f".{name}") for known in self._records)


def plain(name: str) -> str:
    """Return a name as the answers are kept by; raises SettingError for what is no name."""
    text = name.rstrip(".").lower()
    if not text or len(text) > 253 or any(not 0 < len(label) < 64 for label in text.split(".")):
        raise SettingError("name", name, "a domain name, such as 'api.example.com' or '*.example.com'")
    try:
        return text if text.isascii() else text.encode("idna").decode()
    except UnicodeError:
        raise SettingError("name", name, "a domain name, such as 'api.example.com' or '*.example.com'") from None


def _given(name: str) -> str:
    text = plain(name)
    if text.rpartition(".")[2] == "localhost":
        raise SettingError("name", name, "names in localhost are this machine, whoever is asked (RFC 6761 6.3)")
    return text


def _type_of(data: str) -> str:
    try:
        return "AAAA" if ipaddress.ip_address(data).version == 6 else "A"
    except ValueError:
        raise SettingError("type", None, f"{data!r} is no address: say its type, such as type='CNAME'") from None


def _number(qtype: str) -> int:
    try:
        return int(getattr(QTYPE, qtype))
    except (AttributeError, dnslib.dns.DNSError):
        raise SettingError("type", qtype, "a record type such as A, AAAA, CNAME, MX, TXT or SRV") from None


def _record(name: str, ttl: int, qtype: str, data: str) -> RR:
    if qtype == "TXT" and not data.startswith('"'):
        data = '"' + data.replace("\\", "\\\\").replace('"', '\\"') + '"'
    owner = name.removeprefix("*.") or "."
    try:
        found = RR.fromZone(f"{owner}. {ttl} IN {qtype} {data}")
    except Exception:  # dnslib raises several kinds
        found = []
    if len(found) != 1:
        raise SettingError("data", data, f"is no {qtype} data as in a zone file, such as '10 mail.example.com.' for MX")
    return found[0]
