"""Cisco Umbrella DNS logs: CSV of 10 (version 1) to 13 or more columns, quoted, UTC, with or without a header.

An identity may hold commas and line breaks.
"""

from __future__ import annotations

import re
from typing import Any

from dnsnb.formats.rowtables import DelimitedReader, Row
from dnsnb.formats.sniff import Head

_STAMP = r'^"?\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"?, ?'
_FIELDS = (
    "timestamp", "policyidentity", "identities", "internalip", "externalip", "action", "querytype", "responsecode",
    "domain", "categories", "policyidentitytype", "identitytypes", "blockedcategories", "ruleid",
)  # fmt: skip
_SAME = {"mostgranularidentity": "policyidentity", "mostgranularidentitytype": "policyidentitytype"}


def score(head: Head) -> int:
    """A stamp, and an action among quoted fields; a query type as ``1 (A)``. Or the header of a DNS log."""
    rows = 1.5 * head.share(_STAMP + r'.*"?(?:Allowed|Blocked|Proxied)[^"]*"?, ?"?\d+ \([A-Z0-9]+\)"?')
    first = {_spelled(field) for field in head.lines[0].split(",")} if head.lines else set()
    return int(95 * min(1.0, max(rows, float({"timestamp", "querytype", "responsecode", "domain"} <= first))))


def _spelled(field: str) -> str:
    word = re.sub("[^a-z]", "", field.lower())
    return _SAME.get(word, word)


class Reader(DelimitedReader):
    """Parses blocks of one log; a header says which column is where, else they stand in the documented order."""

    header_word = "timestamp"

    def row(self, fields: Any) -> Row | None:
        """Return what a record says."""
        named = {_spelled(k): v for k, v in fields.items()} if isinstance(fields, dict) else None
        record = named if named is not None else dict(zip(_FIELDS, fields, strict=False))
        if len(record) < 9 or not re.match(r"\d{4}-\d\d-\d\d", record["timestamp"]):
            return None
        action, qtype = record["action"], record["querytype"]
        kind = re.search(r"\(([^)]+)\)", qtype)
        blocked = action.lower().startswith("blocked")
        return {
            "time_utc": record["timestamp"],
            "client": record["internalip"] or record["externalip"],
            "client_name": record["policyidentity"].replace("\n", " ") or None,
            "qname": record["domain"],
            "qtype": kind[1] if kind else qtype,
            "rcode": record["responsecode"],
            "status": "blocked" if blocked else "forwarded",
            "reason": action,
            "list": (record.get("blockedcategories") or record.get("categories") or None) if blocked else None,
            "rule": record.get("ruleid") or None if blocked else None,
        }
