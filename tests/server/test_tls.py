"""HTTPS on the API's port: certificates, who trusts them, HTTP/2, and clients that take their time."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gc
import os
import socket
import ssl
import sys
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import aiohttp.web
import h2.config
import h2.connection
import h2.events
import pytest

import dnsnb
from dnsnb.client.sse_client import SSEClient
from dnsnb.config import Settings
from dnsnb.dns.upstream import parse_upstream
from dnsnb.dns.wire import make_query
from dnsnb.errors import CommandError, NotConnected, SettingError
from dnsnb.server import Server, handshakes, http2, http_port, stream_upstream, web
from dnsnb.server.certificate import Certificate, fingerprint_of, make_certificate, open_certificate
from dnsnb.server.upstreams import open_upstream

sys.path.insert(0, str(Path(__file__).parent))
from scripted import Relay, closed

QUERY = make_query(b"\3www\7example\3org\0", 1)
DNS = "application/dns-message"


def own(folder: Path | None, **settings: Any) -> Certificate:
    ends: list[Any] = []
    made = open_certificate(Settings(folder=folder, **settings), ends.append)
    for end in ends:
        end()
    return made


def test_a_self_made_certificate_is_kept_for_the_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        first = own(tmp_path / "data")
    finally:
        os.umask(before)
    assert {p.stat().st_mode & 0o777 for p in (first.cert, first.key)} == {0o600}
    assert own(tmp_path / "data").fingerprint == first.fingerprint
    other = own(tmp_path / "data", http_hosts=["dns.home.arpa"])
    assert other.fingerprint != first.fingerprint  # it must be for the new name too
    assert own(tmp_path / "data").fingerprint == other.fingerprint
    passing = own(None)
    assert not passing.cert.exists()  # nothing is left behind


def test_without_the_extra_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(SettingError, match=r"dnsnb\[tls\]") as error:
        own(tmp_path)
    assert error.value.setting == "tls_cert"


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    make_certificate(cert, key, ["localhost", "127.0.0.1"])
    return cert, key


@pytest.fixture
async def server(upstream: Any, files: tuple[Path, Path]) -> AsyncIterator[Server]:
    async with Server(
        upstreams=[upstream.address], tls_http=True, tls_cert=files[0], tls_key=files[1], blacklist=["ads.test"]
    ) as running:
        yield running


async def test_dns_over_https_by_get_and_post(server: Server, files: tuple[Path, Path]) -> None:
    where = f"{server.http_url}/dns-query"
    assert where.startswith("https://")
    connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=str(files[0])))
    token = {"Authorization": f"Bearer {server.token}"}
    async with aiohttp.ClientSession(connector=connector) as session:
        text = base64.urlsafe_b64encode(QUERY).rstrip(b"=").decode()
        async with session.get(where, params={"dns": text}, headers=token) as response:
            assert (await response.read())[7] >= 1
        async with session.post(where, data=QUERY, headers={"Content-Type": DNS, **token}) as response:
            assert (await response.read())[7] >= 1
        async with session.post(where, data=QUERY, headers={"Content-Type": DNS}) as response:
            assert response.status == 401


def test_a_session_over_https(tmp_path: Path) -> None:
    with dnsnb.start("tls", tls_http=True, upstreams=["192.0.2.53"], folder=tmp_path) as session:
        url, token, fingerprint = session.client.url, session.token, session.status["fingerprint"]
        assert url.startswith("https://")
        assert token is not None
        with dnsnb.connect(url, token, ca=str(tmp_path / "tls-cert.pem")) as other:
            other.block("ads.test")
            assert other.client.sse.is_connected
        shown = ":".join(fingerprint.upper()[n : n + 2] for n in range(0, 64, 2))
        with dnsnb.connect(url, token, fingerprint=f"SHA256:{shown}") as other:
            assert other.query("ads.test").addresses == ["0.0.0.0"]
        with pytest.raises(NotConnected, match="not trusted"):
            dnsnb.connect(url, token)
        with pytest.raises(NotConnected, match="another one"):
            dnsnb.connect(url, token, fingerprint="00" * 32)
        with pytest.raises(SettingError, match="64 hexadecimal"):
            dnsnb.connect(url, token, fingerprint="00")
        with pytest.raises(SettingError, match="not a PEM file"):
            dnsnb.connect(url, token, ca=str(tmp_path / "nowhere.pem"))
    gc.collect()  # a connection that was left open warns here, which fails this test and no other


def test_a_stream_is_left_whether_or_not_its_server_says_goodbye(files: tuple[Path, Path]) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*files)
    left = threading.Event()

    def stream() -> None:
        with context.wrap_socket(door.accept()[0], server_side=True) as tls:
            tls.recv(65536)
            tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n: here\n\n")
            left.wait(30)  # and hears nothing more

    with socket.create_server(("127.0.0.1", 0)) as door:
        server = threading.Thread(target=stream)
        server.start()
        tls = ssl.create_default_context(cafile=str(files[0]))
        client = SSEClient(f"https://127.0.0.1:{door.getsockname()[1]}", "token", tls=tls)
        opened = threading.Event()
        client.on_connection_change(lambda state, _: opened.set() if state == "open" else None)
        client.subscribe("dns/status", lambda event: None)
        try:
            assert opened.wait(10), client.reason
            client.close()
            gc.collect()  # warns of what is still open
        finally:
            client.close()
            left.set()
            server.join()


async def hello(server: Server, session: Any = None) -> tuple[bytes, Any, bool]:
    """The certificate that a new connection sees, its session, and whether it was resumed."""

    def shake() -> tuple[bytes, Any, bool]:
        context = ssl._create_unverified_context() if session is None else session[0]
        host, _, port = server.http_url.rpartition("/")[2].rpartition(":")
        plain = socket.create_connection((host, int(port)), 5)
        with context.wrap_socket(plain, session=session and session[1]) as tls:
            tls.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            while tls.recv(65536):
                pass
            return tls.getpeercert(True) or b"", (context, tls.session), bool(tls.session_reused)

    return await asyncio.to_thread(shake)


async def test_sessions_are_resumed(server: Server) -> None:
    _, session, resumed = await hello(server)
    assert not resumed
    assert (await hello(server, session))[2]


async def test_a_renewed_certificate_is_taken_up(server: Server, files: tuple[Path, Path]) -> None:
    cert, key = files
    first, _, _ = await hello(server)
    assert server.certificate is not None
    server.certificate._clock = lambda: float("inf")
    good = cert.read_bytes()
    cert.write_text("half a fi")
    await hello(server)
    assert (await hello(server))[0] == first  # what can't be read changes nothing
    cert.write_bytes(good)
    make_certificate(cert, key, ["localhost"])
    server.certificate._looked = 0.0
    await hello(server)
    assert (await hello(server))[0] != first
    assert server.status()["fingerprint"] == fingerprint_of(cert)


# --- HTTP/2 ---


class Second:
    """A client that speaks HTTP/2 and nothing else."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.h2.initiate_connection()

    def ask(self, method: str = "GET", path: str = "", body: bytes = b"", **headers: str) -> int:
        stream = self.h2.get_next_available_stream_id()
        path = path or "/dns-query?dns=" + base64.urlsafe_b64encode(QUERY).rstrip(b"=").decode()
        pairs = [(":method", method), (":path", path), (":scheme", "https"), (":authority", "localhost")]
        pairs += [(name.replace("_", "-"), value) for name, value in headers.items()]
        self.h2.send_headers(stream, pairs, end_stream=not body)
        while body:
            room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size)
            self.h2.send_data(stream, body[:room], end_stream=len(body) <= room)
            body = body[room:]
        self.writer.write(self.h2.data_to_send())
        return stream

    async def answers(self, count: int) -> dict[int, tuple[int, bytes]]:
        """Status (0: reset, with the reason as body) and body by stream."""
        found: dict[int, tuple[int, bytes]] = {}
        status: dict[int, int] = {}
        bodies: dict[int, bytes] = {}
        ended: set[int] = set()
        async with asyncio.timeout(10):
            while len(ended) < count and (data := await self.reader.read(65536)):
                for event in self.h2.receive_data(data):
                    if isinstance(event, h2.events.ResponseReceived):
                        status[event.stream_id] = int(event.headers[0][1])
                    elif isinstance(event, h2.events.DataReceived):
                        bodies[event.stream_id] = bodies.get(event.stream_id, b"") + event.data
                        self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                    elif isinstance(event, h2.events.StreamReset):
                        ended.add(event.stream_id)
                        bodies[event.stream_id] = str(int(event.error_code)).encode()
                    elif isinstance(event, h2.events.StreamEnded):
                        ended.add(event.stream_id)
                self.writer.write(self.h2.data_to_send())
        for stream in ended:
            found[stream] = (status.get(stream, 0), bodies.get(stream, b""))
        return found


