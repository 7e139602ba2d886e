"""One asyncio loop in a daemon thread, so that a notebook's own loop stays free. Knows nothing of DNS."""

from __future__ import annotations

import os
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from contextlib import ExitStack
from typing import Any, Self, TypeVar, overload

T = TypeVar("T")


class BackgroundLoop:
    """An asyncio loop in a daemon thread (an anyio portal); `close()` stops it, and so does the process's end.

    Only asyncio is used: aiohttp knows no other loop. RuntimeError when used after `close()` or in a forked child.
    """

    def __init__(self, name: str = "dnsnb") -> None:
        from anyio.from_thread import start_blocking_portal

        self.name = name
        self._stack = ExitStack()
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._closed = False
        # not every anyio lets us name the thread, so the loop's own thread is named from inside
        self._portal = self._stack.enter_context(start_blocking_portal("asyncio"))
        self._portal.call(lambda: setattr(threading.current_thread(), "name", name))

    @property
    def closed(self) -> bool:
        """True after `close()`, and in a child that was forked from the owner: threads don't cross a fork."""
        return self._closed or os.getpid() != self._pid

    @overload
    def call(self, function: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> T: ...
    @overload
    def call(self, function: Callable[..., T], *args: Any) -> T: ...
    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run a function or coroutine function in the loop, wait, and return its result or raise its error."""
        return self._open().call(function, *args)

    def start(self, function: Callable[..., Awaitable[T]], *args: Any) -> Future[T]:
        """Start a coroutine function in the loop; cancelling the future cancels the task."""
        future: Future[T] = self._open().start_task_soon(function, *args)
        return future

    def close(self) -> None:
        """Cancel what still runs and end the thread; closing twice, or in a forked child, does nothing."""
        with self._lock:
            if self.closed:
                self._closed = True
                return
            self._closed = True
        try:
            self._portal.call(self._portal.stop, True)
        except RuntimeError:
            pass  # the loop has ended already
        self._stack.close()

    def _open(self) -> Any:
        if self.closed:
            raise RuntimeError(f"the background loop {self.name!r} is closed")
        return self._portal

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<background loop {self.name!r}, {'closed' if self.closed else 'running'}>"
