"""Replies of our own, rendered, logged, and remembered where they stay true. No I/O; knows message, blocking, peers."""

from __future__ import annotations

from collections.abc import Callable

from dnsnb.dns import wire
from dnsnb.dns.cache import Entry
from dnsnb.dns.journal import Journal, Record
from dnsnb.dns.message import Answer, make_answer, render
from dnsnb.dns.options import EngineOptions
from dnsnb.dns.peers import MEMO_LIMIT, Memo, Peer
from dnsnb.dns.policy import Policy
from dnsnb.dns.reserved import soa
from dnsnb.dns.rules import NONE, Verdict
from dnsnb.dns.special import Reply
from dnsnb.dns.wire import Query, Question


class Replies:
    """Makes replies. `key` holds the exact bytes (behind the ID) while a query is decided from memory, else b""."""

    def __init__(
        self,
        policy: Policy,
        options: EngineOptions,
        journal: Journal,
        clock: Callable[[], float],
        wall: Callable[[], int],
    ) -> None:
        self.policy = policy
        self.options = options
        self.journal = journal
        self.clock = clock
        self.wall = wall
        self.key = b""

    def own(
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
        reply = render(query, answer, transport=transport)
        record = Record(query, reply, answer, status, verdict)
        if memo is not None and transport == "udp" and self.may_memo(memo):
            memo.memo[self.key] = Memo(reply[2:], record, answer.ttl)
        self.journal.record((self.wall(), client, transport, record, 0.0, answer.ttl))
        return reply

    def blocked(self, query: Query, client: str, transport: str, verdict: Verdict, peer: Peer) -> bytes:
        """Answer a blocked question, as the rule or the settings say; b"" when they say silence."""
        question = query.question
        reply = verdict.reply
        if reply is None:
            answer = self.options.block.answer(question)
        elif reply.kind == "drop":
            record = Record(query, b"", None, "blocked", verdict)
            self.journal.record((self.wall(), client, transport, record, 0.0, None))
            return b""
        elif reply.kind == "truncate" and transport == "udp":
            return self.truncated(query, client, transport, "blocked", verdict)
        elif reply.kind == "records":
            rrs = self.rule_records(question, reply)
            none = () if rrs else (soa(question.qname, self.options.block.ttl),)
            answer = make_answer(question, wire.NOERROR, rrs, none, ede=self.options.block.ede)
        else:
            mode = {"nxdomain": "nxdomain", "nodata": "nodata", "refused": "refused"}.get(reply.kind, "nodata")
            block = self.options.block
            answer = type(block)(mode, block.ttl, (), block.ede).answer(question)
        return self.own(query, client, transport, answer, "blocked", verdict, memo=peer)

    def rule_records(self, question: Question, reply: Reply) -> list[tuple[bytes, int, int, int, bytes]]:
        """Return the records that a rule gives for a question of this type."""
        ttl = self.options.block.ttl
        return [
            (question.qname, rtype, wire.IN, ttl if given is None else given, rdata)
            for rtype, given, rdata in reply.records
            if rtype in (question.qtype, wire.CNAME) or question.qtype == wire.ANY
        ]

    def limited(self, query: Query, client: str, transport: str) -> bytes:
        """Over its rate: asked to come back over TCP, which can't be forged; over TCP refused."""
        if transport == "udp":
            return self.truncated(query, client, transport, "limited", NONE)
        return self.own(query, client, transport, make_answer(query.question, wire.REFUSED), "limited")

    def truncated(self, query: Query, client: str, transport: str, status: str, verdict: Verdict) -> bytes:
        """Tell the asker to come back over TCP."""
        answer = make_answer(query.question, wire.NOERROR)
        reply = bytearray(render(query, answer))
        reply[2] |= 0x02
        out = bytes(reply)
        record = Record(query, out, answer, status, verdict)
        self.journal.record((self.wall(), client, transport, record, 0.0, None))
        return out

    def bad(self, message: bytes, reply: bytes, client: str, transport: str, peer: Peer) -> bytes:
        """Log what is no query that we serve; returns what to send."""
        if not reply:
            return b""
        if not peer.allowed:
            reply = wire.error_reply(message, wire.REFUSED)
        query = Query(message[:2], 0, b"", Question(b"\0", 0, 0, False, False), None, len(message))
        record = Record(query, reply, None, "refused", NONE)
        self.journal.record((self.wall(), client, transport, record, 0.0, None))
        return reply

    def remember(
        self, query: Query, reply: bytes, peer: Peer, record: Record, ttl: int | None, entry: Entry, now: float
    ) -> None:
        """Remember the reply from an entry that is asked for often: until it is ripe, TTLs by second."""
        if not self.may_memo(peer):
            return
        until = entry.expires
        if self.options.prefetch and not entry.refreshing:
            until = max(now, entry.ripe())
        memo = peer.memo[self.key] = Memo(reply[2:], record, ttl, until, min(until, int(now) + 1), query, entry)
        entry.remember(memo)

    def may_memo(self, peer: Peer) -> bool:
        """Whether a reply to the bytes in `key` may be remembered; makes room for it."""
        if not self.options.fast_paths or self.policy.dynamic or not self.key:
            return False
        if len(peer.memo) >= MEMO_LIMIT:
            peer.memo.clear()
        return True
