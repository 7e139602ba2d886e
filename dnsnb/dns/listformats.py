"""A list's text as rules: its format sniffed, a million names in seconds, what isn't kept counted with the reason.

No I/O, no threads; `read_list` calls `pause()` every few milliseconds: no query waits for it. Knows adblock, rpz.
"""

from __future__ import annotations

import ipaddress
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from dnsnb.dns import adblock, rpz
from dnsnb.dns.listcontent import CHUNK, ListContent, LoadReport, is_address, sniff
from dnsnb.dns.names import BELOW, BOTH, EXACT, name_tail
from dnsnb.dns.nametable import hash_tails, unique_hashes
from dnsnb.dns.rules import ALLOW, BLOCK
from dnsnb.dns.special import MAX_PATTERNS, Reply, Special, compile_regex
from dnsnb.dns.wire import name_to_text
from dnsnb.errors import SettingError

FORMATS = ("auto", "hosts", "domains", "wildcards", "adblock", "regex", "rpz")
SCOPES = {"as written": 0, "exact": EXACT, "subdomains": BOTH}

SMALL = 5_000  # lists up to this many names are kept as names, larger ones as hashes
MAX_NAMES = 10_000_000
MAX_SPECIAL = 50_000
MAX_LINE = 4_096

_NAME = rb"(?:[a-z0-9_-]{1,63}\.)+[a-z][a-z0-9_-]{0,62}"  # at least one dot; the last label is no number
_ZERO = rb"(?:0\.0\.0\.0|127\.0\.0\.1|255\.255\.255\.255|::1?|fe80::1%lo0)"
_END = rb"\.?[ \t]*(?:#.*)?\r?$"
_FAST: dict[str, re.Pattern[bytes]] = {
    "hosts": re.compile(rb"^" + _ZERO + rb"[ \t]+(?!localhost\.localdomain)(" + _NAME + rb")" + _END, re.MULTILINE),
    "domains": re.compile(rb"^(" + _NAME + rb")" + _END, re.MULTILINE),
    "wildcards": re.compile(rb"^\*\.(" + _NAME + rb")" + _END, re.MULTILINE),
    "adblock": re.compile(rb"^\|\|(" + _NAME + rb")\^[ \t]*\r?$", re.MULTILINE),
}
_FAST_ANY_CASE = {name: re.compile(fast.pattern, re.MULTILINE | re.IGNORECASE) for name, fast in _FAST.items()}
_FAST_SCOPE = {"hosts": EXACT, "domains": BOTH, "wildcards": BELOW, "adblock": BOTH}
_LOCAL_NAMES = frozenset(
    {
        "localhost", "localhost.localdomain", "local", "broadcasthost", "ip6-localhost", "ip6-loopback",
        "ip6-localnet", "ip6-mcastprefix", "ip6-allnodes", "ip6-allrouters", "ip6-allhosts", "0.0.0.0",
    }
)  # fmt: skip


def read_list(
    text: bytes,
    kind: str = "block",
    format: str = "auto",  # noqa: A002 - the word that people use for it
    scope: str = "as written",
    pause: Callable[[], None] = lambda: None,
) -> ListContent:
    """Read a list's text into rules; a wrong line is counted, never fatal.

    `scope` "as written": a hosts line is that name alone, ``*.name`` all below it, any other name both; "exact" and
    "subdomains" say so for all plain names. `pause` is called between pieces of at most a few milliseconds' work.
    """
    if format not in FORMATS:
        raise SettingError("format", format, f"one of {', '.join(FORMATS)}")
    if scope not in SCOPES:
        raise SettingError("scope", scope, f"one of {', '.join(SCOPES)}")
    if kind not in ("block", "allow"):
        raise SettingError("kind", kind, "block or allow")
    if text.startswith(b"\xef\xbb\xbf"):
        text = text[3:]
    elif text[:2] in (b"\xff\xfe", b"\xfe\xff"):
        text = text.decode("utf-16", "replace").encode()
    known = sniff(text) if format == "auto" else format
    content = ListContent(LoadReport(known), kind=kind, scope=scope)
    reader = _Reader(content, known, pause)
    if known == "rpz":
        reader.read_zone(text)
    else:
        reader.read(text)
    reader.finish()
    return content


