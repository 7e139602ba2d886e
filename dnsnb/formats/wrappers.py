"""Lines inside lines: syslog (RFC 3164, RFC 5424, ISO stamps), Docker, Kubernetes CRI, Filebeat and CloudWatch, Splunk.

What is inside becomes a block of its own with the wrapper's times. Knows lines and times; no format's grammar.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dnsnb.formats import times
from dnsnb.formats.lines import Block, extract
from dnsnb.formats.times import Clock

_SYSLOG = (
    r"^(?:<\d{1,3}>)?(?P<mon>[^\s\d]{3,4}) +(?P<day>\d\d?) (?P<h>\d\d):(?P<m>\d\d):(?P<s>\d\d)(?:\.\d+)? "
    r"(?:\S+ )?(?P<prog>[A-Za-z_][\w./-]*)(?:\[\d+\])?: (?P<msg>.*)$"
)
_SYSLOG_ISO = (
    r"^(?:<\d{1,3}>)?(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)) \S+ "
    r"(?P<prog>[A-Za-z_][\w./-]*)(?:\[\d+\])?: (?P<msg>.*)$"
)
_RFC5424 = (
    r'^<\d{1,3}>1 (?P<time>\S+) \S+ (?P<prog>\S+) \S+ \S+ (?:-|(?:\[(?:[^\]"]|"(?:[^"\\]|\\.)*")*\])+) '
    r"?(?:\x{FEFF})?(?P<msg>.*)$"
)
_CRI = (
    r"^(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)) (?:stdout|stderr) (?P<part>[FP]) "
    r"(?P<msg>.*)$"
)

_TEXT = {"syslog": _SYSLOG, "syslog-iso": _SYSLOG_ISO, "rfc5424": _RFC5424, "cri": _CRI}
#: wrapper -> where the line is, where its time may be
_KEYS: tuple[tuple[str, tuple[str, ...], tuple[tuple[str, ...], ...]], ...] = (
    ("docker", ("log",), (("time",),)),
    ("filebeat", ("message",), (("@timestamp",), ("timestamp",), ("time",))),
    ("splunk", ("result", "_raw"), (("result", "_time"),)),
    ("splunk", ("_raw",), (("_time",),)),
    ("journald", ("MESSAGE",), (("__REALTIME_TIMESTAMP",),)),
)


def detect(block: Block) -> str | None:
    """Return which wrapper most of the first lines are in, or None. A syslog stamp is told from a daemon's own by
    its host."""
    sample = [block.line(i) if len(block) else "" for i in range(min(len(block), 40))]
    texts = [s for s in sample if s.strip()]
    if not texts:
        return None
    if sum(t.startswith("{") for t in texts) * 2 > len(texts):
        return _json_kind(block)
    for kind, pattern in _TEXT.items():
        compiled = re.compile(pattern.replace(r"\x{FEFF}", "\ufeff"))
        if sum(bool(compiled.match(t)) for t in texts) * 2 > len(texts):
            return kind
    return None


def _json_kind(block: Block) -> str | None:
    import orjson

    seen: dict[str, int] = {}
    for i in range(min(len(block), 20)):
        try:
            item = orjson.loads(block.data[block.starts[i] : block.ends[i]])
        except orjson.JSONDecodeError:
            continue
        for kind, path, _ in _KEYS:
            inner = _get(item, path)
            if isinstance(inner, str) and not _is_dns(item):
                seen[kind] = seen.get(kind, 0) + 1
                break
    return max(seen, key=lambda k: seen[k]) if seen else None


def _is_dns(item: Any) -> bool:
    return isinstance(item, dict) and any(
        k in item for k in ("dns", "query", "question", "qname", "QH", "query_name", "rrname")
    )


def _get(item: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        item = item.get(key) if isinstance(item, dict) else None
    return item


def unwrap(block: Block, kind: str, clock: Clock, skip: Callable[[str, Any], None]) -> Block:
    """Return the wrapped lines as a block with `stamps`; `skip(reason, mask)` hears of the lines that were not
    wrapped."""
    return _unwrap_text(block, kind, clock, skip) if kind in _TEXT else _unwrap_json(block, kind, clock, skip)


def _unwrap_text(block: Block, kind: str, clock: Clock, skip: Callable[[str, Any], None]) -> Block:
    lines = block.lines()
    mask, groups = extract(lines, _TEXT[kind])
    if kind == "syslog":
        month = months(groups.field("mon"))
        day, h, m, s = (groups.field(k).cast(pa.int64()).to_numpy(zero_copy_only=False) for k in ("day", "h", "m", "s"))
        told = clock.yearless(month, day, h * 3600 + m * 60 + s)
    else:
        told = times.iso(groups.field("time"), clock)
    if mask.all():
        return _joined(groups.field("msg"), block.numbers, told)
    # a line without the wrapper is left as it is: a daemon's own output often stands among syslog's
    stamps = np.full(len(block), times.MISSING)
    stamps[mask] = told
    inner = np.array(lines.to_pylist(), object)
    inner[mask] = groups.field("msg").to_pylist()
    return _joined(pa.array(inner, pa.string()).fill_null(""), block.numbers, stamps)


def months(values: pa.Array) -> Any:
    """Return month numbers of three-letter names, in English or the other languages of `times.MONTHS`; -1 for none."""
    coded = values.dictionary_encode()
    table = np.array([times.MONTHS.get(t.lower()[:3], -1) for t in coded.dictionary.to_pylist()] or [-1], np.int64)
    return table[coded.indices.to_numpy(zero_copy_only=False)]


def _unwrap_json(block: Block, kind: str, clock: Clock, skip: Callable[[str, Any], None]) -> Block:
    import orjson

    paths = [(path, when) for name, path, when in _KEYS if name == kind]
    messages: list[str] = []
    when: list[str | None] = []
    numbers: list[int] = []
    bad = np.zeros(len(block), bool)
    data = block.data
    for i, (start, end, number) in enumerate(
        zip(block.starts.tolist(), block.ends.tolist(), block.numbers.tolist(), strict=True)
    ):
        try:
            item = orjson.loads(data[start:end])
        except orjson.JSONDecodeError:
            bad[i] = True
            continue
        for path, time_paths in paths:
            inner = _get(item, path)
            if isinstance(inner, str):
                stamp = next((t for p in time_paths if (t := _get(item, p)) is not None), None)
                text = str(stamp) if stamp is not None else None
                for line in inner.rstrip("\r\n").split("\n"):
                    messages.append(line.replace("\0", ""))
                    when.append(text)
                    numbers.append(number)
                break
        else:
            bad[i] = True
    skip("not wrapped as the lines before (" + kind + ")", bad)
    array = pa.array(when, pa.string())
    stamps = times.iso(array, clock)
    if (stamps == times.MISSING).all():
        stamps = times.epoch(array)
    return _joined(pa.array(messages, pa.string()), np.array(numbers, np.int64), stamps)


def _joined(messages: pa.Array, numbers: Any, stamps: Any) -> Block:
    clean = pc.replace_substring(messages, "\n", " ")
    data = "\n".join(clean.to_pylist()) if len(clean) else ""
    return Block(data.encode("utf-8", "surrogatepass"), numbers=numbers, stamps=stamps)
