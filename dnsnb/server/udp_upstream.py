"""An upstream over UDP from many random ports, and over TCP for what is cut or guessed at (RFC 5452)."""

from __future__ import annotations

import asyncio
import random
import socket

from dnsnb.dns.upstream import Done
from dnsnb.server import mmsg, msghdr, segments
from dnsnb.server.stream_upstream import Ids, StreamUpstream, knows_no_edns

SOCKETS = 32  # as many ports to guess among; more would make fewer answers come with each wake-up
REUSE = 20_000  # questions from one port before it is changed for another
REUSE_SECONDS = 300.0  # or so long: who asks seldom should not show the same ports all day
RETIRE_SECONDS = 5.0
BUFFER = 4 << 20
MAX_IN_FLIGHT = 4096  # a socket

_random = random.SystemRandom()


class UdpUpstream:
    """A resolver over UDP, and over TCP for answers that are cut, or when somebody seems to be guessing IDs.

    Each of the connected sockets has a random port of its own and is replaced after some use (RFC 5452 9.2).
    """

    def __init__(self, name: str, host: str, port: int, *, batches: bool = True) -> None:
        self.name = name
        self.where = (host, port)
        self.wrong_ids = 0
        self._loop = asyncio.get_running_loop()
        self._ids = Ids()
        self._ports: list[_Port] = []
        self._retired: set[_Port] = set()
        self._tcp: StreamUpstream | None = None
        self._closed = False
        self.batch = mmsg.Connected() if batches and mmsg.supported() else None
        self.together = self.batch is not None  # while the system takes many messages as one
        self._sending: _Port | None = None  # takes all questions of this turn of the loop
        self._outgoing: list[tuple[bytes, Done, float]] = []

    def send(self, query: bytes, done: Done, deadline: float) -> None:
        """Send a query; the answer comes to `done`, a refusal as (None, why)."""
        if self._closed:
            done(None, "closed")
            return
        if self._sending is None:
            try:
                self._sending = self._port()
            except OSError as error:
                self._loop.call_soon(done, None, f"{self.name}: {error.strerror or error}")
                return
            self._loop.call_soon(self._send_all)
        self._outgoing.append((query, done, deadline))

    def _send_all(self) -> None:
        """Send what was asked for in this turn of the loop, from one port: the next turn has another."""
        port, self._sending = self._sending, None
        outgoing, self._outgoing = self._outgoing, []
        if port is None or self._closed:
            return
        waiting, take = port.waiting, self._ids.take
        messages = []
        for known in outgoing:
            while (ident := take()) in waiting:
                pass
            waiting[ident] = known
            messages.append(ident + known[0][2:])
        port.used += len(messages)
        if len(port.waiting) > MAX_IN_FLIGHT:
            port.forget(self._loop.time())
        for message, error in port.send(messages):
            refused = port.waiting.pop(message[:2], None)
            if refused is not None:
                refused[1](None, f"{self.name}: {error.strerror or error}")

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
        if port.used >= REUSE or port.broken or self._loop.time() >= port.until:
            self._retired.add(port)
            self._loop.call_later(RETIRE_SECONDS, self._end, port)
            port = ports[number] = _Port(self, self._loop)
        return port

    def _end(self, port: _Port) -> None:
        """Close a port that took no new questions for so long that no answer can come any more."""
        self._retired.discard(port)
        port.close()

    def close(self) -> None:
        """Close its sockets."""
        self._closed = True
        for port in (*self._ports, *self._retired):
            port.close()
        self._ports.clear()
        self._retired.clear()
        if self._tcp is not None:
            self._tcp.close()


class _Port:
    """One connected UDP socket: only the upstream's own address can be heard on it."""

    def __init__(self, upstream: UdpUpstream, loop: asyncio.AbstractEventLoop) -> None:
        self.upstream = upstream
        self.loop = loop
        self.used = 0
        self.until = loop.time() + REUSE_SECONDS
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
        upstream.together = upstream.together and segments.supported(self.sock)
        loop.add_reader(self.sock, self.on_readable)

    def _random_port(self, family: int) -> None:
        """Take a port of our own choice: the system's may go up one by one."""
        for _ in range(10):
            try:
                self.sock.bind(("::" if family == socket.AF_INET6 else "0.0.0.0", _random.randrange(1024, 65536)))
                return
            except OSError:
                continue  # taken: another; in the end the system's choice

    def send(self, messages: list[bytes]) -> list[tuple[bytes, OSError]]:
        """Send messages; returns those that were refused, and why."""
        upstream = self.upstream
        if upstream.batch is not None and len(messages) > 1:
            if upstream.together and len(messages) >= segments.ALIKE:
                messages, upstream.together = segments.send_alike(self.sock, messages)
            refused = upstream.batch.send(self.sock.fileno(), messages)
            return [(messages[number], error) for number, error in refused]
        failed = []
        for message in messages:
            try:
                self.sock.send(message)
            except BlockingIOError:
                break  # as lost as on the way: the next try comes
            except OSError as error:
                failed.append((message, error))
        return failed

    def on_readable(self) -> None:
        """Take the answers that wait, up to 64."""
        try:
            if self.upstream.batch is not None:
                for message in self.upstream.batch.receive(self.sock.fileno()):
                    self.take(message)
            else:
                for _ in range(64):
                    self.take(self.sock.recv(65535))
        except BlockingIOError:
            pass
        except OSError as error:  # ICMP: nobody is there
            self._refused(f"{self.upstream.name}: {error.strerror or error}")

    def take(self, message: bytes) -> None:
        """Give an answer to whoever waits for it; what is none is not looked at any further."""
        ident = message[:2]
        known = self.waiting.pop(ident, None)
        if known is None or len(message) < 12:
            if known is not None:
                self.waiting[ident] = known
            self.upstream.wrong_ids += 1
            self._guessed(message)
            return
        query, done, deadline = known
        end = len(query) - 11 * query[11]  # our OPT, if there is one, is the last
        asked = query[12:end]
        flags = message[2]
        if flags & 0x80 and (message.startswith(asked, 12) or message[12:end].lower() == asked.lower()):
            if flags & 0x02 or len(message) == msghdr.SIZE:  # cut, there or here: its data is not looked at
                self.upstream.by_stream(query, done, deadline)
            elif len(message) >= end and message[4:6] != b"\0\0":
                done(message, "")
            else:
                self.waiting[ident] = known
        elif knows_no_edns(message):
            done(message, "")
        else:  # somebody else's: the right one may follow
            self.waiting[ident] = known
            self.upstream.wrong_ids += 1
            self._guessed(message)

    def _guessed(self, message: bytes) -> None:
        """Somebody answers what was not asked: whoever waits for that name is asked again over TCP."""
        if len(message) < 12:
            return
        for ident, (query, done, deadline) in list(self.waiting.items())[:8]:
            end = len(query) - 11 * query[11]
            if message[12:end].lower() == query[12:end].lower():
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

    def close(self) -> None:
        if self.sock.fileno() >= 0:
            self.loop.remove_reader(self.sock)
            self.sock.close()
