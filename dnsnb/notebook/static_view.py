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
_WIDE, _TALL, _LEFT, _BARS = 760, 84, 64, 60  # px of the chart, its left margin, and how many bars it has


def plain(value: object) -> str:
    """Return a text from the network with what would be invisible, reorder the line or drive a terminal spelled out."""
    return "" if value is None else _TRICKS.sub(lambda m: f"\\u{ord(m.group()):04x}", str(value))


def escape(value: object) -> str:
    """Return a text from the network as it may stand in HTML, SVG or an attribute."""
    return html.escape(plain(value), quote=True).replace("{", "&#123;").replace("}", "&#125;")


def as_html(snapshot: dict[str, Any], rows: int = 20) -> str:
    """Return the snapshot as HTML that needs nothing: state, numbers, chart, newest rows."""
    cell = "padding:1px 12px 1px 0;text-align:left;white-space:nowrap"
    numbers = " · ".join(map(_coloured, _numbers(snapshot)))
    parts = [
        '<div class="dnsnb-static" style="font:13px/1.45 system-ui,sans-serif">',
        f'<p style="margin:4px 0 8px"><b>{escape(_word(snapshot))}</b> {escape(_where(snapshot))} · {numbers}</p>',
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
            parts += [
                f'<td style="{cell}">{_coloured(text) if i == 4 else escape(_cut(text, 44 if i == 7 else 64))}</td>'
                for i, text in enumerate(row)
            ]
            parts.append("</tr>")
        parts.append("</tbody></table>")
    else:
        parts.append("<p>No queries yet.</p>")
    parts.append("</div>")
    return "".join(parts)


def _coloured(text: str) -> str:
    """A text, with its status' mark before it if it begins with one."""
    colour = COLOURS.get(text.split(" ", 1)[0])
    mark = f'<span style="color:{colour}">&#9632;</span> ' if colour else ""
    return mark + escape(text)


def words(snapshot: dict[str, Any]) -> str:
    """Return the snapshot's numbers as one line of Markdown without markup from the network."""
    return f"**{_word(snapshot)}** `{plain(_where(snapshot)).replace('`', '')}` · {' · '.join(_numbers(snapshot))}"


def as_text(snapshot: dict[str, Any]) -> str:
    """Return the snapshot in two lines of text."""
    return f"dnsnb: {_word(snapshot)} {plain(_where(snapshot))}\n{' · '.join(_numbers(snapshot))}".strip()


def as_svg(snapshot: dict[str, Any]) -> str:
    """Return queries over the last minutes as bars stacked by status; the scale is queries a second, times are UTC."""
    pack = next(iter(snapshot.get("rates") or []), None)
    if not pack or not pack["at"]:
        return ""
    newest = max(pack["at"])
    span = next((s for s in (60, 120) if newest - min(pack["at"]) < s), 300)  # a young log fills the width
    step = span // _BARS
    start = newest - span + 1
    stacks = [[0] * len(schema.STATUSES) for _ in range(_BARS)]
    for second, counts in zip(pack["at"], pack["counts"], strict=True):
        bar = (second - start) // step
        if 0 <= bar < _BARS:
            stacks[bar] = [a + int(b) for a, b in zip(stacks[bar], counts, strict=True)]
    most = max((sum(s) for s in stacks), default=0) or 1
    rate = most / step
    wide = (_WIDE - _LEFT) / _BARS
    shapes = [
        f'<line x1="{_LEFT}" x2="{_WIDE}" y1="{y}" y2="{y}" stroke="currentColor" stroke-opacity="0.2"/>'
        for y in (0.5, _TALL + 0.5)
    ]
    for bar, stack in enumerate(stacks):
        y = float(_TALL)
        for status, n in zip(schema.STATUSES, stack, strict=True):
            if n:
                tall = n / most * _TALL
                y -= tall
                shapes.append(
                    f'<rect x="{_LEFT + bar * wide:.1f}" y="{y:.1f}" width="{wide - 1:.1f}" height="{tall:.1f}" '
                    f'fill="{COLOURS[status]}"/>'
                )
    labels = [
        (_LEFT - 6, 10, "end", f"{rate:,.0f} q/s" if rate >= 10 else f"{rate:.2g} q/s"),
        (_LEFT - 6, _TALL, "end", "0"),
    ]
    labels += [(_LEFT, _TALL + 16, "start", _utc(start * 1e6)[:8]), (_WIDE, _TALL + 16, "end", _utc(newest * 1e6)[:8])]
    shapes += [
        f'<text x="{x}" y="{y}" text-anchor="{anchor}" fill="currentColor" opacity="0.7" font-size="11">{text}</text>'
        for x, y, anchor, text in labels
    ]
    total = sum(map(sum, stacks))
    return (
        f'<svg role="img" aria-label="{total} queries in {span // 60} minutes, by status" width="{_WIDE}" '
        f'height="{_TALL + 22}" viewBox="0 0 {_WIDE} {_TALL + 22}" font-family="sans-serif" style="max-width:100%">'
        f"{''.join(shapes)}</svg>"
    )


def _status(snapshot: dict[str, Any]) -> dict[str, Any]:
    return (snapshot.get("channels") or {}).get("dns/status") or {}


def _where(snapshot: dict[str, Any]) -> Any:
    """The address that answers, or the log that is followed."""
    return _status(snapshot).get("dns") or snapshot.get("about")


def _word(snapshot: dict[str, Any]) -> str:
    if (snapshot.get("connection") or {}).get("state") == "closed":
        return "closed"
    if "about" in snapshot:
        return "following"
    status = _status(snapshot)
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
                "" if latency is None else "<0.1 ms" if latency < 0.1 else f"{latency:.3g} ms",
                ", ".join(at("answers", i) or []) or (at("rcode", i) or ""),
            )
        )
    return found


def _utc(us: float) -> str:
    from datetime import UTC

    return datetime.fromtimestamp(us / 1e6, UTC).strftime("%H:%M:%S.%f")[:-3]


def _cut(text: str, most: int = 64) -> str:
    return text if len(text) <= most else f"{text[: most // 3]}…{text[-(most - most // 3 - 1) :]}"
