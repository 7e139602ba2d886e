"""Passive DNS: gamelinux passivedns text (``ts||client||server||IN||name||type||answer||ttl||count``).

A row is one record seen, not one query; `count` says how often.
"""

from __future__ import annotations

from typing import Any

from dnsnb.formats.rowtables import DelimitedReader, Row
from dnsnb.formats.sniff import Head


def score(head: Head) -> int:
    """Eight or nine fields between double bars."""
    return int(
        97 * head.share(r"^(?:#.*|\d+\.\d+\|\|[^|]*\|\|[^|]*\|\|[A-Z]+\|\|.*\|\|[A-Z0-9]+\|\|.*\|\|\d+\|\|\d+)$")
    )


class Reader(DelimitedReader):
    """Parses blocks of one log."""

    delimiter, quoted = "||", False

    def row(self, fields: Any) -> Row | None:
        """Return what a record says."""
        if fields and fields[0].startswith("#"):
            return None
        when, client, server, qclass, name, qtype, answer, ttl, *rest = fields
        failed = qtype == "" or not answer
        return {
            "time_epoch": when,
            "client": client,
            "server": server,
            "qclass": qclass,
            "qname": name,
            "qtype": qtype,
            "answers": [] if failed else [answer.rstrip(".") if qtype in ("CNAME", "NS", "PTR") else answer],
            "ttl": ttl,
            "count": rest[0] if rest else None,
            "rcode": "NXDOMAIN" if answer == "NXDOMAIN" else "NOERROR",
        }
