r"""Text logs by regular expression: named groups become columns. A format of one's own is a few lines of this.

    from dnsnb.formats import FORMATS, Format
    from dnsnb.formats.patterns import TextFormat

    FORMATS["mylog"] = Format("mylog", "My resolver's log", "lines", "", TextFormat(
        r"^(?P<time_iso>\S+) (?P<client>\S+) asked (?P<qname>\S+) (?P<qtype>\S+) -> (?P<rcode>\w+) in
        (?P<latency_ms>[\d.]+) ms$"
    ))
    frame = dnsnb.read_log("my.log")

Groups are named as the frame's columns and `columns.EXTRAS`; a time is `time_iso` (a zone, or the reader's `tz`),
`time_epoch`
(decimal seconds) or `time_syslog` (``Nov 23 06:51:27``), a latency `latency_ms`, `latency_s`, `latency_us` or
`latency_go` (``1.2ms``).
The syntax is RE2's: no look-around, no back-references.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dnsnb.errors import SettingError
from dnsnb.formats import columns, times
from dnsnb.formats.columns import KIND, QUERY
from dnsnb.formats.feeding import Context
from dnsnb.formats.join import Joiner
from dnsnb.formats.lines import Block, empty_to_null, extract
from dnsnb.formats.sniff import Head
from dnsnb.formats.wrappers import months


class Line(NamedTuple):
    """One kind of line: what matches it, what it is (`columns.QUERY` …), and columns that it always means."""

    pattern: str
    kind: int = QUERY
    event: str = "query"
    always: dict[str, Any] = {}  # noqa: RUF012 - never changed


class TextFormat:
    """A text format of one pattern; give it to a row of `FORMATS`."""

    def __init__(self, pattern: str) -> None:
        try:
            self._python = re.compile(pattern)
            pc.extract_regex(pa.array([""]), pattern=pattern)
        except (re.error, pa.ArrowInvalid, TypeError) as error:
            raise SettingError(
                "pattern", pattern, f"must be a regular expression of RE2 with groups: {error}"
            ) from None
        if not self._python.groupindex:
            raise SettingError("pattern", pattern, r"must have groups named as columns, such as (?P<qname>\S+)")
        known = {*columns._TYPES, *_TIMES, *_LATENCY, "latency_go"} - {"time", KIND}
        for name in self._python.groupindex:
            if name not in known:
                near = get_close_matches(name, sorted(known), 1)
                hint = f"; did you mean {near[0]}?" if near else ""
                raise SettingError("pattern", name, f"is no column, time or latency that a group can be named as{hint}")
        self.pattern = pattern

    def score(self, head: Head) -> int:
        """The share of lines that match."""
        return int(96 * head.share(self._python))

    def Reader(self, context: Context) -> PatternReader:  # noqa: N802 - a module's `Reader` is a class
        """Return a reader for one log."""
        return PatternReader(context, (Line(self.pattern),))


_GROUPS = re.compile(r"\(\?P<(\w+)>")


class PatternReader:
    """Tries the kinds of lines in turn; what none matches is reported as `otherwise`."""

    otherwise = "does not match the format"
    independent = True
    noise: str | None = None
    lossy: str | None = None
    nameless: str | None = "-"
    """What is written where there is no name; None where a name is always there, be it a dash."""

    def __init__(self, context: Context, lines: tuple[Line, ...], joiner: Joiner | None = None) -> None:
        self.context = context
        self.kinds = lines
        self.joiner = joiner

    def prepare(self, block: Block) -> Any:
        """Return the job that gives a block's events where no clock has to see the lines in order, else the events."""
        names = {name for line in self.kinds for name in _GROUPS.findall(line.pattern)}
        free = self.context.clock.zone is times.UTC and "time_syslog" not in names and self.independent
        return partial(self.parse, block) if free else self.parse(block)

    def parse(self, block: Block) -> pa.Table | None:
        """Return the events of a block, in the order of its lines."""
        parts = []
        left: Block | None = block
        for line in self.kinds:
            if left is None or not len(left):
                break
            mask, groups = extract(left.lines().fill_null(""), line.pattern)
            if not mask.any():
                continue
            hit = left if mask.all() else left.keep(mask)
            left = None if mask.all() else left.keep(~mask)
            parts.append(self._table(line, groups, hit))
        if left is not None and len(left):
            self._leave(left)
        found = [p for p in parts if p is not None and len(p)]
        if not found:
            return None
        table = pa.concat_tables(found, promote_options="permissive") if len(found) > 1 else found[0]
        return table.take(pc.sort_indices(table.column("id"))) if len(found) > 1 else table

    def _leave(self, left: Block) -> None:
        if self.noise is not None:
            quiet = pc.match_substring_regex(left.lines().fill_null(""), self.noise).to_numpy(zero_copy_only=False)
            self.context.skip("says nothing about a query", left, quiet)
            left = left.keep(~quiet)
        self.context.skip(self.otherwise, left, np.ones(len(left), bool))

    def _table(self, line: Line, groups: pa.StructArray, block: Block) -> pa.Table | None:
        raw = self.converted(groups, block)
        raw.update({k: v for k, v in line.always.items() if k not in raw})
        raw.setdefault("event", line.event)
        raw = self.meaning(raw, line)
        own = {k: raw.pop(k) for k in list(raw) if k not in columns._TYPES}
        table = columns.build(raw, len(block), lossy=self.lossy)
        for name, values in own.items():
            table = table.append_column(name, values)
        return table.append_column(KIND, columns.constant(line.kind, len(block), pa.int8()))

    def meaning(self, raw: dict[str, Any], line: Line) -> dict[str, Any]:
        """Return the columns after what only this format knows; a reader overrides it."""
        return raw

    def converted(self, groups: pa.StructArray, block: Block) -> dict[str, Any]:
        """Return named groups as columns."""
        raw: dict[str, Any] = {"id": pa.array(block.numbers)}
        if block.stamps is not None:
            raw["time"] = block.stamps
        for i in range(groups.type.num_fields):
            name = groups.type.field(i).name
            values = groups.field(i)
            if name != "qname" or self.nameless is not None:
                values = empty_to_null(values)
            if name in _TIMES:
                told = _TIMES[name](values, self.context)
                if "time" in raw:
                    told = np.where(told == times.MISSING, raw["time"], told)
                raw["time"] = told
            elif name in _LATENCY:
                raw["latency_ms"] = pc.multiply(columns.numbers(values, pa.float64()), _LATENCY[name]).cast(
                    pa.float32()
                )
            elif name == "latency_go":
                raw["latency_ms"] = columns.plain(values, go_duration, pa.float32())
            elif name == "answers":
                raw["answers"] = split_list(values)
            else:
                raw[name] = values
        raw.setdefault("time", np.full(len(block), times.MISSING))
        return raw


