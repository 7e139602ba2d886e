"""PowerDNS Recursor's structured log (4.8 on) as JSON lines.

A question that its packet cache answers is one line, and has no rcode.
"""

from __future__ import annotations

from typing import Any

from dnsnb.formats.columns import QUERY, RESPONSE
from dnsnb.formats.feeding import Context
from dnsnb.formats.join import Joiner
from dnsnb.formats.powerdns import told
from dnsnb.formats.rowtables import ObjectReader, Row
from dnsnb.formats.sniff import Head

_CACHED = "Question answered from packet cache"


def score(head: Head) -> int:
    """The structured log's keys."""
    return 93 if head.keyed("msg", "subsystem", "ts") and any("qname" in item for item in head.items) else 0


class Reader(ObjectReader):
    """Parses blocks of the structured log as JSON."""

    noise = "says nothing about a client's query"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.joiner = Joiner(("thread", "qname", "qtype"), 30.0)

    def row(self, item: dict[str, Any]) -> Row | None:
        """Return what a line says."""
        if item.get("msg") not in ("Question", "Answer", _CACHED) or "qname" not in item:
            return None
        host, _, port = str(item.get("remote", "")).rpartition(":")
        answer = item["msg"] == "Answer"
        rcode = told(str(item["rcode"])) if answer and "rcode" in item else None
        asked = str(item.get("outqueries", "0")) != "0"
        return {
            "time_epoch": str(item.get("ts", "")),
            "client": host,
            "client_port": port,
            "qname": item["qname"],
            "qtype": item.get("qtype"),
            "transport": item.get("proto"),
            "thread": f"{item.get('mtid', '')} {item.get('remote', '')}",
            "ecs": item.get("ecs") or None,
            "rcode": rcode,
            "latency_ms": item.get("totms"),
            "kind": QUERY if item["msg"] == "Question" else RESPONSE,
            "event": item["msg"].lower(),
            "status": ("failed" if rcode == "2" else "forwarded" if asked else "cached")
            if answer
            else "cached"
            if item["msg"] == _CACHED
            else None,
        }
