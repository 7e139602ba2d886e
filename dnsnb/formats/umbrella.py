"""Cisco Umbrella DNS logs: CSV of 10 (version 1) to 13 or more columns, quoted, UTC, with or without a header.

An identity may hold commas and line breaks.
"""

from __future__ import annotations

import re
from typing import Any

from dnsnb.formats.rowtables import DelimitedReader, Row
from dnsnb.formats.sniff import Head

_STAMP = r'^"?\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"?, ?'


def score(head: Head) -> int:
    """A stamp, and an action among quoted fields; a query type as ``1 (A)``."""
    return int(95 * min(1.0, 1.5 * head.share(_STAMP + r'.*"?(?:Allowed|Blocked|Proxied)"?, ?"?\d+ \([A-Z0-9]+\)"?')))


class Reader(DelimitedReader):
    """Parses blocks of one log."""

    header_word = "Timestamp"

    def __init__(self, context: Any) -> None:
        super().__init__(context)
        self.header = None

    def _fields(self, text: str) -> list[str]:
        return super()._fields(text)

    def row(self, fields: Any) -> Row | None:
        """Return what a record says."""
        values = list(fields.values()) if isinstance(fields, dict) else fields
        if len(values) < 9 or not re.match(r"\d{4}-\d\d-\d\d", values[0]):
            return None
        when, identity, _, inner, outer, action, qtype, rcode, name, *rest = values
        kind = re.search(r"\(([^)]+)\)", qtype)
        blocked = action.lower().startswith("blocked")
        return {
            "time_utc": when,
            "client": inner or outer,
            "client_name": identity.replace("\n", " ") or None,
            "qname": name,
            "qtype": kind[1] if kind else qtype,
            "rcode": rcode,
            "status": "blocked" if blocked else "forwarded",
            "reason": action,
            "list": ((rest[2] if len(rest) > 2 else "") or (rest[0] if rest else "")) or None if blocked else None,
        }
