"""Fifty clients that never read while thousands of queries a second are answered: nobody else notices.

A few seconds here; a minute with `DRILL=1`, as `make drill` runs it. The server is a process of its own.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
import orjson
import psutil
import pytest

from dnsnb import simulate
from dnsnb.dns.wire import make_query
from dnsnb.sse import Decoder

DRILL = bool(os.environ.get("DRILL"))
SECONDS = 60.0 if DRILL else 4.0
RATE = 5000 if DRILL else 2500  # queries a second
READERS = 50
NAMES = [b"".join(bytes([len(x)]) + x.encode() for x in (f"host-{n}", "example", "org")) + b"\0" for n in range(200)]
TOKEN = "a-token-for-the-drill"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@asynccontextmanager
async def serve(upstream: str) -> AsyncIterator[tuple[psutil.Process, dict[str, str]]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "dnsnb", "serve", "--upstream", upstream, "--token", TOKEN, "--json",
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        async with asyncio.timeout(20):
            ready = json.loads(await process.stdout.readline())
        yield psutil.Process(process.pid), ready
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(5):
            assert await process.wait() == 0


class Load(asyncio.DatagramProtocol):
    """Asks names that are in the cache at a steady rate; remembers how long each answer took."""

    def __init__(self) -> None:
        self.sent: dict[int, float] = {}
        self.took: list[float] = []
        self.count = 0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        asked = self.sent.pop(int.from_bytes(data[:2]), None)
        if asked is not None:
            self.took.append(time.perf_counter() - asked)

    async def run(self, seconds: float, rate: float) -> float:
        """Ask for so long; returns the 99th percentile of the answer time in ms, and forgets them."""
        queries = [make_query(name, 1)[2:] for name in NAMES]
        self.took.clear()
        began = time.perf_counter()
        done = 0
        while (now := time.perf_counter()) < began + seconds:
            due = min(int((now - began) * rate) - done, 100)
            for _ in range(due):
                self.count += 1
                number = self.count & 0xFFFF
                self.sent[number] = time.perf_counter()
                self.transport.sendto(number.to_bytes(2) + queries[self.count % len(queries)])
            done += due
            await asyncio.sleep(0.002)
        await asyncio.sleep(0.3)
        assert len(self.took) > 0.99 * done
        return sorted(self.took)[int(len(self.took) * 0.99)] * 1000


class Healthy:
    """A client that reads: every row's id, and what it was told it lost."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.gaps = 0

    async def read(self, http: str) -> None:
        decoder = Decoder()
        async with (
            aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as session,
            session.get(f"{http}/api/sse/stream?batch=1&channels=dns/log/event") as response,
        ):
            async for chunk in response.content.iter_any():
                for message in decoder.feed(chunk):
                    body = orjson.loads(message.data)
                    if body["type"] == "system/gap":
                        self.gaps += 1
                    else:
                        self.ids += body["data"]["columns"]["id"]


async def stalled(http: str) -> socket.socket:
    host, _, port = http.removeprefix("http://").rpartition(":")
    sock = socket.socket()
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(sock, (host, int(port)))
    head = f"GET /api/sse/stream HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
    await loop.sock_sendall(sock, head.encode())
    return sock


async def stats(http: str) -> dict[str, Any]:
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as session,
        session.get(f"{http}/api/sse/stats") as response,
    ):
        found: dict[str, Any] = await response.json()
        return found


async def test_fifty_readers_that_never_read_harm_nobody() -> None:
    async with simulate.Upstream(latency_ms=0) as upstream, serve(upstream.address) as (process, ready):
        http = ready["http"]
        host, _, port = ready["dns"].rpartition(":")
        loop = asyncio.get_running_loop()
        transport, load = await loop.create_datagram_endpoint(Load, remote_addr=(host, int(port)))
        healthy = Healthy()
        reading = asyncio.create_task(healthy.read(http))
        await load.run(SECONDS / 2, RATE)  # fills the cache, the log and the ring: the memory of a server at work
        before_ms = await load.run(SECONDS / 4, RATE)
        rss = process.memory_info().rss
        readers = [await stalled(http) for _ in range(READERS)]
        assert (await stats(http))["connections"] == READERS + 1
        during_ms = await load.run(SECONDS, RATE)
        grown = (process.memory_info().rss - rss) / 2**20
        figures = await stats(http)
        async with asyncio.timeout(20):
            while len(healthy.ids) < load.count:  # noqa: ASYNC110 - the last rows are on their way
                await asyncio.sleep(0.02)
        print(
            f"\n{load.count} queries, {SECONDS:g} s with {READERS} stalled: p99 {before_ms:.2f} -> {during_ms:.2f} ms, "
            f"memory {grown:+.1f} MiB, {figures['stalled']} out, {figures['connections']} left"
        )
        assert healthy.gaps == 0
        assert healthy.ids == list(range(healthy.ids[0], healthy.ids[0] + len(healthy.ids)))
        assert grown < 50
        assert during_ms < 100  # in a short run a busy machine counts for more than the readers
        if DRILL:
            assert during_ms < max(2 * before_ms, before_ms + 5)
            assert figures["stalled"] == READERS
            assert figures["connections"] == 1
            assert not [c for c in process.net_connections() if c.status == psutil.CONN_CLOSE_WAIT]
        for sock in readers:
            sock.close()
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        transport.close()


async def test_with_no_descriptors_left_dns_goes_on_and_new_connections_wait() -> None:
    async with simulate.Upstream(latency_ms=0) as upstream, serve(upstream.address) as (process, ready):
        host, _, port = ready["dns"].rpartition(":")
        loop = asyncio.get_running_loop()
        transport, load = await loop.create_datagram_endpoint(Load, remote_addr=(host, int(port)))
        await load.run(0.5, 200)
        process.rlimit(psutil.RLIMIT_NOFILE, (128, 128))
        sockets = []
        for number in range(200):
            sock = socket.socket()
            sock.setblocking(False)
            with suppress(BlockingIOError):
                sock.connect((host, int(port if number % 2 else ready["http"].rpartition(":")[2])))
            sockets.append(sock)
        process.cpu_percent()
        await load.run(1.5, 200)  # fails where queries are left without an answer
        assert process.cpu_percent() < 60  # it waits, it doesn't turn in circles
        for sock in sockets:
            sock.close()
        async with asyncio.timeout(15):
            assert (await stats(ready["http"]))["connections"] == 0  # it has recovered
        transport.close()
