"""DNS-collector text: a configured list of directives, blank-separated (`template=` takes the same string).

Without a template the default directives are tried, with and without `qr`.
"""

from __future__ import annotations

import re
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from dnsnb.formats import columns
from dnsnb.formats.columns import QUERY, RESPONSE
from dnsnb.formats.feeding import Context
from dnsnb.formats.join import Joiner
from dnsnb.formats.patterns import Line, PatternReader
from dnsnb.formats.sniff import Head

DEFAULT = (
    "timestamp-rfc3339ns identity qr operation rcode queryip queryport family protocol length-unit qname qtype "
    "latency ttl"
)
_WORD = r"\S+"
_PLACES = {
    "timestamp-rfc3339ns": r"(?P<time_iso>\S+)",
    "timestamp": r"(?P<time_iso>\S+)",
    "timestamp-unixms": r"(?P<time_epoch>\d+)",
    "timestamp-unixus": r"(?P<time_epoch>\d+)",
    "timestamp-unixns": r"(?P<time_epoch>\d+)",
    "localtime": r"(?P<time_iso>\S+ \S+)",
    "identity": _WORD,
    "qr": r"(?P<qr>[QR]|QUERY|REPLY|-)",
    "operation": r"(?P<reason>[A-Z_]+)",
    "rcode": r"(?P<rcode>\S+)",
    "queryip": r"(?P<client>\S+)",
    "queryport": r"(?P<client_port>\S+)",
    "responseip": r"(?P<server>\S+)",
    "responseport": _WORD,
    "family": _WORD,
    "protocol": r"(?P<transport>\S+)",
    "length-unit": r"(?P<size>\d+)b?",
    "length": r"(?P<size>\d+)",
    "qname": r"(?P<qname>\S+)",
    "qtype": r"(?P<qtype>\S+)",
    "qclass": r"(?P<qclass>\S+)",
    "latency": r"(?P<latency_s>\S+)",
    "ttl": r"(?P<ttl>\S+)",
    "id": r"(?P<dns_id>\S+)",
    "answer": r"(?P<answer>\S*)",
    "tc": _WORD,
    "aa": _WORD,
    "ra": _WORD,
    "ad": _WORD,
    "rd": _WORD,
    "cd": _WORD,
    "malformed": _WORD,
    "opcode": _WORD,
    "df": _WORD,
    "tr": _WORD,
    "answercount": _WORD,
    "version": _WORD,
    "extra": _WORD,
    "policy-rule": r"(?P<rule>\S+)",
    "policy-action": _WORD,
    "edns-csubnet": r"(?P<ecs>\S+)",
}
_OPERATIONS = r" (?:CLIENT|RESOLVER|FORWARDER|AUTH|STUB|TOOL|UPDATE|DNSTAP)_(?:QUERY|RESPONSE)? ?"


def score(head: Head) -> int:
    """dnstap's words for operations among blank-separated fields."""
    patterns = [re.compile(pattern_of(t)) for t in (DEFAULT, DEFAULT.replace(" qr", ""))]
    return int(94 * max(head.share(p) for p in patterns)) if head.share(_OPERATIONS) > 0.5 else 0


class Reader(PatternReader):
    """Parses blocks of one log."""

    def __init__(self, context: Context) -> None:
        given = [context.template] if context.template else [DEFAULT, DEFAULT.replace(" qr", "")]
        lines = [Line(pattern_of(t)) for t in given]
        super().__init__(context, tuple(lines), Joiner(("client", "client_port", "dns_id", "qname", "qtype"), 30.0))

    def meaning(self, raw: dict[str, Any], line: Line) -> dict[str, Any]:
        """Tell questions from answers by the operation, or by `qr`."""
        size, answer, marks = raw.pop("size", None), raw.pop("answer", None), raw.pop("qr", None)
        operation = raw.get("reason")
        if operation is not None:
            replied = pc.ends_with(operation.fill_null(""), "_RESPONSE")
            raw["side"] = columns.mapped(
                operation, lambda o: "client" if o.startswith(("CLIENT", "AUTH", "UPDATE")) else "upstream"
            )
        elif marks is not None:
            replied = pc.is_in(marks, pa.array(["R", "REPLY"]))
        else:
            replied = raw["rcode"].is_valid() if "rcode" in raw else pa.array([False] * len(raw["id"]))
        none = pa.scalar(None, pa.string())
        for key in ("rcode", "ttl", "latency_ms"):
            if key in raw:
                raw[key] = pc.if_else(replied, raw[key], pa.scalar(None, raw[key].type))
        if size is not None:
            raw["response_bytes"], raw["query_bytes"] = pc.if_else(replied, size, none), pc.if_else(replied, none, size)
        if answer is not None:
            raw["answers"] = pc.if_else(
                answer.is_valid(), pc.split_pattern(answer.fill_null(""), "|"), pa.scalar(None, pa.list_(pa.string()))
            )
        raw["event"] = pc.if_else(replied, "response", "query")
        raw["mark"] = pc.if_else(replied, RESPONSE, QUERY)
        return raw

    def _table(self, line: Line, groups: pa.StructArray, block: Any) -> pa.Table | None:
        table = super()._table(line, groups, block)
        if table is None:
            return None
        mark = table.column("mark").cast(pa.int8())
        return table.drop_columns(["mark"]).set_column(table.column_names.index(columns.KIND) - 1, columns.KIND, mark)


def pattern_of(template: str) -> str:
    """Return a list of directives as a regular expression; a directive that we don't know takes one word."""
    seen: set[str] = set()
    out = []
    for word in template.split():
        place = _PLACES.get(word, _WORD)
        group = re.search(r"\?P<(\w+)>", place)
        if group and group[1] in seen:
            place = _WORD
        elif group:
            seen.add(group[1])
        out.append(place)
    return "^" + " ".join(out) + r"\s*$"
