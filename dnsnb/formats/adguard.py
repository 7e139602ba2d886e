"""AdGuard Home querylog.json: the answer is decoded from the whole DNS message that each line holds in base64.

Old keys (`Rule`, `FilterID`, `Question`) are read too. Times carry their zone.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dnsnb.dns import wire
from dnsnb.formats import columns, jsonrows, messages, times
from dnsnb.formats.feeding import Context
from dnsnb.formats.lines import PAD, Block
from dnsnb.formats.sniff import Head

_TEXT = pa.string()
_RULES = pa.list_(pa.struct([("Text", _TEXT), ("FilterListID", pa.int64())]))
_RESULT = pa.struct([
    ("IsFiltered", pa.bool_()), ("Reason", pa.int64()), ("Rule", _TEXT), ("FilterID", pa.int64()), ("Rules", _RULES),
    ("ServiceName", _TEXT),
])  # fmt: skip
_SCHEMA = pa.schema(
    [
        ("T", _TEXT),
        ("Time", _TEXT),
        ("QH", _TEXT),
        ("QT", _TEXT),
        ("QC", _TEXT),
        ("CP", _TEXT),
        ("CID", _TEXT),
        ("ECS", _TEXT),
        ("Upstream", _TEXT),
        ("Answer", _TEXT),
        ("Question", _TEXT),
        ("IP", _TEXT),
        ("Result", _RESULT),
        ("Elapsed", pa.int64()),
        ("Cached", pa.bool_()),
    ]
)

REASONS = (
    "NotFilteredNotFound", "NotFilteredWhiteList", "NotFilteredError", "FilteredBlackList", "FilteredSafeBrowsing",
    "FilteredParental", "FilteredInvalid", "FilteredSafeSearch", "FilteredBlockedService", "Rewrite", "RewriteEtcHosts",
    "RewriteRule",
)  # fmt: skip
_BLOCKING = (3, 4, 5, 6, 8)
_LOCAL = (7, 9, 10, 11)


def score(head: Head) -> int:
    """Its one- and two-letter keys."""
    return max(
        head.keyed("T", "QH", "QT"), head.keyed("Question", "Answer", "Elapsed"), head.keyed("QH", "QT", "Result")
    )


class Reader:
    """Parses blocks of one log."""

    def __init__(self, context: Context) -> None:
        self.context = context

    def prepare(self, block: Block) -> Any:
        """Return the job that gives a block's rows: each block stands for itself."""
        return partial(self.parse, block)

    def parse(self, block: Block) -> pa.Table | None:
        """Return the rows of a block."""
        table, numbers = jsonrows.read(block, _SCHEMA, self.context)
        count = len(table)
        if not count:
            return None
        get = {name: _one(table.column(name)) for name in table.column_names}
        stamp = get["T"] if get["T"].null_count < count else get["Time"]
        result = get["Result"]
        reason = result.field("Reason").fill_null(0).to_numpy(zero_copy_only=False)
        cached = get["Cached"].fill_null(False).to_numpy(zero_copy_only=False)
        upstream = get["Upstream"]
        if pc.any(pc.equal(upstream, "")).as_py():
            upstream = pc.if_else(pc.equal(upstream, ""), None, upstream)
        answer = base64_messages(get["Answer"])
        rule, lists = _rules(result)
        known = (reason >= 0) & (reason < len(REASONS))
        raw: dict[str, Any] = {
            "time": times.iso(stamp, self.context.clock),
            "client": get["IP"],
            "client_name": get["CID"],
            "transport": pc.if_else(pc.equal(get["CP"].fill_null(""), ""), "udp", get["CP"]),
            "qname": get["QH"],
            "qtype": get["QT"],
            "qclass": get["QC"],
            "upstream": columns.mapped(upstream, str),
            "latency_ms": pc.divide(get["Elapsed"].cast(pa.float64()), 1e6).cast(pa.float32()),
            "ecs": get["ECS"],
            "status": _status(reason, cached, answer),
            "reason": pa.DictionaryArray.from_arrays(pa.array(reason, pa.int32(), mask=~known), pa.array(REASONS)),
            "rule": rule,
            "list": lists,
            "id": pa.array(numbers),
            "event": "query",
        }
        raw |= answer_columns(answer)
        if get["QH"].null_count:
            self._old(raw, get)
        empty = raw["qname"].is_null().to_numpy(zero_copy_only=False)
        rows = columns.build(raw, count)
        if empty.any():
            places = np.searchsorted(block.numbers, numbers[empty])
            self.context.skip("an object without a question", block, np.isin(np.arange(len(block)), places))
            rows = rows.filter(pa.array(~empty))
        return rows

    def _old(self, raw: dict[str, Any], get: dict[str, pa.Array]) -> None:
        """Take the question of the oldest logs from the message that they hold of it."""
        asked = base64_messages(get["Question"])
        raw["qname"] = pc.coalesce(get["QH"], asked.qname)
        raw["qtype"] = pc.coalesce(get["QT"], messages.coded(asked.qtype, wire.qtype_text).cast(_TEXT))
        raw["qclass"] = pc.coalesce(get["QC"], messages.coded(asked.qclass, wire.qclass_text).cast(_TEXT))


