"""Infoblox (BIND's query lines beside responses of its own) and EfficientIP answer lines.

Queries are read by `bind`; what is here knows the two ways of writing answers.
"""

from __future__ import annotations

import re
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from dnsnb.formats import bind, columns
from dnsnb.formats.columns import NOTE, RESPONSE
from dnsnb.formats.feeding import Context
from dnsnb.formats.join import Joiner
from dnsnb.formats.lines import Block
from dnsnb.formats.patterns import Line, PatternReader
from dnsnb.formats.sniff import Head

_STAMP = (
    r"^(?:infoblox-responses: )?"
    r"(?:(?P<time_iso>\d{4}-\d\d-\d\dT\S+) |(?P<word>\d\d-[A-Za-z]{3}-\d{4} \d\d:\d\d:\d\d(?:\.\d+)?) )?(?:[a-z-]+: )*"
)
_CLIENT = r"client (?:@0x[0-9a-f]+ )?(?P<client>[^ #]+)#(?P<client_port>\d+)(?: \([^ ]*\))?:? "
_LINES = (
    Line(
        _STAMP
        + _CLIENT
        + r"(?:\[?view [^\]:]+: ?\]? ?)?(?P<transport>UDP|TCP): (?:\[ECS [^\]]*\] )?query: (?P<qname>\S+) "
        r"(?P<qclass>\S+) (?P<qtype>\S+) "
        r"response: (?P<rcode>\S+) (?P<marks>\S+)(?: (?P<records>.*))?$",
        RESPONSE,
        "response",
    ),
    Line(
        _STAMP + _CLIENT + r"(?:view [^:]+: )?answer: (?P<qname>\S+) (?P<qclass>\S+) (?P<qtype>\S+) (?P<asked>\S+) \("
        r"(?P<server>[^)]*)\) -> "
        r"(?P<rcode>\S+)(?: (?P<records>.*))?$",
        RESPONSE,
        "response",
    ),
    Line(
        r"^(?:(?P<time_iso>\d{4}-\d\d-\d\dT\S+) )?(?:.*?: )?CEF:\d\|Infoblox\|NIOS\|[^|]*\|"
        r"RPZ-(?P<trigger>[A-Z-]+) ?\|(?P<policy>[^|]+)\|\d+\|app=DNS "
        r"(?:dst=(?P<server>\S*) )?src=(?P<client>\S*) spt=(?P<client_port>\d+) "
        r"(?:view=\S* )?qtype=(?P<qtype>\S+) "
        r'msg="rpz \S+ \S+ rewrite (?P<qname>.+?) \[[^\]]*\] via (?P<rule>[^"]+?) ?"',
        NOTE,
        "rpz",
    ),
)
_OWN = re.compile(
    r"CEF:\d\|Infoblox\|NIOS\||client (?:@0x[0-9a-f]+ )?\S+#\d+.*"
    r"(?:(?:UDP|TCP): .*query: .* response: |answer: \S+ \S+ \S+ \S+ \([^)]*\) -> )"
)


def score(head: Head) -> int:
    """Its way of writing answers and policy hits."""
    return 98 if head.share(_OWN) > 0.1 else 0


class Reader:
    """Parses blocks of one log: answers here, all else as BIND's."""

    def __init__(self, context: Context) -> None:
        self._answers = _Answers(context, _LINES)
        self._bind = bind.Reader(context)
        self.joiner = Joiner(("client", "client_port", "qname", "qtype"), 30.0)

    def parse(self, block: Block) -> pa.Table | None:
        """Return the events of a block."""
        own = pc.match_substring_regex(block.lines().fill_null(""), _OWN.pattern).to_numpy(zero_copy_only=False)
        parts = []
        if own.any():
            parts.append(self._answers.parse(block.keep(own)))
        if not own.all():
            parts.append(self._bind.parse(block.keep(~own)))
        found = [p for p in parts if p is not None]
        if not found:
            return None
        table = pa.concat_tables(found, promote_options="permissive")
        return table.take(pc.sort_indices(table.column("id")))


class _Answers(PatternReader):
    nameless = None

    def meaning(self, raw: dict[str, Any], line: Line) -> dict[str, Any]:
        if line.kind == NOTE:
            return _policy(raw)
        word = raw.pop("word")
        if word.null_count < len(word):
            from dnsnb.formats.times import iso

            turned = columns.plain(word, _iso)
            raw["time"] = iso(turned, self.context.clock)
        marks = raw.pop("marks", None)
        if marks is not None:
            raw["flags"] = columns.mapped(marks.fill_null("-"), _flags)
        raw.pop("asked", None)
        raw["status"] = columns.mapped(raw["rcode"], columns.outcome)
        listed = columns._coded(raw.pop("records"))
        texts = [None if t is None else _records(t) for t in listed.dictionary.to_pylist()]
        raw["answers"] = pa.array([t[0] if t else [] for t in texts], pa.list_(pa.string())).take(listed.indices)
        raw["ttl"] = pa.array([t[1] if t else None for t in texts], pa.int32()).take(listed.indices)
        return raw


def _policy(raw: dict[str, Any]) -> dict[str, Any]:
    """Return what an RPZ event means, in the words of `bind`."""
    raw.pop("trigger")
    policy = raw.pop("policy")
    raw["reason"] = pc.binary_join_element_wise("rpz", policy, " ")
    raw["status"] = columns.mapped(policy, lambda p: None if p.upper() == "PASSTHRU" else "blocked")
    raw["rcode"] = columns.mapped(policy, lambda p: bind.RPZ_RCODE.get(p.upper()))
    zones = zip(raw["rule"].to_pylist(), raw["qname"].to_pylist(), strict=True)
    raw["list"] = pa.array([bind.zone_of(rule, name) for rule, name in zones], pa.string())
    return raw


def _iso(text: str) -> str:
    from dnsnb.formats.times import MONTHS

    day, month, rest = text.split("-", 2)
    year, clock = rest.split(" ", 1)
    return f"{year}-{MONTHS.get(month.lower(), 1):02d}-{day}T{clock}"


def _flags(text: str) -> str:
    """``+AED``: recursion available, authoritative, EDNS, DNSSEC OK."""
    words = ["qr", *(w for mark, w in (("A", "aa"), ("t", "tc"), ("+", "rd")) if mark in text)]
    return " ".join(words)


def _records(text: str) -> tuple[list[str], int | None]:
    data, ttls = [], []
    for record in text.rstrip(";").split(";"):
        parts = record.split(None, 4)
        if len(parts) == 5 and parts[1].isdigit():
            ttls.append(int(parts[1]))
            data.append(parts[4].rstrip("."))
        elif record.strip():
            data.append(record.strip())
    return data, min((t for t in ttls if t < 1 << 31), default=None)
