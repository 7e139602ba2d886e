"""Technitium's Query Logs (SQLite) app: table dns_logs.

Codes of protocol and response type as in TechnitiumLibrary.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from dnsnb.formats import rowtables, sqlitefile
from dnsnb.formats.feeding import Context
from dnsnb.formats.opening import Input
from dnsnb.formats.sniff import Head
from dnsnb.formats.technitium_json import STATUSES

_PROTOCOLS = {0: "udp", 1: "tcp", 2: "dot", 3: "doh", 4: "doh", 5: "doq", 253: "udp", 254: "tcp"}
_WORDS = {
    1: "Authoritative",
    2: "Recursive",
    3: "Cached",
    4: "Blocked",
    5: "UpstreamBlocked",
    6: "UpstreamBlockedCached",
    7: "Dropped",
}
_COLUMNS = (
    "timestamp", "client_ip", "protocol", "response_type", "response_rtt", "rcode", "qname", "qtype", "qclass",
    "answer",
)  # fmt: skip
CHUNK = 50_000


def score(head: Head) -> int:
    """An SQLite file with its table."""
    return 97 if sqlitefile.holds(head, b"dns_logs", b"response_rtt", b"client_ip") else 0


def read(one: Input, context: Context) -> Iterator[pa.Table]:
    """Yield the queries of a database, oldest first."""
    for rows in sqlitefile.rows(one, context, "dns_logs", _COLUMNS, CHUNK):
        made = []
        for _, stamp, client, protocol, kind, rtt, rcode, qname, qtype, qclass, answer in rows:
            data = (
                None
                if answer is None or answer.startswith("[")
                else [_data(a) for a in answer.split(", ")]
                if answer
                else []
            )
            made.append(
                {
                    "time_utc": stamp,
                    "client": client,
                    "transport": _PROTOCOLS.get(protocol),
                    "status": STATUSES.get(str(kind)),
                    "reason": _WORDS.get(kind),
                    "latency_ms": rtt,
                    "rcode": None if rcode is None else str(rcode),
                    "qname": qname or ".",
                    "qtype": None if qtype is None else str(qtype),
                    "qclass": None if qclass is None else str(qclass),
                    "answers": data,
                }
            )
        table = rowtables.table(made, [int(r[0]) for r in rows], context)
        if table is not None:
            yield table


def _data(text: str) -> str:
    kind, _, data = text.partition(" ")
    return data if data and kind.isupper() else text
