"""Questions on their way to upstreams: asked once however many wait, retried, failed over, and ended by a deadline.

By callbacks, without a task a query; clock and timer are passed in. Knows message, upstream and wire.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from dnsnb.dns import wire
from dnsnb.dns.message import Answer, make_answer
from dnsnb.dns.reading import Limits, read_addresses, read_answer
from dnsnb.dns.upstream import Target, order
from dnsnb.dns.wire import Question
from dnsnb.errors import WireError

DEADLINE = 4.5  # seconds: under a stub's 5 s
TICK = 0.025
TRIES = 3  # transmissions a question and upstream (RFC 9520 3.1)
GUESSABLE = 2  # of them by UDP: each more in flight is one more that a forged answer may hit (RFC 5452 5)
MAX_PENDING = 20_000
MAX_WAITERS = 1_000
GRACE = 0.9  # seconds for the tries after the first
HEARD = 30.0  # seconds for which an answer shows that an upstream is there
PLAIN = 900.0  # seconds for which one that was seen to know no EDNS is asked without
NO_EDNS = (wire.FORMERR, wire.NOTIMP)  # what such a one says (RFC 6891 7)

EDE_UNREACHABLE, EDE_NETWORK, EDE_OTHER = 22, 23, 0


#: What came of a question: an answer (also a failing one) or None, the upstream's name, the extended error, the reason.
#: A plain tuple: a named one costs three times as much, and there is one for every question.
Result = tuple[Answer | None, str | None, int | None, str]


#: who waits for a question: called as got(about, result, now)
Waiter = tuple[Callable[[Any, Result, float], None], Any]


class Pending:
    """One question in flight. `tried` has the upstreams that were asked, and when; `refused` those that won't tell.

    `again` has how often each was asked once more, `bare` those that were asked without EDNS.
    """

    __slots__ = (
        "again",
        "attempts",
        "bare",
        "deadline",
        "done",
        "due",
        "failing",
        "question",
        "refused",
        "targets",
        "tried",
        "waiters",
        "wire",
    )

    def __init__(self, question: Question, targets: Sequence[Target], deadline: float, waiters: list[Waiter]) -> None:
        qname, qtype, qclass, do, cd, _ = question
        self.question = question
        self.wire = wire.make_query(qname, qtype, qclass=qclass, do=do, cd=cd)
        self.targets = targets
        self.waiters = waiters
        self.deadline = deadline
        self.due = deadline  # when it is looked at again
        self.attempts = 0
        self.tried: dict[str, float] = {}
        self.again: dict[str, int] | None = None
        self.failing: Result | None = None
        self.refused: tuple[str, ...] = ()
        self.bare: tuple[str, ...] = ()
        self.done = False


class Forwarder:
    """Asks upstreams. `later(seconds, function)` is the loop's timer; `on_health(target)` hears of changes of state."""

    def __init__(
        self,
        targets: Sequence[Target],
        *,
        clock: Callable[[], float],
        later: Callable[[float, Callable[[], None]], Any],
        strategy: str = "ordered",
        on_health: Callable[[Target], None] = lambda _target: None,
        limits: Limits = Limits(),  # noqa: B008 - never changed
        deadline: float = DEADLINE,
    ) -> None:
        self.targets = list(targets)
        self.routes: dict[bytes, list[Target]] = {}
        self.views: dict[str, list[Target]] = {}
        self.strategy = strategy
        self.clock = clock
        self.later = later
        self.on_health = on_health
        self.limits = limits
        self.deadline = deadline
        self.pending: dict[Question, Pending] = {}
        self.fast_paths = True
        self.ignored = 0  # messages that answered nothing we asked
        self.overflowed = 0
        self._ticking = False
        self._turn = random.randrange(1 << 16)

    def ask(self, question: Question, waiter: Waiter | None, now: float) -> None:
        """Have a question answered; the waiter is called exactly once, before the deadline. None only refreshes."""
        pending = self.pending.get(question)
        if pending is not None:
            if waiter is None:
                return
            if len(pending.waiters) < MAX_WAITERS:
                pending.waiters.append(waiter)
            else:
                self.overflowed += 1
                waiter[0](waiter[1], (None, None, EDE_OTHER, "too many askers wait for this name"), now)
            return
        if len(self.pending) >= MAX_PENDING:
            self.overflowed += 1
            oldest = next(iter(self.pending.values()))
            self._finish(oldest, (None, None, EDE_OTHER, "too many questions in flight"), now)
        self._turn += 1
        targets: Sequence[Target] = self.targets_for(question) if self.routes or self.views else self.targets
        if len(targets) > 1:
            targets = order(targets, self.strategy, now, self._turn)
        pending = Pending(question, targets, now + self.deadline, [] if waiter is None else [waiter])
        self.pending[question] = pending
        if len(targets) == 1:  # as `_try_next` does, with nothing to be chosen
            target = targets[0]
            pending.attempts = 1
            self._wait(pending, min(now + target.timeout, pending.deadline))
            self._send(pending, target, now)
            return
        if not targets:
            self._finish(pending, (None, None, EDE_UNREACHABLE, "no upstream is set"), now)
            return
        if self.strategy == "parallel":
            for target in targets[:4]:
                self._send(pending, target, now)
            pending.attempts = 1
            self._wait(pending, now + GRACE)
        else:
            self._try_next(pending, now)
            self._probe(pending, now)

    def targets_for(self, question: Question) -> list[Target]:
        """Return the upstreams for a name: of the longest routed suffix (DS: its parent's), the view's, all's."""
        if self.routes:
            name = question.qname
            at = name[0] + 1 if question.qtype == wire.DS and len(name) > 1 else 0
            while at < len(name):
                found = self.routes.get(name[at:])
                if found is not None:
                    return found
                at += name[at] + 1
        return self.views.get(question.view, self.targets)

    def _try_next(self, pending: Pending, now: float) -> None:
        """Send once more: to the next one that wasn't tried, else round again."""
        targets = pending.targets
        if pending.attempts >= max(TRIES, len(targets)):
            self._wait(pending, pending.deadline)
            self._last_resort(pending, now)
            return
        fresh = [t for t in targets if t.name not in pending.tried]
        usable = [t for t in targets if t.name not in pending.refused]
        if not fresh and not usable:
            self._finish(pending, pending.failing or (None, None, EDE_NETWORK, "no upstream can be reached"), now)
            return
        target = fresh[0] if fresh else usable[pending.attempts % len(usable)]
        pending.attempts += 1
        wait = target.timeout if pending.attempts == 1 else GRACE
        self._wait(pending, min(now + wait, pending.deadline))
        self._send(pending, target, now)

    def _last_resort(self, pending: Pending, now: float) -> None:
        """Packets get lost on the way to one that is known to be there: ask it over TCP, which sends them again."""
        for target in pending.targets:
            heard = now - target.last_answer < HEARD and target.name not in pending.refused
            asked = (pending.again or {}).get(target.name, 0) >= GUESSABLE
            if heard and not asked and self._by_stream(pending, target):
                return

    def _send(self, pending: Pending, target: Target, now: float) -> None:
        target.sent += 1
        if pending.tried and target.name in pending.tried:
            again = pending.again = pending.again or {}
            again[target.name] = again.get(target.name, 0) + 1
            if again[target.name] >= GUESSABLE and self._by_stream(pending, target):
                return
        pending.tried[target.name] = now
        query = pending.wire
        if now < target.plain_until or pending.bare:
            query = self._query(pending, target, now)
        target.upstream.send(query, partial(self._answered, pending, target), pending.deadline)

    def _query(self, pending: Pending, target: Target, now: float) -> bytes:
        """Return the question as this upstream can read it."""
        if now >= target.plain_until and target.name not in pending.bare:
            return pending.wire
        pending.bare += (target.name,)
        return wire.without_opt(pending.wire)

    def _by_stream(self, pending: Pending, target: Target) -> bool:
        """Ask over TCP what was asked by UDP, where that can be; a refusal ends nothing: UDP may still answer."""
        by_stream = getattr(target.upstream, "by_stream", None)
        if by_stream is None:
            return False

        def answered(message: bytes | None, why: str) -> None:
            if message is not None:
                self._answered(pending, target, message, why)

        by_stream(self._query(pending, target, self.clock()), answered, pending.deadline)
        return True

    def _probe(self, pending: Pending, now: float) -> None:
        """Let one question a back-off ask an upstream that was down too, beside the one that answers it."""
        for target in pending.targets:
            if target.state == "down" and now >= target.down_until and target.name not in pending.tried:
                target.down_until = now + 2.0
                self._send(pending, target, now)
                return

    def _answered(self, pending: Pending, target: Target, message: bytes | None, why: str) -> None:
        now = self.clock()
        if message is None:
            if self.health(target.failed(now), target) and pending.done:
                return
            pending.refused += (target.name,)
            if not pending.done and self._others(pending):
                self._try_next(pending, now)
            elif not pending.done:
                self._finish(pending, pending.failing or (None, target.name, EDE_NETWORK, why), now)
            return
        question = pending.question
        limits = self.limits
        answer = read_addresses(message, question, limits.ttl_floor, limits.ttl_cap) if self.fast_paths else None
        if answer is None:
            unread = len(message) > 11 and message[3] & 15 in NO_EDNS
            if unread and target.name not in pending.bare and not pending.done:
                pending.bare += (target.name,)
                self._send(pending, target, now)
                return
            try:
                bare = unread and len(message) == 12  # it could not even read the question
                answer = make_answer(question, message[3] & 15) if bare else read_answer(message, question, *limits)
            except WireError:
                self.ignored += 1  # keep listening: the right one may follow
                return
        if target.succeeded(now, now - pending.tried.get(target.name, now)):
            self.on_health(target)
        if pending.done:
            return
        answer.upstream = target.name
        if answer.rcode == wire.NOERROR or answer.rcode == wire.NXDOMAIN:
            if pending.bare and target.name in pending.bare:
                target.plain_until = now + PLAIN
            self._finish(pending, (answer, target.name, answer.ede, ""), now)
            return
        why = f"{target.name} answered {wire.rcode_text(answer.rcode)}"
        pending.failing = (answer, target.name, answer.ede, why)
        pending.refused += (target.name,)
        if self._others(pending):
            self._try_next(pending, now)
        else:
            self._finish(pending, pending.failing, now)

    def health(self, changed: bool, target: Target) -> bool:
        """Tell of a change of state; returns `changed`."""
        if changed:
            self.on_health(target)
        return changed

    def _others(self, pending: Pending) -> bool:
        return any(t.name not in pending.refused for t in pending.targets)

    def _wait(self, pending: Pending, due: float) -> None:
        """Have it looked at when it is due.

        Nothing but `pending` holds what is in flight: what is answered goes at once, and its memory, still in the
        processor's caches, is the next question's.
        """
        pending.due = due
        if not self._ticking:
            self._ticking = True
            self.later(TICK, self._tick)

    def _tick(self) -> None:
        now = self.clock()
        for pending in [p for p in self.pending.values() if p.due <= now]:
            if not pending.done:
                self._late(pending, now)
        self._ticking = bool(self.pending)
        if self._ticking:
            self.later(TICK, self._tick)

    def _late(self, pending: Pending, now: float) -> None:
        """Nothing came in time: try once more, or end it."""
        if now >= pending.deadline:
            self._finish(pending, pending.failing or (None, None, EDE_UNREACHABLE, "no upstream answered"), now)
            return
        for target in pending.targets:
            if target.name in pending.tried and target.name not in pending.refused:
                self.health(target.failed(now), target)
        self._try_next(pending, now)

    def _finish(self, pending: Pending, result: Result, now: float) -> None:
        pending.done = True
        question = pending.question
        other = self.pending.pop(question, pending)
        if other is not pending:  # asked anew meanwhile
            self.pending[question] = other
        waiters, pending.waiters = pending.waiters, []
        self.on_result(question, result, now)
        for got, about in waiters:
            got(about, result, now)

    def on_result(self, question: Question, result: Result, now: float) -> None:
        """Hear of every result once, before its waiters; the engine puts it into the cache here."""

    def abandon(self, why: str) -> None:
        """End everything in flight, as a stop does: every waiter gets its SERVFAIL."""
        for pending in list(self.pending.values()):
            self._finish(pending, (None, None, EDE_OTHER, why), self.clock())
