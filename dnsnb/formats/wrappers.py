"""Lines inside lines: syslog (RFC 3164, RFC 5424, ISO stamps), journald (text, JSON, export), Docker, Kubernetes CRI,
Filebeat, Fluent Bit, Vector, CloudWatch, Loki, Splunk, GELF and Graylog.

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
    r"^(?:<\d{1,3}>)?(?P<mon>[^\s\d]{3,5}) +(?P<day>\d\d?) (?P<h>\d\d):(?P<m>\d\d):(?P<s>\d\d)(?:\.(?P<f>\d{1,6})\d*)? "
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

_JOURNAL_UNIX = r"^(?P<time>\d{9,11}\.\d{6}) \S+ (?P<prog>[A-Za-z_][\w./-]*)(?:\[\d+\])?: (?P<msg>.*)$"

_ISO = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)"
_PREFIXED = rf"^(?:\[pod/[^\]]+\]|[\w.-]+ +\|) (?:(?P<time>{_ISO}) )?(?P<msg>.*)$"
_STAMPED = rf"^(?P<time>{_ISO}) (?P<msg>.*)$"

_JOURNAL_FULL = (
    r"^[^\s\d]{2,4} (?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?(?: UTC)?)(?: [A-Z]{2,5}| [+-]\d\d(?:\d\d)?)? \S+ "
    r"(?P<prog>[A-Za-z_][\w./@-]*)(?:\[\d+\])?: (?P<msg>.*)$"
)
"""``journalctl -o short-full``: its zone is a short name, of which UTC alone is told from others; else it is `tz`."""

_TEXT = {
    "journal-full": _JOURNAL_FULL, "journal-unix": _JOURNAL_UNIX, "syslog": _SYSLOG, "syslog-iso": _SYSLOG_ISO,
    "rfc5424": _RFC5424, "cri": _CRI, "prefixed": _PREFIXED, "stamped": _STAMPED,
}  # fmt: skip
Wrapping = tuple[str, ...]
"""The wrappers that lines are in, the outermost first."""
DEEPEST = 2
WEAK = ("prefixed", "stamped")
"""What ``docker compose logs``, ``docker logs -t`` and kubectl print: a daemon's own lines may look so too."""

#: wrapper -> where the line is, where its time may be
_KEYS: tuple[tuple[str, tuple[str, ...], tuple[tuple[str, ...], ...]], ...] = (
    ("docker", ("log",), (("time",), ("@timestamp",), ("timestamp",), ("date",))),
    ("filebeat", ("message",), (("@timestamp",), ("timestamp",), ("time",))),
    ("elastic", ("event", "original"), (("@timestamp",),)),
    ("loki", ("line",), (("timestamp",), ("ts",))),
    ("elastic", ("_source", "message"), (("_source", "@timestamp"),)),
    ("google", ("textPayload",), (("timestamp",),)),
    ("splunk", ("result", "_raw"), (("result", "_time"),)),
    ("splunk", ("_raw",), (("_time",),)),
    ("splunk-hec", ("event",), (("time",),)),
    ("splunk-hec", ("event", "line"), (("time",),)),
    ("gelf", ("full_message",), (("timestamp",),)),
    ("gelf", ("short_message",), (("timestamp",),)),
    ("graylog", ("message", "message"), (("message", "timestamp"),)),
    ("journald", ("MESSAGE",), (("__REALTIME_TIMESTAMP",),)),
)


_JOURNAL_FIELD = r"^(?:[A-Z0-9_]{1,64}=|__CURSOR=)"
_PART = 16_000
"""A Docker log line that does not end and is at least this long goes on in the next one (it cuts at 16 KiB)."""

State = dict[str, Any]
"""What a wrapper's lines leave for those of the next block: the last time, the line that is not complete."""


def detect(block: Block) -> str | None:
    """Return which wrapper most of the first lines are in, or None. A syslog stamp is told from a daemon's own by
    its host."""
    sample = [block.line(i) if len(block) else "" for i in range(min(len(block), 40))]
    texts = [s for s in sample if s.strip()]
    if not texts:
        return None
    if sum(t.startswith("{") for t in texts) * 2 > len(texts):
        return _json_kind(block)
    if any(t.startswith("__CURSOR=") for t in texts) and sum(
        bool(re.match(_JOURNAL_FIELD, t)) for t in texts
    ) * 2 > len(texts):
        return "journal-export"
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
            if (isinstance(inner, str) or _octets(inner)) and not _is_dns(item):
                seen[kind] = seen.get(kind, 0) + 1
                break
    return max(seen, key=lambda k: seen[k]) if seen else None


def _is_dns(item: Any) -> bool:
    return isinstance(item, dict) and any(
        k in item for k in ("dns", "query", "question", "qname", "QH", "query_name", "rrname")
    )


def _octets(value: Any) -> bool:
    """Whether this is how journald writes what is no plain text: a list of octets."""
    return isinstance(value, list) and bool(value) and all(isinstance(v, int) and 0 <= v < 256 for v in value)


