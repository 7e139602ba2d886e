"""SSEClient against a server that breaks in every way: no event is lost, none comes twice, one connection at a time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import orjson
import pytest

from dnsnb.background import BackgroundLoop
from dnsnb.client import sse_client
from dnsnb.client.events import Event
from dnsnb.client.sse_client import SSEClient

TOKEN = "a-token-for-chaos"
EVENTS = 12
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\nretry: 10\n\n"

#: what a connection does with the bytes that are due to it: writes some, and returns "stay", or whether to end politely
Fault = Callable[[asyncio.StreamWriter, bytes, int], Any]


def messages(after: int, epoch: str = "5") -> bytes:
    out = b""
    for n in range(after + 1, EVENTS + 1):
        row = {"columns": {"id": [n], "qname": [f"n{n}.example ü😀"]}, "count": 1, "dropped": 0}
        out += b"id: %b-%d\ndata: %b\n\n" % (
            epoch.encode(),
            n,
            orjson.dumps({"type": "dns/log/event", "data": row, "timestamp": n}),
        )
    return out


class Chaos:
    """Serves the same twelve events, from the last id on, and treats each connection as `fault` says."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.requests: list[dict[str, str]] = []
        self.open = self.most_open = 0
        self._tasks: set[asyncio.Task[Any]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            raw = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = raw.strip().split("\r\n")
            headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines)} | {"": first}
            self.requests.append(headers)
            epoch, _, number = headers.get("last-event-id", "5-0").rpartition("-")
            assert epoch == "5"
            then = await self.fault(writer, HEAD + messages(int(number)), len(self.requests))
            if then == "stay":
                await reader.read()
            elif not then:
                writer.transport.abort()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self.open -= 1
            writer.close()
            self._tasks.discard(task)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        try:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)


async def stay(writer: asyncio.StreamWriter) -> str:
    """Leave the stream open until the client goes."""
    await writer.drain()
    return "stay"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse_client, "FIRST_DELAY", 0.001)
    monkeypatch.setattr(sse_client, "MAX_DELAY", 0.01)
    monkeypatch.setattr(sse_client, "IDLE", 0.3)
    monkeypatch.setattr("dnsnb.sse.MIN_RETRY_MS", 1)


@pytest.fixture
def loop() -> Iterator[BackgroundLoop]:
    with BackgroundLoop("chaos-client") as one:
        yield one


async def collect(chaos: Chaos, loop: BackgroundLoop, seconds: float = 30) -> tuple[list[int], SSEClient]:
    """Follow a chaotic server until the twelfth event; the ids as they came, duplicates and all."""
    found: list[int] = []
    done = threading.Event()

    def take(event: Event) -> None:
        found.extend(event.data["columns"]["id"])
        if found[-1] == EVENTS:
            done.set()

    async with chaos.running() as url:
        client = SSEClient(url, TOKEN, loop)
        subscription = await asyncio.to_thread(client.subscribe, "dns/log/event", take)
        assert await asyncio.to_thread(done.wait, seconds), f"{found} after {len(chaos.requests)} connections"
        await asyncio.to_thread(subscription.close)
        await asyncio.to_thread(client.close)
        async with asyncio.timeout(5):
            while chaos.open:  # noqa: ASYNC110 - the client's end is on its way
                await asyncio.sleep(0.01)
    assert chaos.most_open == 1
    assert not loop.call(lambda: [t for t in asyncio.all_tasks() if "SSEClient" in repr(t) and not t.done()])
    return found, client


async def check(fault: Fault, loop: BackgroundLoop) -> Chaos:
    chaos = Chaos(fault)
    found, _ = await collect(chaos, loop)
    assert found == list(range(1, EVENTS + 1))
    return chaos


