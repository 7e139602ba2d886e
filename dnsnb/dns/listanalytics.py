"""What lists are worth: hits, rules that never hit, what only one list catches, what a new list would add.

No I/O. Whole lists are read: call these in a worker thread; `pause` is called every few milliseconds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from dnsnb.dns.listcontent import ListContent
from dnsnb.dns.listformats import each_name
from dnsnb.dns.lists import NamedList
from dnsnb.dns.names import BELOW
from dnsnb.dns.policy import Policy
from dnsnb.dns.rules import BLOCK, BLOCK_IMPORTANT, LEVELS
from dnsnb.dns.wire import name_to_text

MAX_RULES_COUNTED = 200_000
MAX_WAITING = 4096
SAMPLES = 20

Pause = Callable[[], None]


class Hits:
    """How often each rule decided, by the log's columns `list` and `rule`; rules beyond a limit count as dropped."""

    def __init__(self) -> None:
        self._rules: Counter[tuple[str, str]] = Counter()
        self._lists: Counter[str] = Counter()
        self._dropped = 0
        self._waiting: Counter[tuple[str | None, str | None]] = Counter()  # counted, and not yet looked at

    def add(self, lists: Sequence[str | None], rules: Sequence[str | None]) -> None:
        """Count a batch of the log."""
        if lists.count(None) == len(lists):  # nothing was blocked, nor allowed by a list
            return
        self._waiting.update(zip(lists, rules, strict=True))
        if len(self._waiting) >= MAX_WAITING:
            self.settle()

    def settle(self) -> None:
        """Take in what waits: in the thread that adds, before somebody reads."""
        waiting, self._waiting = self._waiting, Counter()
        for (name, rule), times in waiting.items():
            if name is None:
                continue
            self._lists[name] += times
            if rule is None:
                continue
            key = (name, rule.split(" (", 1)[0])
            if len(self._rules) < MAX_RULES_COUNTED or key in self._rules:
                self._rules[key] += times
            else:
                self._dropped += times

    @property
    def rules(self) -> Counter[tuple[str, str]]:
        """How often each rule of a list decided, when last settled."""
        return self._rules

    @property
    def lists(self) -> Counter[str]:
        """How often each list decided."""
        self.settle()
        return self._lists

    @property
    def dropped(self) -> int:
        """How many hits were of rules beyond the limit."""
        self.settle()
        return self._dropped

    def top(self, limit: int = 100) -> list[dict[str, Any]]:
        """Return the rules that hit most."""
        self.settle()
        return [{"list": name, "rule": rule, "hits": n} for (name, rule), n in self._rules.most_common(limit)]


def never_hit(item: NamedList, hits: Hits, limit: int = 100, pause: Pause = lambda: None) -> dict[str, Any]:
    """Return how many rules of a list have never hit, and the first `limit` of them."""
    hit = {rule for name, rule in list(hits.rules) if name == item.name}  # a copy at once: the server goes on counting
    count = 0
    sample: list[str] = []
    for number, (tail, scope) in enumerate(names_of(item)):
        text = ("*." if scope == BELOW else "") + name_to_text(tail)
        if text not in hit:
            count += 1
            if len(sample) < limit:
                sample.append(text)
        if not number % 512:
            pause()
    for rule in item.content.specials if item.content else ():
        if rule.text not in hit:
            count += 1
            if len(sample) < limit:
                sample.append(rule.text)
    return {"list": item.name, "rules": item.count, "never_hit": count, "first": sample}


def overlap(policy: Policy, pause: Pause = lambda: None) -> dict[str, Any]:
    """Return, for each block list: its names, how many only it catches, and how many each other list catches too.

    A list catches a name that it holds, or that is below one it holds.
    """
    items = [item for item in policy.lists.values() if item.kind == "block"]
    bits = {
        item.name: (1 << (item.slot * LEVELS + BLOCK)) | (1 << (item.slot * LEVELS + BLOCK_IMPORTANT)) for item in items
    }
    every = sum(bits.values())
    rows = []
    for item in items:
        held: Counter[int] = Counter()
        for number, (tail, _) in enumerate(names_of(item)):
            mask = caught_by(policy, tail) & every
            if mask & bits[item.name]:  # exceptions (@@) in a block list catch nothing
                held[mask] += 1
            if not number % 512:
                pause()
        others = {
            other.name: sum(n for mask, n in held.items() if mask & bits[other.name])
            for other in items
            if other is not item
        }
        unique = sum(n for mask, n in held.items() if not mask & every & ~bits[item.name])
        rows.append({"list": item.name, "names": sum(held.values()), "only_here": unique, "also_in": others})
    return {"lists": rows, "generation": policy.generation}


def would_add(policy: Policy, content: ListContent, pause: Pause = lambda: None) -> dict[str, Any]:
    """Return what a list would add: names, how many are caught already and by whom, and samples."""
    items = [item for item in policy.lists.values() if item.kind == "block"]
    caught: Counter[str] = Counter()
    names = new = 0
    sample: list[str] = []
    for number, (tail, scope) in enumerate(each_name(content)):
        names += 1
        mask = caught_by(policy, tail)
        by = [item.name for item in items if mask >> (item.slot * LEVELS) & 0b101]
        caught.update(by)
        if not by:
            new += 1
            if len(sample) < SAMPLES:
                sample.append(("*." if scope == BELOW else "") + name_to_text(tail))
        if not number % 512:
            pause()
    return {
        "names": names,
        "new": new,
        "known": names - new,
        "known_by": dict(caught.most_common()),
        "first_new": sample,
        "others": len(content.specials) + len(content.networks),
        "report": content.report.as_dict(),
    }


def caught_by(policy: Policy, tail: bytes) -> int:
    """Return the mask of the lists that hold a name or one above it."""
    small, table = policy.book.small, policy.book.table
    mask = 0
    at = 0
    while at < len(tail):
        part = tail[at:]
        if table is None or table.filled[hash(part) & table.low]:
            entry = small.get(part)
            if entry is not None:
                mask |= entry.below if at else entry.itself | entry.below
            if table is not None:
                itself, below = table.masks(part)
                mask |= below if at else itself | below
        at += tail[at] + 1
    return mask


def names_of(item: NamedList) -> Iterator[tuple[bytes, int]]:
    """Yield (tail, scope) of every plain name of a list, each once."""
    typed = {rule.tail for rule in list(item.names)}
    for rule in list(item.names):  # a copy: names may be typed meanwhile
        yield rule.tail, rule.scope
    if item.content is not None:
        for tail, scope in each_name(item.content):
            if tail not in typed:
                yield tail, scope


def entries(item: NamedList, search: str = "", limit: int = 100) -> Iterable[dict[str, Any]]:
    """Return names of a list that contain `search`, typed ones (newest first) before those of its text."""
    wanted = search.lower()
    found: list[dict[str, Any]] = []
    for rule, added in sorted(item.names.items(), key=lambda pair: -pair[1]):
        if wanted in rule.text:
            found.append({"name": rule.text, "added": added})
            if len(found) >= limit:
                return found
    if item.content is not None:
        for tail, scope in each_name(item.content, wanted.encode()):
            text = ("*." if scope == BELOW else "") + name_to_text(tail)
            if wanted in text:
                found.append({"name": text, "added": None})
                if len(found) >= limit:
                    break
    return found
