"""Queries on their way to an upstream, and those that never go there.

No I/O; knows wire, aliases, rules.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from dnsnb.dns import wire
from dnsnb.dns.aliases import Alias
from dnsnb.dns.rules import Verdict
from dnsnb.dns.wire import Query, Question


class Asked(NamedTuple):
    """A query that waits for an upstream."""

    query: Query
    client: str
    transport: str
    began: float
    arrived: int
    reply: Callable[[bytes], None]
    verdict: Verdict
    alias: Alias | None = None


#: What `answer_now` found and could not answer: the message, read, its verdict, and our part of the answer.
Seen = tuple[bytes, Query, Verdict, Alias | None]


_QUERY_TYPES_REFUSED = {
    wire.OPT: wire.FORMERR,
    249: wire.NOTIMP,  # TKEY
    250: wire.FORMERR,  # TSIG
    wire.IXFR: wire.REFUSED,
    wire.AXFR: wire.REFUSED,
    253: wire.NOTIMP,  # MAILB
    254: wire.NOTIMP,  # MAILA
}


def not_served(question: Question) -> int | None:
    """Return the rcode for what no forwarder serves: other classes than IN, zone transfers, meta types."""
    if question.qclass != wire.IN:
        return wire.REFUSED
    return _QUERY_TYPES_REFUSED.get(question.qtype)


class Once:
    """A reply that is sent once, whoever comes first: the upstream or the stale answer."""

    __slots__ = ("_reply", "used")

    def __init__(self, reply: Callable[[bytes], None]) -> None:
        self._reply = reply
        self.used = False

    def __call__(self, wire_bytes: bytes) -> None:
        if not self.used:
            self.used = True
            self._reply(wire_bytes)