def each_name(content: ListContent, only: bytes = b"") -> Iterator[tuple[bytes, int]]:
    """Yield (tail, scope) of a list's plain names, each once; `only` those of pieces that hold these letters."""
    if not content.hashes:
        for (_, scope), few in content.names.items():
            for tail in few:
                yield tail, scope
        return
    import numpy as np

    seen = {key: np.zeros(len(hashes), bool) for key, hashes in content.hashes.items()}
    for found in _each_piece(content, only):
        for key, tails in found.items():
            if key not in seen:  # few of their kind, so kept as they are
                continue
            at = np.searchsorted(content.hashes[key], hash_tails(tails, len(tails)))
            first, where = np.unique(at, return_index=True)
            for number in where[~seen[key][first]].tolist():
                yield tails[number], key[1]
            seen[key][first] = True
    for (_, scope), few in content.names.items():
        for tail in few:
            yield tail, scope


def _each_piece(content: ListContent, only: bytes) -> Iterator[dict[tuple[int, int], list[bytes]]]:
    """Yield the plain names of a list by (level, scope), a piece of its text at a time."""
    reader = _Reader(ListContent(LoadReport(), kind=content.kind, scope=content.scope), content.report.format)
    reader.small = MAX_NAMES
    if content.report.format == "rpz":
        lines = (line.decode("utf-8", "replace") for line in content.text_lines())
        for found in rpz.read_zone(lines, content.kind == "allow"):
            if isinstance(found, rpz.Trigger) and found.tail is not None and found.reply in (None, rpz.NXDOMAIN):
                yield {(found.level, SCOPES[content.scope] or found.scope): [found.tail]}
        return
    for piece in content.pieces():
        if only and only not in piece.lower():
            continue
        reader.tails = {}
        reader.piece(piece, 0)
        yield reader.tails


def find_line(content: ListContent, rule: str) -> int | None:
    """Return the number (from 1) of the line that gave a rule, by its text in a verdict; None when there is none."""
    name = rule.removesuffix("$important").removeprefix("*.").encode()
    text = b"\n".join(content.text_lines())
    lower = text.lower()
    wanted = _Reader(ListContent(LoadReport(), kind=content.kind, scope=content.scope), "adblock")
    wanted.slow(b"||" + name + b"^", 0)
    tail = next((tails[0] for tails in wanted.tails.values() if tails), None)
    at = lower.find(name.lower())
    for _ in range(1000):
        if at < 0:
            return None
        start, end = lower.rfind(b"\n", 0, at) + 1, lower.find(b"\n", at)
        line = text[start : end if end >= 0 else len(text)]
        if line.strip() == rule.encode() or _gives(content, line, tail):
            return text.count(b"\n", 0, start) + 1
        at = lower.find(name.lower(), max(end, at + 1)) if end >= 0 else -1
    return None


def _gives(content: ListContent, line: bytes, tail: bytes | None) -> bool:
    reader = _Reader(ListContent(LoadReport(), kind=content.kind, scope=content.scope), content.report.format)
    if content.report.format == "rpz":
        return tail is not None and line.split()[:1] == [name_to_text(tail).encode()]
    reader.slow(line, 0)
    return any(tail in tails for tails in reader.tails.values())


