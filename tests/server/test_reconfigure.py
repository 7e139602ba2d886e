"""Settings that change while the server runs: made at once, kept whole, told; and what a wrong one is answered."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from dnslib import DNSRecord

from dnsnb.config import AT_START, Settings
from dnsnb.server.server import Server
from dnsnb.simulate import Upstream


async def ask(server: Server, name: str) -> DNSRecord:
    """Ask over TCP."""
    host, _, port = server.dns_address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    query = DNSRecord.question(name).pack()
    writer.write(len(query).to_bytes(2) + query)
    size = int.from_bytes(await reader.readexactly(2))
    wire = await reader.readexactly(size)
    writer.close()
    await writer.wait_closed()
    return DNSRecord.parse(wire)


async def call(server: Server, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    import aiohttp

    headers = {"Authorization": f"Bearer {server.token}"}
    async with (
        aiohttp.ClientSession(headers=headers) as http,
        http.request(method, server.http_url + path, json=body) as response,
    ):
        return response.status, await response.json()


@pytest.fixture
async def two() -> Any:
    async with Upstream(latency_ms=0) as one, Upstream(latency_ms=0) as other:
        yield one, other


async def test_changes_hold_from_the_next_query_on(two: Any) -> None:
    one, other = two
    async with Server(upstreams=[one.address], blacklist=["ads.test"]) as server:
        assert str((await ask(server, "ads.test")).rr[0].rdata) == "0.0.0.0"
        status, done = await call(server, "PATCH", "/api/dns/config", {"block_mode": "nxdomain", "block_ttl": 5})
        assert (status, sorted(done["changed"])) == (200, ["block_mode", "block_ttl"])
        assert (await ask(server, "ads.test")).header.rcode == 3
        assert server.status()["block_mode"] == "nxdomain"
        await ask(server, "ok-60.example.org")
        await call(server, "PATCH", "/api/dns/config", {"upstreams": [other.address]})
        before = (sum(one.queries.values()), sum(other.queries.values()))
        await ask(server, "ok-61.example.org")
        assert (sum(one.queries.values()), sum(other.queries.values())) == (before[0], before[1] + 1)
        assert [u["name"] for u in server.status()["upstreams"]] == [other.address]
        await call(server, "PATCH", "/api/dns/config", {"allow_only": True})
        assert (await ask(server, "ok-62.example.org")).header.rcode == 3
        assert server.status()["allow_only"] is True
        await call(server, "PATCH", "/api/dns/config", {"allow_only": None, "block_mode": None})
        assert server.settings.block_mode == "null"
        assert (await ask(server, "ok-62.example.org")).header.rcode == 0
        await call(server, "PATCH", "/api/dns/config", {"allow_clients": ["192.0.2.0/24"]})
        assert (await ask(server, "ok-63.example.org")).header.rcode == 5


async def test_a_change_is_told_and_says_what_waits(two: Any) -> None:
    async with Server(upstreams=[two[0].address]) as server:
        status, done = await call(server, "PATCH", "/api/dns/config", {"max_streams": 7, "block_ttl": 9})
        assert (status, done["restart"]) == (200, ["max_streams"])
        assert done["sources"]["block_ttl"] == "changed"
        assert done["sources"]["upstreams"] == "given"
        assert done["sources"]["cache_bytes"] == "default"
        assert "token" not in done["settings"]
        assert server.events.info()["notices"][-1]["text"] == "settings changed: block_ttl, max_streams"
        assert (await call(server, "GET", "/api/dns/config"))[1]["restart"] == ["max_streams"]
        _, done = await call(server, "PATCH", "/api/dns/config", {"block_ttl": 9})
        assert done["changed"] == []


@pytest.mark.parametrize(
    ("body", "setting", "right"),
    [
        ({"block_mode": "nul"}, "block_mode", "nxdomain"),
        ({"blok_mode": "null"}, "blok_mode", "did you mean 'block_mode'"),
        ({"block_ttl": -1}, "block_ttl", "greater than or equal to 0"),
        ({"block_ttl": "soon"}, "block_ttl", "integer"),
        ({"upstreams": ["gopher://1.1.1.1"]}, "upstreams[0]", "udp://"),
        ({"allow_clients": ["10.0.0.0/99"]}, "allow_clients[0]", "network"),
        ({"log_driver": "papyrus"}, "log_driver", "parquet"),
        ({"privacy": ["all"]}, "privacy.0", "no-clients"),
        ({"token": "12345678901234"}, "token", "when the server starts"),
        ({"folder": "/tmp"}, "folder", "when the server starts"),
        ({"block_mode": "refused", "cache_entries": 1.5}, "cache_entries", "integer"),
    ],
)
async def test_a_wrong_change_is_named_and_changes_nothing(body: Any, setting: str, right: str, two: Any) -> None:
    async with Server(upstreams=[two[0].address]) as server:
        before = server.settings
        status, answer = await call(server, "PATCH", "/api/dns/config", body)
        assert (status, answer["error"]["code"], answer["error"]["setting"]) == (422, "bad_setting", setting)
        assert right in answer["error"]["message"]
        assert "12345678901234" not in json.dumps(answer)
        assert server.settings is before
        assert server.engine.options.block.mode == "null"


async def test_changes_are_kept_and_what_is_given_wins(two: Any, tmp_path: Path) -> None:
    given = {"upstreams": [two[0].address], "folder": tmp_path}
    async with Server(**given) as server:
        await call(server, "PATCH", "/api/dns/config", {"block_mode": "refused", "block_ttl": 5})
        await call(server, "PATCH", "/api/dns/config", {"block_ttl": None})
    assert json.loads((tmp_path / "settings.json").read_bytes()) == {"block_mode": "refused"}
    async with Server(**given) as again:
        assert (again.settings.block_mode, again.settings.source("block_mode")) == ("refused", "kept")
        assert again.engine.options.block.mode == "refused"
    async with Server(**given, block_mode="nodata") as other:
        assert (other.settings.block_mode, other.settings.source("block_mode")) == ("nodata", "given")


async def test_the_schema_says_what_there_is(two: Any) -> None:
    async with Server(upstreams=[two[0].address]) as server:
        _, schema = await call(server, "GET", "/api/dns/config/schema")
    assert set(schema["properties"]) == set(Settings.model_fields) - {"token"}
    assert schema["properties"]["block_ttl"]["maximum"] == 86_400
    assert schema["properties"]["block_ttl"]["x-live"] is True
    assert not any(schema["properties"][key]["x-live"] for key in AT_START)
    assert all(value["description"] for value in schema["properties"].values())
