"""NextDNS API logs as JSON lines (one entry a line, or ``{"data": [...]}`` as the API answers).

Knows nextdns's statuses.
"""

from __future__ import annotations

from typing import Any

from dnsnb.formats.nextdns import STATUSES
from dnsnb.formats.rowtables import ObjectReader, Row
from dnsnb.formats.sniff import Head


def score(head: Head) -> int:
    """An entry's keys."""
    if (
        head.items
        and isinstance(head.items[0].get("data"), list)
        and head.items[0]["data"]
        and "domain" in head.items[0]["data"][0]
    ):
        return 90
    return head.keyed("timestamp", "domain", "encrypted", "status")


class Reader(ObjectReader):
    """Parses blocks of one log."""

    def row(self, item: dict[str, Any]) -> Row | list[Row] | None:
        """Return what an entry (or a page of them) says."""
        if isinstance(item.get("data"), list):
            return [row for one in item["data"] if isinstance(one, dict) and (row := self._entry(one)) is not None]
        return self._entry(item)

    def _entry(self, item: dict[str, Any]) -> Row | None:
        if "domain" not in item:
            return None
        device = item.get("device") or {}
        reasons = [r for r in item.get("reasons") or [] if isinstance(r, dict)]
        status = STATUSES.get(str(item.get("status", "")).lower(), "unknown")
        return {
            "time_utc": item.get("timestamp"),
            "client": item.get("clientIp"),
            "client_name": device.get("name"),
            "qname": item["domain"],
            "qtype": item.get("type"),
            "transport": item.get("protocol"),
            "status": status,
            "reason": ", ".join(str(r.get("id")) for r in reasons) or None,
            "list": str(reasons[0].get("name")) if reasons and status == "blocked" else None,
        }
