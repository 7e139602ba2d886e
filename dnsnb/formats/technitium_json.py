"""Technitium's Log Exporter: JSON lines with full answers.

The same codes as the query-log database of `technitium_db`.
"""

from __future__ import annotations

from typing import Any

from dnsnb.formats.rowtables import ObjectReader, Row
from dnsnb.formats.sniff import Head

STATUSES = {
    "1": "local",
    "authoritative": "local",
    "2": "forwarded",
    "recursive": "forwarded",
    "3": "cached",
    "cached": "cached",
    "4": "blocked",
    "blocked": "blocked",
    "5": "blocked",
    "upstreamblocked": "blocked",
    "6": "blocked",
    "upstreamblockedcached": "blocked",
    "cacheblocked": "blocked",
    "7": "failed",
    "dropped": "failed",
}


def score(head: Head) -> int:
    """Its camel-case keys."""
    return max(head.keyed("clientIp", "responseCode", "question"), head.keyed("clientIp", "responseType", "question"))


class Reader(ObjectReader):
    """Parses blocks of one log."""

    def row(self, item: dict[str, Any]) -> Row | None:
        """Return what an entry says."""
        question = item["question"]
        if not isinstance(question, dict):
            return None
        answers = item.get("answers") or []
        kind = str(item.get("responseType", ""))
        ttls = [a["recordTtl"] for a in answers if isinstance(a.get("recordTtl"), int)]
        ede = [e.get("errType") for e in item.get("edns") or [] if isinstance(e, dict)]
        return {
            "time_utc": item.get("timestamp"),
            "client": item.get("clientIp"),
            "transport": item.get("protocol"),
            "qname": question.get("questionName"),
            "qtype": question.get("questionType"),
            "qclass": question.get("questionClass"),
            "rcode": item.get("responseCode"),
            "latency_ms": item.get("responseRtt"),
            "status": STATUSES.get(kind.lower()),
            "reason": kind or None,
            "answers": [str(a.get("recordData", "")) for a in answers],
            "ttl": min(ttls) if ttls else None,
            "ede": next((int(str(e)) for e in ede if str(e).isdigit()), None),
        }
