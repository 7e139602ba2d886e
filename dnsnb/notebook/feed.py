"""From the event stream to the views of a session: the newest rows, each channel's state, frames when they are due.

Served by `viewloop`, in its one thread; no widgets.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from dnsnb import schema
from dnsnb.notebook.frames_out import encode, tail, with_domains
from dnsnb.notebook.pacing import Pace
from dnsnb.notebook.rates import Rates

KEEP_ROWS = 20_000  # newest rows held for views that open or fall behind
KEEP_CLOSED = 5_000  # of a session that is closed, for a browser that comes to its views later
FRAME_ROWS = 4_000  # most rows in one frame; older ones are counted and told
SNAPSHOT_ROWS = 40
SNAPSHOT_EVERY = 1.0
ENDED = "the session is closed"  # static/view.js knows these words by the state `closed`
_STATES = ("dns/status", "dns/info", "dns/log/", "dns/cache/", "dns/blacklist/", "dns/whitelist/")


class View(Protocol):
    """What the feed needs of a widget."""

    pace: Pace
    cursor: int

    def send(self, content: Any, buffers: list[bytes] | None = None) -> None: ...
    def keep_snapshot(self, snapshot: dict[str, Any]) -> None: ...
    def close(self) -> None: ...


class Feed:
    """Rows and states of one session. `changed` is called, from any thread, when there is something new.

    A session with a `client` is fed by its event stream. One without only has rows: it, or its `live`, passes them on
    as `LiveFrame` and what `dnsnb.follow` gives do, and its views offer no commands.
    """

    def __init__(self, session: Any, changed: Callable[[], None]) -> None:
        self.session = session
        self.epoch = secrets.token_hex(8)
        self.rates = Rates()
        self.connection: dict[str, str] = {"state": "connecting", "reason": ""}
        self.dirty: set[str] = set()  # channels that changed since the last frame
        self.dropped = 0
        self.views: list[View] = []
        self._changed = changed
        self._lock = threading.Lock()
        self._batches: deque[tuple[int, schema.Columns]] = deque()  # (rows before it, columns)
        self._rows = 0  # rows ever taken in
        self._held = 0
        self._snapshot_at = -1e9
        self._snapshot_dirty = True
        self._frozen: dict[str, Any] | None = None  # the last states, once the session is closed
        self._sse = session.client.sse if commands_of(session) else None
        if self._sse is None:
            self.connection = {"state": "open", "reason": ""}
            self._subscriptions: list[Any] = [getattr(session, "live", session).pass_on(_Rows(self))]
            return
        self._subscriptions = [self._sse.subscribe(channel, self._on_state) for channel in _STATES]
        self._subscriptions.append(self._sse.subscribe("dns/log/event", self._on_rows))
        self._subscriptions.append(self._sse.on_connection_change(self._on_connection))
        if self._sse.is_connected:
            self.connection = {"state": "open", "reason": ""}
        self.seed(session.frame)

    def seed(self, frame: Any) -> None:
        """Begin with the rows of a frame; those that came by the stream meanwhile are not taken twice."""
        with self._lock:
            first = min((min(c["id"]) for _, c in self._batches if c.get("id")), default=None)
            if first is not None:
                frame = frame[(frame["id"] < first).fillna(True).astype(bool)]
            self.rates.add_frame(frame)
            columns = tail(frame, KEEP_ROWS)
            count = len(columns.get("time") or [])
            if count:
                self._batches = deque([(0, columns), *((before + count, c) for before, c in self._batches)])
                self._rows += count
                self._held += count

    def _on_rows(self, event: Any) -> None:
        data = event.data
        columns = data.get("columns") or {k: [v] for k, v in data.items() if k in schema.NAMES}
        self.take(columns, data.get("dropped") or 0)

    def take(self, columns: schema.Columns, dropped: int = 0) -> None:
        """Take in a batch of rows, in whatever thread it came."""
        count = len(columns.get("time") or [])
        with self._lock:
            self.dropped += dropped
            if count:
                self._batches.append((self._rows, columns))
                self._rows += count
                self._held += count
                self.rates.add(columns)
                self._trim(KEEP_ROWS)
            self._snapshot_dirty = True
        self._changed()

    def _trim(self, rows: int) -> None:
        while len(self._batches) > 1 and self._held - len(self._batches[0][1]["time"]) >= rows:
            self._held -= len(self._batches.popleft()[1]["time"])

    def _on_state(self, event: Any) -> None:
        with self._lock:
            self.dirty.add(event.type)
            self._snapshot_dirty = True
        self._changed()

    def _states(self, names: Iterable[str] = _STATES) -> dict[str, Any]:
        """What the stream says of these channels now, deltas applied."""
        if self._frozen is not None:
            return {name: self._frozen[name] for name in names if name in self._frozen}
        if self._sse is None:
            return {}
        found = ((name, self._sse.current(name)) for name in names)
        return {name: data for name, data in found if data is not None}

    def _on_connection(self, state: str, reason: str = "") -> None:
        with self._lock:
            self.connection = {"state": str(state), "reason": str(reason or "")}
            self.dirty.add("connection")
        self._changed()

    def finish(self, view: View) -> None:
        """Send a view its last rows, and that nothing follows."""
        if self._frozen is None:
            self._frozen = self._states()
            with self._lock:
                self._trim(KEEP_CLOSED)
        self.connection = {"state": "closed", "reason": ENDED}
        view_dirty(view).add("connection")
        if view.pace.opened:
            self.frame(view, time.monotonic())
        view.keep_snapshot(self.snapshot())

    def open(self, view: View) -> None:
        """Serve a view from now on."""
        view.cursor = -1
        self.views.append(view)
        self._snapshot_dirty = True
        self._snapshot_at = -1e9

    def due(self, now: float) -> list[View]:
        """Return the views that lack something and may be sent a frame."""
        with self._lock:
            dirty, self.dirty = self.dirty, set()
        if dirty:
            for view in self.views:
                view_dirty(view).update(dirty)
        return [view for view in self.views if self._behind(view) and view.pace.due(now)]

    def _behind(self, view: View) -> bool:
        return view.cursor < self._rows or bool(view_dirty(view))

    def serve(self, now: float) -> float | None:
        """Keep the snapshot; return the seconds until there may be more to do, None when only an event changes that."""
        wait = 0.05 if any(view.pace.visible and self._behind(view) for view in self.views) else None
        if self._snapshot_dirty and any(not v.pace.silent(now) for v in self.views):
            left = self._snapshot_at + SNAPSHOT_EVERY - now
            if left <= 0:
                self._snapshot_at = now
                self._snapshot_dirty = False
                snapshot = self.snapshot()
                for view in self.views:
                    if not view.pace.silent(now):
                        view.keep_snapshot(snapshot)
                self._snapshot_at = time.monotonic()  # a second from when it was there, not from when it was begun
            else:
                wait = left if wait is None else min(wait, left)
        return wait

    def frame(self, view: View, now: float) -> None:
        """Send a view what it doesn't have yet, at once."""
        with self._lock:
            oldest = self._batches[0][0] if self._batches else self._rows
            whole = view.cursor < oldest
            start = oldest if whole else view.cursor
            columns, count = _join([(b, c) for b, c in self._batches], start)
            view.cursor = self._rows
            head: dict[str, Any] = {"t": "frame", "epoch": self.epoch, "whole": whole, "fresh": not whole}
            if whole:
                head["rates"] = [self.rates.pack(1), self.rates.pack(60)]
                head["channels"] = self._states()
                head["connection"] = self.connection
            else:
                wanted = view_dirty(view)
                head["channels"] = self._states(wanted - {"connection"})
                if "connection" in wanted:
                    head["connection"] = self.connection
            view_dirty(view).clear()
        if not whole and count > FRAME_ROWS:
            over = count - FRAME_ROWS
            extra = Rates()
            extra.add({k: v[:over] for k, v in columns.items()})
            head["rates"] = [extra.pack(1) | {"add": True}]
            head["lost"] = over
            columns = {k: v[over:] for k, v in columns.items()}
            count = FRAME_ROWS
        head["columns"], buffers = encode(with_domains(columns))
        head["count"] = count
        head["seq"] = view.pace.sending(now)
        view.send(head, buffers)

    def snapshot(self) -> dict[str, Any]:
        """Return what paints a view alone, small: states, five minutes of rates, the newest rows by column."""
        with self._lock:
            columns, _ = _join(list(self._batches)[-8:], max(0, self._rows - SNAPSHOT_ROWS))
            channels = {
                name: ({**data, "entries": data["entries"][:50]} if isinstance(data.get("entries"), list) else data)
                for name, data in self._states().items()
            }
            return {
                "epoch": self.epoch,
                "channels": channels,
                "connection": self.connection,
                "rates": [self.rates.pack(1, 300)],
                "rows": {k: v for k, v in with_domains(columns).items() if any(x is not None for x in v)},
                "totals": self.rates.recent(300),
            } | ({} if self._sse else {"about": str(getattr(self.session, "about", ""))})

    def close(self) -> None:
        """Leave the stream."""
        for subscription in self._subscriptions:
            closer = getattr(subscription, "close", subscription)
            if callable(closer):
                closer()


