"""The live dashboard as one anywidget: rows stream to it as binary frames, commands go out through the client.

Knows the feed and the static fallback; callbacks on Jupyter's message thread only enqueue.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import anywidget
import ipywidgets
import traitlets

from dnsnb.notebook.assets import packed, style
from dnsnb.notebook.feed import Feed, commands_of
from dnsnb.notebook.pacing import Pace
from dnsnb.notebook.static_view import as_html, as_text
from dnsnb.notebook.viewloop import loop

PANELS = ("status", "chart", "bars", "table", "controls")
DIMENSIONS = ("client", "domain", "qtype", "status", "upstream", "list")


class Dashboard(anywidget.AnyWidget):
    """The live view of a session.

    `panels` names the parts to show, in the order of `PANELS`; `dimensions` the headers that filter; `height` is the
    table's in pixels. Closing it leaves the session as it is. What has no server offers no commands: a `LiveFrame`,
    what `dnsnb.follow` and `listen` give, or any object whose `live` is one of them.

        dnsnb.Dashboard(dnsnb.follow("/var/log/pihole/pihole.log"))
    """

    _esm = packed("widget.js")
    _css = style()
    _feed: Feed | None = None
    _last: Feed | None = None  # of a session that is closed
    #: what paints the view alone, at most once a second: it survives a reload and goes into exports
    snapshot: Any = traitlets.Dict().tag(sync=True)
    #: the selection made in the view, as plain data; None when all rows are selected
    selection: Any = traitlets.Dict(allow_none=True, default_value=None).tag(sync=True)
    options: Any = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        session: Any,
        *,
        panels: Sequence[str] = PANELS,
        dimensions: Sequence[str] = DIMENSIONS,
        most: int = 6,
        height: int | None = None,
    ) -> None:
        for name in panels:
            if name not in PANELS:
                raise ValueError(f"panels: {name!r} is none of {', '.join(PANELS)}")
        for name in dimensions:
            if name not in DIMENSIONS:
                raise ValueError(f"dimensions: {name!r} is none of {', '.join(DIMENSIONS)}")
        self.session = session
        self.pace: Pace = Pace()
        self.cursor: int = -1
        super().__init__(
            options={
                "panels": list(panels),
                "dimensions": list(dimensions),
                "most": most,
                "height": height,
                "commands": commands_of(session),
                "about": str(getattr(session, "about", "")),
            },
            # in an HBox views share the width; by itself a view would shrink to nothing there
            layout=ipywidgets.Layout(width="100%", min_width="160px", flex="1 1 auto"),
        )
        self.on_msg(self._enqueue)
        self._feed = loop().attach(session, self)

    def _enqueue(self, _widget: Any, content: Any, _buffers: Any) -> None:
        """Take a message on whatever thread the kernel chose: nothing but the loop's inbox is touched here."""
        loop().call(lambda: self._on_message(content))

    def _on_message(self, message: dict[str, Any]) -> None:
        kind = message.get("t")
        if kind == "selected":
            data = message.get("data")
            self.selection = data if isinstance(data, dict) else None
        elif self._feed is None:
            if kind == "hello" and self._last is not None and self._stale(message, self._last):
                self._last.frame(self, time.monotonic())  # the kernel was too busy to let it ask before
        elif kind == "ack":
            self.pace.ack(time.monotonic(), int(message.get("seq") or 0), bool(message.get("visible")))
        elif kind == "hello":
            self._stale(message, self._feed)
            self.pace.hello(bool(message.get("visible")))
        elif kind == "request" and commands_of(self.session):
            loop().command(self._feed, self, message)

    def _stale(self, hello: dict[str, Any], feed: Feed) -> bool:
        """Whether a browser lacks something; then it gets everything anew."""
        stale = hello.get("epoch") != feed.epoch or hello.get("last") != self.pace.sent
        if stale:
            self.cursor = -1
        return stale

    def keep_snapshot(self, snapshot: dict[str, Any]) -> None:
        """Keep what paints the view after a reload or in an export; called from the view loop alone."""
        self.snapshot = snapshot

    def finish(self) -> None:
        """Stop feeding the view and leave it where it is, as last drawn and marked as closed."""
        feed, self._feed = self._feed, None
        if feed is not None:
            self._last = feed
            loop().finish(feed, self)

    def close(self) -> None:
        """Take the view away from all front ends and stop feeding it."""
        feed, self._feed, self._last = self._feed, None, None
        if feed is not None:
            loop().detach(feed, self)
        super().close()

    def __repr__(self) -> str:
        return f"<Dashboard of {self.session!r}>"

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        bundle = super()._repr_mimebundle_(**kwargs)
        loop().call(lambda: self.pace.shown(time.monotonic()))
        feed = self._feed
        snapshot = feed.snapshot() if feed is not None else dict(self.snapshot)
        fallback = {"text/plain": as_text(snapshot), "text/html": as_html(snapshot)}
        if bundle is None:
            return fallback
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        return {**data, **fallback}, metadata