@contextlib.asynccontextmanager
async def second(server: Server) -> AsyncIterator[Second]:
    context = ssl._create_unverified_context()
    context.set_alpn_protocols(["h2"])
    host, _, port = server.http_url.rpartition("/")[2].rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port), ssl=context)
    try:
        yield Second(reader, writer)
    finally:
        await closed(writer)


async def test_http2_goes_through_the_same_gate(server: Server) -> None:
    async with second(server) as client:
        token: Any = {"authorization": f"Bearer {server.token}"}
        kinds = {
            client.ask(**token): 200,
            client.ask("POST", "/dns-query", QUERY, content_type=DNS, **token): 200,
            client.ask("POST", "/dns-query", QUERY, content_type="text/plain", **token): 415,
            client.ask("PUT", "/dns-query", QUERY, content_type=DNS, **token): 405,
            client.ask("GET", "/dns-query?dns=x*", **token): 400,
            client.ask(): 401,
            client.ask(origin="https://evil.example", **token): 403,
            client.ask(path="/api/dns/status", **token): 0,
        }
        found = await client.answers(len(kinds))
    assert {stream: status for stream, (status, _) in found.items()} == kinds
    streams = list(kinds)
    assert found[streams[0]][1][7] >= 1
    assert found[streams[0]][1] == found[streams[1]][1]
    assert found[streams[-1]][1] == b"13"  # HTTP_1_1_REQUIRED


