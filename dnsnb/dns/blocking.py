"""What a blocked question is answered: the null address, NXDOMAIN, no data, REFUSED, or an address of one's own.

No I/O; knows wire and message.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from dnsnb.dns import wire
from dnsnb.dns.message import Answer, make_answer
from dnsnb.dns.reserved import soa
from dnsnb.dns.wire import Question
from dnsnb.errors import SettingError

MODES = ("null", "nxdomain", "nodata", "refused", "address")
EDE_BLOCKED, EDE_CENSORED, EDE_FILTERED, EDE_PROHIBITED = 15, 16, 17, 18

_NULL = {wire.A: (bytes(4),), wire.AAAA: (bytes(16),)}


@dataclass(frozen=True, slots=True)
class BlockAnswer:
    """How blocked names are answered: `mode` (one of `MODES`), `ttl` in seconds, `addresses` for that mode.

    Types without an answer of their own get no data, with an SOA so that stubs can cache it (RFC 2308); EDE is 15, 16
    or 17 (RFC 8914) and goes to askers with an OPT alone.
    """

    mode: str = "null"
    ttl: int = 60
    addresses: tuple[str, ...] = ()
    ede: int = EDE_BLOCKED

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise SettingError("block_mode", self.mode, f"must be one of {', '.join(MODES)}")
        if self.mode == "address" and not self.addresses:
            raise SettingError("block_addresses", list(self.addresses), "mode 'address' needs an IPv4 or IPv6 address")
        for address in self.addresses:
            try:
                ipaddress.ip_address(address)
            except ValueError:
                raise SettingError("block_addresses", address, "must be an IPv4 or IPv6 address") from None

    def answer(self, question: Question) -> Answer:
        """Return the answer to a blocked question."""
        if self.mode == "refused":
            return make_answer(question, wire.REFUSED, ede=self.ede)
        if self.mode == "nxdomain":
            return make_answer(question, wire.NXDOMAIN, (), [soa(question.qname, self.ttl)], ede=self.ede)
        data: tuple[bytes, ...] = ()
        if self.mode == "null":
            data = _NULL.get(question.qtype, ())
        elif self.mode == "address":
            version = {wire.A: 4, wire.AAAA: 6}.get(question.qtype)
            parsed = [ipaddress.ip_address(a) for a in self.addresses]
            data = tuple(a.packed for a in parsed if a.version == version)
        if not data:
            return make_answer(question, wire.NOERROR, (), [soa(question.qname, self.ttl)], ede=self.ede)
        records = [(question.qname, question.qtype, wire.IN, self.ttl, d) for d in data]
        return make_answer(question, wire.NOERROR, records, ede=self.ede)
