"""What is blocked, and how; encrypted transports on both sides; how much a packet can bring: rows by id."""

from __future__ import annotations

import asyncio
import base64
import os
import socket
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import pytest
from aiohttp import web
from scripted import IN_A, OK, Liar, Wire, address, closed, header, house, opt, option, row

from dnsnb.server import Server
from dnsnb.server.certificate import make_certificate


def texts(reply: dns.message.Message) -> list[str]:
    return [r.to_text() for rrset in reply.answer for r in rrset]


def codes(reply: dns.message.Message) -> list[int]:
    return [o.code for o in reply.options if o.otype == dns.edns.EDE]


@row("filter-01-block-modes", "filter-02-edns-in-block")
@pytest.mark.parametrize(
    ("mode", "rcode", "a", "aaaa"),
    [
        ("null", 0, ["0.0.0.0"], ["::"]),
        ("nxdomain", 3, [], []),
        ("nodata", 0, [], []),
        ("refused", 5, [], []),
        ("address", 0, ["198.51.100.9"], ["2001:db8::9"]),
    ],
)
async def test_how_a_name_is_blocked(mode: str, rcode: int, a: list[str], aaaa: list[str]) -> None:
    more: dict[str, Any] = {"block_addresses": ["198.51.100.9", "2001:db8::9"]} if mode == "address" else {}
    async with house(blacklist=["blocked.test"], block_mode=mode, block_ttl=77, block_ede=17, **more) as wire:
        for rdtype, data in (("A", a), ("AAAA", aaaa), ("HTTPS", []), ("TXT", []), ("MX", []), ("ANY", None)):
            reply = await wire.ask("x.blocked.test", rdtype, use_edns=0)
            assert (reply.rcode(), codes(reply)) == (rcode, [17]), rdtype
            assert data is None or texts(reply) == data
            assert reply.flags & (dns.flags.RA | dns.flags.AA) == dns.flags.RA
            for rrset in reply.answer + reply.authority:
                assert rrset.ttl == 77
            if not reply.answer and rcode != 5:
                assert reply.authority[0].rdtype == dns.rdatatype.SOA
            plain = await wire.ask("x.blocked.test", rdtype)
            assert (plain.edns, plain.rcode()) == (-1, rcode)
        assert not wire.liar.asked


@row("filter-03-case-and-dot")
async def test_what_a_rule_covers() -> None:
    async with house() as wire:
        await wire.server.policy_keeper.lists.add({"name": "hosts", "kind": "block", "text": "0.0.0.0 exact.test\n"})
        wire.server.policy.edit("blacklist", add=["example.com"])
        for text, blocked in (
            ("EXAMPLE.com", True),
            ("example.com.", True),
            ("sub.example.com", True),
            ("notexample.com", False),
            ("example.com.evil.net", False),
            ("Exact.test", True),
            ("sub.exact.test", False),
        ):
            assert (texts(await wire.ask(text)) == ["0.0.0.0"]) is blocked, text
        dotted = header() + b"\x0fsub.example.com\0" + IN_A  # one label: a dot in it parts nothing
        assert b"\xc0\0\2\1" in (await wire.send(dotted))[0]


@row("filter-05-allow-beats-block")
async def test_exceptions_and_important_rules() -> None:
    async with house() as wire:
        rules = "||x.test^\n@@||good.x.test^\n@@/^re[0-9]+\\.y\\.test$/\n||y.test^\n||z.test^$important\n@@||z.test^\n"
        await wire.server.policy_keeper.lists.add({"name": "rules", "kind": "block", "text": rules})
        for text, blocked in (
            ("x.test", True),
            ("bad.x.test", True),
            ("good.x.test", False),
            ("re7.y.test", False),
            ("rex.y.test", True),
            ("z.test", True),
        ):
            assert (texts(await wire.ask(text)) == ["0.0.0.0"]) is blocked, text


@row("filter-06-cached-then-blocked")
async def test_a_rule_holds_from_the_next_query_on_both_ways() -> None:
    async with house() as wire:
        seen = []
        for change in ({}, {"add": ["n.test"]}, {"remove": ["n.test"]}):
            if change:
                wire.server.policy.edit("blacklist", **change)
            seen.append(texts(await wire.ask("n.test")))
        assert seen == [["192.0.2.1"], ["0.0.0.0"], ["192.0.2.1"]]
        assert len(wire.liar.asked) == 1


@row("filter-07-regex-time")
async def test_no_expression_holds_others_up() -> None:
    async with house() as wire:
        rules = "/(a+)+$/\n/(a|a)+b/\n/(.*a){20}/\n"
        await wire.server.policy_keeper.lists.add({"name": "rules", "kind": "block", "text": rules})
        evil = ".".join(["a" * 63] * 3 + ["a" * 60 + "b"])
        began = time.process_time()
        for n in range(50):
            await wire.ask(evil[: -n - 1] + "c" if n else evil)
        assert (time.process_time() - began) / 50 < 0.05, "s of CPU a query"
        await wire.alive()


