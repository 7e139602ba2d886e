"""Amazon Route 53 Resolver query logs, as delivered to S3; CloudWatch's `message` is unwrapped before.

Firewall actions become statuses.
"""

from __future__ import annotations

from typing import Any

from dnsnb.formats.rowtables import ObjectReader, Row
from dnsnb.formats.sniff import Head


def score(head: Head) -> int:
    """Its snake-case keys."""
    return max(
        head.keyed("query_timestamp", "query_name", "srcaddr"), head.keyed("query_timestamp", "query_name", "rcode")
    )


class Reader(ObjectReader):
    """Parses blocks of one log."""

    def row(self, item: dict[str, Any]) -> Row | None:
        """Return what a record says."""
        action = item.get("firewall_rule_action")
        blocked = action == "BLOCK"
        answers = [a for a in item.get("answers") or [] if isinstance(a, dict)]
        source = item.get("srcids") or {}
        return {
            "time_utc": item["query_timestamp"],
            "client": item.get("srcaddr"),
            "client_port": item.get("srcport"),
            "qname": item["query_name"],
            "qtype": item.get("query_type"),
            "qclass": item.get("query_class"),
            "rcode": item.get("rcode"),
            "transport": item.get("transport"),
            "answers": [
                str(a.get("Rdata", "")).rstrip("." if a.get("Type") in ("CNAME", "NS", "PTR") else "") for a in answers
            ],
            "client_name": source.get("instance") or source.get("resolver_endpoint") or None,
            "status": "blocked"
            if blocked
            else {"SERVFAIL": "failed", "REFUSED": "refused"}.get(str(item.get("rcode"))),
            "reason": f"firewall {action}" if action else None,
            "list": item.get("firewall_domain_list_id") if action else None,
            "rule": item.get("firewall_rule_group_id") if action else None,
            "uid": item.get("vpc_id"),
        }
