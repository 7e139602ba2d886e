"""An event of the stream; events on their way to a reader in another loop, bounded by a named policy. No network."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

Policy = Literal["drop_oldest", "latest", "block"]


@dataclass(frozen=True, slots=True)
class Event:
    """One message of the stream: channel, data, time of sending (ms since the epoch), id, whether it is a test."""

    type: str
    data: Any
    timestamp: int = 0
    id: str = ""
    test: bool = False


class EventBuffer:
    """Events on their way from the client's loop to a reader's loop, bounded by a policy.

    With `block` nothing is dropped: while the buffer is `full` who puts should wait, and `on_room` is called (in the
    reader's thread) when there is room again.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        limit: int,
        policy: Policy,
        on_room: Callable[[], None] = lambda: None,
    ) -> None:
        if policy not in ("drop_oldest", "latest", "block"):
            raise ValueError(f"policy: {policy!r} is none of drop_oldest, latest, block")
        self._loop = loop
        self._limit = limit
        self._policy = policy
        self._events: deque[Event] = deque()
        self._lock = threading.Lock()
        self._on_room = on_room
        self._ready = asyncio.Event()
        self._closed = False
        self.dropped: int = 0

    @property
    def full(self) -> bool:
        """Whether a buffer that drops nothing has reached its limit."""
        open_ = not self._closed and not self._loop.is_closed()
        return self._policy == "block" and open_ and len(self._events) >= self._limit

    def put(self, event: Event) -> None:
        with self._lock:
            if self._closed:
                return
            if self._policy == "latest":
                kept = [e for e in self._events if e.type != event.type]
                self.dropped += len(self._events) - len(kept)
                self._events = deque(kept)
            elif self._policy == "drop_oldest" and len(self._events) >= self._limit:
                self._events.popleft()
                self.dropped += 1
            self._events.append(event)
        try:
            self._loop.call_soon_threadsafe(self._ready.set)
        except RuntimeError:
            self._closed = True  # the reader's loop is gone

    async def get(self) -> Event:
        while True:
            with self._lock:
                event = self._events.popleft() if self._events else None
                if event is None:
                    self._ready.clear()
            if event is not None:
                if self._policy == "block":
                    self._on_room()
                return event
            await self._ready.wait()

    def close(self) -> None:
        self._closed = True
        self._on_room()
