"""Queries on their way to an upstream, and those that never go there.

No I/O; knows wire, aliases, policy.
"""

from __future__ import annotations

from collections.abc import Callable

from dnsnb.dns import wire
from dnsnb.dns.aliases import Alias
from dnsnb.dns.message import AddressAnswer, Answer
from dnsnb.dns.policy import Policy
from dnsnb.dns.rules import NONE, Verdict
from dnsnb.dns.wire import Query, Question

#: what sends a reply; what gives that for the i-th query of a batch
Reply = Callable[[bytes], None]
Later = Callable[[int], Reply]
#: A query that waits for an upstream: query, client, transport, when it came (on the engine's clock, and in ns on the
#: wall's), its reply, the verdict, our part of the answer, the asker's stamp. A plain tuple, as `forwarding.Result` is.
Asked = tuple[Query, str, str, float, int, Reply, Verdict, Alias | None, object]


#: What `answer_now` found and could not answer: the message, read, its verdict, our part of the answer, whether memory
#: has something that has ended, and the asker's stamp.
Seen = tuple[bytes, Query, Verdict, Alias | None, bool, object]


NOT_SERVED = {
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
    return NOT_SERVED.get(question.qtype)


def judged(policy: Policy, client: str, verdict: Verdict, answer: Answer) -> Verdict:
    """Return what lists say of the answer to a question: of the names it leads through, and of its addresses."""
    if verdict.action != "none":
        return NONE
    if type(answer) is not AddressAnswer and len(answer.names) > 1:
        found = policy.rules_for(client).decide_chain(answer.names, answer.qtype)
        if found.action == "block":
            return found
    if (policy.rebinding.enabled or policy.book.networks) and answer.addresses:
        for address in answer.addresses:
            if policy.rebinding.offends(answer.qname, 1 if len(address) == 4 else 28, address):
                return Verdict("block", "rebinding", "private address in a public name's answer")
        return policy.decide_answer(client, answer.qname, answer.qtype, answer.addresses)
    return NONE


class Once:
    """A reply that is sent once, whoever comes first: the upstream or the stale answer."""

    __slots__ = ("_reply", "used")

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self.used = False

    def __call__(self, wire_bytes: bytes) -> None:
        if not self.used:
            self.used = True
            self._reply(wire_bytes)
