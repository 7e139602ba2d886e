"""What an analysis gives: a tidy frame that says how it is to be read, and draws itself."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from html import escape
from typing import Any

import pandas as pd

from dnsnb.analysis.svg import Chart, bars, lines, paired, raster, sankey, stacked
from dnsnb.analysis.wording import printable


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
        plain = pd.DataFrame(self)
        times = plain.select_dtypes(["datetimetz"]).columns
        plain = plain.assign(**{str(name): plain[name].dt.strftime("%Y-%m-%d %H:%M:%S") for name in times})
        width = shutil.get_terminal_size(fallback=(100, 24)).columns
        with pd.option_context("display.max_columns", None, "display.width", width, "display.max_colwidth", 90):
            table = repr(plain) if len(plain) else ""
        return "\n".join(map(printable, f"{self.read_as}\n{table}".strip("\n").split("\n")))

    def _repr_html_(self) -> str:
        with pd.option_context("display.max_columns", None, "display.max_colwidth", 200):
            table = pd.DataFrame(self)._repr_html_() or ""  # type: ignore[operator]
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


def _svg(frame: Result, width: int) -> Chart:
    drawing, title = frame.attrs["chart"], frame.read_as
    if drawing["kind"] == "bars":
        names = [_label(frame, row, drawing["name"]) for row in range(len(frame))]
        return bars(names, [float(v) for v in frame[drawing["value"]]], title=title, width=width)
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


def _label(frame: pd.DataFrame, row: int, names: str | Sequence[str]) -> str:
    columns = [names] if isinstance(names, str) else names
    values = (frame[c].iloc[row] for c in columns)
    return " ".join(f"{v:%m-%d %H:%M}" if isinstance(v, pd.Timestamp) else str(v) for v in values)


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
    _, axes = pyplot.subplots(figsize=(8, 3.2))
    if drawing["kind"] == "bars":
        names = [_label(frame, row, drawing["name"]) for row in range(len(frame))]
        values = [float(v) for v in frame[drawing["value"]]]
        axes.barh(names[::-1], values[::-1], color="#0072B2")
    elif drawing["kind"] == "paired":
        names = [_label(frame, row, drawing["name"]) for row in range(len(frame))][::-1]
        for number, column in enumerate(drawing["series"]):
            at = [place - 0.36 * number for place in range(len(names))]
            axes.barh(at, plain[column].astype(float).tolist()[::-1], height=0.34, label=str(column))
        axes.set_yticks(range(len(names)), names)
        axes.legend(loc="lower right", fontsize="small", frameon=False)
        axes.set_xlabel(drawing.get("unit", ""))
    elif drawing["kind"] == "raster":
        rows = drawing["series"]
        for number, values in enumerate(rows.values()):
            axes.plot(values, [number] * len(values), "|", color="#0072B2", markersize=9, alpha=0.35)
        axes.set_yticks(range(len(rows)), list(rows))
        marks = drawing.get("marks", ())
        axes.set_xticks([mark for mark, _ in marks], [label for _, label in marks])
        axes.invert_yaxis()
    else:
        columns = drawing["series"] or list(frame.columns)
        xs = plain.index if drawing.get("x") is None else plain[drawing["x"]]
        if drawing["kind"] == "stacked":
            axes.stackplot(xs, *(plain[c] for c in columns), labels=[str(c) for c in columns])
        else:
            for column in columns:
                axes.plot(xs, plain[column], label=str(column))
        axes.legend(loc="upper left", fontsize="small", frameon=False)
        axes.set_ylabel(drawing.get("unit", ""))
    axes.set_title(frame.read_as, fontsize="small", loc="left")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.figure.tight_layout()
    return axes
