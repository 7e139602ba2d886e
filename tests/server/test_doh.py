"""DNS over HTTPS on the API's port (RFC 8484)."""

from __future__ import annotations

import base64
from typing import Any

import aiohttp
import dnslib
import pytest

from dnsnb.server import Server
from dnsnb.server.doh import TYPE, shortest_ttl
from dnsnb.server.stream import ROWS


def question(name: str, qtype: str = "A") -> bytes:
    asked = dnslib.DNSRecord.question(name, qtype)
    asked.header.id = 0  # as RFC 8484 4.1 wants it, for caches
    return bytes(asked.pack())


async def post(api: Any, body: bytes, kind: str = TYPE) -> tuple[int, str, bytes]:
    async with api.session.post(
        api.server.http_url + "/dns-query", data=body, headers=api.headers() | {"Content-Type": kind}
    ) as response:
        return response.status, response.headers.get("Cache-Control", ""), await response.read()


async def test_get_and_post_give_the_same_answer(api: Any) -> None:
    query = question("www.example.org")
    status, cached, raw = await post(api, query)
    assert status == 200
    reply = dnslib.DNSRecord.parse(raw)
    assert reply.header.id == 0
    assert [str(rr.rname) for rr in reply.rr] == ["www.example.org."] * len(reply.rr)
    assert cached == f"private, max-age={min(rr.ttl for rr in reply.rr)}"
    text = base64.urlsafe_b64encode(query).rstrip(b"=").decode()
    async with api.session.get(
        f"{api.server.http_url}/dns-query?dns={text}", headers=api.headers(Accept=TYPE)
    ) as response:
        assert (response.status, response.content_type) == (200, TYPE)
        again = dnslib.DNSRecord.parse(await response.read())
    assert {str(rr.rdata) for rr in again.rr} == {str(rr.rdata) for rr in reply.rr}


async def test_it_is_filtered_and_logged_as_doh(api: Any) -> None:
    async with api.stream("?channels=dns/log/event") as events:
        _, _, raw = await post(api, question("ads.example.com"))
        assert str(dnslib.DNSRecord.parse(raw).rr[0].rdata) == "0.0.0.0"
        row = (await events.of(ROWS))["data"]
    assert (row["transport"], row["status"], row["client"]) == ("doh", "blocked", "127.0.0.1")


@pytest.mark.parametrize("text", ["", "A", "AAAA=", "!!!!", "a" * 100_000, "AAABAAABAAAAAAAA"])
async def test_what_is_no_query_is_refused(api: Any, text: str) -> None:
    async with api.session.get(f"{api.server.http_url}/dns-query?dns={text[:7000]}", headers=api.headers()) as response:
        assert response.status in (200, 400)
        if response.status == 200:  # a message that can't be read is answered FORMERR
            assert (await response.read())[3] & 15 == 1


async def test_bodies_of_other_kinds_and_sizes_are_refused(api: Any) -> None:
    assert (await post(api, question("a.example"), "application/json"))[0] == 415
    assert (await post(api, b"x" * 70_000))[0] == 413
    assert (await post(api, b""))[0] == 400


async def test_no_answer_while_dns_is_stopped(api: Any) -> None:
    await api.server.stop_dns()
    assert (await post(api, question("www.example.org")))[0] == 503


async def test_a_token_is_needed(api: Any) -> None:
    status, _ = await api.call("GET", "/dns-query?dns=AAAA", token=None)
    assert status == 401


def test_shortest_ttl() -> None:
    reply = dnslib.DNSRecord.question("a.example").reply()
    assert shortest_ttl(bytes(reply.pack())) == 0
    reply.add_auth(*dnslib.RR.fromZone("example 300 IN SOA a. b. 1 2 3 4 5"))
    assert shortest_ttl(bytes(reply.pack())) == 300
    reply.add_answer(*dnslib.RR.fromZone("a.example 60 IN A 192.0.2.1\na.example 30 IN A 192.0.2.2"))
    assert shortest_ttl(bytes(reply.pack())) == 30
    assert shortest_ttl(bytes(reply.pack())[:40]) in (0, 30, 60)


async def test_open_to_who_has_no_token_where_set(upstream: Any) -> None:
    async with Server(upstreams=[upstream.address], doh_open=True) as server, aiohttp.ClientSession() as session:
        where, query = server.http_url + "/dns-query", question("www.example.org")
        async with session.post(where, data=query, headers={"Content-Type": TYPE}) as response:
            assert response.status == 200
            assert dnslib.DNSRecord.parse(await response.read()).rr
        text = base64.urlsafe_b64encode(query).rstrip(b"=").decode()
        async with session.get(where, params={"dns": text}) as response:
            assert response.status == 200
        async with session.get(server.http_url + "/api/dns/status") as response:
            assert response.status == 401  # nothing else is
