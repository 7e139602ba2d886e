"""What looks wrong in a log: failing and slow upstreams, holes, floods, and what `hunt` finds; each with its evidence.

Pure: frames in, findings out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import narwhals as nw
import pandas as pd

from dnsnb.analysis.facts import Facts
from dnsnb.analysis.hunt import hunt
from dnsnb.analysis.native import collected, columns_of, lazy
from dnsnb.analysis.questions import SEPARATOR, with_answer_text

MOST = 12
EVIDENCE_ROWS = 5
_SHOWN = ("time", "client", "qname", "qtype", "rcode", "status", "answers")
_WORDS = {
    "tunnel": "Data hidden in names (tunnel)",
    "beacon": "Clockwork queries (beacon)",
    "dga": "Machine-made names (DGA)",
    "rebinding": "A public name that points inside (rebinding)",
    "burst": "A burst of queries",
    "fast flux": "A name with ever new addresses (fast flux)",
}
_LEVELS = ("high", "medium", "low")


@dataclass(frozen=True)
class Finding:
    """One thing that looks wrong: `level` (high, medium, low), a `title`, one line of `text`, and rows that show it."""

    level: str
    title: str
    text: str
    evidence: pd.DataFrame


def findings(
    frame: Any, facts: Facts, rate: pd.DataFrame | None, latency: pd.DataFrame | None
) -> tuple[list[Finding], list[str]]:
    """Return what looks wrong, the gravest first, and notes on what could not be looked for."""
    found = [*_upstreams(latency), *_failures(frame, facts), *_holes(rate), *_flood(frame, facts)]
    hunted, notes = _hunted(frame, facts)
    found += hunted
    return sorted(found, key=lambda finding: _LEVELS.index(finding.level))[:MOST], notes


def rows_of(frame: Any, *where: Any, n: int = EVIDENCE_ROWS) -> pd.DataFrame:
    """Return the first rows of a log (`with_answer_text`) that match, with the columns that people look at."""
    have = columns_of(frame)
    shown = [name for name in _SHOWN if name in have]
    rows = lazy(frame, *shown).filter(*where)
    if "time" in have:
        rows = rows.sort("time")
    found = collected(rows.head(n))
    if "answers" in found:
        found["answers"] = found["answers"].str.replace(SEPARATOR, ", ", regex=False)
    return found


def _upstreams(latency: pd.DataFrame | None) -> list[Finding]:
    if latency is None or not {"upstream", "count", "p50", "p95", "failed"} <= set(latency.columns):
        return []
    latency = latency[latency["upstream"] != "unknown"]  # several, or nobody knows whose fault it is
    found = []
    usual = float(latency["p50"].min())
    for number, row in enumerate(latency.to_dict("records")):
        one = pd.DataFrame(latency.iloc[number : number + 1])
        failed, p50, p95, count = (float(row[name]) for name in ("failed", "p50", "p95", "count"))
        asked = count / (1 - failed) if failed < 1 else 20
        if failed >= 0.05 and asked >= 20:
            text = f"{failed:.1%} of what {row['upstream']} was asked got no good answer"
            found.append(Finding("high" if failed >= 0.3 else "medium", "An upstream fails", text, one))
        elif count >= 50 and (p95 > 1000 or (p50 > 3 * usual and p50 > 50)):
            text = f"{row['upstream']} takes {p50:,.0f} ms as a rule and more than {p95:,.0f} ms one time in twenty"
            found.append(Finding("low", "An upstream is slow", text, one))
    return found


def _failures(frame: Any, facts: Facts) -> list[Finding]:
    if "rcode" not in facts.columns or facts.rows < 100 or not {"qname"} <= set(facts.columns):
        return []
    found = []
    for rcode, limit, title in (
        ("SERVFAIL", 0.05, "Many answers are failures"),
        ("NXDOMAIN", 0.4, "Many names do not exist"),
    ):
        bad = lazy(frame, "rcode", "qname").filter(nw.col("rcode") == rcode)
        top = bad.group_by("qname").agg(nw.len().alias("count")).sort("count", "qname", descending=[True, False])
        count = int(collected(bad.select(nw.len().alias("n")))["n"].iloc[0])
        if count / facts.rows >= limit:
            text = f"{count:,} of {facts.rows:,} queries ({count / facts.rows:.0%}) were answered {rcode}; most often:"
            found.append(Finding("medium", title, text, collected(top.head(EVIDENCE_ROWS))))
    return found


def _holes(rate: pd.DataFrame | None) -> list[Finding]:
    """Long silence in a log that is otherwise dense: the server was down, or the log is incomplete."""
    if rate is None or len(rate) < 20:
        return []
    totals = rate.sum(axis=1)
    if (totals > 0).mean() < 0.5 or totals[totals > 0].median() < 20:
        return []
    silent = totals.eq(0)
    runs = silent.ne(silent.shift()).cumsum()[silent]
    found = []
    for _, run in runs.groupby(runs):
        first, last = run.index[0], run.index[-1] + (totals.index[1] - totals.index[0])
        minutes = (last - first).total_seconds() / 60
        row = pd.DataFrame({"from": [first], "to": [last], "minutes": [round(minutes, 1)]})
        text = f"nothing was logged for {minutes:,.0f} minutes, where {totals.median():,.0f} queries a window are usual"
        found.append(Finding("medium", "A hole in the log", text, row))
    return found[:3]


def _flood(frame: Any, facts: Facts) -> list[Finding]:
    if not {"client", "qname"} <= set(facts.columns) or facts.rows < 1000:
        return []
    rows = lazy(frame, "client", "qname").filter(~nw.col("client").is_null() & ~nw.col("qname").is_null())
    pairs = rows.group_by("client", "qname").agg(nw.len().alias("count"))
    top = collected(pairs.sort("count", "client", "qname", descending=[True, False, False]).head(3))
    found = []
    for client, qname, count in top.itertuples(index=False, name=None):
        if count >= 0.2 * facts.rows:
            text = f"{client} asked {count:,} times for {qname}: {count / facts.rows:.0%} of the whole log"
            evidence = rows_of(with_answer_text(frame), nw.col("client") == client, nw.col("qname") == qname)
            found.append(Finding("medium", "One question over and over", text, evidence))
    return found


def _hunted(frame: Any, facts: Facts) -> tuple[list[Finding], list[str]]:
    if not {"qname", "client", "time"} <= set(facts.columns) or facts.first is None:
        return [], ["Nothing was hunted for: that needs time, client and qname."]
    hunted = hunt(frame)
    left_out = hunted.attrs.get("left_out", {})
    found = []
    rows = with_answer_text(frame) if len(hunted) else frame
    for row in hunted.head(MOST).to_dict("records"):
        score = float(row["score"])
        level = "high" if score >= 0.8 else "medium" if score >= 0.5 else "low"
        who, what = ("" if pd.isna(row[name]) else str(row[name]) for name in ("client", "domain"))
        when = span(row["first"], row["last"], facts.zone)
        text = " → ".join(part for part in (who, what) if part) + f": {row['evidence']}{when}"
        where = [nw.col("client") == who] if who else []
        if what:
            where.append((nw.col("qname") == what) | nw.col("qname").fill_null("").str.ends_with("." + what))
        elif row["what"] == "dga" and "rcode" in facts.columns:
            where.append(nw.col("rcode") == "NXDOMAIN")
        evidence = rows_of(rows, *where) if where else pd.DataFrame()
        found.append(Finding(level, _WORDS.get(row["what"], str(row["what"]).capitalize()), text, evidence))
    notes = [f"Not looked for: {what} ({why.splitlines()[0]})." for what, why in left_out.items()]
    return found, notes


def span(first: Any, last: Any, zone: str) -> str:
    """Return from when to when something was, in brackets; nothing where it isn't known."""
    if pd.isna(first) or pd.isna(last):
        return ""
    one, other = (pd.Timestamp(t).tz_convert(zone) for t in (first, last))
    ended = f"{other:%H:%M:%S}" if one.date() == other.date() else f"{other:%b %d %H:%M:%S}"
    return f" ({one:%b %d %H:%M:%S} to {ended})"
