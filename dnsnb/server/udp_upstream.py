"""An upstream over UDP from many random ports, and over TCP for what is cut or guessed at (RFC 5452)."""

from __future__ import annotations

import asyncio
import random
import socket

from dnsnb.dns.upstream import Done
from dnsnb.server.stream_upstream import Ids, StreamUpstream

SOCKETS = 32  # as many ports to guess among; more would make fewer answers come with each wake-up
REUSE = 20_000  # questions from one port before it is changed for another
BUFFER = 4 << 20
MAX_IN_FLIGHT = 4096  # a socket

_random = random.SystemRandom()


class UdpUpstream:
    """A resolver over UDP, and over TCP for answers that are cut, or when somebody seems to be guessing IDs.

    Each of the connected sockets has a random port of its own and is replaced after some use (RFC 5452 9.2).
    """

    def __init__(self, name: str, host: str, port: int) -> None:
        self.name = name
        self.where = (host, port)
        self.wrong_ids = 0
        self._loop = asyncio.get_running_loop()
        self._ids = Ids()
        self._ports: list[_Port] = []
        self._tcp: StreamUpstream | None = None
        self._suspicious = False
        self._closed = False

    def send(self, query: bytes, done: Done, deadline: float) -> None:
        """Send a query; the answer comes to `done`, a refusal as (None, why)."""
        if self._closed:
            done(None, "closed")
            return
        try:
            port = self._port()
        except OSError as error:
            self._loop.call_soon(done, None, f"{self.name}: {error.strerror or error}")
            return
        for _ in range(8):
            ident = self._ids.take()
            if ident not in port.waiting:
                break
        port.waiting[ident] = (query, done, deadline)
        port.used += 1
        if len(port.waiting) > MAX_IN_FLIGHT:
            port.forget(self._loop.time())
        try:
            port.sock.send(ident + query[2:])
        except BlockingIOError:
            pass  # as lost as on the way: the next try comes
        except OSError as error:
            port.waiting.pop(ident, None)
            self._loop.call_soon(done, None, f"{self.name}: {error.strerror or error}")

    def by_stream(self, query: bytes, done: Done, deadline: float) -> None:
        """Ask over TCP."""
        if self._tcp is None:
            self._tcp = StreamUpstream(self.name, [self.where[0]], self.where[1])
        self._tcp.send(query, done, deadline)

    def _port(self) -> _Port:
        ports = self._ports
        if len(ports) < SOCKETS:
            ports.append(_Port(self, self._loop))
            return ports[-1]
        number = _random.randrange(len(ports)) if len(ports) < 3 else int.from_bytes(self._ids.take()) % len(ports)
        port = ports[number]
        if port.used >= REUSE or port.broken:
            port.retire()
            port = ports[number] = _Port(self, self._loop)
        return port

    def close(self) -> None:
        """Close its sockets."""
        self._closed = True
        for port in self._ports:
            port.close()
        self._ports.clear()
        if self._tcp is not None:
            self._tcp.close()


class _Port:
    """One connected UDP socket: only the upstream's own address can be heard on it."""

    def __init__(self, upstream: UdpUpstream, loop: asyncio.AbstractEventLoop) -> None:
        self.upstream = upstream
        self.loop = loop
        self.used = 0
        self.broken = False
        self.waiting: dict[bytes, tuple[bytes, Done, float]] = {}
        host, port = upstream.where
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_DGRAM)
        try:
            self.sock.setblocking(False)
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
            self._random_port(family)
            self.sock.connect(
                socket.getaddrinfo(host, port, family, socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST)[0][4]
            )
        except OSError:
            self.sock.close()
            raise
        loop.add_reader(self.sock, self.on_readable)

    def _random_port(self, family: int) -> None:
        """Take a port of our own choice: the system's may go up one by one."""
        for _ in range(10):
            try:
                self.sock.bind(("::" if family == socket.AF_INET6 else "0.0.0.0", _random.randrange(1024, 65536)))
                return
            except OSError:
                continue  # taken: another; in the end the system's choice

    def on_readable(self) -> None:
        receive, waiting = self.sock.recv, self.waiting
        try:
            for _ in range(64):
                message = receive(65535)
                known = waiting.get(message[:2])
                if known is None or len(message) < 12:
                    self.upstream.wrong_ids += 1
                    self._guessed(message)
                    continue
                query, done, deadline = known
                end = len(query) - 11  # our OPT is the last
                if message[2] & 0x80 == 0 or message[12:end].lower() != query[12:end].lower():
                    self.upstream.wrong_ids += 1
                    self._guessed(message)
                    continue
                if message[2] & 0x02:  # cut: its data is not looked at
                    del waiting[message[:2]]
                    self.upstream.by_stream(query, done, deadline)
                    continue
                if message[4:6] == b"\0\0" or len(message) < end:
                    continue
                del waiting[message[:2]]
                done(message, "")
        except BlockingIOError:
            pass
        except OSError as error:  # ICMP: nobody is there
            self._refused(f"{self.upstream.name}: {error.strerror or error}")

    def _guessed(self, message: bytes) -> None:
        """Somebody answers what was not asked: whoever waits for that name is asked again over TCP."""
        if len(message) < 12:
            return
        for ident, (query, done, deadline) in list(self.waiting.items())[:8]:
            if message[12 : len(query) - 11].lower() == query[12 : len(query) - 11].lower():
                del self.waiting[ident]
                self.upstream.by_stream(query, done, deadline)
                return

    def _refused(self, why: str) -> None:
        waiting, self.waiting = self.waiting, {}
        for _, done, _ in waiting.values():
            done(None, why)

    def forget(self, now: float) -> None:
        """Drop what nobody waits for any more."""
        self.waiting = {i: w for i, w in self.waiting.items() if w[2] > now}
        while len(self.waiting) > MAX_IN_FLIGHT:
            del self.waiting[next(iter(self.waiting))]

    def retire(self) -> None:
        """Take no new questions; close when the last can't be answered any more."""
        self.loop.call_later(5.0, self.close)

    def close(self) -> None:
        if self.sock.fileno() >= 0:
            self.loop.remove_reader(self.sock)
            self.sock.close()
