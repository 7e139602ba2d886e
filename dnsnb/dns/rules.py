"""The verdict on a name: which list and which rule decide, in under a microsecond, whatever the lists' size.

No I/O. Names are matched on wire bytes by label boundary, so a dot inside a label is never taken for a separator.

Precedence (the first that matches decides; equal ranks: the longest name, then the list named first):

1. an allow rule marked ``$important``   2. a block rule marked ``$important``
3. an allow rule (whitelist, allow list, ``@@``)   4. a block rule   5. ``allow_only``: whatever is left is blocked
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from dnsnb.dns.names import BELOW
from dnsnb.dns.special import Patterns, Reply, Special, canonical
from dnsnb.dns.wire import name_to_text

if TYPE_CHECKING:
    from dnsnb.dns.nametable import NameTable


class Verdict(NamedTuple):
    """What lists say: `action` (none, allow, block), by which `list` and `rule`; `reply` replaces the block mode."""

    action: str
    list: str | None = None
    rule: str | None = None
    reply: Reply | None = None


NONE = Verdict("none")
ALLOW_ONLY = Verdict("block", "allow_only")

# Each list owns four bits of every mask, lowest rank first.
BLOCK, ALLOW, BLOCK_IMPORTANT, ALLOW_IMPORTANT = 0, 1, 2, 3
LEVELS = 4
MEMO = 16_384
_BY_RANK = (ALLOW_IMPORTANT, BLOCK_IMPORTANT, ALLOW, BLOCK)


class Match(NamedTuple):
    """One rule that matches a name: its `list` (and slot), `rule` text, `level`, and how specific it is (octets)."""

    level: int
    specific: int
    slot: int
    list: str
    rule: str
    reply: Reply | None = None
    against_rewrite: bool = False

    @property
    def action(self) -> str:
        return "allow" if self.level in (ALLOW, ALLOW_IMPORTANT) else "block"

    @property
    def important(self) -> bool:
        return self.level in (BLOCK_IMPORTANT, ALLOW_IMPORTANT)


class Entry(NamedTuple):
    """What the small table holds for a name: the lists that name it, for itself and for names below; special rules."""

    itself: int
    below: int
    special: tuple[tuple[int, Special], ...] = ()


class Rules:
    """All rules that hold for one group of clients: a view on the shared tables through the group's mask of lists."""

    __slots__ = (
        "_memo",
        "_ranks",
        "_weighed",
        "allow_only",
        "client",
        "lists",
        "mask",
        "patterns",
        "replies",
        "small",
        "table",
        "view",
    )

    def __init__(
        self,
        lists: tuple[str, ...] = (),
        mask: int = 0,
        small: Mapping[bytes, Entry] | None = None,
        table: NameTable | None = None,
        patterns: Patterns | None = None,
        allow_only: bool = False,
        client: frozenset[str] = frozenset(),
        replies: Mapping[int, Reply] | None = None,
        view: str = "",
    ) -> None:
        self.lists = lists
        self.mask = mask
        self.small: Mapping[bytes, Entry] = {} if small is None else small
        self.table = table
        self.patterns = patterns
        self.allow_only = allow_only
        self.view = view  # the upstreams of the group, where it has its own
        self.client = client
        self.replies: Mapping[int, Reply] = {} if replies is None else replies
        self._ranks = tuple((level, mask & _every(level, len(lists))) for level in _BY_RANK)
        self._memo: dict[bytes, Verdict] = {}  # plain rules alone decided
        self._weighed: dict[tuple[bytes, int], Verdict] = {}

    def decide(self, qname: bytes, qtype: int = 1) -> Verdict:
        """Return the verdict on a wire name in lower case; all rules are weighed, whatever their order."""
        verdict = self._memo.get(qname)
        if verdict is not None:
            return verdict
        table = self.table
        if table is None and not self.small and self.patterns is None:
            return ALLOW_ONLY if self.allow_only else NONE
        mask = self.mask
        get = self.small.get
        name = qname[:-1]
        end = len(name)
        found: list[tuple[bytes, int]] | None = None
        special = self.patterns is not None
        at = 0
        if table is None:
            while at < end:
                entry = get(name[at:])
                if entry is not None:
                    bits = (entry[1] if at else entry[0]) & mask
                    special = special or entry[2] != ()
                    if bits:
                        found = found or []
                        found.append((name[at:], bits))
                at += name[at] + 1
        else:
            filled, low, masks = table.filled, table.low, table.masks
            while at < end:
                tail = name[at:]
                if filled[hash(tail) & low]:  # by a name of either table
                    bits = masks(tail)[1 if at else 0]
                    entry = get(tail)
                    if entry is not None:
                        bits |= entry[1] if at else entry[0]
                        special = special or entry[2] != ()
                    if bits & mask:
                        found = found or []
                        found.append((tail, bits & mask))
                at += name[at] + 1
        if special:
            return self._weigh(qname, qtype)
        if found is None:
            return ALLOW_ONLY if self.allow_only else NONE
        if len(self._memo) >= MEMO:
            self._memo.clear()
        verdict = self._memo[qname] = self._rank(found, end)
        return verdict

    def decide_chain(self, names: Iterable[bytes], qtype: int = 1) -> Verdict:
        """Return the verdict on an answer by its CNAME chain (wire, lower case), the asked name first (cloaking).

        An allowed question exempts the chain; else the first member that is blocked decides, and `rule` names it.
        """
        for position, name in enumerate(names):
            verdict = self.decide(name, qtype)
            if position == 0:
                if verdict.action != "none":
                    return verdict
            elif verdict.action == "block" and verdict.list != "allow_only":
                return verdict._replace(rule=f"{verdict.rule} (CNAME {name_to_text(name)})")
        return NONE

    def matches(self, qname: bytes, qtype: int = 1) -> list[Match]:
        """Return every rule that matches, the deciding one first; rules switched off by ``$badfilter`` are left out."""
        name = qname[:-1]
        found: list[Match] = []
        asked: list[tuple[int, int, int, Special]] = []
        at = 0
        while at < len(name):
            tail = name[at:]
            entry = self.small.get(tail)
            if entry is not None:
                found += self._expand(tail, (entry.below if at else entry.itself) & self.mask, bool(at))
                asked += [(at, len(tail), slot, rule) for slot, rule in entry.special]
            if self.table is not None:
                found += self._expand(tail, self.table.masks(tail)[1 if at else 0] & self.mask, bool(at))
            at += name[at] + 1
        if self.patterns is not None:
            asked += [(0, 0, slot, rule) for slot, rule in self.patterns.matching(qname)]
        disabled: set[tuple[int, str]] = set()
        for at, specific, slot, rule in asked:
            if not (self.mask >> (slot * LEVELS) & 15 and rule.holds(name, at, qtype, self.client)):
                continue
            if rule.disables is not None:
                disabled.add(rule.disables)
            else:
                reply = rule.reply or (self.replies.get(slot) if rule.level in (BLOCK, BLOCK_IMPORTANT) else None)
                found.append(
                    Match(rule.level, specific, slot, self.lists[slot], rule.text, reply, rule.against_rewrite)
                )
        found = [m for m in found if (m.level, canonical(m.rule)) not in disabled] if disabled else found
        found = _without_rewrites(found) if any(m.against_rewrite for m in found) else found
        found.sort(key=lambda m: (_BY_RANK.index(m.level), -m.specific, m.slot, m.rule))
        return found

    def _weigh(self, qname: bytes, qtype: int) -> Verdict:
        verdict = self._weighed.get((qname, qtype))
        if verdict is None:
            matches = self.matches(qname, qtype)
            if matches:
                best = matches[0]
                verdict = Verdict(best.action, best.list, best.rule, best.reply)
            else:
                verdict = ALLOW_ONLY if self.allow_only else NONE
            if len(self._weighed) >= MEMO:
                self._weighed.clear()
            self._weighed[qname, qtype] = verdict
        return verdict

    def _rank(self, found: list[tuple[bytes, int]], length: int) -> Verdict:
        for level, every in self._ranks:
            for tail, bits in found:  # longest first
                ours = bits & every
                if ours:
                    slot = ((ours & -ours).bit_length() - 1) // LEVELS
                    text = name_to_text(tail)
                    if len(tail) != length:
                        text = _rule_text(tail, self._scope(tail, slot, level, True), level)
                    elif level >= BLOCK_IMPORTANT:
                        text += "$important"
                    if level in (ALLOW, ALLOW_IMPORTANT):
                        return Verdict("allow", self.lists[slot], text)
                    return Verdict("block", self.lists[slot], text, self.replies.get(slot))
        return NONE

    def _expand(self, tail: bytes, bits: int, below: bool) -> list[Match]:
        found = []
        while bits:
            bit = (bits & -bits).bit_length() - 1
            bits &= bits - 1
            slot, level = divmod(bit, LEVELS)
            text = _rule_text(tail, self._scope(tail, slot, level, below), level)
            reply = self.replies.get(slot) if level in (BLOCK, BLOCK_IMPORTANT) else None
            found.append(Match(level, len(tail), slot, self.lists[slot], text, reply))
        return found

    def _scope(self, tail: bytes, slot: int, level: int, below: bool) -> int:
        if not below:
            return 0
        bit = 1 << (slot * LEVELS + level)
        entry = self.small.get(tail)
        if entry is not None and entry.itself & bit:
            return 0
        if self.table is not None and self.table.masks(tail)[0] & bit:
            return 0
        return BELOW


def _without_rewrites(found: list[Match]) -> list[Match]:
    """Take out the answers by rule that an exception (``@@…$dnsrewrite``) is against, and the exceptions themselves."""
    stopped = {m.reply for m in found if m.against_rewrite}
    return [
        m for m in found if not m.against_rewrite and (m.reply is None or not (None in stopped or m.reply in stopped))
    ]


def _rule_text(tail: bytes, scope: int, level: int) -> str:
    text = name_to_text(tail)
    if scope == BELOW:
        text = "*." + text
    return text + "$important" if level in (BLOCK_IMPORTANT, ALLOW_IMPORTANT) else text


def _every(level: int, lists: int) -> int:
    """The mask with the bit of `level` set for each of `lists` lists."""
    return sum(1 << (slot * LEVELS + level) for slot in range(lists))
