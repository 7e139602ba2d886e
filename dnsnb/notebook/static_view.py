"""The view where nothing runs: plain HTML with an inline SVG, and a few lines of text, from a snapshot.

For exports, GitHub and terminals. All names in it are hostile and are escaped here; no script, no outside resource.
"""

from __future__ import annotations

import html
import re
from datetime import datetime
from typing import Any

from dnsnb import schema

COLOURS = {
    "forwarded": "#0072B2",
    "cached": "#56B4E9",
    "stale": "#A6CEE3",
    "local": "#009E73",
    "blocked": "#D55E00",
    "limited": "#E69F00",
    "refused": "#999999",
    "failed": "#CC79A7",
    "unknown": "#BBBBBB",
}
_TRICKS = re.compile(
    "[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff\ufff9-\ufffc]"
)
_WIDE, _TALL = 600, 70


def plain(value: object) -> str:
    """Return a text from the network with what would be invisible, reorder the line or drive a terminal spelled out."""
    return "" if value is None else _TRICKS.sub(lambda m: f"\\u{ord(m.group()):04x}", str(value))


def escape(value: object) -> str:
    """Return a text from the network as it may stand in HTML, SVG or an attribute."""
    return html.escape(plain(value), quote=True).replace("{", "&#123;").replace("}", "&#125;")


def as_html(snapshot: dict[str, Any], rows: int = 20) -> str:
    """Return the snapshot as HTML that needs nothing: state, numbers, chart, newest rows."""
    status = _status(snapshot)
    cell = "padding:1px 10px 1px 0;text-align:left;white-space:nowrap"
    parts = [
        '<div class="dnsnb-static" style="font:13px/1.45 system-ui,sans-serif">',
        f"<p><b>{escape(_word(status))}</b> {escape(status.get('dns'))} · {escape(' · '.join(_numbers(snapshot)))}</p>",
        as_svg(snapshot),
    ]
    newest = _rows(snapshot)[:rows]
    if newest:
        heads = ("time (UTC)", "client", "name", "type", "status", "list · rule", "latency", "answer")
        parts.append('<table style="border-collapse:collapse;font-size:12px"><thead><tr>')
        parts += [f'<th scope="col" style="{cell}">{h}</th>' for h in heads]
        parts.append("</tr></thead><tbody>")
        for row in newest:
            parts.append("<tr>")
            parts += [f'<td style="{cell}">{escape(_cut(text))}</td>' for text in row]
            parts.append("</tr>")
        parts.append("</tbody></table>")
    else:
        parts.append("<p>No queries yet.</p>")
    parts.append("</div>")
    return "".join(parts)


def words(snapshot: dict[str, Any]) -> str:
    """Return the snapshot's numbers as one line of Markdown without markup from the network."""
    status = _status(snapshot)
    return f"**{_word(status)}** `{plain(status.get('dns')).replace('`', '')}` · {' · '.join(_numbers(snapshot))}"


def as_text(snapshot: dict[str, Any]) -> str:
    """Return the snapshot in two lines of text."""
    status = _status(snapshot)
    return f"dnsnb: {_word(status)} {plain(status.get('dns'))}\n{' · '.join(_numbers(snapshot))}".strip()


def as_svg(snapshot: dict[str, Any]) -> str:
    """Return queries over the last minutes as bars stacked by status."""
    pack = next(iter(snapshot.get("rates") or []), None)
    if not pack or not pack["at"]:
        return ""
    newest = max(pack["at"])
    span, bars = 300, 60
    step = span // bars
    start = newest - span + 1
    stacks = [[0] * len(schema.STATUSES) for _ in range(bars)]
    for second, counts in zip(pack["at"], pack["counts"], strict=True):
        bar = (second - start) // step
        if 0 <= bar < bars:
            stacks[bar] = [a + int(b) for a, b in zip(stacks[bar], counts, strict=True)]
    most = max((sum(s) for s in stacks), default=0) or 1
    wide = _WIDE / bars
    shapes = []
    for bar, stack in enumerate(stacks):
        y = float(_TALL)
        for status, n in zip(schema.STATUSES, stack, strict=True):
            if n:
                tall = n / most * _TALL
                y -= tall
                shapes.append(
                    f'<rect x="{bar * wide:.1f}" y="{y:.1f}" width="{wide - 1:.1f}" height="{tall:.1f}" '
                    f'fill="{COLOURS[status]}"/>'
                )
    total = sum(map(sum, stacks))
    return (
        f'<svg role="img" aria-label="{total} queries in five minutes, by status" width="{_WIDE}" height="{_TALL}" '
        f'viewBox="0 0 {_WIDE} {_TALL}" style="max-width:100%">{"".join(shapes)}</svg>'
    )


def _status(snapshot: dict[str, Any]) -> dict[str, Any]:
    return (snapshot.get("channels") or {}).get("dns/status") or {}


def _word(status: dict[str, Any]) -> str:
    return ("running" if status.get("running") else "stopped") if status else "not connected"


def _numbers(snapshot: dict[str, Any]) -> list[str]:
    totals = snapshot.get("totals") or {}
    count = totals.get("count") or 0
    if not count:
        return ["no queries in the last five minutes"]
    statuses = totals["statuses"]
    found = [f"{count:,} queries in the last five minutes"]
    found += [f"{name} {100 * statuses[name] / count:.0f} %" for name in schema.STATUSES if statuses.get(name)]
    if totals.get("p95") is not None:
        found.append(f"p95 {totals['p95']:.3g} ms")
    return found


def _rows(snapshot: dict[str, Any]) -> list[tuple[str, ...]]:
    columns = snapshot.get("rows") or {}
    count = len(columns.get("time") or [])

    def at(name: str, i: int) -> Any:
        values = columns.get(name)
        return values[i] if values else None

    found: list[tuple[str, ...]] = []
    for i in range(count - 1, -1, -1):
        latency = at("latency_ms", i)
        found.append(
            (
                _utc(columns["time"][i]),
                at("client_name", i) or at("client", i) or "",
                at("qname", i) or "",
                at("qtype", i) or "",
                at("status", i) or "",
                " · ".join(filter(None, (at("list", i), at("rule", i)))),
                "" if latency is None else f"{latency:.3g} ms",
                ", ".join(at("answers", i) or []) or (at("rcode", i) or ""),
            )
        )
    return found


def _utc(us: int) -> str:
    from datetime import UTC

    return datetime.fromtimestamp(us / 1e6, UTC).strftime("%H:%M:%S.%f")[:-3]


def _cut(text: str, most: int = 64) -> str:
    return text if len(text) <= most else f"{text[: most // 3]}…{text[-(most - most // 3 - 1) :]}"
