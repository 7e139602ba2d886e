"""PowerDNS's protobuf log (dnsmessage.proto), as dnsdist's RemoteLogger and the Recursor's protobufServer send it: two
octets of length, then a message. Fields are those of the protocol's own file.

Pure; the listener feeds the same `Reader`.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from dnsnb.formats import protobuf, rowtables
from dnsnb.formats.columns import QUERY, RESPONSE
from dnsnb.formats.feeding import Context
from dnsnb.formats.join import Joiner
from dnsnb.formats.sniff import Head
from dnsnb.formats.wirerows import packed

BATCH = 20_000
_TYPE, _ID, _SERVER, _PROTOCOL, _FROM, _TO, _BYTES, _SEC, _USEC, _DNS_ID = 1, 2, 3, 5, 6, 7, 8, 9, 10, 11
_QUESTION, _RESPONSE, _SUBNET, _REQUESTOR, _DEVICE_ID, _DEVICE, _FROM_PORT, _TO_PORT = 12, 13, 14, 15, 17, 19, 20, 21
_CACHE_HIT, _OUTGOING, _EDE = 26, 27, 31
_OCTETS = (_ID, _SERVER, _FROM, _TO, _QUESTION, _RESPONSE, _SUBNET, _REQUESTOR, _DEVICE_ID, _DEVICE)
_NUMBERS = (_TYPE, _PROTOCOL, _BYTES, _SEC, _USEC, _DNS_ID, _FROM_PORT, _TO_PORT, _CACHE_HIT, _OUTGOING, _EDE)
_KINDS = {1: "query", 2: "response", 3: "outgoing query", 4: "incoming response"}
_TRANSPORTS = {1: "udp", 2: "tcp", 3: "dot", 4: "doh", 5: "dnscrypt", 6: "dnscrypt", 7: "doq"}
_POLICIES = {1: "NoAction", 2: "Drop", 3: "NXDOMAIN", 4: "NODATA", 5: "Truncate", 6: "Custom"}
_SENT = (1, 5, 28)
"""Types of which records are in a message, unless the sender was told otherwise: A, CNAME, AAAA."""
_NETWORK_ERROR = 65536
"""What stands for an rcode where a server did not answer."""

Fields = dict[int, Any]


def score(head: Head) -> int:
    """The first message is whole and makes sense, and so are those behind it."""
    raw, at = head.raw, 0
    good: list[bool] = []
    while len(good) < 5 and at + 2 <= len(raw) and (end := at + 2 + int.from_bytes(raw[at : at + 2])) <= len(raw):
        good.append(message_of(raw[at + 2 : end]) is not None)
        at = end
    return 0 if not good or not good[0] else 90 if all(good) else 60


def message_of(payload: bytes) -> Fields | None:
    """Return the fields of a message by number, or None when it is none."""
    found = _known(payload, _OCTETS, _NUMBERS)
    return found if found is not None and found.get(_TYPE) in _KINDS and _QUESTION in found else None


def _known(payload: bytes, octets: tuple[int, ...], numbers: tuple[int, ...]) -> Fields | None:
    found: Fields = {}
    for number, value in protobuf.fields(payload):
        if number is None or (number in octets and not isinstance(value, bytes)):
            return None
        if number in numbers and not (isinstance(value, int) and value < 1 << 33):
            return None
        if number in octets or number in numbers:
            found[number] = value
    return found


class Reader:
    """Takes length-prefixed messages as they come; gives events in batches."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.joiner = Joiner(("side", "uid", "dns_id", "qname", "qtype"), 20.0, by_time=True)
        self._held = b""
        self._rows: list[rowtables.Row] = []
        self._numbers: list[int] = []
        self._count = 0

    def begin(self) -> pa.Table | None:
        """Start another file; return the rest of the one before."""
        rest = self.finish()
        self._count = 0
        return rest

    def feed(self, data: bytes) -> pa.Table | None:
        """Take bytes; return events once there are enough for a batch."""
        buffer = self._held + data
        at = 0
        while len(buffer) - at >= 2:
            end = at + 2 + int.from_bytes(buffer[at : at + 2])
            if end > len(buffer):
                break
            self.frame(buffer[at + 2 : end])
            at = end
        self._held = buffer[at:]
        return self.flush() if len(self._rows) >= BATCH else None

    def frame(self, payload: bytes) -> None:
        """Take one message."""
        self._count += 1
        self.context.report["lines"] += 1
        message = message_of(payload)
        row = None if message is None else _row(message)
        if row is None:
            self._lost("no message of PowerDNS's protobuf log", payload)
        else:
            self._rows.append(row)
            self._numbers.append(self._count)

    def _lost(self, reason: str, octets: bytes) -> None:
        self.context.skip_count(reason, 1, [(self.context.source, self._count, octets[:16].hex(" "))])

    def finish(self) -> pa.Table | None:
        """Return the rest; a message that is cut off is reported."""
        if self._held:
            self.context.report["lines"] += 1
            self._lost("the last message is cut off", self._held)
            self._held = b""
        return self.flush()

    def flush(self) -> pa.Table | None:
        """Return what there is as events."""
        rows, numbers = self._rows, self._numbers
        self._rows, self._numbers = [], []
        return rowtables.table(rows, numbers, self.context)


