"""An event of the stream; events on their way to a reader in another loop, bounded by a named policy. No network."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
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
    """Events on their way from the client's loop to a reader's loop, bounded by a policy."""

    def __init__(self, loop: asyncio.AbstractEventLoop, limit: int, policy: Policy) -> None:
        if policy not in ("drop_oldest", "latest", "block"):
            raise ValueError(f"policy: {policy!r} is none of drop_oldest, latest, block")
        self._loop = loop
        self._limit = limit
        self._policy = policy
        self._events: deque[Event] = deque()
        self._lock = threading.Lock()
        self._room = threading.Semaphore(limit)
        self._ready = asyncio.Event()
        self._closed = False
        self.dropped = 0

    def put(self, event: Event) -> None:
        if self._policy == "block":
            while not self._room.acquire(timeout=0.5):
                if self._closed or self._loop.is_closed():
                    return
        with self._lock:
            if self._closed:
                return
            if self._policy == "latest":
                kept = [e for e in self._events if e.type != event.type]
                self.dropped += len(self._events) - len(kept)
                self._events = deque(kept)
            elif len(self._events) >= self._limit:
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
                if self._events:
                    if self._policy == "block":
                        self._room.release()
                    return self._events.popleft()
                self._ready.clear()
            await self._ready.wait()

    def close(self) -> None:
        self._closed = True
        self._room.release()
