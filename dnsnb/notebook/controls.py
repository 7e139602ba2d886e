"""The server's controls as plain ipywidgets, to be used as they are or put together anew.

Knows the session's commands and the view loop: a value that a person changes is a command, run in a worker thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import ipywidgets

from dnsnb.errors import CommandError, DnsnbError
from dnsnb.notebook.dashboard import Dashboard
from dnsnb.notebook.static_view import escape
from dnsnb.notebook.viewloop import loop

BLOCK_MODES = [
    ("0.0.0.0 and ::", "null"),
    ("NXDOMAIN", "nxdomain"),
    ("no data", "nodata"),
    ("REFUSED", "refused"),
    ("addresses of its own", "address"),
]
PAUSES = [("in force", 0), ("pause 1 minute", 60), ("pause 5 minutes", 300), ("pause half an hour", 1800)]
PAUSED = -1  # the value of `pause` while lists rest
_WIDE = {"description_width": "100px"}


class Controls(ipywidgets.VBox):
    """Start and stop, block mode, pause and upstreams as ipywidgets, with the lists, cache, records and look-up below.

    `running` (True, False), `block_mode`, `pause` (0: lists are in force, -1: they rest; seconds begin a pause) and
    `upstreams` (a text with spaces) are widgets whose `value` is what the server does: it follows the server, whoever
    changed it, and setting it is a command. What a command failed with stands in `said`, and the value goes back.
    `more` is a `Dashboard` with the rest.

        own = session.controls()
        ipywidgets.HBox([own.running, own.pause])
    """

    def __init__(self, session: Any) -> None:
        self.session = session
        self.running = ipywidgets.ToggleButtons(
            options=[("Running", True), ("Stopped", False)], style={"button_width": "90px"}
        )
        self.block_mode = ipywidgets.Dropdown(options=BLOCK_MODES, description="Blocked names", style=_WIDE)
        self.pause = ipywidgets.Dropdown(options=PAUSES, value=0, description="Lists are", style=_WIDE)
        self.upstreams = ipywidgets.Text(
            description="Upstreams", continuous_update=False, style=_WIDE, layout={"width": "auto", "flex": "1 1 300px"}
        )
        self.said = ipywidgets.HTML()
        self.more = Dashboard(session, panels=["controls"])
        self._alone: Dashboard | None = None
        self._showing: int | None = None  # the thread that sets values because the server says so
        self._stale = threading.Event()
        self._busy = threading.Lock()
        self._fields: dict[str, tuple[Any, Callable[[Any], Any]]] = {
            "running": (self.running, lambda on: session.start() if on else session.stop()),
            "block_mode": (self.block_mode, lambda mode: session.configure(block_mode=mode)),
            "pause": (self.pause, self._set_pause),
            "upstreams": (self.upstreams, lambda text: session.configure(upstreams=text.replace(",", " ").split())),
        }
        for name, (widget, _) in self._fields.items():
            widget.observe(lambda change, name=name: self._changed(name, change["new"]), "value")
        wrap = ipywidgets.Layout(flex_flow="row wrap", align_items="center")
        super().__init__(
            [
                ipywidgets.HBox([self.running, self.block_mode, self.pause], layout=wrap),
                ipywidgets.HBox([self.upstreams]),
                self.said,
                self.more,
            ]
        )
        sse = session.client.sse
        self._subscriptions = [sse.subscribe(channel, self._told) for channel in ("dns/status", "dns/info")]
        self._refresh()

    def _set_pause(self, seconds: int) -> Any:
        return self.session.policy.pause(seconds) if seconds > 0 else self.session.policy.resume()

    def _changed(self, name: str, value: Any) -> None:
        """A value is another: because the server is, or because somebody wants it so."""
        if self._showing != threading.get_ident() and self._subscriptions:
            loop().work(lambda: self._command(name, value))

    def _command(self, name: str, value: Any) -> None:
        said = ""
        try:
            self._fields[name][1](value)
        except DnsnbError as error:
            said = f'<span style="color:var(--jp-error-color1,#a33c00)">{escape(error)}</span>'
        loop().set_trait(self.said, "value", said)
        self._refresh()

    def _told(self, event: Any) -> None:
        if event.type == "dns/status" or "change" in event.data:
            self._refresh()

    def _refresh(self) -> None:
        """Ask the server how it stands, in a worker thread, once for many changes."""
        self._stale.set()
        if self._busy.acquire(blocking=False):
            loop().work(self._ask)

    def _ask(self) -> None:
        try:
            while self._stale.is_set() and self._subscriptions:
                self._stale.clear()
                try:
                    found = self._state()
                except DnsnbError as error:
                    loop().set_trait(self.said, "value", escape(error))
                else:
                    loop().call(lambda found=found: self._show(**found))  # type: ignore[misc]
        finally:
            self._busy.release()
        if self._stale.is_set() and self._subscriptions:
            self._refresh()

    def _state(self) -> dict[str, Any]:
        try:
            config = self.session.config
        except CommandError as error:
            if error.status != 403:
                raise
            config = {}  # settings are for another role
        pauses = self.session.client.request("GET", "/api/dns/pause")["paused"]
        return {
            "running": bool(self.session.status["running"]),
            "until": next((pause["until"] for pause in pauses if not pause["client"]), None),
            "config": config,
        }

    def _show(self, running: bool, until: int | None, config: dict[str, Any]) -> None:
        """Set the values, in the view loop's thread, without taking them for commands."""
        self._showing = threading.get_ident()
        try:
            self.running.value = running
            at = "" if until is None else f" until {datetime.fromtimestamp(until / 1000, UTC).astimezone():%H:%M:%S}"
            options = PAUSES if until is None else [("paused" + at, PAUSED), *PAUSES]
            if list(self.pause.options) != options:
                self.pause.options = options
            self.pause.value = 0 if until is None else PAUSED
            self.block_mode.disabled = self.upstreams.disabled = not config
            if config:
                self.block_mode.value = config["block_mode"]
                self.upstreams.value = " ".join(config["upstreams"])
        finally:
            self._showing = None

    def _display_(self) -> Any:
        """What marimo shows, which knows anywidgets alone: the same commands in the view's own look."""
        if self._alone is None:
            self._alone = Dashboard(self.session, panels=["status", "controls"])
        return self._alone

    def finish(self) -> None:
        """Leave the controls where they are, as they were last, and out of use."""
        self._leave()
        for widget, _ in self._fields.values():
            loop().set_trait(widget, "disabled", True)
        for view in (self.more, self._alone):
            if view is not None:
                view.finish()
        loop().keep(self)

    def close(self) -> None:
        """Take the controls away."""
        self._leave()
        for view in (self.more, self._alone):
            if view is not None:
                view.close()
        super().close()

    def _leave(self) -> None:
        subscriptions, self._subscriptions = self._subscriptions, []
        for subscription in subscriptions:
            subscription.close()
