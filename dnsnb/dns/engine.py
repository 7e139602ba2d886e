"""Decides every query: local names, lists, cache, then the upstreams. Bytes in, bytes out.

No sockets, no threads; clocks, timers and upstreams are passed in. Used from one thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from dnsnb.dns import wire
from dnsnb.dns.cache import Cache, Entry
from dnsnb.dns.forwarding import Forwarder, Result, Waiter
from dnsnb.dns.journal import Journal, LogBatch, Record
from dnsnb.dns.message import Answer, make_answer, reframed, render
from dnsnb.dns.options import Access, EngineOptions
from dnsnb.dns.policy import Policy
from dnsnb.dns.reserved import special_answer
from dnsnb.dns.rules import NONE, Rules, Verdict
from dnsnb.dns.wire import BadQuery, Query, Question, read_query

MEMO_LIMIT = 100_000
PEER_LIMIT = 65_536
STALE_TTL = 30  # RFC 8767 4
STALE_WAIT = 1.8  # RFC 8767 5
FAILURE_TTL = 5  # RFC 9520 3.2
PREFETCH_LEFT = 0.1
PREFETCH_HITS = 2

EDE_STALE, EDE_STALE_NX, EDE_CACHED_ERROR = 3, 19, 13


class Peer:
    """What we remember of an asker: whether it may ask, its group's rules, its answers by exact bytes, its tokens."""

    __slots__ = ("allowed", "full_at", "generation", "memo", "rules", "tokens")

    def __init__(self, allowed: bool, rules: Rules, memo: dict[bytes, Memo], generation: int, burst: float) -> None:
        self.allowed = allowed
        self.rules = rules
        self.memo = memo
        self.generation = generation
        self.tokens = burst
        self.full_at = 0.0


class Memo:
    """A reply to exactly these bytes: `body` follows the ID, rendered for one second of the clock, good `until`."""

    __slots__ = ("body", "entry", "query", "record", "second", "until")

    def __init__(
        self, body: bytes, record: Record, until: float, second: int, query: Query | None, entry: Entry | None
    ) -> None:
        self.body = body
        self.record = record
        self.until = until
        self.second = second
        self.query = query
        self.entry = entry


class Asked(NamedTuple):
    """A query that waits for an upstream."""

    query: Query
    client: str
    transport: str
    began: float
    arrived: int
    reply: _Once
    verdict: Verdict


