"""The live view without a browser: what it sends, when, and what it does with what comes back."""

from __future__ import annotations

import itertools
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from dnsnb import schema, simulate
from dnsnb.client.liveframe import LiveFrame
from dnsnb.formats import follow
from dnsnb.notebook.dashboard import Dashboard
from dnsnb.notebook.feed import KEEP_ROWS
from tests.notebook.fake_session import FakeSession

HOSTILE = ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{7*7}}", "\u202egro.elgoog", "a\x00b"]


def rows(count: int, first: int = 1, status: str = "cached") -> schema.Columns:
    return {
        "time": [1_700_000_000_000_000 + (first + i) * 1000 for i in range(count)],
        "client": ["127.0.0.1"] * count,
        "qname": [f"n{first + i}.example" for i in range(count)],
        "qtype": ["A"] * count,
        "status": [status] * count,
        "latency_ms": [1.5] * count,
        "answers": [["192.0.2.1"]] * count,
        "id": list(range(first, first + count)),
    }


class Browser:
    """The other end of a dashboard: collects what is sent, answers like `static/widget.js`."""

    def __init__(self, dashboard: Dashboard) -> None:
        self.dashboard = dashboard
        self.sent: list[tuple[dict[str, Any], list[bytes]]] = []
        self.arrived = threading.Condition()
        self.acks = True
        dashboard.send = self._receive  # type: ignore[method-assign]

    def _receive(self, content: Any, buffers: Any = None) -> None:
        with self.arrived:
            self.sent.append((content, buffers or []))
            self.arrived.notify_all()
        if self.acks and content["t"] == "frame":
            self.say(t="ack", seq=content["seq"], visible=True)

    def say(self, **message: Any) -> None:
        self.dashboard._enqueue(self.dashboard, message, [])

    def hello(self, last: int = 0, epoch: str | None = None) -> None:
        self.say(t="hello", epoch=epoch, last=last, visible=True)

    def wait(self, test: Callable[[dict[str, Any]], bool], seconds: float = 10.0) -> dict[str, Any]:
        end = time.monotonic() + seconds
        with self.arrived:
            while True:
                for content, _ in self.sent:
                    if test(content):
                        return content
                left = end - time.monotonic()
                assert left > 0, f"nothing like it among {len(self.sent)} messages"
                self.arrived.wait(left)

    def wait_for_id(self, wanted: int) -> None:
        """Wait until the row of this id has been sent."""

        def last(message: dict[str, Any]) -> bool:
            if message["t"] != "frame" or not message["count"]:
                return False
            buffers = next(b for c, b in self.sent if c is message)
            head = next(c for c in message["columns"] if c["name"] == "id")
            return bool(struct.unpack("<d", buffers[head["buffer"]][-8:])[0] == wanted)

        self.wait(last)

    def frames(self) -> list[dict[str, Any]]:
        return [c for c, _ in self.sent if c["t"] == "frame"]


@pytest.fixture
def session() -> FakeSession:
    return FakeSession()


@pytest.fixture
def browser(session: FakeSession) -> Iterator[Browser]:
    dashboard = Dashboard(session)
    yield Browser(dashboard)
    dashboard.close()


def test_hello_is_answered_with_everything(session: FakeSession, browser: Browser) -> None:
    session.greet()
    session.rows(rows(3))
    browser.hello()
    frame = browser.wait(lambda m: m["t"] == "frame")
    assert frame["whole"]
    assert frame["count"] == 3
    assert frame["channels"]["dns/status"]["running"]
    assert frame["rates"][0]["step"] == 1


def test_rows_follow_as_deltas(session: FakeSession, browser: Browser) -> None:
    browser.hello()
    browser.wait(lambda m: m["t"] == "frame")
    session.rows(rows(2, 1))
    frame = browser.wait(lambda m: m["t"] == "frame" and m["count"] == 2)
    assert not frame["whole"]
    assert frame["fresh"]
    names = next(c for c in frame["columns"] if c["name"] == "qname")
    assert names["dict"] == ["n1.example", "n2.example"]


def test_what_the_session_already_holds_is_shown_once() -> None:
    frame = simulate.frame(1, hours=0.05, rate=2)
    session = FakeSession(frame)
    dashboard = Dashboard(session)
    try:
        browser = Browser(dashboard)
        browser.hello()
        whole = browser.wait(lambda m: m["t"] == "frame")
        assert whole["count"] == len(frame)
        counted = sum(sum(c) for c in whole["rates"][1]["counts"])
        assert counted == len(frame)
    finally:
        dashboard.close()


