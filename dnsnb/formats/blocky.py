"""blocky's CSV query log: tab-separated, no header, local time, eleven columns (fewer in old versions).

The reason tells what was done: ``BLOCKED (ads)``, ``RESOLVED (tcp+udp:8.8.8.8)``, ``CACHED``.
"""

from __future__ import annotations

import re
from typing import Any

from dnsnb.formats import columns
from dnsnb.formats.rowtables import DelimitedReader, Row
from dnsnb.formats.sniff import Head

STATUSES = {
    "RESOLVED": "forwarded", "CACHED": "cached", "BLOCKED": "blocked", "CONDITIONAL": "forwarded", "CUSTOMDNS": "local",
    "HOSTSFILE": "local", "FILTERED": "blocked", "NOTFQDN": "blocked", "SPECIAL": "local", "SYNTHESIZED": "local",
    "REBIND": "blocked", "BOGUS": "failed",
}  # fmt: skip
_ANSWER = re.compile(r"([A-Z0-9]+) \(([^)]*)\)")
_STAMP = r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\t[^\t]*\t[^\t]*\t\d+\t"


def score(head: Head) -> int:
    """A stamp, and a duration in the fourth column."""
    return int(95 * head.share(_STAMP))


class Reader(DelimitedReader):
    """Parses blocks of one log."""

    delimiter = "\t"

    def row(self, fields: Any) -> Row | None:
        """Return what a record says."""
        if len(fields) < 8 or not fields[3].isdigit():
            return None
        when, client, names, took, reason, name, answer, rcode, *rest = fields
        kind = rest[0] if rest else reason.split(" ", 1)[0]
        return described(
            when, client, names, took, reason, name, answer, rcode, kind, rest[1] if len(rest) > 1 else None
        )


def described(
    when: str | None, client: str, names: str, took: Any, reason: str, name: str, answer: str, rcode: str | None,
    kind: str, qtype: str | None,
) -> Row:  # fmt: skip
    """Return a row from the fields that blocky writes, whichever way it writes them."""
    inner = re.search(r"\((.*)\)$", reason)
    status = STATUSES.get(kind.upper())
    if status == "forwarded" and columns.rcode(rcode or "") == "SERVFAIL":
        status = "failed"
    group, _, rule = (inner[1] if inner else "").partition(": ")
    return {
        "time_iso": when,
        "client": None if client in ("0.0.0.0", "") else client,
        "client_name": None if names in ("none", "") else names.split("; ", maxsplit=1)[0],
        "latency_ms": took,
        "qname": name,
        "rcode": rcode,
        "answers": answers(answer),
        "qtype": qtype,
        "status": status,
        "reason": reason,
        "list": group if status == "blocked" and group else None,
        "rule": rule or None,
        "upstream": inner[1] if inner and status in ("forwarded", "failed") else None,
    }


def answers(text: str) -> list[str]:
    """Return blocky's answer text, ``A (1.2.3.4), CNAME (x.)``, as data."""
    found = [data.rstrip(".") if kind in ("CNAME", "NS", "PTR") else data for kind, data in _ANSWER.findall(text)]
    return found if found or not text else [text]
