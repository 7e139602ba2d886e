"""A report as HTML: a fragment for a notebook, and a whole page that needs nothing from anywhere.

All text is escaped: names are hostile. Every style rule is confined to `.dnsnb-report`; light and dark follow the page.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import pandas as pd

from dnsnb.analysis.result import Result, result
from dnsnb.analysis.wording import cell, lead, printable, tiles

if TYPE_CHECKING:
    from dnsnb.analysis.findings import Finding
    from dnsnb.analysis.summary import Summary

_ROWS = 12
_OPEN = 2  # findings whose evidence is unfolded at first
_SHORT = 26  # characters that are never broken
_CSP = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_DARK = """--ground:#0f1419;--card:#182028;--line:#2d3742;--text:#e3e9ef;--soft:#9aa7b4;--bar:#5aa9e0;--track:#232d37;
--high:#ff7b72;--medium:#e3a63f;--low:#79b8ff;--fine:#57c785"""
STYLE = """
.dnsnb-report{--ground:#fff;--card:#f6f8fa;--line:#d5dce3;--text:#1c2329;--soft:#57636f;--bar:#3a87c2;--track:#e6ebf0;
--high:#c8322b;--medium:#a86400;--low:#2767b0;--fine:#1d7f46;color:var(--text);background:var(--ground);
font:14px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;max-width:1040px;padding:4px 2px;
text-align:left;overflow-wrap:anywhere}
@media (prefers-color-scheme:dark){.dnsnb-report{DARK}}
[data-jp-theme-light="true"] .dnsnb-report{LIGHT}
[data-jp-theme-light="false"] .dnsnb-report{DARK}
.dnsnb-report *{box-sizing:border-box}
.dnsnb-report h1{font-size:25px;line-height:1.2;margin:0 0 2px;font-weight:650;letter-spacing:-.01em}
.dnsnb-report h2{font-size:16px;margin:0 0 10px;font-weight:620}
.dnsnb-report h2 small{font-weight:400;color:var(--soft);font-size:12.5px;margin-left:8px}
.dnsnb-report h3{font-size:14px;margin:0;font-weight:620}
.dnsnb-report p{margin:0}
.dnsnb-report .when{color:var(--soft)}
.dnsnb-report .lead{font-size:16px;margin:14px 0 18px;max-width:74ch}
.dnsnb-report .tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(108px,1fr));gap:10px;margin:0 0 18px;
padding:0;list-style:none}
.dnsnb-report .tiles li{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:9px 12px;margin:0}
.dnsnb-report .tiles b{display:block;font-size:22px;line-height:1.25;font-weight:620;font-variant-numeric:tabular-nums}
.dnsnb-report .tiles span{color:var(--soft);font-size:12px;display:block}
.dnsnb-report section{border:1px solid var(--line);border-radius:10px;padding:14px 16px;margin:0 0 14px;
background:var(--ground);min-width:0}
.dnsnb-report .two{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,410px),1fr));gap:14px}
.dnsnb-report .two section{margin:0}
.dnsnb-report .two{margin:0 0 14px}
.dnsnb-report .finding{border-left:4px solid var(--low);padding:2px 0 2px 12px;margin:0 0 14px}
.dnsnb-report .finding:last-child{margin-bottom:0}
.dnsnb-report .finding.high{border-color:var(--high)}
.dnsnb-report .finding.medium{border-color:var(--medium)}
.dnsnb-report .level{font-size:11px;text-transform:uppercase;letter-spacing:.06em;font-weight:700;color:var(--low);
margin-right:8px}
.dnsnb-report .high .level{color:var(--high)}
.dnsnb-report .medium .level{color:var(--medium)}
.dnsnb-report .fine{color:var(--fine)}
.dnsnb-report details{margin-top:4px}
.dnsnb-report summary{cursor:pointer;color:var(--soft);font-size:12.5px}
.dnsnb-report table{border-collapse:collapse;width:100%;font-size:13px;margin:0;border:0;table-layout:auto}
.dnsnb-report th{font-weight:500;color:var(--soft);text-align:left;padding:2px 10px 4px 0;border:0;
border-bottom:1px solid var(--line);background:none;white-space:nowrap;font-size:12px}
.dnsnb-report td{padding:3px 10px 3px 0;border:0;border-bottom:1px solid var(--track);text-align:left;background:none;
vertical-align:top}
.dnsnb-report tr{background:none}
.dnsnb-report tr:last-child td{border-bottom:0}
.dnsnb-report .n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.dnsnb-report th:last-child,.dnsnb-report td:last-child{padding-right:0}
.dnsnb-report .name{display:block;padding:0}
.dnsnb-report .meter{display:block;height:4px;border-radius:2px;background:var(--track);margin:1px 0 3px;
overflow:hidden}
.dnsnb-report .meter{position:relative}
.dnsnb-report .meter i{position:absolute;left:0;top:0;height:4px;border-radius:2px;background:var(--bar)}
.dnsnb-report .meter i+i{background:var(--text);opacity:.65}
.dnsnb-report .t{white-space:nowrap;font-variant-numeric:tabular-nums}
.dnsnb-report .scroll{overflow-x:auto}
.dnsnb-report svg{display:block;width:100%;height:auto}
.dnsnb-report ul.notes{margin:0;padding-left:18px;color:var(--soft);font-size:12.5px}
.dnsnb-report .by{color:var(--soft);font-size:12px;margin:6px 2px 0}
@media print{.dnsnb-report section,.dnsnb-report .finding{break-inside:avoid}}
"""
_LIGHT = STYLE.split("{", 1)[1].split(";color:var", 1)[0]
STYLE = STYLE.replace("LIGHT", _LIGHT).replace("DARK", _DARK)
_PAGE = """
html{color-scheme:light dark}
body{margin:0;background:#fff}
@media (prefers-color-scheme:dark){body{background:#0f1419}}
body>.dnsnb-report{margin:0 auto;padding:28px 24px 40px}
@media (max-width:600px){body>.dnsnb-report{padding:16px 12px}}
"""
_SAYS = {
    "When": "queries over time, by what became of them",
    "Who": "the busiest clients",
    "What": "the names asked for most",
    "Domains": "the registered domains asked for most",
    "Types": "the types asked for",
    "Fates": "what became of the queries",
    "Answers": "the response codes",
    "Blocked by": "the rules that blocked most",
    "From memory": "the share that the cache answered",
}
_BESIDE = (("Who", "What"), ("Domains", "Blocked by"), ("Fates", "Answers"), ("Types", "From memory"))