def test_at_most_ten_frames_a_second_for_all_views_together() -> None:
    sessions = [FakeSession(), FakeSession()]
    boards = [Dashboard(sessions[0]), Dashboard(sessions[0]), Dashboard(sessions[1])]
    browsers = [Browser(d) for d in boards]
    try:
        for b in browsers:
            b.hello()
        began = time.monotonic()
        at = 1
        while min(len(b.frames()) for b in browsers) < 6:
            assert time.monotonic() - began < 30, "each view gets its turn, whichever session it is of"
            for session in sessions:
                session.rows(rows(20, at))
            at += 20
            time.sleep(0.005)
        frames = [len(b.frames()) for b in browsers]
        assert sum(frames) <= (time.monotonic() - began) * 10 + 2
        assert max(frames) - min(frames) <= 2, frames
        for b in browsers:
            b.wait_for_id(at - 1)
    finally:
        for d in boards:
            d.close()


def test_without_acknowledgement_two_frames_then_one_a_second(session: FakeSession, browser: Browser) -> None:
    browser.acks = False
    browser.hello()
    began = time.monotonic()
    at = 1
    while time.monotonic() - began < 2.6:
        session.rows(rows(1, at))
        at += 1
        time.sleep(0.01)
    assert 3 <= len(browser.frames()) <= 5


def test_an_unseen_view_gets_no_frames(session: FakeSession, browser: Browser) -> None:
    browser.hello()
    browser.wait(lambda m: m["t"] == "frame")
    browser.say(t="hello", epoch=browser.dashboard._feed.epoch, last=1, visible=False)  # type: ignore[union-attr]
    ready = threading.Event()
    from dnsnb.notebook.viewloop import loop

    loop().call(ready.set)
    assert ready.wait(5)
    before = len(browser.frames())
    for i in range(20):
        session.rows(rows(5, 1 + i * 5))
        time.sleep(0.02)
    assert len(browser.frames()) == before
    browser.hello(last=1, epoch=browser.dashboard._feed.epoch)  # type: ignore[union-attr]
    frame = browser.wait(lambda m: m["t"] == "frame" and m["count"] == 100)
    assert not frame["whole"], "what was missed is sent as a delta"


def test_a_view_far_behind_begins_anew(session: FakeSession, browser: Browser) -> None:
    browser.acks = False
    browser.hello()
    browser.wait(lambda m: m["t"] == "frame")
    at = 1
    for _ in range(12):
        session.rows(rows(5000, at))
        at += 5000
    browser.acks = True
    browser.hello(last=1, epoch=browser.dashboard._feed.epoch)  # type: ignore[union-attr]

    def is_all(message: dict[str, Any]) -> bool:
        return message["t"] == "frame" and message["whole"] and sum(map(sum, message["rates"][1]["counts"])) == at - 1

    frame = browser.wait(is_all)
    assert 10_000 <= frame["count"] <= KEEP_ROWS + 5000, "the newest rows; the others are counted alone"


def test_rows_over_the_frame_limit_are_counted_and_told(session: FakeSession, browser: Browser) -> None:
    browser.hello()
    browser.wait(lambda m: m["t"] == "frame")
    session.rows(rows(10_000, 1, status="blocked"))
    frame = browser.wait(lambda m: m["t"] == "frame" and m["count"] > 0)
    assert frame["count"] + frame["lost"] == 10_000
    assert sum(sum(c) for c in frame["rates"][0]["counts"]) == frame["lost"]


def test_commands_run_off_the_message_thread_and_errors_come_back(session: FakeSession, browser: Browser) -> None:
    browser.say(t="request", id=1, method="POST", path="/api/dns/blacklist", body={"names": ["ads.example.com"]})
    assert browser.wait(lambda m: m.get("id") == 1)["value"]["added"] == ["ads.example.com"]
    browser.say(t="request", id=2, method="POST", path="/api/dns/blacklist", body={"names": ["not a name"]})
    error = browser.wait(lambda m: m.get("id") == 2)["error"]
    assert error["message"] == "'not a name' is not a domain name"
    assert error["setting"] == "names[0]"
    assert threading.current_thread().name not in session.client.threads


@pytest.mark.parametrize("path", ["http://evil.example/", "//evil.example/", "/other", "/api/sse/stream"])
def test_only_the_api_can_be_asked(session: FakeSession, browser: Browser, path: str) -> None:
    browser.say(t="request", id=7, method="GET", path=path)
    assert "not a command" in browser.wait(lambda m: m.get("id") == 7)["error"]["message"]
    assert session.client.requests == []