async def test_a_reset_after_every_number_of_bytes(loop: BackgroundLoop) -> None:
    """The k-th connection is cut after k bytes, until all has come."""

    async def fault(writer: asyncio.StreamWriter, due: bytes, number: int) -> Any:
        writer.write(due[:number])
        if number >= len(due) and due != HEAD:
            return await stay(writer)
        await writer.drain()
        return number % 2 == 0  # by FIN and by RST in turn

    chaos = await check(fault, loop)
    assert len(chaos.requests) > len(HEAD)


@pytest.mark.parametrize("seed", range(5))
async def test_cuts_at_random_with_everything_else(seed: int, loop: BackgroundLoop) -> None:
    chance = random.Random(seed)

    async def fault(writer: asyncio.StreamWriter, due: bytes, number: int) -> Any:
        kind = chance.randrange(9)
        if number > 60:
            kind = 0
        if kind == 0:
            writer.write(due)
            return await stay(writer)
        if kind == 1:
            writer.write(b"HTTP/1.1 503 Busy\r\nRetry-After: 0\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return True
        if kind == 2:
            writer.write(b"HTTP/1.1 500 Oops\r\nContent-Length: 4\r\nConnection: close\r\n\r\noops")
            return True
        if kind == 3:
            writer.write(chance.randbytes(200))
            return True
        if kind == 4:
            return False
        if kind == 5:  # garbage inside the stream, between whole messages
            cut = due.find(b"\n\n", chance.randrange(len(due)))
            cut = len(due) if cut < 0 else cut + 2
            noise = b": \xff\xfe\n\ndata: not json\n\nnonsense\n\n\r\n\r\ndata: {}\n\n"
            writer.write(due[:cut] + noise + due[cut:])
            return True
        if kind == 6:  # half a message, then the end
            writer.write(due[: chance.randrange(len(HEAD), len(due) + 1)])
            return True
        if kind == 7:  # half a message, then silence
            writer.write(due[: chance.randrange(len(HEAD), len(due) + 1)])
            return await stay(writer)
        for at in range(0, len(due), 7):  # in small pieces, then reset
            writer.write(due[at : at + 7])
            await writer.drain()
            if chance.random() < 0.01:
                break
        return False

    await check(fault, loop)


async def test_a_chunked_stream_that_breaks_off(loop: BackgroundLoop) -> None:
    head = HEAD.replace(b"Connection: close", b"Transfer-Encoding: chunked")
    head, _, body = head.partition(b"\r\n\r\n")

    async def fault(writer: asyncio.StreamWriter, due: bytes, number: int) -> Any:
        data = body + due[len(HEAD) :]
        size = 40 + number * 50
        writer.write(head + b"\r\n\r\n" + b"%x\r\n%b\r\n" % (len(data), data[:size]))
        if size >= len(data):
            return await stay(writer)
        return True

    await check(fault, loop)


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", "204"),
        (b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", "401"),
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", "403"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 0\r\n\r\n", "text/html"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "no event stream"),
        (b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", "302"),
    ],
)
async def test_what_ends_it_with_a_reason(answer: bytes, word: str, loop: BackgroundLoop) -> None:
    async def fault(writer: asyncio.StreamWriter, due: bytes, number: int) -> Any:
        writer.write(answer)
        await writer.drain()
        return True

    chaos = Chaos(fault)
    async with chaos.running() as url:
        client = SSEClient(url, TOKEN, loop)
        closed = threading.Event()
        client.on_connection_change(lambda state, _: closed.set() if state == "closed" else None)
        await asyncio.to_thread(client.subscribe, "*", lambda _: None)
        assert await asyncio.to_thread(closed.wait, 10)
        assert client.state == "closed"
        assert word in client.reason
        assert TOKEN not in client.reason + repr(client) + repr(vars(client).get("_run"))
        await asyncio.to_thread(client.close)
    assert len(chaos.requests) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_followed_and_another_origin_never_sees_the_token(
    status: int, loop: BackgroundLoop
) -> None:
    async def whole(writer: asyncio.StreamWriter, due: bytes, number: int) -> Any:
        writer.write(due)
        return await stay(writer)

    async def away(writer: asyncio.StreamWriter, due: bytes, number: int) -> Any:
        where = elsewhere if number == 1 else "/moved"
        writer.write(
            b"HTTP/1.1 %d Moved\r\nLocation: %b\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            % (status, where.encode())
        )
        return True

    async def here(writer: asyncio.StreamWriter, due: bytes, number: int) -> Any:
        if number == 1:
            writer.write(
                b"HTTP/1.1 %d Moved\r\nLocation: /moved?batch=1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                % status
            )
            return True
        return await whole(writer, due, number)

    same = await check(here, loop)
    assert [r[""].split()[1] for r in same.requests] == ["/api/sse/stream?batch=1", "/moved?batch=1"]
    assert same.requests[1]["authorization"] == f"Bearer {TOKEN}"

    other = Chaos(whole)
    async with other.running() as url:
        elsewhere = url + "/x"
        await collect(Chaos(away), loop)
    assert other.requests
    assert "authorization" not in other.requests[0]
    assert TOKEN not in str(other.requests)


