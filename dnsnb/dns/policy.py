"""What is allowed, what is blocked, for whom and when: named lists, groups of clients, local names, one generation.

No I/O, no threads; the clock is passed in. All of it is used from the engine's loop thread, save `Staged.build`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from copy import copy
from dataclasses import dataclass
from typing import Any

from dnsnb.dns.clients import ALLOW_ONLY, Directory, Identity, goes_by
from dnsnb.dns.function import Asker, PolicyFunction
from dnsnb.dns.listcontent import ListContent
from dnsnb.dns.listformats import read_list
from dnsnb.dns.lists import BLACKLIST, WHITELIST, Edit, Lists, NamedList, Staged
from dnsnb.dns.local import LocalRecords
from dnsnb.dns.nametable import NameTable
from dnsnb.dns.rebind import Rebinding
from dnsnb.dns.rules import LEVELS, NONE, Rules, Verdict
from dnsnb.dns.schedule import Schedule
from dnsnb.dns.special import Patterns
from dnsnb.errors import SettingError

CHANGES = ("list", "lists", "local", "clients", "pause", "function", "settings", "schedule")
MAX_KNOWN_CLIENTS = 16_384


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

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON: what of it applies, at most 1,000 names each way."""
        told: dict[str, Any] = {"kind": self.kind, "generation": self.generation}
        if self.list is not None:
            told |= {"list": self.list, "version": self.version, "count": self.count}
        if self.kind == "list":
            told |= {"added": self.added[:1000], "removed": self.removed[:1000]}
        return told


