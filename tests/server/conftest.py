"""A real server on loopback with a made-up internet behind it, and what talks to it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from dnsnb import simulate
from dnsnb.server import Server
from dnsnb.sse import Decoder, Message

sys.path.insert(0, str(Path(__file__).parent))  # for scripted


class Events:
    """A stream as a client sees it: messages in order, waited for, never slept for."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response
        self.decoder = Decoder()
        self.seen: list[dict[str, Any]] = []
        self._waiting: list[dict[str, Any]] = []

    async def next(self) -> dict[str, Any]:
        """The next message, `id` put into it; StopAsyncIteration at the end of the stream."""
        while not self._waiting:
            chunk = await self.response.content.readany()
            if not chunk:
                raise StopAsyncIteration
            self._waiting += [_opened(m) for m in self.decoder.feed(chunk)]
        self.seen.append(self._waiting.pop(0))
        return self.seen[-1]

    async def until(self, good: Callable[[dict[str, Any]], bool], seconds: float = 10) -> dict[str, Any]:
        """The next message that is good."""
        async with asyncio.timeout(seconds):
            while not good(message := await self.next()):
                pass
        return message

    async def of(self, channel: str) -> dict[str, Any]:
        """The next message of a channel."""
        return await self.until(lambda m: m["type"] == channel)

    async def ended(self) -> bool:
        """Wait for the end."""
        try:
            async with asyncio.timeout(10):
                while True:
                    await self.next()
        except StopAsyncIteration:
            return True


def _opened(message: Message) -> dict[str, Any]:
    assert message.event == "message"
    opened: dict[str, Any] = orjson.loads(message.data)
    return opened | {"id": message.id}


class Api:
    """Requests to a server, with its admin token unless told otherwise."""

    def __init__(self, server: Server, session: aiohttp.ClientSession) -> None:
        self.server = server
        self.session = session

    def headers(self, token: str | None = "", **more: str) -> dict[str, str]:
        text = self.server.token if token == "" else token
        auth = {} if text is None else {"Authorization": f"Bearer {text}"}
        return auth | {k.replace("_", "-"): v for k, v in more.items()}

    async def call(
        self, method: str, path: str, json: Any = None, token: str | None = "", **headers: str
    ) -> tuple[int, Any]:
        """Status and decoded body of a request."""
        async with self.session.request(
            method, self.server.http_url + path, json=json, headers=self.headers(token, **headers)
        ) as response:
            raw = await response.read()
            is_json = raw and response.content_type == "application/json"
            return response.status, orjson.loads(raw) if is_json else raw.decode("utf-8", "replace")

    @asynccontextmanager
    async def stream(self, query: str = "", token: str | None = "", **headers: str) -> AsyncIterator[Events]:
        """An open stream."""
        url = f"{self.server.http_url}/api/sse/stream{query}"
        async with self.session.get(url, headers=self.headers(token, **headers)) as response:
            assert response.status == 200, await response.text()
            yield Events(response)

    async def ask(self, name: str, count: int = 1) -> bytes:
        """Ask the server over UDP; the last answer's bytes."""
        from dnsnb.dns.wire import make_query

        loop = asyncio.get_running_loop()
        host, _, port = self.server.dns_address.rpartition(":")
        answered: asyncio.Queue[bytes] = asyncio.Queue()

        class Asker(asyncio.DatagramProtocol):
            def datagram_received(self, data: bytes, addr: Any) -> None:
                answered.put_nowait(data)

        transport, _ = await loop.create_datagram_endpoint(Asker, remote_addr=(host.strip("[]"), int(port)))
        try:
            wire = b"".join(bytes([len(x)]) + x.encode() for x in name.split(".")) + b"\0"
            answer = b""
            async with asyncio.timeout(10):
                for number in range(count):
                    transport.sendto(number.to_bytes(2) + make_query(wire, 1)[2:])
                    answer = await answered.get()
            return answer
        finally:
            transport.close()


@pytest.fixture
async def upstream() -> AsyncIterator[simulate.Upstream]:
    async with simulate.Upstream(latency_ms=0) as running:
        yield running


@asynccontextmanager
async def running_api(upstream: simulate.Upstream, **settings: Any) -> AsyncIterator[Api]:
    """A server with these settings, and a client of its API."""
    async with (
        Server(upstreams=[upstream.address], **settings) as server,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(20)) as session,
    ):
        yield Api(server, session)


@pytest.fixture
async def api(upstream: simulate.Upstream) -> AsyncIterator[Api]:
    async with running_api(upstream, blacklist=["ads.example.com"]) as running:
        yield running


@pytest.fixture
def start_api(upstream: simulate.Upstream) -> Callable[..., Any]:
    """For tests that want settings of their own: `async with start_api(max_streams=2) as api`."""
    return lambda **settings: running_api(upstream, **settings)


@pytest.fixture
def row(request: pytest.FixtureRequest) -> None:
    """The rows that a test is about (scripted.row): nothing but its id."""
