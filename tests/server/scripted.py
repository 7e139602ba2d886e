"""A scripted upstream, a client that sends bytes as they are, and the rows of behaviours that tests are marked with.

The upstream is a function from question to packets, so that it can lie, stutter and fall silent.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

from dnsnb.server import Server

Script = Callable[["Liar", dns.message.Message, str, Any], Any]


def address(query: dns.message.Message, data: str = "192.0.2.1", ttl: int = 60, count: int = 1) -> dns.message.Message:
    """A plain answer with addresses."""
    reply = dns.message.make_response(query, recursion_available=True)
    reply.use_edns(-1)
    question = query.question[0]
    if question.rdtype == dns.rdatatype.A:
        head, _, last = data.rpartition(".")
        values = [f"{head}.{(int(last) + n) % 256}" if n < 256 else f"192.0.{n // 256}.{n % 256}" for n in range(count)]
        reply.answer.append(dns.rrset.from_text_list(question.name, ttl, "IN", "A", values))
    else:
        soa = dns.rrset.from_text("test.", 60, "IN", "SOA", "ns.test. root.test. 1 2 3 4 60")
        reply.authority.append(soa)
    return reply


def plain(liar: Liar, query: dns.message.Message, transport: str, send: Any) -> None:
    send(address(query))


class Liar:
    """A scripted upstream on one port, UDP and TCP; `asked` keeps every question with its transport."""

    def __init__(self, script: Script = plain) -> None:
        self.script = script
        self.asked: list[tuple[dns.message.Message, str]] = []
        self.ports: list[int] = []
        self.others: list[asyncio.DatagramTransport] = []
        self.tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def run(self) -> AsyncIterator[Liar]:
        loop = asyncio.get_running_loop()
        server = await asyncio.start_server(self._stream, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        liar = self

        class Datagrams(asyncio.DatagramProtocol):
            def connection_made(self, transport: Any) -> None:
                self.transport = transport

            def datagram_received(self, data: bytes, addr: Any) -> None:
                liar.ports.append(addr[1])

                def send(message: Any, transport: Any = None) -> None:
                    wire = message.to_wire() if isinstance(message, dns.message.Message) else message
                    (transport or self.transport).sendto(wire, addr)

                liar.take(data, "udp", send)

        self.udp, _ = await loop.create_datagram_endpoint(Datagrams, local_addr=("127.0.0.1", self.port))
        try:
            yield self
        finally:
            for transport in (self.udp, *self.others):
                transport.close()
            for task in self.tasks:
                task.cancel()
            server.close()

    def take(self, data: bytes, transport: str, send: Any) -> None:
        query = dns.message.from_wire(data)
        self.asked.append((query, transport))
        done = self.script(self, query, transport, send)
        if done is not None:
            task = asyncio.ensure_future(done)
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        def send(message: Any) -> None:
            wire = message.to_wire(max_size=65535) if isinstance(message, dns.message.Message) else message
            writer.write(struct.pack("!H", len(wire)) + wire)

        try:
            while True:
                size = struct.unpack("!H", await reader.readexactly(2))[0]
                self.take(await reader.readexactly(size), "tcp", send)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


class Relay:
    """A path to a server that can end without a word: what comes over old connections then leads nowhere."""

    def __init__(self) -> None:
        self.connections = 0
        self.ended = 0  # connections that lead nowhere
        self._tasks: list[asyncio.Task[None]] = []
        self._writers: list[asyncio.StreamWriter] = []

    @asynccontextmanager
    async def run(self, behind: int) -> AsyncIterator[int]:
        self.port = behind
        server = await asyncio.start_server(self._stream, "127.0.0.1", 0)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await closed(*self._writers)

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = self.connections = self.connections + 1
        there, back = await asyncio.open_connection("127.0.0.1", self.port)
        self._writers += [back, writer]
        pairs = ((reader, back), (there, writer))
        self._tasks += [asyncio.ensure_future(self._pass(number, *pair)) for pair in pairs]

    async def _pass(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                if number > self.ended:
                    writer.write(data)
        finally:
            writer.close()


async def closed(*writers: asyncio.StreamWriter) -> None:
    """Cut connections, and wait for their ends: what is still closing when the loop ends is never closed."""
    for writer in writers:
        writer.transport.abort()
    for writer in writers:
        with contextlib.suppress(OSError):
            await writer.wait_closed()


class Wire:
    """A client on UDP and TCP that sends bytes as they are."""

    def __init__(self, server: Server, liar: Liar) -> None:
        self.server = server
        self.liar = liar
        host, _, port = server.dns_address.rpartition(":")
        self.where = (host, int(port))

    async def send(self, *packets: bytes, replies: int = 1, wait: float = 3.0) -> list[bytes]:
        """Send datagrams from one socket; what came back, in order, until there are enough or time is over."""
        loop = asyncio.get_running_loop()
        came: asyncio.Queue[bytes] = asyncio.Queue()

        class Client(asyncio.DatagramProtocol):
            def datagram_received(self, data: bytes, addr: Any) -> None:
                came.put_nowait(data)

        transport, _ = await loop.create_datagram_endpoint(Client, remote_addr=self.where)
        found: list[bytes] = []
        try:
            for packet in packets:
                transport.sendto(packet)
            async with asyncio.timeout(wait):
                while len(found) < replies:
                    found.append(await came.get())
        except TimeoutError:
            pass
        finally:
            transport.close()
        return found

    async def ask(self, name: str, rdtype: str = "A", **how: Any) -> dns.message.Message:
        """Ask over UDP; the reply."""
        query = dns.message.make_query(name, rdtype, **how)
        found = await self.send(query.to_wire(), wait=8)
        assert found, f"no reply to {name}"
        reply = dns.message.from_wire(found[0])
        assert query.is_response(reply)
        return reply

    async def tcp(self, *packets: bytes, replies: int | None = None, one_by_one: bool = False) -> list[bytes]:
        """Send messages on one connection; the replies."""
        reader, writer = await asyncio.open_connection(*self.where)
        raw = b"".join(struct.pack("!H", len(p)) + p for p in packets)
        found = []
        try:
            if one_by_one:
                for octet in raw:
                    writer.write(bytes([octet]))
                    await writer.drain()
            else:
                writer.write(raw)
            async with asyncio.timeout(8):
                for _ in range(len(packets) if replies is None else replies):
                    size = struct.unpack("!H", await reader.readexactly(2))[0]
                    found.append(await reader.readexactly(size))
        finally:
            await closed(writer)
        return found

    async def alive(self) -> None:
        """It still answers."""
        reply = await self.ask("alive.test")
        assert reply.rcode() == dns.rcode.NOERROR


@asynccontextmanager
async def house(script: Script = plain, scheme: str = "", **settings: Any) -> AsyncIterator[Wire]:
    """A server in front of a scripted upstream."""
    async with Liar(script).run() as liar, Server(upstreams=[f"{scheme}127.0.0.1:{liar.port}"], **settings) as server:
        yield Wire(server, liar)


def header(flags: int = 0x0100, qd: int = 1, an: int = 0, ns: int = 0, ar: int = 0, ident: int = 0x1234) -> bytes:
    return struct.pack("!6H", ident, flags, qd, an, ns, ar)


def name(text: str) -> bytes:
    return b"".join(bytes([len(x)]) + x.encode() for x in text.split(".")) + b"\0"


OK = name("ok.test")
IN_A = b"\0\1\0\1"
OPT = b"\0\0\x29\x04\xd0\0\0\0\0\0\0"


def opt(options: bytes = b"", flags: int = 0, version: int = 0, size: int = 1232) -> bytes:
    return b"\0" + struct.pack("!HHBBHH", 41, size, 0, version, flags, len(options)) + options


def option(code: int, data: bytes) -> bytes:
    return struct.pack("!HH", code, len(data)) + data


#: How a server must behave, by the ids of the behaviours' table. tests/server/test_behaviour_rows.py holds that each is
#: the id of a test.
ROWS = [
    "hdr-02-qr-set",
    "hdr-03-qd0",
    "hdr-04-qd2",
    "hdr-05-qd-mismatch",
    "hdr-08-ptr-self",
    "hdr-10-ptr-forward",
    "hdr-11-label-type",
    "hdr-14-trailing",
    "hdr-15-ancount-in-query",
    "edge-03-fuzz",
    "hdr-13-name-255",
    "name-02-upstream-lowercases",
    "name-03-binary-label",
    "name-06-utf8",
    "hdr-17-aa-ra-in-query",
    "hdr-18-tc-in-query",
    "hdr-24-rd0",
    "hdr-25-ra-set",
    "hdr-19-opcode-unknown",
    "hdr-21-update",
    "hdr-22-iquery-status-dso",
    "hdr-23-id-0",
    "type-01-unknown",
    "type-03-https",
    "type-04-any",
    "type-05-axfr-udp",
    "type-07-opt-qtype",
    "type-08-class-ch",
    "type-10-class-any",
    "edns-02-v0",
    "edns-04-unknown-option",
    "edns-05-unknown-flag",
    "edns-06-two-opt",
    "edns-07-opt-name",
    "edns-08-rdlen",
    "edns-12-advertised-size",
    "edns-18-cookie",
    "edns-24-padding-udp",
    "edns-11-1232",
    "edns-16-ad",
    "edns-14-do-order",
    "edns-15-cd-cache",
    "tc-05-big-from-cache",
    "cache-02-ttl-decrement",
    "cache-03-expiry",
    "cache-04-ttl0",
    "cache-05-ttl-msb",
    "cache-06-ttl-cap",
    "cache-07-nxdomain",
    "cache-08-nodata",
    "cache-10-nx-subtree",
    "cache-12-neg-cap",
    "cache-13-servfail",
    "cache-14-refused",
    "cache-16-coalesce-case",
    "cache-17-cname",
    "fwd-04-serve-stale",
    "fwd-05-stale-then-fresh",
    "fwd-06-prefetch",
    "edge-01-clock",
    "edns-19-ecs-leak",
    "edns-22-ede-pass",
    "edns-23-keepalive-udp",
    "tc-01-upstream-tc",
    "tc-02-tcp-client",
    "tc-04-big-tcp",
    "tc-06-tcp-dead",
    "tcp-01-one-byte",
    "tcp-02-pipelining",
    "tcp-07-idle",
    "tcp-09-many",
    "spoof-wrongq",
    "spoof-wrongsrc",
    "spoof-noqr",
    "badup-garbage",
    "badup-hdronly",
    "spoof-port-random",
    "fail-01-timeout",
    "fail-02-lost-first",
    "fail-05-servfail-retry",
    "edge-02-65535-inflight",
    "special-localhost",
    "special-a_localhost",
    "special-1_0_0_127_in-addr_arpa",
    "special-x_home_arpa",
    "special-_dns_resolver_arpa",
    "special-printer_local",
    "filter-01-block-modes",
    "filter-02-edns-in-block",
    "filter-03-case-and-dot",
    "filter-04-cname-cloak",
    "filter-05-allow-beats-block",
    "filter-06-cached-then-blocked",
    "filter-07-regex-time",
    "filter-08-million-rules",
    "filter-09-rebinding",
    "fwd-01-failover",
    "fwd-02-all-down",
    "fwd-03-servfail-next",
    "fwd-07-domain-routing",
    "fwd-08-loop",
    "fwd-09-dot",
    "dot-01-server",
    "fwd-10-doh-status",
    "doh-01-server",
    "acl-01",
    "rrl-01",
    "amp-01",
    "edge-04-ipv6",
    "edge-05-reply-source",
]


def row(*ids: str) -> Callable[[Any], Any]:
    """Mark a test with the rows that it is about: they are its id."""

    def mark(function: Any) -> Any:
        marked = pytest.mark.parametrize("row", [pytest.param(None, id="+".join(ids))], indirect=True)(function)
        return pytest.mark.usefixtures("row")(marked)

    return mark


class Skewed:
    """A monotonic clock that can be moved on, for entries to age without a wait."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead
