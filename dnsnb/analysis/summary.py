"""One page on a log: what, who, when, how fast, what failed, what looks wrong; as text, in a notebook, as a file."""

from __future__ import annotations

import errno
from os import PathLike
from pathlib import Path
from typing import Any

import narwhals as nw
import pandas as pd

from dnsnb.analysis.domains import domains
from dnsnb.analysis.facts import Facts, facts, with_zone
from dnsnb.analysis.findings import Finding, findings
from dnsnb.analysis.latency import latency
from dnsnb.analysis.memory import cache_hits
from dnsnb.analysis.native import collected, lazy
from dnsnb.analysis.page import fragment, page
from dnsnb.analysis.plaintext import as_text
from dnsnb.analysis.result import Result, result
from dnsnb.analysis.traffic import rate, rcodes, top

_STEPS = (("1s", 1), ("10s", 10), ("1min", 60), ("5min", 300), ("10min", 600), ("1h", 3600), ("6h", 21_600))
_BARS = 150


class Summary:
    """A report: `facts` (the figures), `findings` (what looks wrong) and `parts` (tables and plots by title).

    Displays as HTML, prints as text; `html()` is a whole page, `save("report.html")` writes it.
    """

    def __init__(
        self, title: str, facts: Facts, parts: dict[str, Result], findings: list[Finding], notes: list[str]
    ) -> None:
        self.title = title
        self.facts = facts
        self.parts = parts
        self.findings = findings
        self.notes = notes

    @property
    def heading(self) -> str:
        """The report in one line."""
        count = f"{self.facts.rows:,} {'query' if self.facts.rows == 1 else 'queries'}"
        span = self.facts.span()
        return f"{count} from {span}" if span else count

    def html(self) -> str:
        """Return a whole page that needs nothing else: no script, no font, no picture from anywhere."""
        return page(self)

    def save(self, path: str | PathLike[str]) -> Path:
        """Write the page to a file, whole or not at all; returns its path. Raises OSError that names it."""
        target = Path(path)
        if not target.parent.is_dir():
            raise FileNotFoundError(errno.ENOENT, "no such folder", str(target.parent))
        partial = target.with_name(f".{target.name}.partial")
        try:
            partial.write_text(self.html(), encoding="utf-8", errors="replace")
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
        return target

    def __str__(self) -> str:
        return as_text(self)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return fragment(self)


def summary(frame: Any, *, tz: str | None = None, title: str = "DNS report") -> Summary:
    """Return a one-page report on a log; parts whose columns the log lacks are left out, and named in `notes`.

    Times are shown in the frame's own zone, or in `tz` ("Europe/Berlin"); times without a zone are taken as UTC. What
    looks wrong is a list of findings, each with rows of the log that show it.

    >>> from dnsnb import simulate
    >>> report = summary(simulate.frame(hours=0.2))
    >>> report.heading.endswith("UTC"), list(report.parts)[0]
    (True, 'When')
    """
    frame, zone, said = with_zone(frame, tz)
    lazy(frame, "qname")
    figures = facts(frame, zone, said)
    have = set(figures.columns)
    parts: dict[str, Result] = {}
    if figures.first is not None:
        every = next((e for e, s in _STEPS if figures.seconds / s <= _BARS), "1D")
        parts["When"] = rate(frame, every, by="status" if figures.blocked is not None else None)
        parts["When"].index = pd.DatetimeIndex(parts["When"].index).tz_convert(zone)
    for name, column in (("Who", "client"), ("What", "qname"), ("Types", "qtype")):
        if column in have:
            parts[name] = top(frame, column)
    if {"client", "client_name"} <= have:
        parts["Who"] = _named(frame, parts["Who"])
    if "client" in have:
        found = domains(frame, 10)
        shown = pd.DataFrame(found)[["domain", "queries", "share", "clients", "names"]]
        parts["Domains"] = result(shown, "domains", found.read_as, found.attrs["chart"])
    if figures.blocked is not None:
        parts["Fates"] = top(frame, "status", 9)
    if "rcode" in have:
        parts["Answers"] = rcodes(frame)
    if {"latency_ms", "status", "upstream"} <= have:
        parts["How fast"] = latency(frame)
        if parts["How fast"].empty:
            del parts["How fast"]
    if figures.from_memory is not None and figures.first is not None:
        parts["From memory"] = cache_hits(frame, next((e for e, s in _STEPS if figures.seconds / s <= 60), "1D"))
        parts["From memory"]["time"] = parts["From memory"]["time"].dt.tz_convert(zone)
    if {"status", "rule"} <= have and figures.blocked:
        parts["Blocked by"] = top(frame, "rule")
    wrong, more = findings(frame, figures, parts.get("When"), parts.get("How fast"))
    for finding in wrong:
        for name in finding.evidence.columns:
            if isinstance(finding.evidence[name].dtype, pd.DatetimeTZDtype):
                finding.evidence[name] = finding.evidence[name].dt.tz_convert(zone)
    return Summary(title, figures, parts, wrong, _notes(frame, figures) + more)


def _named(frame: Any, clients: Result) -> Result:
    """Put the clients' names beside their addresses, where the log knows some."""
    rows = lazy(frame, "client", "client_name").filter(nw.col("client").is_in(clients["client"].tolist()))
    known = collected(rows.filter(~nw.col("client_name").is_null()).group_by("client").agg(nw.col("client_name").max()))
    if len(known):
        names = dict(zip(known["client"], known["client_name"], strict=True))
        clients.insert(1, "name", pd.Series([names.get(c) for c in clients["client"]], dtype="str"))
    return clients


def reading_notes(report: str) -> list[str]:
    """Return what an import report says, without what the page says already: times, and paths of somebody's machine."""
    lines = [" ".join(line.split()) for line in report.splitlines() if line.strip()]
    return [line for line in lines if not line.startswith(("files ", "time ", "taken from "))][:12]


def _notes(frame: Any, figures: Facts) -> list[str]:
    """What a reader should know of the log itself."""
    notes = []
    if figures.first is not None:
        notes.append(f"Times are in {figures.zone} ({figures.said}).")
    missing = [n for n in ("time", "client", "status", "rcode", "latency_ms", "upstream") if n not in figures.columns]
    if missing:
        notes.append(f"The log has no {', '.join(missing)}; what needs them is left out.")
    if figures.sources:
        notes.append(f"Source: {', '.join(figures.sources[:5])}{' …' if len(figures.sources) > 5 else ''}.")
    report = getattr(frame, "attrs", {}).get("import")
    if report is not None:
        notes += reading_notes(str(report))
    return notes
