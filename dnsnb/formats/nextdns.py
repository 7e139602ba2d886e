"""NextDNS: the CSV download (snake_case and camelCase headers).

Its API's JSON is `nextdns_json`.
"""

from __future__ import annotations

import re
from typing import Any

from dnsnb.formats.rowtables import DelimitedReader, Row
from dnsnb.formats.sniff import Head

STATUSES = {
    "blocked": "blocked",
    "allowed": "forwarded",
    "default": "forwarded",
    "": "forwarded",
    "error": "failed",
    "relayed": "forwarded",
}


def score(head: Head) -> int:
    """The header."""
    first = head.lines[0].lower().replace("_", "").replace('"', "") if head.lines else ""
    return (
        97
        if first.startswith("timestamp,") and "domain" in first and "querytype" in first and "clientip" in first
        else 0
    )


class Reader(DelimitedReader):
    """Parses blocks of one download."""

    header_word = "timestamp"

    def row(self, fields: Any) -> Row | None:
        """Return what a record says."""
        record = {re.sub(r"(?<=[a-z])(?=[A-Z])", "_", key).lower(): value for key, value in fields.items()}
        whole = self.header is not None and len(record) == len(self.header)
        if not whole or "domain" not in record or not record["timestamp"][:4].isdigit():
            return None
        status = record.get("status", "")
        reasons = record.get("reasons", "")
        blocked = status.lower() == "blocked"
        return {
            "time_utc": record["timestamp"],
            "client": record.get("client_ip"),
            "client_name": record.get("device_name") or record.get("client_name") or None,
            "qname": record["domain"],
            "qtype": record.get("query_type"),
            "transport": record.get("protocol"),
            "status": STATUSES.get(status.lower(), "unknown"),
            "reason": reasons or None,
            "list": reasons.split(",")[0].removeprefix("blocklist:") or None if blocked else None,
            "rule": record.get("matched_name") or None,
        }
