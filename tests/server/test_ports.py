"""Where a server listens: all or nothing, the same ports again, and what happens when descriptors run out."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest

from dnsnb.errors import SettingError
from dnsnb.server.ports import watch_accepts


async def test_a_want_of_descriptors_is_told_and_other_errors_go_where_they_went() -> None:
    loop = asyncio.get_running_loop()
    others: list[dict[str, Any]] = []
    told: list[int] = []
    loop.set_exception_handler(lambda _, context: others.append(context))
    before = loop.get_exception_handler()
    end = watch_accepts(lambda: told.append(1))
    loop.call_exception_handler({"message": "socket.accept() out of system resource"})
    loop.call_exception_handler({"message": "something else"})
    assert told == [1]
    assert [c["message"] for c in others] == ["something else"]
    end()
    assert loop.get_exception_handler() is before
    loop.set_exception_handler(None)


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[str, str]:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=dns.example", "-addext", "subjectAltName=DNS:dns.example",
         "-keyout", str(key), "-out", str(cert)],
        check=True, capture_output=True,
    )  # fmt: skip
    return str(cert), str(key)


async def test_dns_over_tls_on_a_port_of_its_own(start_api: Any, certificate: tuple[str, str]) -> None:
    cert, key = certificate
    async with start_api(tls_dns="127.0.0.1:0", tls_cert=cert, tls_key=key, blacklist=["ads.example.com"]) as api:
        where = api.server.status()["tls_dns"]
        for _ in range(2):
            host, _, port = where.rpartition(":")
            context = ssl.create_default_context(cafile=cert)
            reader, writer = await asyncio.open_connection(host, int(port), ssl=context, server_hostname="dns.example")
            query = b"\0\7\1\0\0\1\0\0\0\0\0\0\3ads\7example\3com\0\0\1\0\1"
            writer.write(len(query).to_bytes(2) + query)
            reply = await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
            assert reply[:2] == query[:2]
            assert reply[-4:] == bytes(4)
            writer.close()
            await api.server.stop_dns()
            await api.server.start_dns()
            assert api.server.status()["tls_dns"] == where


async def test_a_wrong_certificate_is_named_and_closes_what_was_open(start_api: Any, tmp_path: Path) -> None:
    bad = tmp_path / "bad.pem"
    bad.write_text("not a certificate")
    with pytest.raises(SettingError) as error:
        async with start_api(tls_dns="127.0.0.1:0", tls_cert=str(bad), tls_key=str(bad)):
            pass
    assert error.value.setting == "tls_cert"


async def test_dns_on_several_addresses_at_once(start_api: Any) -> None:
    query = b"\0\7\1\0\0\1\0\0\0\0\0\0\3ads\7example\3com\0\0\1\0\1"
    async with start_api(dns="127.0.0.1:0, [::1]:0", blacklist=["ads.example.com"]) as api:
        told = api.server.status()
        where = [told["dns"], *told["dns_also"]]
        assert [text.rpartition(":")[0] for text in where] == ["127.0.0.1", "[::1]"]
        for _ in range(2):
            for text in where:
                host, _, port = text.rpartition(":")
                reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
                writer.write(len(query).to_bytes(2) + query)
                assert (await reader.readexactly(int.from_bytes(await reader.readexactly(2))))[-4:] == bytes(4)
                writer.close()
                family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
                with socket.socket(family, socket.SOCK_DGRAM) as udp:
                    udp.setblocking(False)
                    udp.connect((host.strip("[]"), int(port)))
                    await asyncio.get_running_loop().sock_sendall(udp, query)
                    async with asyncio.timeout(10):
                        assert (await asyncio.get_running_loop().sock_recv(udp, 4096))[-4:] == bytes(4)
            await api.server.stop_dns()
            await api.server.start_dns()
            assert api.server.status()["dns_also"] == told["dns_also"]


@pytest.mark.parametrize("second", ["", "here", "0.0.0.0:0", "127.0.0.9:{taken}"])
async def test_a_wrong_one_of_several_addresses_leaves_none_open(start_api: Any, second: str) -> None:
    with socket.create_server(("127.0.0.9", 0)) as taken:
        with pytest.raises(SettingError) as error:
            async with start_api(dns="127.0.0.1:0," + second.format(taken=taken.getsockname()[1])):
                raise AssertionError("it must not open")
        assert error.value.setting == "dns"
