"""Commands and subscriptions on a real server: one connection, present states first, errors in the server's words."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from dnsnb import simulate
from dnsnb.client.client import Client
from dnsnb.client.events import Event, EventBuffer
from dnsnb.client.states import ChannelStates
from dnsnb.config import Settings
from dnsnb.errors import CommandError, NotConnected, SettingError
from dnsnb.notebook.lookup import look_up
from dnsnb.server.embed import Handle, launch


@pytest.fixture(scope="module")
def server() -> Iterator[Handle]:
    with simulate.running(latency_ms=1) as network, launch(Settings(upstreams=[network.address])) as handle:
        yield handle


@pytest.fixture
def client(server: Handle) -> Iterator[Client]:
    with Client(server.http, server.token) as opened:
        yield opened


class Heard:
    """A handler that keeps what it hears."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._came = threading.Condition()

    def __call__(self, event: Event) -> None:
        with self._came:
            self.events.append(event)
            self._came.notify_all()

    def wait(self, channel: str, count: int = 1) -> list[Event]:
        with self._came:
            assert self._came.wait_for(lambda: len(self.of(channel)) >= count, 5), f"no {channel}: {self.events}"
            return self.of(channel)

    def of(self, channel: str) -> list[Event]:
        return [e for e in self.events if e.type == channel]


def test_every_command_answers_as_the_contract_says(client: Client) -> None:
    assert client.status()["running"] is True
    assert client.health()["status"] == "ok"
    assert client.add_blacklist(["cmd.example.org"])["added"]
    assert client.blacklist(search="cmd")["entries"][0]["name"] == "cmd.example.org"
    assert client.remove_blacklist(["cmd.example.org"])["removed"]
    assert client.add_whitelist("one-text.example.org")["added"]
    assert client.remove_whitelist(["one-text.example.org"])["removed"]
    assert client.whitelist()["count"] == 0
    assert "columns" in client.log(limit=5)
    assert "entries" in client.cache()
    assert "flushed" in client.flush_cache()
    assert client.toggle()["running"] is False
    assert client.start()["running"] is True


def test_refusals_keep_the_servers_words(client: Client, server: Handle) -> None:
    with pytest.raises(CommandError) as caught:
        client.add_blacklist(["bad..name"])
    assert caught.value.status == 422
    assert "bad..name" in str(caught.value)
    with pytest.raises(CommandError) as caught:
        client.request("GET", "/api/nothing/here")
    assert caught.value.status == 404
    with Client(server.http, "not-the-token") as stranger, pytest.raises(CommandError) as caught:
        stranger.status()
    assert caught.value.status == 401
    with pytest.raises(SettingError, match="path"):
        client.request("GET", "http://elsewhere.example/")
    with Client("http://127.0.0.1:9", "no-matter") as nobody, pytest.raises(NotConnected, match="can't be reached"):
        nobody.status()


def test_a_closed_client_says_so(server: Handle) -> None:
    client = Client(server.http, server.token)
    client.close()
    client.close()
    with pytest.raises(NotConnected, match="closed"):
        client.status()
    with pytest.raises(NotConnected, match="closed"):
        client.sse.subscribe("*", print)


def test_the_first_subscription_connects_and_the_last_leaves(client: Client) -> None:
    states: list[str] = []
    closed = threading.Event()
    opened = threading.Event()

    def watch(state: str, _reason: str) -> None:
        states.append(state)
        (opened if state == "open" else closed if state == "closed" else threading.Event()).set()

    client.sse.on_connection_change(watch)
    assert client.sse.state == "closed"
    subscriptions = [client.sse.subscribe("dns/*", lambda _e: None) for _ in range(5)]
    assert opened.wait(5)
    assert client.request("GET", "/api/sse/stats")["connections"] == 1
    for subscription in subscriptions:
        assert client.sse.is_connected
        subscription.close()
    assert closed.wait(5)
    assert states == ["connecting", "open", "closed"]


def test_a_late_subscriber_begins_with_the_present_state(client: Client) -> None:
    first, late = Heard(), Heard()
    with client.sse.subscribe("*", first):
        first.wait("dns/blacklist/")
        client.add_blacklist(["late.example.org"])
        first.wait("dns/blacklist/", 2)
        with client.sse.subscribe("dns/*", late):
            state = late.wait("dns/blacklist/")[0]
            assert [e["name"] for e in state.data["entries"]][:1] == ["late.example.org"]
            assert late.wait("dns/status")[0].data["running"] is True
    client.remove_blacklist(["late.example.org"])


