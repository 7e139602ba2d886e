"""A report's figures in words and numbers, the same for a page and for a terminal. Pure; nothing is escaped here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from dnsnb.analysis.facts import Facts

_LONG = 64


def lead(figures: Facts) -> str:
    """Return the whole log in a sentence or two."""
    asked = f"{figures.rows:,} {_many(figures.rows, 'question', 'questions')}"
    if figures.clients:
        line = f"{figures.clients:,} {_many(figures.clients, 'client', 'clients')} asked {asked}"
    else:
        line = f"{asked} {_many(figures.rows, 'was', 'were')} asked"
    if figures.names is not None:
        line += f" about {figures.names:,} {_many(figures.names, 'name', 'names')}"
    if figures.seconds >= 60:
        line += f" in {_span(figures.seconds)}"
    more = []
    if figures.blocked is not None:
        more.append(f"{share(figures.blocked)} {'was' if figures.blocked == 1 else 'were'} blocked")
    if figures.from_memory is not None:
        more.append(f"memory answered {share(figures.from_memory)} of what would have gone to upstreams")
    if figures.failed is not None:
        more.append(f"{share(figures.failed)} failed")
    line += ". " + (", ".join(more[:-1]) + f" and {more[-1]}" if len(more) > 1 else "".join(more)).strip()
    line = line.strip().removesuffix(".") + "."
    if figures.p50 is not None:
        line += f" An upstream's answer took {_ms(figures.p50)} as a rule"
        line += f", and more than {_ms(figures.p95)} one time in twenty." if figures.p95 is not None else "."
    return line


def tiles(figures: Facts, rate: pd.DataFrame | None) -> list[tuple[str, str, str]]:
    """Return (value, name, what is beneath) of the figures at the head of a report."""
    pace = ""
    if figures.seconds > 0:
        a_minute = figures.rows / figures.seconds * 60
        pace = f"{a_minute:,.0f} a minute" if a_minute >= 1 else f"{a_minute * 60:,.1f} an hour"
    shown = [(f"{figures.rows:,}", "Queries", pace)]
    if figures.clients is not None:
        shown.append((f"{figures.clients:,}", "Clients", ""))
    if figures.names is not None:
        shown.append((f"{figures.names:,}", "Names", ""))
    if rate is not None and len(rate):
        totals = rate.sum(axis=1)
        most = totals.idxmax()
        shown.append((f"{int(totals.max()):,}", "Busiest moment", f"{most:%b %d, %H:%M}"))
    for value, name, below in (
        (figures.blocked, "Blocked", ""),
        (figures.from_memory, "From memory", "cache hits"),
        (figures.failed, "Failed", ""),
    ):
        if value is not None:
            shown.append((share(value), name, below))
    if figures.p50 is not None:
        shown.append((_ms(figures.p50), "Usual wait", f"1 in 20: {_ms(figures.p95 or figures.p50)}"))
    return shown


def cell(column: str, value: Any) -> str:
    """Return one value of a table as it is shown; `column` tells what it is."""
    if isinstance(value, pd.Timestamp):
        return f"{value:%m-%d %H:%M:%S}" if not pd.isna(value) else ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or (not hasattr(value, "__len__") and pd.isna(value)):
        return "–"
    if isinstance(value, float | np.floating):
        value = float(value)
        if column in ("share", "failed", "hit_ratio", "stale_ratio", "timeouts") or column.startswith("share_"):
            return share(value)
        return f"{value:,.1f}" if abs(value) >= 1 else f"{value:.3g}"
    if isinstance(value, int | np.integer):
        return f"{int(value):,}"
    text = str(value)
    return text if len(text) <= _LONG else f"{text[: _LONG // 2]}…{text[-_LONG // 2 :]}"


def share(value: float) -> str:
    """Return a share (0-1) in per cent: finer where it is small."""
    if value != value:
        return "–"
    percent = value * 100
    if percent == 0 or percent == 100:
        return f"{percent:.0f}%"
    if percent >= 10:
        return f"{percent:.0f}%" if percent <= 99.5 else ">99%"
    return f"{percent:.1f}%" if percent >= 0.1 else "<0.1%"


def printable(text: str) -> str:
    """Return a text without what could move the cursor, or turn the direction of writing."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "�" for c in text)


def _ms(value: float) -> str:
    return f"{value / 1000:,.1f} s" if value >= 10_000 else f"{value:,.0f} ms" if value >= 10 else f"{value:.1f} ms"


def _span(seconds: float) -> str:
    for size, name in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= 2 * size or (size == 60):
            count = round(seconds / size)
            return f"{count:,} {_many(count, name, name + 's')}"
    return ""


def _many(count: int, one: str, more: str) -> str:
    return one if count == 1 else more
