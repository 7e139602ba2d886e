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

_PASSING = {"inform", "always_transparent"}
"""Actions that only say so in the log: the question goes on."""


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
            raw["status"] = _status(hit.fill_null("0"), raw["rcode"], raw["qclass"])
            # what the access list refuses is not read: a name would end in a dot
            unread = pc.and_(pc.equal(raw["qname"], "null"), pc.equal(raw["qtype"], "TYPE0")).fill_null(False)
            for key in ("qname", "qtype", "qclass"):
                raw[key] = pc.if_else(unread, pa.scalar(None, pa.string()), raw[key])
        elif line.event == "rpz":
            raw["status"] = columns.mapped(
                raw["reason"], lambda a: "blocked" if a not in ("rpz-passthru", "passthru") else None
            )
        elif line.event == "local":
            raw["status"] = columns.mapped(raw["reason"], _local)
        elif line.event == "servfail":
            raw["rcode"], raw["status"] = "SERVFAIL", "failed"
        return raw


def _status(hit: pa.Array, rcode: pa.Array, qclass: pa.Array) -> pa.Array:
    """Return what was done: an answer from memory is also what unbound says about itself (class CH) and refuses."""
    status = pc.if_else(
        pc.equal(hit, "1"),
        pc.if_else(pc.equal(qclass, "CH").fill_null(False), "local", "cached"),
        pc.if_else(pc.is_in(rcode, pa.array(["SERVFAIL", "FORMERR"])), "failed", "forwarded"),
    )
    # what an upstream refuses is SERVFAIL: REFUSED is unbound's own word
    return columns.mapped(pc.if_else(pc.equal(rcode, "REFUSED").fill_null(False), "refused", status), str)


def _local(action: str) -> str | None:
    return "blocked" if action in _DENYING else None if action in _PASSING else "local"
