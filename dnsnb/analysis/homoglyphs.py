"""Names in letters of another script that look like others, label by label; what an A-label hides is never shown.

After UTS 39 (skeletons, scripts that are written together) by the tables of `confusable_homoglyphs`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from dnsnb.analysis.domains import by_name, rolled, taken_apart
from dnsnb.analysis.known import KNOWN
from dnsnb.analysis.lookalikes import domains_of
from dnsnb.analysis.result import Result, result
from dnsnb.names import Parts
from dnsnb.names.suffixes import masked

#: joiners are seen in some scripts' words; all else that has no shape of its own hides or turns what stands around it
_JOINERS = "\u200c\u200d"
_SHAPELESS = {"Cc", "Cf", "Cs", "Zs", "Zl", "Zp"}
#: what would be read as the end of a label or of a name: fraction and division slash, dots of other scripts …
_DECEIVING = frozenset("\u2044\u2215\u2571\u29f8\u3002\u06d4\u0701\u0702\u2024\u2027\ua789\u02d0\u2236")
_SIGNS = frozenset(" ./\\:?#@&%")
_LDH = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")
_VERDICTS = ("homoglyph", "mixed scripts", "undecodable", "")
_SAME = str.maketrans("i10", "llo")
#: scripts that are written together (UTS 39, "highly restrictive")
_TOGETHER = ({"LATIN", "HAN", "HIRAGANA", "KATAKANA"}, {"LATIN", "HAN", "BOPOMOFO"}, {"LATIN", "HAN", "HANGUL"})


def homoglyphs(frame: Any, of: Iterable[str] = KNOWN, n: int | None = 50) -> Result:
    """Return the internationalised names (A-labels, RFC 5891) with what they show and what they could be taken for.

    `domain` is the registered domain, `shown` what is told of it, in Unicode: the domain itself, or what stands from a
    telling label before it on (``p\u0430ypal.com.evil.example``). `scripts` are those it is written in, `verdict`
    "homoglyph" when its skeleton (UTS 39: each letter by the one it looks like) is that of a known domain or of another
    domain in the frame, which stands in `like`; else "mixed scripts" when they are not written together anywhere,
    "undecodable" when it is no valid A-label or hides what it shows (then it stays as it is), or nothing. Labels before
    the registered domain are told of only when something is wrong; to be a homoglyph they must show the known label
    with its suffix, or one of at least five letters of `of`. The sure ones come first.

    >>> import pandas as pd
    >>> frame = pd.DataFrame({"client": ["a", "a"], "qname": ["xn--pple-43d.com", "xn--bcher-kva.example"]})
    >>> homoglyphs(frame)[["shown", "like", "verdict"]].fillna("").values.tolist()
    [['аpple.com', 'apple.com', 'homoglyph'], ['bücher.example', '', '']]
    """
    groups = by_name(frame)
    codes, apart = taken_apart(groups)
    own = sorted(domains_of(of))
    registered = {p.registered for p in apart if p.registered}
    plain = Plain(sorted((d for d in registered if not d.startswith("xn--")), reverse=True), own)
    told = [_told(part, plain) if "xn--" in part.sub or "xn--" in (part.registered or "") else None for part in apart]
    by_key = {f"{one.domain} {one.shown}": one for one in told if one}
    keys = np.array([f"{one.domain} {one.shown}" if one else None for one in told] + [None], dtype="object")[codes]
    best = rolled(groups.assign(key=keys)[pd.notna(keys)], "key").drop(columns=["nx", "blocked", "blocked_share"])
    for at, name in enumerate(Told._fields):
        best.insert(at, name, pd.Series([by_key[key][at] for key in best["key"]], dtype="str"))
    best = best.drop(columns="key")
    best = best.sort_values("verdict", key=lambda v: v.map(_VERDICTS.index), kind="stable", ignore_index=True)
    sure = int(best["verdict"].eq("homoglyph").sum())
    read_as = f"{len(best):,} internationalised names, {sure:,} of them look like another"
    chart = {"kind": "bars", "name": ["verdict", "domain"], "value": "queries"}
    return result(best.head(len(best) if n is None else n), "homoglyphs", read_as, chart, n=n)


class Told(NamedTuple):
    """What is said of an internationalised name."""

    domain: str
    shown: str
    like: str | None
    scripts: str
    verdict: str


class Plain:
    """Skeletons of labels in ASCII -> whose they are; of the domains of one's own, and of those asked for."""

    def __init__(self, asked: list[str], own: list[str]) -> None:
        self.own = {skeleton(domain.partition(".")[0]): domain for domain in own}
        self.all = {skeleton(domain.partition(".")[0]): domain for domain in asked} | self.own
        self.whole = {(skeleton(d.partition(".")[0]), d.partition(".")[2]): d for d in (*asked, *own)}

    def like(self, label: str, rest: str, registered: str) -> str | None:
        """Return whom a label before the registered domain is like; `rest` stands behind it."""
        bones, labels = skeleton(label), rest.split(".")
        for count in (1, 2):  # labels of the suffix
            whole = self.whole.get((bones, ".".join(labels[:count])))
            if whole is not None and whole != registered:
                return whole
        known = self.own.get(bones) if len(bones) >= 5 else None
        return known if known != registered else None


