"""Charts as SVG text with nothing but the standard library; they take on the page's own text colour, light or dark.

All text is escaped: names are hostile.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape

#: The status colours of every view; other series take the rest in turn.
STATUS_COLOURS = {
    "forwarded": "#0072B2",
    "cached": "#56B4E9",
    "stale": "#A6CEE3",
    "local": "#009E73",
    "blocked": "#D55E00",
    "limited": "#E69F00",
    "refused": "#999999",
    "failed": "#CC79A7",
}
_SERIES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#999999", "#8C6BB1", "#74A13C", "#B15928")
_MOST_POINTS = 600
# inline, not by a style sheet: that of an inline SVG would be the whole page's
_FIGURES = 'opacity=".75" style="font-variant-numeric:tabular-nums"'


class Chart:
    """An SVG drawing that a notebook displays; `svg` is its text."""

    def __init__(self, svg: str) -> None:
        self.svg = svg

    def _repr_html_(self) -> str:
        return self.svg

    def __str__(self) -> str:
        return self.svg

    def __repr__(self) -> str:
        return f"<chart, {len(self.svg)} characters of SVG>"


def bars(names: Sequence[str], values: Sequence[float], *, title: str = "", width: int = 640) -> Chart:
    """Return horizontal bars, each with its name and value."""
    row, top = 20, 26 if title else 6
    left = _room(names, width)
    most = max((v for v in values if math.isfinite(v)), default=0) or 1
    height = top + row * max(len(names), 1) + 6
    parts = []
    for number, (name, value) in enumerate(zip(names, values, strict=True)):
        y = top + row * number
        length = max(0.0, value / most if math.isfinite(value) else 0) * (width - left - 70)
        parts.append(
            f'<text x="{left - 6:.0f}" y="{y + 14}" text-anchor="end">{escape(_cut(name))}'
            f"<title>{escape(name)}</title></text>"
            f'<rect x="{left:.0f}" y="{y + 4}" width="{length:.1f}" height="{row - 7}" rx="1.5" fill="{_SERIES[0]}"/>'
            f'<text x="{left + length + 5:.1f}" y="{y + 14}" {_FIGURES}>{_number(value)}</text>'
        )
    if not names:
        parts.append(f'<text x="8" y="{top + 14}" opacity=".7">nothing to show</text>')
    return _drawing(width, height, title, parts)


def paired(
    names: Sequence[str],
    series: Mapping[str, Sequence[float | None]],
    *,
    title: str = "",
    width: int = 640,
    unit: str = "",
) -> Chart:
    """Return horizontal bars in groups: under each name one of each series, to be held against each other."""
    thick, top = 11, 46 if title else 28
    group = thick * len(series) + 9
    left = _room(names, width)
    values = [v for row in series.values() for v in row if v is not None and math.isfinite(v)]
    most = max(values, default=0) or 1
    parts = [_legend(list(series), left, top - 10, width - left - 100)]
    if unit:
        parts.append(f'<text x="{width - 8}" y="{top - 10}" text-anchor="end" opacity=".6">{escape(unit)}</text>')
    for number, name in enumerate(names):
        y = top + group * number
        middle = y + thick * len(series) / 2 + 4
        parts.append(
            f'<text x="{left - 6:.0f}" y="{middle:.1f}" text-anchor="end">{escape(_cut(name))}'
            f"<title>{escape(name)}</title></text>"
        )
        for index, row in enumerate(series.values()):
            value, low = row[number], y + thick * index
            length = 0.0 if value is None or not math.isfinite(value) else value / most * (width - left - 70)
            shown = "–" if value is None else _number(value)
            parts.append(
                f'<rect x="{left:.0f}" y="{low}" width="{max(length, 0):.1f}" height="{thick - 2}" '
                f'rx="1.5" fill="{_SERIES[index % len(_SERIES)]}"/>'
                f'<text x="{left + length + 5:.1f}" y="{low + 9}" font-size="10" {_FIGURES}>{shown}</text>'
            )
    if not names:
        parts.append(f'<text x="8" y="{top + 14}" opacity=".7">nothing to show</text>')
    return _drawing(width, top + group * max(len(names), 1) + 4, title, parts)


def raster(
    names: Sequence[str],
    values: Sequence[Sequence[float]],
    *,
    marks: Sequence[tuple[float, str]] = (),
    title: str = "",
    width: int = 640,
) -> Chart:
    """Return a row a name with a tick at each of its values, darker where there are more, on one axis with `marks`."""
    row, top, left = 22, 26 if title else 6, 0.38 * width
    first = min([m for m, _ in marks] + [min(v) for v in values if len(v)], default=0.0)
    last = max([m for m, _ in marks] + [max(v) for v in values if len(v)], default=1.0)
    scale = (width - left - 14) / max(last - first, 1e-9)
    end = top + row * max(len(names), 1)
    parts = [] if names else [f'<text x="8" y="{top + 14}" opacity=".7">nothing to show</text>']
    for mark, label in marks if names else ():
        x = left + (mark - first) * scale
        parts.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{end}" stroke="currentColor" opacity=".15"/>'
            f'<text x="{x:.1f}" y="{end + 13}" text-anchor="middle" {_FIGURES}>{escape(label)}</text>'
        )
    for number, (name, of) in enumerate(zip(names, values, strict=True)):
        y = top + row * number
        parts.append(
            f'<text x="{left - 6:.0f}" y="{y + 15}" text-anchor="end">{escape(_cut(name, 34))}'
            f"<title>{escape(name)}</title></text>"
        )
        # what is nearer than half a pixel is one tick: any number of values stays a small drawing
        places = Counter(round((v - first) * scale * 2) / 2 for v in of)
        most = max(places.values(), default=1)
        for level in (1, 2, 3, 4):
            ticks = sorted(x for x, count in places.items() if math.ceil(4 * count / most) == level)
            if ticks:
                path = "".join(f"M{left + x:.1f} {y + 4}v{row - 8}" for x in ticks)
                parts.append(f'<path d="{path}" stroke="{_SERIES[0]}" stroke-width="1.5" opacity="{level / 4}"/>')
    return _drawing(width, end + 22, title, parts)


def stacked(
    xs: Sequence[str],
    series: Mapping[str, Sequence[float | None]],
    *,
    title: str = "",
    width: int = 640,
    unit: str = "",
) -> Chart:
    """Return bars over `xs`, the series on top of one another."""
    xs, series = _thinned(xs, series, total=True)
    left, bottom, top, plot = 46, 22, 44 if title else 26, 150
    totals = [sum(v[n] or 0 for v in series.values()) for n in range(len(xs))]
    most = _ceiling(max(totals, default=0))
    step = (width - left - 8) / max(len(xs), 1)
    wide = max(step - (0.6 if step > 3 else 0), 0.4)
    parts = _axes(xs, most, left, top, plot, width, step, unit)
    for number in range(len(xs)):
        base = 0.0
        for index, (name, values) in enumerate(series.items()):
            value = values[number] or 0
            if value:
                y = top + plot - (base + value) / most * plot
                parts.append(
                    f'<rect x="{left + step * number:.2f}" y="{y:.2f}" width="{wide:.2f}" '
                    f'height="{value / most * plot:.2f}" fill="{_colour(name, index)}"/>'
                )
            base += value
    parts.append(_legend(list(series), left, 38 if title else 18, width - left - 100))
    return _drawing(width, top + plot + bottom, title, parts)


def lines(
    xs: Sequence[str],
    series: Mapping[str, Sequence[float | None]],
    *,
    title: str = "",
    width: int = 640,
    unit: str = "",
) -> Chart:
    """Return one line a series over `xs`; a missing value is a gap."""
    xs, series = _thinned(xs, series, total=False)
    left, bottom, top, plot = 46, 22, 44 if title else 26, 150
    most = _ceiling(max((v for values in series.values() for v in values if v is not None), default=0))
    step = (width - left - 8) / max(len(xs), 1)
    parts = _axes(xs, most, left, top, plot, width, step, unit)
    for index, (name, values) in enumerate(series.items()):
        run: list[str] = []
        path = []
        for number, value in enumerate(values):
            if value is None or not math.isfinite(value):
                run = []
                continue
            run.append("")
            point = f"{left + step * (number + 0.5):.1f} {top + plot - value / most * plot:.1f}"
            path.append(("M" if len(run) == 1 else "L") + point)
        if path:
            parts.append(f'<path d="{"".join(path)}" fill="none" stroke="{_colour(name, index)}" stroke-width="1.6"/>')
    parts.append(_legend(list(series), left, 38 if title else 18, width - left - 100))
    return _drawing(width, top + plot + bottom, title, parts)


def sankey(
    flows: Sequence[tuple[int, str, str, int]], stages: Sequence[str], *, title: str = "", width: int = 640
) -> Chart:
    """Return ribbons of (stage, source, target, count) between neighbouring stages, the largest nodes on top."""
    total = sum(count for stage, _, _, count in flows if not stage)
    top, gap, bar, reach = 44 if title else 24, 6, 9, 300
    if not total:
        return _drawing(width, top + 24, title, [f'<text x="8" y="{top + 14}" opacity=".7">nothing to show</text>'])
    sizes: list[dict[str, int]] = [{} for _ in stages]
    for stage, source, target, count in flows:
        sizes[stage][source] = sizes[stage].get(source, 0) + count
        if stage + 1 == len(stages) - 1:
            sizes[stage + 1][target] = sizes[stage + 1].get(target, 0) + count
    height = reach + gap * max(len(nodes) for nodes in sizes)
    scale = reach / total
    step = (width - bar) / (len(stages) - 1)
    places: list[dict[str, float]] = []
    parts = []
    for nodes in sizes:
        y = float(top)
        places.append({})
        for name in sorted(nodes, key=lambda node: (-nodes[node], node)):
            places[-1][name] = y
            y += nodes[name] * scale + gap
    leaving = [dict(place) for place in places]
    arriving = [dict(place) for place in places]
    colours = {name: _SERIES[n % len(_SERIES)] for n, name in enumerate(places[0])}
    for stage, source, target, count in sorted(flows, key=lambda f: (f[0], places[f[0]][f[1]], places[f[0] + 1][f[2]])):
        x1, x2, thick = step * stage + bar, step * (stage + 1), count * scale
        y1, y2 = leaving[stage][source], arriving[stage + 1][target]
        leaving[stage][source] += thick
        arriving[stage + 1][target] += thick
        middle = (x1 + x2) / 2
        parts.append(
            f'<path d="M{x1:.1f} {y1:.1f}C{middle:.1f} {y1:.1f} {middle:.1f} {y2:.1f} {x2:.1f} {y2:.1f}'
            f'V{y2 + thick:.1f}C{middle:.1f} {y2 + thick:.1f} {middle:.1f} {y1 + thick:.1f} {x1:.1f} {y1 + thick:.1f}Z"'
            f' fill="{colours.get(source, _SERIES[6])}" opacity=".35">'
            f"<title>{escape(source)} → {escape(target)}: {_number(count)}</title></path>"
        )
    for number, nodes in enumerate(sizes):
        x, last = step * number, number == len(stages) - 1
        at, anchor = (x - 4, "end") if last else (x + bar + 4, "start")
        parts.append(
            f'<text x="{x + bar if last else x:.1f}" y="{top - 8}" text-anchor="{anchor}" opacity=".6">'
            f"{escape(stages[number])}</text>"
        )
        for name, y in places[number].items():
            tall = max(nodes[name] * scale, 0.8)
            parts.append(
                f'<rect x="{x:.1f}" y="{y:.1f}" width="{bar}" height="{tall:.1f}" '
                f'fill="{colours.get(name, _SERIES[6])}"/>'
                f'<text x="{at:.1f}" y="{y + tall / 2 + 4:.1f}" text-anchor="{anchor}">{escape(_cut(name, 26))} '
                f'<tspan opacity=".65">{_number(nodes[name])}</tspan><title>{escape(name)}</title></text>'
            )
    return _drawing(width, top + height + 4, title, parts)


def _drawing(width: int, height: float, title: str, parts: list[str]) -> Chart:
    head = f'<text x="0" y="14" opacity=".75">{escape(title)}</text>' if title else ""
    return Chart(
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{escape(title or "chart", quote=True)}" '
        f'viewBox="0 0 {width} {height:.0f}" width="{width}" style="max-width:100%;height:auto" fill="currentColor" '
        f'font-family="system-ui,sans-serif" font-size="11.5">{head}{"".join(parts)}</svg>'
    )


def _axes(
    xs: Sequence[str], most: float, left: int, top: int, plot: int, width: int, step: float, unit: str
) -> list[str]:
    parts = []
    for share in (0, 0.5, 1):
        y = top + plot * (1 - share)
        parts.append(
            f'<line x1="{left}" x2="{width - 8}" y1="{y:.1f}" y2="{y:.1f}" stroke="currentColor" opacity=".15"/>'
            f'<text x="{left - 5}" y="{y + 4:.1f}" text-anchor="end" {_FIGURES}>{_number(most * share)}</text>'
        )
    if unit:
        parts.append(f'<text x="{width - 8}" y="{top - 6}" text-anchor="end" opacity=".6">{escape(unit)}</text>')
    every = max(1, math.ceil(len(xs) * 74 / max(width - left, 1)))
    for number in _labelled(xs, every):
        x = left + step * (number + 0.5)
        if x + 3.2 * len(xs[number]) > width:  # the picture's edge would cut it
            continue
        parts.append(
            f'<text x="{x:.1f}" y="{top + plot + 15}" text-anchor="middle" {_FIGURES}>{escape(xs[number])}</text>'
        )
    return parts


def _labelled(xs: Sequence[str], every: int) -> list[int]:
    """Return which points are labelled, at least `every` apart: round times where there are enough of them."""
    for ends in ((" 00:00",), (":00",), (":00", ":30"), (":00", ":15", ":30", ":45")):
        found: list[int] = []
        for number, x in enumerate(xs):
            if x.endswith(ends) and (not found or number - found[-1] >= every):
                found.append(number)
        if len(found) * every * 2.5 > len(xs) and len(found) > 2:
            return found
    return list(range(0, len(xs), every))


def _legend(names: list[str], x: float, y: float, room: float) -> str:
    """Return the names with their colours in one line, cut so that they all fit into so many pixels."""
    names = names[: len(_SERIES)]
    most = 24
    while most > 5 and sum(24 + 6.4 * min(len(name), most) for name in names) > room:
        most -= 1
    parts = []
    for index, name in enumerate(names):
        shown = _cut(name, most)
        parts.append(
            f'<rect x="{x:.0f}" y="{y - 8}" width="8" height="8" rx="1.5" fill="{_colour(name, index)}"/>'
            f'<text x="{x + 12:.0f}" y="{y}">{escape(shown)}<title>{escape(name)}</title></text>'
        )
        x += 24 + 6.4 * len(shown)
    return "".join(parts)


def _thinned(
    xs: Sequence[str], series: Mapping[str, Sequence[float | None]], *, total: bool
) -> tuple[Sequence[str], Mapping[str, Sequence[float | None]]]:
    """Fold neighbours together when there are more points than pixels: sums of counts, else the largest."""
    if len(xs) <= _MOST_POINTS:
        return xs, series
    size = math.ceil(len(xs) / _MOST_POINTS)
    folded: dict[str, list[float | None]] = {}
    for name, values in series.items():
        groups = [[v for v in values[n : n + size] if v is not None] for n in range(0, len(values), size)]
        folded[name] = [(sum(g) if total else max(g)) if g else None for g in groups]
    return xs[::size], folded


def _colour(name: str, index: int) -> str:
    return STATUS_COLOURS.get(name) or _SERIES[index % len(_SERIES)]


def _room(names: Sequence[str], width: int) -> float:
    """Return how much the names want to the left of the bars; capitals are wider than the rest."""
    widest = max((sum(8.8 if c.isupper() else 6.6 for c in _cut(name)) for name in names), default=0.0)
    return min(0.42 * width, 12 + widest)


def _cut(text: str, most: int = 44) -> str:
    safe = "".join(c if c.isprintable() else "�" for c in text)
    half = (most - 1) // 2
    return safe if len(safe) <= most else f"{safe[:half]}…{safe[-half:]}"


def _ceiling(value: float) -> float:
    """The next round number, so that the axis reads well."""
    if value <= 0 or not math.isfinite(value):
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= value - 1e-12)


def _number(value: float) -> str:
    if not math.isfinite(value):
        return "–"
    if value == int(value):
        return f"{int(value):,}"
    return f"{value:,.1f}" if abs(value) >= 10 else f"{value:.3g}"
