"""Upstreams over TLS and HTTPS that lie, hang up or aren't who they say, on real sockets (RFC 7858, RFC 8484)."""

from __future__ import annotations

import asyncio
import ssl
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import dns.message
import dns.rrset
import pytest
from aiohttp import web

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import peers
from scripted import Relay

from dnsnb.dns import wire
from dnsnb.dns.upstream import parse_upstream
from dnsnb.server import stream_upstream
from dnsnb.server.upstreams import open_upstream

pytestmark = pytest.mark.peer

CA = """
[ca]
default_ca = own
[own]
database = {folder}/index.txt
rand_serial = yes
new_certs_dir = {folder}
default_md = sha256
policy = any
[any]
commonName = supplied
[names]
subjectAltName = DNS:{name}
"""


class Papers(NamedTuple):
    """A self-made certificate, and its key."""

    cert: Path
    key: Path

    def server(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.cert, self.key)
        return context

    def trusting(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.cert))


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Papers]:
    """Make certificates for a name, over since 2021 where they are to be expired."""
    made: dict[tuple[str, bool], Papers] = {}

    def make(name: str = "dns.test", expired: bool = False) -> Papers:
        if (name, expired) not in made:
            folder = tmp_path_factory.mktemp("papers")
            cert, key, request, config = (folder / n for n in ("cert.pem", "key.pem", "request.pem", "ca.cnf"))
            config.write_text(CA.format(folder=folder, name=name))
            (folder / "index.txt").touch()
            openssl = peers.program("openssl")
            until = "20210101000000Z" if expired else "20480101000000Z"
            for arguments in (
                ["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", str(key),
                 "-out", str(request), "-subj", f"/CN={name}"],
                ["ca", "-batch", "-selfsign", "-notext", "-config", str(config), "-in", str(request), "-keyfile",
                 str(key), "-out", str(cert), "-startdate", "20200101000000Z", "-enddate", until, "-extensions",
                 "names"],
            ):  # fmt: skip
                subprocess.run([openssl, *arguments], check=True, capture_output=True)
            made[name, expired] = Papers(cert, key)
        return made[name, expired]

    return make


def answered(query: dns.message.Message, address: str = "192.0.2.1") -> bytes:
    reply = dns.message.make_response(query)
    reply.answer.append(dns.rrset.from_text(query.question[0].name, 60, "IN", "A", address))
    return reply.to_wire()


class Dot:
    """A DoT server that counts its connections, and may close each after an answer."""

    def __init__(self, *, closes: bool = False, backwards: int = 0) -> None:
        self.closes = closes
        self.backwards = backwards  # answers that are held and sent last first
        self.connections = 0
        self.asked: list[bytes] = []

    @asynccontextmanager
    async def run(self, tls: ssl.SSLContext | None) -> AsyncIterator[int]:
        server = await asyncio.start_server(self._stream, "127.0.0.1", 0, ssl=tls)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        held: list[bytes] = []
        try:
            while True:
                raw = await reader.readexactly(struct.unpack("!H", await reader.readexactly(2))[0])
                self.asked.append(raw)
                held.append(answered(dns.message.from_wire(raw)))
                if len(held) > self.backwards:
                    for reply in reversed(held):
                        writer.write(struct.pack("!H", len(reply)) + reply)
                    held.clear()
                    if self.closes:
                        break
        except (asyncio.IncompleteReadError, ConnectionError, struct.error):
            pass
        finally:
            writer.close()


def query(name: str) -> bytes:
    return wire.make_query(wire.text_to_name(name), wire.A)


async def ask(upstream: Any, *names: str) -> list[tuple[bytes | None, str]]:
    """Ask for names at once; what came of each."""
    loop = asyncio.get_running_loop()
    futures = []
    for name in names:
        future: asyncio.Future[tuple[bytes | None, str]] = loop.create_future()
        upstream.send(query(name), lambda m, w, f=future: None if f.done() else f.set_result((m, w)), loop.time() + 4.5)
        futures.append(future)
    return await asyncio.wait_for(asyncio.gather(*futures), 6)


@asynccontextmanager
async def opened(text: str, tls: ssl.SSLContext) -> AsyncIterator[Any]:
    upstream = open_upstream(parse_upstream(text), lambda: tls)
    try:
        yield upstream
    finally:
        upstream.close()
        await asyncio.sleep(0)


def data(found: tuple[bytes | None, str]) -> str:
    assert found[0] is not None, found[1]
    return dns.message.from_wire(found[0]).answer[0][0].to_text()


async def test_fwd_09_a_connection_is_used_again_and_out_of_order(papers: Callable[..., Papers]) -> None:
    dot = Dot(backwards=4)
    own = papers()
    async with dot.run(own.server()) as port, opened(f"tls://dns.test@127.0.0.1:{port}", own.trusting()) as upstream:
        names = [f"n{n}.test" for n in range(5)]
        for found, name in zip(await ask(upstream, *names), names, strict=True):
            assert data(found) == "192.0.2.1"
            assert found[0] is not None
            assert dns.message.from_wire(found[0]).question[0].name.to_text() == name + "."
        assert dot.connections == 1
        assert {len(raw) % 128 for raw in dot.asked} == {0}  # RFC 8467: lengths tell nothing
        assert len({raw[:2] for raw in dot.asked}) == 5