def _one(column: Any) -> Any:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _status(reason: Any, cached: Any, answer: messages.Messages) -> pa.DictionaryArray:
    failed = (answer.rcode == 2) & (answer.flags != 0)
    code = np.select([np.isin(reason, _BLOCKING), np.isin(reason, _LOCAL), cached, failed], [0, 1, 2, 3], 4)
    return pa.DictionaryArray.from_arrays(
        pa.array(code, pa.int32()), pa.array(["blocked", "local", "cached", "failed", "forwarded"])
    )


def _rules(result: pa.StructArray) -> tuple[pa.Array, pa.Array]:
    """Return the first matching rule and its list's number as text; old logs keep them beside, not in `Rules`."""
    rules = result.field("Rules")
    lengths = pc.list_value_length(rules).fill_null(0).to_numpy(zero_copy_only=False)
    flat = rules.flatten()
    first = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    pick = pa.array(np.where(lengths > 0, first, 0), mask=lengths == 0)
    text = pc.coalesce(
        flat.field("Text").take(pick) if len(flat) else pa.nulls(len(result), _TEXT), result.field("Rule")
    )
    ids = pc.coalesce(
        flat.field("FilterListID").take(pick) if len(flat) else pa.nulls(len(result), pa.int64()),
        result.field("FilterID"),
    )
    ids = pc.if_else(text.is_valid(), ids.fill_null(0), None)
    return pc.if_else(pc.equal(text, ""), None, text), columns.mapped(ids.cast(_TEXT), lambda n: f"list {n}")


def answer_columns(answer: messages.Messages) -> dict[str, Any]:
    """Return the frame's columns that a decoded answer gives."""
    there = answer.good & (answer.flags & 0x8000 != 0)
    return {
        "rcode": messages.coded(np.where(there, answer.rcode, -1), wire.rcode_text),
        "answers": answer.answers,
        "ttl": answer.ttl,
        "ede": answer.ede,
        "flags": pc.if_else(pa.array(there), messages.flags_text(answer.flags).cast(_TEXT), None).dictionary_encode(),
        "response_bytes": np.where(there, answer.size, -1),
    }


def base64_messages(values: pa.Array) -> messages.Messages:
    """Return base64 texts as decoded DNS messages; null, empty and broken ones give empty messages."""
    data, starts, ends = base64_bytes(values)
    decoded = messages.decode(data, starts, ends)
    decoded.size = ends - starts
    return decoded


_SIX = np.full(256, 255, np.uint8)
for _i, _c in enumerate(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"):
    _SIX[_c] = _i


def base64_bytes(values: pa.Array) -> tuple[bytes, Any, Any]:
    """Return what base64 texts stand for: one padded buffer and where each begins and ends in it."""
    values = values.fill_null("")
    offsets = np.frombuffer(values.buffers()[1], np.int32)[values.offset : values.offset + len(values) + 1].astype(
        np.int64
    )
    raw = values.buffers()[2]
    octets = np.frombuffer(raw, np.uint8)[offsets[0] : offsets[-1]] if raw is not None else np.zeros(0, np.uint8)
    offsets = offsets - offsets[0]
    lengths = np.diff(offsets)
    broken = lengths % 4 != 0
    six = _SIX[octets]
    padding = octets == 61
    wrong = (six == 255) & ~padding
    if wrong.any():
        broken |= np.add.reduceat(np.append(wrong, False), offsets[:-1]) > 0 if len(lengths) else broken
    if broken.any():
        clean = [t if not b else "" for t, b in zip(values.to_pylist(), broken.tolist(), strict=True)]
        return base64_bytes(pa.array(clean, _TEXT))
    six = np.where(padding, 0, six).reshape(-1, 4)
    out = np.empty((len(six), 3), np.uint8)
    out[:, 0] = six[:, 0] << 2 | six[:, 1] >> 4
    out[:, 1] = six[:, 1] << 4 | six[:, 2] >> 2
    out[:, 2] = six[:, 2] << 6 | six[:, 3]
    starts = offsets[:-1] // 4 * 3
    ends = offsets[1:] // 4 * 3
    full = lengths > 0
    last = np.maximum(offsets[1:] - 1, 0)
    if len(octets):
        ends = ends - np.where(full, padding[last].astype(np.int64) + padding[np.maximum(last - 1, 0)], 0)
    return out.tobytes() + bytes(PAD), starts, ends
