"""Names that a person types, as the bytes that rules are kept in: checked, lower-cased, IDNs as A-labels.

No I/O; knows wire. A "tail" is a wire name (RFC 1035 3.1) without the final zero: ``b"\\x03ads\\x03com"``.
"""

from __future__ import annotations

import ipaddress
from typing import NamedTuple

from dnsnb.dns.wire import name_to_text
from dnsnb.errors import SettingError

EXACT, BELOW, BOTH = 1, 2, 3
"""What a rule's name covers: the name alone, the names below it, or both."""

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_")
_WORDS = {" ": "a space", "\t": "a tab", "/": "a slash", ":": "a colon", "@": "an at sign", "\n": "a line break"}


class RuleName(NamedTuple):
    """A name in a rule: `tail` (wire, lower case, no final zero) and `scope` (`EXACT`, `BELOW`, `BOTH`)."""

    tail: bytes
    scope: int

    @property
    def text(self) -> str:
        """The rule as people write it: ``example.com``, ``*.example.com``."""
        return ("*." if self.scope == BELOW else "") + name_to_text(self.tail)


def parse_rule_text(text: str, setting: str = "names") -> RuleName:
    """Return what a typed name means: ``example.com`` is the name and all below it, ``*.example.com`` only those below.

    Accepts a final dot, upper case, ``\\DDD`` escapes and IDNs. Raises SettingError quoting the culprit.
    """
    if not isinstance(text, str):
        raise SettingError(setting, text, "a name must be text, such as 'ads.example.com'")
    name = text.strip()
    scope = BOTH
    if name.startswith("*."):
        name, scope = name[2:], BELOW
    try:
        tail = name_tail(name)
    except ValueError as error:
        raise SettingError(setting, text, str(error)) from None
    return RuleName(tail, scope)


def parse_name(text: str, setting: str = "name") -> bytes:
    """Return a typed name in wire form, lower case; ``.`` is the root. Raises SettingError quoting the culprit."""
    if not isinstance(text, str):
        raise SettingError(setting, text, "a name must be text, such as 'www.example.com'")
    try:
        return b"\0" if text.strip() == "." else name_tail(text.strip()) + b"\0"
    except ValueError as error:
        raise SettingError(setting, text, str(error)) from None


def name_tail(name: str) -> bytes:
    """Return a typed name as a tail; raises ValueError saying what is wrong and what would be right."""
    if name in ("", ".", "*"):
        raise ValueError("not a name; to let nothing but the whitelist resolve, set allow_only")
    if "://" in name:
        host = name.split("://", 1)[1].split("/", 1)[0]
        raise ValueError(f"a URL, not a name; write {host!r}")
    if _is_address(name):
        raise ValueError("an address, not a name; a rule takes a name such as 'ads.example.com'")
    labels = [_label(part) for part in split_labels(name[:-1] if name.endswith(".") and name[-2:] != "\\." else name)]
    tail = b"".join(bytes((len(label),)) + label for label in labels)
    if len(tail) > 254:
        raise ValueError(f"the name takes {len(tail) + 1} octets; 255 is the most (RFC 1035)")
    return tail


def split_labels(name: str) -> list[str]:
    """Split a name at its dots, leaving escapes (``\\.``, ``\\DDD``) in place."""
    if "\\" not in name:
        return name.replace("\u3002", ".").split(".")
    labels, start, at = [], 0, 0
    while at < len(name):
        if name[at] == "\\":
            at += 2
            continue
        if name[at] == ".":
            labels.append(name[start:at])
            start = at + 1
        at += 1
    labels.append(name[start:])
    return labels


def _label(label: str) -> bytes:
    if not label:
        raise ValueError("an empty label; dots separate labels, as in 'ads.example.com'")
    lower = label.lower()
    if _PLAIN.issuperset(lower):
        wire = lower.encode()
    elif "\\" in label:
        wire = _unescaped(label)
    elif label.isascii():
        bad = next(c for c in lower if c not in _PLAIN)
        raise ValueError(f"{_WORDS.get(bad, repr(bad))} can't stand in a name; letters, digits, '-', '_' and dots can")
    else:
        wire = _a_label(label)
    if len(wire) > 63:
        raise ValueError(f"the label {label[:20]!r}... takes {len(wire)} octets; 63 is the most (RFC 1035)")
    return wire


def _a_label(label: str) -> bytes:
    try:
        import idna

        return idna.encode(label, uts46=True).lower()
    except (ImportError, UnicodeError):
        pass
    try:
        return label.encode("idna").lower()  # IDNA 2003 still knows symbols that IDNA 2008 refuses
    except UnicodeError as error:
        raise ValueError(f"the label {label!r} is not a valid international name ({error})") from None


def _unescaped(label: str) -> bytes:
    out = bytearray()
    at = 0
    while at < len(label):
        char = label[at]
        if char != "\\":
            out += char.lower().encode()
            at += 1
        elif label[at + 1 : at + 4].isdecimal() and len(label) >= at + 4:
            value = int(label[at + 1 : at + 4])
            if value > 255:
                raise ValueError(f"the escape \\{value} is over 255")
            out.append(value)
            at += 4
        elif at + 1 < len(label):
            out += label[at + 1].lower().encode()
            at += 2
        else:
            raise ValueError("a backslash at the end; escapes are \\DDD or \\ and a character")
    return bytes(out).lower()


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return False
    return True