def _row(message: Fields) -> rowtables.Row | None:
    question = _known(message[_QUESTION], (1,), (2, 3))
    if question is None:
        return None
    kind = message[_TYPE]
    answered = kind in (2, 4)
    client_side = kind < 3
    when = _micros(message, _SEC, _USEC)
    name = question.get(1)
    server, port = packed(message.get(_TO, b"")), message.get(_TO_PORT)
    row: rowtables.Row = {
        "time_us": when,
        "kind": RESPONSE if answered else QUERY,
        "event": _KINDS[kind],
        "side": "client" if client_side else "upstream",
        "client": packed(message.get(_FROM, b"")),
        "client_port": message.get(_FROM_PORT),
        "client_name": _text(message.get(_DEVICE) or message.get(_REQUESTOR)),
        "server": server,
        "upstream": None if client_side or server is None else f"{server}#{port}" if port else server,
        "transport": _TRANSPORTS.get(message.get(_PROTOCOL, 0)),
        "uid": message[_ID].hex() if _ID in message else None,
        "dns_id": message.get(_DNS_ID),
        "qname": None if name is None else _text(name),
        "qtype": question.get(2),
        "qclass": question.get(3),
        "ecs": packed(message.get(_SUBNET, b"")),
        "response_bytes" if answered else "query_bytes": message.get(_BYTES),
    }
    response = _response(message.get(_RESPONSE, b""))
    if response is None:
        return None
    asked = response.pop("asked_us")
    row["time_us"] = when if asked is None else asked  # as in dnstap, an answer stands at the time of its question
    if not answered:
        return row
    if asked is not None:
        row["latency_ms"] = (when - asked) / 1000 if when is not None and when >= asked else None
    if not response["answers"] and question.get(2) not in _SENT:
        response["answers"] = None
    row["ede"] = message.get(_EDE)
    known = message.get(_CACHE_HIT) or _OUTGOING in message
    if known and response["status"] is None:
        response["status"] = "forwarded" if message.get(_OUTGOING) and not message.get(_CACHE_HIT) else "cached"
    return row | response


_RESPONSE_OCTETS, _RESPONSE_NUMBERS = (3, 8), (1, 5, 6, 10)


def _response(payload: bytes) -> rowtables.Row | None:
    fields = _known(payload, _RESPONSE_OCTETS, _RESPONSE_NUMBERS)
    if fields is None:
        return None
    answers, ttls = [], []
    for number, value in protobuf.fields(payload):
        record = _known(value, (5,), (2, 4)) if number == 2 and isinstance(value, bytes) else None
        if record is not None:
            answers.append(_data(record.get(2), record.get(5, b"")))
            ttls.append(record.get(4))
    rcode = fields.get(1)
    policy, action = _text(fields.get(3)), _POLICIES.get(fields.get(10, 0))
    blocked = action not in (None, "NoAction")
    status = {2: "failed", 5: "refused", _NETWORK_ERROR: "failed"}.get(-1 if rcode is None else rcode)
    return {
        "asked_us": _micros(fields, 5, 6),
        "rcode": None if rcode is None or rcode >= _NETWORK_ERROR else rcode,
        "answers": answers,
        "ttl": min((t for t in ttls if t is not None and t < 1 << 31), default=None),
        "status": "blocked" if blocked else status,
        "list": policy,
        "rule": _text(fields.get(8)),
        "reason": f"policy {action}" if action else None,
    }


def _micros(fields: Fields, seconds: int, part: int) -> int | None:
    return fields[seconds] * 1_000_000 + fields.get(part, 0) if fields.get(seconds) else None


def _data(kind: int | None, octets: bytes) -> str:
    """Return a record's data: an address is sent packed, all else as text."""
    if (kind, len(octets)) in ((1, 4), (28, 16)):
        return packed(octets) or ""
    try:
        text = octets.decode()
    except UnicodeDecodeError:
        return f"\\# {len(octets)} {octets.hex()}"
    return text.rstrip(".") or "."


def _text(octets: bytes | None) -> str | None:
    return octets.decode("utf-8", "backslashreplace") if octets else None
