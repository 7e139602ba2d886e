"""`read_log`: which files, which format, one table after the other, one frame with its report.

Knows opening, sniff, feeding and schema. Formats are loaded by the table.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dnsnb import schema
from dnsnb.errors import LogFormatError, SettingError
from dnsnb.formats import columns, jsonstream, opening, sniff, wrappers
from dnsnb.formats.feeding import Context, Feed
from dnsnb.formats.lines import Block
from dnsnb.formats.progress import Progress, shown
from dnsnb.formats.report import ImportReport
from dnsnb.formats.table import FORMATS, Format
from dnsnb.formats.times import Clock, zone_of

if TYPE_CHECKING:
    import pandas as pd

APART = ("dnsdist",)
"""Formats that keep questions and answers in files of their own: all files of a folder are one log."""

Plan = tuple[opening.Input, Format, wrappers.Wrapping]
"""A log, its format, and the wrappers that its lines are in."""

SILENT = Progress()

HELD_OPEN = 64
"""So many files are kept open from when their format is told until they are read: a rotation meanwhile changes nothing.
More would be too many for a process, and for its memory."""

UNREADABLE = "a file that can't be read"

TEMPLATED = ("coredns", "dnscollector", "windows")
"""Formats of which one configures what a line, or its date, looks like."""


class Options:
    """The settings of one import, checked."""

    def __init__(
        self,
        format: str = "auto",  # noqa: A002 - the word that everyone uses
        tz: Any = None,
        year: int | None = None,
        errors: str = "report",
        rows: str = "queries",
        template: str | None = None,
    ) -> None:
        if format != "auto" and (not isinstance(format, str) or format not in FORMATS):
            raise SettingError("format", format, f"not a format we know; one of auto, {', '.join(FORMATS)}")
        if errors not in ("report", "raise"):
            raise SettingError("errors", errors, "must be 'report' (leave bad lines out and say so) or 'raise'")
        if rows not in ("queries", "events"):
            raise SettingError("rows", rows, "must be 'queries' (one row a query) or 'events' (one row a line)")
        if year is not None and not (isinstance(year, int) and 1970 <= year < 2200):
            raise SettingError("year", year, "must be the year of the first line, such as 2026")
        if template is not None and not isinstance(template, str):
            raise SettingError(
                "template", template, "must be the log format of CoreDNS or DNS-collector, or the order of a date"
            )
        zone_of(tz)
        self.format, self.tz, self.year, self.errors, self.template = format, tz, year, errors, template
        self.events = rows == "events"

    def key(self) -> tuple[Any, ...]:
        """Return what tells one way of reading from another: settings, this machine's zone, formats of one's own."""
        own = [
            (r.name, r.kind, getattr(r.reader, "pattern", r.reader)) for r in FORMATS.values() if r.reader is not None
        ]
        zone = self.tz is None, str(zone_of(self.tz))
        return self.format, *zone, self.year, self.errors, self.template, self.events, own


def read_log(source: Any, *, progress: bool = True, **settings: Any) -> pd.DataFrame:
    """Return a DNS log as a frame; the door `dnsnb.formats.read_log` says how."""
    options = Options(**settings)
    report = ImportReport()
    found = list(tables(source, options, report, progress=shown(progress)))
    table = pa.concat_tables(found, promote_options="permissive") if found else schema.arrow_schema().empty_table()
    if "lossy" in table.column_names:  # tables without a strange name do not have it
        place = table.column_names.index("lossy")
        table = table.set_column(place, "lossy", table.column(place).fill_null(False))
    frame = schema.to_frame(table)
    frame.attrs["import"] = report
    return frame


def tables(
    source: Any, options: Options, report: ImportReport, *, ordered: bool = True, progress: Progress = SILENT
) -> Iterator[pa.Table]:
    """Yield finished tables (schema, then extras) of all files that a source names, rotated sets as one log.

    With `ordered` the rows of a log that joins come in the order of its lines, at the price of holding them.
    """
    yield from tables_of(opening.find(source, report), options, report, ordered=ordered, progress=progress)


def tables_of(
    inputs: list[opening.Input],
    options: Options,
    report: ImportReport,
    *,
    ordered: bool = True,
    progress: Progress = SILENT,
) -> Iterator[pa.Table]:
    """As `tables`, for inputs that were found already."""
    try:
        plans = _plans(inputs, options, report, progress)
        begun = time.perf_counter()
        progress.begin([one for one, _, _ in plans])
        for group in _sets(plans):
            for table in _read_set(group, options, report, ordered, progress):
                _account(report, table)
                report["seconds"] = round(time.perf_counter() - begun, 3)
                yield table
    finally:
        progress.end()
    if options.format != "auto" and not report["events"] and report.skipped_count:
        refuse_if_other(*plans[0], report["lines"])


def _plans(inputs: list[opening.Input], options: Options, report: ImportReport, progress: Progress) -> list[Plan]:
    """Return the logs that can be read, each with its format; raises LogFormatError when there are none."""
    refused: list[tuple[str, str, Exception]] = []
    plans: list[Plan] = []
    formats: dict[Any, Format] = {}
    for one in progress.looking(inputs):
        key = (one.path.parent, opening.stem(one.path)) if one.path is not None else object()
        try:
            row, wrapping = recognise(one, options, formats.get(key))
            formats[key] = row
        except (LogFormatError, OSError) as error:
            if len(inputs) == 1 or options.errors == "raise":
                raise
            known = isinstance(error, LogFormatError)
            refused.append((one.name, "a file that is not a DNS log we know" if known else UNREADABLE, error))
            one.let_go()
            continue
        if one.path is not None and len(plans) >= HELD_OPEN:
            one.let_go()
        plans.append((one, row, wrapping))
    if not plans:
        raise LogFormatError("; ".join(str(error) for _, _, error in refused[:3]))
    if options.template is not None and not any(row.name in TEMPLATED for _, row, _ in plans):
        found = ", ".join(dict.fromkeys(row.name for _, row, _ in plans))
        raise SettingError("template", options.template, f"is for {', '.join(TEMPLATED)} alone; this log is {found}")
    for name, why, refusal in refused:
        report.skip(why, 1, [(name, 0, str(refusal))])
    report["files"] = [one.name for one, _, _ in plans]
    report["format"] = ", ".join(dict.fromkeys(row.name for _, row, _ in plans))
    report["untold"] = "; ".join(dict.fromkeys(row.untold for _, row, _ in plans if row.untold))
    return plans


def _account(report: ImportReport, table: pa.Table) -> None:
    """Write into the report what finished rows tell."""
    report["lossy"] += columns.lossy_rows(table)
    report["untimed"] += table.column("time").null_count
    span = pc.min_max(table.column("time")).as_py()
    for key, better, value in (("first", min, span["min"]), ("last", max, span["max"])):
        if value is not None:
            known = report[key]
            report[key] = (better(value, dt.datetime.fromisoformat(known)) if known else value).isoformat()


def refuse_if_other(one: opening.Input, row: Format, wrapping: wrappers.Wrapping, lines: int | None = None) -> None:
    """Raise LogFormatError when a log that was said to be of one format does not look like it: when its `lines` gave
    nothing, or, before they are read, when it looks like another."""
    head = sniff.Head(_text(one.start), one.name, path=one.path)
    if wrapping or row.load().score(head):
        return
    found, _ = sniff.sniff(head)
    if found is None and lines is None:
        return
    none = f"expected at least one such line, found none in {lines:,}; " if lines is not None else ""
    raise LogFormatError(
        f"{one.name}: not {row.name} ({row.title}): {none}the first line is "
        f"{head.lines[0][:120] if head.lines else ''!r}" + (f"; it looks like {found.name}" if found else "")
    )


def recognise(one: opening.Input, options: Options, like: Format | None = None) -> tuple[Format, wrappers.Wrapping]:
    """Return the format of an input and the wrappers that its lines are in; raises LogFormatError.

    `like` is the format of another file of the same set: where it is sure of this one too, no other is asked.
    """
    raw = _text(one.head)
    head = sniff.Head(raw, one.name, path=one.path)
    if not head.raw and one.cut is not None:
        raise LogFormatError(f"{one.name}: nothing can be read: {one.cut}; expected a DNS log")
    if not head.raw.strip(b"\0"):
        raise sniff.unknown(head, {})
    if options.format != "auto":
        row = FORMATS[options.format]
        if row.kind != "lines":
            if not row.load().score(head):
                raise LogFormatError(f"{one.name}: not {row.name} ({row.title}): it starts {raw[:16]!r}")
            return row, ()
        if head.binary:
            raise LogFormatError(
                f"{one.name}: not {row.name} ({row.title}): found binary data that starts {raw[:8].hex(' ')}"
            )
        return row, _within(one, head, row, int(row.load().score(head)), options)[1]
    row_found, scores = sniff.sniff(head, like)
    wrapping: wrappers.Wrapping = ()
    if not head.binary:
        row_found, wrapping = _within(one, head, row_found, max(scores.values(), default=0), options, like)
    if row_found is None:
        error = sniff.unknown(head, scores)
        raise LogFormatError(f"{error}; {one.cut}") if one.cut is not None else error
    return row_found, wrapping


def _within(
    one: opening.Input, head: sniff.Head, row: Format | None, score: int, options: Options, like: Format | None = None
) -> tuple[Format | None, wrappers.Wrapping]:
    """Return what the lines are once they are out of the wrapper that they are in, and out of the one within that (a
    syslog file that a container's runtime or a log shipper took along), where that is the surer."""
    inner: sniff.Head | None = head
    tried: wrappers.Wrapping = ()
    taken: wrappers.Wrapping = ()
    while inner is not None and len(tried) < wrappers.DEEPEST:
        inner, kind = _unwrapped(one, inner, options)
        if inner is None or kind is None:
            break
        tried = (*tried, kind)
        if options.format != "auto":
            found, surer = row, int(row.load().score(inner)) if row is not None else 0
        else:
            found, scores = sniff.sniff(inner, like)
            surer = scores[found.name] if found is not None else 0
        if found is not None and _better(surer, score, head, found, taken, tried, options):
            row, score, taken = found, surer, tried
    return row, taken


def _text(raw: bytes) -> bytes:
    """Return the start of a file as UTF-8, and JSON with a record a line."""
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raw = raw.decode("utf-16", "replace").encode("utf-8", "replace")
    if jsonstream.needed(raw):
        records = jsonstream.Lines()
        raw = records.feed(raw) or records.finish()
    return raw


def _better(
    inner: int, plain: int, head: sniff.Head, row: Format, before: wrappers.Wrapping, now: wrappers.Wrapping,
    options: Options,
) -> bool:  # fmt: skip
    """Whether lines are to be unwrapped: their inside is the surer; where equal, a weak wrapper must prove itself."""
    if inner != plain or not plain or now[-1] not in wrappers.WEAK:
        return inner >= max(plain, 1)
    return _trial(head, row, now, options) > _trial(head, row, before, options)


def _trial(head: sniff.Head, row: Format, wrapping: wrappers.Wrapping, options: Options) -> tuple[int, int]:
    """Return how many events the start of a file gives, and how many of them with a time."""
    report = ImportReport()
    context = Context(
        report, Clock(report, options.tz or "UTC", options.year, 0.0), "", events=True, template=options.template
    )
    feed = Feed(row, context, wrapping)
    start = head.raw[: 1 << 13]
    try:
        found = [*feed.feed(start[: start.rfind(b"\n") + 1 or len(start)]), *feed.finish()]
    except LogFormatError:
        return 0, 0
    return report["events"], sum(len(t) - t.column("time").null_count for t in found)


def _unwrapped(one: opening.Input, head: sniff.Head, options: Options) -> tuple[sniff.Head | None, str | None]:
    if head.inside is None:
        cut = head.raw.rfind(b"\n") + 1 or len(head.raw)
        block = Block(head.raw[:cut].removeprefix(b"\xef\xbb\xbf"))
    else:
        block = Block("".join(f"{line}\n" for line in head.inside).encode("utf-8", "surrogatepass"))
    block = block.keep(block.starts < block.ends)
    kind = wrappers.detect(block)
    if kind is None:
        return None, None
    clock = Clock(ImportReport(), options.tz or "UTC", options.year, one.modified)
    inner = wrappers.unwrap(block, kind, clock, lambda why, mask: None, {})
    return sniff.Head(head.raw, one.name, [text or "" for text in inner.lines()[:200].to_pylist()]), kind


def _sets(plans: list[Plan]) -> list[list[Plan]]:
    groups: list[list[Plan]] = []
    keys: list[Any] = []
    for plan in plans:
        one, row, _ = plan
        key: Any = object()
        if one.path is not None and row.kind != "path":
            key = (one.path.parent, "" if row.name in APART else opening.stem(one.path), row.name)
        if groups and keys[-1] == key:
            groups[-1].append(plan)
        else:
            groups.append([plan])
            keys.append(key)
    return groups


def _read_set(
    group: list[Plan], options: Options, report: ImportReport, ordered: bool, progress: Progress
) -> Iterator[pa.Table]:
    first, row, wrapping = group[0]
    clock = Clock(report, options.tz, options.year, first.modified)
    name = first.source
    context = Context(report, clock, name, events=options.events, errors=options.errors, template=options.template)
    context.several = len(group) > 1
    if row.kind == "path":
        for events in row.load().read(first, context):
            report["events"] += len(events)
            report["lines"] += len(events)
            report["rows"] += len(events)
            if len(events):
                table = columns.finish(events, name, options.events)
                yield table
        progress.took(first.size)
        return
    feed = Feed(row, context, wrapping)
    found: list[pa.Table] | None = [] if ordered else None
    order: dict[str, int] = {}
    for place, (one, _, _) in enumerate(group):
        name = one.source
        order.setdefault(name, place)
        yield from _held(feed.begin(name), feed, found)
        told = 0
        try:
            for piece in one.pieces():
                report["bytes"] += len(piece)
                yield from _held(feed.feed(piece), feed, found)
                progress.took(one.consumed - told)
                told = one.consumed
        except OSError as error:  # renamed or removed since its format was told
            if len(report["files"]) == 1:
                raise
            context.skip_count(UNREADABLE, 1, [(name, 0, str(error))])
        if one.cut:
            report.note(f"{one.name}: {one.cut}; what came before was read")
    yield from _held(feed.finish(), feed, found)
    if found:
        yield _in_line_order(pa.concat_tables(found, promote_options="permissive"), order)


def _held(parts: Iterator[pa.Table], feed: Feed, found: list[pa.Table] | None) -> Iterator[pa.Table]:
    """Pass tables on; those of a format that joins are kept back, to be put in the order of their lines."""
    if feed.joiner is None or found is None:
        yield from parts
    else:
        found.extend(parts)


def _in_line_order(table: pa.Table, order: dict[str, int]) -> pa.Table:
    numbers = table.column("id").fill_null(-1).to_numpy()
    if len(order) > 1:
        sources = columns._coded(table.column("source"))
        rank = np.array([order.get(s, len(order)) for s in sources.dictionary.to_pylist()], np.int64)
        numbers = rank[sources.indices.to_numpy(zero_copy_only=False)] * (1 << 44) + numbers
    if (np.diff(numbers) >= 0).all():
        return table
    return table.take(pa.array(np.argsort(numbers, kind="stable")))
