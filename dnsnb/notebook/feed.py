"""From the event stream to the views of a session: the newest rows, each channel's state, frames when they are due.

One thread serves all views of the process and writes all their traits; widget callbacks only put messages in its inbox.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from dnsnb import schema
from dnsnb.errors import CommandError, DnsnbError
from dnsnb.notebook.frames_out import encode, tail
from dnsnb.notebook.pacing import Budget, Pace
from dnsnb.notebook.rates import Rates

log = logging.getLogger(__name__)

KEEP_ROWS = 20_000  # newest rows held for views that open or fall behind
FRAME_ROWS = 4_000  # most rows in one frame; older ones are counted and told
SNAPSHOT_ROWS = 40
SNAPSHOT_EVERY = 1.0
_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})
_STATES = ("dns/status", "dns/info", "dns/log/", "dns/cache/", "dns/blacklist/", "dns/whitelist/")


class View(Protocol):
    """What the feed needs of a widget."""

    pace: Pace
    cursor: int

    def send(self, content: Any, buffers: list[bytes] | None = None) -> None: ...
    def keep_snapshot(self, snapshot: dict[str, Any]) -> None: ...


class Feed:
    """Rows and states of one session. `changed` is called, from any thread, when there is something new."""

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
        sse = session.client.sse
        self._subscriptions = [sse.subscribe(channel, self._on_state) for channel in _STATES]
        self._subscriptions.append(sse.subscribe("dns/log/event", self._on_rows))
        self._watch = sse.on_connection_change(self._on_connection)
        if sse.is_connected:
            self.connection = {"state": "open", "reason": ""}
        self._seed()

    def _seed(self) -> None:
        """Begin with what the session's frame holds; rows that came by the stream meanwhile are not taken twice."""
        frame = self.session.frame
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
        count = len(columns.get("time") or [])
        with self._lock:
            self.dropped += data.get("dropped") or 0
            if count:
                self._batches.append((self._rows, columns))
                self._rows += count
                self._held += count
                self.rates.add(columns)
                while len(self._batches) > 1 and self._held - len(self._batches[0][1]["time"]) >= KEEP_ROWS:
                    self._held -= len(self._batches.popleft()[1]["time"])
            self._snapshot_dirty = True
        self._changed()

    def _on_state(self, event: Any) -> None:
        with self._lock:
            self.dirty.add(event.type)
            self._snapshot_dirty = True
        self._changed()

    def _states(self, names: Iterable[str] = _STATES) -> dict[str, Any]:
        """What the stream says of these channels now, deltas applied."""
        found = ((name, self.session.client.sse.current(name)) for name in names)
        return {name: data for name, data in found if data is not None}

    def _on_connection(self, state: str, reason: str = "") -> None:
        with self._lock:
            self.connection = {"state": str(state), "reason": str(reason or "")}
            self.dirty.add("connection")
        self._changed()

    def open(self, view: View) -> None:
        """Serve a view from now on."""
        view.cursor = -1
        self.views.append(view)
        self._snapshot_dirty = True
        self._snapshot_at = -1e9

    def serve(self, now: float, budget: Budget) -> float | None:
        """Send what is due; return the seconds until there may be more, None when only an event can change that."""
        wait: float | None = None
        with self._lock:
            dirty, self.dirty = self.dirty, set()
        for view in self.views:
            if dirty:
                view_dirty(view).update(dirty)
            behind = view.cursor < self._rows or bool(view_dirty(view))
            if not behind or not view.pace.visible:
                continue
            if view.pace.due(now) and budget.take(now):
                self._frame(view, now)
            if view.cursor < self._rows or view_dirty(view) or view.pace.waiting_since is not None:
                wait = 0.05
        if self.views:
            self.views.append(self.views.pop(0))  # in turn
        if self._snapshot_dirty and any(not v.pace.silent(now) for v in self.views):
            left = self._snapshot_at + SNAPSHOT_EVERY - now
            if left <= 0:
                self._snapshot_at = now
                self._snapshot_dirty = False
                snapshot = self.snapshot()
                for view in self.views:
                    if not view.pace.silent(now):
                        view.keep_snapshot(snapshot)
            else:
                wait = left if wait is None else min(wait, left)
        return wait

    def _frame(self, view: View, now: float) -> None:
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
        head["columns"], buffers = encode(columns)
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
                "rows": {k: v for k, v in columns.items() if any(x is not None for x in v)},
                "totals": self.rates.recent(300),
            }

    def close(self) -> None:
        """Leave the stream."""
        for subscription in self._subscriptions:
            subscription.close()
        closer = getattr(self._watch, "close", self._watch)
        if callable(closer):
            closer()


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


