"""The public suffix list (https://publicsuffix.org): which part of a name somebody has registered.

The list itself comes with the package `publicsuffixlist`, which is renewed as the list is; the look-up is ours, for
millions of names. Terms are those of RFC 9499; the algorithm is the list's own, rules of both sections.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from dnsnb.names.spelling import spelled

ICANN, PRIVATE, UNKNOWN = "icann", "private", "unknown"


class Parts(NamedTuple):
    """A name taken apart: `sub`.`label`.`suffix`; `registered` is ``label.suffix``, None when nothing is registered.

    `kind` says where the suffix stands: "icann", "private" (a host for others, such as github.io), or "unknown" (the
    last label, in neither section: a name that leaked out of some network, or a new one).
    """

    sub: str
    registered: str | None
    suffix: str
    kind: str


class Suffixes:
    """The rules of the list, as look-ups by suffix."""

    def __init__(self, text: str) -> None:
        #: a suffix -> where its rule stands; wildcards by what stands behind the star, exceptions by their whole name
        self.exact: dict[str, str] = {}
        self.stars: dict[str, str] = {}
        self.exceptions: dict[str, str] = {}
        kind = ICANN
        for line in text.splitlines():
            rule = line.strip()
            if "===BEGIN PRIVATE DOMAINS===" in rule:
                kind = PRIVATE
            if not rule or rule.startswith("//"):
                continue
            rule = rule.split()[0]
            plain = rule.lstrip("!").removeprefix("*.")
            ascii_name = plain if plain.isascii() else plain.encode("idna").decode()
            where = self.exceptions if rule[0] == "!" else self.stars if rule[0] == "*" else self.exact
            where.setdefault(ascii_name.lower(), kind)
        #: names that stand above some rule: no further to look where the next one isn't among them
        self.above: set[str] = set()
        for rule in (*self.exact, *self.exceptions, *(f"*.{star}" for star in self.stars)):
            labels = rule.split(".")
            self.above.update(".".join(labels[at:]) for at in range(1, len(labels)))
        #: what ends like this needs the whole look-up; all other names are registered below their last label
        self.special = {rule for rule in (*self.above, *self.exact) if "." in rule}
        self.star_tops = {star for star in self.stars if "." not in star}

    def suffix(self, name: str, private: bool = True) -> tuple[int, str]:
        """Return where the public suffix of a name without escapes begins, and its kind."""
        at = name.rfind(".")
        best, kind = at + 1, UNKNOWN  # the rule for all: the last label
        while True:
            candidate = name[at + 1 :]
            found = self.exact.get(candidate)
            if found is not None and (private or found is not PRIVATE):
                best, kind = at + 1, found
            if candidate in self.exceptions:
                return name.find(".", at + 1) + 1, self.exceptions[candidate]
            if candidate not in self.above:
                return best, kind
            if at < 0:
                return best, kind
            previous = name.rfind(".", 0, at)
            star = self.stars.get(candidate)
            if star is not None and (private or star is not PRIVATE) and name[previous + 1 :] not in self.exceptions:
                best, kind = previous + 1, star
            at = previous


@cache
def suffixes() -> Suffixes:
    """Return the rules; read once."""
    return Suffixes(files("publicsuffixlist").joinpath("public_suffix_list.dat").read_text(encoding="utf-8"))


def parts(names: Iterable[str | bytes | None], *, private: bool = True) -> list[Parts]:
    """Return each name taken apart; a null is (“”, None, “”, "unknown"), and so are the root and an empty text.

    Names may be spelled in any way (see `spelled`); their parts are spelled as in the frame.

    >>> parts(["www.shop.example.co.uk", "me.github.io", "nas.lan"])[0]
    Parts(sub='www.shop', registered='example.co.uk', suffix='co.uk', kind='icann')
    """
    rules = suffixes()
    special, stars, exact = rules.special, rules.star_tops, rules.exact
    found: list[Parts] = []
    for name in spelled(names):
        if name and "\\" not in name:
            dot = name.rfind(".")
            second = name.rfind(".", 0, dot)
            tail = name[second + 1 :]
            if dot > 0 and second and tail not in special and (top := name[dot + 1 :]) not in stars:
                sub = name[:second] if second > 0 else ""
                found.append(Parts(sub, tail, top, exact.get(top, UNKNOWN)))
                continue
        found.append(_parts(rules, name, private))
    return found


def registered_domain(names: Iterable[str | bytes | None], *, private: bool = True) -> list[str | None]:
    """Return each name's registered domain (eTLD+1); None for a public suffix, a single label, the root, a null.

    Names may be in any case, with a final dot or not, with escapes, in Unicode or bytes; what is returned is as in the
    frame. With `private` False what hosts for others (github.io, a provider of dynamic names) is registered itself.

    >>> registered_domain(["a.b.example.co.uk", "me.github.io", "co.uk", "localhost", None])
    ['example.co.uk', 'me.github.io', None, None, None]
    >>> registered_domain(["WWW.Example.COM.", b"shop.example.org", "www.b\u00fccher.example"])
    ['example.com', 'example.org', 'xn--bcher-kva.example']
    >>> registered_domain(["me.github.io"], private=False)
    ['github.io']
    """
    rules = suffixes()
    special, stars, suffix = rules.special, rules.star_tops, rules.suffix
    found: list[str | None] = []
    add = found.append
    for name in spelled(names):
        if "\\" in name:
            add(_parts(rules, name, private).registered)
            continue
        dot = name.rfind(".")
        if dot <= 0:
            add(None)
            continue
        second = name.rfind(".", 0, dot)
        tail = name[second + 1 :]
        if tail not in special and name[dot + 1 :] not in stars:  # most names
            add(tail if second else None)
            continue
        begin, _ = suffix(name, private)
        add(None if begin < 2 else name[name.rfind(".", 0, begin - 1) + 1 :])
    return found


def _parts(rules: Suffixes, name: str, private: bool) -> Parts:
    if name in ("", "."):
        return Parts("", None, "", UNKNOWN)
    plain = masked(name)
    begin, kind = rules.suffix(plain, private)
    if begin < 2:
        return Parts("", None, name[begin:], kind)
    label = plain.rfind(".", 0, begin - 1)
    return Parts(name[: max(label, 0)], name[label + 1 :], name[begin:], kind)


def masked(name: str) -> str:
    r"""Return a name of the same length whose escaped dots (``\.``, ``\046``) are no dots any more."""
    if "\\" not in name:
        return name
    out = list(name)
    at = 0
    while at < len(name):
        if name[at] == "\\":
            width = 4 if name[at + 1 : at + 4].isdigit() else 2
            out[at : at + width] = "_" * len(out[at : at + width])
            at += width
        else:
            at += 1
    return "".join(out)