def _told(part: Parts, plain: Plain) -> Told | None:
    """Return the worst that an internationalised name shows; None where it shows nothing and its domain is ASCII."""
    domain = part.registered
    if domain is None:
        return None
    told: list[Told] = []
    if domain.startswith("xn--"):
        label, rest = domain.split(".", 1)
        text = decoded(label)
        if text is None:
            told.append(Told(domain, domain, None, "", "undecodable"))
        else:
            told.append(_of_text(domain, text, rest, plain.all.get(skeleton(text))))
    labels = split(part.sub)
    for at, label in enumerate(labels):
        if not label.startswith("xn--"):
            continue
        rest = ".".join((*labels[at + 1 :], domain))
        text = decoded(label)
        if text is None:
            told.append(Told(domain, shown(domain), None, "", "undecodable"))
        else:
            told.append(_of_text(domain, text, rest, plain.like(text, rest, domain)))
    worst = min(told, key=lambda one: _VERDICTS.index(one.verdict), default=None)
    return worst if worst is None or worst.verdict or domain.startswith("xn--") else None


def _of_text(domain: str, text: str, rest: str, like: str | None) -> Told:
    scripts = sorted({script for letter in text if (script := _script(letter))})
    mixed = len(scripts) > 1 and not any(set(scripts) <= together for together in _TOGETHER)
    verdict = "homoglyph" if like else "mixed scripts" if mixed else ""
    return Told(domain, f"{text}.{shown(rest)}", like, " ".join(s.capitalize() for s in scripts), verdict)


def shown(name: str) -> str:
    """Return a name with its A-labels in Unicode, those that can't be shown as they are.

    >>> shown("www.xn--bcher-kva.xn--p1ai")
    'www.bücher.рф'
    """
    return ".".join(decoded(label) or label for label in split(name))


def split(name: str) -> list[str]:
    """Return a name's labels, escapes left in place."""
    if "\\" not in name:
        return name.split(".") if name else []
    plain, at, labels = masked(name), 0, []
    for label in plain.split("."):
        labels.append(name[at : at + len(label)])
        at += len(label) + 1
    return labels


def decoded(label: str) -> str | None:
    """Return what an A-label shows; None where it is none: undecodable, nothing but ASCII, or with what would deceive.

    Lone surrogates, turned directions, line ends and blanks hide or turn what stands around them, and what looks like a
    dot, a slash or a colon would end the name before its end: such a label is never shown.
    """
    bare = label.removeprefix("xn--")
    if bare == label or len(label) > 63 or not _LDH.issuperset(bare):
        return None
    try:
        text = bare.encode("ascii").decode("punycode")
    except (UnicodeError, ValueError, OverflowError):
        return None
    if text.isascii() or text.encode("punycode", "replace").decode() != bare:
        return None
    for letter in text:
        if unicodedata.category(letter) in _SHAPELESS and letter not in _JOINERS:
            return None
        if not letter.isascii() and (letter in _DECEIVING or not _SIGNS.isdisjoint(_compatible(letter))):
            return None
    return text


def skeleton(text: str) -> str:
    """Return a text with each letter replaced by the ASCII letter that it looks like (after UTS 39 section 4).

    What is hardly told apart in lower case is one letter here: i, 1 and l are "l", 0 and o are "o". What can't be seen
    is left out.

    >>> skeleton("раураӏ") == skeleton("paypal")
    True
    """
    decomposed = unicodedata.normalize("NFD", text.casefold())
    plain = (c for c in decomposed if not unicodedata.combining(c) and unicodedata.category(c) != "Cf")
    return "".join(letter if letter.isascii() else _prototype(letter) for letter in plain).translate(_SAME)


@cache
def _prototype(letter: str) -> str:
    from confusable_homoglyphs import confusables

    for other in confusables.confusables_data.get(letter, []):
        text = str(other["c"]).casefold()
        if text.isascii() and text.isalnum():
            return text
    return letter


@cache
def _script(letter: str) -> str:
    from confusable_homoglyphs import categories

    return str(categories.alias(letter)) if categories.alias(letter) not in ("COMMON", "INHERITED") else ""


@cache
def _compatible(letter: str) -> str:
    return unicodedata.normalize("NFKC", letter)
