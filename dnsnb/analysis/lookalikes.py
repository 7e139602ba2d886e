"""Domains that look like others: one slip of the finger or one bit away. Other scripts: homoglyphs.py.

Every variant of the known names is made once and looked up; nothing is compared with everything.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

import pandas as pd

from dnsnb import names
from dnsnb.analysis.domains import by_name, rolled, taken_apart
from dnsnb.analysis.known import KNOWN
from dnsnb.analysis.result import Result, result
from dnsnb.names.suffixes import PRIVATE

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789-"
#: neighbours on the common keyboard (QWERTY, and where QWERTZ and AZERTY differ from it)
_ROWS = ("1234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm")
_OTHER_KEYS = {"t": "z", "z": "tu", "u": "z", "q": "s", "w": "x", "a": "z"}
_LOOKS = {
    "0": "o",
    "o": "0",
    "1": "li",
    "l": "1i",
    "i": "1l",
    "5": "s",
    "s": "5",
    "3": "e",
    "e": "3",
    "8": "b",
    "b": "8",
}
#: pairs of letters that are read as one
_PAIRS = {"rn": "m", "m": "rn", "vv": "w", "w": "vv", "cl": "d", "d": "cl", "nn": "m"}
#: which way is told when several lead from a name to the other
_ORDER = (
    "tld swap",
    "transposition",
    "omission",
    "repetition",
    "look",
    "keyboard",
    "bit",
    "hyphen",
    "insertion",
    "replacement",
)


def lookalikes(frame: Any, of: Iterable[str] = KNOWN, n: int | None = 50, *, shortest: int = 5) -> Result:
    """Return the registered domains that are one slip away from a known one, the most asked first; None: all.

    `like` is the known domain and `how` the slip: "tld swap" (its label under another public suffix), "hosted" (at one
    who hosts for others: a page that anybody may open, or the known one's own at a CDN), and within Damerau-Levenshtein
    distance 1 "transposition", "omission", "repetition", "look" (0 for o, rn for m), "keyboard" (a neighbouring key),
    "bit" (one bit of memory flipped: Dinaburg, Bitsquatting, 2011), "hyphen", "insertion", "replacement". With
    `queries`, `clients`, `names`, `nx_share`. Labels shorter than `shortest` are left out: too many words are one
    letter apart. `of` are registered domains; they never look like each other.

    >>> import pandas as pd
    >>> frame = pd.DataFrame({"client": ["a"] * 3, "qname": ["www.gogole.com", "paypal.top", "rnicrosoft.com"]})
    >>> lookalikes(frame)[["like", "how"]].values.tolist()
    [['google.com', 'transposition'], ['paypal.com', 'tld swap'], ['microsoft.com', 'look']]
    """
    known = domains_of(of)
    groups, found = _registered(frame)
    variants = _variants(known, shortest)
    like: dict[str, tuple[str, str]] = {}
    for domain in found:
        label, _, suffix = domain.partition(".")
        own = variants.get(label)
        if own is None or domain in known:
            continue
        target, how = own
        if suffix != target.partition(".")[2]:
            elsewhere = "hosted" if names.parts([domain])[0].kind == PRIVATE else "tld swap"
            how = elsewhere if how == "tld swap" else f"{how}, {elsewhere}"
        like[domain] = (target, how)
    best = _listed(groups, like, n)
    read_as = f"{len(like):,} of {len(found):,} domains are one slip away from a known one"
    return result(best, "lookalikes", read_as, _chart(), of=len(known), n=n, shortest=shortest)


def domains_of(of: Iterable[str]) -> set[str]:
    if isinstance(of, str):
        raise TypeError(f"of: {of!r}: must be several domains, such as [{of!r}]")
    given = [name.strip(". ").lower() for name in of]
    return {domain or name for name, domain in zip(given, names.registered_domain(given), strict=True) if name}


def _registered(frame: Any) -> tuple[pd.DataFrame, list[str]]:
    groups = by_name(frame)
    codes, apart = taken_apart(groups)
    column = pd.Series([p.registered for p in apart] + [None], dtype="object").to_numpy()[codes]
    groups = groups.assign(domain=column)[pd.notna(column)]
    return groups, sorted(set(groups["domain"]))


def _listed(groups: pd.DataFrame, like: dict[str, tuple[str, str]], n: int | None) -> pd.DataFrame:
    found = rolled(groups[groups["domain"].isin(list(like))], "domain").drop(columns=["nx", "blocked", "blocked_share"])
    found.insert(1, "like", pd.Series([like[d][0] for d in found["domain"]], dtype="str"))
    found.insert(2, "how", pd.Series([like[d][1] for d in found["domain"]], dtype="str"))
    found["domain"] = found["domain"].astype("str")
    return found.head(len(found) if n is None else n)


def _chart() -> dict[str, Any]:
    return {"kind": "bars", "name": ["domain", "like"], "value": "queries"}


def _variants(known: set[str], shortest: int) -> dict[str, tuple[str, str]]:
    """Return label -> (known domain, how) for every label within one slip of a known one."""
    found: dict[str, tuple[str, str]] = {}
    own = {domain.partition(".")[0]: domain for domain in sorted(known, reverse=True)}
    for label, domain in own.items():
        if len(label) < shortest:
            continue
        for variant, how in _slips(label):
            before = found.get(variant)
            if variant not in own and (before is None or _ORDER.index(how) < _ORDER.index(before[1])):
                found[variant] = (domain, how)
    # the label itself, under another suffix
    found |= {label: (domain, "tld swap") for label, domain in own.items() if len(label) >= shortest}
    return found


def _slips(label: str) -> Iterator[tuple[str, str]]:
    for at in range(len(label) + 1):
        head, tail = label[:at], label[at:]
        if tail:
            if len(tail) > 1 and tail[0] != tail[1]:
                yield head + tail[1] + tail[0] + tail[2:], "transposition"
            yield head + tail[1:], "omission"
            for letter in LETTERS:
                if letter != tail[0]:
                    yield head + letter + tail[1:], _replaced(tail[0], letter)
            for pair, one in _PAIRS.items():
                if tail.startswith(pair):
                    yield head + one + tail[len(pair) :], "look"
        for letter in LETTERS:
            beside = letter in (head[-1:], tail[:1])
            yield head + letter + tail, "repetition" if beside else "hyphen" if letter == "-" else "insertion"


def _replaced(old: str, new: str) -> str:
    if new in _LOOKS.get(old, ""):
        return "look"
    if new in _neighbours().get(old, ""):
        return "keyboard"
    return "bit" if (ord(old) ^ ord(new)).bit_count() == 1 else "replacement"


@cache
def _neighbours() -> dict[str, str]:
    near: dict[str, str] = {}
    for number, row in enumerate(_ROWS):
        for at, key in enumerate(row):
            above = _ROWS[number - 1][at : at + 2] if number else ""
            below = _ROWS[number + 1][max(at - 1, 0) : at + 1] if number + 1 < len(_ROWS) else ""
            near[key] = row[max(at - 1, 0) : at] + row[at + 1 : at + 2] + above + below + _OTHER_KEYS.get(key, "")
    return near
