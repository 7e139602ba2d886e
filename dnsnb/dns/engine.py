"""Decides every query: local names, lists, cache, then the upstreams. Bytes in, bytes out.

No sockets, no threads; clocks, timers and upstreams are passed in. Used from one thread.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

from dnsnb.dns import wire
from dnsnb.dns.aliases import Alias, alias_of, joined
from dnsnb.dns.asking import NOT_SERVED, Asked, Later, Once, Reply, Seen, judged, not_served
from dnsnb.dns.cache import Cache, Entry
from dnsnb.dns.forwarding import Forwarder, Result
from dnsnb.dns.journal import Journal, LogBatch, Record
from dnsnb.dns.message import make_answer, render
from dnsnb.dns.options import EngineOptions
from dnsnb.dns.peers import Memo, Peer, Peers
from dnsnb.dns.policy import Policy
from dnsnb.dns.reading import Limits
from dnsnb.dns.replies import Replies
from dnsnb.dns.reserved import TOPS, soa, special_answer
from dnsnb.dns.rules import NONE, Verdict
from dnsnb.dns.wire import BadQuery, Query, Question, read_query

STALE_TTL = 30  # RFC 8767 4
STALE_WAIT = 1.8  # RFC 8767 5
FAILURE_TTL = 5  # RFC 9520 3.2
LOCAL_TTL = 60  # for what a local name has no record of
PREFETCH_HITS = 2
OFTEN = 1.0  # seconds: the reply to what is asked again so soon is remembered as it is

_SAID = (wire.NOERROR, wire.NXDOMAIN)

EDE_STALE, EDE_STALE_NX, EDE_CACHED_ERROR = 3, 19, 13


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
        self._kept: Entry | None = None  # of the answer that comes to its waiters now
        self._seen: Seen | None = None  # what was decided last and is to be asked: `ask` comes next
        options = options or EngineOptions()
        self.peers = Peers(policy, options)
        self.replies = Replies(policy, options, self.journal, clock, wall)
        forwarder.on_result = self._keep  # type: ignore[method-assign]
        self.configure(options)

    def configure(self, options: EngineOptions) -> None:
        """Take new options; they hold from the next query."""
        self.peers.configure(options)
        self.options = self.replies.options = options
        self.forwarder.limits = Limits(options.ttl_floor, options.ttl_cap, options.negative_cap)
        self.forwarder.fast_paths = options.fast_paths

    def forget(self) -> None:
        """Drop everything derived: after a change of rules, cache or options."""
        self.peers.forget()

    def answer_now(self, query: bytes, client: str, transport: str = "udp") -> bytes | None:
        """Return the reply from memory; ``b""`` means say nothing; None means that an upstream must be asked.

        Never raises on input.
        """
        peer = self.peers.of(client)
        if transport == "udp":
            memo = peer.memo.get(query[2:])
            if memo is not None:
                now = self.clock()
                if now >= memo.until:
                    del peer.memo[query[2:]]
                elif not self.options.rate_limit:
                    if now >= memo.fresh:
                        self._refresh(memo, now)
                    self.journal.record((self.wall(), client, transport, memo.record, 0.0, memo.ttl))
                    return query[:2] + memo.body
        return self._decide(query, client, transport, peer, self.clock())

    def answer_many(self, queries: list[bytes], clients: list[str], later: Later | None = None) -> list[bytes | None]:
        """Return `answer_now` of each (they came over UDP at one moment), the remembered ones without a call each.

        With `later`, which gives the i-th one's reply, an upstream is asked at once where one must be: b"", not None.
        """
        journal = self.journal
        rows = journal.rows
        one_by_one = self.options.rate_limit or not self.options.fast_paths
        if one_by_one or journal.limit - len(rows) < len(queries):
            pairs = enumerate(zip(queries, clients, strict=True))
            return [self._answer_or_ask(number, query, client, later) for number, (query, client) in pairs]
        now, wall = self.clock(), self.wall()
        replies: list[bytes | None] = []
        last, remembered = "", self.peers.of(clients[0]).memo.get
        for query, client in zip(queries, clients, strict=True):
            if client is not last:
                last, remembered = client, self.peers.of(client).memo.get
            memo = remembered(query[2:])
            if memo is not None and now < memo.fresh:
                rows.append((wall, client, "udp", memo.record, 0.0, memo.ttl))
                replies.append(query[:2] + memo.body)
            elif memo is None:
                reply = self._decide(query, client, "udp", self.peers.of(client), now)
                if reply is None and later is not None:
                    self._forward(client, "udp", later(len(replies)), now, wall)
                    reply = b""
                replies.append(reply)
            else:
                replies.append(self._answer_or_ask(len(replies), query, client, later))
        return replies

    def _answer_or_ask(self, number: int, query: bytes, client: str, later: Later | None) -> bytes | None:
        reply = self.answer_now(query, client)
        if reply is None and later is not None:
            self.ask(query, client, "udp", later(number))
            return b""
        return reply

    def ask(self, query: bytes, client: str, transport: str, reply: Reply) -> None:
        """Ask an upstream; `reply` is called exactly once with the whole answer, before the deadline."""
        if self._seen is None or self._seen[0] is not query:
            ready = self.answer_now(query, client, transport)
            if ready is not None:
                reply(ready)
                return
        self._forward(client, transport, reply, self.clock(), self.wall())

    def _forward(self, client: str, transport: str, reply: Reply, now: float, arrived: int) -> None:
        """Ask an upstream what was just decided and can't be answered."""
        assert self._seen is not None
        _, query, verdict, alias, known, stamp = self._seen
        self._seen = None
        once = Once(reply) if known and self._held(query.question, now) is not None else None
        asked = (query, client, transport, now, arrived, once or reply, verdict, alias, stamp)
        if once is not None:
            self.forwarder.later(STALE_WAIT, lambda: self._stale(asked, once))
        if alias is None:
            self.forwarder.ask(query.question, (self._got, asked), now)
        else:
            self.forwarder.ask(alias.target, (self._got_alias, asked), now)

    def drain(self, most: int | None = None) -> LogBatch | None:
        """Return the rows logged since the last call, by column, and count them by status."""
        batch = self.journal.drain(most)
        if batch is not None:
            told = Counter(batch.columns.get("status", ()))
            for status, count in told.items():
                self.counts[status] = self.counts.get(status, 0) + count
            self.cache.hits += told["cached"]
        return batch

    def flush(self, *, name: bytes | None = None, suffix: bytes | None = None) -> int:
        """Forget cached answers: of a name, of all at and below a suffix (wire, lower case), or all."""
        gone = self.cache.flush(name=name, suffix=suffix)
        self.forget()
        return gone

    # --- from memory ---

    def _decide(self, message: bytes, client: str, transport: str, peer: Peer, now: float) -> bytes | None:
        try:
            query = read_query(message, plain=self.options.fast_paths)
        except BadQuery as bad:
            return self.replies.bad(message, bad.reply, client, transport, peer)
        self.replies.key = message[2:]
        if peer.rules.view:
            query = query._replace(question=query.question._replace(view=peer.rules.view))
        question = query.question
        entry = self.cache.peek(question)
        if entry is not None and entry.stamp is peer.stamp and now < entry.expires and not self.options.rate_limit:
            self.cache.look(question, entry, now)
            return self._cached(query, client, transport, NONE, entry, now, peer)
        if not peer.allowed:
            return self.replies.own(query, client, transport, make_answer(question, wire.REFUSED, ede=18), "refused")
        if self.options.rate_limit and not self.peers.within_rate(peer, now):
            return self.replies.limited(query, client, transport)
        policy = self.policy
        if question.qclass != wire.IN or question.qtype in NOT_SERVED:
            answer = make_answer(question, not_served(question) or wire.REFUSED)
            return self.replies.own(query, client, transport, answer, "refused")
        local = policy.local.answer(question.qname, question.qtype) if policy.local.records else None
        if local is not None:
            rrs = [(r.name, r.type, r.cls, r.ttl, r.rdata) for r in local]
            nothing = () if rrs else (soa(question.qname, LOCAL_TTL),)
            alias = alias_of(rrs, question, "local", NONE)
            if alias is not None:
                return self._aliased(message, query, client, transport, alias, now)
            return self.replies.own(
                query, client, transport, make_answer(question, wire.NOERROR, rrs, nothing), "local", memo=peer
            )
        if question.qname.endswith(TOPS):
            special = special_answer(question, self.forwarder.routes)
            if special is not None:
                return self.replies.own(query, client, transport, special, "local", memo=peer)
        if policy.dynamic:
            verdict = policy.decide(client, question.qname, question.qtype)
        else:
            verdict = peer.rules.decide(question.qname, question.qtype)
        if verdict.action == "block":
            if verdict.reply is not None and verdict.reply.kind == "records":
                rrs = self.replies.rule_records(question, verdict.reply)
                alias = alias_of(rrs, question, "blocked", verdict, self.options.block.ede)
                if alias is not None:
                    return self._aliased(message, query, client, transport, alias, now)
            return self.replies.blocked(query, client, transport, verdict, peer)
        if question.qtype == wire.ANY:  # RFC 8482 4.2
            hinfo = (question.qname, wire.HINFO, wire.IN, 3600, b"\x07RFC8482\0")
            return self.replies.own(
                query, client, transport, make_answer(question, wire.NOERROR, [hinfo]), "local", memo=peer
            )
        entry = self.cache.look(question, entry, now, self.forwarder.routes)
        if entry is not None:
            if now < entry.expires:
                return self._cached(query, client, transport, verdict, entry, now, peer)
            held = self._held(question, now)
            if held is not None and now < held.retry_at:  # RFC 8767 5: no query waits for what was just in vain
                return self._stale_reply(query, client, transport, verdict, held, now, self.wall())
        if not query.rd:
            # a question that forbids recursion is answered from memory alone
            return self.replies.own(query, client, transport, make_answer(question, wire.REFUSED, ede=20), "refused")
        self._seen = (message, query, verdict, None, entry is not None, peer.stamp)
        return None

    def _aliased(
        self, message: bytes, query: Query, client: str, transport: str, alias: Alias, now: float
    ) -> bytes | None:
        """Answer with our records and what memory has of the name that they lead to."""
        special = special_answer(alias.target, self.forwarder.routes)
        if special is not None:
            answer = joined(alias, query.question, special)
            return self.replies.own(query, client, transport, answer, alias.status, alias.verdict)
        entry = self.cache.get(alias.target, now)
        if entry is not None:
            answer = joined(alias, query.question, entry.answer, int(now - entry.stored))
            return self.replies.own(query, client, transport, answer, alias.status, alias.verdict)
        if not query.rd:
            answer = make_answer(query.question, wire.NOERROR, alias.records)
            return self.replies.own(query, client, transport, answer, alias.status, alias.verdict)
        self._seen = (message, query, alias.verdict, alias, False, None)
        return None

    def _cached(
        self, query: Query, client: str, transport: str, verdict: Verdict, entry: Entry, now: float, peer: Peer
    ) -> bytes:
        answer = entry.answer
        if entry.stamp is not peer.stamp or verdict is not NONE:
            found = judged(self.policy, client, verdict, answer)
            if found.action == "block":
                return self.replies.blocked(query, client, transport, found, peer)
            if verdict is NONE and self.options.fast_paths and not self.policy.dynamic:
                entry.stamp = peer.stamp
        rcode = answer.rcode
        asked = entry.hits >= PREFETCH_HITS and rcode != wire.SERVFAIL
        if asked and now > entry.ripe() and self.options.prefetch and not entry.refreshing:
            entry.refreshing = True
            self.forwarder.ask(query.question, None, now)
        failed = rcode != wire.NOERROR and rcode != wire.NXDOMAIN
        age = int(now - entry.stored)
        ede = EDE_CACHED_ERROR if failed and answer.ede is None else None
        reply = render(query, answer, age=age, transport=transport, ede=ede)
        ttl = None if answer.ttl is None else max(0, answer.ttl - age)
        status = "failed" if failed else "cached"
        record = Record(query, reply, answer, status, verdict, ede)
        often, entry.used = now - entry.used < OFTEN, now
        if often and transport == "udp" and not failed and not entry.replaced:
            self.replies.remember(query, reply, peer, record, ttl, entry, now)
        self.journal.record((self.wall(), client, transport, record, (self.clock() - now) * 1000, ttl))
        return reply

    def _refresh(self, memo: Memo, now: float) -> None:
        """Render a remembered reply for this second: its TTLs count down."""
        memo.fresh = min(memo.until, int(now) + 1)
        entry, query = memo.entry, memo.query
        if entry is None or query is None:
            return
        entry.hits += 1
        self.cache.touch(query.question)
        age = int(now - entry.stored)
        memo.body = render(query, entry.answer, age=age)[2:]
        if entry.answer.ttl is not None:
            memo.ttl = max(0, entry.answer.ttl - age)

    # --- from upstreams ---

    def _keep(self, question: Question, result: Result, now: float) -> None:
        """Put what an upstream said into the cache; failures too, for a moment (RFC 9520 3.2)."""
        answer, upstream, said, why = result
        if answer is not None and answer.rcode in _SAID:
            self._kept = self.cache.put(question, answer, now)
            return
        self._kept = None
        held = self._held(question, now)
        if held is not None:
            held.retry_at = now + FAILURE_TTL
            return  # a stale answer serves better than a remembered failure
        live = self.cache.peek(question)
        if live is not None and now < live.expires:
            return  # refreshing it ahead of time was in vain: it holds until its end
        ede = said if said is not None else 0
        failure = make_answer(question, wire.SERVFAIL, ede=ede, ede_text=why)
        failure.keep = FAILURE_TTL
        failure.upstream = upstream
        self.cache.put(question, failure, now)

    def _got(self, asked: Asked, result: Result, now: float) -> None:
        """Answer one waiter."""
        self.replies.key = b""
        query, client, transport, began, arrived, send, verdict, _, stamp = asked
        answer, upstream, ede, why = result
        status = "forwarded"
        if answer is None or answer.rcode not in _SAID:
            held = self._held(query.question, now)
            if held is not None:
                self._send_stale(asked, held)
                return
            code = answer.ede if answer is not None and answer.ede is not None else ede
            answer = make_answer(query.question, wire.SERVFAIL)
            answer.upstream, answer.ede, answer.ede_text = upstream, code, why
            status = "failed"
        else:
            found = NONE if verdict is not NONE else judged(self.policy, client, verdict, answer)
            if found is not NONE and found.action == "block":
                send(self.replies.blocked(query, client, transport, found, self.peers.meet(client)))
                return
            if verdict is NONE and self._kept is not None and self.options.fast_paths and not self.policy.dynamic:
                self._kept.stamp = stamp
        reply = render(query, answer, transport=transport)
        record = Record(query, reply, answer, status, verdict, None, upstream)
        self.journal.record((arrived, client, transport, record, (now - began) * 1000, answer.ttl))
        send(reply)

    def _got_alias(self, asked: Asked, result: Result, now: float) -> None:
        self.replies.key = b""
        query, client, transport, began, arrived, send, _, alias, _ = asked
        assert alias is not None
        rest, upstream, _, _ = result
        age = 0
        if rest is None or rest.rcode not in (wire.NOERROR, wire.NXDOMAIN):
            held = self._held(alias.target, now)
            rest, age = (held.answer, int(now - held.stored)) if held is not None else (None, 0)
        answer = joined(alias, query.question, rest, age)
        answer.upstream = upstream
        reply = render(query, answer, transport=transport)
        record = Record(query, reply, answer, alias.status, alias.verdict, None, upstream)
        self.journal.record((arrived, client, transport, record, (now - began) * 1000, answer.ttl))
        send(reply)

    def _held(self, question: Question, now: float) -> Entry | None:
        """Return what may serve though it has ended (RFC 8767), where settings allow it."""
        held = self.cache.get_stale(question, now) if self.options.serve_stale else None
        return held if held is not None and held.answer.rcode in (wire.NOERROR, wire.NXDOMAIN) else None

    def _stale(self, asked: Asked, once: Once) -> None:
        """The upstream took its time: answer from what has ended (RFC 8767 5), if it hasn't come meanwhile."""
        now = self.clock()
        held = None if once.used else self._held(asked[0].question, now)
        if held is not None:
            held.retry_at = now + FAILURE_TTL
            self._send_stale(asked, held)

    def _send_stale(self, asked: Asked, held: Entry) -> None:
        query, client, transport, began, arrived, reply, verdict, _, _ = asked
        if not (isinstance(reply, Once) and reply.used):
            reply(self._stale_reply(query, client, transport, verdict, held, began, arrived))

    def _stale_reply(
        self, query: Query, client: str, transport: str, verdict: Verdict, held: Entry, began: float, arrived: int
    ) -> bytes:
        self.replies.key = b""
        answer = held.answer
        found = judged(self.policy, client, verdict, answer)
        if found.action == "block":
            return self.replies.blocked(query, client, transport, found, self.peers.meet(client))
        self.cache.stale += 1
        ede = EDE_STALE_NX if answer.rcode == wire.NXDOMAIN else EDE_STALE
        reply = render(query, answer, fixed=STALE_TTL, transport=transport, ede=ede)
        ttl = None if answer.ttl is None else STALE_TTL
        record = Record(query, reply, answer, "stale", verdict, ede)
        self.journal.record((arrived, client, transport, record, (self.clock() - began) * 1000, ttl))
        return reply