class _Rows:
    """A sink for `LiveFrame.pass_on`: what is there, then each batch."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed

    def update(self, frame: Any) -> None:
        self._feed.seed(frame)

    def extend(self, columns: Any) -> None:
        self._feed.take({name: _plain_list(values) for name, values in columns.items()})


def _plain_list(values: Any) -> Any:
    """A column as the stream gives it: Arrow's become lists, times among them µs since the epoch."""
    if not hasattr(values, "to_pylist"):
        return values
    return (values.cast("int64") if str(values.type).startswith("timestamp") else values).to_pylist()


def commands_of(session: Any) -> bool:
    """Whether there is a server behind a session that takes commands."""
    return getattr(session, "client", None) is not None


def view_dirty(view: Any) -> set[str]:
    """Return the channels that a view hasn't been told of yet."""
    found: set[str] = view.__dict__.setdefault("_dirty_channels", set())
    return found


def _join(batches: list[tuple[int, schema.Columns]], start: int) -> tuple[schema.Columns, int]:
    """Return the rows from number `start` on, as one batch."""
    parts: list[tuple[schema.Columns, int]] = []
    for before, columns in batches:
        rows = len(columns["time"])
        skip = max(0, start - before)
        if skip < rows:
            part = {k: v[skip:] for k, v in columns.items()} if skip else columns
            parts.append((part, rows - skip))
    if len(parts) == 1:
        return parts[0]
    names = dict.fromkeys(name for columns, _ in parts for name in columns)
    joined: schema.Columns = {name: [] for name in names}
    for columns, rows in parts:
        for name in names:
            joined[name].extend(columns.get(name) or [None] * rows)
    return joined, sum(rows for _, rows in parts)