@pytest.mark.parametrize("scheme", ["tcp", "tls"])
async def test_a_connection_that_leads_nowhere_is_given_up(
    papers: Callable[..., Papers], scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_upstream, "SILENT_SECONDS", 0.2)
    own = papers()
    relay = Relay()
    async with Dot().run(own.server() if scheme == "tls" else None) as behind, relay.run(behind) as port:
        where = f"{scheme}://dns.test@127.0.0.1:{port}" if scheme == "tls" else f"tcp://127.0.0.1:{port}"
        async with opened(where, own.trusting()) as upstream:
            assert data((await ask(upstream, "a.test"))[0]) == "192.0.2.1"
            relay.ended = relay.connections
            assert [data(found) for found in await ask(upstream, "b.test", "c.test")] == ["192.0.2.1"] * 2
            assert data((await ask(upstream, "d.test"))[0]) == "192.0.2.1"
            assert relay.connections > 1


async def test_fwd_09_one_that_closes_after_each_answer_loses_nothing(papers: Callable[..., Papers]) -> None:
    dot = Dot(closes=True)
    own = papers()
    async with dot.run(own.server()) as port, opened(f"tls://dns.test@127.0.0.1:{port}", own.trusting()) as upstream:
        for name in ("a.test", "b.test", "c.test"):
            assert data((await ask(upstream, name))[0]) == "192.0.2.1"
        found = await ask(upstream, *(f"n{n}.test" for n in range(4)))
        assert [data(f) for f in found] == ["192.0.2.1"] * 4


@pytest.mark.parametrize("wrong", ["name", "expired", "unknown", "plain"])
async def test_fwd_09_who_cant_show_its_name_isnt_asked(papers: Callable[..., Papers], wrong: str) -> None:
    shown = papers("else.test") if wrong == "name" else papers(expired=wrong == "expired")
    trusts = ssl.create_default_context() if wrong == "unknown" else shown.trusting()
    dot = Dot()
    async with (
        dot.run(None if wrong == "plain" else shown.server()) as port,
        opened(f"tls://dns.test@127.0.0.1:{port}", trusts) as upstream,
    ):
        message, why = (await ask(upstream, "a.test"))[0]
        assert message is None
        assert why
        assert dot.asked == []


class Doh:
    """A DoH server that answers by one function."""

    def __init__(self, answer: Callable[[dns.message.Message], web.Response]) -> None:
        self.answer = answer
        self.asked: list[bytes] = []

    @asynccontextmanager
    async def run(self, tls: ssl.SSLContext) -> AsyncIterator[int]:
        async def handle(request: web.Request) -> web.Response:
            assert request.content_type == "application/dns-message"
            self.asked.append(await request.read())
            return self.answer(dns.message.from_wire(self.asked[-1]))

        app = web.Application()
        app.router.add_post("/dns-query", handle)
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
            await site.start()
            yield runner.addresses[0][1]
        finally:
            await runner.cleanup()


def sent(body: bytes, kind: str = "application/dns-message", status: int = 200, **headers: str) -> web.Response:
    return web.Response(body=body, content_type=kind, status=status, headers=headers)


def other_id(q: dns.message.Message) -> web.Response:
    return sent(b"\x12\x34" + answered(q)[2:])


def other_question(q: dns.message.Message) -> web.Response:
    lie = dns.message.make_query("forged.test", "A")
    lie.id = q.id
    return sent(answered(lie, "203.0.113.66"))


DOH: dict[str, tuple[Callable[[dns.message.Message], web.Response], bool]] = {
    "good": (lambda q: sent(answered(q)), True),
    "wrong-id": (other_id, False),
    "wrong-question": (other_question, False),
    "404": (lambda q: sent(answered(q), status=404), False),
    "500": (lambda q: sent(answered(q), status=500), False),
    "301": (lambda q: sent(answered(q), status=301, Location="https://127.0.0.1:1/dns-query"), False),
    "text-html": (lambda q: sent(answered(q), "text/html"), False),
    "cut": (lambda q: sent(answered(q)[:11]), False),
    "empty": (lambda q: sent(b""), False),
    "10-mb": (lambda q: sent(answered(q) + bytes(10_000_000)), False),
}


@pytest.mark.parametrize("kind", DOH)
async def test_fwd_10_only_a_whole_right_answer_is_one(papers: Callable[..., Papers], kind: str) -> None:
    answer, good = DOH[kind]
    doh = Doh(answer)
    own = papers()
    async with (
        doh.run(own.server()) as port,
        opened(f"https://dns.test:{port}/dns-query@127.0.0.1", own.trusting()) as upstream,
    ):
        found = (await ask(upstream, "a.test"))[0]
        if good:
            assert data(found) == "192.0.2.1"
        else:
            assert found[0] is None
            assert found[1]
        assert [raw[:2] for raw in doh.asked] == [b"\0\0"]  # RFC 8484 4.1: cache friendly


async def test_fwd_10_the_certificate_is_checked(papers: Callable[..., Papers]) -> None:
    doh = Doh(lambda q: sent(answered(q)))
    shown = papers("else.test")
    async with (
        doh.run(shown.server()) as port,
        opened(f"https://dns.test:{port}/dns-query@127.0.0.1", shown.trusting()) as upstream,
    ):
        message, why = (await ask(upstream, "a.test"))[0]
        assert message is None
        assert why
        assert doh.asked == []


async def test_ports_are_changed_with_time(monkeypatch: pytest.MonkeyPatch) -> None:
    from dnsnb.server import udp_upstream

    monkeypatch.setattr(udp_upstream, "REUSE_SECONDS", 0.0)
    monkeypatch.setattr(udp_upstream, "SOCKETS", 4)
    upstream = udp_upstream.UdpUpstream("u", "127.0.0.1", 9, batches=False)
    try:
        seen = {upstream._port().sock.getsockname()[1] for _ in range(24)}
        assert len(seen) > 12
        assert len(upstream._ports) == 4
        for port in upstream._ports:
            assert port.until <= asyncio.get_running_loop().time()
    finally:
        upstream.close()
