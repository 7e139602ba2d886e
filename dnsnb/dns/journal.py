"""The query log at the moment of the query: one tuple each, turned into columns later, off the query path.

No I/O; knows schema, wire and message.
"""

from __future__ import annotations

from dataclasses import dataclass

from dnsnb import schema
from dnsnb.dns import wire
from dnsnb.dns.message import Answer

LIMIT = 500_000


@dataclass(frozen=True, slots=True)
class LogBatch:
    """Rows by column (`schema.COLUMNS` without `source`; `time` in µs), how many, how many were dropped before them."""

    columns: schema.Columns
    count: int
    dropped: int
    first_id: int


class Record:
    """What many rows share: a question, its fate, its answer. Texts are made once, when first drained."""

    __slots__ = (
        "_static", "answer", "ede", "flags", "list", "qclass", "qname", "qtype", "query_bytes", "rcode",
        "response_bytes", "rule", "status", "ttl", "upstream",
    )  # fmt: skip

    def __init__(
        self,
        qname: bytes,
        qtype: int,
        qclass: int,
        status: str,
        rcode: int | None,
        answer: Answer | None = None,
        list: str | None = None,  # noqa: A002 - the column's name
        rule: str | None = None,
        upstream: str | None = None,
        ttl: int | None = None,
        flags: int = 0,
        ede: int | None = None,
        query_bytes: int | None = None,
        response_bytes: int | None = None,
    ) -> None:
        self.qname = qname
        self.qtype = qtype
        self.qclass = qclass
        self.status = status
        self.rcode = rcode
        self.answer = answer
        self.list = list
        self.rule = rule
        self.upstream = upstream
        self.ttl = ttl
        self.flags = flags
        self.ede = ede
        self.query_bytes = query_bytes
        self.response_bytes = response_bytes
        self._static: tuple[object, ...] | None = None

    def with_ttl(self, ttl: int | None) -> Record:
        """Return this record with another TTL, texts shared."""
        other = Record.__new__(Record)
        for name in Record.__slots__:
            setattr(other, name, getattr(self, name))
        other.ttl = ttl
        if other._static is not None:
            other._static = (*other._static[:9], ttl, *other._static[10:])
        return other

    def static(self) -> tuple[object, ...]:
        """Return the values of `_STATIC`, in order."""
        if self._static is None:
            rcode = self.rcode
            self._static = (
                wire.name_to_text(self.qname),
                wire.QTYPES.get(self.qtype) or wire.qtype_text(self.qtype),
                wire.QCLASSES.get(self.qclass) or wire.qclass_text(self.qclass),
                None if rcode is None else wire.RCODES.get(rcode) or wire.rcode_text(rcode),
                self.status,
                self.list,
                self.rule,
                self.upstream,
                self.answer.texts() if self.answer is not None else [],
                self.ttl,
                None if rcode is None else _flag_texts.get(self.flags & 0x87B0) or flags_text(self.flags),
                self.ede,
                self.query_bytes,
                self.response_bytes,
            )
        return self._static


_STATIC = (
    "qname", "qtype", "qclass", "rcode", "status", "list", "rule", "upstream", "answers", "ttl", "flags", "ede",
    "query_bytes", "response_bytes",
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


#: (wall clock in ns, client, transport, record, latency in ms)
Row = tuple[int, str, str, Record, float]


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
            rows, self.rows = self.rows[:most], self.rows[most:]
        dropped, self.dropped = self.dropped, 0
        first = self._next_id
        self._next_id += len(rows)
        columns: schema.Columns = {}
        if rows:
            times, clients, transports, records, latencies = zip(*rows, strict=True)
            columns["time"] = [t // 1000 for t in times]
            columns["client"] = list(clients)
            columns["transport"] = list(transports)
            statics = [r._static or r.static() for r in records]
            columns.update(zip(_STATIC, map(list, zip(*statics, strict=True)), strict=True))
            columns["latency_ms"] = list(latencies)
            columns["id"] = list(range(first, first + len(rows)))
        return LogBatch(columns, len(rows), dropped, first)
