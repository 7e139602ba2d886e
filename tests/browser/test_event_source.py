"""A plain browser `EventSource` on the stream: a cut with replay, a server that restarts, a login that ends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from dnsnb import simulate
from dnsnb.background import BackgroundLoop
from dnsnb.dns.wire import make_query
from dnsnb.server import Server

pytestmark = pytest.mark.browser

TOKEN = "a-token-for-the-browser"

LISTEN = """() => {
  window.seen = [];
  window.source = new EventSource("/api/sse/stream?channels=dns/status,dns/log/event");
  source.onmessage = (e) => seen.push({id: e.lastEventId, ...JSON.parse(e.data)});
  window.states = [];
  source.onopen = () => states.push("open");
  source.onerror = () => states.push(source.readyState === 2 ? "closed" : "waiting");
}"""


class Running:
    """A server in a thread, on one port however often it is started."""

    def __init__(self, upstream: str) -> None:
        self.loop = BackgroundLoop("event-source")
        self.settings: dict[str, Any] = {"upstreams": [upstream], "token": TOKEN, "http": "127.0.0.1:0"}
        self.start()

    def start(self) -> None:
        self.server = Server(**self.settings)
        self.loop.call(self.server.__aenter__)
        self.settings["http"] = self.server.http_url.removeprefix("http://")

    def stop(self) -> None:
        self.loop.call(self.server.__aexit__, None, None, None)

    def ask(self, name: str) -> None:
        """Have a query answered, as a listener would."""
        wire = b"".join(bytes([len(x)]) + x.encode() for x in name.split(".")) + b"\0"
        self.loop.call(self.server.engine.ask, make_query(wire, 1), "127.0.0.1", "udp", bytes)

    def drop_connections(self) -> None:
        """Cut every stream in the middle, as a network does."""
        self.loop.call(lambda: [stream.abort() for stream in list(self.server.responder.streams)])


@pytest.fixture
def running() -> Iterator[Running]:
    with simulate.running(latency_ms=0) as upstream:
        one = Running(upstream.address)
        yield one
        one.stop()
        one.loop.close()


@pytest.fixture
def page(browser: Browser, running: Running) -> Iterator[Page]:
    context = browser.new_context(bypass_csp=True)  # for what this test evaluates
    opened = context.new_page()
    opened.goto(running.server.http_url + "/")
    status = opened.evaluate(
        """async (token) => (await fetch("/api/auth/login", {method: "POST",
            headers: {"Content-Type": "application/json"}, body: JSON.stringify({token})})).status""",
        TOKEN,
    )
    assert status == 204
    assert not opened.evaluate("document.cookie")  # HttpOnly
    opened.evaluate(LISTEN)
    yield opened
    context.close()


def wait_for_row(page: Page, name: str) -> None:
    page.wait_for_function("name => seen.some(m => m.data.qname === name)", arg=name, timeout=15_000)


def rows(page: Page) -> list[str]:
    found: list[str] = page.evaluate("seen.filter(m => m.type === 'dns/log/event').map(m => m.data.qname)")
    return found


def test_messages_arrive_and_nothing_is_lost_or_doubled_over_a_cut(running: Running, page: Page) -> None:
    page.wait_for_function("seen.length > 0")
    assert page.evaluate("seen[0].type") == "dns/status"
    running.ask("one.example.org")
    wait_for_row(page, "one.example.org")
    running.drop_connections()
    running.ask("two.example.org")
    running.ask("three.example.org")
    page.wait_for_function("states.filter(s => s === 'open').length === 2", timeout=15_000)
    running.ask("four.example.org")
    wait_for_row(page, "four.example.org")
    assert rows(page) == [f"{n}.example.org" for n in ("one", "two", "three", "four")]
    numbers = page.evaluate("seen.filter(m => m.type === 'dns/log/event').map(m => Number(m.id.split('-')[1]))")
    assert numbers == sorted(set(numbers))
    assert page.evaluate("states") == ["open", "waiting", "open"]


def test_a_restart_is_survived_and_told(running: Running, page: Page) -> None:
    running.ask("before.example.org")
    wait_for_row(page, "before.example.org")
    running.stop()
    page.wait_for_function("states.includes('waiting')", timeout=15_000)
    running.start()
    page.wait_for_function("seen.some(m => m.type === 'system/reset')", timeout=15_000)
    running.ask("after.example.org")
    wait_for_row(page, "after.example.org")
    kinds = page.evaluate("seen.map(m => m.type)")
    assert kinds.index("system/reset") < kinds.index("dns/status", kinds.index("system/reset"))
    assert "closed" not in page.evaluate("states")


def test_a_revoked_login_ends_the_stream_for_good(running: Running, page: Page) -> None:
    page.wait_for_function("states.includes('open')")
    grant = running.server.tokens.grants[0]
    running.loop.call(running.server.tokens.revoke, grant.name)
    page.wait_for_function("states.at(-1) === 'closed'", timeout=15_000)


def test_another_origin_gets_nothing(running: Running, browser: Browser) -> None:
    """A page that knows the token still can't read: there is no CORS header, and its preflight fails."""
    context = browser.new_context()
    page = context.new_page()
    page.goto("data:text/html,<title>elsewhere</title>")
    for how in (f'{{headers: {{Authorization: "Bearer {TOKEN}"}}}}', "{}", '{mode: "cors", credentials: "include"}'):
        found = page.evaluate(
            f"fetch('{running.server.http_url}/api/dns/status', {how}).then(r => r.status, e => 'refused')"
        )
        assert found == "refused"
    context.close()