def test_all_eight_channels_carry_something(client: Client) -> None:
    heard, tests = Heard(), Heard()
    with client.sse.subscribe("*", heard), client.sse.subscribe("*", tests, tests=True):
        for channel in ("dns/status", "dns/info", "dns/log/", "dns/cache/", "dns/blacklist/", "dns/whitelist/"):
            assert heard.wait(channel)[0].data
        before = len(heard.events)
        client.test_stream()
        for channel in ("system/heartbeat", "dns/log/event"):
            assert any(e.test for e in tests.wait(channel))
        assert not any(e.test for e in heard.events[before:]), "marked tests are for those who ask for them"


def test_a_handler_that_fails_or_commands_harms_nobody(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    heard = Heard()
    raised: list[str] = []

    def bad(_event: Event) -> None:
        try:
            client.status()
        except RuntimeError as error:
            raised.append(str(error))
        raise ValueError("handler's own")

    with client.sse.subscribe("*", bad), client.sse.subscribe("dns/status", heard):
        heard.wait("dns/status")
    assert "handler's own" in caplog.text
    assert "can't wait for a command" in raised[0]


async def test_events_are_iterated_in_the_readers_own_loop(client: Client) -> None:
    found: list[str] = []
    async with asyncio.timeout(10):
        async for event in client.sse.events("dns/*"):
            found.append(event.type)
            if len(found) >= 6:
                break
    assert "dns/status" in found


async def test_a_reader_that_blocks_loses_nothing_and_leaves_commands_free(server: Handle, client: Client) -> None:
    count = 300
    events = client.sse.events("dns/log/event", limit=2, policy="block")
    opened = threading.Event()
    client.sse.on_connection_change(lambda state, _reason: opened.set() if state == "open" else None)
    async with asyncio.timeout(30):
        first = asyncio.ensure_future(anext(events))
        assert await asyncio.to_thread(opened.wait, 5)
        for n in range(count):
            await asyncio.to_thread(look_up, server.dns, f"blocked{n}.example.org")
        names = list((await first).data["columns"]["qname"])
        assert (await asyncio.to_thread(client.status))["running"], "a reader that waits keeps no command waiting"
        while len(names) < count:
            names += (await anext(events)).data["columns"]["qname"]
        await events.aclose()  # type: ignore[attr-defined]
    assert names == [f"blocked{n}.example.org" for n in range(count)]


async def test_a_buffer_keeps_to_its_policy() -> None:
    def event(kind: str, n: int) -> Event:
        return Event(kind, n)

    loop = asyncio.get_running_loop()
    oldest = EventBuffer(loop, 2, "drop_oldest")
    for n in range(5):
        oldest.put(event("a", n))
    assert [(await oldest.get()).data for _ in range(2)] == [3, 4]
    assert oldest.dropped == 3
    latest = EventBuffer(loop, 10, "latest")
    for n in range(5):
        latest.put(event("ab"[n % 2], n))
    assert [(await latest.get()).data for _ in range(2)] == [3, 4]
    roomy: list[bool] = []
    block = EventBuffer(loop, 2, "block", lambda: roomy.append(not block.full))
    for n in range(3):
        block.put(event("a", n))
    assert block.full
    assert [(await block.get()).data for _ in range(3)] == [0, 1, 2]
    assert roomy == [False, True, True]
    assert block.dropped == 0
    with pytest.raises(ValueError, match="policy: 'some'"):
        EventBuffer(loop, 1, "some")  # type: ignore[arg-type]


def test_states_apply_deltas_and_notice_a_missing_version() -> None:
    states = ChannelStates()
    whole: dict[str, Any] = {"list": "blacklist", "version": 3, "count": 2, "entries": [{"name": "b"}, {"name": "a"}]}
    assert states.take("dns/blacklist/", whole)
    assert states.take("dns/blacklist/", {"version": 4, "count": 2, "added": ["c"], "removed": ["a"]})
    now = states.get("dns/blacklist/")
    assert now is not None
    assert [e["name"] for e in now["entries"]] == ["c", "b"]
    assert not states.take("dns/blacklist/", {"version": 6, "count": 3, "added": ["d"]})
    assert states.take("dns/log/event", {"columns": {}})
    assert states.get("dns/log/event") is None
    states.take("dns/log/", {"driver": "memory", "count": 1, "newest": {"columns": {}}})
    states.take("dns/log/", {"count": 2})
    assert states.get("dns/log/") == {"driver": "memory", "count": 2}
