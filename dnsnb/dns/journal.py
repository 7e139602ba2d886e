"""The query log at the moment of the query: one tuple each, turned into columns later, off the query path.

No I/O; knows schema, wire and message.
"""

from __future__ import annotations

import orjson

from dnsnb import schema
from dnsnb.dns import wire
from dnsnb.dns.message import Answer
from dnsnb.dns.rules import Verdict
from dnsnb.dns.wire import Query, name_to_text

LIMIT = 500_000
_QTYPES, _QCLASSES, _RCODES = wire.QTYPES, wire.QCLASSES, wire.RCODES


class LogBatch:
    """Rows by column (`schema.COLUMNS` without `source`; `time` in µs), how many, how many were dropped before them."""

    __slots__ = ("_json", "columns", "count", "dropped", "first_id")

    def __init__(self, columns: schema.Columns, count: int, dropped: int = 0, first_id: int = 0) -> None:
        self.columns = columns
        self.count = count
        self.dropped = dropped
        self.first_id = first_id
        self._json: bytes | None = None

    @property
    def encoded(self) -> bool:
        """Whether somebody wanted `json` already."""
        return self._json is not None

    @property
    def json(self) -> bytes:
        """What `schema.whole` reads: ``{"columns": {"time": […], …}, "constants": {"transport": "udp", …}}``.

        Made once, for all who send and keep the batch. Values that are the same in every row are written once: half of
        the octets. Columns of nulls are left out; `time` and `id` are always written out.
        """
        if self._json is None:
            columns: schema.Columns = {}
            constants = {}
            for name, values in self.columns.items():
                first = values[0] if values else None
                if name in ("time", "id") or (values and (first != values[-1] or values.count(first) < len(values))):
                    columns[name] = values
                elif first is not None:
                    constants[name] = first
            self._json = orjson.dumps({"columns": columns, "constants": constants}, default=str)
        return self._json


class Record:
    """What many rows share: a question, its fate, its answer (the TTL goes on). Texts are made once, when drained.

    `reply` is what went out (b"": nothing), `answer` None where there is none that has records.
    """

    __slots__ = (
        "_static", "answer", "ede", "flags", "query_bytes", "question", "response_bytes", "status", "upstream",
        "verdict",
    )  # fmt: skip

    def __init__(
        self,
        query: Query,
        reply: bytes,
        answer: Answer | None,
        status: str,
        verdict: Verdict,
        ede: int | None = None,
        upstream: str | None = None,
    ) -> None:
        _, _, _, self.question, _, self.query_bytes = query
        self.answer = answer
        self.status = status
        self.verdict = verdict
        self.ede = ede
        self.upstream = upstream
        self.flags = reply[2] << 8 | reply[3] if reply else None
        self.response_bytes = len(reply)
        self._static: tuple[object, ...] | None = None

    def static(self) -> tuple[object, ...]:
        """Return the values of `_STATIC`, in order."""
        if self._static is None:
            qname, qtype, qclass, _, _, _ = self.question
            answer, flags, ede = self.answer, self.flags, self.ede
            _, listed, rule, _ = self.verdict
            if answer is not None:
                rcode: int | None = answer.rcode
                texts = answer.texts()
                if ede is None:
                    ede = answer.ede
            else:
                rcode, texts = None if flags is None else flags & 15, []
            self._static = (
                name_to_text(qname),
                _QTYPES.get(qtype) or wire.qtype_text(qtype),
                _QCLASSES.get(qclass) or wire.qclass_text(qclass),
                None if rcode is None else _RCODES.get(rcode) or wire.rcode_text(rcode),
                self.status,
                listed,
                rule,
                self.upstream,
                texts,
                None if flags is None else _flag_texts.get(flags & 0x87B0) or flags_text(flags),
                ede,
                self.query_bytes,
                self.response_bytes or None,
            )
        return self._static


_STATIC = (
    "qname", "qtype", "qclass", "rcode", "status", "list", "rule", "upstream", "answers", "flags", "ede", "query_bytes",
    "response_bytes",
)  # fmt: skip

_FLAG_BITS = (
    (0x8000, "qr"),
    (0x0400, "aa"),
    (0x0200, "tc"),
    (0x0100, "rd"),
    (0x0080, "ra"),
    (0x0020, "ad"),
    (0x0010, "cd"),
)
_flag_texts: dict[int, str] = {}


def flags_text(flags: int) -> str:
    """Return a header's flags as dig prints them: ``qr rd ra``."""
    flags &= 0x87B0
    text = _flag_texts.get(flags)
    if text is None:
        text = _flag_texts[flags] = " ".join(word for bit, word in _FLAG_BITS if flags & bit)
    return text


#: (wall clock in ns, client, transport, record, latency in ms, TTL)
Row = tuple[int, str, str, Record, float, int | None]


class Journal:
    """Rows that wait to be drained: at most `limit`; more are dropped, the newest, and counted.

    Ids begin at `first_id`, so that they can rise from one run to the next.
    """

    def __init__(self, limit: int = LIMIT, first_id: int = 1) -> None:
        self.limit = limit
        self.rows: list[Row] = []
        self.dropped = 0
        self._next_id = first_id

    def record(self, row: Row) -> None:
        """Take one row in."""
        if len(self.rows) < self.limit:
            self.rows.append(row)
        else:
            self.dropped += 1

    def drain(self, most: int | None = None) -> LogBatch | None:
        """Return up to `most` waiting rows by column and forget them; None when there is nothing."""
        if not self.rows and not self.dropped:
            return None
        if most is None or len(self.rows) <= most:
            rows, self.rows = self.rows, []
        else:
            rows = self.rows[:most]
            del self.rows[:most]
        dropped, self.dropped = self.dropped, 0
        first = self._next_id
        self._next_id += len(rows)
        columns: schema.Columns = {}
        if rows:
            times, clients, transports, records, latencies, ttls = zip(*rows, strict=True)
            columns["time"] = [t // 1000 for t in times]
            columns["client"] = list(clients)
            columns["transport"] = list(transports)
            statics = [r._static or r.static() for r in records]
            columns.update(zip(_STATIC, map(list, zip(*statics, strict=True)), strict=True))
            columns["ttl"] = list(ttls)
            columns["latency_ms"] = list(latencies)
            columns["id"] = list(range(first, first + len(rows)))
        return LogBatch(columns, len(rows), dropped, first)
