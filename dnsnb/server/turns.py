"""Shares out the event loop: only so many pieces of work a turn, so that queries are answered between them.

Knows asyncio alone.
"""

from __future__ import annotations

import asyncio
from collections import deque


class Turns:
    """Lets at most `most` callers through in one turn of the loop; the others wait for the next, in order."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._left = most
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._due = False

    async def mine(self) -> None:
        """Return at once, or in the first turn that has room."""
        if not self._due:
            self._due = True
            asyncio.get_running_loop().call_soon(self._next)
        if self._left and not self._waiting:
            self._left -= 1
            return
        waiting = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        await waiting

    def _next(self) -> None:
        self._left = self.most
        while self._left and self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():  # else its task was cancelled meanwhile
                waiting.set_result(None)
                self._left -= 1
        self._due = self._left < self.most
        if self._due:
            asyncio.get_running_loop().call_soon(self._next)
