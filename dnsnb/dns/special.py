"""Rules that ask for more than a name: for some types or clients only, with exceptions, with an answer of their own.

No I/O; knows names. Also what is matched by pattern: globs (``||ads*.example.com^``) and, by RE2, regular expressions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from dnsnb.dns.names import BELOW, BOTH, EXACT
from dnsnb.dns.wire import name_to_text
from dnsnb.errors import SettingError

MAX_PATTERNS = 20_000
MAX_REGEX = 1_000
REGEX_BUDGET = 8 << 20  # bytes of automaton that one expression may take
SET_BUDGET = 64 << 20

NO_RE2 = "regular expressions need google-re2, which matches in linear time: pip install 'dnsnb[regex]'"


class Reply(NamedTuple):
    """How a rule wants its question answered, where it says so itself (RPZ actions, ``$dnsrewrite``).

    `kind`: "nxdomain", "nodata", "refused", "drop", "truncate" (ask again over TCP) or "records": `records` are then
    (type, ttl or None for the block TTL, rdata). A CNAME among them may point outside: the engine resolves its target.
    """

    kind: str
    records: tuple[tuple[int, int | None, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class Special:
    """One such rule. `tail` anchors it (None: it holds for any name, or `glob`/`regex` says for which).

    `types`: question types it is for (`not_types`: all but these). `clients`, `not_clients`: who must ask, as written.
    `except_below`: tails (``$denyallow``) at and below which it doesn't hold. `disables`: level and text of the rule it
    switches off (``$badfilter``). `against_rewrite`: an exception that only stops answers by rule.
    """

    text: str
    level: int
    tail: bytes | None = None
    scope: int = BOTH
    types: frozenset[int] = frozenset()
    not_types: frozenset[int] = frozenset()
    clients: tuple[str, ...] = ()
    not_clients: tuple[str, ...] = ()
    except_below: tuple[bytes, ...] = ()
    glob: str | None = None
    regex: str | None = None
    invert: bool = False
    reply: Reply | None = None
    disables: tuple[int, str] | None = None
    against_rewrite: bool = False

    def holds(self, name: bytes, at: int, qtype: int, who: frozenset[str]) -> bool:
        """Whether it holds for a name (a tail) at octet `at`, of this type, asked by a client that goes by `who`."""
        if not self.scope & (BELOW if at else EXACT):
            return False
        if (self.types and qtype not in self.types) or qtype in self.not_types:
            return False
        if self.clients and who.isdisjoint(self.clients):
            return False
        if self.not_clients and not who.isdisjoint(self.not_clients):
            return False
        return not any(_at_or_below(name, tail) for tail in self.except_below)


class Patterns:
    """All rules that no table of names can hold, matched together: regular expressions by one RE2 set.

    Raises SettingError when the set would take too much memory.
    """

    def __init__(self, rules: Sequence[tuple[int, Special]]) -> None:
        self.rules = tuple(rules)
        self._always: list[tuple[int, Special]] = []
        self._globs = _Globs()
        self._inverted: list[tuple[Any, tuple[int, Special]]] = []
        self._straight: list[tuple[int, Special]] = []
        self._set: Any = None
        for item in rules:
            rule = item[1]
            if rule.glob is not None:
                self._globs.add(_Glob(rule.glob), item)
            elif rule.regex is None:
                self._always.append(item)
            elif rule.invert:
                self._inverted.append((compile_regex(rule.regex), item))
            else:
                self._straight.append(item)
        if self._straight:
            import re2

            self._set = re2.Set.SearchSet(_options(SET_BUDGET))
            for _, rule in self._straight:
                self._set.Add(rule.regex)
            try:
                self._set.Compile()
            except re2.error:
                why = f"regular expressions that together take more than {SET_BUDGET >> 20} MB of memory"
                raise SettingError("lists", f"{len(self._straight):,} expressions", why) from None

    def matching(self, qname: bytes) -> list[tuple[int, Special]]:
        """Return (list slot, rule) of the rules whose pattern matches a wire name; linear in the name's length."""
        text = name_to_text(qname)
        found = list(self._always)
        found += self._globs.matching(text)
        if self._set is not None:
            found += [self._straight[number] for number in self._set.Match(text) or ()]
        found += [item for regex, item in self._inverted if regex.search(text) is None]
        return found