@row("filter-08-million-rules")
async def test_queries_are_answered_while_a_large_list_loads(tmp_path: Path) -> None:
    """A fifth of a million lines here, a million by `make drill`."""
    count = 1_000_000 if os.environ.get("DRILL") else 100_000
    path = tmp_path / "hosts"
    lines = [f"0.0.0.0 h{n}.ads.test" for n in range(count)] + ["0.0.0.0", "not a line at all !", "0.0.0.0 bad..name"]
    path.write_text("\n".join(lines))
    async with house(list_folders=[str(tmp_path)]) as wire:
        keeper = wire.server.policy_keeper
        loading = asyncio.ensure_future(keeper.lists.add({"name": "big", "kind": "block", "path": str(path)}))
        waits = []
        while not loading.done():
            began = time.perf_counter()
            await wire.ask(f"n{len(waits)}.test")
            waits.append(time.perf_counter() - began)
        status = loading.result()
        assert status["count"] >= count
        assert sorted(waits)[int(len(waits) * 0.9)] < 0.1
        assert max(waits) < 1
        assert texts(await wire.ask(f"h{count - 1}.ads.test")) == ["0.0.0.0"]


# --- encrypted ---


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A server's context whose certificate, for localhost, this process trusts."""
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    make_certificate(cert, key, ["localhost"])
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    return context


class Dot:
    """A resolver over TLS that answers the last of what came together first, and hangs up after `most` answers."""

    def __init__(self, most: int = 1000) -> None:
        self.most = most
        self.connections = 0
        self.resumed = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        tls = writer.get_extra_info("ssl_object")
        self.resumed += tls is not None and tls.session_reused
        try:
            for _ in range(self.most):
                query = dns.message.from_wire(await reader.readexactly(int.from_bytes(await reader.readexactly(2))))
                wire = address(query).to_wire()
                writer.write(len(wire).to_bytes(2) + wire)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        writer.close()

    @asynccontextmanager
    async def run(self, context: ssl.SSLContext | None) -> AsyncIterator[int]:
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0, ssl=context)
        yield server.sockets[0].getsockname()[1]
        server.close()


async def through(upstream: str, count: int = 1) -> tuple[list[dns.message.Message], Server]:
    """What a server with this upstream answers to so many questions at once."""
    async with Liar().run() as liar, Server(upstreams=[upstream]) as server:
        server.forwarder.deadline = 2.0
        wire = Wire(server, liar)
        packets = [dns.message.make_query(f"n{n}.test", "A", use_edns=0).to_wire() for n in range(count)]
        return [dns.message.from_wire(m) for m in await wire.send(*packets, replies=count, wait=6)], server


@row("fwd-09-dot")
async def test_only_the_resolver_that_was_named_is_asked_over_tls(trusted: ssl.SSLContext) -> None:
    dot = Dot()
    async with dot.run(trusted) as port:
        replies, _ = await through(f"tls://localhost:{port}@127.0.0.1", 30)
        assert [texts(r) for r in replies] == [["192.0.2.1"]] * 30
        assert dot.connections == 1  # used again, and pipelined
        wrong, _ = await through(f"tls://else.where:{port}@127.0.0.1")
        assert (wrong[0].rcode(), codes(wrong[0])) == (2, [23])
    async with Dot().run(None) as port:  # no TLS there
        wrong, _ = await through(f"tls://localhost:{port}@127.0.0.1")
        assert wrong[0].rcode() == 2
    closing = Dot(most=1)
    async with (
        closing.run(trusted) as port,
        Liar().run() as liar,
        Server(upstreams=[f"tls://localhost:{port}@127.0.0.1"]) as server,
    ):
        wire = Wire(server, liar)
        for n in range(4):
            assert texts(await wire.ask(f"m{n}.test")) == ["192.0.2.1"]
    assert closing.connections == 4
    assert closing.resumed >= 2  # without a whole handshake


@row("dot-01-server")
async def test_tls_is_served_as_tcp_is(trusted: ssl.SSLContext, tmp_path: Path) -> None:
    client = ssl.create_default_context()
    files = {"tls_cert": tmp_path / "cert.pem", "tls_key": tmp_path / "key.pem"}
    async with house(tls_dns="127.0.0.1:0", blacklist=["blocked.test"], **files) as wire:
        host, _, port = wire.server.status()["tls_dns"].rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port), ssl=client, server_hostname="localhost")
        queries = [dns.message.make_query(n, "A") for n in ("slow.test", "x.blocked.test")]
        writer.write(b"".join(len(q.to_wire()).to_bytes(2) + q.to_wire() for q in queries))  # one TLS record
        ids = []
        for _ in queries:
            message = await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
            ids.append(dns.message.from_wire(message).id)
        assert ids == [queries[1].id, queries[0].id]  # what is known waits for nobody
        await closed(writer)
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"\0\x1c" + header() + OK + IN_A)
        try:
            assert (await asyncio.wait_for(reader.read(), 5))[2:4] != b"\x12\x34"
        except ConnectionError:
            pass
        await closed(writer)
        await wire.alive()


