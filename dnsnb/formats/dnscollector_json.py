"""DNS-collector JSON, nested or flattened to dotted keys; ``"-"`` stands for nothing.

Operations as in dnstap.
"""

from __future__ import annotations

from typing import Any

from dnsnb.formats.columns import QUERY, RESPONSE
from dnsnb.formats.feeding import Context
from dnsnb.formats.join import Joiner
from dnsnb.formats.rowtables import ObjectReader, Row
from dnsnb.formats.sniff import Head

_FLAGS = ("qr", "aa", "tc", "rd", "ra", "ad", "cd")


def score(head: Head) -> int:
    """Its three groups, nested or dotted."""
    return max(
        head.keyed("dns", "dnstap", "network"),
        head.keyed("dns.qname", "dnstap.operation"),
        head.keyed("dns.qname", "network.query-ip"),
    )


class Reader(ObjectReader):
    """Parses blocks of one log."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.joiner = Joiner(("side", "client", "client_port", "dns_id", "qname", "qtype"), 30.0, by_time=True)

    def row(self, item: dict[str, Any]) -> Row | None:
        """Return what a message says."""
        flat = item if "dns.qname" in item else _flat(item)

        def get(key: str) -> Any:
            value = flat.get(key)
            return None if value in ("-", "", None) else value

        if get("dns.qname") is None and get("dns.qtype") is None:
            return None
        operation = str(get("dnstap.operation") or "")
        replied = operation.endswith("_RESPONSE") or (not operation and bool(get("dns.flags.qr")))
        answers, ttls, i = [], [], 0
        records = get("dns.resource-records.an")
        if isinstance(records, list):
            answers = [str(r.get("rdata", "")) for r in records if isinstance(r, dict)]
            ttls = [r["ttl"] for r in records if isinstance(r, dict) and isinstance(r.get("ttl"), int)]
        while (data := flat.get(f"dns.resource-records.an.{i}.rdata")) is not None:
            answers.append(str(data))
            ttl = flat.get(f"dns.resource-records.an.{i}.ttl")
            ttls += [int(ttl)] if isinstance(ttl, (int, float)) else []
            i += 1
        flags = " ".join(f for f in _FLAGS if flat.get(f"dns.flags.{f}") is True) or None
        size, latency = get("dns.length"), get("dnstap.latency")
        return {
            "time_utc": get("dnstap.timestamp-rfc3339ns") or get("dnstap.timestamp"),
            "client": get("network.query-ip"),
            "client_port": get("network.query-port"),
            "server": get("network.response-ip"),
            "transport": get("network.protocol"),
            "dns_id": get("dns.id"),
            "qname": get("dns.qname") or ".",
            "qtype": get("dns.qtype"),
            "qclass": get("dns.qclass"),
            "rcode": get("dns.rcode") if replied else None,
            "answers": answers if replied else None,
            "ttl": min(ttls) if ttls and replied else None,
            "flags": flags if replied else None,
            "query_flags": None if replied else flags,
            "side": "client" if operation.startswith(("CLIENT", "AUTH")) or not operation else "upstream",
            "response_bytes": size if replied else None,
            "query_bytes": None if replied else size,
            "latency_ms": float(latency) * 1000
            if replied and isinstance(latency, (int, float)) and latency > 0
            else None,
            "kind": RESPONSE if replied else QUERY,
            "event": "response" if replied else "query",
        }


def _flat(item: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in item.items():
        if isinstance(value, dict) and len(prefix) < 200:
            out |= _flat(value, f"{prefix}{key}.")
        else:
            out[prefix + key] = value
    return out
