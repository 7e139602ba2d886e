"""Server: what changes is kept, applied and told, in that order, or not at all; it opens and closes cleanly."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dnslib
import pytest

from dnsnb import simulate
from dnsnb.config import Settings
from dnsnb.errors import SettingError
from dnsnb.server import Server
from dnsnb.server.stream import ROWS


def answered(reply: bytes) -> str:
    """The first address of an answer."""
    return str(dnslib.DNSRecord.parse(reply).rr[0].rdata)


async def test_a_real_query_becomes_a_row_and_a_page_of_the_log(api: Any) -> None:
    async with api.stream("?channels=dns/log/event") as events:
        await api.ask("www.example.org")
        row = (await events.of(ROWS))["data"]
    assert row["status"] == "forwarded"
    for _ in range(100):  # the driver is written in a thread
        status, page = await api.call("GET", "/api/dns/log")
        if page["count"]:
            break
    assert (status, page["count"], page["next"]) == (200, 1, None)
    assert page["columns"]["qname"] == ["www.example.org"]
    assert page["columns"]["time"] == [row["time"]]


async def test_pages_of_the_log(api: Any) -> None:
    for n in range(7):
        await api.ask(f"n{n}.example.org")
    await api.server.events.tick()
    async with asyncio.timeout(5):
        while (page := (await api.call("GET", "/api/dns/log?limit=3"))[1])["count"] < 7:
            pass
    assert page["columns"]["id"] == [5, 6, 7]
    assert page["next"] == 5
    _, page = await api.call("GET", f"/api/dns/log?limit=3&before={page['next']}")
    assert page["columns"]["id"] == [2, 3, 4]
    _, page = await api.call("GET", "/api/dns/log?after=5")
    assert page["columns"]["id"] == [6, 7]


async def test_stop_and_start_on_the_same_port(api: Any) -> None:
    where = api.server.dns_address
    async with api.stream("?channels=dns/status") as events:
        await events.next()
        for path, running in (("stop", False), ("stop", False), ("start", True), ("start", True), ("toggle", False)):
            status, body = await api.call("POST", f"/api/dns/{path}")
            assert (status, body["running"], body["dns"]) == (200, running, where)
        told = [(await events.next())["data"] for _ in range(3)]  # only what changed
        assert [d["running"] for d in told] == [False, True, False]
        assert [d["version"] for d in told] == sorted({d["version"] for d in told})
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        host, _, port = where.rpartition(":")
        free.bind((host, int(port)))  # the port is closed
        status, body = await api.call("POST", "/api/dns/start")
        assert (status, body["error"]["setting"]) == (422, "dns")
        assert "taken" in body["error"]["message"]
        status, body = await api.call("GET", "/api/dns/status")
        assert (body["running"], "taken" in body["error"]) == (False, True)
    status, body = await api.call("POST", "/api/dns/toggle")
    assert (status, body["running"], body["error"]) == (200, True, None)
    assert await api.ask("www.example.org")


async def test_an_edit_holds_from_the_next_query(api: Any) -> None:
    before = answered(await api.ask("shop.example.org"))
    assert before != "0.0.0.0"
    status, body = await api.call("POST", "/api/dns/blacklist", {"names": ["Shop.Example.ORG.", "ads.example.com"]})
    assert (status, body["added"], body["already"]) == (200, ["shop.example.org"], ["ads.example.com"])
    assert body["count"] == 2
    assert body["entries"][0]["name"] == "shop.example.org"
    assert answered(await api.ask("shop.example.org")) == "0.0.0.0"
    assert answered(await api.ask("deep.below.shop.example.org")) == "0.0.0.0"
    await api.call("POST", "/api/dns/whitelist", {"names": ["deep.below.shop.example.org"]})
    assert answered(await api.ask("deep.below.shop.example.org")) != "0.0.0.0"
    status, body = await api.call("DELETE", "/api/dns/blacklist", {"names": ["shop.example.org", "absent.example"]})
    assert (status, body["removed"], body["absent"]) == (200, ["shop.example.org"], ["absent.example"])
    assert answered(await api.ask("shop.example.org")) == before


async def test_one_wrong_name_and_nothing_is_changed(api: Any) -> None:
    generation = api.server.policy.generation
    for bad in ("no spaces.example", "", "x" * 64 + ".example", "http://a.example/", "a..b", "<img src=x>", "a\nb"):
        status, body = await api.call("POST", "/api/dns/blacklist", {"names": ["good.example.com", bad]})
        assert (status, body["error"]["code"], body["error"]["setting"]) == (422, "bad_setting", "names"), bad
    for wrong in ({"names": "a.example"}, {"names": [1]}, {}, {"name": ["a.example"]}, {"names": None}):
        status, body = await api.call("POST", "/api/dns/blacklist", wrong)
        assert status == 422, wrong
    assert api.server.policy.generation == generation


async def test_what_cannot_be_kept_is_not_applied_and_not_told(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []

    def full(name: str, added: Sequence[Any], removed: Sequence[str]) -> None:
        raise OSError(28, "No space left on device")

    def keeps(name: str, added: Sequence[Any], removed: Sequence[str]) -> None:
        order.append("kept")

    lists = api.server.drivers.lists
    async with api.stream("?channels=dns/blacklist/") as events:
        version = (await events.next())["data"]["version"]
        with monkeypatch.context() as broken:
            broken.setattr(lists, "change", full)
            status, body = await api.call("POST", "/api/dns/blacklist", {"names": ["shop.example.org"]})
            assert (status, body["error"]["code"]) == (503, "not_kept")
            assert "No space left" in body["error"]["message"]
        assert answered(await api.ask("shop.example.org")) != "0.0.0.0"
        monkeypatch.setattr(lists, "change", keeps)
        apply, emit = api.server.policy.apply, api.server.responder.emit
        monkeypatch.setattr(api.server.policy, "apply", lambda edit: (order.append("applied"), apply(edit)))
        monkeypatch.setattr(api.server.responder, "emit", lambda *a, **k: (order.append("told"), emit(*a, **k)))
        await api.call("POST", "/api/dns/blacklist", {"names": ["shop.example.org"]})
        assert order[:3] == ["kept", "applied", "told"]
        delta = (await events.next())["data"]
        assert (delta["version"], delta["added"]) == (version + 1, ["shop.example.org"])


async def test_a_change_that_has_begun_ends_although_its_client_leaves(
    api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, begun, go = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
    change = api.server.drivers.lists.change

    def slow(*given: Any) -> None:
        loop.call_soon_threadsafe(begun.set)
        asyncio.run_coroutine_threadsafe(go.wait(), loop).result(10)
        change(*given)

    monkeypatch.setattr(api.server.drivers.lists, "change", slow)
    async with api.stream("?channels=dns/blacklist/") as events:
        await events.next()
        post = asyncio.create_task(api.call("POST", "/api/dns/blacklist", {"names": ["shop.example.org"]}))
        await begun.wait()
        post.cancel()
        await asyncio.gather(post, return_exceptions=True)
        go.set()
        assert (await events.next())["data"]["added"] == ["shop.example.org"]
    assert answered(await api.ask("shop.example.org")) == "0.0.0.0"


async def test_edits_from_everywhere_at_once_lose_nothing(api: Any) -> None:
    async with api.stream("?channels=dns/blacklist/") as events:
        version = (await events.next())["data"]["version"]
        calls = [api.call("POST", "/api/dns/blacklist", {"names": [f"n{n}.example.com"]}) for n in range(40)]
        assert {status for status, _ in await asyncio.gather(*calls)} == {200}
        deltas = [(await events.next())["data"] for _ in range(40)]
    assert [d["version"] for d in deltas] == list(range(version + 1, version + 41))
    assert {name for d in deltas for name in d["added"]} == {f"n{n}.example.com" for n in range(40)}
    assert api.server.policy.lists["blacklist"].count == 41


async def test_the_cache_is_shown_and_flushed_by_name_by_suffix_or_whole(api: Any) -> None:
    for name in ("a.example.org", "b.example.org", "www.example.net", "notexample.org"):
        await api.ask(name, 2)
    _, body = await api.call("GET", "/api/dns/cache?search=example.org&limit=2")
    assert (body["count"], len(body["entries"])) == (4, 2)
    assert set(body["entries"][0]) == {"qname", "qtype", "rcode", "ttl", "answers", "hits"}
    for query, gone in (("?name=A.example.org.", 1), ("?suffix=example.org", 1), ("?name=absent.example", 0), ("", 2)):
        status, body = await api.call("DELETE", "/api/dns/cache" + query)
        assert (status, body["flushed"]) == (200, gone), query
    status, body = await api.call("DELETE", "/api/dns/cache?name=a..b")
    assert (status, body["error"]["setting"]) == (422, "name")


async def test_health(api: Any) -> None:
    import dnsnb

    status, body = await api.call("GET", "/api/system/health")
    assert (status, body) == (200, {"status": "ok", "version": dnsnb.__version__, "uptime_s": body["uptime_s"]})


async def test_a_failing_log_driver_is_told_and_dns_goes_on(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(batch: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(api.server.drivers.log, "append", full)
        async with api.stream("?channels=dns/info,dns/log/event") as events:
            for n in range(5):
                await api.ask(f"n{n}.example.org")
                await api.server.events.tick()
            found = await events.until(lambda m: m["type"] == "dns/info" and bool(m["data"]["notices"]))
            assert "No space left" in found["data"]["notices"][0]["text"]
            assert len(found["data"]["notices"]) == 1  # once, not once a batch
    async with asyncio.timeout(5):
        while (page := (await api.call("GET", "/api/dns/log"))[1])["count"] < 5:
            pass
    assert page["dropped"] == 0  # the rows waited until there was room


# --- opening and closing ---


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("dns", "nowhere:53"),
        ("dns", "127.0.0.1:99999"),
        ("http", "127.0.0.1"[:-1] + "x:80"),
        ("dns", "0.0.0.0:0"),
        ("dns", "[::]:0"),
        ("http", "0.0.0.0:0"),
        ("http", "[::]:0"),
        ("upstreams", ["gopher://1.1.1.1"]),
        ("blacklist", ["not a name"]),
        ("whitelist", ["/nowhere/at/all.txt"]),
        ("log_driver", "papyrus"),
        ("token", "short"),
        ("nonsense", 1),
    ],
)
async def test_a_wrong_setting_is_named_and_nothing_is_left_open(setting: str, value: Any, upstream: Any) -> None:
    tasks = len(asyncio.all_tasks())
    with pytest.raises(SettingError) as error:
        async with Server(**{"upstreams": [upstream.address], setting: value}):
            raise AssertionError("it must not open")
    assert error.value.setting.split("[")[0] == setting
    await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) == tasks


@pytest.mark.parametrize("which", ["dns", "http"])
async def test_a_taken_port_is_named_and_the_running_server_stays(api: Any, upstream: Any, which: str) -> None:
    taken = api.server.dns_address if which == "dns" else api.server.http_url.removeprefix("http://")
    with pytest.raises(SettingError, match="taken") as error:
        async with Server(upstreams=[upstream.address], **{which: taken}):
            pass
    assert error.value.setting == which
    assert await api.ask("www.example.org")
    assert (await api.call("GET", "/api/system/health"))[0] == 200


async def test_closing_leaves_no_task_and_no_port(upstream: Any) -> None:
    before = asyncio.all_tasks()
    async with Server(Settings(upstreams=[upstream.address]), blacklist=["a.example"]) as server:
        dns, http = server.dns_address, server.http_url
        assert server.token not in repr(server)
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
    for where, kind in ((dns, socket.SOCK_DGRAM), (dns, socket.SOCK_STREAM), (http, socket.SOCK_STREAM)):
        host, _, port = where.removeprefix("http://").rpartition(":")
        with socket.socket(socket.AF_INET, kind) as sock:
            sock.bind((host, int(port)))


async def test_tokens_are_kept_as_hashes_in_a_private_file(start_api: Any, tmp_path: Path) -> None:
    mask = os.umask(0)
    try:
        async with start_api(folder=tmp_path) as api:
            status, made = await api.call(
                "POST", "/api/auth/tokens", {"name": "kiosk", "role": "viewer", "channels": ["dns/status"]}
            )
            assert (status, made["role"], made["channels"]) == (200, "viewer", ["dns/status"])
            _, listed = await api.call("GET", "/api/auth/tokens")
            assert [t["name"] for t in listed["tokens"]] == ["admin", "kiosk"]
            for wrong in (
                {"name": "kiosk"},
                {"name": "x", "role": "god"},
                {"name": "x", "channels": "*"},
                {"nam": "x"},
            ):
                assert (await api.call("POST", "/api/auth/tokens", wrong))[0] == 422, wrong
    finally:
        os.umask(mask)
    kept = tmp_path / "tokens.json"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert made["token"] not in kept.read_text()
    async with start_api(folder=tmp_path) as api:
        status, me = await api.call("GET", "/api/auth/me", token=made["token"])
        assert (status, me["name"]) == (200, "kiosk")
        assert (await api.call("DELETE", "/api/auth/tokens?name=kiosk"))[0] == 200
        assert (await api.call("DELETE", "/api/auth/tokens?name=kiosk"))[0] == 404
        assert (await api.call("GET", "/api/auth/me", token=made["token"]))[0] == 401
    async with start_api(folder=tmp_path) as api:
        assert (await api.call("GET", "/api/auth/me", token=made["token"]))[0] == 401
    kept.write_text("{ broken")
    with pytest.raises(SettingError, match=r"tokens\.json"):
        async with start_api(folder=tmp_path):
            pass


async def test_a_token_that_cannot_be_kept_does_not_hold(
    start_api: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    async with start_api(folder=tmp_path) as api:
        monkeypatch.setattr("dnsnb.server.server.keep_tokens", full)
        status, body = await api.call("POST", "/api/auth/tokens", {"name": "kiosk"})
        assert (status, body["error"]["code"]) == (503, "not_kept")
        assert [grant.name for grant in api.server.tokens.grants] == ["admin"]


async def test_a_suffix_can_have_upstreams_of_its_own(start_api: Any) -> None:
    async with (
        simulate.Upstream(latency_ms=0) as corporate,
        start_api(routes={"corp.example.org": [corporate.address], "corp.test": [corporate.address]}) as api,
    ):
        routes = api.server.forwarder.routes
        assert len(routes) == 2
        assert len({id(found) for found in routes.values()}) == 1  # one upstream, one health
        await api.ask("www.corp.example.org")
        assert sum(corporate.queries.values()) == 1
        await api.ask("www.example.org")
        assert sum(corporate.queries.values()) == 1


async def test_lists_come_from_names_and_files(upstream: Any, tmp_path: Path, start_api: Any) -> None:
    first, second = tmp_path / "hosts.txt", tmp_path / "more.txt"
    first.write_text("0.0.0.0 ads.example.com\n0.0.0.0 track.example.com\n")
    second.write_text("||pixel.example.com^\n")
    async with start_api(blacklist=["typed.example.com", str(first), str(second)]) as api:
        for name in ("ads.example.com", "track.example.com", "typed.example.com", "x.pixel.example.com"):
            assert answered(await api.ask(name)) == "0.0.0.0", name
        assert answered(await api.ask("www.example.com")) != "0.0.0.0"


async def test_a_hostile_name_is_one_harmless_value_everywhere(api: Any) -> None:
    """Line ends, quotes and markup in a label reach the stream as escaped text inside one JSON string."""
    loop = asyncio.get_running_loop()
    host, _, port = api.server.dns_address.rpartition(":")
    label = b'<img src=x>\r\n\r\ndata: {"a":1}\x00'
    query = b"\0\1\1\0\0\1\0\0\0\0\0\0" + bytes([len(label)]) + label + b"\7example\0\0\1\0\1"
    async with api.stream("?channels=dns/log/event") as events:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            await loop.sock_sendto(sock, query, (host, int(port)))
            row = (await events.of(ROWS))["data"]
    assert row["qname"].endswith(".example")
    assert "\n" not in row["qname"]
    assert "\r" not in row["qname"]
    assert "\\013\\010" in row["qname"]
    assert all(32 <= ord(c) < 127 for c in row["qname"])