class ViewLoop:
    """The thread that serves all views of the process; it lives while there is a view."""

    def __init__(self) -> None:
        self._inbox: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._feeds: list[Feed] = []
        self._budget = Budget()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._woken = False
        self._pool = ThreadPoolExecutor(4, thread_name_prefix="dnsnb-view-command")

    def attach(self, session: Any, view: View) -> Feed:
        """Begin to feed a view; views of one session share a feed."""
        with self._lock:
            feed = next((f for f in self._feeds if f.session is session), None)
        if feed is None:
            feed = Feed(session, self.wake)
            with self._lock:
                self._feeds.append(feed)
        found = feed
        self.call(lambda: found.open(view))
        with self._lock:
            self._ensure()
        return feed

    def detach(self, feed: Feed, view: View) -> None:
        """Feed a view no more; the feed goes with its last view."""

        def leave() -> None:
            if view in feed.views:
                feed.views.remove(view)
            if not feed.views and feed in self._feeds:
                with self._lock:
                    self._feeds.remove(feed)
                feed.close()

        self.call(leave)

    def call(self, action: Callable[[], None]) -> None:
        """Run something in the loop's thread."""
        self._inbox.put(action)

    def wake(self) -> None:
        """Look soon whether something is due."""
        if not self._woken:
            self._woken = True
            self._inbox.put(None)

    def command(self, feed: Feed, view: View, message: dict[str, Any]) -> None:
        """Carry out a browser's request in a worker thread and send it the answer."""
        self.work(lambda: _carry_out(feed.session, view, message))

    def set_trait(self, widget: Any, name: str, value: Any) -> None:
        """Set a widget's trait in the loop's thread, which is the only one that sets any."""
        with self._lock:
            self._inbox.put(lambda: setattr(widget, name, value))
            self._ensure()

    def _ensure(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="dnsnb-views", daemon=True)
            self._thread.start()

    def work(self, action: Callable[[], None]) -> None:
        """Run something that may take its time in a worker thread."""
        with contextlib.suppress(RuntimeError):  # the interpreter is going down
            self._pool.submit(action)

    def _run(self) -> None:
        wait: float | None = None
        while True:
            try:
                action = self._inbox.get(timeout=wait)
                self._woken = False
                if action is not None:
                    action()
            except queue.Empty:
                pass
            except Exception:
                log.exception("a view's message failed")
            wait = None
            now = time.monotonic()
            for feed in list(self._feeds):
                try:
                    again = feed.serve(now, self._budget)
                except Exception:
                    log.exception("a view could not be served")
                    again = 1.0
                if again is not None:
                    wait = again if wait is None else min(wait, again)
            with self._lock:
                if not self._feeds and self._inbox.empty():
                    self._thread = None
                    return


def _carry_out(session: Any, view: View, message: dict[str, Any]) -> None:
    reply: dict[str, Any] = {"t": "reply", "id": message.get("id")}
    try:
        method, path = str(message.get("method")), str(message.get("path"))
        if method not in _METHODS or not path.startswith("/api/") or "/sse/stream" in path:
            raise CommandError(400, "bad_request", f"{method} {path}: not a command of the view")
        reply["value"] = session.client.request(method, path, message.get("body"))
    except CommandError as error:
        reply["error"] = {
            "message": str(error),
            "code": error.code,
            "setting": error.setting,
            "status": error.status,
        }
    except DnsnbError as error:
        reply["error"] = {"message": str(error), "code": type(error).__name__}
    except Exception as error:
        log.exception("a view's command failed")
        reply["error"] = {"message": f"{type(error).__name__}: {error}", "code": "internal"}
    view.send(reply)


def loop() -> ViewLoop:
    """Return the process's one view loop: the message limit that it keeps is the process's too."""
    return _LOOP


_LOOP = ViewLoop()