class Policy:
    """Everything that decides a name. `generation` moves with every change of a verdict or of a local answer."""

    def __init__(self, *, allow_only: bool = False, wall: Callable[[], float] = time.time) -> None:
        self.local = LocalRecords(lambda: self._changed(Change("local", self.generation + 1)))
        self.generation = 1
        self.wall = wall
        self.rebinding = Rebinding()
        self.directory = Directory()
        self.function: PolicyFunction | None = None
        self.dynamic = False
        self._allow_only = allow_only
        self.book = Lists()
        self._paused: dict[str | None, float] = {}
        self._next_change = float("inf")
        self._seen = wall()
        self._rules: dict[str, Rules] = {}
        self._shared: dict[tuple[int, bool, frozenset[str], str], Rules] = {}
        self._listeners: list[Callable[[Change], None]] = []

    # --- for the engine ---

    def rules_for(self, client: str) -> Rules:
        """Return the rules that hold for a client's address now; one object a group, until something changes."""
        rules = self._rules.get(client)
        if rules is None:
            if len(self._rules) >= MAX_KNOWN_CLIENTS:
                self._rules.clear()
            rules = self._rules[client] = self._rules_of(self.identify(client))
        return rules

    def decide(self, client: str, qname: bytes, qtype: int) -> Verdict:
        """Return the verdict on a question (wire name, lower case) of a client: the lists', then the function's."""
        verdict = self.rules_for(client).decide(qname, qtype)
        if self.function is not None:
            who = self.identify(client)
            asker = Asker(client, who.name, tuple(group.name for group in who.groups))
            verdict = self.function.judge(asker, qname, qtype, verdict)
        return verdict

    def decide_answer(self, client: str, qname: bytes, qtype: int, addresses: Iterable[bytes]) -> Verdict:
        """Return the verdict on an answer by the addresses in it (4 or 16 octets each): rules such as RPZ's rpz-ip."""
        if not self.book.networks:
            return NONE
        rules = self.rules_for(client)
        if rules.decide(qname, qtype).action == "allow":
            return NONE
        return self.book.networks.decide(addresses, qname, qtype, rules)

    def identify(self, client: str) -> Identity:
        """Return who an address is."""
        return self.directory.identify(client)

    def views(self) -> dict[str, tuple[str, ...]]:
        """Return the upstreams that groups have of their own, by the view that questions of their clients carry."""
        return {view_of(group.upstreams): group.upstreams for group in self.directory.groups if group.upstreams}

    def next_change(self) -> float:
        """Return when (seconds since the epoch) a schedule or a pause may change something; inf if none is timed."""
        return self._next_change

    def tick(self) -> bool:
        """Take in that time has passed: call it at `next_change`, and every minute, for clocks are set.

        Returns whether something changed. A clock that was set back makes no pause longer.
        """
        now = self.wall()
        back, self._seen = self._seen - now, now
        if back > 1 and self._next_change < float("inf"):
            self._paused = {who: until - back for who, until in self._paused.items()}
        elif now < self._next_change:
            return False
        ended = [who for who, until in self._paused.items() if until <= now]
        for who in ended:
            del self._paused[who]
        self._changed(Change("pause" if ended else "schedule", self.generation + 1))
        return True

    def seen_at(self, wall: Callable[[], float]) -> Policy:
        """Return this policy as another clock sees it: the same lists and clients, and nobody paused."""
        other = copy(self)
        other.wall = wall
        other._paused, other._rules, other._shared, other._listeners = {}, {}, {}, []
        return other

    @property
    def timed(self) -> bool:
        """Whether some list or group holds at certain hours only."""
        return any(item.schedule is not None for item in self.lists.values()) or any(
            group.schedules for group in self.directory.groups
        )

    def on_change(self, callback: Callable[[Change], None]) -> Callable[[], None]:
        """Call `callback(change)` after every change, in the order they were asked for; returns what ends it."""
        self._listeners.append(callback)
        return lambda: self._listeners.remove(callback) if callback in self._listeners else None

    # --- lists ---

    @property
    def lists(self) -> Mapping[str, NamedList]:
        """The lists by name, oldest first."""
        return self.book.by_name

    def list(self, name: str) -> NamedList:
        """Return a list by its name; raises SettingError naming those there are."""
        return self.book.get(name)

    def create(self, name: str, kind: str = "block", enabled: bool = True, schedule: str = "") -> NamedList:
        """Add an empty list."""
        made = self.book.create(name, kind, enabled, Schedule(schedule) if schedule else None)
        self._lists_changed(made)
        return made

    def drop(self, name: str) -> None:
        """Take a list away; the black- and the whitelist stay."""
        gone = self.book.drop(name)
        gone.version += 1
        self._changed(Change("lists", self.generation + 1, name, gone.version, 0))

    def configure(self, name: str, *, enabled: bool | None = None, schedule: str | None = None) -> NamedList:
        """Switch a list on or off, or set when it holds ("" for always)."""
        item = self.book.get(name)
        hours = Schedule(schedule, setting="list.schedule") if schedule else None
        item.enabled = item.enabled if enabled is None else enabled
        item.schedule = item.schedule if schedule is None else hours
        item.version += 1
        self._lists_changed(item)
        return item

    def plan(self, name: str, add: Iterable[str] = (), remove: Iterable[str] = ()) -> Edit:
        """Check an edit without making it; raises SettingError quoting the first wrong name, or an unknown list."""
        return self.book.plan(name, add, remove)

    def apply(self, edit: Edit) -> None:
        """Make a planned edit: it holds from the next query."""
        if edit.added or edit.removed:
            item = self.book.apply(edit, int(self.wall() * 1000))
            added, removed = tuple(r.text for r in edit.added), tuple(r.text for r in edit.removed)
            self._changed(Change("list", self.generation + 1, item.name, item.version, item.count, added, removed))

    def edit(self, name: str, add: Iterable[str] = (), remove: Iterable[str] = ()) -> Edit:
        """Add and remove names of a list, all or nothing; returns what was done."""
        edit = self.plan(name, add, remove)
        self.apply(edit)
        return edit

    def stage(self, name: str | None, content: ListContent | None) -> Staged:
        """Prepare to give a list this content; `install` what `build` of the result returns (see `Lists.stage`)."""
        return self.book.stage(name, content)

    def install(self, staged: Staged, built: tuple[NameTable | None, Patterns | None]) -> None:
        """Swap in what was staged and built, at once. Nothing else may be staged in between."""
        item = self.book.install(staged, built)
        if item is not None:
            self._lists_changed(item)
        else:
            self._changed(Change("lists", self.generation + 1))

    def load(self, name: str, text: bytes | str, kind: str = "block", **how: Any) -> ListContent:
        """Give a list (made when there is none) the content of a text, all at once; `how` as in `read_list`."""
        content = read_list(text.encode() if isinstance(text, str) else text, kind=kind, **how)
        if name not in self.lists:
            self.create(name, kind)
        staged = self.stage(name, content)
        self.install(staged, staged.build())
        return content

    # --- everything else that can be set ---

    @property
    def allow_only(self) -> bool:
        """Whether nothing resolves but what an allow list names (and local names)."""
        return self._allow_only

    @allow_only.setter
    def allow_only(self, value: bool) -> None:
        if value != self._allow_only:
            self._allow_only = value
            self._changed(Change("settings", self.generation + 1))

    def check_directory(self, directory: Directory) -> None:
        """Raise SettingError when a group names a list that isn't there."""
        for group in directory.groups:
            for name in (*group.lists, *(key for key in group.schedules if key != ALLOW_ONLY)):
                if name not in self.lists:
                    why = f"no such list; there are {', '.join(self.lists)}"
                    raise SettingError(f"groups.{group.name}.lists", name, why)

    def set_directory(self, directory: Directory, *, checked: bool = False) -> None:
        """Take new clients and groups, all at once; `checked`: groups may name lists that are yet to come."""
        if not checked:
            self.check_directory(directory)
        self.directory = directory
        self._changed(Change("clients", self.generation + 1))

    def set_function(self, function: Callable[..., Any] | None) -> None:
        """Call this after the lists, from the next query (see `PolicyFunction`); None takes it away."""
        if function is not None and not callable(function):
            raise SettingError("function", function, "must be a function (question, client) -> verdict")
        self.function = None if function is None else PolicyFunction(function)
        self.dynamic = self.function is not None
        self._changed(Change("function", self.generation + 1))

    def set_rebinding(self, rebinding: Rebinding) -> None:
        """Switch the protection against rebinding, or change who is exempt."""
        self.rebinding = rebinding
        self._changed(Change("settings", self.generation + 1))

    def pause(self, seconds: float, who: str | None = None) -> float:
        """Let lists rest for so long, for everybody or one address, client or group; returns the end (epoch)."""
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= 86_400:
            raise SettingError("pause.seconds", seconds, "more than 0 and at most 86400 seconds")
        if len(self._paused) >= 1000 and who not in self._paused:
            raise SettingError("pause.who", who, "1,000 pauses at once is the most")
        until = self._paused[who] = self.wall() + seconds
        self._changed(Change("pause", self.generation + 1))
        return until

    def resume(self, who: str | None = None) -> bool:
        """End a pause; returns whether there was one."""
        if self._paused.pop(who, None) is None:
            return False
        self._changed(Change("pause", self.generation + 1))
        return True

    @property
    def paused(self) -> Mapping[str | None, float]:
        """The pauses: who (None: everybody) and until when (epoch seconds)."""
        return self._paused

    def summary(self) -> dict[str, Any]:
        """Return what is set, in short, for JSON."""
        return {
            "generation": self.generation,
            "lists": {
                item.name: {"kind": item.kind, "version": item.version, "count": item.count, "enabled": item.enabled}
                for item in self.lists.values()
            },
            "records": len(self.local),
            "groups": len(self.directory.groups),
            "paused": [{"client": who, "until": int(until * 1000)} for who, until in self._paused.items()],
            "function": None if self.function is None else self.function.as_dict(),
        }

    # --- inside ---

    def _lists_changed(self, item: NamedList) -> None:
        self._changed(Change("lists", self.generation + 1, item.name, item.version, item.count))

    def _rules_of(self, who: Identity) -> Rules:
        now = self.wall()
        view = view_of(next((group.upstreams for group in who.groups if group.upstreams), ()))
        if any(key in self._paused for key in (None, who.address, who.name, *(group.name for group in who.groups))):
            key: tuple[int, bool, frozenset[str], str] = (0, False, frozenset(), view)
        else:
            mask = 0
            for item in self._held_by(who, now):
                mask |= 15 << (item.slot * LEVELS)
            key = (mask, self._only(who, now), goes_by(who, self.book.specs), view)
        rules = self._shared.get(key)
        if rules is None:
            names = tuple(item.name if item else "" for item in self.book.slots)
            replies = {i.slot: i.content.reply for i in self.lists.values() if i.content and i.content.reply}
            rules = Rules(
                names, key[0], self.book.small, self.book.table, self.book.patterns, key[1], key[2], replies, view
            )
            if not key[0]:
                rules.small, rules.table, rules.patterns = {}, None, None
            self._shared[key] = rules
        return rules

    def _held_by(self, who: Identity, now: float) -> Iterable[NamedList]:
        """The lists that hold for a client now: its groups' own, and everybody's where a group inherits them."""
        everybody = next((g for g in self.directory.groups if g.name == "default"), None)
        groups = [g for g in who.groups if g is not everybody]
        named = {name for g in self.directory.groups for name in g.lists}
        for item in self.lists.values():
            if not item.enabled or (item.schedule is not None and not item.schedule.active(now)):
                continue
            common = item.name in (BLACKLIST, WHITELIST)
            common = common or (item.name in everybody.lists if everybody else item.name not in named)
            holders = [g for g in groups if item.name in g.lists or (g.inherit and common)]
            if not groups and common:
                holders = [everybody] if everybody else []
                if not everybody:
                    yield item
                    continue
            if any(item.name not in g.schedules or g.schedules[item.name].active(now) for g in holders):
                yield item

    def _only(self, who: Identity, now: float) -> bool:
        if self._allow_only:
            return True
        for group in who.groups or tuple(g for g in self.directory.groups if g.name == "default"):
            hours = group.schedules.get(ALLOW_ONLY)
            if hours.active(now) if hours is not None else group.allow_only:
                return True
        return False

    def _changed(self, change: Change) -> None:
        self.generation = change.generation
        self._rules.clear()
        self._shared.clear()
        now = self.wall()
        timed = [item.schedule for item in self.lists.values() if item.schedule is not None]
        timed += [hours for group in self.directory.groups for hours in group.schedules.values()]
        self._next_change = min((*(s.next_change(now) for s in timed), *self._paused.values()), default=float("inf"))
        for listener in tuple(self._listeners):
            listener(change)


def view_of(upstreams: tuple[str, ...]) -> str:
    """Return the view of a group's own upstreams; "" is everybody's."""
    return " ".join(upstreams)
