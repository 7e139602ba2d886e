"""One thread serves all views of the process and writes all their traits; widget callbacks only fill its inbox.

Knows the feed; carries out the commands of a browser in worker threads.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from dnsnb.errors import CommandError, DnsnbError
from dnsnb.notebook.feed import Feed, View
from dnsnb.notebook.pacing import Budget

log = logging.getLogger(__name__)

FINISHED = 64  # views of closed sessions that stay on screen; older ones are taken away
_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})


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
        self._finished: deque[Any] = deque()

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

    def finish(self, feed: Feed, view: View) -> None:
        """Feed a view no more, but leave it on the screen as it was last drawn."""
        done = threading.Event()

        def last() -> None:
            try:
                if view in feed.views:
                    feed.finish(view)
            finally:
                done.set()

        self.call(last)
        self.detach(feed, view)
        if threading.current_thread() is not self._thread:
            done.wait(1.0)
        self.keep(view)

    def keep(self, widget: Any) -> None:
        """Let a widget that nobody feeds stay on screen until too many do: ipywidgets holds each for ever."""
        with self._lock:
            self._finished.append(widget)
            over = [self._finished.popleft() for _ in range(len(self._finished) - FINISHED)]
        for old in over:
            old.close()

    def call(self, action: Callable[[], None]) -> None:
        """Run something in the loop's thread."""
        with self._lock:
            self._inbox.put(action)
            self._ensure()

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
        self.call(lambda: setattr(widget, name, value))

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
            feeds = list(self._feeds)
            self._send_frame(feeds, now)
            for feed in feeds:
                try:
                    again = feed.serve(now)
                except Exception:
                    log.exception("a view could not be served")
                    again = 1.0
                if again is not None:
                    wait = again if wait is None else min(wait, again)
            with self._lock:
                if not self._feeds and self._inbox.empty():
                    self._thread = None
                    return

    def _send_frame(self, feeds: list[Feed], now: float) -> None:
        """Send this interval's frame, if it is still there, to the view of any session that waits for one longest."""
        due = [(view.pace.sent_at, number, view) for number, feed in enumerate(feeds) for view in feed.due(now)]
        if not due or not self._budget.take(now):
            return
        _, number, view = min(due, key=lambda found: found[0])
        try:
            feeds[number].frame(view, now)
        except Exception:
            log.exception("a view could not be served")
            view.pace.sending(now)  # the others have their turn before it is tried again


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
