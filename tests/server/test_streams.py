"""The event stream over real connections: what comes on connect and after, access, limits, the end."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from dnsnb.dns.journal import LogBatch
from dnsnb.server.responder import CHANNELS
from dnsnb.server.stream import ROWS

STATES = ["dns/status", "dns/info", "dns/log/", "dns/cache/", "dns/blacklist/", "dns/whitelist/"]


def is_row(qname: str) -> Any:
    return lambda m: m["type"] == ROWS and m["data"].get("qname") == qname


async def test_on_connect_the_present_state_of_each_channel(api: Any) -> None:
    await api.ask("www.example.org")
    async with api.stream() as events:
        found = [await events.next() for _ in STATES]
        assert [m["type"] for m in found] == STATES
        state = {m["type"]: m["data"] for m in found}
        assert state["dns/status"]["running"] is True
        assert state["dns/status"]["dns"] == api.server.dns_address
        assert [e["name"] for e in state["dns/blacklist/"]["entries"]] == ["ads.example.com"]
        assert state["dns/whitelist/"]["count"] == 0
        assert state["dns/cache/"]["count"] == 1
        assert state["dns/info"]["drivers"] == dict.fromkeys(("log", "cache", "blacklist", "whitelist"), "memory")
        assert {m["id"] for m in found} == {api.server.responder.ring.epoch + "-0"}
        assert events.decoder.retry_ms == 1000
        assert all(abs(m["timestamp"] - api.server.wall() / 1e6) < 60_000 for m in found)


async def test_headers_keep_proxies_from_buffering(api: Any) -> None:
    async with api.stream() as events:
        headers = events.response.headers
        assert headers["Content-Type"].startswith("text/event-stream")
        assert headers["Cache-Control"] == "no-cache, no-transform"
        assert headers["X-Accel-Buffering"] == "no"
        assert "Content-Encoding" not in headers


async def test_a_query_is_a_row_within_a_tenth_of_a_second(api: Any) -> None:
    async with api.stream() as events:
        await events.of("dns/whitelist/")
        asked = asyncio.get_running_loop().time()
        await api.ask("ads.example.com")
        row = await events.of(ROWS)
        assert asyncio.get_running_loop().time() - asked < 1  # 0.1 s, and room for a busy machine
        assert row["data"]["qname"] == "ads.example.com"
        assert (row["data"]["status"], row["data"]["list"]) == ("blocked", "blacklist")


async def test_rows_by_column(api: Any) -> None:
    async with api.stream("?batch=1&channels=dns/log/event") as events:
        await asyncio.gather(*(api.ask(f"n{n}.example.org") for n in range(5)))
        seen: list[str] = []
        while len(seen) < 5:
            data = (await events.of(ROWS))["data"]
            assert {len(values) for values in data["columns"].values()} == {data["count"]}
            seen += data["columns"]["qname"]
        assert sorted(seen) == [f"n{n}.example.org" for n in range(5)]


async def test_a_filter_lets_only_its_rows_through(api: Any) -> None:
    async with api.stream("?channels=dns/log/event&filter=status:blocked&filter=qname:example.com") as events:
        await api.ask("www.example.com")
        await api.ask("ads.example.com")
        await api.ask("www.example.com")
        await api.ask("x.ads.example.com")
        names = [(await events.of(ROWS))["data"]["qname"] for _ in range(2)]
        assert names == ["ads.example.com", "x.ads.example.com"]


async def test_channels_are_chosen_on_the_server(api: Any) -> None:
    async with api.stream("?channels=dns/status,dns/black*") as events:
        assert [(await events.next())["type"] for _ in range(2)] == ["dns/status", "dns/blacklist/"]
        await api.ask("www.example.org")
        await api.call("POST", "/api/dns/whitelist", {"names": ["good.example.com"]})
        await api.call("POST", "/api/dns/blacklist", {"names": ["bad.example.com"]})
        found = await events.of("dns/blacklist/")
        assert found["data"]["added"] == ["bad.example.com"]
        assert {m["type"] for m in events.seen} == {"dns/status", "dns/blacklist/"}


async def test_every_channel_carries_real_content(start_api: Any) -> None:
    """All eight, from what happens: no channel is there for show."""
    async with start_api(heartbeat_seconds=0.3) as api, api.stream() as events:
        for _ in STATES:
            await events.next()
        await api.ask("www.example.org", 3)
        await api.call("POST", "/api/dns/blacklist", {"names": ["bad.example.com"]})
        await api.call("POST", "/api/dns/whitelist", {"names": ["good.example.com"]})
        await api.call("DELETE", "/api/dns/cache?suffix=example.org")
        await api.call("POST", "/api/dns/stop")
        wanted: dict[str, Any] = {
            ROWS: lambda d: d.get("qname") == "www.example.org",
            "dns/blacklist/": lambda d: d.get("added") == ["bad.example.com"] and d["count"] == 1,
            "dns/whitelist/": lambda d: d.get("added") == ["good.example.com"] and d["count"] == 1,
            "dns/cache/": lambda d: d.get("flushed") == 1 and d["count"] == 0,
            "dns/status": lambda d: d["running"] is False,
            "dns/log/": lambda d: d["count"] == 3 and "newest" not in d,
            "dns/info": lambda d: d["queries"] == 3 and d["statuses"] == {"forwarded": 1, "cached": 2},
            "system/heartbeat": lambda d: d["clients"] == 1 and d["uptime_s"] >= 0,
        }
        assert set(wanted) == set(CHANNELS)
        waiting = dict(wanted)

        def met(message: Any) -> bool:
            if message["type"] in waiting and waiting[message["type"]](message["data"]):
                del waiting[message["type"]]
            return not waiting

        await events.until(met)


async def test_list_deltas_carry_versions_without_a_gap(api: Any) -> None:
    async with api.stream("?channels=dns/blacklist/") as events:
        version = (await events.next())["data"]["version"]
        for n in range(3):
            await api.call("POST", "/api/dns/blacklist", {"names": [f"n{n}.example.com", "ads.example.com"]})
        await api.call("DELETE", "/api/dns/blacklist?name=n1.example.com")
        await api.call("DELETE", "/api/dns/blacklist?name=absent.example.com")  # changes nothing, tells nothing
        await api.call("POST", "/api/dns/blacklist", {"names": ["last.example.com"]})
        deltas = [(await events.next())["data"] for _ in range(5)]
        assert [d["version"] for d in deltas] == list(range(version + 1, version + 6))
        assert [d["added"] for d in deltas[:3]] == [["n0.example.com"], ["n1.example.com"], ["n2.example.com"]]
        assert (deltas[3]["added"], deltas[3]["removed"]) == ([], ["n1.example.com"])
        assert deltas[4]["added"] == ["last.example.com"]


async def test_nothing_is_sent_while_nothing_happens(start_api: Any) -> None:
    async with start_api(heartbeat_seconds=0.8) as api, api.stream() as events:
        for _ in STATES:
            await events.next()
        await events.until(lambda m: m["type"] == "system/heartbeat")
        await events.until(lambda m: m["type"] == "system/heartbeat")
        assert {m["type"] for m in events.seen[len(STATES) :]} <= {"system/heartbeat", "dns/info"}
        assert len([m for m in events.seen[len(STATES) :] if m["type"] == "dns/info"]) <= 1


async def test_replay_after_a_lost_connection(api: Any) -> None:
    async with api.stream("?channels=dns/log/event") as events:
        await api.ask("a.example.org")
        last = (await events.of(ROWS))["id"]
    for name in ("b.example.org", "c.example.org"):
        await api.ask(name)
    await api.server.events.tick()
    for query, headers in (("", {"Last_Event_ID": last}), (f"&last_event_id={last}", {})):
        async with api.stream("?channels=dns/log/event" + query, **headers) as events:
            found = [await events.next() for _ in range(2)]
            assert [m["data"]["qname"] for m in found] == ["b.example.org", "c.example.org"]
    status, stats = await api.call("GET", "/api/sse/stats")
    assert (status, stats["replay"]["hits"], stats["replay"]["events"]) == (200, 2, 4)


async def test_a_restart_is_told_as_a_reset(start_api: Any) -> None:
    async with start_api() as api, api.stream() as events:
        await api.ask("a.example.org")
        last = (await events.of(ROWS))["id"]
    async with start_api() as api, api.stream(Last_Event_ID=last) as events:
        first = await events.next()
        assert first["type"] == "system/reset"
        assert first["data"] == {"epoch": api.server.responder.ring.epoch, "last_event_id": last, "first_id": 1}
        assert [(await events.next())["type"] for _ in STATES] == STATES


async def test_what_cannot_be_replayed_is_told(start_api: Any) -> None:
    async with start_api(replay_events=5) as api:
        await api.ask("first.example.org")
        await api.server.events.tick()  # the upstream's first answer is an event too
        async with api.stream("?channels=dns/log/event") as events:
            await api.ask("second.example.org")
            last = (await events.of(ROWS))["id"]
        for n in range(10):
            await api.ask(f"n{n}.example.org")
            await api.server.events.tick()
        async with api.stream("?channels=dns/log/event", Last_Event_ID=last) as events:
            gap = await events.next()
            assert (gap["type"], gap["data"]["count"]) == ("system/gap", 5)
            assert [(await events.next())["data"]["qname"] for _ in range(5)] == [
                f"n{n}.example.org" for n in range(5, 10)
            ]


# --- access ---


async def test_channels_of_a_token(api: Any) -> None:
    made = await api.server.add_token("kiosk", "viewer", ["dns/status", "dns/log/*"])
    token = made["token"]
    async with api.stream(token=token) as events:
        await api.server.edit_list("blacklist", add=["bad.example.com"])
        await api.ask("www.example.org")
        await events.of(ROWS)
        assert {m["type"] for m in events.seen} <= {"dns/status", "dns/log/", ROWS}
        assert {"dns/status", "dns/log/"} <= {m["type"] for m in events.seen}
    for query in ("?channels=dns/blacklist/", "?channels=dns/status,dns/info", "?channels=system/*"):
        status, body = await api.call("GET", "/api/sse/stream" + query, token=token)
        assert (status, body["error"]["code"]) == (403, "forbidden"), query
    async with api.stream("?channels=dns/*", token=token) as events:
        assert (await events.next())["type"] == "dns/status"


async def test_revoking_a_token_ends_its_streams_and_no_others(api: Any) -> None:
    made = await api.server.add_token("kiosk", "viewer", ["*"])
    async with api.stream(token=made["token"]) as doomed, api.stream() as other:
        await doomed.of("dns/whitelist/")
        assert (await api.call("DELETE", "/api/auth/tokens?name=kiosk"))[0] == 200
        assert await doomed.ended()
        assert (await api.call("GET", "/api/sse/stream", token=made["token"]))[0] == 401
        await api.ask("www.example.org")
        await other.of(ROWS)
    status, body = await api.call("DELETE", "/api/auth/tokens?name=admin")
    assert (status, body["error"]["setting"]) == (422, "name")


async def test_too_many_streams_are_sent_away_with_a_time_to_come_back(start_api: Any) -> None:
    async with start_api(max_streams=2) as api:
        async with api.stream(), api.stream() as second:
            url = api.server.http_url + "/api/sse/stream"
            async with api.session.get(url, headers=api.headers()) as response:
                assert response.status == 503
                assert int(response.headers["Retry-After"]) > 0
                assert (await response.json())["error"]["code"] == "too_many_streams"
            assert await api.ask("www.example.org")
            await second.of(ROWS)
        await closed(api, 0)
        async with api.stream() as again:
            await again.of("dns/status")


async def closed(api: Any, count: int) -> None:
    """Wait until the server counts so many streams."""
    async with asyncio.timeout(10):
        while len(api.server.responder.streams) != count:  # noqa: ASYNC110 - the server has no event for it
            await asyncio.sleep(0.01)


async def test_a_client_that_leaves_is_forgotten_at_once(api: Any) -> None:
    async with api.stream() as events:
        await events.of("dns/status")
        assert len(api.server.responder.streams) == 1
    await closed(api, 0)


# --- the test tool, the figures ---


async def test_the_test_tool_reaches_everybody_on_each_channel(api: Any) -> None:
    async with api.stream() as one, api.stream("?batch=1") as two:
        for events in (one, two):
            await events.of("dns/whitelist/")
        status, stats = await api.call("GET", "/api/sse/test")
        assert (status, stats["connections"]) == (200, 2)
        for events in (one, two):
            await events.until(lambda m: m.get("test") and m["type"] == "system/heartbeat")
            assert [m["type"] for m in events.seen if m.get("test")] == list(CHANNELS)


async def test_figures_of_the_stream(api: Any) -> None:
    async with api.stream("?batch=1&filter=status:cached") as events:
        await events.of("dns/whitelist/")
        await api.ask("www.example.org", 3)
        await events.of(ROWS)
        _, stats = await api.call("GET", "/api/sse/stats")
        (client,) = stats["clients"]
        assert (client["token"], client["role"], client["batch"]) == ("admin", "admin", True)
        assert (client["peer"], client["filter"], client["queue"]) == ("127.0.0.1", "status:cached", 0)
        assert client["events"] >= 7
        assert client["bytes"] > 500
        assert stats["channels"][ROWS]["emitted"] == 3
        assert stats["channels"][ROWS]["sent"] == 2
        _, text = await api.call("GET", "/metrics")
        for line in (
            "dnsnb_sse_connections 1.0",
            'dnsnb_sse_emitted_total{channel="dns/log/event"} 3.0',
            'dnsnb_queries_total{status="cached"} 2.0',
            'dnsnb_list_rules{list="blacklist"} 1.0',
            "dnsnb_running 1.0",
        ):
            assert line in text, line


async def test_metrics_escape_what_came_from_people(api: Any) -> None:
    from prometheus_client.parser import text_string_to_metric_families

    api.server.policy.create('a"} 1\\', "block")
    _, text = await api.call("GET", "/metrics")
    names = {
        sample.labels["list"]
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "dnsnb_list_rules"
    }
    assert 'a"} 1\\' in names


# --- slow readers, the end ---


async def stalled_reader(api: Any, query: str = "?batch=1") -> socket.socket:
    """A connection with a small window that asks for the stream and never reads."""
    loop = asyncio.get_running_loop()
    sock = socket.socket()
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    host, _, port = api.server.http_url.removeprefix("http://").rpartition(":")
    await loop.sock_connect(sock, (host, int(port)))
    head = f"GET /api/sse/stream{query} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {api.server.token}\r\n\r\n"
    await loop.sock_sendall(sock, head.encode())
    return sock


async def test_a_stalled_reader_is_out_and_a_healthy_one_misses_nothing(api: Any) -> None:
    api.server.responder.stall_seconds = 0.5
    stuck = await stalled_reader(api)
    async with api.stream("?batch=1&channels=dns/log/event") as events:
        await closed(api, 2)
        row = {"status": "cached", "list": None, "rule": None}
        seen: list[int] = []
        number = 0
        async with asyncio.timeout(20):
            while len(api.server.responder.streams) > 1 or not seen or seen[-1] < number:
                if len(api.server.responder.streams) > 1:
                    ids = list(range(number + 1, number + 501))
                    number += 500
                    columns = {name: [value] * 500 for name, value in row.items()} | {"id": ids}
                    columns["qname"] = [f"{n:0200}" for n in ids]
                    api.server.responder.emit_rows(LogBatch(columns, 500))
                seen += (await events.next())["data"]["columns"]["id"]
        assert seen == list(range(1, number + 1))
    assert api.server.responder.stalled == 1
    stuck.close()


async def test_a_slow_reader_gets_a_gap_and_then_the_newest(start_api: Any) -> None:
    async with start_api(replay_events=1000) as api:
        stuck = await stalled_reader(api, "?batch=1&channels=dns/log/event")
        await closed(api, 1)
        for n in range(2000):
            ids = list(range(n * 10 + 1, n * 10 + 11))
            api.server.responder.emit_rows(LogBatch({"id": ids, "qname": [f"{i:0200}" for i in ids]}, 10))
            if n % 100 == 0:
                await asyncio.sleep(0)
        loop = asyncio.get_running_loop()
        raw = b""
        async with asyncio.timeout(10):
            while b"[19991," not in raw:
                raw += await loop.sock_recv(stuck, 65536)
        assert b'"type":"system/gap"' in raw
        assert b'"reason":"slow"' in raw
        assert api.server.responder.stats()["dropped"] > 1000
        stuck.close()


async def test_a_graceful_end_closes_every_stream(start_api: Any) -> None:
    async with start_api() as api:
        url = api.server.http_url + "/api/sse/stream"
        responses = [await api.session.get(url, headers=api.headers()) for _ in range(3)]
        stuck = await stalled_reader(api)
        await closed(api, 4)
        started = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - started < 3
    for response in responses:
        response.close()
    stuck.close()


@pytest.mark.parametrize("half_close", [True, False])
async def test_a_client_that_hangs_up_roughly_is_forgotten(api: Any, half_close: bool) -> None:
    stuck = await stalled_reader(api)
    await closed(api, 1)
    if half_close:
        stuck.shutdown(socket.SHUT_WR)
    else:
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        stuck.close()
    await closed(api, 0)
    stuck.close()