def test_nonsense_from_the_browser_harms_nothing(session: FakeSession, browser: Browser) -> None:
    for message in ({}, {"t": None}, {"t": "ack", "seq": "x"}, {"t": "selected", "data": 3}, {"t": "request"}):
        browser.say(**message)
    browser.hello()
    browser.wait(lambda m: m["t"] == "frame")


def test_names_travel_with_their_registered_domain(session: FakeSession, browser: Browser) -> None:
    browser.hello()
    names = ["a.b.example.co.uk", "me.github.io", "co.uk", None, "www.example.com", "www.example.com"]
    session.rows(rows(6) | {"qname": names})
    browser.wait_for_id(6)
    frame = next(m for m in reversed(browser.frames()) if m["count"])
    head = next(c for c in frame["columns"] if c["name"] == "domain")
    assert head["dict"] == ["example.co.uk", "me.github.io", "co.uk", None, "example.com"]


def test_a_closed_session_leaves_its_view_whole_even_for_a_browser_that_comes_late(session: FakeSession) -> None:
    session.greet()
    dashboard = Dashboard(session)
    late = Browser(dashboard)
    session.rows(rows(100))
    dashboard.finish()  # while the browser's hello waits behind a busy kernel
    assert dashboard.snapshot["connection"]["state"] == "closed"
    assert not session.client.sse.handlers
    late.hello()
    late.wait_for_id(100)
    (frame,) = late.frames()
    assert frame["whole"]
    assert frame["connection"] == {"state": "closed", "reason": "the session is closed"}
    assert frame["channels"]["dns/status"]["running"]
    late.hello(last=frame["seq"], epoch=frame["epoch"])
    late.say(t="request", id=1, method="POST", path="/api/dns/stop")
    late.say(t="selected", data={"values": {}, "expression": "x"})
    wait_until(lambda: dashboard.selection is not None)
    assert len(late.frames()) == 1
    assert session.client.requests == []
    dashboard.close()


def test_views_of_closed_sessions_are_not_kept_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dnsnb.notebook.viewloop.FINISHED", 3)
    made = [Dashboard(FakeSession()) for _ in range(5)]
    for dashboard in made:
        dashboard.finish()
    assert [d.comm is None for d in made] == [True, True, False, False, False]
    for dashboard in made[2:]:
        dashboard.close()


def test_a_log_without_a_server_is_shown_without_commands() -> None:
    class Log:
        """What a followed file is to a view."""

        about = "following queries.log"

        def __init__(self) -> None:
            self.live = LiveFrame(1000)

        @property
        def frame(self) -> pd.DataFrame:
            return self.live.snapshot()

    log = Log()
    log.live.extend(rows(3))
    dashboard = Dashboard(log)
    browser = Browser(dashboard)
    assert dashboard.options["commands"] is False
    assert dashboard.options["about"] == "following queries.log"
    browser.hello()
    browser.wait_for_id(3)
    log.live.extend({k: pa.array(v) for k, v in rows(2, first=4).items()})
    browser.wait_for_id(5)
    browser.say(t="request", id=1, method="GET", path="/api/dns/status")
    browser.say(t="selected", data={"values": {"client": ["127.0.0.1"]}})
    wait_until(lambda: dashboard.selection is not None)
    assert not [m for m, _ in browser.sent if m["t"] == "reply"]
    assert "5 queries" in dashboard._repr_mimebundle_()[0]["text/plain"]
    dashboard.close()