def _syslog(values: pa.Array, context: Context) -> Any:
    found = pc.extract_regex(
        values.fill_null(""), pattern=r"^(?P<m>\S+) +(?P<d>\d+) (?P<h>\d\d):(?P<n>\d\d):(?P<s>\d\d)"
    )
    good = found.is_valid().to_numpy(zero_copy_only=False)
    d, h, n, s = (times._digits(found.field(k)).to_numpy(zero_copy_only=False) for k in "dhns")
    month = np.where(good, months(found.field("m").fill_null("")), -1)
    return context.clock.yearless(month, d, np.where(good, h * 3600 + n * 60 + s, -1))


_TIMES = {
    "time_iso": lambda values, context: times.iso(values, context.clock),
    "time_utc": lambda values, context: times.iso(values, context.clock, assume_utc=True),
    "time_epoch": lambda values, context: times.epoch(values),
    "time_syslog": _syslog,
}
_LATENCY = {"latency_ms": 1.0, "latency_s": 1000.0, "latency_us": 0.001, "latency_ns": 0.000001}
_UNITS = {"ns": 1e-6, "us": 1e-3, "µs": 1e-3, "μs": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4, "h": 3.6e6}
_DURATION = re.compile(r"([\d.]+)(ns|us|µs|μs|ms|s|m|h)")


def go_duration(text: str) -> float | None:
    """Return a duration as Go prints it (``1m2.5s``, ``340µs``) in milliseconds."""
    parts = _DURATION.findall(text)
    try:
        return sum(float(number) * _UNITS[unit] for number, unit in parts) if parts else None
    except ValueError:
        return None


def split_list(values: pa.Array, separator: str = r"\s*[,;]\s*") -> pa.Array:
    """Return delimited text as lists; null stays null."""
    trimmed = pc.utf8_trim(values, " []")
    return pc.if_else(
        pc.equal(trimmed, ""), pa.scalar([], pa.list_(pa.string())), pc.split_pattern_regex(trimmed, separator)
    )