def page(report: Summary) -> str:
    """Return a whole HTML document; its policy (CSP) forbids whatever it doesn't hold itself."""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(_CSP, quote=True)}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta name="referrer" content="no-referrer">'
        f"<title>{escape(printable(report.title))}</title><style>{STYLE}{_PAGE}</style></head>"
        f"<body>{_content(report)}</body></html>\n"
    )


def fragment(report: Summary) -> str:
    """Return the report for a notebook: one element with its own style."""
    return f"<style>{STYLE}</style>{_content(report)}"


def _content(report: Summary) -> str:
    figures = report.facts
    out = [
        '<div class="dnsnb-report"><header>',
        f"<h1>{_text(report.title)}</h1>",
        f'<p class="when">{_text(figures.span() or "no times")}</p>',
        f'<p class="lead">{_text(lead(figures))}</p></header>',
        '<ul class="tiles">',
    ]
    for value, name, below in tiles(figures, report.parts.get("When")):
        out.append(f"<li><span>{_text(name)}</span><b>{_text(value)}</b><span>{_text(below)}</span></li>")
    out.append("</ul>")
    out.append(_wrong(report.findings))
    parts = dict(report.parts)
    if (when := parts.pop("When", None)) is not None:
        out.append(_section("When", _drawing(when, 980), _SAYS["When"]))
    if (fast := parts.pop("How fast", None)) is not None and len(fast):
        speed = _section("How fast", table(fast.head(_ROWS), bar="p95", inner="p50"), fast.read_as)
    else:
        speed = ""
    for number, pair in enumerate(_BESIDE):
        if number == 1:
            out.append(speed)
        made = [_part(name, parts.pop(name)) for name in pair if name in parts]
        if made:
            out.append(f'<div class="two">{"".join(made)}</div>')
    out += [_part(name, part) for name, part in parts.items()]
    if report.notes:
        notes = "".join(f"<li>{_text(note)}</li>" for note in report.notes)
        out.append(f'<section><h2>About this log</h2><ul class="notes">{notes}</ul></section>')
    out.append('<p class="by">Made by dnsnb.</p></div>')
    return "".join(out)