def wait_until(test: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait for what the view loop does without a word."""
    end = time.monotonic() + seconds
    while not test():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_the_snapshot_paints_alone_and_comes_at_most_once_a_second(session: FakeSession, browser: Browser) -> None:
    changes: list[float] = []
    arrived = threading.Event()

    def changed(_change: Any) -> None:
        changes.append(time.monotonic())
        if len(changes) >= 3:
            arrived.set()

    browser.dashboard.observe(changed, "snapshot")
    session.greet()
    for i in range(400):
        session.rows(rows(10, 1 + 10 * i))
        if arrived.wait(0.01):
            break
    assert arrived.is_set()
    assert all(b - a > 0.95 for a, b in itertools.pairwise(changes))
    snapshot = browser.dashboard.snapshot
    assert snapshot["channels"]["dns/status"]["dns"] == "127.0.0.1:5353"
    assert len(snapshot["rows"]["qname"]) == 40
    import orjson

    assert len(orjson.dumps(snapshot)) < 40_000


def test_the_connection_state_reaches_the_view(session: FakeSession, browser: Browser) -> None:
    browser.hello()
    browser.wait(lambda m: m["t"] == "frame")
    session.client.sse.connection("waiting", "connection refused")
    frame = browser.wait(lambda m: m["t"] == "frame" and "connection" in m and not m["whole"])
    assert frame["connection"] == {"state": "waiting", "reason": "connection refused"}


def test_closing_leaves_no_subscription(session: FakeSession) -> None:
    first, second = Dashboard(session), Dashboard(session)
    assert len({id(h) for h in session.client.sse.handlers}) == 7, "two views share one feed"
    first.close()
    second.close()
    end = time.monotonic() + 5
    while session.client.sse.handlers and time.monotonic() < end:
        time.sleep(0.01)
    assert session.client.sse.handlers == []
    assert session.client.sse.watchers == []


def test_a_wrong_option_is_named(session: FakeSession) -> None:
    with pytest.raises(ValueError, match="panels: 'chrat' is none of status, chart"):
        Dashboard(session, panels=["chrat"])
    with pytest.raises(ValueError, match="dimensions: 'size'"):
        Dashboard(session, dimensions=["size"])
    with pytest.raises(TypeError, match="colour"):
        Dashboard(session, colour="red")  # type: ignore[call-arg]


def test_where_nothing_runs_it_is_plain_and_harmless_html(session: FakeSession, browser: Browser) -> None:
    session.greet()
    hostile = rows(len(HOSTILE))
    hostile["qname"] = HOSTILE
    hostile["client"] = HOSTILE
    session.rows(hostile)
    data, _metadata = browser.dashboard._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    page = data["text/html"]
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    for raw in ("<script", "<img", "{{", "\u202e", "\x00", "http"):
        assert raw not in page
    assert "<svg" in page
    assert "running" in data["text/plain"]
    assert repr(browser.dashboard) == "<Dashboard of <Session default>>"


def test_an_export_shows_the_static_summary(session: FakeSession, browser: Browser) -> None:
    """As JupyterLab saves notebooks: with the outputs, without the widgets' state."""
    import nbformat
    from nbconvert import HTMLExporter

    session.greet()
    hostile = rows(len(HOSTILE))
    hostile["qname"] = HOSTILE
    session.rows(hostile)
    data, metadata = browser.dashboard._repr_mimebundle_()
    output = nbformat.v4.new_output("execute_result", data, metadata=metadata, execution_count=1)
    cell = nbformat.v4.new_code_cell("session", outputs=[output], execution_count=1)
    exported, _ = HTMLExporter(template_name="basic").from_notebook_node(nbformat.v4.new_notebook(cells=[cell]))
    body = exported
    assert '<svg aria-label="5 queries' in body
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in body
    assert "<script>alert(1)" not in body
    assert "widget-view+json" not in body


def test_a_log_that_somebody_else_writes_is_shown_as_it_grows(tmp_path: Path) -> None:
    line = "[177244560{}] unbound[10:0] info: 192.0.2.7 {} A IN NOERROR 0.021 0 64\n"
    path = tmp_path / "unbound.log"
    path.write_text(line.format(1, "first.example."), encoding="utf-8")
    with follow(path, start="beginning", format="unbound") as follower:
        assert follower.wait_for(1)
        dashboard = Dashboard(follower)
        browser = Browser(dashboard)
        assert dashboard.options["about"] == str(path)
        assert dashboard.options["commands"] is False
        browser.hello()
        browser.wait(lambda m: m["t"] == "frame" and m["count"] == 1)
        with path.open("a", encoding="utf-8") as log:
            log.write(line.format(2, "second.example."))
        grown = browser.wait(lambda m: m["t"] == "frame" and not m["whole"] and m["count"] == 1)
        assert next(c for c in grown["columns"] if c["name"] == "qname")["dict"] == ["second.example"]
        assert dashboard._repr_mimebundle_()[0]["text/plain"].startswith(f"dnsnb: following {path}\n2 queries")
        dashboard.close()
        shown = follower._repr_mimebundle_()[0]  # it shows itself the same way, by one view however often
        assert shown["text/plain"].startswith(f"dnsnb: following {path}\n2 queries")
        view = "application/vnd.jupyter.widget-view+json"
        assert follower._repr_mimebundle_()[0][view] == shown[view]
        follower._shown.close()