async def test_idle_is_noticed_and_warned_of_once(
    loop: BackgroundLoop, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse_client, "WARN_AFTER", 0.05)
    monkeypatch.setattr(sse_client, "MAX_DELAY", 0.05)
    caplog.set_level(logging.INFO, logger="dnsnb.client")

    async def fault(writer: asyncio.StreamWriter, due: bytes, number: int) -> Any:
        if number == 1:
            writer.write(due[: len(HEAD) + 300])
            return await stay(writer)  # silence: the client must leave by itself
        if number < 30:
            return False
        writer.write(due)
        return await stay(writer)

    await check(fault, loop)
    warned = [r.message for r in caplog.records if r.levelno >= logging.WARNING]
    assert len(warned) == 1
    assert "lost" in warned[0]
    assert "is back" in caplog.text
    assert TOKEN not in caplog.text


async def test_states_tell_the_story(loop: BackgroundLoop) -> None:
    told: list[str] = []

    async def fault(writer: asyncio.StreamWriter, due: bytes, number: int) -> Any:
        if number == 2:
            writer.write(b"HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n")
            return True
        writer.write(due[: None if number > 1 else len(HEAD)])
        return True if number == 1 else await stay(writer)

    chaos = Chaos(fault)
    done = threading.Event()
    async with chaos.running() as url:
        client = SSEClient(url, TOKEN, loop)
        assert (client.state, client.is_connected) == ("closed", False)
        client.on_connection_change(lambda state, reason: told.append(state))
        began = asyncio.get_running_loop().time()
        await asyncio.to_thread(
            client.subscribe, "dns/log/event", lambda e: done.set() if e.data["columns"]["id"] == [EVENTS] else None
        )
        assert await asyncio.to_thread(done.wait, 10)
        assert client.is_connected
        assert asyncio.get_running_loop().time() - began >= 1  # Retry-After was honoured
        await asyncio.to_thread(client.close)
    assert told[0] == "connecting"
    assert told[-1] == "closed"
    assert told.count("open") == 2
    assert "waiting" in told


def test_two_clients_of_one_server_warn_once(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """The warning is the process's, not the client's; it comes anew when the server was back meanwhile."""
    monkeypatch.setattr(sse_client, "WARN_AFTER", 0.0)
    caplog.set_level(logging.WARNING)
    url = "http://127.0.0.1:1"
    with BackgroundLoop("one") as first, BackgroundLoop("two") as second:
        clients = [sse_client.SSEClient(url, TOKEN, used) for used in (first, second)]
        for client in clients:
            client._lost_at = 1.0
            client._warn(True, "gone")
            client._warn(True, "gone")
        assert len(caplog.records) == 1
        sse_client._LOST.discard(url)
        fresh = sse_client.SSEClient(url, TOKEN, first)
        fresh._lost_at = 1.0
        fresh._warn(True, "gone")
        assert len(caplog.records) == 2
    sse_client._LOST.discard(url)
