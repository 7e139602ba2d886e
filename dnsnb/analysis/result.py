"""What an analysis gives: a tidy frame that says how it is to be read, and draws itself."""

from __future__ import annotations

import re
import shutil
import textwrap
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

import pandas as pd

from dnsnb.analysis.svg import Chart, bars, lines, paired, raster, sankey, stacked
from dnsnb.analysis.wording import printable

_MOST = 60  #: bars that a drawing has at most; the table has them all


class Result(pd.DataFrame):
    """A frame with `attrs`: `analysis`, `params`, `read_as` (one line), and how `plot` draws it.

    What is derived of it (a slice, a sort) is a plain DataFrame again, save a copy.
    """

    @property
    def _constructor(self) -> Any:
        return pd.DataFrame

    @property
    def read_as(self) -> str:
        """One line that says how to read it."""
        return str(self.attrs.get("read_as", ""))

    def drawn(self) -> Result:
        """The result that a drawing shows: itself, unless a kind of result has a table made for that."""
        return self

    def plot(self, *, width: int = 640, backend: str | None = None) -> Any:  # type: ignore[override]
        """Draw it: matplotlib's Axes where the extra `plot` is installed, else a `Chart` that displays as SVG.

        `backend` "svg" or "matplotlib" chooses; `width` is the SVG's, in pixels.
        """
        if backend not in (None, "svg", "matplotlib"):
            raise ValueError(f"backend: {backend!r}: must be 'svg', 'matplotlib' or None")
        drawing = self.attrs.get("chart")
        if not drawing:
            raise ValueError(f"{self.attrs.get('analysis', 'this result')} has no plot: it is read as a table")
        if drawing["kind"] == "sankey":
            if backend == "matplotlib":
                raise ValueError("backend: 'matplotlib': a Sankey diagram is drawn as SVG alone")
            return self.chart(width)
        if backend != "svg":
            try:
                return _matplotlib(self.drawn())
            except ImportError:
                if backend == "matplotlib":
                    raise ImportError("matplotlib is not installed; install it by: pip install 'dnsnb[plot]'") from None
        return self.chart(width)

    def chart(self, width: int = 640) -> Chart:
        """Draw it as SVG, with nothing but the standard library."""
        return _svg(self.drawn(), width)

    def __repr__(self) -> str:
        """Every column, beside each other as far as the terminal goes, the rest below; nothing moves the cursor."""
        plain = _to_the_second(self)
        width = shutil.get_terminal_size(fallback=(100, 24)).columns
        with pd.option_context("display.max_columns", None, "display.width", width, "display.max_colwidth", 90):
            table = repr(plain) if len(plain) else ""
        return "\n".join(map(printable, f"{self.read_as}\n{table}".strip("\n").split("\n")))

    def _repr_html_(self) -> str:
        with pd.option_context("display.max_columns", None, "display.max_colwidth", 200):
            table = _to_the_second(self)._repr_html_() or ""  # type: ignore[operator]
        table = re.sub(r"<td>([^<]{40,})</td>", r'<td style="min-width:20em;text-align:left">\1</td>', table)
        note = f'<div style="opacity:.75;font-size:90%">{escape(self.read_as)}</div>' if self.read_as else ""
        return f"{note}{table}"


def result(
    frame: pd.DataFrame, analysis: str, read_as: str, chart: dict[str, Any] | None = None, **params: Any
) -> Result:
    """Return a frame as a `Result`; of an empty one `read_as` says that there is nothing, where it has no number."""
    if not len(frame) and not read_as[:1].isdigit() and not read_as.startswith("no"):
        read_as = f"nothing found: {read_as}"
    n = params.get("n")
    if n is not None and n < 0:  # head(-2) would leave out the last two without a word
        raise ValueError(f"n: {n!r}: must not be negative")
    made = Result(frame)
    made.attrs = {"analysis": analysis, "params": params, "read_as": read_as, "chart": chart}
    return made


def _to_the_second(frame: pd.DataFrame) -> pd.DataFrame:
    """Return it as it is shown: times without fractions, a third of the width."""
    plain = pd.DataFrame(frame)
    times = plain.select_dtypes(["datetimetz"]).columns
    return plain.assign(**{str(name): plain[name].dt.strftime("%Y-%m-%d %H:%M:%S") for name in times})


