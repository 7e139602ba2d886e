"""An upstream over TCP or TLS: one connection, pipelined. Decides nothing but which answer is whose."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Iterable
from typing import Any

from dnsnb.dns.upstream import Done

MAX_IN_FLIGHT = 4096
CONNECT_SECONDS = 2.0
IDLE_SECONDS = 8.0
SILENT_SECONDS = 2.0  # a connection that has answered leads nowhere any more when it is asked and silent for so long
FIRST_SECONDS = 5.0  # the same for one that has never answered: longer than anybody waits


def answers(message: bytes, query: bytes) -> bool:
    """Whether a message is a response with the query's question (its OPT, of 11 octets, is the query's end)."""
    end = len(query) - 11 * query[11]
    asked = len(message) >= end and message[2] & 0x80 != 0 and message[12:end].lower() == query[12:end].lower()
    return asked or knows_no_edns(message)


def knows_no_edns(message: bytes) -> bool:
    """Whether a message is a bare header with the error of who can't read an OPT (RFC 6891 7)."""
    return len(message) == 12 and message[2] & 0x80 != 0 and message[3] & 15 in (1, 4) and message[4:] == bytes(8)


def padded(query: bytes) -> bytes:
    """Return a query filled up to 128 octets or a multiple (RFC 8467 4.1), so that its length tells nothing."""
    if not query[11]:
        return query
    missing = -(len(query) + 4) % 128
    return query[:-2] + (missing + 4).to_bytes(2) + b"\0\x0c" + missing.to_bytes(2) + bytes(missing)


class Resuming(ssl.SSLContext):
    """A client's context that resumes its last session (RFC 8446 2.2), for one server: a connection opens sooner."""

    last: ssl.SSLSession | None = None

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        return super().wrap_bio(incoming, outgoing, server_side, server_hostname, session or self.last)


def client_context() -> ssl.SSLContext:
    """Return a context that checks certificate and name by the system's authorities."""
    context = Resuming(ssl.PROTOCOL_TLS_CLIENT)
    context.load_default_certs()
    return context


class Ids:
    """Unpredictable query IDs, taken from the system's generator in bulk."""

    def __init__(self) -> None:
        self._pool: list[bytes] = []

    def take(self) -> bytes:
        """Return two octets."""
        if not self._pool:
            raw = os.urandom(4096)
            self._pool = [raw[n : n + 2] for n in range(0, len(raw), 2)]
        return self._pool.pop()


class StreamUpstream:
    """A resolver over TCP (RFC 7766) or TLS (RFC 7858): one connection, pipelined, opened again when it breaks."""

    def __init__(
        self,
        name: str,
        addresses: Iterable[str],
        port: int,
        *,
        tls: ssl.SSLContext | None = None,
        server_name: str | None = None,
    ) -> None:
        self.name = name
        self.addresses = list(addresses)
        self.port = port
        self.tls = tls
        self.server_name = server_name
        self._loop = asyncio.get_running_loop()
        self._ids = Ids()
        self._connection: _Connection | None = None
        self._queue: list[tuple[bytes, Done, float]] = []
        self._opening: asyncio.Task[None] | None = None
        self._closed = False

    def send(self, query: bytes, done: Done, deadline: float) -> None:
        """Send a query over the connection that is open, or open one."""
        if self._closed:
            done(None, "closed")
            return
        if self._connection is not None and not self._connection.transport.is_closing():
            self._connection.ask(query, done, deadline)
            return
        self._queue.append((query, done, deadline))
        if self._opening is None:
            self._opening = self._loop.create_task(self._open())

    async def _open(self) -> None:
        why = "no address"
        try:
            for address in self.addresses:
                try:
                    async with asyncio.timeout(CONNECT_SECONDS):
                        _, connection = await self._loop.create_connection(
                            self._protocol, address, self.port, ssl=self.tls,
                            server_hostname=self.server_name if self.tls else None,
                        )  # fmt: skip
                    self._connection = connection
                    break
                except TimeoutError:
                    why = f"{self.name}: no connection to {address} port {self.port} within {CONNECT_SECONDS:g} s"
                except ssl.SSLCertVerificationError as error:
                    why = f"{self.name}: the certificate does not hold: {error.verify_message}"
                except OSError as error:
                    why = f"{self.name}: {error.strerror or error}"
        finally:
            self._opening = None
        waiting, self._queue = self._queue, []
        for query, done, deadline in waiting:
            if self._connection is not None and not self._connection.transport.is_closing():
                self._connection.ask(query, done, deadline)
            else:
                done(None, why)

    def _protocol(self) -> Any:
        return _Connection(self)

    def lost(self, connection: _Connection, waiting: list[tuple[bytes, Done, float]]) -> None:
        """Ask again over a new connection what an old one was closed on: servers close idle ones at any moment."""
        if self._connection is connection:
            self._connection = None
        for query, done, deadline in waiting:
            if connection.answered and not self._closed and self._loop.time() < deadline - 0.5:
                self.send(query, done, deadline)
            else:
                done(None, f"{self.name}: the connection was closed")

    def close(self) -> None:
        """Close the connection."""
        self._closed = True
        if self._opening is not None:
            self._opening.cancel()
        if self._connection is not None:
            self._connection.transport.abort()
        for _, done, _ in self._queue:
            done(None, "closed")
        self._queue.clear()


