"""Suricata EVE: dns events of versions 1 to 3 (queries and answers, flat, grouped or per record), and alerts
on them.

Who the client is, is told by port 53, not by the side: version 3 swaps the addresses of responses.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import pyarrow as pa

from dnsnb.dns import wire
from dnsnb.formats import columns
from dnsnb.formats.columns import NOTE, QUERY, RESPONSE
from dnsnb.formats.feeding import Context
from dnsnb.formats.join import Joiner
from dnsnb.formats.rowtables import ObjectReader, Row, table
from dnsnb.formats.sniff import Head

_BITS = ((0x8000, "qr"), (0x0400, "aa"), (0x0200, "tc"), (0x0100, "rd"), (0x0080, "ra"), (0x0020, "ad"), (0x0010, "cd"))
_EVENTS = ("dns", "mdns", "llmnr")


def score(head: Head) -> int:
    """EVE's envelope around a dns object."""
    hits = sum("event_type" in i and ("dns" in i or i["event_type"] in _EVENTS) for i in head.items)
    if hits:
        return 97 if hits * 2 > len(head.items) else 70
    return 40 if head.keyed("event_type", "flow_id", "timestamp") else 0


class Reader(ObjectReader):
    """Parses blocks of one log."""

    noise = "an event without DNS"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._asked: OrderedDict[Any, Any] = OrderedDict()
        self._open: _Answer | None = None
        self.joiner = Joiner(
            ("uid", "client", "client_port", "dns_id", "qname", "qtype"), 30.0, by_time=True, notes=True
        )

    def row(self, item: dict[str, Any]) -> Row | list[Row] | None:
        """Return what an event says: a question, an answer, or (version 1) one record of an answer."""
        dns = item.get("dns") or (item.get(item.get("event_type", "")) if item.get("event_type") in _EVENTS else None)
        if isinstance(dns, dict) and "query" in dns and isinstance(dns["query"], list) and dns["query"]:
            dns = {**dns["query"][0], "type": "query"}  # as alerts carry it
        if isinstance(dns, list) and dns:
            dns = dns[0]
        if not isinstance(dns, dict) or item.get("event_type") in ("stats", "flow"):
            return None
        kind = dns.get("type")
        answer = kind in ("answer", "response") or (kind is None and "answers" in dns)
        queries = dns.get("queries") or [{}]
        name, qtype = queries[0].get("rrname", dns.get("rrname")), queries[0].get("rrtype", dns.get("rrtype"))
        alert = item.get("alert") if item.get("event_type") == "alert" else None
        if name is None and answer and not dns.get("queries"):  # what mDNS announces, nobody asked for
            name = next((r.get("rrname") for r in dns.get("answers") or [] if isinstance(r, dict)), None)
        if name is None and "flags" not in dns and "id" not in dns:
            return None
        old = dns.get("version", 1) == 1 and "answers" not in dns and "grouped" not in dns
        client, port, server = self._ends(item, answer and dns.get("version") == 3)
        flags = _number(dns.get("flags"))
        records = [r for r in dns.get("answers") or [] if isinstance(r, dict)]
        answers = [_data(r) for r in records]
        if not records and isinstance(dns.get("grouped"), dict):
            answers = [
                v if isinstance(v, str) else str(v.get("name", v))
                for g in dns["grouped"].values()
                for v in (g if isinstance(g, list) else [g])
            ]
        if not answers and answer and dns.get("rdata"):
            answers = [str(dns["rdata"])]
        ttls = [r["ttl"] for r in records if isinstance(r.get("ttl"), int)] or (
            [dns["ttl"]] if isinstance(dns.get("ttl"), int) else []
        )
        rcode = dns.get("rcode") if answer else None
        if alert is not None:  # it tells of a question that has, as a rule, an event of its own
            return {
                "time_iso": item.get("timestamp"), "client": client, "client_port": port, "server": server,
                "transport": str(item.get("proto", "")).lower() or None,
                "uid": str(item["flow_id"]) if "flow_id" in item else None, "dns_id": dns.get("id"),
                "qname": name if name is None else columns.unescaped(str(name)), "qtype": qtype, "rcode": rcode,
                "answers": answers or None, "reason": alert.get("signature"),
                "status": "blocked" if alert.get("action") == "blocked" else None, "kind": NOTE, "event": "alert",
            }  # fmt: skip
        return {
            "time_iso": item.get("timestamp"),
            "client": client,
            "client_port": port,
            "server": server,
            "transport": str(item.get("proto", "")).lower() or None,
            "uid": str(item["flow_id"]) if "flow_id" in item else None,
            "dns_id": dns.get("id"),
            "qname": name if name is None else columns.unescaped(str(name)),
            "qtype": qtype,
            "rcode": rcode,
            "answers": answers if answer else None,
            "ttl": min(ttls) if ttls and answer else None,
            "flags": (" ".join(t for bit, t in _BITS if flags & bit) or None) if answer and flags is not None else None,
            "query_flags": (" ".join(t for bit, t in _BITS if flags & bit) or None)
            if not answer and flags is not None
            else None,
            "status": {"SERVFAIL": "failed", "REFUSED": "refused"}.get(str(rcode)) if answer else None,
            "kind": RESPONSE if answer else QUERY,
            "event": "answer" if answer else "query",
            **({"old": True} if old else {}),
        }

    def taken(self, rows: list[Row], number: int) -> list[tuple[int, Row]]:
        """Return what is complete: of version 1's answers, a record a line, all lines of an answer become one row."""
        if not any("old" in row for row in rows):
            return [(number, row) for row in rows]
        out: list[tuple[int, Row]] = []
        for row in rows:
            key = tuple(row[k] for k in ("uid", "client", "client_port", "dns_id"))
            old = row.pop("old", False)
            if old and row["kind"] == QUERY:
                self._asked[key, str(row["qname"]).lower()] = row["qtype"]
                if len(self._asked) > ASKED:
                    self._asked.popitem(last=False)
            if not old or row["kind"] == QUERY or self.context.events:
                out.append((number, row))
            elif self._open is not None and self._open.key == (key, row["time_iso"]):
                self._open.add(row)
                self.context.report.aside("further records of an answer", 1)
            else:
                out += self._closed()
                asked = self._asked.get((key, str(row["qname"]).lower()))
                self._open = _Answer((key, row["time_iso"]), number, row, asked)
        return out

    def _closed(self) -> list[tuple[int, Row]]:
        answer, self._open = self._open, None
        return [] if answer is None else [(answer.number, answer.row)]

    def finish(self) -> pa.Table | None:
        """Return the last answer, whose end nothing told."""
        rows = self._closed()
        return table([row for _, row in rows], [number for number, _ in rows], self.context)

    def _ends(self, item: dict[str, Any], swapped: bool) -> tuple[Any, Any, Any]:
        source = item.get("src_ip"), item.get("src_port"), item.get("dest_ip")
        target = item.get("dest_ip"), item.get("dest_port"), item.get("src_ip")
        if item.get("dest_port") in (53, 5355) and item.get("src_port") != item.get("dest_port"):
            return source
        if item.get("src_port") in (53, 5355) and item.get("src_port") != item.get("dest_port"):
            return target
        return target if swapped else source