class Engine:
    """The decisions of one server. `answer_now` from memory; `ask` for what an upstream must say."""

    def __init__(
        self,
        policy: Policy,
        forwarder: Forwarder,
        *,
        options: EngineOptions | None = None,
        cache: Cache | None = None,
        journal: Journal | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], int] = time.time_ns,
    ) -> None:
        self.policy = policy
        self.forwarder = forwarder
        self.cache = cache if cache is not None else Cache()
        self.journal = journal or Journal()
        self.clock = clock
        self.wall = wall
        self.counts: dict[str, int] = {}
        self._peers: dict[str, Peer] = {}
        self._memos: dict[int, tuple[Rules, dict[bytes, Memo]]] = {}
        self._seen: tuple[bytes, Query, Verdict] | None = None
        self._key = b""  # exact bytes behind the ID, while they are decided from memory
        forwarder.on_result = self._keep  # type: ignore[method-assign]
        self.configure(options or EngineOptions())

    def configure(self, options: EngineOptions) -> None:
        """Take new options; they hold from the next query."""
        access = Access(options)
        self.options = options
        self._access = access
        self.forwarder.limits = {
            "ttl_floor": options.ttl_floor,
            "ttl_cap": options.ttl_cap,
            "negative_cap": options.negative_cap,
        }
        self.forget()

    def forget(self) -> None:
        """Drop everything derived: after a change of rules, cache or options."""
        self._peers.clear()
        self._memos.clear()

    def answer_now(self, query: bytes, client: str, transport: str = "udp") -> bytes | None:
        """Return the reply from memory; ``b""`` means say nothing; None means that an upstream must be asked.

        Never raises on input.
        """
        peer = self._peers.get(client)
        if peer is None or peer.generation != self.policy.generation:
            peer = self._meet(client)
        if transport == "udp":
            memo = peer.memo.get(query[2:])
            if memo is not None:
                now = self.clock()
                if now < memo.until and not self.options.rate_limit:
                    if memo.second != int(now):
                        self._refresh(memo, now)
                    self.journal.record((self.wall(), client, transport, memo.record, 0.0))
                    return query[:2] + memo.body
                if now >= memo.until:
                    peer.memo.pop(query[2:], None)
        return self._decide(query, client, transport, peer)

    def ask(self, query: bytes, client: str, transport: str, reply: Callable[[bytes], None]) -> None:
        """Ask an upstream; `reply` is called exactly once with the whole answer, before the deadline."""
        seen, self._seen = self._seen, None
        if seen is not None and seen[0] is query:
            parsed, verdict = seen[1], seen[2]
        else:
            ready = self.answer_now(query, client, transport)
            if ready is not None:
                reply(ready)
                return
            _, parsed, verdict = self._take_seen()
        now = self.clock()
        asked = Asked(parsed, client, transport, now, self.wall(), _Once(reply), verdict)
        question = parsed.question
        if self.options.serve_stale and self.cache.get_stale(question, now) is not None:
            self.forwarder.later(STALE_WAIT, lambda: self._stale(asked))
        self.forwarder.ask(question, Waiter(self._got, asked))

    def _take_seen(self) -> tuple[bytes, Query, Verdict]:
        seen, self._seen = self._seen, None
        assert seen is not None, "answer_now leaves what it could not answer"
        return seen

    def drain(self, most: int | None = None) -> LogBatch | None:
        """Return the rows logged since the last call, by column, and count them by status."""
        batch = self.journal.drain(most)
        if batch is not None:
            for status in batch.columns.get("status", ()):
                self.counts[status] = self.counts.get(status, 0) + 1
        return batch

    def flush(self, *, name: bytes | None = None, suffix: bytes | None = None) -> int:
        """Forget cached answers: of a name, of all at and below a suffix (wire, lower case), or all."""
        gone = self.cache.flush(name=name, suffix=suffix)
        self.forget()
        return gone

    # --- from memory ---

    def _meet(self, client: str) -> Peer:
        if len(self._peers) >= PEER_LIMIT:
            self._peers.clear()
        generation = self.policy.generation
        rules = self.policy.rules_for(client)
        known = self._memos.get(id(rules))
        if known is None or known[0] is not rules:
            if len(self._memos) >= 256:
                self._memos.clear()
            known = self._memos[id(rules)] = (rules, {})
        before = self._peers.get(client)
        allowed = self._access.allows(client)
        # nobody who may not ask shares the answers of those who may
        peer = Peer(allowed, rules, known[1] if allowed else {}, generation, self.options.rate_burst)
        if before is not None:
            peer.tokens, peer.full_at = before.tokens, before.full_at
        self._peers[client] = peer
        return peer

    def _decide(self, message: bytes, client: str, transport: str, peer: Peer) -> bytes | None:
        try:
            query = read_query(message)
        except BadQuery as bad:
            return self._bad(message, bad.reply, client, transport, peer)
        self._key = message[2:]
        now = self.clock()
        question = query.question
        if not peer.allowed:
            return self._reply(query, client, transport, make_answer(question, wire.REFUSED, ede=18), "refused")
        if self.options.rate_limit and not self._within_rate(peer, now):
            return self._limited(query, client, transport)
        rcode = _not_served(question)
        if rcode is not None:
            return self._reply(query, client, transport, make_answer(question, rcode), "refused")
        local = self.policy.local.answer(question.qname, question.qtype, question.qclass)
        if local is not None:
            rrs = [(r.name, r.type, r.cls, r.ttl, r.rdata) for r in local]
            return self._reply(query, client, transport, make_answer(question, wire.NOERROR, rrs), "local", memo=peer)
        special = special_answer(question, frozenset(self.forwarder.routes))
        if special is not None:
            return self._reply(query, client, transport, special, "local", memo=peer)
        verdict = self._verdict(peer, client, question)
        if verdict.action == "block":
            return self._blocked(query, client, transport, verdict, peer)
        if question.qtype == wire.ANY:  # RFC 8482 4.2
            hinfo = (question.qname, wire.HINFO, wire.IN, 3600, b"\x07RFC8482\0")
            return self._reply(
                query, client, transport, make_answer(question, wire.NOERROR, [hinfo]), "local", memo=peer
            )
        entry = self.cache.get(question, now) or self._below_nothing(question, now)
        if entry is not None:
            return self._cached(query, client, transport, verdict, entry, now, peer)
        if not query.rd:
            # a question that forbids recursion is answered from memory alone
            return self._reply(query, client, transport, make_answer(question, wire.REFUSED, ede=20), "refused")
        self._seen = (message, query, verdict)
        return None

    def _below_nothing(self, question: Question, now: float) -> Entry | None:
        """A name above it does not exist, so neither does this one (RFC 8020 2)."""
        cut = self.cache.get_cut(question, now)
        if cut is None:
            return None
        return Entry(reframed(cut.answer, question), cut.stored, cut.expires)

    def _verdict(self, peer: Peer, client: str, question: Question) -> Verdict:
        if self.policy.dynamic:
            return self.policy.decide(client, question.qname, question.qtype)
        return peer.rules.decide(question.qname, question.qtype)

    def _chain_verdict(self, client: str, verdict: Verdict, answer: Answer) -> Verdict:
        """What lists say of the answer: of the names that it leads through, and of its addresses."""
        if verdict.action != "none":
            return NONE
        if len(answer.names) > 1:
            found = self.policy.rules_for(client).decide_chain(answer.names, answer.qtype)
            if found.action == "block":
                return found
        if answer.addresses:
            for address in answer.addresses:
                if self.policy.rebinding.offends(answer.qname, 1 if len(address) == 4 else 28, address):
                    return Verdict("block", "rebinding", "private address in a public name's answer")
            return self.policy.decide_answer(client, answer.qname, answer.qtype, answer.addresses)
        return NONE

    def _cached(
        self, query: Query, client: str, transport: str, verdict: Verdict, entry: Entry, now: float, peer: Peer
    ) -> bytes:
        answer = entry.answer
        found = self._chain_verdict(client, verdict, answer)
        if found.action == "block":
            return self._blocked(query, client, transport, found, peer)
        left = entry.expires - now
        late = left < (entry.expires - entry.stored) * PREFETCH_LEFT and answer.rcode != wire.SERVFAIL
        if late and self.options.prefetch and not entry.refreshing and entry.hits >= PREFETCH_HITS:
            entry.refreshing = True
            self.forwarder.ask(query.question, None)
        failed = answer.rcode not in (wire.NOERROR, wire.NXDOMAIN)
        age = int(now - entry.stored)
        ede = EDE_CACHED_ERROR if failed and answer.ede is None else None
        reply = render(query, answer, age=age, udp=transport == "udp", ede=ede)
        ttl = None if answer.ttl is None else max(0, answer.ttl - age)
        status = "failed" if failed else "cached"
        record = self._record(query, reply, answer, status, verdict, ttl=ttl, ede=ede)
        if transport == "udp" and not failed and not entry.replaced and self._may_memo(peer):
            until = entry.expires
            if self.options.prefetch and not entry.refreshing:
                until = max(now, entry.expires - (entry.expires - entry.stored) * PREFETCH_LEFT)
            memo = peer.memo[self._key] = Memo(reply[2:], record, until, int(now), query, entry)
            entry.memos.append(memo)
        self.journal.record((self.wall(), client, transport, record, (self.clock() - now) * 1000))
        return reply

    def _refresh(self, memo: Memo, now: float) -> None:
        """Render a remembered reply for this second: its TTLs count down."""
        memo.second = int(now)
        entry, query = memo.entry, memo.query
        if entry is None or query is None:
            return
        entry.hits += 1
        age = int(now - entry.stored)
        memo.body = render(query, entry.answer, age=age)[2:]
        if entry.answer.ttl is not None:
            memo.record = memo.record.with_ttl(max(0, entry.answer.ttl - age))

    def _blocked(self, query: Query, client: str, transport: str, verdict: Verdict, peer: Peer) -> bytes:
        question = query.question
        reply = verdict.reply
        if reply is None:
            answer = self.options.block.answer(question)
        elif reply.kind == "drop":
            record = Record(question.qname, question.qtype, question.qclass, "blocked", None, query_bytes=query.size)
            record.list, record.rule = verdict.list, verdict.rule
            self.journal.record((self.wall(), client, transport, record, 0.0))
            return b""
        elif reply.kind == "truncate" and transport == "udp":
            return self._truncated(query, client, transport, "blocked", verdict)
        elif reply.kind == "records":
            ttl = self.options.block.ttl
            rrs = [
                (question.qname, rtype, wire.IN, ttl if given is None else given, rdata)
                for rtype, given, rdata in reply.records
                if rtype == question.qtype or rtype == wire.CNAME or question.qtype == wire.ANY
            ]
            answer = make_answer(question, wire.NOERROR, rrs, ede=15)
        else:
            mode = {"nxdomain": "nxdomain", "nodata": "nodata", "refused": "refused"}.get(reply.kind, "nodata")
            block = self.options.block
            answer = type(block)(mode, block.ttl, (), block.ede).answer(question)
        return self._reply(query, client, transport, answer, "blocked", verdict, memo=peer)

    def _reply(
        self,
        query: Query,
        client: str,
        transport: str,
        answer: Answer,
        status: str,
        verdict: Verdict = NONE,
        *,
        memo: Peer | None = None,
    ) -> bytes:
        """Render an answer of our own, log it, and remember it where it stays true until something changes."""
        reply = render(query, answer, udp=transport == "udp")
        record = self._record(query, reply, answer, status, verdict, ttl=answer.ttl)
        if memo is not None and transport == "udp" and self._may_memo(memo):
            memo.memo[self._key] = Memo(reply[2:], record, float("inf"), int(self.clock()), None, None)
        self.journal.record((self.wall(), client, transport, record, 0.0))
        return reply

    def _record(
        self,
        query: Query,
        reply: bytes,
        answer: Answer,
        status: str,
        verdict: Verdict,
        *,
        ttl: int | None,
        ede: int | None = None,
        upstream: str | None = None,
    ) -> Record:
        question = query.question
        code = ede if ede is not None else answer.ede
        return Record(
            question.qname,
            question.qtype,
            question.qclass,
            status,
            answer.rcode,
            answer=answer,
            list=verdict.list,
            rule=verdict.rule,
            upstream=upstream,
            ttl=ttl,
            flags=int.from_bytes(reply[2:4]),
            ede=code,
            query_bytes=query.size,
            response_bytes=len(reply),
        )

    def _may_memo(self, peer: Peer) -> bool:
        if not self.options.fast_paths or self.policy.dynamic or not self._key:
            return False
        if len(peer.memo) >= MEMO_LIMIT:
            peer.memo.clear()
        return True

    def _bad(self, message: bytes, reply: bytes, client: str, transport: str, peer: Peer) -> bytes:
        if not reply:
            return b""
        if not peer.allowed:
            reply = reply[:3] + bytes([reply[3] & 0xF0 | wire.REFUSED]) + reply[4:]
        record = Record(
            b"\0", 0, 0, "refused", reply[3] & 15, query_bytes=len(message), response_bytes=len(reply),
            flags=int.from_bytes(reply[2:4]),
        )  # fmt: skip
        self.journal.record((self.wall(), client, transport, record, 0.0))
        return reply

    def _within_rate(self, peer: Peer, now: float) -> bool:
        burst = self.options.rate_burst
        peer.tokens = min(burst, peer.tokens + (now - peer.full_at) * self.options.rate_limit)
        peer.full_at = now
        if peer.tokens < 1:
            return False
        peer.tokens -= 1
        return True

    def _limited(self, query: Query, client: str, transport: str) -> bytes:
        """Over its rate: asked to come back over TCP, which can't be forged; over TCP refused."""
        if transport == "udp":
            return self._truncated(query, client, transport, "limited", NONE)
        return self._reply(query, client, transport, make_answer(query.question, wire.REFUSED), "limited")

    def _truncated(self, query: Query, client: str, transport: str, status: str, verdict: Verdict) -> bytes:
        answer = make_answer(query.question, wire.NOERROR)
        reply = bytearray(render(query, answer))
        reply[2] |= 0x02
        out = bytes(reply)
        record = self._record(query, out, answer, status, verdict, ttl=None)
        self.journal.record((self.wall(), client, transport, record, 0.0))
        return out

    # --- from upstreams ---

    def _keep(self, question: Question, result: Result) -> None:
        """Put what an upstream said into the cache; failures too, for a moment (RFC 9520 3.2)."""
        now = self.clock()
        answer = result.answer
        if answer is not None and answer.rcode in (wire.NOERROR, wire.NXDOMAIN):
            self.cache.put(question, answer, now)
            return
        held = self.cache.get_stale(question, now) if self.options.serve_stale else None
        if held is not None:
            return  # a stale answer serves better than a remembered failure
        ede = result.ede if result.ede is not None else 0
        failure = make_answer(question, wire.SERVFAIL, ede=ede, ede_text=result.why)
        failure.keep = FAILURE_TTL
        failure.upstream = result.upstream
        self.cache.put(question, failure, now)

    def _got(self, asked: Asked, result: Result) -> None:
        """Answer one waiter."""
        self._key = b""
        query, client, transport = asked.query, asked.client, asked.transport
        answer, ede, status = result.answer, None, "forwarded"
        why = ""
        age = 0
        cap = None
        now = self.clock()
        if answer is None or answer.rcode not in (wire.NOERROR, wire.NXDOMAIN):
            held = self.cache.get_stale(query.question, now) if self.options.serve_stale else None
            if held is not None and held.answer.rcode in (wire.NOERROR, wire.NXDOMAIN):
                self._send_stale(asked, held, now)
                return
            upstream = result.upstream
            code = answer.ede if answer is not None and answer.ede is not None else result.ede
            answer = make_answer(query.question, wire.SERVFAIL)
            answer.upstream, answer.ede, answer.ede_text = upstream, code, result.why
            status = "failed"
        else:
            found = self._chain_verdict(client, asked.verdict, answer)
            if found.action == "block":
                peer = self._peers.get(client) or self._meet(client)
                asked.reply(self._blocked(query, client, transport, found, peer))
                return
        reply = render(query, answer, age=age, cap=cap, udp=transport == "udp", ede=ede, ede_text=why)
        record = self._record(
            query, reply, answer, status, asked.verdict, ttl=answer.ttl, ede=ede, upstream=result.upstream
        )
        self.journal.record((asked.arrived, client, transport, record, (now - asked.began) * 1000))
        asked.reply(reply)

    def _stale(self, asked: Asked) -> None:
        """The upstream took its time: answer from what has ended (RFC 8767 5), if it hasn't come meanwhile."""
        self._key = b""
        if asked.reply.used:
            return
        now = self.clock()
        held = self.cache.get_stale(asked.query.question, now)
        if held is not None and held.answer.rcode in (wire.NOERROR, wire.NXDOMAIN):
            self._send_stale(asked, held, now)

    def _send_stale(self, asked: Asked, held: Entry, now: float) -> None:
        if asked.reply.used:
            return
        answer = held.answer
        found = self._chain_verdict(asked.client, asked.verdict, answer)
        if found.action == "block":
            peer = self._peers.get(asked.client) or self._meet(asked.client)
            asked.reply(self._blocked(asked.query, asked.client, asked.transport, found, peer))
            return
        ede = EDE_STALE_NX if answer.rcode == wire.NXDOMAIN else EDE_STALE
        reply = render(asked.query, answer, cap=STALE_TTL, udp=asked.transport == "udp", ede=ede)
        ttl = None if answer.ttl is None else min(answer.ttl, STALE_TTL)
        record = self._record(asked.query, reply, answer, "stale", asked.verdict, ttl=ttl, ede=ede)
        self.journal.record((asked.arrived, asked.client, asked.transport, record, (now - asked.began) * 1000))
        asked.reply(reply)


_QUERY_TYPES_REFUSED = {
    wire.OPT: wire.FORMERR,
    249: wire.NOTIMP,  # TKEY
    250: wire.FORMERR,  # TSIG
    wire.IXFR: wire.REFUSED,
    wire.AXFR: wire.REFUSED,
    253: wire.NOTIMP,  # MAILB
    254: wire.NOTIMP,  # MAILA
}


def _not_served(question: Question) -> int | None:
    """Return the rcode for what no forwarder serves: other classes than IN, zone transfers, meta types."""
    if question.qclass != wire.IN:
        return wire.REFUSED
    return _QUERY_TYPES_REFUSED.get(question.qtype)


class _Once:
    """A reply that is sent once, whoever comes first: the upstream or the stale answer."""

    __slots__ = ("_reply", "used")

    def __init__(self, reply: Callable[[bytes], None]) -> None:
        self._reply = reply
        self.used = False

    def __call__(self, wire_bytes: bytes) -> None:
        if not self.used:
            self.used = True
            self._reply(wire_bytes)
