"""One page on a log: what, who, when, how fast, what failed; as text, and as HTML that can be kept."""

from __future__ import annotations

from html import escape
from typing import Any

import narwhals as nw

from dnsnb.analysis.latency import latency
from dnsnb.analysis.memory import cache_hits
from dnsnb.analysis.native import collected, columns_of, lazy
from dnsnb.analysis.result import Result
from dnsnb.analysis.traffic import rate, rcodes, top


class Summary:
    """The parts of a summary: `heading` (one line) and `parts` by title; displays as HTML, prints as text."""

    def __init__(self, heading: str, parts: dict[str, Result]) -> None:
        self.heading = heading
        self.parts = parts

    def __str__(self) -> str:
        lines = [self.heading]
        for title, part in self.parts.items():
            lines += ["", f"{title} ({part.read_as})"]
            shown = part.reset_index() if part.index.name else part
            if len(shown) <= 24:
                lines.append(shown.to_string(index=False) if len(shown) else "  nothing")
            else:
                lines.append(f"  {len(shown)} rows")
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        blocks = [f"<h3>{escape(self.heading)}</h3>"]
        for title, part in self.parts.items():
            drawn = str(part.chart(620)) if part.attrs.get("chart") else part._repr_html_()
            blocks.append(f"<section><h4>{escape(title)}</h4>{drawn}</section>")
        return f'<div class="dnsnb-summary">{"".join(blocks)}</div>'


def summary(frame: Any) -> Summary:
    """Return a one-page report on a log; parts whose columns the log lacks are left out.

    >>> from dnsnb import simulate
    >>> print(summary(simulate.frame(hours=0.2)).heading.split(" queries")[0].isdigit())
    True
    """
    have = set(columns_of(frame))
    bounds = [nw.len().alias("rows")]
    needed = ["qname"]
    if "time" in have:
        needed.append("time")
        bounds += [nw.col("time").min().alias("first"), nw.col("time").max().alias("last")]
    facts = collected(lazy(frame, *needed).select(*bounds)).iloc[0]
    rows = int(facts["rows"])
    heading = f"{rows:,} queries".replace(",", "") if rows < 10_000 else f"{rows:,} queries"
    if "time" in have and rows and facts["first"] == facts["first"]:
        heading += f" from {facts['first']:%Y-%m-%d %H:%M:%S} to {facts['last']:%Y-%m-%d %H:%M:%S} UTC"
    parts: dict[str, Result] = {}
    if "time" in have and rows:
        seconds = (facts["last"] - facts["first"]).total_seconds()
        every = next(
            (e for e, s in (("1s", 1), ("10s", 10), ("1min", 60), ("10min", 600), ("1h", 3600)) if seconds / s <= 300),
            "1D",
        )
        parts["When"] = rate(frame, every, by="status" if "status" in have else None)
    for title, column in (("Who", "client"), ("What", "qname"), ("Types", "qtype"), ("Fates", "status")):
        if column in have:
            parts[title] = top(frame, column)
    if "rcode" in have:
        parts["Answers"] = rcodes(frame)
    if {"latency_ms", "status", "upstream"} <= have:
        parts["How fast"] = latency(frame)
    if "status" in have:
        parts["From memory"] = cache_hits(frame)
    return Summary(heading, parts)