async def test_http2_bodies_and_answers_are_bounded(server: Server) -> None:
    async with second(server) as client:
        stream = client.ask(
            "POST", "/dns-query", bytes(60_000), content_type=DNS, authorization=f"Bearer {server.token}"
        )
        assert (await client.answers(1))[stream][0] in (200, 400)
    async with second(server) as client:  # rapid reset
        with contextlib.suppress(ConnectionError, TimeoutError):
            for _ in range(http2.MAX_RESETS + 50):
                stream = client.ask(authorization=f"Bearer {server.token}")
                client.h2.reset_stream(stream)
            client.writer.write(client.h2.data_to_send())
            async with asyncio.timeout(10):
                while await client.reader.read(65536):
                    pass
    async with second(server) as client:
        client.writer.write(b"\0\xff\xff" * 1000)  # no HTTP/2
        async with asyncio.timeout(10):
            with contextlib.suppress(ConnectionError):
                while await client.reader.read(65536):
                    pass
    async with second(server) as client:
        stream = client.ask(authorization=f"Bearer {server.token}")
        assert (await client.answers(1))[stream][0] == 200


# --- those who take their time ---


async def test_headers_that_drip_in_are_hung_up_on(upstream: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from dnsnb.server import server as server_module

    monkeypatch.setattr(server_module, "IDLE_SECONDS", 0.3)
    async with Server(upstreams=[upstream.address]) as running:
        host, _, port = running.http_url.rpartition("/")[2].rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
        end = asyncio.ensure_future(reader.read())
        async with asyncio.timeout(5):
            while not (await asyncio.wait([end], timeout=0.05))[0]:
                writer.write(b"X: y\r\n")
        assert isinstance(end.exception(), ConnectionError) or end.result() == b""
        await closed(writer)


async def test_a_body_that_drips_in_is_refused(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "BODY_SECONDS", 0.2)
    host, _, port = api.server.http_url.rpartition("/")[2].rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        b"POST /api/dns/blacklist HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: 100\r\nAuthorization: Bearer " + api.server.token.encode() + b"\r\n\r\n{"
    )
    async with asyncio.timeout(5):
        assert b" 408 " in await reader.readline()
    await closed(writer)


async def test_a_crowd_of_connections_leaves_the_api_reachable(upstream: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_port, "SPARE_CONNECTIONS", 2)
    async with Server(upstreams=[upstream.address], max_streams=1) as running:
        host, _, port = running.http_url.rpartition("/")[2].rpartition(":")
        crowd = [await asyncio.open_connection(host, int(port)) for _ in range(3)]
        reader, writer = await asyncio.open_connection(host, int(port))
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(5):
                assert await reader.read() == b""  # one too many
        await closed(*(writer for _, writer in [*crowd, (reader, writer)]))