def _get(item: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        item = item.get(key) if isinstance(item, dict) else None
    return item


def unwrap(block: Block, kind: str, clock: Clock, skip: Callable[[str, Any], None], state: State) -> Block:
    """Return the wrapped lines as a block with `stamps`; what the wrapper gives no time keeps that of the block.

    `skip(reason, mask)` hears of the lines that were not wrapped; `state` is the same object for every block of a log.
    """
    if kind == "journal-export":
        inner = _unwrap_journal(block, clock, state)
    elif kind in _TEXT:
        inner = _unwrap_text(block, kind, clock, state)
    else:
        inner = _unwrap_json(block, kind, clock, skip, state)
    if block.stamps is not None and inner.stamps is not None and len(inner):
        told = block.stamps[np.searchsorted(block.numbers, inner.numbers)]
        inner.stamps = np.where(inner.stamps == times.MISSING, told, inner.stamps)
    return inner


def _unwrap_journal(block: Block, clock: Clock, state: State) -> Block:
    """Each entry of journald's export is fields on lines of their own, its time before its message."""
    messages: list[str] = []
    when: list[str] = []
    numbers: list[int] = []
    for number, line in zip(block.numbers.tolist(), block.lines().to_pylist(), strict=True):
        name, equals, value = (line or "").partition("=")
        if name == "__REALTIME_TIMESTAMP":
            state["stamp"] = value
        elif name == "MESSAGE":  # without "=" its octets follow, behind their count: not a plain line
            messages.append(value if equals else "(a message that is no plain text)")
            when.append(state.get("stamp", ""))
            numbers.append(number)
    clock.report.aside("other fields of the journal", len(block) - len(messages))
    return _joined(
        pa.array(messages, pa.string()), np.array(numbers, np.int64), times.epoch(pa.array(when, pa.string()))
    )


def _unwrap_text(block: Block, kind: str, clock: Clock, state: State) -> Block:
    lines = block.lines()
    mask, groups = extract(lines, _TEXT[kind])
    if kind == "syslog":
        month = months(groups.field("mon"))
        day, h, m, s = (groups.field(k).cast(pa.int64()).to_numpy(zero_copy_only=False) for k in ("day", "h", "m", "s"))
        told = clock.yearless(month, day, h * 3600 + m * 60 + s)
        part = pc.utf8_rpad(groups.field("f").fill_null(""), 6, "0").cast(pa.int64()).to_numpy(zero_copy_only=False)
        told = np.where(told == times.MISSING, told, told + part)
    elif kind == "journal-unix":
        told = times.epoch(groups.field("time"))
    else:
        told = times.iso(groups.field("time"), clock)
    if mask.all() and not (kind == "cri" and ("part" in state or pc.any(pc.equal(groups.field("part"), "P")).as_py())):
        return _joined(groups.field("msg"), block.numbers, told)
    if kind == "cri":
        return _rejoined(block, lines, mask, groups, told, clock, state)
    # a line without the wrapper is left as it is: a daemon's own output often stands among syslog's
    stamps = np.full(len(block), times.MISSING)
    stamps[mask] = told
    inner = np.array(lines.to_pylist(), object)
    inner[mask] = groups.field("msg").to_pylist()
    return _joined(pa.array(inner, pa.string()).fill_null(""), block.numbers, stamps)


def _rejoined(
    block: Block, lines: pa.Array, mask: Any, groups: pa.StructArray, told: Any, clock: Clock, state: State
) -> Block:
    """Put long lines together again, of which all parts but the last are marked ``P``."""
    texts = iter(zip(groups.field("part").to_pylist(), groups.field("msg").to_pylist(), told.tolist(), strict=True))
    messages, stamps, numbers = [], [], []
    held = state.pop("part", "")
    parts = 0
    for line, wrapped, number in zip(lines.to_pylist(), mask.tolist(), block.numbers.tolist(), strict=True):
        part, text, stamp = next(texts) if wrapped else ("F", line or "", times.MISSING)
        if part == "P" and len(held) < 1 << 20:
            held += text
            parts += 1
            continue
        messages.append(held + text)
        held = ""
        stamps.append(stamp)
        numbers.append(number)
    if held:
        state["part"] = held
    clock.report.aside("parts of longer lines", parts)
    return _joined(pa.array(messages, pa.string()), np.array(numbers, np.int64), np.array(stamps, np.int64))


def months(values: pa.Array) -> Any:
    """Return month numbers of three-letter names, in English or the other languages of `times.MONTHS`; -1 for none."""
    coded = values.dictionary_encode()
    table = np.array([times.month_of(t) for t in coded.dictionary.to_pylist()] or [-1], np.int64)
    return table[coded.indices.to_numpy(zero_copy_only=False)]


def _unwrap_json(block: Block, kind: str, clock: Clock, skip: Callable[[str, Any], None], state: State) -> Block:
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
            if _octets(inner):
                inner = bytes(inner).decode("utf-8", "backslashreplace")
            if isinstance(inner, str):
                inner = state.pop("part", "") + inner
                if kind == "docker" and _PART <= len(inner) < 1 << 20 and not inner.endswith("\n"):
                    state["part"] = inner
                    clock.report.aside("parts of longer lines", 1)
                    break
                stamp = next((t for p in time_paths if (t := _get(item, p)) is not None), None)
                text = str(stamp) if stamp is not None else None
                told = inner.rstrip("\r\n").split("\n")
                clock.report["lines"] += len(told) - 1
                for line in told:
                    messages.append(line.replace("\0", ""))
                    when.append(text)
                    numbers.append(number)
                break
        else:
            bad[i] = True
    skip("not wrapped as the lines before (" + kind + ")", bad)
    array = pa.array(when, pa.string())
    stamps = times.iso(array, clock)
    if (stamps == times.MISSING).any():
        stamps = np.where(stamps == times.MISSING, times.epoch(array), stamps)
    return _joined(pa.array(messages, pa.string()), np.array(numbers, np.int64), stamps)


def _joined(messages: pa.Array, numbers: Any, stamps: Any) -> Block:
    clean = pc.replace_substring(messages, "\n", " ")
    data = "".join(f"{text}\n" for text in clean.to_pylist())
    return Block(data.encode("utf-8", "surrogatepass"), numbers=numbers, stamps=stamps)
