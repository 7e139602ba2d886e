"""A question of a log, decided by a policy as the engine would: local names, lists, the chain of its answer, addresses.

No I/O. Knows dns; the order is that of dns/engine.py.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from dnsnb.analysis.questions import SEPARATOR
from dnsnb.dns import wire
from dnsnb.dns.policy import Policy
from dnsnb.dns.reserved import special_answer
from dnsnb.dns.rules import NONE, Rules, Verdict
from dnsnb.dns.wire import Question, qtype_number, text_to_name
from dnsnb.errors import WireError

#: what was decided before any list was asked; another policy of lists doesn't change it
SETTLED = frozenset({"local", "refused", "limited"})
#: an upstream was asked, or would have been: the name is nobody's own
_ASKED = frozenset({"forwarded", "cached", "stale", "failed"})
MOST_KNOWN = 1_000_000

_ADDRESS = re.compile(r"[0-9.]{7,15}|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*")
_CHAIN = re.compile(r" \(CNAME (\S+)\)$")
_ANSWER = re.compile(r" \(answer (\S+)\)$")
_INSIDE = ipaddress.IPv4Address("10.0.0.1").packed


class Fate(NamedTuple):
    """What becomes of a question: `blocked`, by which `list` and `rule`; `lists` are all block lists that catch it.

    `sure` is false where it passes, but was blocked in the log, so that its real answer could not be judged.
    """

    blocked: bool
    list: str | None = None
    rule: str | None = None
    lists: tuple[str, ...] = ()
    sure: bool = True


PASSED = Fate(False)


class Judge:
    """Decides questions by a policy. Equal questions are decided once; it remembers at most `MOST_KNOWN`."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.timed = policy.timed
        self._phases: dict[tuple[bool, ...], Policy] = {}
        self._known: dict[tuple[object, ...], Fate] = {}

    def fate(
        self,
        client: str | None,
        qname: str | None,
        qtype: str | None,
        status: str | None = None,
        rule: str | None = None,
        answers: str | None = None,
        second: int | None = None,
    ) -> Fate:
        """Return the fate of a row. `rule` is that of a blocked row, `answers` a text by `questions.with_answer_text`.

        `second` is when it was asked (since the epoch); it matters where lists have hours.
        """
        if qname is None or status in SETTLED:
            return PASSED
        policy = self._at(second) if self.timed and second is not None else self.policy
        who = client or ""
        rules = policy.rules_for(who)
        blocked = status == "blocked"
        asked = status in _ASKED
        key = (who if policy.dynamic else id(rules), id(policy), qname, qtype, blocked, asked, rule, answers)
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            found = self._known[key] = self._decide(policy, rules, who, qname, qtype, blocked, asked, rule, answers)
        return found

    def _at(self, second: int) -> Policy:
        """Return the policy as it was at that time: one object for all times at which the same lists hold."""
        policy = self.policy
        hours = [item.schedule for item in policy.lists.values() if item.schedule is not None]
        hours += [s for group in policy.directory.groups for s in group.schedules.values()]
        state = tuple(schedule.active(second) for schedule in hours)
        if state not in self._phases:
            self._phases[state] = policy.seen_at(lambda: second)
        return self._phases[state]

    def _decide(
        self, policy: Policy, rules: Rules, client: str, qname: str, qtype: str | None, blocked: bool, asked: bool,
        rule: str | None, answers: str | None,
    ) -> Fate:  # fmt: skip
        try:
            name = text_to_name(qname)
            number = qtype_number(qtype) if qtype else wire.A
        except WireError:
            return PASSED
        question = Question(name, number, wire.IN, False, False)
        if policy.local.answer(name, number, wire.IN) is not None:
            return PASSED
        if not asked and special_answer(question) is not None:
            return PASSED
        verdict = policy.decide(client, name, number)
        if verdict.action == "block":
            return Fate(True, verdict.list, verdict.rule, _catching(rules, [name], number, verdict))
        if verdict.action == "allow":
            return PASSED
        if blocked:
            names, addresses, sure = _hints(rule, answers)
        else:
            names, addresses, sure = *_parts(number, answers), True
        if names:
            verdict = rules.decide_chain([name, *names], number)
            if verdict.action == "block":
                return Fate(True, verdict.list, verdict.rule, _catching(rules, names, number, verdict))
        for address in addresses:
            if policy.rebinding.offends(name, wire.A if len(address) == 4 else wire.AAAA, address):
                return Fate(True, "rebinding", "private address in a public name's answer", ("rebinding",))
        verdict = policy.decide_answer(client, name, number, addresses) if addresses else NONE
        if verdict.action == "block":
            return Fate(True, verdict.list, verdict.rule, (verdict.list or "",))
        return PASSED if sure else Fate(False, sure=False)


def _hints(rule: str | None, answers: str | None) -> tuple[list[bytes], list[bytes], bool]:
    """What is known of the answer to a question that was blocked: by the rule's text, and `answers` seen elsewhere."""
    names, addresses = _parts(wire.A, answers)
    if rule is not None and (chain := _CHAIN.search(rule)):
        names = [*_names([chain[1]]), *names]
    elif rule is not None and (seen := _ANSWER.search(rule)):
        addresses = [*_addresses([seen[1]]), *addresses]
    elif rule is not None and rule.startswith("private address"):
        addresses = [_INSIDE, *addresses]
    return names, addresses, answers is not None


@lru_cache(maxsize=65_536)
def _parts(qtype: int, answers: str | None) -> tuple[list[bytes], list[bytes]]:
    """Return the names that an answer's CNAMEs lead through, and the addresses in it."""
    if not answers or qtype in (wire.CNAME, wire.ANY):
        return [], []
    texts = answers.split(SEPARATOR)
    addresses = list(_addresses(texts)) if qtype in (wire.A, wire.AAAA) else []
    if qtype == wire.NS:
        return [], addresses
    if qtype == wire.PTR:  # its own data is a name too; the aliases of reverse names stay in .arpa (RFC 2317)
        texts = [text for text in texts if text.endswith(".arpa")]
    return list(_names(texts)), addresses


def _names(texts: list[str]) -> Iterator[bytes]:
    for text in texts:
        if "." not in text or any(c in text for c in ' "/=,;') or _ADDRESS.fullmatch(text):
            continue
        try:
            yield text_to_name(text)
        except WireError:
            continue


def _addresses(texts: list[str]) -> Iterator[bytes]:
    for text in texts:
        if _ADDRESS.fullmatch(text):
            try:
                yield ipaddress.ip_address(text).packed
            except ValueError:
                continue


def _catching(rules: Rules, names: list[bytes], qtype: int, verdict: Verdict) -> tuple[str, ...]:
    """Return the block lists that catch one of these names, the deciding one among them."""
    found = {match.list for name in names for match in rules.matches(name, qtype) if match.action == "block"}
    if verdict.list is not None:
        found.add(verdict.list)
    return tuple(sorted(found))
