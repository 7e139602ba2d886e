"""A report as plain text for a terminal: nothing in it can move the cursor. Knows wording."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import pandas as pd

from dnsnb.analysis.wording import cell, lead, printable

if TYPE_CHECKING:
    from dnsnb.analysis.summary import Summary

_WIDTH = 100
_ROWS = 10
_BLOCKS = " ▁▂▃▄▅▆▇█"


def as_text(report: Summary) -> str:
    """Return the report in lines of about a hundred characters."""
    out = [printable(report.title).upper(), printable(report.heading), ""]
    out += textwrap.wrap(printable(lead(report.facts)), _WIDTH)
    out += ["", _title("What looks wrong")]
    if not report.findings:
        out.append("Nothing that is looked for here was found.")
    for finding in report.findings:
        head = f"[{finding.level}] {finding.title}: {finding.text}"
        out += textwrap.wrap(printable(head), _WIDTH, subsequent_indent="  ")
        if len(finding.evidence):
            out += ["    " + line for line in table(finding.evidence, _WIDTH - 4)]
    for title, part in report.parts.items():
        out += ["", _title(f"{title}: {part.read_as}")]
        if title == "When":
            out.append(_sparkline(part.sum(axis=1).tolist()))
        elif title == "From memory":
            out.append(_sparkline(part["hit_ratio"].fillna(0.0).tolist(), total=False))
        else:
            out += table(part.reset_index() if part.index.name else pd.DataFrame(part))
    if report.notes:
        out += ["", _title("About this log")]
        for note in report.notes:
            out += textwrap.wrap(printable(note), _WIDTH, initial_indent="- ", subsequent_indent="  ")
    return "\n".join(out)


def table(frame: pd.DataFrame, width: int = _WIDTH) -> list[str]:
    """Return a frame's first rows as lines, numbers to the right, cut to a width."""
    if frame.empty:
        return ["nothing"]
    plain = pd.DataFrame(frame).dropna(axis="columns", how="all").head(_ROWS)
    lines = [[str(name).replace("_", " ") for name in plain.columns]]
    for number in range(len(plain)):
        row = [printable(cell(str(name), plain[name].iloc[number])) for name in plain.columns]
        lines.append([text if len(text) <= 56 else f"{text[:27]}…{text[-28:]}" for text in row])
    right = [pd.api.types.is_numeric_dtype(plain[name].dtype) for name in plain.columns]
    sizes = [max(len(line[place]) for line in lines) for place in range(len(right))]
    shown = []
    for line in lines:
        cells = [t.rjust(s) if r else t.ljust(s) for t, s, r in zip(line, sizes, right, strict=True)]
        shown.append("  ".join(cells).rstrip()[:width])
    return shown


def _sparkline(values: list[float], *, total: bool = True) -> str:
    """Return bars of an eighth's height; counts as shares of the largest, ratios as they are."""
    size = max(1, -(-len(values) // (_WIDTH - 4)))
    pieces = [values[at : at + size] for at in range(0, len(values), size)]
    folded = [sum(piece) / (1 if total else len(piece)) for piece in pieces]
    most = (max(folded, default=0) or 1) if total else 1
    return "".join(_BLOCKS[round(value / most * 8)] if value else _BLOCKS[0] for value in folded)


def _title(text: str) -> str:
    return printable(text if len(text) <= _WIDTH else text[: _WIDTH - 1] + "…")
