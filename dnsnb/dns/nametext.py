"""Names as text and as octets (RFC 1035 5.1, RFC 4343). No I/O; knows errors only."""

from __future__ import annotations

import re

from dnsnb.errors import WireError

MAX_PARENTS = 8192
_HOST = re.compile(rb"[a-z0-9_-]+")
_HOST_OCTETS = b"abcdefghijklmnopqrstuvwxyz0123456789_-"
_DOTTED = bytes(46 if 0 < n < 45 else 0 if n == 46 else n + 32 if 65 <= n <= 90 else n for n in range(256))
_parents: dict[bytes, str] = {}  # texts of names that others are just below


def name_to_text(name: bytes) -> str:
    r"""Return a wire name as text: lower case, no final dot, the root ``.``; ``\.`` and ``\DDD`` as in RFC 4343.

    >>> name_to_text(b"\x03WWW\x07example\x03com\x00")
    'www.example.com'
    >>> name_to_text(b"\x0bwww.blocked\x04test\x00")
    'www\\.blocked.test'
    """
    first = name[0] + 1 if name else 0
    parent = _parents.get(name[first:])
    if parent is not None:
        label = name[1:first].lower()
        if label.isalnum() or not label.translate(None, _HOST_OCTETS):
            return f"{label.decode()}.{parent}"
        return f"{_label_text(label)}.{parent}"
    return _name_to_text(name)


def _name_to_text(name: bytes) -> str:
    at = count = longest = 0
    try:
        while length := name[at]:
            longest = max(longest, length)
            count += 1
            at += length + 1
    except IndexError:
        longest = 255
    whole = longest < 255 and at == len(name) - 1
    if whole and longest < 45:  # no length octet is a letter, digit or hyphen: each becomes a dot
        dotted = name[1:-1].translate(_DOTTED)
        if dotted.count(b".") == count - 1 and not dotted.translate(None, _HOST_OCTETS + b"."):
            return _with_parent(name, count, dotted.decode())
    labels = []
    at = 0
    while at < len(name) and (length := name[at]):
        labels.append(name[at + 1 : at + 1 + length].lower())
        at += length + 1
    texts = [label.decode() if _HOST.fullmatch(label) else _label_text(label) for label in labels]
    return ".".join(texts) or "."


def _with_parent(name: bytes, labels: int, text: str) -> str:
    if labels > 1:
        if len(_parents) >= MAX_PARENTS:
            _parents.clear()
        first = name[0] + 1
        _parents[name[first:]] = text[first:]
    return text


def _label_text(label: bytes) -> str:
    out = []
    for octet in label:
        char = chr(octet)
        if char in '.\\"();@$':
            out.append("\\" + char)
        else:
            out.append(char if 33 <= octet <= 126 else f"\\{octet:03d}")
    return "".join(out)


def text_to_name(text: str) -> bytes:
    r"""Return a name given as text (escapes allowed, final dot or not) in wire form, lower case; raises WireError.

    >>> text_to_name("www.Example.com.")
    b'\x03www\x07example\x03com\x00'
    """
    if text in ("", "."):
        return b"\0"
    labels = [bytearray()]
    at = 0
    while at < len(text):
        char = text[at]
        if char == "\\":
            number = text[at + 1 : at + 4]
            if len(number) == 3 and number.isascii() and number.isdigit():
                if int(number) > 255:
                    raise WireError(f"{text!r}: the escape \\{number} is over 255")
                labels[-1].append(int(number))
                at += 4
                continue
            if at + 1 >= len(text):
                raise WireError(f"{text!r}: a backslash at the end")
            labels[-1] += text[at + 1].encode()
            at += 2
            continue
        if char == ".":
            if not labels[-1]:
                raise WireError(f"{text!r}: an empty label")
            labels.append(bytearray())
        else:
            labels[-1] += char.encode("utf-8", "surrogateescape")
        at += 1
    if not labels[-1]:
        labels.pop()
    if any(len(label) > 63 for label in labels):
        raise WireError(f"{text[:80]!r}: a label of more than 63 octets")
    name = b"".join(bytes((len(label),)) + bytes(label) for label in labels) + b"\0"
    if len(name) > 255:
        raise WireError(f"{text[:80]!r}: a name of more than 255 octets")
    return name.lower()