class _Reader:
    """Reads pieces of text into a `ListContent`."""

    def __init__(self, content: ListContent, known: str, pause: Callable[[], None] = lambda: None) -> None:
        self.content = content
        self.report = content.report
        self.format = known
        self.pause = pause
        self.level = ALLOW if content.kind == "allow" else BLOCK
        self.force = SCOPES[content.scope]
        self.pack = zlib.compressobj(1)
        self.packed: list[bytes] = []
        self.tails: dict[tuple[int, int], list[bytes]] = {}
        self.hashed: dict[tuple[int, int], list[Any]] = {}
        self.names = 0
        self.patterns = 0
        self.small = SMALL

    def read(self, text: bytes) -> None:
        at, number = 0, 0
        while at < len(text):
            end = text.find(b"\n", at + CHUNK)
            end = len(text) if end < 0 else end + 1
            piece = text[at:end]
            at = end
            self.packed.append(self.pack.compress(piece))
            if self.names > MAX_NAMES:
                self.report.skip(number + 1, "", f"more than {MAX_NAMES:,} names")
                break
            number += self.piece(piece, number)
            self.report.lines = number

    def piece(self, piece: bytes, number: int) -> int:
        """Take some whole lines, the first of which has this number (from 0); returns how many there are."""
        lines = piece.count(b"\n") + (not piece.endswith(b"\n"))
        rest: bytes | None = piece
        fast = _FAST.get(self.format)
        if fast is not None:
            found = fast.findall(piece.lower())
            if found:
                self.bulk(found)
            if len(found) == lines:
                rest = None
            else:
                rest = _FAST_ANY_CASE[self.format].sub(b"", piece)  # blank what was read
        self.pause()
        if rest is not None:
            self.slow(rest, number)
        return lines

    def slow(self, piece: bytes, number: int) -> None:
        for offset, raw in enumerate(piece.split(b"\n"), 1):
            line = raw.strip()
            if line:
                self.line(number + offset, line)
                if not offset % 256:
                    self.pause()

    def line(self, number: int, raw: bytes) -> None:
        if len(raw) > MAX_LINE:
            self.report.skip(number, raw[:200].decode("utf-8", "replace"), f"longer than {MAX_LINE} octets")
            return
        text = raw.decode("utf-8", "replace").strip()
        if not text:
            self.report.skip(number, repr(raw), "not a rule")
            return
        if text[0] in "#!;" and not text.startswith("#@#"):
            self.report.comments += 1
            return
        if text[0] == "[" and text.lower().startswith("[adblock"):
            self.report.comments += 1
            return
        try:
            self.rules(text)
        except ValueError as error:
            self.report.skip(number, text, str(error))

    def rules(self, text: str) -> None:
        """Take one line that isn't a comment; raises ValueError saying why it gives no rule."""
        if self.format == "adblock" or text.startswith(("||", "@@", "|", "/")) or text.endswith("^"):
            first = text.split(maxsplit=1)[0]
            if not is_address(first.encode()) or "^" in text:
                self.adblock(text)
                return
        if self.format == "regex":
            self.special(adblock.regex_rule(text, self.level))
            return
        plain = text.split("#", 1)[0].split()
        if not plain:
            raise ValueError("not a rule")
        address = plain[0].split("%", 1)[0]
        if is_address(address.encode()):
            if len(plain) == 1:
                self.network(address)
                return
            self.hosts(address, plain[1:])
            return
        if len(plain) > 1:
            raise ValueError("more than one word, and no address at the start")
        name = plain[0].removeprefix(".") if plain[0].startswith(".") else plain[0]
        if name.startswith("*.") and "*" not in name[2:]:
            self.one(name_tail(name[2:]), self.level, BELOW)
        elif "*" in name:
            self.special(adblock.glob_rule(name, self.level))
        else:
            self.one(name_tail(name), self.level, BOTH)

    def hosts(self, address: str, names: list[str]) -> None:
        parsed = ipaddress.ip_address(address)
        nowhere = parsed.is_unspecified or parsed.is_loopback or parsed.is_link_local or address == "255.255.255.255"
        if not nowhere:
            raise ValueError("a hosts line with an address of its own is local data, not a block rule")
        wanted = [name for name in names if name.lower() not in _LOCAL_NAMES]
        if not wanted:
            self.report.comments += 1
            return
        for tail in [name_tail(name) for name in wanted]:
            self.one(tail, self.level, EXACT)

    def adblock(self, text: str) -> None:
        parsed = adblock.parse(text, self.level)
        if isinstance(parsed, adblock.PlainName):
            self.one(parsed.tail, parsed.level, parsed.scope)
        elif isinstance(parsed, adblock.Network):
            self.content.networks.append((parsed.network, parsed.rule))
        else:
            self.special(parsed)

    def network(self, address: str) -> None:
        rule = Special(text=address, level=self.level)
        self.content.networks.append((str(ipaddress.ip_network(address)), rule))

    def special(self, rule: Special) -> None:
        if rule.regex is not None:
            compile_regex(rule.regex)
        content = self.content
        if len(content.specials) >= MAX_SPECIAL:
            raise ValueError(f"more than {MAX_SPECIAL:,} rules with modifiers")
        if rule.glob is not None or rule.regex is not None:
            self.patterns += 1
            if self.patterns > MAX_PATTERNS:
                raise ValueError(f"more than {MAX_PATTERNS:,} patterns")
        content.specials.append(rule)

    def read_zone(self, text: bytes) -> None:
        """Take a policy zone. Names answered NXDOMAIN stay plain; other actions are rules of their own."""
        content = self.content
        content.reply = rpz.NXDOMAIN if content.kind == "block" else None
        for at in range(0, len(text), CHUNK):
            self.packed.append(self.pack.compress(text[at : at + CHUNK]))
        lines = (line.decode("utf-8", "replace") for line in _lines(text))
        merged: dict[tuple[bytes, int], Special] = {}
        self.report.lines = text.count(b"\n") + (not text.endswith(b"\n"))
        for number, found in enumerate(rpz.read_zone(lines, content.kind == "allow"), 1):
            if not number % 512:
                self.pause()
            if found is None:
                self.report.comments += 1
            elif isinstance(found, rpz.Refused):
                self.report.skip(found.line, found.text, found.why)
            elif found.client is not None:
                self.special(rpz.client_rule(found))
            elif found.network is not None:
                content.networks.append((found.network, Special(found.text, found.level, reply=found.reply)))
            elif found.tail is not None and (found.reply is None or found.reply == rpz.NXDOMAIN):
                self.one(found.tail, found.level, found.scope)
            elif found.tail is not None and found.reply is not None:
                rule = Special(found.text, found.level, found.tail, found.scope, reply=found.reply)
                known = merged.get((found.tail, found.scope))
                if known is not None and known.reply is not None and found.reply.kind == known.reply.kind == "records":
                    rule = replace(known, reply=Reply("records", known.reply.records + found.reply.records))
                merged[found.tail, found.scope] = rule
        for rule in merged.values():
            self.special(rule)

    def one(self, tail: bytes, level: int, scope: int) -> None:
        key = (level, self.force or scope)
        tails = self.tails.setdefault(key, [])
        tails.append(tail)
        self.names += 1
        if len(tails) > self.small:
            self.hash(key)

    def bulk(self, names: list[bytes]) -> None:
        """Take names that are surely plain: to wire form all at once, by writing each length over the dot before it."""
        scope = _FAST_SCOPE[self.format]
        if len(names) < 64 or max(map(len, names)) > 253:
            for name in names:
                try:
                    self.one(name_tail(name.decode()), self.level, scope)
                except ValueError as error:
                    self.report.skip(0, name.decode(), str(error))
            return
        import numpy as np

        blob = bytearray(b"." + b"\n.".join(names) + b"\n")
        octets = np.frombuffer(blob, np.uint8)
        marks = np.flatnonzero((octets == 46) | (octets == 10))
        lengths = np.diff(marks, append=len(octets)) - 1
        octets[marks] = np.where(octets[marks] == 46, lengths, 0)
        wire = bytes(blob).split(b"\0")
        wire.pop()
        key = (self.level, self.force or scope)
        self.tails.setdefault(key, []).extend(wire)
        self.names += len(wire)
        if len(self.tails[key]) > self.small:
            self.hash(key)

    def hash(self, key: tuple[int, int]) -> None:
        tails = self.tails[key]
        self.hashed.setdefault(key, []).append(hash_tails(tails, len(tails)))
        self.tails[key] = []

    def finish(self) -> None:
        content = self.content
        self.packed.append(self.pack.flush())
        content.packed = b"".join(self.packed)
        for key in list(self.tails):
            if key in self.hashed:
                self.hash(key)
            else:
                content.names[key] = set(self.tails[key])
        for key, pieces in self.hashed.items():
            self.pause()
            content.hashes[key] = unique_hashes(pieces)
        self.report.duplicates = self.names + len(content.specials) + len(content.networks) - content.count
        self.report.kept = content.count


def _lines(text: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(text):
        end = text.find(b"\n", at)
        end = len(text) if end < 0 else end
        yield text[at:end]
        at = end + 1