def test_a_token_that_may_not_read_the_log_connects_at_once() -> None:
    with dnsnb.start("scoped", upstreams=["192.0.2.53"]) as session:
        token = session.client.add_token("status", "viewer", ["dns/status", "dns/log/event"])
        began = time.monotonic()
        with dnsnb.connect(session.client.url, token) as other:
            assert time.monotonic() - began < 3
            assert other.status["running"]
            with pytest.raises(CommandError):
                other.block("ads.test")


async def test_a_logged_out_cookie_stays_out_after_a_restart(upstream: Any, tmp_path: Path) -> None:
    said: dict[str, Any] = {
        "upstreams": [upstream.address],
        "folder": tmp_path,
        "token": "the-same-token",
        "http": "127.0.0.1:0",
    }
    async with Server(**said) as running:
        cookie = running.tokens.open_session(running.tokens.grants[0])
        stays = running.tokens.open_session(running.tokens.grants[0])
        async with aiohttp.ClientSession() as session:
            where = running.http_url
            head = {"Cookie": f"{running.cookie_name}={cookie}", "Origin": where, "Content-Type": "application/json"}
            async with session.post(f"{where}/api/auth/logout", headers=head) as response:
                assert response.status == 204
    assert (tmp_path / "logged-out.json").stat().st_mode & 0o777 == 0o600
    async with Server(**said) as running:
        assert running.tokens.session(cookie) is None
        assert running.tokens.session(stays) is not None


# --- a DoH server as upstream ---


@contextlib.asynccontextmanager
async def doh(files: tuple[Path, Path], answer: Any, *protocols: str) -> AsyncIterator[tuple[int, list[str]]]:
    """A DoH server that speaks only these; its port, and what each connection spoke."""
    spoken: list[str] = []
    behind = aiohttp.web.Server(answer)

    class Door(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            spoken.append(transport.get_extra_info("ssl_object").selected_alpn_protocol())
            protocol = http2.Http2(behind, set()) if spoken[-1] == "h2" else behind()
            transport.set_protocol(protocol)
            protocol.connection_made(transport)

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*files)
    context.set_alpn_protocols(protocols)
    server = await asyncio.get_running_loop().create_server(Door, "127.0.0.1", 0, ssl=context)
    yield server.sockets[0].getsockname()[1], spoken
    server.close()
    await behind.shutdown(1)


@pytest.mark.parametrize("protocols", [["h2"], ["http/1.1"], ["h2", "http/1.1"]])
async def test_an_https_upstream_is_asked_in_the_language_it_speaks(
    files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, protocols: list[str]
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(files[0]))

    async def answer(request: Any) -> Any:
        query = await request.read()
        first = query[13 : 13 + query[12]].decode()
        reply = b"\0\0\x81\x80\0\1\0\1\0\0\0\0" + query[12 : query.index(b"\0", 12) + 5]
        reply += b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\1"
        if first == "status":
            return aiohttp.web.Response(status=500, body=reply, content_type=DNS)
        if first == "kind":
            return aiohttp.web.Response(body=reply, content_type="text/html")
        if first == "other":
            reply = reply.replace(b"\5other", b"\5OTHEX")
        return aiohttp.web.Response(body=b"x" * 200_000 if first == "huge" else reply, content_type=DNS)

    async with contextlib.AsyncExitStack() as stack:
        port, spoken = await stack.enter_async_context(doh(files, answer, *protocols))
        server = await stack.enter_async_context(Server(upstreams=[f"https://localhost:{port}/dns-query@127.0.0.1"]))
        loop = asyncio.get_running_loop()

        async def ask(first: str) -> bytes:
            came = loop.create_future()
            query = b"\0\7" + make_query(bytes([len(first)]) + first.encode() + b"\3org\0", 1)[2:]
            server.engine.ask(query, "127.0.0.1", "tcp", came.set_result)
            async with asyncio.timeout(6):
                return bytes(await came)

        found = await asyncio.gather(*(ask(f"n{n}") for n in range(150)))
        assert {reply[3] & 15 for reply in found} == {0}
        if protocols[0] == "h2":
            assert spoken == ["h2"]  # one connection for all, more than it has streams
        for first in ("status", "kind", "other", "huge"):
            assert (await ask(first))[3] & 15 == 2, first
        assert (await ask("fine"))[3] & 15 == 0


