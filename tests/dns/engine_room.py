"""An engine with everything passed in: a clock that is set by hand, timers that it fires, an upstream by function."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

import dnslib
from dnslib import QTYPE, RCODE, RR

from dnsnb.dns.engine import Engine
from dnsnb.dns.forwarding import Forwarder
from dnsnb.dns.options import EngineOptions
from dnsnb.dns.policy import Policy
from dnsnb.dns.upstream import Target


class Clock:
    """Seconds, and the timers that wait for them."""

    def __init__(self) -> None:
        self.now = 1000.25
        self.timers: list[tuple[float, int, Callable[[], None]]] = []
        self.count = 0

    def __call__(self) -> float:
        return self.now

    def wall(self) -> int:
        return int((1_795_000_000 + self.now) * 1e9)

    def later(self, seconds: float, function: Callable[[], None]) -> None:
        self.count += 1
        heapq.heappush(self.timers, (self.now + seconds, self.count, function))

    def advance(self, seconds: float) -> None:
        """Let time pass, firing each timer at its moment."""
        end = self.now + seconds
        while self.timers and self.timers[0][0] <= end:
            self.now, _, function = heapq.heappop(self.timers)
            function()
        self.now = end


class ScriptedUpstream:
    """Answers at once by a function from dnslib record to answer bytes (None: silence), and keeps what it was asked."""

    def __init__(self, name: str, answer: Callable[[Any], bytes | None]) -> None:
        self.name = name
        self.answer = answer
        self.asked: list[bytes] = []
        self.held: list[tuple[bytes, Any]] = []
        self.hold = False

    def send(self, query: bytes, done: Any, deadline: float) -> None:
        self.asked.append(query)
        if self.hold:
            self.held.append((query, done))
            return
        message = self.answer(dnslib.DNSRecord.parse(query))
        if message is not None:
            done(message, "")

    def release(self) -> None:
        """Answer what was held back."""
        held, self.held = self.held, []
        for query, done in held:
            message = self.answer(dnslib.DNSRecord.parse(query))
            if message is not None:
                done(message, "")

    def close(self) -> None:
        return


def reply_to(query: Any) -> Any:
    """An empty reply, as a forwarder's upstream sends it."""
    reply = query.reply(ra=1, aa=0)
    reply.header.ad = 0
    return reply


def addresses(*values: str, ttl: int = 60) -> Callable[[Any], bytes]:
    """An upstream's function: these addresses for everything."""

    def answer(query: Any) -> bytes:
        reply = reply_to(query)
        for value in values:
            rtype = QTYPE.AAAA if ":" in value else QTYPE.A
            if query.q.qtype == rtype:
                data = dnslib.AAAA(value) if rtype == QTYPE.AAAA else dnslib.A(value)
                reply.add_answer(RR(query.q.qname, rtype, ttl=ttl, rdata=data))
        if not reply.rr:
            add_soa(reply, ttl, ttl)
        return bytes(reply.pack())

    return answer


def failing(rcode: str) -> Callable[[Any], bytes]:
    """An upstream's function: this rcode for everything."""

    def answer(query: Any) -> bytes:
        reply = reply_to(query)
        reply.header.rcode = getattr(RCODE, rcode)
        return bytes(reply.pack())

    return answer


def nxdomain(ttl: int, minimum: int) -> Callable[[Any], bytes]:
    """An upstream's function: no such name, with this SOA."""

    def answer(query: Any) -> bytes:
        reply = reply_to(query)
        reply.header.rcode = RCODE.NXDOMAIN
        add_soa(reply, ttl, minimum)
        return bytes(reply.pack())

    return answer


def add_soa(reply: Any, ttl: int, minimum: int) -> None:
    times = (1, 3600, 600, 86400, minimum)
    reply.add_auth(RR("test", QTYPE.SOA, ttl=ttl, rdata=dnslib.SOA("ns.test", "root.test", times)))


class Room:
    """The engine and all around it."""

    def __init__(self, *answers: Callable[[Any], bytes | None], strategy: str = "ordered", **options: Any) -> None:
        self.clock = Clock()
        self.policy = Policy(wall=lambda: self.clock.wall() / 1e9)
        self.upstreams = [ScriptedUpstream(f"up{n}", a) for n, a in enumerate(answers or (addresses("192.0.2.1"),))]
        self.targets = [Target(u) for u in self.upstreams]
        self.forwarder = Forwarder(self.targets, clock=self.clock, later=self.clock.later, strategy=strategy)
        self.engine = Engine(
            self.policy, self.forwarder, options=EngineOptions(**options), clock=self.clock, wall=self.clock.wall
        )
        self.asked_by_clients = 0

    @property
    def asked(self) -> int:
        """Transmissions to upstreams so far."""
        return sum(len(u.asked) for u in self.upstreams)

    def send(self, query: bytes, client: str = "127.0.0.1", transport: str = "udp") -> list[bytes]:
        """Give a query in; the list gets the reply, now or when time passes."""
        replies: list[bytes] = []
        now = self.engine.answer_now(query, client, transport)
        if now is None:
            self.engine.ask(query, client, transport, replies.append)
        else:
            replies.append(now)
        return replies

    def ask(self, name: str, qtype: str = "A", client: str = "127.0.0.1", *, transport: str = "udp", **how: Any) -> Any:
        """Ask by name and return the parsed reply (None for silence); time passes until there is one."""
        replies = self.send(question(name, qtype, **how), client, transport)
        for _ in range(400):
            if replies:
                break
            self.clock.advance(0.025)
        assert len(replies) == 1
        return dnslib.DNSRecord.parse(replies[0]) if replies[0] else None

    def rows(self) -> list[dict[str, Any]]:
        """What was logged since the last call."""
        batch = self.engine.drain()
        if batch is None:
            return []
        return [dict(zip(batch.columns, values, strict=True)) for values in zip(*batch.columns.values(), strict=True)]


def question(
    name: str,
    qtype: str = "A",
    *,
    ident: int = 0x1234,
    edns: bool = True,
    do: bool = False,
    cd: bool = False,
    rd: bool = True,
) -> bytes:
    """A query message; `name` keeps its case."""
    query = dnslib.DNSRecord(dnslib.DNSHeader(id=ident, rd=int(rd), cd=int(cd)))
    query.add_question(dnslib.DNSQuestion(name, dnslib.QTYPE.reverse[qtype]))
    if edns:
        query.add_ar(dnslib.EDNS0(udp_len=1232, flags="do" if do else ""))
    return bytes(query.pack())


def texts(reply: Any) -> list[str]:
    """The data of the answer section."""
    return [str(rr.rdata) for rr in reply.rr]


def ede(reply: Any) -> int | None:
    """The extended error of a reply."""
    for rr in reply.ar:
        if rr.rtype == QTYPE.OPT:
            for option in rr.rdata:
                if option.code == 15:
                    return int.from_bytes(option.data[:2])
    return None
