"""`curl -N` on the stream, with nothing but a header; and again with the last id after the server was restarted."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from dnsnb import simulate
from dnsnb.dns.wire import make_query
from dnsnb.server import Server

pytestmark = [pytest.mark.peer, pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")]


@asynccontextmanager
async def curl(server: Server, *more: str) -> AsyncIterator[asyncio.StreamReader]:
    process = await asyncio.create_subprocess_exec(
        "curl", "-sN", "-H", f"Authorization: Bearer {server.token}", *more,
        f"{server.http_url}/api/sse/stream?channels=dns/log/event", stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    yield process.stdout
    if process.returncode is None:
        process.kill()
    await process.wait()


async def message(lines: asyncio.StreamReader) -> tuple[str, dict[str, object]]:
    """The next message as (id, what is in it)."""
    found = {"id": "", "data": ""}
    async with asyncio.timeout(10):
        while True:
            line = (await lines.readline()).decode().rstrip("\n")
            name, _, value = line.partition(": ")
            if name in found:
                found[name] = value
            elif not line and found["data"]:
                return found["id"], json.loads(found["data"])


async def ask(server: Server, name: str) -> None:
    wire = b"".join(bytes([len(x)]) + x.encode() for x in name.split(".")) + b"\0"
    answered = asyncio.Event()
    server.engine.ask(make_query(wire, 1), "127.0.0.1", "udp", lambda _: answered.set())
    await answered.wait()
    await server.events.tick()


async def test_curl_gets_rows_replays_and_a_reset_after_a_restart() -> None:
    async with simulate.Upstream(latency_ms=0) as upstream:
        async with Server(upstreams=[upstream.address], token="a-token-for-curl") as server:
            async with curl(server) as lines:
                while not server.responder.streams:  # noqa: ASYNC110 - curl is on its way
                    await asyncio.sleep(0.01)
                await ask(server, "one.example.org")
                last, found = await message(lines)
                assert found["data"]["qname"] == "one.example.org"  # type: ignore[index]
            await ask(server, "two.example.org")
            await ask(server, "three.example.org")
            async with curl(server, "-H", f"Last-Event-ID: {last}") as lines:
                names = [(await message(lines))[1]["data"]["qname"] for _ in range(2)]  # type: ignore[index]
                assert names == ["two.example.org", "three.example.org"]
            http = server.http_url.removeprefix("http://")
        async with (
            Server(upstreams=[upstream.address], token="a-token-for-curl", http=http) as server,
            curl(server, "-H", f"Last-Event-ID: {last}") as lines,
        ):
            _, found = await message(lines)
            assert found["type"] == "system/reset"
            await ask(server, "four.example.org")
            _, found = await message(lines)
            assert found["data"]["qname"] == "four.example.org"  # type: ignore[index]
