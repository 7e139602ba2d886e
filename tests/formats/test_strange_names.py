"""The same strange names, written as each daemon writes them, come out the same, or are marked lossy."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from dnsnb.dns import wire
from dnsnb.formats import FORMATS, read_log

from .conftest import DATA

NAMES: dict[str, tuple[bytes, ...]] = {
    "blank": (b"sp ace", b"example"),
    "dot in a label": (b"a.b", b"example"),
    "latin-1": (b"caf\xe9", b"example"),
    "utf-8": (b"caf\xc3\xa9", b"example"),
    "backslash": (b"a\\b", b"example"),
    "what looks like an escape": (b"a\\032", b"\\xe9"),
    "quote": (b'q"x', b"example"),
    "specials": (b"a;b(3)c@$,|'", b"example"),
    "control": (b"a\x01\x7fb", b"example"),
    "nul": (b"a\0b", b"example"),
    "upper case": (b"WwW", b"ExAmple"),
    "root": (),
    "service": (b"_dns", b"*", b"example"),
    "dash": (b"-",),
    "a word for nothing": (b"null",),
    "brackets": (b"(empty)",),
    "angles": (b"<root>", b"example"),
    "digits": (b"0", b"1"),
    "commas": (b"a,b", b"c:d", b"example"),
    "pipe": (b"a|b", b"example"),
}


def escaped(labels: tuple[bytes, ...], special: bytes, blank: str = "\\032") -> str:
    """Presentation format: a backslash before `special`, ``\\DDD`` for what is not printable."""
    shown = {32: blank} | {c: "\\" + chr(c) for c in special}
    return ".".join("".join(shown.get(c, chr(c) if 33 <= c < 127 else f"\\{c:03d}") for c in x) for x in labels)


def isc(labels: tuple[bytes, ...]) -> str:
    return escaped(labels, b'".;()@$\\') or "."


def go(labels: tuple[bytes, ...]) -> str:
    return escaped(labels, b".'@;()\"\\", "\\ ") + "."


def powerdns(labels: tuple[bytes, ...]) -> str:
    return escaped(labels, b".\\") + "."


def nlnet(labels: tuple[bytes, ...]) -> str:
    kept = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_*"
    return "".join("".join(chr(c) if c in kept else "?" for c in x) + "." for x in labels) or "."


def zeek(labels: tuple[bytes, ...]) -> str:
    shown = {92: "\\\\"}
    if labels in ((b"-",), (b"(empty)",)):  # what would be taken for a value of the log's own
        return f"\\x{labels[0][0]:02x}{labels[0][1:].decode()}"
    return "".join(shown.get(c, chr(c) if 32 <= c < 127 else f"\\x{c:02x}") for c in b".".join(labels))


def suricata(labels: tuple[bytes, ...]) -> str:
    raw = b".".join(labels)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return "".join(chr(c) if 32 <= c < 127 else f"\\x{c:02x}" for c in raw)


def windows(labels: tuple[bytes, ...]) -> str:
    return "".join(f"({len(x)}){x.decode('latin-1')}" for x in labels) + "(0)"


def dnsmasq(labels: tuple[bytes, ...]) -> str:
    printable = all(32 <= c < 127 for x in labels for c in x)
    return (b".".join(labels).decode() or ".") if printable else "<name unprintable>"


def tsv(name: str) -> str:
    return '"' + name.replace('"', '""') + '"' if '"' in name else name


SPELLINGS: dict[str, Callable[[tuple[bytes, ...]], str]] = {
    "bind": isc,
    "infoblox": isc,
    "coredns": lambda x: go(x).lower(),
    "adguard": lambda x: go(x).rstrip(".") or ".",
    "blocky": lambda x: tsv(go(x)),
    "powerdns": powerdns,
    "powerdns structured": lambda x: powerdns(x).replace("\\", "\\\\").replace('"', '\\"'),
    "powerdns-json": powerdns,
    "dnsdist": powerdns,
    "route53": isc,
    "zeek": lambda x: zeek(x) or "(empty)",
    "zeek-json": suricata,
    "suricata": suricata,
    "unbound": nlnet,
    "dnsmasq": dnsmasq,
    "windows": windows,
    "technitium": lambda x: powerdns(x).rstrip("."),
}
LINES = dict(line.split("\t", 1) for line in (DATA / "writers.txt").read_text(encoding="utf-8").splitlines())
#: A dot in a label is written like one between labels: no row can tell, so the report says it of all.
UNTOLD = {(writer, "dot in a label") for writer in ("zeek", "zeek-json", "suricata", "dnsmasq")} | {
    ("suricata", "what looks like an escape"),
    ("zeek-json", "what looks like an escape"),
}
LOSSY = {("windows", "what looks like an escape"), ("windows", "nul")}


@pytest.mark.parametrize("writer", LINES)
def test_a_strange_name_is_the_same_whoever_wrote_it(writer: str) -> None:
    name = writer.split(" ", 1)[0]
    lines = []
    for i, labels in enumerate(NAMES.values()):
        text = SPELLINGS[writer](labels)
        line = LINES[writer].replace("<i>", str(1000 + i)).replace("<json>", json.dumps(text)).replace("<n>", text)
        lines.append(line)
    if name == "zeek":
        lines.insert(0, "#separator \\x09\n#path\tdns\n#fields\tts\tuid\tid.orig_h\tquery")
    frame = read_log("\n".join([*lines, ""]).encode("latin-1"), format=name, tz="UTC", year=2026)
    assert len(frame) == len(NAMES), frame.attrs["import"]
    for i, (what, labels) in enumerate(NAMES.items()):
        told = wire.name_to_text(b"".join(bytes([len(x)]) + x for x in labels) + b"\0")
        if "lossy" in frame and frame["lossy"].iloc[i]:
            assert (writer, what) in LOSSY or writer in ("unbound", "dnsmasq"), what
        elif (writer, what) in UNTOLD:
            assert frame.attrs["import"].untold, what
        else:
            assert frame["qname"].iloc[i] == told, what
    report = frame.attrs["import"]
    assert report.lossy == (frame["lossy"].sum() if "lossy" in frame else 0)
    assert report.untold == FORMATS[name].untold
    assert bool(report.lossy) == ("lossy names" in str(report))