class Watched(asyncio.Protocol):
    """A connection that is closed when nothing is asked, and given up when it is asked and nothing is heard.

    A path can end without a word (a laptop slept, a router forgot): TCP itself notices after a quarter of an hour.
    """

    transport: Any

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.waiting: dict[Any, tuple[bytes, Done, float]] = {}
        self.answered = 0
        self._timer: asyncio.TimerHandle | None = None
        self._awaits = False

    def watch(self, *, heard: bool) -> None:
        """Begin to wait: for an answer, if something is asked, else for a question. `heard`: it has just spoken."""
        if self._timer is not None:
            if self._awaits and not heard:
                return
            self._timer.cancel()
        self._awaits = bool(self.waiting)
        patience = SILENT_SECONDS if self.answered else FIRST_SECONDS
        self._timer = self.loop.call_later(patience if self._awaits else IDLE_SECONDS, self._over)

    def _over(self) -> None:
        self.forget()
        if self.waiting:
            self.transport.abort()  # its questions are asked over another one
        else:
            self.transport.close()

    def forget(self) -> None:
        """Drop what nobody waits for any more."""
        now = self.loop.time()
        for key in [key for key, (_, _, deadline) in self.waiting.items() if deadline < now]:
            del self.waiting[key]

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()


class _Connection(Watched):
    def __init__(self, upstream: StreamUpstream) -> None:
        super().__init__()
        self.upstream = upstream
        self.buffer = bytearray()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.watch(heard=True)

    def ask(self, query: bytes, done: Done, deadline: float) -> None:
        if len(self.waiting) >= MAX_IN_FLIGHT:
            self.forget()
        if len(self.waiting) >= MAX_IN_FLIGHT:
            done(None, f"{self.upstream.name}: too many questions wait on one connection")
            return
        ident = self.upstream._ids.take()
        while ident in self.waiting:
            ident = self.upstream._ids.take()
        self.waiting[ident] = (query, done, deadline)
        sent = query if self.upstream.tls is None else padded(query)
        self.transport.write(len(sent).to_bytes(2) + ident + sent[2:])
        self.watch(heard=False)

    def data_received(self, data: bytes) -> None:
        buffer = self.buffer
        buffer += data
        while len(buffer) >= 2:
            size = int.from_bytes(buffer[:2])
            if len(buffer) < size + 2:
                break
            message = bytes(buffer[2 : size + 2])
            del buffer[: size + 2]
            known = self.waiting.pop(message[:2], None)
            if known is None:
                continue
            self.answered += 1
            if self.answered == 1 and isinstance(self.upstream.tls, Resuming):  # its tickets came by now
                self.upstream.tls.last = self.transport.get_extra_info("ssl_object").session
            if not answers(message, known[0]):
                known[1](None, f"{self.upstream.name}: it answered another question")
            elif message[2] & 0x02:
                known[1](None, f"{self.upstream.name}: the answer is cut, even over TCP")
            else:
                known[1](message, "")
        self.watch(heard=True)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        waiting, self.waiting = list(self.waiting.values()), {}
        self.upstream.lost(self, waiting)
