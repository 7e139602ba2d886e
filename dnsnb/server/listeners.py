"""Sockets that queries come in on: UDP drained many datagrams a wake-up, TCP and TLS pipelined and out of order.

Knows the engine by `answer_now` and `ask`; decides nothing about names.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
import sys
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any

from dnsnb.dns.engine import Engine
from dnsnb.dns.message import IDLE_SECONDS
from dnsnb.errors import SettingError
from dnsnb.server import mmsg
from dnsnb.server.handshakes import Handshakes

BATCH = 64
FEW = 8  # queries: after more, others have come meanwhile, and a look costs less than a turn of the loop
IP_PKTINFO = 8  # Linux; the socket module names it from Python 3.13 on
BUFFER = 4 << 20
MAX_CONNECTIONS = 500
MAX_PER_CLIENT = 100
MAX_PIPELINED = 200
MAX_UNSENT = 1 << 20


def parse_address(text: str, setting: str) -> tuple[str, int]:
    """Return (host, port) of ``HOST:PORT``, ``[::1]:PORT`` or a bare address (port 0); raises SettingError."""
    why = "must be HOST:PORT with an IP address, such as 127.0.0.1:5353 or [::1]:5353 (port 0 picks a free one)"
    if not isinstance(text, str):
        raise SettingError(setting, text, why)
    host, port = text.strip(), "0"
    if host.startswith("["):
        host, bracket, rest = host[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise SettingError(setting, text, why)
        port = rest[1:] or "0"
    elif host.count(":") == 1:
        host, _, port = host.partition(":")
    if host == "localhost":
        host = "127.0.0.1"
    try:
        ipaddress.ip_address(host.split("%", 1)[0])
    except ValueError:
        raise SettingError(setting, text, why) from None
    if not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise SettingError(setting, text, f"{port!r} is not a port (0 to 65535); {why}")
    return host, int(port)


def format_address(host: str, port: int) -> str:
    """Return HOST:PORT, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def bind(kind: socket.SocketKind, host: str, port: int, setting: str) -> socket.socket:
    """Return a bound socket; a taken port, or one that needs rights, is a SettingError that says so."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, kind)
    try:
        sock.setblocking(False)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if kind == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        else:
            for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
                sock.setsockopt(socket.SOL_SOCKET, option, BUFFER)
        where = socket.getaddrinfo(host, port, family, kind, flags=socket.AI_NUMERICHOST)[0][4]
        sock.bind(where)
    except PermissionError:
        sock.close()
        why = f"port {port} needs administrator rights; use a port from 1024 up, or 0 for a free one"
        raise SettingError(setting, format_address(host, port), why) from None
    except OSError as error:
        sock.close()
        why = error.strerror or str(error)
        if error.errno == 98 or "in use" in why:
            why = f"port {port} is taken by another program; choose another, or 0 for a free one"
        raise SettingError(setting, format_address(host, port), why) from None
    return sock


def bind_pair(host: str, port: int, setting: str) -> tuple[socket.socket, socket.socket]:
    """Return a UDP and a TCP socket on the same address; with port 0 on the same free port."""
    for attempt in range(50):
        udp = bind(socket.SOCK_DGRAM, host, port, setting)
        try:
            return udp, bind(socket.SOCK_STREAM, host, udp.getsockname()[1], setting)
        except SettingError:
            udp.close()
            if port or attempt == 49:
                raise
    raise AssertionError("unreachable")


class UdpListener:
    """Answers datagrams: up to `BATCH` are taken a wake-up, so that a burst costs few turns of the loop.

    On Linux they are taken and sent many a system call. A socket that is bound to every address answers from the one
    that was asked.
    """

    def __init__(self, engine: Engine, sock: socket.socket, *, batches: bool = True) -> None:
        self.engine = engine
        self.sock = sock
        self.unsent = 0
        self._late: list[tuple[bytes, bytes]] = []
        self._loop = asyncio.get_running_loop()
        host = sock.getsockname()[0]
        read = self.on_readable
        if host in ("0.0.0.0", "::"):
            if sys.platform == "linux":
                _ask_for_destination(sock)
                read = self.on_readable_anywhere
        elif batches and mmsg.supported():
            self._datagrams = mmsg.Datagrams(sock)
            read = self.on_readable_many
        self._loop.add_reader(sock, read)

    def on_readable_many(self) -> None:
        """Drain the socket by batches: answer what memory can, hand the rest to the upstreams."""
        datagrams, engine = self._datagrams, self.engine
        for _ in range(4):
            queries, clients = datagrams.receive()
            if not queries:
                return
            replies = engine.answer_many(queries, clients, self._reply_to)
            self.unsent += datagrams.send(replies)
            if len(queries) < FEW:
                return

    def _reply_to(self, index: int) -> Callable[[bytes], None]:
        """Return what sends the reply to the i-th asker of the last batch, when it is there."""
        return partial(self._later, self._datagrams.place(index))

    def _later(self, place: bytes, reply: bytes) -> None:
        """Send what an upstream had to say, with all that comes in the same turn of the loop."""
        if reply:
            if not self._late:
                self._loop.call_soon(self._send_late)
            self._late.append((place, reply))

    def _send_late(self) -> None:
        late, self._late = self._late, []
        if self.sock.fileno() >= 0:
            self.unsent += self._datagrams.send_late(late)

    def on_readable(self) -> None:
        """Drain the socket one by one, where there are no batches."""
        receive, send = self.sock.recvfrom, self.sock.sendto
        answer, ask = self.engine.answer_now, self.engine.ask
        try:
            for _ in range(BATCH):
                query, where = receive(65535)
                reply = answer(query, where[0])
                if reply:
                    send(reply, where)
                elif reply is None:
                    ask(query, where[0], "udp", partial(self._send, where))
        except BlockingIOError:
            pass
        except OSError:  # a route that is gone, a buffer that is full: as lost as on any network
            self.unsent += 1

    def on_readable_anywhere(self) -> None:
        """As `on_readable`, answering from the address that was asked (RFC 1035 4.2.1, RFC 7766)."""
        try:
            for _ in range(BATCH):
                query, notes, _, where = self.sock.recvmsg(65535, 128)
                source = _reply_source(notes)
                reply = self.engine.answer_now(query, where[0])
                if reply:
                    self.sock.sendmsg([reply], source, 0, where)
                elif reply is None:
                    self.engine.ask(query, where[0], "udp", partial(self._send, where, source=source))
        except BlockingIOError:
            pass
        except OSError:
            self.unsent += 1

    def _send(self, where: Any, reply: bytes, source: Any = ()) -> None:
        if reply and self.sock.fileno() >= 0:
            try:
                if source:
                    self.sock.sendmsg([reply], source, 0, where)
                else:
                    self.sock.sendto(reply, where)
            except OSError:
                self.unsent += 1

    def close(self) -> None:
        """Stop listening."""
        if self.sock.fileno() >= 0:
            self._loop.remove_reader(self.sock)
            self.sock.close()


def _ask_for_destination(sock: socket.socket) -> None:
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)


def _reply_source(notes: list[tuple[int, int, bytes]]) -> list[tuple[int, int, bytes]]:
    """Return the ancillary data that makes a reply come from where the query went to."""
    for level, kind, data in notes:
        if level == socket.IPPROTO_IP and kind == IP_PKTINFO and len(data) >= 12:
            return [(level, kind, bytes(4) + data[8:12] + bytes(4))]
        if level == socket.IPPROTO_IPV6 and kind == socket.IPV6_PKTINFO and len(data) >= 20:
            return [(level, kind, data[:16] + bytes(4))]
    return []


class StreamListener:
    """Answers over TCP (RFC 7766) and, with `tls`, DoT (RFC 7858): pipelined, out of order, with limits.

    The connection that was idle longest gives way when there are too many.
    """

    def __init__(self, engine: Engine, sock: socket.socket, *, tls: ssl.SSLContext | None = None) -> None:
        self.engine = engine
        self.sock = sock
        self.tls = tls
        self.transport = "dot" if tls else "tcp"
        self.connections: OrderedDict[Stream, None] = OrderedDict()
        self._server: asyncio.Server | None = None
        self._handshakes: Handshakes | None = None

    async def start(self) -> None:
        """Begin to accept."""
        speak: Callable[[], asyncio.Protocol] = partial(Stream, self)
        if self.tls is not None:
            speak = self._handshakes = Handshakes(self.tls, speak)
        self._server = await asyncio.get_running_loop().create_server(speak, sock=self.sock, backlog=256)

    def admit(self, stream: Stream) -> None:
        """Take a connection in; those of a client, or of all, that were idle longest make room."""
        same = [c for c in self.connections if c.client == stream.client]
        if len(same) >= MAX_PER_CLIENT:
            same[0].abort()
        elif len(self.connections) >= MAX_CONNECTIONS:
            next(iter(self.connections)).abort()
        self.connections[stream] = None

    def close(self) -> None:
        """Stop listening and close what is open."""
        if self._server is not None:
            self._server.close()
        if self._handshakes is not None:
            self._handshakes.close()
        for stream in list(self.connections):
            stream.abort()
        self.sock.close()


class Stream(asyncio.Protocol):
    """One connection: a two-octet length before each message."""

    def __init__(self, listener: StreamListener) -> None:
        self.listener = listener
        self.client = ""
        self._transport: Any = None
        self._buffer = bytearray()
        self._waiting = 0
        self._ended = False  # the client has said all
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        peer = transport.get_extra_info("peername")
        self.client = peer[0] if peer else ""
        self.listener.admit(self)
        self._rest()

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        complete = False
        while len(buffer) >= 2 and self._waiting < MAX_PIPELINED and not self._transport.is_closing():
            size = int.from_bytes(buffer[:2])
            if len(buffer) < size + 2:
                break
            message = bytes(buffer[2 : size + 2])
            del buffer[: size + 2]
            complete = True
            if size < 12:
                self.abort()
                return
            self._answer(message)
        if self._waiting >= MAX_PIPELINED:
            self._transport.pause_reading()
        if complete and not self._transport.is_closing():  # bytes that drip in do not keep a connection alive
            self._rest()

    def _answer(self, message: bytes) -> None:
        engine, transport = self.listener.engine, self.listener.transport
        reply = engine.answer_now(message, self.client, transport)
        if reply is None:
            self._waiting += 1
            engine.ask(message, self.client, transport, self._late)
        elif reply:
            self._write(reply)

    def _late(self, reply: bytes) -> None:
        self._waiting -= 1
        if reply:
            self._write(reply)
        if self._waiting == MAX_PIPELINED - 1 and not self._transport.is_closing():
            self._transport.resume_reading()
            self.data_received(b"")
        if self._ended and not self._waiting:
            self._transport.close()

    def eof_received(self) -> bool:
        """Who has said all may still read what is on its way (TLS can't)."""
        self._ended = True
        return self._waiting > 0 and self.listener.tls is None

    def _write(self, reply: bytes) -> None:
        if self._transport.is_closing():
            return
        if self._transport.get_write_buffer_size() > MAX_UNSENT:  # it asks and does not read
            self.abort()
            return
        self._transport.write(len(reply).to_bytes(2) + reply)

    def _rest(self) -> None:
        self.listener.connections.move_to_end(self)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._idle)

    def _idle(self) -> None:
        if self._waiting:
            self._rest()
        else:
            self.abort()

    def abort(self) -> None:
        """Close at once."""
        self.listener.connections.pop(self, None)
        self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.listener.connections.pop(self, None)
        if self._timer is not None:
            self._timer.cancel()
