"""Names as somebody has them, spelled as the frame spells them: the edge where `dnsnb.names` takes what it is given.

Cheap for names that are in the frame's form already: all at once, and one by one only those that need it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

_ESCAPE = re.compile(r"\\(?:([0-9]{3})|(.)|$)", re.DOTALL)
_QUOTED = frozenset(b'.\\"();@$')  # what a backslash stands before (RFC 1035 5.1)


def spelled(names: Iterable[str | bytes | None] | Any) -> list[str]:
    r"""Return names of any spelling as the frame has them: lower case, no final dot, A-labels, ``\.`` and ``\DDD``.

    A null is ``""``, octets are a name's text as a file has it; raises TypeError for one name alone, and for what is
    neither text nor octets nor null. What no name can be comes back as it is, in lower case.

    >>> spelled(["WWW.Example.COM.", b"example.org", "b\u00fccher.example", "my\\046nas.lan", None, "."])
    ['www.example.com', 'example.org', 'xn--bcher-kva.example', 'my\\.nas.lan', '', '.']
    """
    if isinstance(names, str | bytes | bytearray):
        raise TypeError(f"names: {names!r}: must be several names, such as [{names!r}]")
    listed = names.to_pylist() if hasattr(names, "to_pylist") else names  # an Arrow array would give scalars
    texts = [name if type(name) is str else _text(name) for name in listed]
    whole = "\n".join(texts)
    low = whole.lower()
    if low != whole:
        texts = low.split("\n") if low.isascii() and low.count("\n") < len(texts) else [t.lower() for t in texts]
    if ".\n" in low or low.endswith("."):
        texts = [_undotted(text) if text.endswith(".") else text for text in texts]
    if not low.isascii():
        texts = [text if text.isascii() else ".".join(map(_a_label, text.split("."))) for text in texts]
    if "\\" in low:
        texts = [_ESCAPE.sub(_escaped, text).lower() if "\\" in text else text for text in texts]
    return texts


def _text(name: Any) -> str:
    if isinstance(name, str):
        return str(name)
    if isinstance(name, bytes | bytearray):
        return "".join(chr(octet) if 33 <= octet <= 126 else f"\\{octet:03d}" for octet in bytes(name))
    if name is None or type(name).__name__ == "NAType" or name != name:  # NaN: the nulls of columns
        return ""
    raise TypeError(f"names: {name!r}: a name is text or bytes, such as 'www.example.com'")


def _undotted(text: str) -> str:
    bare = text[:-1]
    quoted = (len(bare) - len(bare.rstrip("\\"))) % 2  # an escaped dot ends no name
    return text if quoted or not bare else bare


def _a_label(label: str) -> str:
    if label.isascii() or "\\" in label:
        return label
    try:
        import idna

        return idna.encode(label, uts46=True).decode().lower()
    except (ImportError, UnicodeError):
        pass
    try:
        return label.encode("idna").decode().lower()  # IDNA 2003 still knows symbols that IDNA 2008 refuses
    except UnicodeError:
        return label


def _escaped(found: re.Match[str]) -> str:
    number, letter = found.groups()
    octet = int(number) if number else ord(letter) if letter else 92
    if octet > 255:
        return found.group() if number else letter
    return f"\\{chr(octet)}" if octet in _QUOTED else chr(octet) if 33 <= octet <= 126 else f"\\{octet:03d}"
