"""What a list's text came to: its rules, the report of its lines, and which format it seems to be in.

No I/O; knows special.
"""

from __future__ import annotations

import ipaddress
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from dnsnb.dns.special import Reply, Special

CHUNK = 1 << 16  # octets that are read in one go: some two milliseconds' work
SKIPS_SHOWN = 100


@dataclass
class LoadReport:
    """What became of a list's lines: `lines` read, rules `kept`, `comments`, `skipped` by reason, `examples` of those.

    `examples` are the first 100 skipped lines as (line number, text, reason).
    """

    format: str = "auto"
    lines: int = 0
    kept: int = 0
    comments: int = 0
    duplicates: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    examples: list[tuple[int, str, str]] = field(default_factory=list)

    def skip(self, line: int, text: str, why: str) -> None:
        """Count a line that gives no rule."""
        if len(self.skipped) < 1000 or why in self.skipped:
            self.skipped[why] += 1
        else:
            self.skipped["other reasons"] += 1
        if len(self.examples) < SKIPS_SHOWN:
            self.examples.append((line, text[:200], why))

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "format": self.format,
            "lines": self.lines,
            "kept": self.kept,
            "comments": self.comments,
            "duplicates": self.duplicates,
            "skipped": sum(self.skipped.values()),
            "reasons": dict(self.skipped.most_common()),
            "examples": [{"line": n, "text": text, "why": why} for n, text, why in self.examples],
        }


@dataclass
class ListContent:
    """A list, read: plain names (few as `names`, many as `hashes`, both by (level, scope)) and what asks for more."""

    report: LoadReport
    names: dict[tuple[int, int], set[bytes]] = field(default_factory=dict)
    hashes: dict[tuple[int, int], Any] = field(default_factory=dict)
    specials: list[Special] = field(default_factory=list)
    networks: list[tuple[str, Special]] = field(default_factory=list)
    reply: Reply | None = None
    packed: bytes = b""
    kind: str = "block"
    scope: str = "as written"

    @property
    def count(self) -> int:
        """How many rules it holds."""
        return (
            sum(map(len, self.names.values()))
            + sum(map(len, self.hashes.values()))
            + len(self.specials)
            + len(self.networks)
        )

    def pieces(self) -> Iterator[bytes]:
        """Yield the list's text as it was read, in pieces that end with a line."""
        rest = b""
        unpack = zlib.decompressobj()
        for at in range(0, len(self.packed), CHUNK // 4):
            text = rest + unpack.decompress(self.packed[at : at + CHUNK // 4])
            end = text.rfind(b"\n") + 1
            rest = text[end:]
            if end:
                yield text[:end]
        if rest:
            yield rest

    def text_lines(self) -> Iterator[bytes]:
        """Yield the list's lines as they were read."""
        for piece in self.pieces():
            yield from piece.removesuffix(b"\n").split(b"\n")


def sniff(text: bytes) -> str:
    """Return the format of a list from its beginning: each line votes for what only one format writes."""
    votes: Counter[str] = Counter()
    for raw in text[:65536].splitlines()[:2000]:
        line = raw.strip()
        if not line or line.startswith((b"#", b"!", b";")):
            if line.startswith(b"! Title:"):
                votes["adblock"] += 5
            continue
        lower = line.lower()
        first = lower.split()[0]
        if re.search(rb"\s(soa|cname)\s|^\$(ttl|origin)\b", lower):
            votes["rpz"] += 3
        elif line.startswith((b"||", b"@@", b"|", b"[adblock", b"[Adblock")) or re.search(rb"##|#@#|\^(\$|$)", line):
            votes["adblock"] += 1
        elif is_address(first.split(b"%")[0]) and len(line.split()) > 1:
            votes["hosts"] += 1
        elif line.startswith(b"*.") and re.fullmatch(rb"\*\.[\w.-]+", first):
            votes["wildcards"] += 1
        elif re.fullmatch(rb"[\w-]+(\.[\w-]+)*\.?", first, re.ASCII):
            votes["domains"] += 1
        elif re.search(rb"^/.*/$|[\\^$()\[\]+?{}|]", line):
            votes["regex"] += 1
    if not votes:
        return "domains"
    few = votes["domains"] / 10  # an adblock list may hold many bare names
    if votes["adblock"] and votes["adblock"] + votes["regex"] >= max(few, votes["hosts"], votes["rpz"]):
        return "adblock"
    return votes.most_common(1)[0][0]


def is_address(text: bytes) -> bool:
    """Whether this is an IPv4 or IPv6 address."""
    try:
        ipaddress.ip_address(text.decode("ascii", "replace"))
    except ValueError:
        return False
    return True
