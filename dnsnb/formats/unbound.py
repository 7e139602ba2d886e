"""Unbound: log-queries, log-replies, log-local-actions, RPZ and SERVFAIL lines, with any of its three clocks.

A reply line is a row by itself; the query line before it gives the time. Octets outside [A-Za-z0-9*_-] are printed
as ``?``.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from dnsnb.formats import columns
from dnsnb.formats.columns import HINT, NOTE, QUERY, RESPONSE
from dnsnb.formats.feeding import Context
from dnsnb.formats.join import Joiner
from dnsnb.formats.patterns import Line, PatternReader
from dnsnb.formats.sniff import Head

_STAMP = (
    r"^(?:\[(?P<time_epoch>\d{9,11}(?:\.\d+)?)\] |(?P<time_syslog>[^\s\d\[]{3,5} +\d+ \d\d:\d\d:\d\d) |"
    r"(?P<time_iso>\d{4}-\d\d-\d\dT\S+) )?"
    r"(?:\S*unbound\S*?)?(?:\[\d+:[0-9a-f]+\]) "
)
_QUESTION = r"(?P<qname>\S+) (?P<qtype>\S+) (?P<qclass>\S+)"
_LINES = (
    Line(
        _STAMP
        + r"(?:info|reply): (?P<client>[0-9a-fA-F.:]+(?:%\w+)?) "
        + _QUESTION
        + r" (?P<rcode>[A-Z]\w*) (?P<latency_s>\d+\.\d+|-) "
        r"(?P<hit>[01]|-) (?P<response_bytes>\d+|-)(?: on (?P<transport>\w+) (?P<server>\S+) \d+)?$",
        RESPONSE,
        "reply",
    ),
    Line(_STAMP + r"(?:info|query): (?P<client>[0-9a-fA-F.:]+(?:%\w+)?) " + _QUESTION + "$", QUERY, "query"),
    Line(
        _STAMP + r"info: rpz: applied (?:\[(?P<list>[^\]]*)\] )?(?:(?P<trigger>[a-z-]+) )?(?P<rule>\S+) "
        r"(?P<reason>rpz-\S+|\S+) "
        r"(?P<client>[0-9a-fA-F.:]+)@(?P<client_port>\d+) " + _QUESTION + "$",
        NOTE,
        "rpz",
    ),
    Line(
        _STAMP
        + r"info: (?P<rule>\S+) (?P<reason>[a-z_]+) (?P<client>[0-9a-fA-F.:]+)@(?P<client_port>\d+) "
        + _QUESTION
        + "$",
        NOTE,
        "local",
    ),
    Line(
        _STAMP + r"error: SERVFAIL <(?P<qname>\S+) (?P<qtype>\S+) (?P<qclass>\S+)>: (?P<reason>.*)$", HINT, "servfail"
    ),
)

_DENYING = {
    "deny",
    "refuse",
    "always_refuse",
    "always_nxdomain",
    "always_nodata",
    "always_deny",
    "always_null",
    "inform_deny",
}


def score(head: Head) -> int:
    """Unbound's process and thread in brackets, and a level."""
    share = head.share(r"\[\d+:[0-9a-f]+\] (?:info|notice|error|warning|debug|query|reply): ")
    if share < 0.3:
        return 0
    return 96 if head.share(r": [0-9a-fA-F.:]+ \S+ [A-Z0-9]+ (?:IN|CH|HS|ANY|CLASS\d+)") > 0.05 else 60


class Reader(PatternReader):
    """Parses blocks of one log."""

    otherwise = "says nothing about a query"
    lossy = r"[?#]|&$"

    def __init__(self, context: Context) -> None:
        super().__init__(
            context, _LINES, Joiner(("client", "qname", "qtype", "qclass"), 60.0, latency=False, loose="client")
        )

    def meaning(self, raw: dict[str, Any], line: Line) -> dict[str, Any]:
        """Say what a line means in the frame's words."""
        hit = raw.pop("hit", None)
        raw.pop("trigger", None)
        if line.event == "reply":
            raw["status"] = pa.array(["forwarded", "cached"]).take(pc.equal(hit.fill_null("0"), "1").cast(pa.int8()))
            raw["status"] = columns.mapped(
                pc.if_else(
                    pc.and_(
                        pc.is_in(raw["rcode"], pa.array(["SERVFAIL", "FORMERR"])), pc.equal(raw["status"], "forwarded")
                    ),
                    "failed",
                    raw["status"],
                ),
                str,
            )
        elif line.event == "rpz":
            raw["status"] = columns.mapped(
                raw["reason"], lambda a: "blocked" if a not in ("rpz-passthru", "passthru") else None
            )
        elif line.event == "local":
            raw["status"] = columns.mapped(raw["reason"], lambda a: "blocked" if a in _DENYING else "local")
        elif line.event == "servfail":
            raw["rcode"], raw["status"] = "SERVFAIL", "failed"
        return raw
