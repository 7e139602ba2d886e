"""Named lists and the tables that all of them share: edits name by name, contents swapped in whole.

No I/O, no threads: used from the engine's loop thread, save `Staged.build`, the slow part of a load. Knows rules.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from dnsnb.dns.listcontent import ListContent
from dnsnb.dns.names import BELOW, BOTH, EXACT, RuleName, parse_rule_text
from dnsnb.dns.nametable import Layer, NameTable
from dnsnb.dns.networks import Networks
from dnsnb.dns.rules import ALLOW, BLOCK, LEVELS, Entry
from dnsnb.dns.schedule import Schedule
from dnsnb.dns.special import Patterns, Special, specs_of
from dnsnb.errors import SettingError

BLACKLIST, WHITELIST = "blacklist", "whitelist"
RESERVED = ("allow_only", "policy")  # what verdicts name where no list decided
MAX_LISTS = 256
MAX_NAMES_TYPED = 100_000


class Edit(NamedTuple):
    """A checked change of one list: what it adds and removes, and what it finds done already. `.text` is canonical."""

    list: str
    added: tuple[RuleName, ...] = ()
    already: tuple[RuleName, ...] = ()
    removed: tuple[RuleName, ...] = ()
    absent: tuple[RuleName, ...] = ()


@dataclass
class NamedList:
    """One list: `kind` is "block" or "allow", `names` were typed (and when, ms), `content` came as a text."""

    name: str
    kind: str = "block"
    enabled: bool = True
    version: int = 1
    slot: int = 0
    names: dict[RuleName, int] = field(default_factory=dict)
    content: ListContent | None = None
    schedule: Schedule | None = None

    @property
    def count(self) -> int:
        """How many rules the list holds."""
        return len(self.names) + (self.content.count if self.content else 0)


class Staged(NamedTuple):
    """A list's new content with the tables that hold it: `build` makes them, in a worker thread when there is one."""

    list: str | None
    content: ListContent | None
    layers: tuple[Layer, ...] | None
    patterns: tuple[tuple[int, Special], ...] | None

    def build(self) -> tuple[NameTable | None, Patterns | None]:
        """Make the tables; the slow part of a load."""
        table = NameTable(self.layers) if self.layers else None
        return table, Patterns(self.patterns) if self.patterns else None


