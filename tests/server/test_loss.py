"""A bad network between us and the upstreams: lost, late, doubled and reordered packets, a dead first upstream."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any, Self

import dns.asyncquery
import dns.message
import dns.rcode
import pytest

from dnsnb import simulate
from dnsnb.server import Server


class Relay:
    """A path for UDP that loses, delays and doubles packets, the same for the same seed; TCP goes through unharmed."""

    def __init__(
        self, upstream: str, *, loss: float = 0.0, delay: float = 0.0, doubled: float = 0.0, seed: int = 1
    ) -> None:
        self.host, _, port = upstream.rpartition(":")
        self.port = int(port)
        self.loss, self.delay, self.doubled = loss, delay, doubled
        self.random = random.Random(seed)
        self.lost = self.passed = 0

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self.tcp = await asyncio.start_server(self._stream, "127.0.0.1", 0)
        where = self.tcp.sockets[0].getsockname()
        self.address = f"127.0.0.1:{where[1]}"
        self.udp, _ = await loop.create_datagram_endpoint(lambda: _Side(self, None), local_addr=where)
        self.outer: dict[Any, asyncio.Task[asyncio.DatagramTransport]] = {}
        self.tasks: set[asyncio.Task[None]] = set()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.udp.close()
        self.tcp.close()
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        for opened in await asyncio.gather(*self.outer.values()):
            opened.close()
        await asyncio.sleep(0)  # transports close in the loop's next turn

    def carry(self, send: Any, data: bytes) -> None:
        """Send a packet on, or not, now or later, once or twice."""
        if self.random.random() < self.loss:
            self.lost += 1
            return
        self.passed += 1
        for _ in range(2 if self.random.random() < self.doubled else 1):
            asyncio.get_running_loop().call_later(self.random.random() * self.delay, send, data)

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        there, back = await asyncio.open_connection(self.host, self.port)

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(4096):
                sink.write(data)

        try:
            await asyncio.gather(pump(reader, back), pump(there, writer))
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            for sink in (writer, back):
                sink.close()


class _Side(asyncio.DatagramProtocol):
    """One end of the relay: towards the client (`peer` None), or towards the upstream for one client."""

    def __init__(self, relay: Relay, peer: Any) -> None:
        self.relay = relay
        self.peer = peer

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        relay = self.relay
        if self.peer is not None:
            relay.carry(lambda d: None if relay.udp.is_closing() else relay.udp.sendto(d, self.peer), data)
            return
        task = asyncio.get_running_loop().create_task(self._on(data, addr))
        relay.tasks.add(task)
        task.add_done_callback(relay.tasks.discard)

    async def _way(self, addr: Any) -> asyncio.DatagramTransport:
        relay = self.relay
        outer, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Side(relay, addr), remote_addr=(relay.host, relay.port)
        )
        return outer

    async def _on(self, data: bytes, addr: Any) -> None:
        relay = self.relay
        if addr not in relay.outer:  # one task a client: packets of one that come together share its way
            relay.outer[addr] = asyncio.get_running_loop().create_task(self._way(addr))
        outer = await asyncio.shield(relay.outer[addr])
        relay.carry(lambda d: None if outer.is_closing() else outer.sendto(d), data)


async def ask(server: Server, name: str) -> tuple[dns.message.Message, float]:
    host, _, port = server.dns_address.rpartition(":")
    began = time.monotonic()
    reply = await dns.asyncquery.udp(dns.message.make_query(name, "A"), host, port=int(port), timeout=6)
    return reply, time.monotonic() - began


def address_of(number: int) -> str:
    return f"192.0.{number >> 8}.{number & 255}"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "least"),
    [({"loss": 0.1}, 0.99), ({"loss": 0.3}, 0.99), ({"delay": 0.2, "doubled": 0.05}, 1.0)],
    ids=["10 % lost", "30 % lost", "late, doubled, reordered"],
)
async def test_every_query_gets_its_own_answer(how: dict[str, float], least: float) -> None:
    """30 % are lost each way: half of all exchanges fail."""
    names = [f"seq-60.n{n}.loss.org" for n in range(300)]
    async with (
        simulate.Upstream(latency_ms=2) as upstream,
        Relay(upstream.address, **how) as relay,
        Server(upstreams=[relay.address]) as server,
    ):
        answers = await asyncio.gather(*(ask(server, name) for name in names))
    good = 0
    seen = set()
    for name, (reply, took) in zip(names, answers, strict=True):
        assert reply.question[0].name.to_text(omit_final_dot=True) == name
        assert took < 5
        if reply.rcode() == dns.rcode.NOERROR:
            good += 1
            assert reply.answer[0].name == reply.question[0].name
            seen.add(reply.answer[0][0].address)
    assert good >= least * len(names)
    assert len(seen) == good, "two names got the same counting address: an answer went to the wrong question"
    assert relay.passed > len(names)


async def test_a_dead_first_upstream_costs_once() -> None:
    async with (
        simulate.Upstream(latency_ms=1) as upstream,
        Relay(upstream.address, loss=1.0) as dead,
        Server(upstreams=[dead.address, upstream.address]) as server,
    ):
        reply, first = await ask(server, "ok-60.one.org")
        assert reply.rcode() == dns.rcode.NOERROR
        assert first < 1.5
        states = {u["name"]: u["state"] for u in server.status()["upstreams"]}
        assert states == {dead.address: "down", upstream.address: "up"}
        for number in range(20):
            reply, took = await ask(server, f"ok-60.n{number}.org")
            assert reply.rcode() == dns.rcode.NOERROR
            assert took < 0.5
        dead.loss = 0.0
        deadline = time.monotonic() + 10
        while {u["state"] for u in server.status()["upstreams"]} != {"up"}:
            assert time.monotonic() < deadline, "the first upstream is back, and not taken up again"
            await ask(server, f"ok-60.back{time.monotonic()}.org".replace(".", "-", 1).replace("-60-", "-60.", 1))
            await asyncio.sleep(0.1)


async def test_all_dead_is_said_in_time() -> None:
    async with (
        simulate.Upstream() as upstream,
        Relay(upstream.address, loss=1.0) as dead,
        Server(upstreams=[dead.address]) as server,
    ):
        dead.tcp.close()  # what UDP alone loses, TCP would bring
        reply, took = await ask(server, "ok-60.one.org")
        assert reply.rcode() == dns.rcode.SERVFAIL
        assert took < 5
        reply, took = await ask(server, "ok-60.one.org")  # the failure is remembered for a moment
        assert took < 0.5