@row("fwd-10-doh-status")
async def test_what_is_no_answer_over_https_is_a_failure(trusted: ssl.SSLContext) -> None:
    kind = "application/dns-message"

    async def answer(request: web.Request) -> web.Response:
        query = dns.message.from_wire(await request.read())
        good = address(query).to_wire()
        other = address(dns.message.make_query("other.test", "A"), "203.0.113.66").to_wire()
        how = request.path.strip("/")
        if how == "301":
            raise web.HTTPMovedPermanently("/good")
        if how in ("404", "500"):
            return web.Response(status=int(how), body=good, content_type=kind)
        bodies = {
            "id": b"\x12\x34" + good[2:],
            "question": b"\0\0" + other[2:],
            "cut": good[:9],
            "huge": good * 200_000,
        }
        return web.Response(body=bodies.get(how, good), content_type="text/html" if how == "html" else kind)

    app = web.Application()
    app.router.add_post("/{how}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=trusted)
    await site.start()
    port = runner.addresses[0][1]
    try:
        for how in ("good", "id", "question", "404", "500", "301", "html", "cut", "huge"):
            replies, _ = await through(f"https://localhost:{port}/{how}@127.0.0.1")
            wanted = (0, ["192.0.2.1"]) if how == "good" else (2, [])
            assert (replies[0].rcode(), texts(replies[0])) == wanted, how
    finally:
        await runner.cleanup()


@row("doh-01-server")
async def test_dns_over_https_is_served_by_the_book() -> None:
    kind = "application/dns-message"
    async with house(doh_open=True) as wire, aiohttp.ClientSession() as session:
        where = f"{wire.server.http_url}/dns-query"
        query = header(ident=7) + OK + IN_A
        text = base64.urlsafe_b64encode(query).rstrip(b"=").decode()

        async def ask(method: str, url: str = where, body: bytes | None = None, form: str = kind) -> tuple[int, bytes]:
            async with session.request(method, url, data=body, headers={"Content-Type": form}) as response:
                if response.status == 200:
                    assert response.headers["Cache-Control"] == "private, max-age=60" or body != query
                return response.status, await response.read()

        status, body = await ask("GET", f"{where}?dns={text}")
        assert (status, body[:2], body[3] & 15) == (200, b"\0\7", 0)
        assert (await ask("POST", body=query))[1][:2] == b"\0\7"
        for wanted, method, url, sent, form in (
            (400, "GET", f"{where}?dns=!!!", None, kind),
            (400, "GET", where, None, kind),
            (415, "POST", where, query, "text/plain"),
            (405, "PUT", where, query, kind),
            (400, "POST", where, b"", kind),
            (413, "POST", where, bytes(65_536), kind),
        ):
            assert (await ask(method, url, sent, form))[0] == wanted, (method, url)
        status, body = await ask("POST", body=header(qd=0))
        assert (status, body[3] & 15) == (200, 1)


@row("amp-01")
async def test_no_datagram_brings_much() -> None:
    def large(liar: Liar, query: dns.message.Message, transport: str, send: Any) -> None:
        send(address(query, count=70))

    async with house(large, blacklist=["blocked.test"]) as wire:
        for text, rdtype in (("big.test", "A"), ("ok.test", "ANY"), ("blocked.test", "ANY"), ("localhost", "A")):
            for payload in (512, 4096, 65_535):
                packet = dns.message.make_query(text, rdtype, use_edns=0, payload=payload).to_wire()
                reply = (await wire.send(packet))[0]
                assert len(reply) <= 1232
                if rdtype == "ANY":
                    assert len(reply) <= len(packet) + 100


@row("edns-23-keepalive-udp")
async def test_how_long_a_connection_is_kept_is_told_on_it() -> None:
    async with house() as wire:
        packet = header(ar=1) + OK + IN_A + opt(option(11, b""))
        assert dns.message.from_wire((await wire.send(packet))[0]).options == ()
        for _ in range(2):  # from the upstream, and from memory
            (told,) = dns.message.from_wire((await wire.tcp(packet))[0]).options
            assert (told.otype, told.to_wire()) == (11, b"\0\x64")  # 100 times 100 ms
        plain = dns.message.make_query("ok.test", "A", use_edns=0).to_wire()
        assert dns.message.from_wire((await wire.tcp(plain))[0]).options == ()


async def test_who_asks_over_tcp_and_does_not_read_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    from dnsnb.server import listeners

    monkeypatch.setattr(listeners, "MAX_UNSENT", 1 << 16)

    def large(liar: Liar, query: dns.message.Message, transport: str, send: Any) -> None:
        reply = address(query, count=200)
        if transport == "udp":
            reply.answer.clear()
            reply.flags |= dns.flags.TC
        send(reply)

    async with house(large) as wire:
        query = dns.message.make_query("big.test", "A").to_wire()
        await wire.tcp(query)
        loop = asyncio.get_running_loop()
        with socket.socket() as stalled:
            stalled.setblocking(False)
            stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            await loop.sock_connect(stalled, wire.where)
            cut_off = False
            async with asyncio.timeout(10):
                while not cut_off:
                    try:
                        await loop.sock_sendall(stalled, (len(query).to_bytes(2) + query) * 100)
                    except ConnectionError:
                        cut_off = True
        await wire.alive()
