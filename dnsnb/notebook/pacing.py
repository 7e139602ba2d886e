"""When a view may be sent a frame: by what it acknowledged, whether anybody sees it, and the process's whole budget.

Pure decisions, the time is passed in; no threads, no widgets.
"""

from __future__ import annotations

INTERVAL = 0.1  # seconds between frames of the whole process: Jupyter drops comm messages above 1,000/s in silence
IN_FLIGHT = 2  # frames sent and not yet drawn
OVERDUE = 1.0  # seconds without an answer after which a view gets one frame a second
SILENT = 120.0  # seconds without an answer after which it gets none: a closed laptop must not fill the server's memory


class Pace:
    """The flow control of one view."""

    def __init__(self) -> None:
        self.opened = False  # whether a browser ever said hello
        self.visible = False
        self.sent = 0
        self.acked = 0
        self.sent_at = -1e9
        self.waiting_since: float | None = None  # when the oldest frame without an answer left

    def shown(self, now: float) -> None:
        """The view was displayed: until a browser says hello, which a busy kernel delays, it gets a frame a second."""
        if not self.opened and self.waiting_since is None:
            self.visible = True
            self.waiting_since = now

    def hello(self, visible: bool) -> None:
        """A browser opened the view, or came back to it: what was in flight is forgotten."""
        self.opened = True
        self.visible = visible
        self.acked = self.sent
        self.waiting_since = None

    def ack(self, now: float, number: int, visible: bool) -> None:
        """The browser drew frame `number`."""
        self.visible = visible
        self.acked = max(self.acked, min(number, self.sent))
        self.waiting_since = None if self.acked == self.sent else now

    def due(self, now: float) -> bool:
        """Whether a frame may be sent now."""
        if not self.visible or now - self.sent_at < INTERVAL:
            return False
        if self.opened and self.sent - self.acked < IN_FLIGHT:
            return True
        late = self._late(now)
        return OVERDUE <= late < SILENT and now - self.sent_at >= OVERDUE

    def silent(self, now: float) -> bool:
        """Whether nobody has answered for so long that nothing at all is sent, the snapshot included."""
        return self._late(now) >= SILENT

    def sending(self, now: float) -> int:
        """Note a frame as sent and return its number."""
        self.sent += 1
        self.sent_at = now
        if self.waiting_since is None:
            self.waiting_since = now
        return self.sent

    def _late(self, now: float) -> float:
        return 0.0 if self.waiting_since is None else now - self.waiting_since


class Budget:
    """At most one frame per `INTERVAL` for all views together."""

    def __init__(self) -> None:
        self._last = -1e9

    def take(self, now: float) -> bool:
        """Take this interval's frame, if it is still there."""
        if now - self._last < INTERVAL - 0.001:
            return False
        self._last = now
        return True
