"""Other people's programs with the real server: dig, kdig, dnspython, unbound and dnsmasq, before us and behind us."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import dns.asyncquery
import dns.edns
import dns.flags
import dns.message
import dns.rcode
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import peers

from dnsnb.server import Server

pytestmark = pytest.mark.peer

DATA = {
    "www.peer.test. A": "192.0.2.10",
    "www.peer.test. AAAA": "2001:db8::10",
    "alias.peer.test. CNAME": "www.peer.test.",
    "txt.peer.test. TXT": '"one" "two three"',
    "mx.peer.test. MX": "10 mail.peer.test.",
}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-made certificate for localhost and 127.0.0.1."""
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    names = "subjectAltName=DNS:localhost,IP:127.0.0.1"
    subprocess.run(
        [peers.program("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
         "-keyout", str(key), "-out", str(cert), "-days", "2", "-subj", "/CN=localhost", "-addext", names],
        check=True, capture_output=True,
    )  # fmt: skip
    return cert, key


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A real unbound that knows a few names, and many addresses for one."""
    with peers.unbound(tmp_path_factory.mktemp("unbound"), data=DATA) as port:
        yield port


@pytest.fixture
async def server(upstream: int, certificate: tuple[Path, Path]) -> AsyncIterator[Server]:
    cert, key = certificate
    async with Server(
        upstreams=[f"127.0.0.1:{upstream}"],
        blacklist=["ads.test"],
        tls_dns="127.0.0.1:0",
        tls_cert=cert,
        tls_key=key,
        tls_http=True,
        doh_open=True,
    ) as running:
        yield running


async def run(*arguments: str) -> str:
    """Run a program and return what it prints."""
    program, *rest = arguments
    process = await asyncio.create_subprocess_exec(
        peers.program(program), *rest, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        out, _ = await asyncio.wait_for(process.communicate(), 15)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    return out.decode()


def where(server: Server) -> tuple[str, ...]:
    host, _, port = server.dns_address.rpartition(":")
    return f"@{host}", "-p", port


@pytest.mark.parametrize("transport", ["+notcp", "+tcp"])
@pytest.mark.parametrize(
    ("name", "qtype", "expected"),
    [
        ("www.peer.test", "A", ["192.0.2.10"]),
        ("WWW.Peer.TEST", "AAAA", ["2001:db8::10"]),
        ("txt.peer.test", "TXT", ['"one" "two three"']),
        ("mx.peer.test", "MX", ["10 mail.peer.test."]),
        ("x.ads.test", "A", ["0.0.0.0"]),
        ("localhost", "A", ["127.0.0.1"]),
    ],
)
async def test_dig(server: Server, transport: str, name: str, qtype: str, expected: list[str]) -> None:
    out = await run("dig", *where(server), "+short", transport, name, qtype)
    assert out.splitlines() == expected


async def test_dig_sees_why_a_name_is_blocked(server: Server) -> None:
    out = await run("dig", *where(server), "x.ads.test")
    assert "EDE: 15 (Blocked)" in out
    assert "EDE" not in await run("dig", *where(server), "+noedns", "x.ads.test")


@pytest.mark.parametrize("how", [("+notcp",), ("+tcp",), ("+tcp", "+keepopen")])
async def test_kdig(server: Server, how: tuple[str, ...]) -> None:
    out = await run("kdig", *where(server), *how, "+short", "www.peer.test", "A", "www.peer.test", "AAAA")
    assert out.split() == ["192.0.2.10", "2001:db8::10"]


async def test_kdig_over_tls(server: Server, certificate: tuple[Path, Path]) -> None:
    host, _, port = server.status()["tls_dns"].rpartition(":")
    tls = (f"@{host}", "-p", port, "+tls", f"+tls-ca={certificate[0]}", "+tls-hostname=localhost")
    out = await run("kdig", *tls, "+keepopen", "www.peer.test", "A", "www.peer.test", "AAAA")
    assert "192.0.2.10" in out
    assert "2001:db8::10" in out
    wrong = await run("kdig", *tls[:-1], "+tls-hostname=else.where", "+retry=0", "www.peer.test")
    assert "192.0.2.10" not in wrong


@pytest.mark.parametrize("how", ["+https", "+https-get"])
async def test_kdig_over_https(server: Server, certificate: tuple[Path, Path], how: str) -> None:
    port = server.http_url.rpartition(":")[2]
    tls = ("@127.0.0.1", "-p", port, how, f"+tls-ca={certificate[0]}", "+tls-hostname=localhost")
    out = await run("kdig", *tls, "+keepopen", "+short", "www.peer.test", "A", "x.ads.test", "A")
    assert out.split() == ["192.0.2.10", "0.0.0.0"]
    wrong = await run("kdig", *tls[:-1], "+tls-hostname=else.where", "+retry=0", "www.peer.test")
    assert "192.0.2.10" not in wrong


@pytest.mark.parametrize("how", ["+https-get", "+https-post"])
async def test_dig_over_https(server: Server, how: str) -> None:
    port = server.http_url.rpartition(":")[2]
    assert await run("dig", "@127.0.0.1", "-p", port, how, "+short", "www.peer.test") == "192.0.2.10\n"


@pytest.mark.parametrize("post", [True, False])
async def test_dnspython_over_tls_and_https(server: Server, certificate: tuple[Path, Path], post: bool) -> None:
    trusted = ssl.create_default_context(cafile=str(certificate[0]))
    query = dns.message.make_query("www.peer.test", "A", use_edns=0)
    reply = await dns.asyncquery.https(query, f"{server.http_url}/dns-query", timeout=5, verify=trusted, post=post)
    assert "192.0.2.10" in str(reply.answer)
    host, _, port = server.status()["tls_dns"].rpartition(":")
    tls = await dns.asyncquery.tls(query, host, 5, int(port), ssl_context=trusted, server_hostname="localhost")
    assert tls.answer == reply.answer


async def test_plain_dns_to_the_tls_port_is_closed(server: Server) -> None:
    host, _, port = server.status()["tls_dns"].rpartition(":")
    query = dns.message.make_query("www.peer.test", "A").to_wire()
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(len(query).to_bytes(2) + query)
    try:
        data = await asyncio.wait_for(reader.read(), 5)  # what comes, if anything, is TLS's alert and then the end
    except ConnectionResetError:
        data = b""
    assert query[:2] not in data
    writer.close()


async def test_dnspython(server: Server) -> None:
    host, _, port = server.dns_address.rpartition(":")
    for ask in (dns.asyncquery.udp, dns.asyncquery.tcp):
        query = dns.message.make_query("alias.peer.test", "A", use_edns=0, payload=1232)
        reply = await ask(query, host, port=int(port), timeout=5)
        assert reply.rcode() == dns.rcode.NOERROR
        assert reply.flags & dns.flags.RA
        assert "192.0.2.10" in str(reply.answer) or reply.answer[0].rdtype == dns.rdatatype.CNAME
    reply = await dns.asyncquery.udp(dns.message.make_query("nothing.peer.test", "A"), host, port=int(port), timeout=5)
    assert reply.rcode() == dns.rcode.NXDOMAIN


async def test_an_unbound_that_forwards_to_us(server: Server, tmp_path: Path) -> None:
    """A resolver is the strictest client: it checks IDs, questions, sections, EDNS and sizes of every answer."""
    host, _, port = server.dns_address.rpartition(":")
    server.policy.edit("whitelist", add=["fine.test"])
    lines = {"other.zone. A": "192.0.2.99"}
    await server.stop_dns()
    await server.start_dns()
    with_names = [
        ("www.peer.test", "A", "192.0.2.10"),
        ("www.peer.test", "AAAA", "2001:db8::10"),
        ("x.ads.test", "A", "0.0.0.0"),
    ]

    def through() -> list[str]:
        found = []
        with peers.unbound(tmp_path, data=lines, forward=f"{host}@{port}", local_test_zone=False) as theirs:
            for name, qtype, _ in with_names:
                command = [peers.program("dig"), "@127.0.0.1", "-p", str(theirs), "+short", "+tries=2", name, qtype]
                found.append(subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip())
        return found

    assert await asyncio.to_thread(through) == [answer for _, _, answer in with_names]


async def test_a_dnsmasq_as_upstream_that_cuts(certificate: Any) -> None:
    """More addresses than fit: dnsmasq sends TC over UDP, and we come back over TCP."""
    records = [f"--host-record=many.test,192.0.2.{n}" for n in range(1, 120)]

    async def ask(port: int) -> int:
        async with Server(upstreams=[f"127.0.0.1:{port}"]) as server:
            host, _, ours = server.dns_address.rpartition(":")
            query = dns.message.make_query("many.test", "A")
            reply = await dns.asyncquery.tcp(query, host, port=int(ours), timeout=5)
            return sum(len(rrset) for rrset in reply.answer)

    with peers.dnsmasq(*records, "--local=/test/") as port:
        assert await ask(port) == 119
