"""HTTP/2 (RFC 9113) for DNS over HTTPS alone: each request goes, as HTTP/1.1, through the same gate as all others.

Knows the package h2 and aiohttp's server; decides nothing about requests.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings
from aiohttp import web
from h2.errors import ErrorCodes

PATH = "/dns-query"  # whatever else is asked for wants HTTP/1.1, and is told so
MAX_STREAMS = 100
MAX_BODY = 65_536  # one more than a DNS message may have: the route says what is wrong with it
MAX_RESETS = 200  # requests that a client may begin and take back (rapid reset, CVE-2023-44487)
MAX_UNSENT = 1 << 20
IDLE_SECONDS = 30.0

_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_TARGET = re.compile(rb"/dns-query(\?[\x21-\x7e]*)?")
_OWN = frozenset({b"content-length", b"transfer-encoding", b"connection", b"expect", b"host", b"upgrade", b"te"})


class Http2(asyncio.Protocol):
    """One connection. `known` is where it stands while it is open."""

    def __init__(self, server: web.Server, known: set[Any]) -> None:
        self._server = server
        self._known = known
        self._loop = asyncio.get_running_loop()
        self._h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=False, header_encoding=None, logger=None)
        )
        self._h2.local_settings = h2.settings.Settings(
            client=False,
            initial_values={
                h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: MAX_STREAMS,
                h2.settings.SettingCodes.MAX_HEADER_LIST_SIZE: 16_384,
            },
        )
        self._transport: asyncio.Transport
        self._asked: dict[int, _Request] = {}
        self._unsent: dict[int, bytes] = {}
        self._resets = 0
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._known.add(self)
        self._h2.initiate_connection()
        self._flush()
        self._rest()

    def connection_lost(self, exc: Exception | None) -> None:
        self._known.discard(self)
        if self._timer is not None:
            self._timer.cancel()
        for request in list(self._asked.values()):
            request.drop()
        self._asked.clear()
        self._unsent.clear()

    def data_received(self, data: bytes) -> None:
        try:
            for event in self._h2.receive_data(data):
                self._take(event)
        except h2.exceptions.ProtocolError:
            self._flush()  # the reason
            self._transport.close()
            return
        self._flush()

    def close(self) -> None:
        """Say goodbye and close."""
        if not self._transport.is_closing():
            self._h2.close_connection()
            self._flush()
            self._transport.close()

    def _take(self, event: Any) -> None:
        if isinstance(event, h2.events.RequestReceived):
            self._asked[event.stream_id] = _Request(event.headers)
            if event.stream_ended is not None:
                self._ask(event.stream_id)
        elif isinstance(event, h2.events.DataReceived):
            request = self._asked.get(event.stream_id)
            if request is not None and len(request.body) <= MAX_BODY:
                request.body += event.data[: MAX_BODY + 1 - len(request.body)]
            self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            if event.stream_ended is not None:
                self._ask(event.stream_id)
        elif isinstance(event, h2.events.StreamReset):
            self._resets += 1
            request = self._asked.pop(event.stream_id, None)
            if request is not None:
                request.drop()
            self._unsent.pop(event.stream_id, None)
            if self._resets > MAX_RESETS:
                self._transport.abort()
        elif isinstance(event, h2.events.WindowUpdated | h2.events.RemoteSettingsChanged):
            for stream in list(self._unsent):
                self._send(stream)
        elif isinstance(event, h2.events.ConnectionTerminated):
            self._transport.close()

    def _ask(self, stream: int) -> None:
        """Give a whole request to the gate."""
        request = self._asked.get(stream)
        if request is None or request.given:
            return
        self._rest()
        try:
            message = request.as_http1()
        except ValueError:
            self._refuse(stream, ErrorCodes.PROTOCOL_ERROR)
            return
        if message is None:
            self._refuse(stream, ErrorCodes.HTTP_1_1_REQUIRED)
            return
        request.give(self._server, _Pipe(self._transport, lambda raw: self._answer(stream, raw)), message)

    def _refuse(self, stream: int, why: ErrorCodes) -> None:
        del self._asked[stream]
        self._h2.reset_stream(stream, why)

    def _answer(self, stream: int, raw: bytes) -> None:
        """Send what the gate had to say."""
        if self._asked.pop(stream, None) is None or self._transport.is_closing():
            return
        head, _, body = raw.partition(b"\r\n\r\n")
        status, *lines = head.split(b"\r\n")
        headers = [(b":status", status.split(b" ")[1] if status.startswith(b"HTTP/1.1 ") else b"500")]
        for line in lines:
            name, _, value = line.partition(b":")
            if name.lower() not in (b"connection", b"transfer-encoding", b"keep-alive"):
                headers.append((name.lower(), value.strip()))
        try:
            self._h2.send_headers(stream, headers, end_stream=not body)
            if body:
                self._unsent[stream] = body
                self._send(stream)
        except h2.exceptions.ProtocolError:
            self._unsent.pop(stream, None)
        self._flush()
        self._rest()

    def _send(self, stream: int) -> None:
        """Send as much of an answer as the client has room for."""
        rest = self._unsent.pop(stream)
        try:
            while rest:
                room = min(self._h2.local_flow_control_window(stream), self._h2.max_outbound_frame_size)
                if room <= 0:
                    self._unsent[stream] = rest
                    return
                piece, rest = rest[:room], rest[room:]
                self._h2.send_data(stream, piece, end_stream=not rest)
        except h2.exceptions.ProtocolError:
            return

    def _flush(self) -> None:
        data = self._h2.data_to_send()
        if not data or self._transport.is_closing():
            return
        if self._transport.get_write_buffer_size() > MAX_UNSENT:  # it asks and does not read
            self._transport.abort()
            return
        self._transport.write(data)

    def _rest(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(IDLE_SECONDS, self._idle)

    def _idle(self) -> None:
        if any(request.given for request in self._asked.values()):
            self._rest()
        else:
            self.close()


class _Request:
    """A request as it comes in, then with those who answer it."""

    __slots__ = ("_handler", "_headers", "_pipe", "body", "given")

    def __init__(self, headers: list[tuple[bytes, bytes]]) -> None:
        self._headers = headers
        self.body = b""
        self.given = False
        self._handler: Any = None
        self._pipe: _Pipe | None = None

    def as_http1(self) -> bytes | None:
        """Return the message of HTTP/1.1; None for another path; ValueError when a header would not stay one."""
        own = {name: value for name, value in self._headers if name.startswith(b":")}
        method, target = own.get(b":method", b""), own.get(b":path", b"")
        host = own.get(b":authority") or dict(self._headers).get(b"host", b"")
        if not _NAME.fullmatch(method.lower()) or not _VALUE.fullmatch(host):
            raise ValueError("not a request")
        if not _TARGET.fullmatch(target):
            return None
        lines = [b"%s %s HTTP/1.1" % (method, target), b"Host: " + host, b"Connection: close"]
        for name, value in self._headers:
            if name.startswith(b":") or name in _OWN:
                continue
            if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
                raise ValueError("not a header")
            lines.append(name + b": " + value)
        if self.body or method not in (b"GET", b"HEAD"):
            lines.append(b"Content-Length: %d" % len(self.body))
        return b"\r\n".join(lines) + b"\r\n\r\n" + self.body

    def give(self, server: web.Server, pipe: _Pipe, message: bytes) -> None:
        """Hand the message to a handler of its own."""
        self.given = True
        self._pipe = pipe
        self._handler = server()
        pipe.set_protocol(self._handler)
        self._handler.connection_made(pipe)
        self._handler.data_received(message)

    def drop(self) -> None:
        """Nobody waits for the answer any more."""
        if self._pipe is not None:
            self._pipe.abort()


class _Pipe(asyncio.Transport):
    """What the handler of one request takes for its connection; `ended` gets all that was written."""

    def __init__(self, real: asyncio.Transport, ended: Any) -> None:
        super().__init__()
        self._real = real
        self._ended = ended
        self._written: list[bytes] = []
        self._closing = False
        self._protocol: Any = None

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        # no socket: options set on one request's connection would be set on that of all
        return default if name == "socket" else self._real.get_extra_info(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        found: asyncio.BaseProtocol = self._protocol
        return found

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self._closing:
            self._written.append(bytes(data))

    def writelines(self, list_of_data: Any) -> None:
        for data in list_of_data:
            self.write(data)

    def is_closing(self) -> bool:
        return self._closing

    def is_reading(self) -> bool:
        return not self._closing

    def pause_reading(self) -> None:
        return

    def resume_reading(self) -> None:
        return

    def get_write_buffer_size(self) -> int:
        return 0

    def can_write_eof(self) -> bool:
        return False

    def close(self) -> None:
        """The answer is whole."""
        if not self._closing:
            self._closing = True
            asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)
            self._ended(b"".join(self._written))

    def abort(self) -> None:
        """Nobody waits for it."""
        if not self._closing:
            self._closing = True
            asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)
