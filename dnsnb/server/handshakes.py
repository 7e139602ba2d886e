"""Connections that have yet to agree on TLS: few at a time, so that who only knocks takes no descriptors from others.

Knows asyncio and a TLS context; who speaks then is the caller's.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from typing import Any

SECONDS = 10.0  # in which the two must have agreed
MOST = 128
MOST_PER_CLIENT = 32


class Handshakes:
    """Makes protocols for `loop.create_server` that agree on TLS, and hand over to `speaker()` then.

    Above the limits the oldest that has not agreed yet is hung up on: of the same client, or of all.
    """

    def __init__(self, context: ssl.SSLContext, speaker: Callable[[], asyncio.Protocol]) -> None:
        self.context = context
        self.speaker = speaker
        self.open: dict[asyncio.Transport, tuple[str, asyncio.Task[None]]] = {}

    def __call__(self) -> asyncio.Protocol:
        return _Knock(self)

    def begin(self, transport: asyncio.Transport) -> None:
        """Agree with who is there."""
        client = str((transport.get_extra_info("peername") or ("",))[0])
        same = [known for known, (who, _) in self.open.items() if who == client]
        if len(same) >= MOST_PER_CLIENT:
            self._end(same[0])
        elif len(self.open) >= MOST:
            self._end(next(iter(self.open)))
        transport.pause_reading()  # until TLS reads
        self.open[transport] = client, asyncio.get_running_loop().create_task(self._agree(transport))

    def _end(self, transport: asyncio.Transport) -> None:
        _, task = self.open.pop(transport)
        transport.abort()
        task.cancel()

    async def _agree(self, plain: asyncio.Transport) -> None:
        early = _Early()
        try:
            secured = await asyncio.get_running_loop().start_tls(
                plain, early, self.context, server_side=True, ssl_handshake_timeout=SECONDS
            )
        except (OSError, asyncio.CancelledError):  # no TLS, too slow, gone, or too many
            plain.abort()
            return
        finally:
            self.open.pop(plain, None)
        if secured is None or secured.is_closing() or early.lost:
            return
        speaker = self.speaker()
        secured.set_protocol(speaker)
        with contextlib.suppress(ConnectionError):
            speaker.connection_made(secured)
        present: Any = secured.get_protocol()  # a speaker may hand over in its turn
        if early.data and not secured.is_closing():
            present.data_received(bytes(early.data))

    def close(self) -> None:
        """Hang up on all that have not agreed."""
        for transport in list(self.open):
            self._end(transport)


class _Knock(asyncio.Protocol):
    """Stands on a connection until TLS does."""

    def __init__(self, handshakes: Handshakes) -> None:
        self._handshakes = handshakes

    def connection_made(self, transport: Any) -> None:
        self._handshakes.begin(transport)


class _Early(asyncio.Protocol):
    """Keeps what is said with the end of a handshake, before anybody has been told of it."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.lost = False

    def data_received(self, data: bytes) -> None:
        self.data += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