async def test_a_path_that_has_ended_is_left(files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(files[0]))
    monkeypatch.setattr(stream_upstream, "SILENT_SECONDS", 0.2)

    async def answer(request: Any) -> Any:
        query = await request.read()
        reply = b"\0\0\x81\x80\0\1\0\1\0\0\0\0" + query[12 : query.index(b"\0", 12) + 5]
        return aiohttp.web.Response(body=reply + b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\1", content_type=DNS)

    relay = Relay()
    async with contextlib.AsyncExitStack() as stack:
        behind, spoken = await stack.enter_async_context(doh(files, answer, "h2"))
        port = await stack.enter_async_context(relay.run(behind))
        where = parse_upstream(f"https://localhost:{port}/dns-query@127.0.0.1")
        upstream = stack.enter_context(contextlib.closing(open_upstream(where)))

        async def ask(name: bytes) -> tuple[bytes | None, str]:
            came = asyncio.get_running_loop().create_future()
            query = make_query(bytes([len(name)]) + name + b"\4test\0", 1)
            upstream.send(query, lambda *found: came.set_result(found), asyncio.get_running_loop().time() + 4.5)
            async with asyncio.timeout(6):
                found: tuple[bytes | None, str] = await came
                return found

        assert (await ask(b"a"))[0]
        relay.ended = relay.connections
        assert [bool(found[0]) for found in await asyncio.gather(ask(b"b"), ask(b"c"))] == [True, True]
        assert set(spoken) == {"h2"}
        assert len(spoken) > 1
        upstream.close()


# --- handshakes ---


@pytest.mark.parametrize("port", ["dns", "http"])
async def test_who_only_knocks_takes_no_room(
    files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, port: str
) -> None:
    monkeypatch.setattr(handshakes, "MOST_PER_CLIENT", 4)
    monkeypatch.setattr(handshakes, "MOST", 6)
    async with Server(tls_http=True, tls_dns="127.0.0.1:0", tls_cert=files[0], tls_key=files[1]) as server:
        where = str(server.status()["tls_dns"]) if port == "dns" else server.http_url.removeprefix("https://")
        host, _, number = where.rpartition(":")
        first = [await asyncio.open_connection(host, int(number)) for _ in range(8)]
        ends = [asyncio.ensure_future(reader.read()) for reader, _ in first]
        async with asyncio.timeout(10):
            assert await asyncio.gather(*ends[:4], return_exceptions=True)  # the oldest of this client made room
        others = [await asyncio.open_connection(host, int(number), local_addr=("127.0.0.2", 0)) for _ in range(4)]
        async with asyncio.timeout(10):
            await asyncio.gather(*ends[4:6], return_exceptions=True)  # the oldest of all did
        trust = ssl.create_default_context(cafile=str(files[0]))
        reader, writer = await asyncio.open_connection(host, int(number), ssl=trust)
        writer.write(len(QUERY).to_bytes(2) + QUERY if port == "dns" else b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n")
        async with asyncio.timeout(10):
            assert await reader.readexactly(2)
        await closed(*(writer for _, writer in (*first, *others, (reader, writer))))


async def test_what_is_said_with_the_end_of_a_handshake_is_heard(files: tuple[Path, Path]) -> None:
    record = {"name": "www.example.org", "type": "A", "data": "192.0.2.1"}
    async with Server(tls_dns="127.0.0.1:0", tls_cert=files[0], tls_key=files[1], records=[record]) as server:
        host, _, number = str(server.status()["tls_dns"]).rpartition(":")
        coming, going = ssl.MemoryBIO(), ssl.MemoryBIO()
        session = ssl.create_default_context(cafile=str(files[0])).wrap_bio(coming, going, server_hostname="localhost")
        reader, writer = await asyncio.open_connection(host, int(number))

        async def until(work: Any) -> Any:
            while True:
                try:
                    return work()
                except ssl.SSLWantReadError:
                    writer.write(going.read())
                    coming.write(await reader.read(65536))

        async with asyncio.timeout(10):
            await until(session.do_handshake)
            session.write(len(QUERY).to_bytes(2) + QUERY)
            writer.write(going.read())  # Finished and the question in one
            assert bytes([192, 0, 2, 1]) in await until(lambda: session.read(65536))
        await closed(writer)