class _Globs:
    """Globs by four letters that a name must hold to match: of twenty thousand a name is laid beside a handful."""

    def __init__(self) -> None:
        self._items: list[tuple[_Glob, tuple[int, Special]]] = []
        self._loose: list[int] = []  # with no four letters in a row
        self._by_run: dict[str, list[int]] = {}

    def add(self, glob: _Glob, item: tuple[int, Special]) -> None:
        runs = _runs(*glob.pieces)
        rarest = min(runs, key=lambda run: len(self._by_run.get(run, ())), default=None)
        known = self._loose if rarest is None else self._by_run.setdefault(rarest, [])
        known.append(len(self._items))
        self._items.append((glob, item))

    def matching(self, text: str) -> list[tuple[int, Special]]:
        """Return the items of the globs that match a name, in the order in which they were added."""
        near = self._loose.copy()
        if self._by_run:
            for run in _runs(text) & self._by_run.keys():
                near += self._by_run[run]
        return [self._items[number][1] for number in sorted(near) if self._items[number][0].matches(text)]


def _runs(*texts: str) -> set[str]:
    return {text[at : at + 4] for text in texts for at in range(len(text) - 3)}


class _Glob:
    """A pattern with ``*`` as in adblock lists: ``||`` is a label's start, ``|`` an end, ``^`` the end of the name."""

    __slots__ = ("_end", "_label", "_start", "pieces")

    def __init__(self, pattern: str) -> None:
        self._label = pattern.startswith("||")
        self._start = not self._label and pattern.startswith("|")
        body = pattern.lstrip("|").lower()
        self._end = body.endswith(("^", "|"))
        self.pieces = body.rstrip("^|").split("*")

    def matches(self, text: str) -> bool:
        first = self.pieces[0]
        if self._start:
            return text.startswith(first) and self._rest(text, len(first))
        if not self._label:
            if len(self.pieces) == 1 and self._end:
                return text.endswith(first)
            at = text.find(first)  # the leftmost leaves most for what follows
            return at >= 0 and self._rest(text, at + len(first))
        at = 0
        while True:
            if text.startswith(first, at) and self._rest(text, at + len(first)):
                return True
            at = text.find(".", at) + 1
            if at == 0:
                return False

    def _rest(self, text: str, at: int) -> bool:
        pieces = self.pieces[1:]
        if not pieces:
            return not self._end or at == len(text)
        for piece in pieces[:-1]:
            found = text.find(piece, at)
            if found < 0:
                return False
            at = found + len(piece)
        last = pieces[-1]
        if self._end:
            return text.endswith(last) and len(text) - len(last) >= at
        return text.find(last, at) >= 0


def compile_regex(pattern: str) -> Any:
    """Return a regular expression compiled by RE2, or raise ValueError saying why it is refused."""
    if len(pattern) > MAX_REGEX:
        raise ValueError(f"the expression is longer than {MAX_REGEX} characters")
    try:
        import re2
    except ImportError:
        raise ValueError(NO_RE2) from None
    try:
        return re2.compile(pattern, _options(REGEX_BUDGET))
    except re2.error as error:
        why = error.args[0] if error.args else "not a regular expression"
        shown = why.decode("utf-8", "replace") if isinstance(why, bytes) else str(why)
        if re.search(r"\\\d|\(\?[=!<]|\(\?>", pattern):
            shown += " (look-around and back-references can take for ever, so RE2 has none)"
        raise ValueError(shown) from None


def _options(budget: int) -> Any:
    import re2

    options = re2.Options()
    options.max_mem = budget
    options.log_errors = False
    options.case_sensitive = False
    options.never_capture = True
    return options


def _at_or_below(name: bytes, tail: bytes) -> bool:
    if not name.endswith(tail):
        return False
    at, stop = 0, len(name) - len(tail)
    while at < stop:
        at += name[at] + 1
    return at == stop


def canonical(text: str) -> str:
    """Return a rule's text as ``$badfilter`` compares it: without the marks that say the same, modifiers in order."""
    pattern, modifiers = split_modifiers(text.removeprefix("@@"))
    if pattern.startswith("||") and pattern.endswith("^"):
        pattern = pattern[2:-1]
    kept = sorted(m for m in modifiers if m != "badfilter")
    return pattern.lower() + ("$" + ",".join(kept) if kept else "")


def split_modifiers(text: str) -> tuple[str, list[str]]:
    """Split an adblock rule at its ``$``: (pattern, modifiers); escaped or quoted commas don't part them."""
    if text.startswith("/"):
        close = text.rfind("/")
        if close == 0 or (len(text) > close + 1 and text[close + 1] != "$"):
            return text, []
        pattern, rest = text[: close + 1], text[close + 2 :]
    else:
        pattern, _, rest = text.partition("$")
    parts, start = [], 0
    for found in re.finditer(r"""\\.|'[^']*'|"[^"]*"|,""", rest):
        if found[0] == ",":
            parts.append(rest[start : found.start()])
            start = found.end()
    parts.append(rest[start:])
    return pattern, [part.strip().replace("\\,", ",") for part in parts if part.strip()]


def specs_of(rules: Iterable[Special]) -> frozenset[str]:
    """Return every client that the rules name."""
    return frozenset(spec for rule in rules for spec in (*rule.clients, *rule.not_clients))