def _wrong(findings: list[Finding]) -> str:
    if not findings:
        return _section("What looks wrong", '<p class="fine">Nothing that is looked for here was found.</p>')
    out = []
    for number, finding in enumerate(findings):
        evidence = ""
        if len(finding.evidence):
            opened = " open" if number < _OPEN else ""
            rows = "1 row" if len(finding.evidence) == 1 else f"{len(finding.evidence)} rows"
            evidence = f"<details{opened}><summary>Evidence, {rows}</summary>{table(finding.evidence)}</details>"
        out.append(
            f'<article class="finding {escape(finding.level, quote=True)}">'
            f'<h3><span class="level">{_text(finding.level)}</span>{_text(finding.title)}</h3>'
            f"<p>{_text(finding.text)}</p>{evidence}</article>"
        )
    return _section("What looks wrong", "".join(out), f"{len(findings)}, the gravest first")


def _part(name: str, part: Result) -> str:
    if name == "From memory":
        return _section(name, _drawing(part, 470), _SAYS[name])
    bar = next((c for c in ("count", "queries") if c in part.columns), None)
    shown = part.reset_index() if part.index.name else part
    return _section(name, table(pd.DataFrame(shown).head(_ROWS), bar=bar), _SAYS.get(name, part.read_as))


def _section(title: str, content: str, says: str = "") -> str:
    note = f"<small>{_text(says)}</small>" if says else ""
    return f"<section><h2>{_text(title)}{note}</h2>{content or '<p>Nothing.</p>'}</section>"


def _drawing(part: Result, width: int) -> str:
    """Draw without the line on top: the section says it already."""
    if not len(part):
        return ""
    return result(pd.DataFrame(part), "", "", part.attrs["chart"]).chart(width).svg


def table(frame: pd.DataFrame, bar: str | None = None, inner: str | None = None) -> str:
    """Return a frame as a table; with `bar` the first column carries meters of that column's size, `inner` within."""
    if frame.empty:
        return "<p>Nothing.</p>"
    plain = pd.DataFrame(frame).dropna(axis="columns", how="all")
    most = float(plain[bar].max()) if bar in plain.columns else 0.0
    numbers = {name for name in plain.columns if pd.api.types.is_numeric_dtype(plain[name].dtype)}
    head = "".join(
        f'<th class="{"n" if name in numbers else ""}">{_text(str(name).replace("_", " "))}</th>' for name in plain
    )
    rows = []
    for number in range(len(plain)):
        cells = []
        for place, name in enumerate(plain.columns):
            value = plain[name].iloc[number]
            shown = _text(cell(str(name), value))
            kind = "n" if name in numbers else "t" if isinstance(value, pd.Timestamp) or len(shown) <= _SHORT else ""
            if place == 0 and most > 0 and bar is not None:
                parts = [plain[c].iloc[number] for c in (bar, inner) if c in plain.columns]
                sizes = [0.0 if pd.isna(part) else 100 * float(part) / most for part in parts]
                meters = "".join(f'<i style="width:{size:.1f}%"></i>' for size in sizes)
                shown = f'<span class="name">{shown}</span><span class="meter">{meters}</span>'
            cells.append(f'<td class="{kind}">{shown}</td>' if kind else f"<td>{shown}</td>")
        rows.append(f"<tr>{''.join(cells)}</tr>")
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def _text(value: Any) -> str:
    return escape(printable(str(value)))
