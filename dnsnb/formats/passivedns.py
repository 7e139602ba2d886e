"""Passive DNS: gamelinux passivedns text (``ts||client||server||IN||name||type||answer||ttl||count``).

A row is one record seen, not one query; `count` says how often.
"""

from __future__ import annotations

from typing import Any

from dnsnb.formats.rowtables import DelimitedReader, Row
from dnsnb.formats.sniff import Head


def score(head: Head) -> int:
    """Eight or nine fields between double bars."""
    lines = [line for line in head.lines if not line.startswith("#")]
    return int(97 * head.share(r"^\d+\.\d+\|\|[^|]*\|\|[^|]*\|\|[A-Z]+\|\|.*\|\|[A-Z0-9]+\|\|.*\|\|\d+\|\|\d+$", lines))


class Reader(DelimitedReader):
    """Parses blocks of one log."""

    delimiter, quoted = "||", False

    def row(self, fields: Any) -> Row | None:
        """Return what a record says."""
        if fields and fields[0].startswith("#"):
            return None
        when, client, server, qclass, name, qtype, *rest = fields
        numbers = 2 if len(rest) > 2 and rest[-1].isdigit() and rest[-2].isdigit() else 1  # old ones have no count
        answer, (ttl, *count) = "||".join(rest[:-numbers]), rest[-numbers:]
        failed = qtype == "" or answer in ("", "NXDOMAIN")
        return {
            "time_epoch": when,
            "client": client,
            "server": server,
            "qclass": qclass,
            "qname": name,
            "qtype": qtype,
            "answers": [] if failed else [answer.rstrip(".") if qtype in ("CNAME", "NS", "PTR") else answer],
            "ttl": ttl,
            "count": count[0] if count else None,
            "rcode": "NXDOMAIN" if answer == "NXDOMAIN" else "NOERROR",
        }