class Lists:
    """All lists, each with a slot in every mask, and the tables of their rules: few names, many, patterns, networks."""

    def __init__(self) -> None:
        self.by_name: dict[str, NamedList] = {}
        self.slots: list[NamedList | None] = []
        self.small: dict[bytes, Entry] = {}
        self.table: NameTable | None = None
        self.patterns: Patterns | None = None
        self.networks = Networks()
        self.specs: frozenset[str] = frozenset()
        self._in_table: frozenset[int] = frozenset()
        self.create(BLACKLIST, "block")
        self.create(WHITELIST, "allow")

    def get(self, name: str) -> NamedList:
        """Return a list by its name; raises SettingError naming those there are."""
        found = self.by_name.get(name)
        if found is None:
            raise SettingError("list", name, f"no such list; there are {', '.join(self.by_name)}")
        return found

    def create(
        self, name: str, kind: str = "block", enabled: bool = True, schedule: Schedule | None = None
    ) -> NamedList:
        """Add an empty list."""
        if not isinstance(name, str) or not name.strip() or len(name) > 100 or not name.isprintable() or "/" in name:
            raise SettingError("list.name", name, "a name is 1 to 100 printable characters without a slash")
        if name in self.by_name or name in RESERVED:
            raise SettingError("list.name", name, "this name is taken")
        if kind not in ("block", "allow"):
            raise SettingError("list.kind", kind, "block or allow")
        if len(self.by_name) >= MAX_LISTS:
            raise SettingError("lists", len(self.by_name) + 1, f"{MAX_LISTS} lists is the most")
        # A slot that the tables still know from a list that is gone can't be taken yet.
        known = self._in_table | {slot for slot, _ in self.patterns.rules} if self.patterns else self._in_table
        free = (slot for slot, held in enumerate(self.slots) if held is None and slot not in known)
        item = NamedList(name, kind, enabled, slot=next(free, len(self.slots)), schedule=schedule)
        if item.slot == len(self.slots):
            self.slots.append(item)
        else:
            self.slots[item.slot] = item
        self.by_name[name] = item
        return item

    def drop(self, name: str) -> NamedList:
        """Take a list away; the black- and the whitelist stay."""
        item = self.get(name)
        if name in (BLACKLIST, WHITELIST):
            raise SettingError("list", name, "this list is always there; take its names away instead")
        self._unmark(item)
        del self.by_name[name]
        self.slots[item.slot] = None
        self._settle()
        return item

    def plan(self, name: str, add: Iterable[str] = (), remove: Iterable[str] = ()) -> Edit:
        """Check an edit without making it; raises SettingError quoting the first wrong name, or an unknown list."""
        target = self.get(name)
        adding = list(dict.fromkeys(parse_rule_text(text, "names") for text in add))
        removing = list(dict.fromkeys(parse_rule_text(text, "names") for text in remove))
        if len(target.names) + len(adding) > MAX_NAMES_TYPED:
            why = f"{MAX_NAMES_TYPED:,} names typed one by one is the most; make a list of a text, a file or a URL"
            raise SettingError("names", len(adding), why)
        return Edit(
            name,
            added=tuple(rule for rule in adding if rule not in target.names),
            already=tuple(rule for rule in adding if rule in target.names),
            removed=tuple(rule for rule in removing if rule in target.names),
            absent=tuple(rule for rule in removing if rule not in target.names),
        )

    def apply(self, edit: Edit, now_ms: int) -> NamedList:
        """Make a planned edit."""
        target = self.get(edit.list)
        level = ALLOW if target.kind == "allow" else BLOCK
        for rule in edit.removed:
            if target.names.pop(rule, None) is not None:
                self._mark(target, rule.tail, level, BOTH, on=False)
                for scope in (EXACT, BELOW, BOTH):  # what else the list says of this name goes on
                    held = target.content.names.get((level, scope), ()) if target.content else ()
                    if rule.tail in held or RuleName(rule.tail, scope) in target.names:
                        self._mark(target, rule.tail, level, scope, on=True)
        for rule in edit.added:
            target.names[rule] = now_ms
            self._mark(target, rule.tail, level, rule.scope, on=True)
        target.version += 1
        return target

    def stage(self, name: str | None, content: ListContent | None) -> Staged:
        """Prepare to give a list this content (None: none); `install` what `build` of the result returns.

        With no name, the tables are made anew without what lists that are gone have left in them.
        """
        contents = {other.slot: other.content for other in self.by_name.values()}
        layers = None
        big = name is None or content is None or bool(content.hashes)
        if name is not None:
            item = self.get(name)
            big = big or (item.content is not None and bool(item.content.hashes))
            contents[item.slot] = content
        if big:
            layers = tuple(
                Layer(hashes, 1 << (slot * LEVELS + level), scope)
                for slot, held in sorted(contents.items())
                if held
                for (level, scope), hashes in held.hashes.items()
            )
        patterns = tuple(
            (slot, rule)
            for slot, held in sorted(contents.items())
            if held
            for rule in held.specials
            if rule.tail is None
        )
        same = self.patterns is not None and patterns == self.patterns.rules
        return Staged(name, content, layers, None if same else patterns)

    def install(self, staged: Staged, built: tuple[NameTable | None, Patterns | None]) -> NamedList | None:
        """Swap in what was staged and built, at once. Nothing else may be staged in between."""
        if staged.layers is not None:
            table = self.table = built[0]
            if table is not None:
                for tail in self.small:
                    table.note(tail)
            self._in_table = frozenset((layer.bit.bit_length() - 1) // LEVELS for layer in staged.layers)
        if staged.patterns is not None:
            self.patterns = built[1]
        if staged.list is None:
            return None
        item = self.get(staged.list)
        self._unmark(item)
        item.content = staged.content
        if staged.content is not None:
            for (level, scope), tails in staged.content.names.items():
                for tail in tails:
                    self._mark(item, tail, level, scope, on=True)
            for rule in staged.content.specials:
                if rule.tail is not None:
                    entry = self.small.get(rule.tail, Entry(0, 0))
                    self._put(rule.tail, entry._replace(special=(*entry.special, (item.slot, rule))))
        level = ALLOW if item.kind == "allow" else BLOCK
        for typed in item.names:
            self._mark(item, typed.tail, level, typed.scope, on=True)
        self._settle()
        item.version += 1
        return item

    def _put(self, tail: bytes, entry: Entry) -> None:
        self.small[tail] = entry
        if self.table is not None:
            self.table.note(tail)

    def _mark(self, item: NamedList, tail: bytes, level: int, scope: int, on: bool) -> None:
        bit = 1 << (item.slot * LEVELS + level)
        entry = self.small.get(tail, Entry(0, 0))
        itself, below = entry.itself, entry.below
        if scope != BELOW:
            itself = itself | bit if on else itself & ~bit
        if scope != EXACT:
            below = below | bit if on else below & ~bit
        if itself or below or entry.special:
            self._put(tail, Entry(itself, below, entry.special))
        else:
            self.small.pop(tail, None)

    def _unmark(self, item: NamedList) -> None:
        content = item.content
        if content is not None:
            for (level, scope), tails in content.names.items():
                for tail in tails:
                    self._mark(item, tail, level, scope, on=False)
            for tail in {rule.tail for rule in content.specials if rule.tail is not None}:
                entry = self.small.get(tail)
                if entry is not None:
                    left = tuple(pair for pair in entry.special if pair[0] != item.slot)
                    if entry.itself or entry.below or left:
                        self.small[tail] = entry._replace(special=left)
                    else:
                        del self.small[tail]
        level = ALLOW if item.kind == "allow" else BLOCK
        for typed in item.names:
            self._mark(item, typed.tail, level, typed.scope, on=False)

    def _settle(self) -> None:
        """Work out what hangs on all contents together."""
        held = [(item.slot, item.content) for item in self.by_name.values() if item.content]
        self.networks = Networks([(slot, text, rule) for slot, content in held for text, rule in content.networks])
        rules = [rule for _, content in held for rule in content.specials]
        self.specs = specs_of([*rules, *(rule for _, content in held for _, rule in content.networks)])
