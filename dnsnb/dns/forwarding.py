"""Questions on their way to upstreams: asked once however many wait, retried, failed over, and ended by a deadline.

By callbacks, without a task a query; clock and timer are passed in. Knows message, upstream and wire.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from dnsnb.dns import wire
from dnsnb.dns.message import Answer
from dnsnb.dns.reading import read_answer
from dnsnb.dns.upstream import Done, Target, order
from dnsnb.dns.wire import Question
from dnsnb.errors import WireError

DEADLINE = 4.5  # seconds: under a stub's 5 s
TICK = 0.025
TRIES = 3  # transmissions a question and upstream (RFC 9520 3.1)
MAX_PENDING = 20_000
MAX_WAITERS = 1_000
GRACE = 0.9  # seconds for the tries after the first
HEARD = 30.0  # seconds for which an answer shows that an upstream is there

EDE_UNREACHABLE, EDE_NETWORK, EDE_OTHER = 22, 23, 0


class Result(NamedTuple):
    """What came of a question: an answer (also a failing one), or None with the reason; who said it, in how many ms."""

    answer: Answer | None
    upstream: str | None
    ede: int | None
    why: str


class Waiter(NamedTuple):
    """Somebody who waits for a question: `got` is called with the result and what was asked."""

    got: Callable[[Any, Result], None]
    about: Any


class Pending:
    """One question in flight."""

    __slots__ = (
        "attempts",
        "deadline",
        "done",
        "failing",
        "options",
        "question",
        "refused",
        "sent_at",
        "targets",
        "tried",
        "waiters",
        "wire",
    )

    def __init__(self, question: Question, targets: list[Target], deadline: float) -> None:
        self.question = question
        self.wire = wire.make_query(
            question.qname, question.qtype, qclass=question.qclass, do=question.do, cd=question.cd
        )
        self.targets = targets
        self.waiters: list[Waiter] = []
        self.deadline = deadline
        self.attempts = 0
        self.tried: set[str] = set()
        self.sent_at: dict[str, float] = {}
        self.failing: Result | None = None
        self.refused: set[str] = set()
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
        limits: dict[str, int] | None = None,
        deadline: float = DEADLINE,
    ) -> None:
        self.targets = list(targets)
        self.routes: dict[bytes, list[Target]] = {}
        self.views: dict[str, list[Target]] = {}
        self.strategy = strategy
        self.clock = clock
        self.later = later
        self.on_health = on_health
        self.limits = limits or {}
        self.deadline = deadline
        self.pending: dict[Question, Pending] = {}
        self.ignored = 0  # messages that answered nothing we asked
        self.overflowed = 0
        self._due: list[tuple[float, int, Pending]] = []
        self._number = 0
        self._ticking = False
        self._turn = random.randrange(1 << 16)

    def ask(self, question: Question, waiter: Waiter | None) -> None:
        """Have a question answered; the waiter is called exactly once, before the deadline. None only refreshes."""
        pending = self.pending.get(question)
        if pending is not None:
            if waiter is None:
                return
            if len(pending.waiters) < MAX_WAITERS:
                pending.waiters.append(waiter)
            else:
                self.overflowed += 1
                waiter.got(waiter.about, Result(None, None, EDE_OTHER, "too many askers wait for this name"))
            return
        if len(self.pending) >= MAX_PENDING:
            self.overflowed += 1
            oldest = next(iter(self.pending.values()))
            self._finish(oldest, Result(None, None, EDE_OTHER, "too many questions in flight"))
        now = self.clock()
        self._turn += 1
        targets = order(self.targets_for(question), self.strategy, now, self._turn)
        pending = Pending(question, targets, now + self.deadline)
        if waiter is not None:
            pending.waiters.append(waiter)
        self.pending[question] = pending
        if not targets:
            self._finish(pending, Result(None, None, EDE_UNREACHABLE, "no upstream is set"))
            return
        if self.strategy == "parallel":
            for target in targets[:4]:
                self._send(pending, target, now)
            pending.attempts = 1
            self._push(pending, now + GRACE)
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
            self._push(pending, pending.deadline)
            self._last_resort(pending, now)
            return
        fresh = [t for t in targets if t.name not in pending.tried]
        usable = [t for t in targets if t.name not in pending.refused]
        if not fresh and not usable:
            self._finish(pending, pending.failing or Result(None, None, EDE_NETWORK, "no upstream can be reached"))
            return
        target = fresh[0] if fresh else usable[pending.attempts % len(usable)]
        pending.attempts += 1
        wait = target.timeout if pending.attempts == 1 else GRACE
        self._push(pending, min(now + wait, pending.deadline))
        self._send(pending, target, now)

    def _last_resort(self, pending: Pending, now: float) -> None:
        """Packets get lost on the way to one that is known to be there: ask it over TCP, which sends them again."""
        for target in pending.targets:
            by_stream = getattr(target.upstream, "by_stream", None)
            if by_stream is not None and now - target.last_answer < HEARD and target.name not in pending.refused:
                by_stream(pending.wire, self._hearer(pending, target), pending.deadline)
                return

    def _hearer(self, pending: Pending, target: Target) -> Done:
        return lambda message, why: self._answered(pending, target, message, why)

    def _send(self, pending: Pending, target: Target, now: float) -> None:
        pending.tried.add(target.name)
        pending.sent_at[target.name] = now
        target.sent += 1
        target.upstream.send(pending.wire, self._hearer(pending, target), pending.deadline)

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
            pending.refused.add(target.name)
            if not pending.done and self._others(pending):
                self._try_next(pending, now)
            elif not pending.done:
                self._finish(pending, pending.failing or Result(None, target.name, EDE_NETWORK, why))
            return
        try:
            answer = read_answer(message, pending.question, **self.limits)
        except WireError:
            self.ignored += 1  # keep listening: the right one may follow
            return
        self.health(target.succeeded(now, now - pending.sent_at.get(target.name, now)), target)
        if pending.done:
            return
        answer.upstream = target.name
        if answer.rcode in (wire.NOERROR, wire.NXDOMAIN):
            self._finish(pending, Result(answer, target.name, answer.ede, ""))
            return
        pending.failing = Result(
            answer, target.name, answer.ede, f"{target.name} answered {wire.rcode_text(answer.rcode)}"
        )
        pending.refused.add(target.name)
        if self._others(pending):
            self._try_next(pending, now)
        else:
            self._finish(pending, pending.failing)

    def health(self, changed: bool, target: Target) -> bool:
        """Tell of a change of state; returns `changed`."""
        if changed:
            self.on_health(target)
        return changed

    def _others(self, pending: Pending) -> bool:
        return any(t.name not in pending.refused for t in pending.targets)

    def _push(self, pending: Pending, due: float) -> None:
        self._number += 1
        heapq.heappush(self._due, (due, self._number, pending))
        if not self._ticking:
            self._ticking = True
            self.later(TICK, self._tick)

    def _tick(self) -> None:
        now = self.clock()
        due = self._due
        while due and (due[0][0] <= now or due[0][2].done):
            pending = heapq.heappop(due)[2]
            if pending.done:
                continue
            if now >= pending.deadline:
                self._finish(pending, pending.failing or Result(None, None, EDE_UNREACHABLE, "no upstream answered"))
                continue
            for target in pending.targets:
                if target.name in pending.tried and target.name not in pending.refused:
                    self.health(target.failed(now), target)
            self._try_next(pending, now)
        if due:
            self.later(TICK, self._tick)
        else:
            self._ticking = False

    def _finish(self, pending: Pending, result: Result) -> None:
        pending.done = True
        if self.pending.get(pending.question) is pending:
            del self.pending[pending.question]
        waiters, pending.waiters = pending.waiters, []
        self.on_result(pending.question, result)
        for waiter in waiters:
            waiter.got(waiter.about, result)

    def on_result(self, question: Question, result: Result) -> None:
        """Hear of every result once, before its waiters; the engine puts it into the cache here."""

    def abandon(self, why: str) -> None:
        """End everything in flight, as a stop does: every waiter gets its SERVFAIL."""
        for pending in list(self.pending.values()):
            self._finish(pending, Result(None, None, EDE_OTHER, why))
