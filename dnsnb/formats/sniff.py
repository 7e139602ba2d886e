"""Which format a file is of, by its first bytes: magic for binary files, the share of matching lines for text.

Pure; asks every format of the table for its score. Knows the table and errors.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cached_property
from typing import Any

from dnsnb.errors import LogFormatError
from dnsnb.formats.table import FORMATS, Format

ENOUGH = 30
CERTAIN = 90
_ODD = bytes(c for c in range(128) if c < 9 or 13 < c < 27 or 27 < c < 32 or c == 127)
OTHER_FILES = {
    "a ZIP archive, to be unpacked first": (0, b"PK\3\4"),
    "a 7-Zip archive, to be unpacked first": (0, b"7z\xbc\xaf\x27\x1c"),
    "a tar archive, to be unpacked first": (257, b"ustar"),
    "compressed by lz4, to be unpacked first": (0, b"\x04\x22\x4d\x18"),
    "gzip data, compressed twice: to be unpacked first": (0, b"\x1f\x8b"),
    "bzip2 data, compressed twice: to be unpacked first": (0, b"BZh"),
    "xz data, compressed twice: to be unpacked first": (0, b"\xfd7zXZ\0"),
    "Zstandard data, compressed twice: to be unpacked first": (0, b"\x28\xb5\x2f\xfd"),
    "an event log of Windows, not the text log of its DNS server": (0, b"ElfFile\0"),
    "an SQLite database, but of no DNS system that we know": (0, b"SQLite format 3\0"),
}
"""What is often taken for a log: what it is -> where its mark stands, and the mark."""


class Head:
    """The start of a file: `raw` bytes, `name`, and (for text) its first lines; `inside` are those out of a wrapper."""

    def __init__(self, raw: bytes, name: str, wrapped: list[str] | None = None, path: Any = None) -> None:
        self.raw = raw
        self.name = name
        self.path = path
        self.inside = wrapped

    @cached_property
    def lines(self) -> list[str]:
        """Up to 200 non-empty lines of text; a last one that is cut off is left out."""
        if self.inside is not None:
            return [line for line in self.inside if line.strip()][:200]
        text = self.raw.removeprefix(b"\xef\xbb\xbf").replace(b"\0", b"").decode("utf-8", "backslashreplace")
        lines = text.split("\n")
        if len(lines) > 1 and len(self.raw) >= 1 << 16:
            lines.pop()
        return [line.rstrip("\r") for line in lines if line.strip()][:200]

    @cached_property
    def binary(self) -> bool:
        """Whether this is no text: control octets, NULs that are no padding."""
        sample = self.raw[:4096]
        if not sample:
            return False
        if len(sample.strip(b"\0")) == 0:
            return False
        text = sample.replace(b"\0", b"")
        odd = len(text) - len(text.translate(None, _ODD))
        nuls = sample.strip(b"\0").count(b"\0")
        return odd * 20 > len(text) or (nuls * 4 > len(sample) and not sample.startswith((b"\xff\xfe", b"\xfe\xff")))

    @cached_property
    def items(self) -> list[dict[str, Any]]:
        """The first lines that are JSON objects."""
        import orjson

        found = []
        for line in self.lines[:50]:
            if line.lstrip().startswith("{"):
                try:
                    item = orjson.loads(line)
                except orjson.JSONDecodeError:
                    continue
                if isinstance(item, dict):
                    found.append(item)
        return found

    def share(self, pattern: str | re.Pattern[str], lines: Iterable[str] | None = None) -> float:
        """Return which part of the lines a regular expression matches (from 0.0 to 1.0)."""
        compiled = re.compile(pattern) if isinstance(pattern, str) else pattern
        texts = self.lines if lines is None else list(lines)
        return sum(bool(compiled.search(t)) for t in texts) / len(texts) if texts else 0.0

    def keyed(self, *keys: str) -> int:
        """Return 95 when most JSON lines have all of these keys, and half of the lines are JSON, else 0."""
        items = self.items
        hits = sum(all(k in item for k in keys) for item in items)
        return 95 if items and hits * 2 > len(items) and len(items) * 2 >= min(len(self.lines), 50) else 0


def sniff(head: Head, like: Format | None = None) -> tuple[Format | None, dict[str, int]]:
    """Return the format that is surest of a file's head (None when none is sure enough), and every score above 0.

    Where `like` is as good as certain, it alone is asked: thousands of files of one log need not be tried by all.
    """
    scores = {}
    if like is not None and not (like.kind == "lines" and head.binary):
        sure = int(like.load().score(head))
        if sure >= CERTAIN:
            return like, {like.name: sure}
    for row in FORMATS.values():
        if row.kind == "lines" and head.binary:
            continue
        score = int(row.load().score(head))
        if score > 0:
            scores[row.name] = score
    best = max(scores, key=lambda name: scores[name], default=None)
    if best is None or scores[best] < ENOUGH:
        return None, scores
    return FORMATS[best], scores


def unknown(head: Head, scores: dict[str, int]) -> LogFormatError:
    """Return the error for a file that nobody knows: what was expected, what was found."""
    if not head.raw:
        return LogFormatError(f"{head.name}: the file is empty; expected a DNS log")
    if not head.raw.strip(b"\0"):
        return LogFormatError(f"{head.name}: the file holds nothing but NUL octets; expected a DNS log")
    if not head.raw.strip(b"\0\r\n\t "):
        return LogFormatError(f"{head.name}: the file holds nothing but empty lines; expected a DNS log")
    kind = next((what for what, (at, magic) in OTHER_FILES.items() if head.raw[at:].startswith(magic)), None)
    if kind is not None:
        return LogFormatError(f"{head.name}: {kind}; expected a DNS log, plain or in .gz, .bz2, .xz or .zst")
    expected = f"expected one of {len(FORMATS)} formats (dnsnb formats lists them; format= names one)"
    if head.binary:
        return LogFormatError(
            f"{head.name}: not a DNS log: found binary data that starts {head.raw[:8].hex(' ')}; {expected}"
        )
    first = head.lines[0][:120] if head.lines else ""
    near = f"; nearest: {max(scores, key=lambda n: scores[n])}" if scores else ""
    return LogFormatError(f"{head.name}: not a DNS log that we know: the first line is {first!r}; {expected}{near}")
