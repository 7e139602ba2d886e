"""Sockets that upstreams are asked on: UDP from many random ports, TCP and TLS pipelined, HTTPS.

Knows dns/upstream's protocol; decides nothing but whether a message may be an answer to what was sent.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
import ssl
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from dnsnb.dns.upstream import Done, UpstreamSpec, parse_upstream
from dnsnb.errors import SettingError

SOCKETS = 16
REUSE = 20_000  # questions from one port before it is changed for another
BUFFER = 4 << 20
MAX_IN_FLIGHT = 4096  # a socket
CONNECT_SECONDS = 2.0
IDLE_SECONDS = 8.0

_random = random.SystemRandom()


class Ids:
    """Unpredictable query IDs, taken from the system's generator in bulk."""

    def __init__(self) -> None:
        self._pool: list[bytes] = []

    def take(self) -> bytes:
        if not self._pool:
            raw = os.urandom(4096)
            self._pool = [raw[n : n + 2] for n in range(0, len(raw), 2)]
        return self._pool.pop()


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
                            lambda: _Connection(self), address, self.port, ssl=self.tls,
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


class _Connection(asyncio.Protocol):
    def __init__(self, upstream: StreamUpstream) -> None:
        self.upstream = upstream
        self.loop = asyncio.get_running_loop()
        self.waiting: dict[bytes, tuple[bytes, Done, float]] = {}
        self.answered = 0
        self.buffer = bytearray()
        self.timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self._rest()

    def ask(self, query: bytes, done: Done, deadline: float) -> None:
        ident = self.upstream._ids.take()
        while ident in self.waiting:
            ident = self.upstream._ids.take()
            if len(self.waiting) >= MAX_IN_FLIGHT:
                done(None, f"{self.upstream.name}: too many questions wait on one connection")
                return
        self.waiting[ident] = (query, done, deadline)
        self.transport.write(len(query).to_bytes(2) + ident + query[2:])
        self._rest()

    def data_received(self, data: bytes) -> None:
        buffer = self.buffer
        buffer += data
        while len(buffer) >= 2:
            size = int.from_bytes(buffer[:2])
            if len(buffer) < size + 2:
                return
            message = bytes(buffer[2 : size + 2])
            del buffer[: size + 2]
            known = self.waiting.pop(message[:2], None)
            if known is None:
                continue
            self.answered += 1
            self._rest()
            if len(message) < 12 or message[2] & 0x02:
                known[1](None, f"{self.upstream.name}: the answer is cut, even over TCP")
            else:
                known[1](message, "")

    def _rest(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
        self.timer = self.loop.call_later(IDLE_SECONDS, self.transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.timer is not None:
            self.timer.cancel()
        waiting, self.waiting = list(self.waiting.values()), {}
        self.upstream.lost(self, waiting)


class HttpsUpstream:
    """A resolver over HTTPS (RFC 8484), POST with ID 0; the answer is checked like any other."""

    def __init__(self, name: str, spec: UpstreamSpec, tls: ssl.SSLContext | None = None) -> None:
        self.name = name
        self.spec = spec
        self.tls = tls
        self._loop = asyncio.get_running_loop()
        self._session: Any = None
        self._tasks: set[asyncio.Task[None]] = set()

    def send(self, query: bytes, done: Done, deadline: float) -> None:
        """POST a query."""
        task = self._loop.create_task(self._post(query, done, deadline))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _post(self, query: bytes, done: Done, deadline: float) -> None:
        import aiohttp

        if self._session is None:
            self._session = _https_session(self.spec, self.tls)
        url = f"https://{self.spec.server_name}:{self.spec.port}{self.spec.path}"
        headers = {"Content-Type": "application/dns-message", "Accept": "application/dns-message"}
        try:
            async with asyncio.timeout_at(deadline):
                async with self._session.post(
                    url, data=b"\0\0" + query[2:], headers=headers, allow_redirects=False
                ) as answer:
                    if answer.status != 200 or answer.content_type != "application/dns-message":
                        done(None, f"{self.name}: HTTP {answer.status}, {answer.content_type}")
                        return
                    body = await answer.content.read(65536)
                    while len(body) <= 65535 and (more := await answer.content.read(65536)):
                        body += more
                    if not 12 <= len(body) <= 65535:
                        done(None, f"{self.name}: an answer of {len(body)} octets")
                        return
                    done(body, "")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            done(None, f"{self.name}: {type(error).__name__}")

    def close(self) -> None:
        """Close its connections."""
        for task in list(self._tasks):
            task.cancel()
        if self._session is not None:
            closing = self._loop.create_task(self._session.close())
            self._tasks.add(closing)


def _https_session(spec: UpstreamSpec, tls: ssl.SSLContext | None) -> Any:
    import aiohttp
    from aiohttp.abc import AbstractResolver

    class Known(AbstractResolver):
        """The addresses that the setting gives, so that no other resolver is asked."""

        async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[Any]:
            return [
                {"hostname": host, "host": a, "port": port, "family": socket.AF_INET6 if ":" in a else socket.AF_INET,
                 "proto": 0, "flags": socket.AI_NUMERICHOST}
                for a in spec.addresses
            ]  # fmt: skip

        async def close(self) -> None:
            return

    resolver = Known() if spec.addresses else aiohttp.ThreadedResolver()
    connector = aiohttp.TCPConnector(resolver=resolver, ssl=tls or True, limit=4, keepalive_timeout=30)
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())


def system_resolvers(path: Path = Path("/etc/resolv.conf")) -> list[str]:
    """Return the system's resolvers; raises SettingError where there are none to be found."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        why = f"the system's resolvers are not known ({error.strerror}); name upstreams, such as 1.1.1.1"
        raise SettingError("upstreams", "system", why) from None
    found = [parts[1] for line in lines if len(parts := line.split()) >= 2 and parts[0] == "nameserver"]
    if not found:
        raise SettingError("upstreams", "system", "the system names no resolvers; name upstreams, such as 1.1.1.1")
    return found


def open_upstreams(
    texts: Iterable[str], *, tls: Callable[[], ssl.SSLContext] = ssl.create_default_context, setting: str = "upstreams"
) -> list[Any]:
    """Return opened upstreams for settings; in the loop's thread. All are checked before the first is opened."""
    specs = [parse_upstream(text, f"{setting}[{n}]") for n, text in enumerate(texts)] or [
        UpstreamSpec("system", "system")
    ]
    found: list[Any] = []
    for spec in specs:
        if spec.scheme == "system":
            found += [open_upstream(parse_upstream(a), tls) for a in system_resolvers()]
        else:
            found.append(open_upstream(spec, tls))
    return found


def open_upstream(spec: UpstreamSpec, tls: Callable[[], ssl.SSLContext] = ssl.create_default_context) -> Any:
    """Return one opened upstream."""
    addresses = spec.addresses or (spec.host,)
    if spec.scheme == "https":
        return HttpsUpstream(spec.text, spec, tls())
    if spec.scheme == "tls":
        return StreamUpstream(spec.text, addresses, spec.port, tls=tls(), server_name=spec.server_name)
    if spec.scheme == "tcp":
        return StreamUpstream(spec.text, addresses, spec.port)
    return UdpUpstream(spec.text, spec.host, spec.port)
