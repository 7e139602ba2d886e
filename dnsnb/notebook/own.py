"""A panel of one's own: a function of the frame, drawn again when rows have come.

    def slow(frame):
        return frame[frame["latency_ms"] > 100][["time", "qname", "latency_ms"]].tail(8)

    session.panel(slow)

What it returns is shown as a notebook would: its HTML if it has some (a frame, a styled table, a result of
`frame.dns`), else its text. Knows the view loop and the static view.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import ipywidgets

from dnsnb.notebook.static_view import escape
from dnsnb.notebook.viewloop import loop


class OwnPanel(ipywidgets.HTML):
    """What `draw(frame)` returns, drawn again at most once in `every` seconds and only after a change.

    It is called in a worker thread, never twice at a time; what it raises is shown in its place.
    """

    _watch: Any = None

    def __init__(self, session: Any, draw: Callable[[Any], Any], *, every: float = 1.0) -> None:
        super().__init__()
        self.add_class("jp-RenderedHTMLCommon")  # tables look as in Jupyter's own outputs, light and dark
        self._session = session
        self._draw_frame = draw
        self._every = every
        self._busy = threading.Lock()
        self._again = threading.Event()
        self._watch = session.live.on_change(self._changed)
        self._changed()

    def _changed(self) -> None:
        self._again.set()
        if self._busy.acquire(blocking=False):
            loop().work(self._draw)

    def _draw(self) -> None:
        try:
            while self._again.is_set() and self._watch is not None:
                self._again.clear()
                began = time.monotonic()
                shown = self._html()
                loop().set_trait(self, "value", shown)
                time.sleep(max(0.0, self._every - (time.monotonic() - began)))
        finally:
            self._busy.release()
        if self._again.is_set():
            self._changed()

    def _html(self) -> str:
        try:
            result = self._draw_frame(self._session.frame)
            html = getattr(result, "_repr_html_", None)
            found = html() if callable(html) else None
            return (
                found
                if isinstance(found, str)
                else "<pre>" + "\n".join(map(escape, str(result).splitlines())) + "</pre>"
            )
        except Exception as error:
            return f"<pre>{escape(type(error).__name__)}: {escape(error)}</pre>"

    def finish(self) -> None:
        """Draw it once more and then never again; it stays where it is."""
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.close()
            loop().set_trait(self, "value", self._html())
            loop().keep(self)

    def close(self) -> None:
        """Take the panel away and draw it no more."""
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.close()
        super().close()
