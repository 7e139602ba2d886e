"""The policy over HTTP and DNS at once: what is set holds from the next query, is told, and is explained."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from dnsnb import simulate
from dnsnb.client.policy import PolicyCommands
from dnsnb.notebook.explained import Explanation
from dnsnb.server.lookup import Reply, ask


async def look(api: Any, name: str, qtype: str = "A", *, tcp: bool = False) -> Reply:
    """Ask over UDP (or TCP), without holding the loop up."""
    return await asyncio.to_thread(ask, name, qtype, api.server.dns_address, tcp=tcp, timeout=8)


async def good(api: Any, method: str, path: str, body: Any = None) -> Any:
    """The body of an answer that must be 200."""
    status, told = await api.call(method, path, body)
    assert status == 200, told
    return told


async def refused(api: Any, method: str, path: str, body: Any = None) -> tuple[int, str | None, str]:
    """Status, setting and message of an answer that must be an error."""
    status, told = await api.call(method, path, body)
    assert status >= 400, told
    return status, told["error"].get("setting"), told["error"]["message"]


async def test_a_list_comes_holds_rests_and_goes(api: Any) -> None:
    assert (await look(api, "www.track.test")).answers != ["0.0.0.0"]  # and it is in the cache now
    told = await good(api, "POST", "/api/dns/lists", {"name": "trackers", "text": "||track.test^\nnot a rule\n"})
    assert (told["count"], told["report"]["skipped"], told["report"]["examples"][0]["line"]) == (1, 1, 2)
    reply = await look(api, "www.track.test")
    assert (reply.answers, reply.ede) == (["0.0.0.0"], 15)
    assert (await look(api, "www.track.test", "AAAA")).answers == ["::"]

    await good(api, "PATCH", "/api/dns/lists", {"name": "trackers", "enabled": False})
    assert (await look(api, "www.track.test")).ede is None
    await good(api, "PATCH", "/api/dns/lists", {"name": "trackers", "enabled": True})
    assert (await look(api, "www.track.test")).ede == 15

    shown = {item["name"]: item for item in (await good(api, "GET", "/api/dns/lists"))["lists"]}
    assert list(shown) == ["blacklist", "whitelist", "trackers"]
    assert shown["blacklist"]["source"] == "typed"
    await good(api, "DELETE", "/api/dns/lists?name=trackers")
    assert (await look(api, "www.track.test")).ede is None


async def test_changes_are_told_on_the_stream_with_versions(api: Any) -> None:
    async with api.stream("?channels=dns/blacklist/,dns/info") as stream:
        before = (await stream.of("dns/blacklist/"))["data"]
        await good(api, "POST", "/api/dns/blacklist", {"names": ["new.example"]})
        delta = await stream.until(lambda m: m["type"] == "dns/blacklist/" and "added" in m["data"])
        assert [item["name"] if isinstance(item, dict) else item for item in delta["data"]["added"]] == ["new.example"]
        assert delta["data"]["version"] == before["version"] + 1
        for method, path, body, kind in (
            ("POST", "/api/dns/lists", {"name": "l", "text": "a.test"}, "lists"),
            ("POST", "/api/dns/records", {"name": "a.lan", "type": "A", "data": "192.0.2.1"}, "local"),
            ("POST", "/api/dns/clients", {"clients": [{"name": "me"}]}, "clients"),
            ("POST", "/api/dns/pause", {"seconds": 9}, "pause"),
        ):
            await good(api, method, path, body)
            told = await stream.until(lambda m: "change" in m["data"])
            assert (told["type"], told["data"]["change"]["kind"]) == ("dns/info", kind)
            if kind == "lists":  # made first, then filled: both are told
                told = await stream.until(lambda m: "change" in m["data"])
                assert (told["data"]["change"]["list"], told["data"]["change"]["count"]) == ("l", 1)
        assert told["data"]["policy"]["generation"] == api.server.policy.generation
        assert told["data"]["policy"]["paused"][0]["client"] is None


async def test_a_url_list_can_be_previewed_added_and_refreshed(start_api: Callable[..., Any]) -> None:
    texts = ["a.list.test\nb.list.test\n"]

    async def serve(_: web.Request) -> web.Response:
        return web.Response(text=texts[-1])

    app = web.Application()
    app.router.add_get("/list", serve)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/list"
    try:
        async with start_api() as api:
            status, setting, why = await refused(api, "POST", "/api/dns/lists", {"name": "far", "url": url})
            assert (status, setting) == (422, "list.url")
            assert "127.0.0.1 is not a public address" in why
            own = api.server.http_url + "/api/dns/status"
            assert (await refused(api, "POST", "/api/dns/lists", {"name": "far", "url": own}))[0] == 422
        async with start_api(list_networks=["127.0.0.1"], blacklist=["a.list.test"]) as api:
            told = await good(api, "POST", "/api/dns/lists/preview", {"url": url})
            assert (told["names"], told["new"], told["first_new"]) == (2, 1, ["b.list.test"])
            assert told["known_by"] == {"blacklist": 1}
            await good(api, "POST", "/api/dns/lists", {"name": "far", "url": url})
            assert (await look(api, "x.b.list.test")).ede == 15
            texts.append("c.list.test\n")
            told = await good(api, "POST", "/api/dns/lists/refresh", {"name": "far"})
            assert (told["lists"][0]["count"], told["lists"][0]["error"]) == (1, None)
            assert (await look(api, "c.list.test")).ede == 15
            overlap = (await good(api, "GET", "/api/dns/lists/overlap"))["lists"]
            assert [row["list"] for row in overlap] == ["blacklist", "far"]
            found = await good(api, "GET", "/api/dns/lists/entries?name=far&search=c.l")
            assert [item["name"] for item in found["entries"]] == ["c.list.test"]
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "setting"),
    [
        ("POST", "/api/dns/lists", {"name": "x"}, 422, "list"),
        ("POST", "/api/dns/lists", {"name": "x", "path": "/etc/passwd"}, 422, "list.path"),
        ("POST", "/api/dns/lists", {"name": "x", "url": "file:///etc/passwd"}, 422, "list.url"),
        ("POST", "/api/dns/lists", {"name": "whitelist", "text": "a.example"}, 422, "list.kind"),
        ("PATCH", "/api/dns/lists", {"name": "nope", "enabled": True}, 422, "list"),
        ("PATCH", "/api/dns/lists", {"name": "blacklist", "url": "x"}, 422, "list.url"),
        ("PATCH", "/api/dns/lists", {"enabled": True}, 422, "name"),
        ("DELETE", "/api/dns/lists?name=nope", None, 404, "name"),
        ("DELETE", "/api/dns/lists?name=blacklist", None, 422, "list"),
        ("DELETE", "/api/dns/lists?nam=blacklist", None, 422, "nam"),
        ("GET", "/api/dns/lists/entries?name=nope", None, 404, "name"),
        ("GET", "/api/dns/lists/hits?name=nope", None, 404, "name"),
        ("POST", "/api/dns/clients", {"clients": 5}, 422, "clients"),
        ("POST", "/api/dns/clients", {"people": []}, 422, "people"),
        ("POST", "/api/dns/clients", {"clients": [{"name": "x", "addresses": ["y"]}]}, 422, "clients[0].addresses"),
        ("POST", "/api/dns/clients", {"groups": [{"name": "x", "lists": ["y"]}]}, 422, "groups.x.lists"),
        ("DELETE", "/api/dns/clients?name=nobody", None, 404, "name"),
        ("POST", "/api/dns/records", {"name": "a.lan", "type": "A", "data": "x"}, 422, "records[0].data"),
        ("POST", "/api/dns/records", {"records": 5}, 422, "records"),
        ("POST", "/api/dns/pause", {"seconds": -5}, 422, "pause.seconds"),
        ("POST", "/api/dns/pause", {"minutes": 5}, 422, "minutes"),
        ("GET", "/api/dns/test", None, 422, "name"),
        ("GET", "/api/dns/test?name=a%20b", None, 422, "name"),
        ("GET", "/api/dns/test?name=a.example&type=NOPE", None, 422, "type"),
    ],
)
async def test_wrong_requests_name_the_culprit_and_change_nothing(
    api: Any, method: str, path: str, body: Any, status: int, setting: str
) -> None:
    generation = api.server.policy.generation
    found = await refused(api, method, path, body)
    assert found[:2] == (status, setting), found
    assert api.server.policy.generation == generation


async def test_clients_groups_and_pauses(api: Any) -> None:
    await good(api, "POST", "/api/dns/lists", {"name": "social", "text": "chat.test"})
    told = await good(
        api,
        "POST",
        "/api/dns/clients",
        {
            "clients": [{"name": "me", "addresses": ["127.0.0.1"]}],
            "groups": [{"name": "kids", "members": ["me"], "lists": ["social"]}],
        },
    )
    assert told["groups"][0]["members"] == ["me"]
    assert (await look(api, "chat.test")).ede == 15
    await good(api, "POST", "/api/dns/pause", {"seconds": 60, "client": "kids"})
    assert (await look(api, "chat.test")).ede is None
    assert (await good(api, "GET", "/api/dns/pause"))["paused"][0]["client"] == "kids"
    assert (await good(api, "DELETE", "/api/dns/pause?client=kids"))["ended"] is True
    assert (await look(api, "chat.test")).ede == 15
    told = await good(api, "DELETE", "/api/dns/clients?name=me")
    assert told["clients"] == []
    assert told["groups"][0]["members"] == []
    assert (await look(api, "chat.test")).ede is None  # a list that a group names is not everybody's


async def test_a_group_asks_upstreams_of_its_own(start_api: Callable[..., Any]) -> None:
    async with simulate.Upstream(latency_ms=0) as other, start_api() as api:
        await look(api, "one.test")
        assert sum(other.queries.values()) == 0
        group = {"name": "mine", "members": ["127.0.0.0/8"], "upstreams": [other.address]}
        await good(api, "POST", "/api/dns/clients", {"groups": [group]})
        await look(api, "one.test")  # in the cache, but that answer is everybody else's
        assert sum(other.queries.values()) == 1
        await look(api, "one.test")
        assert sum(other.queries.values()) == 1
        await good(api, "POST", "/api/dns/clients", {"groups": []})
        await look(api, "two.test")
        assert sum(other.queries.values()) == 1
        assert api.server.forwarder.views == {}


async def test_local_records_are_answered_and_a_chain_is_followed_outside(api: Any) -> None:
    records = [
        {"name": "nas.lan", "type": "A", "data": "192.168.1.2", "ttl": 77},
        {"name": "shop.lan", "type": "CNAME", "data": "ok-60.outside.test"},
        {"name": "gone.lan", "type": "CNAME", "data": "nx-30-5.outside.test"},
        {"name": "here.lan", "type": "CNAME", "data": "nas.lan"},
        {"name": "txt.lan", "type": "TXT", "data": "hello there"},
    ]
    assert (await good(api, "POST", "/api/dns/records", {"records": records}))["count"] == 5
    reply = await look(api, "nas.lan")
    assert (reply.answers, reply.ttl) == (["192.168.1.2"], 77)
    assert (await look(api, "nas.lan", "AAAA")).answers == []
    assert (await look(api, "here.lan")).answers == ["nas.lan", "192.168.1.2"]
    assert (await look(api, "txt.lan", "TXT")).answers == ['"hello there"']
    direct = (await look(api, "ok-60.outside.test")).answers
    for transport in (False, True, False):
        assert (await look(api, "shop.lan", tcp=transport)).answers == ["ok-60.outside.test", *direct]
    reply = await look(api, "gone.lan")
    assert (reply.rcode, reply.answers) == ("NXDOMAIN", ["nx-30-5.outside.test"])
    assert (await look(api, "shop.lan", "CNAME")).answers == ["ok-60.outside.test"]
    gone = await good(api, "DELETE", "/api/dns/records?name=nas.lan")
    assert [r["name"] for r in gone["removed"]] == ["nas.lan"]
    assert (await look(api, "nas.lan")).answers != ["192.168.1.2"]


async def test_answers_by_rule(api: Any) -> None:
    rules = """
        ||nx.rule.test^$dnsrewrite=NXDOMAIN
        ||ip.rule.test^$dnsrewrite=192.0.2.77
        ||alias.rule.test^$dnsrewrite=ok-60.outside.test
        ||no.rule.test^$dnsrewrite=REFUSED
    """
    await good(api, "POST", "/api/dns/lists", {"name": "rules", "text": rules})
    assert (await look(api, "nx.rule.test")).rcode == "NXDOMAIN"
    assert (await look(api, "no.rule.test")).rcode == "REFUSED"
    assert (await look(api, "ip.rule.test")).answers == ["192.0.2.77"]
    assert (await look(api, "ip.rule.test", "AAAA")).answers == []
    direct = (await look(api, "ok-60.outside.test")).answers
    for _ in range(2):
        reply = await look(api, "alias.rule.test")
        assert (reply.answers, reply.ede) == (["ok-60.outside.test", *direct], 15)


async def test_why_is_told_with_what_upstreams_say(api: Any) -> None:
    await good(api, "POST", "/api/dns/lists", {"name": "l", "text": "# head\n||track.test^\n0.0.0.0 x.track.test\n"})
    told = await good(api, "GET", "/api/dns/test?name=X.Track.test.&type=a&client=10.0.0.5")
    assert (told["name"], told["verdict"], told["decided"], told["client"]) == (
        "x.track.test",
        "block",
        "lists",
        "10.0.0.5",
    )
    assert [(m["rule"], m["line"]) for m in told["matches"]] == [("x.track.test", 3), ("track.test", 2)]
    assert told["upstreams"][0]["answers"]
    assert told["upstreams"][0]["ms"] > 0
    # a tracker behind an alias: nothing is listed of the name itself, the answer is what is blocked
    await good(api, "POST", "/api/dns/lists", {"name": "m", "text": "||target.cloak.test^"})
    told = await good(api, "GET", "/api/dns/test?name=cname-300-3.cloak.test")
    assert (told["verdict"], told["decided"]) == ("block", "answer")
    assert told["upstreams"][0]["rule"] == "target.cloak.test (CNAME target.cloak.test)"
    assert (await look(api, "cname-300-3.cloak.test")).ede == 15
    assert api.server.policy.rules_for("127.0.0.1")
    told = await good(api, "GET", "/api/dns/test?name=ads.example.com&upstreams=0")
    assert told["upstreams"] == []
    shown = Explanation(told)
    assert "ads.example.com" in repr(shown)
    assert "<table>" in shown._repr_html_()


async def test_what_is_explained_can_steer_nothing() -> None:
    name = "<img src=x onerror=alert(1)>\x1b[2J\n{{x}}"
    step = {"step": "lists", "verdict": "block", "list": name, "rule": name, "line": 1, "detail": name, "us": 1.0}
    match = {"list": name, "rule": name, "action": "block", "important": False, "line": None}
    up = {
        "upstream": name,
        "rcode": name,
        "answers": [name],
        "ms": 1.0,
        "error": None,
        "verdict": "block",
        "list": name,
        "rule": name,
    }
    shown = Explanation(
        {
            "name": name, "type": "A", "client": name, "client_name": name, "groups": [], "steps": [step],
            "matches": [match, match], "upstreams": [up], "verdict": "block", "decided": name,
        }
    )  # fmt: skip
    html = shown._repr_html_()
    assert "<img" not in html
    assert "{{" not in html
    assert "\x1b" not in html + repr(shown)
    assert len(repr(shown).splitlines()) == 6


async def test_hits_are_counted_from_real_queries(api: Any) -> None:
    await good(api, "POST", "/api/dns/lists", {"name": "l", "text": "hit.test\nmiss.test\n"})
    async with api.stream("?channels=dns/log/event") as stream:
        for _ in range(3):
            await look(api, "hit.test")
        rows = 0
        while rows < 3:
            rows += (await stream.of("dns/log/event"))["data"].get("qname") == "hit.test"
    told = await good(api, "GET", "/api/dns/lists/hits?name=l")
    assert told["lists"]["l"] == 3
    assert told["rules"][0] == {"list": "l", "rule": "hit.test", "hits": 3}
    assert (told["never"]["never_hit"], told["never"]["first"]) == (1, ["miss.test"])


async def test_settings_bring_lists_clients_records_and_files(start_api: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text("192.168.7.7 box.lan\n")
    (tmp_path / "mine.txt").write_text("||filed.test^\n")
    settings = {
        "lists": [
            {"name": "inline", "text": "inline.test"},
            {"name": "filed", "path": str(tmp_path / "mine.txt")},
            {"name": "away", "url": "http://127.0.0.1:9/none"},
        ],
        "records": [{"name": "nas.lan", "type": "A", "data": "192.168.7.8"}],
        "clients": [{"name": "me", "addresses": ["127.0.0.1"]}],
        "hosts_files": [str(tmp_path / "hosts")],
        "folder": tmp_path / "kept",
    }
    async with start_api(**settings) as api:
        for name in ("inline.test", "filed.test"):
            assert (await look(api, name)).ede == 15
        assert (await look(api, "box.lan")).answers == ["192.168.7.7"]
        assert (await look(api, "nas.lan")).answers == ["192.168.7.8"]
        assert api.server.policy.identify("127.0.0.1").name == "me"
        shown = {item["name"]: item for item in (await good(api, "GET", "/api/dns/lists"))["lists"]}
        assert shown["away"]["error"]
        await good(api, "POST", "/api/dns/lists", {"name": "kept", "text": "kept.test"})
    async with start_api(folder=tmp_path / "kept") as api:  # what settings gave is not kept, what was added is
        assert (await look(api, "kept.test")).ede == 15
        assert (await look(api, "inline.test")).ede is None


async def test_the_function_is_asked_for_every_query(api: Any) -> None:
    seen: list[str] = []

    def judge(question: Any, client: Any) -> str | None:
        seen.append(question.name)
        return "block" if len(seen) == 2 else None

    await look(api, "same.test")  # remembered by its bytes from here on, were it not for the function
    api.server.policy.set_function(judge)
    assert [(await look(api, "same.test")).ede for _ in range(3)] == [None, 15, None]
    assert seen == ["same.test"] * 3
    told = await good(api, "GET", "/api/dns/lists")
    assert (told["function"]["calls"], told["function"]["errors"]) == (3, 0)
    api.server.policy.set_function(lambda q, c: 1 / 0)
    assert (await look(api, "same.test")).ede is None
    assert "ZeroDivisionError" in (await good(api, "GET", "/api/dns/lists"))["function"]["last_error"]


async def test_a_schedules_boundary_is_met_by_the_servers_own_timer(upstream: Any) -> None:
    import aiohttp

    from dnsnb.server import Server

    from .conftest import Api

    offset = [0]

    def wall() -> int:
        import time

        return time.time_ns() + offset[0]

    async with Server(upstreams=[upstream.address], wall=wall) as server, aiohttp.ClientSession() as session:
        api = Api(server, session)
        await good(api, "POST", "/api/dns/lists", {"name": "night", "text": "night.test", "schedule": "22:00-06:00"})
        held = server.policy.list("night").schedule
        assert held is not None
        expected = 15 if held.active(wall() / 1e9) else None
        assert (await look(api, "night.test")).ede == expected
        changed = asyncio.Event()
        server.policy.on_change(lambda change: changed.set() if change.kind == "schedule" else None)
        for _ in range(2):  # to the next boundary and to the one behind it: one opens, one closes
            changed.clear()
            offset[0] += int((server.policy.next_change() - wall() / 1e9 + 1) * 1e9)
            server.policy_keeper._wake.set()
            async with asyncio.timeout(10):
                await changed.wait()
            expected = 15 if held.active(wall() / 1e9) else None
            assert (await look(api, "night.test")).ede == expected


async def test_commands_of_client_and_terminal(api: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from dnsnb.cli import main
    from dnsnb.client.client import Client

    (tmp_path / "list.txt").write_text("||file.test^\nevil\x1b[2J rule\n")
    where = ["--url", api.server.http_url, "--token", api.server.token]

    def work() -> None:
        with Client(api.server.http_url, api.server.token) as client:
            policy = PolicyCommands(client.request)
            assert policy.preview_list(text=["a.test", "b.test"])["new"] == 2
            assert policy.add_list("typed", text=["a.test", "b.test"])["count"] == 2
            assert [e["name"] for e in policy.entries("typed", "a.")] == ["a.test"]
            assert policy.change_list("typed", schedule="00:00-24:00")["schedule"] == "00:00-24:00"
            assert policy.add_records([{"name": "x.lan", "type": "A", "data": "192.0.2.1"}])[0]["name"] == "x.lan"
            assert policy.records()[0]["data"] == "192.0.2.1"
            assert policy.remove_records("x.lan")
            assert policy.set_clients(clients=[{"name": "me", "addresses": ["127.0.0.1"]}])["clients"]
            assert policy.remove_client("me")["clients"] == []
            assert policy.pause(60)
            assert policy.resume()
            assert policy.explain("a.test", upstreams=False)["verdict"] == "block"
            assert {row["list"] for row in policy.overlap()} == {"blacklist", "typed"}
            assert [told["name"] for told in policy.refresh_lists()] == ["typed"]
            assert policy.remove_list("typed")["removed"] == "typed"
        assert main(["lists", "add", "file", str(tmp_path / "list.txt"), *where]) == 0
        assert main(["lists", *where]) == 0
        assert main(["lists", "disable", "file", *where]) == 0
        assert main(["lists", "enable", "file", *where]) == 0
        assert main(["lists", "overlap", *where]) == 0
        assert main(["lists", "hits", "file", *where]) == 0
        assert main(["explain", "www.file.test", *where]) == 0
        assert main(["explain", "two words", *where]) == 1
        assert main(["lists", "remove", "file", *where]) == 0
        assert main(["lists"]) == 2

    await asyncio.to_thread(work)
    out = capsys.readouterr()
    assert "read as adblock: 2 lines, 1 kept, 1 skipped" in out.out
    assert "file.test (file, line 1)" in out.out
    assert "\x1b" not in out.out
    assert "--url" in out.err
    assert "a space can't stand in a name" in out.err
