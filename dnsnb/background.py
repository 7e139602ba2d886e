"""One asyncio loop in a daemon thread, so that a notebook's own loop stays free. Knows nothing of DNS."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
import weakref
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

if TYPE_CHECKING:
    from anyio.from_thread import BlockingPortal

T = TypeVar("T")
STOP_SECONDS = 2.0  # what does not let itself be cancelled is left to the process's end


class BackgroundLoop:
    """An asyncio loop in a daemon thread (an anyio portal); `close()` stops it, and so does the process's end.

    Only asyncio is used: aiohttp knows no other loop. RuntimeError when used after `close()` or in a forked child.
    """

    def __init__(self, name: str = "dnsnb") -> None:
        self.name = name
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._closed = False
        # not anyio's start_blocking_portal: left open, its generator waits for its thread as the interpreter ends
        ready: Future[BlockingPortal] = Future()
        self._thread = threading.Thread(target=_run, args=[ready], name=name, daemon=True)
        self._thread.start()
        self._portal = ready.result()
        atexit.register(_close_at_exit, weakref.ref(self))

    @property
    def closed(self) -> bool:
        """True after `close()`, and in a child that was forked from the owner: threads don't cross a fork."""
        return self._closed or os.getpid() != self._pid

    @property
    def here(self) -> bool:
        """Whether this is the loop's own thread, which must not wait for itself."""
        return threading.current_thread() is self._thread

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
            self._portal.start_task_soon(self._portal.stop, True)
        except RuntimeError:
            pass  # the loop has ended already
        self._thread.join(STOP_SECONDS)

    def _open(self) -> BlockingPortal:
        if self.closed:
            raise RuntimeError(f"the background loop {self.name!r} is closed")
        return self._portal

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<background loop {self.name!r}, {'closed' if self.closed else 'running'}>"


def _run(ready: Future[BlockingPortal]) -> None:
    import anyio
    from anyio.from_thread import BlockingPortal

    async def serve() -> None:
        async with BlockingPortal() as portal:
            ready.set_result(portal)
            await portal.sleep_until_stopped()

    try:
        anyio.run(serve)
    except BaseException as error:
        if ready.done():
            raise
        ready.set_exception(error)


def _close_at_exit(reference: weakref.ref[BackgroundLoop]) -> None:
    loop = reference()
    if loop is not None:
        loop.close()


async def in_thread(function: Callable[..., T], *args: Any) -> T:
    """Run what blocks in a worker thread; while the interpreter ends there are none, and it runs here."""
    try:
        return await asyncio.to_thread(function, *args)
    except RuntimeError as error:
        if "shutdown" not in str(error):
            raise
    return function(*args)
