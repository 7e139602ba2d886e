"""What is allowed, what is blocked, for whom and when: named lists, groups of clients, local names, one generation.

No I/O, no threads; the clock is passed in. All of it is used from the engine's loop thread. Knows rules, local, names.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from dnsnb.dns.local import LocalRecords
from dnsnb.dns.names import BELOW, EXACT, RuleName, parse_rule_text, tail_text
from dnsnb.dns.rules import ALLOW, BLOCK, LEVELS, NONE, Entry, Rules, Verdict
from dnsnb.errors import SettingError

BLACKLIST, WHITELIST = "blacklist", "whitelist"
MAX_LISTS = 256
CHANGES = ("list", "lists", "local", "clients", "pause", "function", "settings")


class Edit(NamedTuple):
    """A checked change of one list: what it adds and removes, and what it finds done already. Texts are canonical."""

    list: str
    added: tuple[RuleName, ...] = ()
    already: tuple[RuleName, ...] = ()
    removed: tuple[RuleName, ...] = ()
    absent: tuple[RuleName, ...] = ()


@dataclass(frozen=True)
class Change:
    """What a listener is told: `kind` is one of `CHANGES`; a list's change carries its delta and its new version."""

    kind: str
    generation: int
    list: str | None = None
    version: int = 0
    count: int = 0
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


@dataclass
class NamedList:
    """One list: `name`, `kind` ("block" or "allow"), `enabled`, and its typed `names` with when each was added (ms)."""

    name: str
    kind: str = "block"
    enabled: bool = True
    version: int = 1
    names: dict[RuleName, int] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many rules the list holds."""
        return len(self.names)


class Policy:
    """Everything that decides a name. `generation` moves with every change of a verdict or of a local answer."""

    def __init__(self, *, allow_only: bool = False, wall: Callable[[], float] = time.time) -> None:
        self.local = LocalRecords()
        self.generation = 1
        self.wall = wall
        self._allow_only = allow_only
        self._lists: dict[str, NamedList] = {
            BLACKLIST: NamedList(BLACKLIST, "block"),
            WHITELIST: NamedList(WHITELIST, "allow"),
        }
        self._small: dict[bytes, Entry] = {}
        self._rules: Rules | None = None
        self._listeners: list[Callable[[Change], None]] = []

    # --- for the engine ---

    def rules_for(self, client: str) -> Rules:
        """Return the rules that hold for a client's address now; one object a group, until something changes."""
        rules = self._rules
        if rules is None:
            rules = self._rules = self._build()
        return rules

    def decide(self, client: str, qname: bytes, qtype: int) -> Verdict:
        """Return the verdict on a question (wire name, lower case) of a client."""
        return self.rules_for(client).decide(qname, qtype)

    def on_change(self, callback: Callable[[Change], None]) -> Callable[[], None]:
        """Call `callback(change)` after every change, in the order they were asked for; returns what ends it."""
        self._listeners.append(callback)
        return lambda: self._listeners.remove(callback) if callback in self._listeners else None

    # --- lists ---

    @property
    def lists(self) -> Mapping[str, NamedList]:
        """The lists by name, in the order that settles ties."""
        return MappingProxyType(self._lists)

    @property
    def allow_only(self) -> bool:
        """Whether nothing resolves but what an allow list names (and local names)."""
        return self._allow_only

    @allow_only.setter
    def allow_only(self, value: bool) -> None:
        if value != self._allow_only:
            self._allow_only = value
            self._changed(Change("settings", self.generation + 1))

    def plan(self, name: str, add: Iterable[str] = (), remove: Iterable[str] = ()) -> Edit:
        """Check an edit without making it; raises SettingError quoting the first wrong name, or an unknown list."""
        target = self._list(name)
        adding = list(dict.fromkeys(parse_rule_text(text, "names") for text in add))
        removing = list(dict.fromkeys(parse_rule_text(text, "names") for text in remove))
        return Edit(
            name,
            added=tuple(rule for rule in adding if rule not in target.names),
            already=tuple(rule for rule in adding if rule in target.names),
            removed=tuple(rule for rule in removing if rule in target.names),
            absent=tuple(rule for rule in removing if rule not in target.names),
        )

    def apply(self, edit: Edit) -> None:
        """Make a planned edit: it holds from the next query."""
        if not (edit.added or edit.removed):
            return
        target = self._list(edit.list)
        position = list(self._lists).index(edit.list)
        now = int(self.wall() * 1000)
        for rule in edit.removed:
            if target.names.pop(rule, None) is not None:
                self._mark(position, target.kind, rule, on=False)
        for rule in edit.added:
            target.names[rule] = now
            self._mark(position, target.kind, rule, on=True)
        target.version += 1
        self._changed(
            Change(
                "list",
                self.generation + 1,
                edit.list,
                target.version,
                target.count,
                tuple(rule.text for rule in edit.added),
                tuple(rule.text for rule in edit.removed),
            )
        )

    def edit(self, name: str, add: Iterable[str] = (), remove: Iterable[str] = ()) -> Edit:
        """Add and remove names of a list, all or nothing; returns what was done."""
        edit = self.plan(name, add, remove)
        self.apply(edit)
        return edit

    # --- inside ---

    def _list(self, name: str) -> NamedList:
        found = self._lists.get(name)
        if found is None:
            raise SettingError("list", name, f"no such list; there are {', '.join(self._lists)}")
        return found

    def _mark(self, position: int, kind: str, rule: RuleName, on: bool) -> None:
        bit = 1 << (position * LEVELS + (ALLOW if kind == "allow" else BLOCK))
        entry = self._small.get(rule.tail, Entry(0, 0))
        itself, below, special = entry.itself, entry.below, entry.special
        if rule.scope != BELOW:
            itself = itself | bit if on else itself & ~bit
        if rule.scope != EXACT:
            below = below | bit if on else below & ~bit
        if itself or below or special:
            self._small[rule.tail] = Entry(itself, below, special)
        else:
            self._small.pop(rule.tail, None)

    def _build(self) -> Rules:
        mask = 0
        for position, item in enumerate(self._lists.values()):
            if item.enabled:
                mask |= 15 << (position * LEVELS)
        return Rules(tuple(self._lists), mask, self._small, None, None, self._allow_only)

    def _changed(self, change: Change) -> None:
        self.generation = change.generation
        self._rules = None
        for listener in tuple(self._listeners):
            listener(change)


__all__ = ["NONE", "Change", "Edit", "NamedList", "Policy", "tail_text"]