def _svg(frame: Result, width: int) -> Chart:
    drawing, title = frame.attrs["chart"], frame.read_as
    if drawing["kind"] == "bars":
        return bars(*_bars(frame), title=_titled(frame), width=width)
    if drawing["kind"] == "paired":
        names = [_label(frame, row, drawing["name"]) for row in range(len(frame))]
        series = {str(c): [None if pd.isna(v) else float(v) for v in frame[c]] for c in drawing["series"]}
        return paired(names, series, title=title, width=width, unit=drawing.get("unit", ""))
    if drawing["kind"] == "sankey":
        flows = [tuple(row) for row in frame[["stage", "source", "target", "count"]].itertuples(index=False)]
        return sankey(flows, drawing["stages"], title=title, width=width)
    if drawing["kind"] == "raster":
        rows = drawing["series"]
        return raster(list(rows), list(rows.values()), marks=drawing.get("marks", ()), title=title, width=width)
    series = {
        str(c): [None if pd.isna(v) else float(v) for v in frame[c]] for c in drawing["series"] or list(frame.columns)
    }
    xs = [str(x) for x in _times(frame, drawing.get("x"))]
    maker = stacked if drawing["kind"] == "stacked" else lines
    return maker(xs, series, title=title, width=width, unit=drawing.get("unit", ""))


def _bars(frame: Result) -> tuple[list[str], list[float]]:
    drawing = frame.attrs["chart"]
    some = range(min(len(frame), _MOST))
    return [_label(frame, row, drawing["name"]) for row in some], [float(frame[drawing["value"]].iloc[r]) for r in some]


def _titled(frame: Result) -> str:
    more = f" (the first {_MOST} of {len(frame):,})"
    return frame.read_as + (more if frame.attrs["chart"]["kind"] == "bars" and len(frame) > _MOST else "")


def _label(frame: pd.DataFrame, row: int, names: str | Sequence[str]) -> str:
    columns = [names] if isinstance(names, str) else names
    values = (frame[c].iloc[row] for c in columns)
    told = [v for v in values if len(columns) == 1 or not pd.isna(v)]
    return " ".join(f"{v:%m-%d %H:%M}" if isinstance(v, pd.Timestamp) else str(v) for v in told)


def _times(frame: pd.DataFrame, column: str | None) -> list[Any]:
    values = frame.index if column is None else frame[column]
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        span = values.max() - values.min() if len(values) else pd.Timedelta(0)
        shape = "%H:%M:%S" if span < pd.Timedelta("1h") else "%H:%M" if span <= pd.Timedelta("1D") else "%m-%d %H:%M"
        return [t.strftime(shape) for t in values]
    return list(values)


def _matplotlib(frame: Result) -> Any:
    from matplotlib import pyplot

    drawing = frame.attrs["chart"]

    plain = pd.DataFrame(frame)
    names, values = _bars(frame) if drawing["kind"] == "bars" else ([], [])
    lanes = len(names) if names else 2 * len(frame) if drawing["kind"] == "paired" else 0
    _, axes = pyplot.subplots(figsize=(8, max(3.2, 0.8 + 0.2 * lanes)))
    if drawing["kind"] == "bars":
        axes.barh(range(len(names)), values[::-1], color="#0072B2")
        axes.set_yticks(range(len(names)), _plain(names[::-1]))
    elif drawing["kind"] == "paired":
        names = [_label(frame, row, drawing["name"]) for row in range(len(frame))][::-1]
        for number, column in enumerate(drawing["series"]):
            at = [place - 0.36 * number for place in range(len(names))]
            axes.barh(at, plain[column].astype(float).tolist()[::-1], height=0.34, label=_plain([column])[0])
        axes.set_yticks(range(len(names)), _plain(names))
        axes.legend(loc="lower right", fontsize="small", frameon=False)
        axes.set_xlabel(drawing.get("unit", ""))
    elif drawing["kind"] == "raster":
        rows = drawing["series"]
        for number, values in enumerate(rows.values()):
            axes.plot(values, [number] * len(values), "|", color="#0072B2", markersize=9, alpha=0.35)
        axes.set_yticks(range(len(rows)), _plain(rows))
        marks = drawing.get("marks", ())
        axes.set_xticks([mark for mark, _ in marks], [label for _, label in marks])
        axes.invert_yaxis()
    else:
        columns = drawing["series"] or list(frame.columns)
        xs = plain.index if drawing.get("x") is None else plain[drawing["x"]]
        if drawing["kind"] == "stacked":
            axes.stackplot(xs, *(plain[c] for c in columns), labels=_plain(columns))
        else:
            for column in columns:
                axes.plot(xs, plain[column], label=_plain([column])[0])
        axes.legend(loc="upper left", fontsize="small", frameon=False)
        axes.set_ylabel(drawing.get("unit", ""))
    axes.set_title(textwrap.fill(_plain([_titled(frame)])[0], 100), fontsize="small", loc="left")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.figure.tight_layout()
    return axes


def _plain(names: Iterable[Any]) -> list[str]:
    """Return names as matplotlib shows them as they are: what stands between two dollars is mathematics to it."""
    return [str(name).replace("$", r"\$") for name in names]
