"""The made-up internet on real sockets: a DNS server over UDP and TCP that answers from a `World`.

Every demo and test that needs an upstream runs against it with no network. Knows nothing of dnsnb's own server.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import socket
from collections import OrderedDict
from types import TracebackType
from typing import Any, Self

from dnsnb.background import BackgroundLoop
from dnsnb.simulate.script import Reply
from dnsnb.simulate.world import World

_REMEMBERED = 4096


class Upstream:
    """A resolver for a made-up internet, as an async context manager.

    `latency_ms` is the median of the (per name, fixed) answer time; 0 answers at once. `port` 0 picks a free one, the
    same for UDP and TCP. `queries` counts the questions by transport. `world` is whatever has `World.reply`; what it
    answers is remembered unless `remember` is False: then it may change.
    """

    def __init__(
        self,
        world: World | None = None,
        *,
        latency_ms: float = 12.0,
        host: str = "127.0.0.1",
        port: int = 0,
        remember: bool = True,
    ) -> None:
        self.world: World = world or World()
        self._remember = remember
        self.latency_ms = latency_ms
        self.queries: dict[str, int] = {"udp": 0, "tcp": 0}
        self._wanted = (host, port)
        self._udp: asyncio.DatagramTransport | None = None
        self._tcp: asyncio.Server | None = None
        self._address: tuple[str, int] | None = None
        self._memo: OrderedDict[bytes, Reply] = OrderedDict()
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def address(self) -> str:
        """HOST:PORT, as an upstream setting wants it."""
        if self._address is None:
            raise RuntimeError("the simulated upstream is not running: use `async with Upstream() as upstream`")
        host, port = self._address
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        host, port = self._wanted
        for attempt in range(20):
            self._tcp = await asyncio.start_server(self._serve_stream, host, port)
            self._address = self._tcp.sockets[0].getsockname()[:2]
            try:
                self._udp, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), local_addr=self._address)
                break
            except OSError:  # the TCP port that we were given is somebody's UDP port
                self._tcp.close()
                if port or attempt == 19:
                    raise
        udp: socket.socket = self._udp.get_extra_info("socket")  # type: ignore[union-attr]
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._udp is not None:
            self._udp.close()
        if self._tcp is not None:
            self._tcp.close()
        for writer in list(self._writers):
            writer.close()
        self._udp = self._tcp = self._address = None

    def reply(self, wire: bytes, *, stream: bool) -> Reply:
        """Return the answer and the wait, network latency included; the newest answers are remembered."""
        if not self._remember or b"seq-" in wire[:24]:  # that one counts on each question
            return self._timed(wire, self.world.reply(wire, stream=stream))
        key = (b"t" if stream else b"u") + wire[2:]
        known = self._memo.get(key)
        if known is None:
            known = self._timed(wire, self.world.reply(wire, stream=stream))
            self._memo[key] = known
            if len(self._memo) > _REMEMBERED:
                self._memo.popitem(last=False)
        return known if known.wire is None else Reply(wire[:2] + known.wire[2:], known.delay_ms)

    def _timed(self, wire: bytes, reply: Reply) -> Reply:
        if not self.latency_ms:
            return reply
        spread = hashlib.blake2b(wire[12:], digest_size=2).digest()
        # between a third and six times the median, long-tailed
        factor = math.exp((spread[0] / 255 - 0.5) * 2.2 + (0.7 if spread[1] < 20 else 0.0))
        return Reply(reply.wire, reply.delay_ms + self.latency_ms * factor)

    async def _serve_stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while True:
                size = int.from_bytes(await reader.readexactly(2))
                answer = self.reply(await reader.readexactly(size), stream=True)
                self.queries["tcp"] += 1
                if answer.delay_ms:
                    await asyncio.sleep(answer.delay_ms / 1000)
                if answer.wire is not None:
                    writer.write(len(answer.wire).to_bytes(2) + answer.wire)
                    await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self.loop = asyncio.get_running_loop()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.upstream.queries["udp"] += 1
        wire, delay_ms = self.upstream.reply(data, stream=False)
        if wire is None:
            return
        if delay_ms:
            self.loop.call_later(delay_ms / 1000, self._send, wire, addr)
        else:
            self._send(wire, addr)

    def _send(self, wire: bytes, addr: Any) -> None:
        if not self.transport.is_closing():
            self.transport.sendto(wire, addr)


class Running:
    """An `Upstream` in a background thread: `address`, `queries`, `close()`; also a context manager."""

    def __init__(self, **settings: Any) -> None:
        self.upstream: Upstream = Upstream(**settings)
        self._loop = BackgroundLoop("dnsnb-simulate")
        try:
            self._loop.call(self.upstream.__aenter__)
        except BaseException:
            self._loop.close()
            raise
        self.address: str = self.upstream.address

    @property
    def queries(self) -> dict[str, int]:
        """Questions received, by transport."""
        return self.upstream.queries

    def close(self) -> None:
        """Stop it; closing twice is fine."""
        if not self._loop.closed:
            self._loop.call(self.upstream.__aexit__, None, None, None)
            self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<simulated upstream on {self.address}, {sum(self.queries.values())} queries>"


def running(**settings: Any) -> Running:
    """Start a simulated upstream in a background thread; settings are those of `Upstream`."""
    return Running(**settings)
