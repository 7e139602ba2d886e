"""Hostile DNS messages: real ones cut, flipped, spliced and stuffed; and what must hold for every one of them.

`python tests/fuzz/messages.py COUNT [SEED]` gives COUNT to each side; `make fuzz` gives a million.
"""

from __future__ import annotations

import random
import struct
import sys
import time
from collections.abc import Callable
from typing import Any

import dnslib
from dnslib import QTYPE, RR

from dnsnb.dns import wire
from dnsnb.dns.cache import Cache
from dnsnb.dns.engine import Engine
from dnsnb.dns.forwarding import Forwarder
from dnsnb.dns.journal import Journal
from dnsnb.dns.policy import Policy
from dnsnb.dns.reading import read_answer
from dnsnb.dns.upstream import Target
from dnsnb.dns.wire import Question
from dnsnb.errors import WireError


class _Echo:
    """An upstream that answers with hostile bytes made from the question."""

    name = "echo"

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def send(self, query: bytes, done: Any, deadline: float) -> None:
        try:
            record = dnslib.DNSRecord.parse(query)
        except (dnslib.DNSError, ValueError):  # dnslib knows names of UTF-8 alone
            done(None, "the fuzzer can't read it")
            return
        done(mutate(self.rng, answer_to(self.rng, record)), "")
        done(bytes(answer_to(self.rng, record)), "")

    def close(self) -> None:
        return


def make_engine(rng: random.Random) -> Engine:
    """An engine on a clock of its own, whose upstream lies."""
    now = [1000.0]

    def clock() -> float:
        now[0] += 0.0001
        return now[0]

    policy = Policy()
    policy.edit("blacklist", add=["blocked.test", "ads.example.com"])
    timers: list[Any] = []
    forwarder = Forwarder([Target(_Echo(rng))], clock=clock, later=lambda _s, f: timers.append(f) or timers.clear())
    return Engine(policy, forwarder, cache=Cache(2000, 4 << 20), journal=Journal(5000), clock=clock)


def seeds(rng: random.Random) -> list[bytes]:
    """Well-formed queries of many kinds."""
    found = []
    for name in ("example.com", "a.b.c.d.e.f.test", "x" * 63 + ".test", "blocked.test", ".", "xn--bcher-kva.example"):
        for qtype in ("A", "AAAA", "TXT", "ANY", "HTTPS", "AXFR", "OPT"):
            query = dnslib.DNSRecord.question(name, qtype)
            if rng.random() < 0.7:
                query.add_ar(dnslib.EDNS0(udp_len=rng.choice([0, 512, 1232, 65535]), flags=rng.choice(["", "do"])))
            found.append(bytes(query.pack()))
    return found


def answer_to(rng: random.Random, query: Any) -> bytearray:
    """A well-formed answer with a chain and records of many types."""
    reply = query.reply(ra=1, aa=0)
    owner = query.q.qname
    for n in range(rng.randrange(3)):
        target = f"hop{n}.{rng.choice(['test', 'blocked.test', 'example.org'])}"
        reply.add_answer(RR(owner, QTYPE.CNAME, ttl=rng.randrange(1 << 32), rdata=dnslib.CNAME(target)))
        owner = dnslib.DNSLabel(target)
    for _ in range(rng.randrange(4)):
        reply.add_answer(RR(owner, QTYPE.A, ttl=rng.randrange(1 << 32), rdata=dnslib.A("192.0.2.1")))
    if rng.random() < 0.3:
        soa = dnslib.SOA("ns.test", "root.test", (1, 2, 3, 4, rng.randrange(1 << 32)))
        reply.add_auth(RR("test", QTYPE.SOA, ttl=30, rdata=soa))
    if rng.random() < 0.3:
        reply.add_answer(RR(owner, QTYPE.TXT, ttl=1, rdata=dnslib.TXT(["a" * 200, "b"])))
    return bytearray(reply.pack())


def mutate(rng: random.Random, message: bytes | bytearray) -> bytes:
    """Return a message with a few things done to it."""
    out = bytearray(message)
    for _ in range(rng.choice((0, 1, 1, 2, 3, 6))):
        kind = rng.randrange(9)
        at = rng.randrange(len(out)) if out else 0
        if kind == 0 and out:
            out[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del out[at:]
        elif kind == 2:
            out[at:at] = rng.randbytes(rng.randrange(1, 40))
        elif kind == 3 and len(out) >= 12:
            struct.pack_into("!H", out, rng.choice((2, 4, 6, 8, 10)), rng.choice((0, 1, 2, 255, 4096, 65535)))
        elif kind == 4 and len(out) > 14:
            struct.pack_into("!H", out, rng.randrange(12, len(out) - 1), 0xC000 | rng.randrange(len(out) + 20))
        elif kind == 5:
            out += b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\1" * rng.choice((1, 50, 400))
        elif kind == 6:
            out += b"\0\0\x29\x04\xd0\0\0\0\0\0\x04\0\x0a\0\0" * rng.choice((1, 2, 60))
        elif kind == 7 and out:
            out[at] = rng.choice((0, 63, 64, 127, 128, 191, 192, 255))
        elif kind == 8:
            end = min(len(out), at + rng.randrange(1, 60))
            out[at:at] = out[at:end]
    return bytes(out[:65535])


def check_client_side(engine: Engine, message: bytes) -> None:
    """A query, whatever it is, gets one answer or none, of a bounded size, and never raises."""
    replies: list[bytes] = []
    now = engine.answer_now(message, "127.0.0.1", "udp")
    if now is None:
        engine.ask(message, "127.0.0.1", "udp", replies.append)
        assert len(replies) <= 1
    elif now:
        replies.append(now)
    for reply in replies:
        assert reply[:2] == message[:2]
        assert reply[2] & 0x80
        assert 12 <= len(reply) <= 1232


def check_upstream_side(message: bytes, question: Question) -> None:
    """An answer, whatever it is, is read or refused by WireError alone, and what is read can be shown."""
    try:
        answer = read_answer(message, question)
    except WireError:
        return
    assert 0 <= answer.keep <= 86_400
    for text in answer.texts():
        assert text.isprintable()
        assert text.isascii()


BAR_MS = 5.0  # of CPU for one message


def cost_ms(check: Callable[[], None]) -> float:
    """CPU time of a call, in ms; what seems dear is done again, for the collector may have come in between."""
    best = float("inf")
    for _ in range(3):
        began = time.thread_time()
        check()
        best = min(best, (time.thread_time() - began) * 1000)
        if best < BAR_MS:
            break
    return best


def run(count: int, seed: int = 1) -> tuple[float, float]:
    """Give `count` messages to each side; returns the slowest of each in ms of CPU."""
    rng = random.Random(seed)
    engine = make_engine(rng)
    queries = seeds(rng)
    question = Question(wire.text_to_name("a.b.c.d.e.f.test"), 1, 1, False, False)
    template = dnslib.DNSRecord.question("a.b.c.d.e.f.test")
    slowest = [0.0, 0.0]
    for number in range(count):
        message = mutate(rng, rng.choice(queries))
        slowest[0] = max(slowest[0], cost_ms(lambda m=message: check_client_side(engine, m)))  # type: ignore[misc]
        hostile = mutate(rng, answer_to(rng, template))
        slowest[1] = max(slowest[1], cost_ms(lambda m=hostile: check_upstream_side(m, question)))  # type: ignore[misc]
        if number % 1000 == 0:
            engine.drain()
    return slowest[0], slowest[1]


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    began = time.monotonic()
    worst = 0.0
    for part in range(0, count, 50_000):
        client, upstream = run(min(50_000, count - part), seed + part + 1)
        worst = max(worst, client, upstream)
        done = min(count, part + 50_000)
        print(
            f"{done:>9,} each way, {time.monotonic() - began:6.0f} s, slowest {client:.1f} / {upstream:.1f} ms of CPU",
            flush=True,
        )
    if worst > BAR_MS:
        print(f"a message cost {worst:.1f} ms of CPU; {BAR_MS:g} is the most")
    return 1 if worst > BAR_MS else 0


if __name__ == "__main__":
    sys.exit(main())
