"""What a name asks the scripted upstream to do: the first label is the order, ``nx-30-5.anything``.

Pure: adds records to a reply and says how long to wait.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import dnslib
from dnslib import QTYPE, RCODE, RR


class Reply(NamedTuple):
    """An answer message (None: stay silent) and the milliseconds to wait before sending it."""

    wire: bytes | None
    delay_ms: float


class Order(NamedTuple):
    """What an order means for the sending: an extra delay in ms, a forced TC bit over UDP, silence."""

    delay_ms: float = 0.0
    truncate: bool = False
    drop: bool = False


#: The orders, and what each does; numbers follow the word, separated by '-'.
ORDERS: dict[str, str] = {
    "ok": "an address with this TTL: ok-60",
    "seq": "an address that counts up with each question, with this TTL: seq-10",
    "nx": "NXDOMAIN, SOA with this TTL and MINIMUM: nx-30-5",
    "nodata": "no data, SOA with this TTL and MINIMUM: nodata-30-5",
    "servfail": "SERVFAIL",
    "refused": "REFUSED",
    "slow": "answered after so many milliseconds: slow-200",
    "drop": "no answer",
    "trunc": "TC=1 and nothing else over UDP, the answer over TCP",
    "big": "so many addresses: big-200",
    "cname": "a CNAME with the first TTL to an address with the second: cname-300-3",
}

_ORDER = re.compile(rf"({'|'.join(ORDERS)})((?:-\d{{1,10}}){{0,2}})")
_counter = itertools.count(1)


def scripted(fill: Callable[[str, int, Any], None], name: str, qtype: int, reply: Any) -> Order:
    """Fill `reply` as the first label of `name` orders, or as `fill` knows it."""
    match = _ORDER.fullmatch(name.split(".", 1)[0])
    if match is None:
        fill(name, qtype, reply)
        return Order()
    word, numbers = match[1], [int(n) for n in match[2].split("-") if n]
    first = numbers[0] if numbers else 60
    second = numbers[1] if len(numbers) > 1 else first
    if word == "nx" or word == "nodata":
        reply.header.rcode = RCODE.NXDOMAIN if word == "nx" else RCODE.NOERROR
        zone = name.split(".", 1)[-1]
        reply.add_auth(
            RR(
                zone,
                QTYPE.SOA,
                ttl=first,
                rdata=dnslib.SOA(f"ns.{zone}", f"root.{zone}", (1, 3600, 600, 86400, second)),
            )
        )
    elif word == "servfail" or word == "refused":
        reply.header.rcode = RCODE.SERVFAIL if word == "servfail" else RCODE.REFUSED
    elif word == "slow":
        _addresses(name, qtype, 60, 1, reply)
        return Order(delay_ms=float(first))
    elif word == "drop":
        return Order(drop=True)
    elif word == "trunc":
        _addresses(name, qtype, 60, 1, reply)
        return Order(truncate=True)
    elif word == "big":
        _addresses(name, qtype, 60, min(first, 4000), reply)
    elif word == "cname":
        target = f"target.{name.split('.', 1)[-1]}"
        reply.add_answer(RR(name, QTYPE.CNAME, ttl=first, rdata=dnslib.CNAME(target)))
        _addresses(target, qtype, second, 1, reply)
    elif word == "seq":
        _addresses(name, qtype, first, 1, reply, start=next(_counter))
    else:
        _addresses(name, qtype, first, 1, reply)
    return Order()


def _addresses(owner: str, qtype: int, ttl: int, count: int, reply: Any, start: int = 1) -> None:
    for n in range(start, start + count):
        if qtype == QTYPE.AAAA:
            reply.add_answer(RR(owner, QTYPE.AAAA, ttl=ttl, rdata=dnslib.AAAA(f"2001:db8::{n & 0xFFFF:x}")))
        elif qtype == QTYPE.A:
            reply.add_answer(
                RR(owner, QTYPE.A, ttl=ttl, rdata=dnslib.A(f"198.{18 + (n >> 16) % 2}.{n >> 8 & 255}.{n & 255}"))
            )
        elif qtype == QTYPE.TXT:
            reply.add_answer(RR(owner, QTYPE.TXT, ttl=ttl, rdata=dnslib.TXT(f"record {n}")))
