"""Cloudflare Logpush: dns_logs (zones), dns_firewall_logs, and gateway_dns (Zero Trust), whose records come as base64
of the wire.

Times as RFC 3339, or seconds, ms or ns, as number or text.
"""

from __future__ import annotations

import base64
from typing import Any

from dnsnb.dns import records, wire
from dnsnb.errors import WireError
from dnsnb.formats.rowtables import ObjectReader, Row
from dnsnb.formats.sniff import Head

BLOCKING = ("2", "3", "6", "9")
"""Resolver decisions that block, where they are written as numbers."""


def score(head: Head) -> int:
    """Keys of one of the data sets."""
    return max(
        head.keyed("QueryName", "QueryType", "SourceIP"),
        head.keyed("QueryName", "QueryType", "ResponseCode"),
        head.keyed("QueryName", "SrcIP"),
        head.keyed("QueryName", "ResolverDecision"),
    )


class Reader(ObjectReader):
    """Parses blocks of one push."""

    def row(self, item: dict[str, Any]) -> Row | None:
        """Return what a record says."""
        name = item["QueryName"]
        stamp = item.get("Timestamp", item.get("Datetime"))
        time = (
            {"time_utc": stamp}
            if isinstance(stamp, str) and "T" in stamp
            else {"time_epoch": None if stamp is None else str(stamp)}
        )
        common = {**time, "qname": name, "qtype": str(item.get("QueryTypeName") or item.get("QueryType", ""))}
        if "ResolverDecision" in item or "RData" in item or "SrcIP" in item:
            decision = str(item.get("ResolverDecision") or "")
            blocked = decision.lower().startswith("blocked") or decision in BLOCKING
            data = [
                text
                for r in item.get("RData") or []
                if isinstance(r, dict) and (text := record_text(str(r.get("data", "")))) is not None
            ]
            return {
                **common,
                "client": item.get("SrcIP"),
                "client_port": item.get("SrcPort") or None,
                "client_name": item.get("DeviceName") or item.get("Email") or None,
                "transport": item.get("Protocol"),
                "server": item.get("DstIP"),
                "rcode": str(item["RCode"]) if "RCode" in item else None,
                "answers": data or [str(ip) for ip in item.get("ResolvedIPs") or []],
                "status": "blocked" if blocked else "forwarded",
                "reason": decision or None,
                "rule": item.get("Policy") or None,
                "query_bytes": item.get("QuerySize"),
            }
        subnet = item.get("EDNSSubnet")
        return {
            **common,
            "client": item.get("SourceIP"),
            "transport": None if item.get("QueryTCP") is None else "tcp" if item["QueryTCP"] else "udp",
            "rcode": str(item.get("ClientResponseCode", item.get("ResponseCode", ""))),
            "server": item.get("ColoCode"),
            "upstream": item.get("UpstreamIP") or None,
            "latency_ms": item.get("UpstreamResponseTimeMs") or None,
            "query_bytes": item.get("QuerySize"),
            "reason": item.get("ResponseReason") or None,
            "ecs": f"{subnet}/{item.get('EDNSSubnetLength', 0)}" if subnet else None,
            "status": "stale" if item.get("ResponseCachedStale") else "cached" if item.get("ResponseCached") else None,
        }


def record_text(data: str) -> str | None:
    """Return the data of a resource record given as base64 of its wire form; None where it is not well formed."""
    try:
        raw = base64.b64decode(data, validate=True)
        message = bytes(12) + raw
        _, at = wire.read_name(message, 12)
        if at + 10 > len(message):
            return None
        rtype, size = int.from_bytes(message[at : at + 2]), int.from_bytes(message[at + 8 : at + 10])
        if at + 10 + size != len(message):
            return None
        return records.rdata_text(rtype, message[at + 10 :])
    except (ValueError, WireError, IndexError):
        return None
