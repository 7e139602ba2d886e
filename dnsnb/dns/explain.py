"""Why a question is answered as it is: each step of the decision with its verdict, rule, list, line and time.

No I/O: upstreams are asked at the edge, and what they say is judged by `judge_answer`. Nothing counts as a query.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from dnsnb.dns.listformats import find_line
from dnsnb.dns.message import Answer
from dnsnb.dns.names import name_tail
from dnsnb.dns.policy import Policy
from dnsnb.dns.reserved import special_answer
from dnsnb.dns.rules import Match, Verdict
from dnsnb.dns.wire import Question, name_to_text, qtype_number, qtype_text, rcode_text
from dnsnb.errors import SettingError

if TYPE_CHECKING:
    from dnsnb.dns.engine import Engine

MAX_MATCHES = 100


@dataclass
class Step:
    """One step: its `verdict` (none, allow, block, answer, stale, miss), who decided, how long it took (µs)."""

    step: str
    verdict: str
    list: str | None = None
    rule: str | None = None
    line: int | None = None
    detail: str = ""
    us: float = 0.0


@dataclass
class Explanation:
    """The steps in order; `decided` names the one that settled it; `matches` is every rule that matches."""

    name: str
    type: str
    client: str
    client_name: str | None = None
    groups: list[str] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    matches: list[dict[str, Any]] = field(default_factory=list)
    upstreams: list[dict[str, Any]] = field(default_factory=list)
    decided: str = ""
    verdict: str = "none"

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return asdict(self)


def parse_question(name: str, qtype: str) -> Question:
    """Return what is asked about; raises SettingError quoting a wrong name or type."""
    try:
        qname = b"\0" if name == "." else name_tail(name) + b"\0"
    except ValueError as error:
        raise SettingError("name", name, str(error)) from None
    try:
        return Question(qname, qtype_number(qtype), 1, False, False)
    except ValueError as error:
        raise SettingError("type", qtype, str(error)) from None


def explain(policy: Policy, question: Question, client: str = "127.0.0.1", engine: Engine | None = None) -> Explanation:
    """Go the way of a query step by step, with an engine through its memory too; `add_lines` tells the lines."""
    who = policy.identify(client)
    told = Explanation(
        name_to_text(question.qname), qtype_text(question.qtype), client, who.name, [group.name for group in who.groups]
    )
    steps = told.steps
    question = question._replace(view=policy.rules_for(client).view)

    def step(name: str, work: Callable[[], Step]) -> Step:
        began = time.perf_counter()
        made = work()
        made.us = round((time.perf_counter() - began) * 1e6, 1)
        made.step = name
        steps.append(made)
        if not told.decided and made.verdict in ("answer", "block"):
            told.decided, told.verdict = name, made.verdict
        return made

    step("client", lambda: _client(policy, told, engine))
    step("local names", lambda: _local(policy, question))
    if engine is not None:
        step("reserved names", lambda: _reserved(question, engine))
    rules = policy.rules_for(client)
    found: list[Match] = []

    def lists() -> Step:
        found.extend(rules.matches(question.qname, question.qtype))
        verdict = rules.decide(question.qname, question.qtype)
        return Step("", verdict.action, verdict.list, verdict.rule, detail=_reply(verdict))

    listed = step("lists", lists)
    told.matches = [
        {"list": m.list, "rule": m.rule, "action": m.action, "important": m.important, "line": None}
        for m in found[:MAX_MATCHES]
    ]
    verdict = Verdict(listed.verdict, listed.list, listed.rule)
    if policy.function is not None:
        judged = step("policy function", lambda: _function(policy, client, question))
        verdict = Verdict(judged.verdict, judged.list, judged.rule)
        if listed.verdict == "block" and judged.verdict != "block" and told.decided == "lists":
            told.decided, told.verdict = ("", "none")
    if verdict.action == "allow":
        told.verdict = told.verdict if told.decided else "allow"
    if engine is not None:
        step("cache", lambda: _cache(question, engine, policy, client, verdict))
    return told


def add_lines(policy: Policy, told: Explanation) -> Explanation:
    """Find the lines of the rules that match; reads whole lists, so call it in a worker thread when they are large."""
    for match in told.matches[:20]:
        item = policy.lists.get(match["list"])
        if item is not None and item.content is not None:
            match["line"] = find_line(item.content, match["rule"])
    for step in told.steps:
        if step.step == "lists" and told.matches and step.rule == told.matches[0]["rule"]:
            step.line = told.matches[0]["line"]
    return told


def judge_answer(policy: Policy, client: str, verdict: Verdict, answer: Answer) -> Verdict:
    """Return what lists say of an answer: the names it leads through, its addresses, and whether it points inside."""
    if verdict.action == "allow":
        return verdict
    chain = policy.rules_for(client).decide_chain(answer.names, answer.qtype)
    if chain.action == "block":
        return chain
    for address in answer.addresses:
        if policy.rebinding.offends(answer.qname, 1 if len(address) == 4 else 28, address):
            return Verdict("block", "rebinding", "a public name with an address of the inside")
    return policy.decide_answer(client, answer.qname, answer.qtype, answer.addresses)


def _client(policy: Policy, told: Explanation, engine: Engine | None) -> Step:
    rules = policy.rules_for(told.client)
    shut = engine is not None and not engine.peers.of(told.client).allowed
    refused = "REFUSED, for allow_clients does not name it; else " if shut else ""
    if not rules.mask and policy.paused:
        return Step("", "none", detail=f"{refused}lists are paused for this client")
    held = [name for slot, name in enumerate(rules.lists) if rules.mask >> (slot * 4) & 15]
    only = "; nothing resolves that no list allows" if rules.allow_only else ""
    return Step("", "none", detail=f"{refused}lists: {', '.join(held) or 'none'}{only}")


def _local(policy: Policy, question: Question) -> Step:
    found = policy.local.answer(question.qname, question.qtype, question.qclass)
    if found is None:
        return Step("", "none", detail=f"{len(policy.local)} local records, none of this name")
    return Step(
        "", "answer", "local", detail=f"{len(found)} records" if found else "the name is local, without this type"
    )


def _reserved(question: Question, engine: Engine) -> Step:
    found = special_answer(question, frozenset(engine.forwarder.routes))
    if found is None:
        return Step("", "none")
    return Step("", "answer", "reserved", detail=f"a special-use name: {rcode_text(found.rcode)}")


def _function(policy: Policy, client: str, question: Question) -> Step:
    assert policy.function is not None
    before = policy.function.errors
    verdict = policy.decide(client, question.qname, question.qtype)
    detail = policy.function.last_error or "" if policy.function.errors > before else _reply(verdict)
    return Step("", verdict.action, verdict.list, verdict.rule, detail=detail)


def _cache(question: Question, engine: Engine, policy: Policy, client: str, verdict: Verdict) -> Step:
    now = engine.clock()
    for do, cd in ((False, False), (True, False), (False, True), (True, True)):
        entry = engine.cache.peek(question._replace(do=do, cd=cd))
        if entry is not None:
            left = entry.expires - now
            state = "answer" if left > 0 else "stale"
            judged = judge_answer(policy, client, verdict, entry.answer)
            if judged.action == "block":
                return Step("", "block", judged.list, judged.rule, detail="the answer in the cache is blocked")
            shown = ", ".join(entry.answer.texts()[:5]) or rcode_text(entry.answer.rcode)
            return Step("", state, detail=f"{shown}; {'ends in' if left > 0 else 'ended'} {abs(left):.0f} s")
    if engine.cache.get_cut(question, now, engine.forwarder.routes) is not None:
        return Step("", "answer", detail="a name above it doesn't exist, so nothing is below (RFC 8020)")
    return Step("", "miss", detail=f"{len(engine.cache)} answers kept, not this one")


def _reply(verdict: Verdict) -> str:
    if verdict.reply is None:
        return ""
    return f"answered by the rule: {verdict.reply.kind}"