ASKED = 100_000
"""How many questions are remembered, for answers of version 1, which do not say what was asked."""


class _Answer:
    """An answer of version 1 while its records come in: what its CNAMEs lead to belongs to it, its authority not."""

    def __init__(self, key: Any, number: int, row: Row, asked: Any) -> None:
        self.key, self.number, self.row, self._asked = key, number, row, asked
        self._chain = {str(row["qname"]).lower()}
        first, row["answers"], row["ttl"] = dict(row), [], None
        self.add(first)
        row["qtype"] = asked or first["qtype"]

    def add(self, record: Row) -> None:
        """Take a record."""
        kind = record["qtype"]
        authority = kind == "SOA" and self._asked not in (None, "SOA")
        if str(record["qname"]).lower() not in self._chain or authority or not record["answers"]:
            return
        if kind == "CNAME":
            self._chain |= {str(data).lower() for data in record["answers"]}
        elif self._asked is None:
            self.row["qtype"] = kind
        self.row["answers"] += record["answers"]
        ttls = [t for t in (self.row["ttl"], record["ttl"]) if t is not None]
        self.row["ttl"] = min(ttls) if ttls else None


def _number(text: Any) -> int | None:
    try:
        return int(str(text), 16)
    except ValueError:
        return None


def _data(record: dict[str, Any]) -> str:
    if record.get("rdata") is not None:
        return str(record["rdata"])
    for key in ("soa", "srv", "sshfp", "txt"):
        inner = record.get(key)
        if isinstance(inner, dict):
            return " ".join(str(v) for v in inner.values())
        if inner is not None:
            return str(inner)
    kind = str(record.get("rrtype", ""))
    return "" if wire.QTYPES and not kind else f"<{kind}>"
