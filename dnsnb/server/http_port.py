"""The API's port: HTTP/1.1, and HTTP/2 over TLS for resolvers' clients that speak nothing else (kdig, dig).

Knows aiohttp's runner and the certificate; which routes there are is web's and routes'.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import socket
from collections.abc import Callable
from functools import partial
from typing import Any

from aiohttp import web

from dnsnb.server.certificate import Certificate
from dnsnb.server.handshakes import Handshakes

#: Seconds in which a request's headers must be whole, from the connection's start or the answer before: whoever drips
#: them in (slowloris) or says nothing is hung up on.
IDLE_SECONDS = 30.0
SPARE_CONNECTIONS = 256  # beside the streams


class HttpPort:
    """Serves an aiohttp runner on a bound socket, over TLS when there is a certificate.

    HTTP/1.1 comes first in ALPN: browsers and event streams stay with it. Above `most` connections the newest is hung
    up on, so that descriptors are left for DNS.
    """

    def __init__(self, runner: web.AppRunner, certificate: Certificate | None, most: int) -> None:
        self._runner = runner
        self._certificate = certificate
        self._most = most
        self._server: asyncio.Server | None = None
        self._handshakes: Handshakes | None = None
        self._second: set[Any] = set()  # connections that speak HTTP/2

    async def start(self, sock: socket.socket) -> None:
        """Begin to accept."""
        door: Callable[[], asyncio.Protocol] = partial(_Door, self)
        if self._certificate is not None:
            protocols = ("http/1.1", "h2") if importlib.util.find_spec("h2") else ("http/1.1",)
            door = self._handshakes = Handshakes(self._certificate.context(*protocols), door)
        self._server = await asyncio.get_running_loop().create_server(door, sock=sock, backlog=128)

    def protocol_for(self, transport: asyncio.Transport) -> asyncio.Protocol | None:
        """Return who speaks on a new connection; None when there are too many."""
        server = self._runner.server
        if server is None or len(server.connections) + len(self._second) >= self._most + SPARE_CONNECTIONS:
            return None
        tls = transport.get_extra_info("ssl_object")
        if tls is not None and tls.selected_alpn_protocol() == "h2":
            from dnsnb.server.http2 import Http2

            return Http2(server, self._second)
        return server()

    def close(self) -> None:
        """Stop accepting, and close connections of HTTP/2; the runner closes its own."""
        if self._server is not None:
            self._server.close()
        if self._handshakes is not None:
            self._handshakes.close()
        for connection in list(self._second):
            connection.close()


class _Door(asyncio.Protocol):
    """Stands where a connection comes in until it is known what is spoken there."""

    def __init__(self, port: HttpPort) -> None:
        self._port = port

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        protocol = self._port.protocol_for(transport)
        if protocol is None:
            transport.abort()
            return
        transport.set_protocol(protocol)
        with contextlib.suppress(ConnectionError):
            protocol.connection_made(transport)
