"""Flow 3: a click or an edit reaches every screen, the clicked one included, and the running engine."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

import dnsnb
from dnsnb import simulate
from dnsnb.errors import DnsnbError, SettingError


@pytest.fixture
def session() -> Iterator[Any]:
    with (
        simulate.running(latency_ms=0) as upstream,
        dnsnb.start(name="screens", upstreams=[upstream.address]) as session,
    ):
        yield session


class Screen:
    """Another place that looks on: what came on a channel, and a way to wait for it."""

    def __init__(self, session: Any, channel: str) -> None:
        self.got: list[Any] = []
        self.changed = threading.Condition()
        self.subscription = session.client.sse.subscribe(channel, self.take)

    def take(self, event: Any) -> None:
        with self.changed:
            self.got.append(event.data)
            self.changed.notify_all()

    def wait(self, wanted: Any, seconds: float = 3.0) -> Any:
        with self.changed:
            assert self.changed.wait_for(lambda: any(wanted(d) for d in self.got), seconds), self.got
            return next(d for d in self.got if wanted(d))


def addresses(answer: Any) -> list[str]:
    return [record[-1] for record in answer.answers]


def test_an_edit_of_a_list(session: Any) -> None:
    there = dnsnb.connect(session.client.url, token=session.token)
    try:
        screens = [Screen(session, "dns/blacklist/"), Screen(there, "dns/blacklist/")]
        for screen in screens:
            screen.wait(lambda d: "entries" in d)
        assert session.query("www.edit.org").rcode == "NOERROR"
        there.block("edit.org")
        for screen in screens:
            delta = screen.wait(lambda d: d.get("added") == ["edit.org"])
            assert delta["count"] == 1
        blocked = session.query("www.edit.org")
        assert addresses(blocked) == ["0.0.0.0"]
        session.unblock("edit.org")
        for screen in screens:
            screen.wait(lambda d: d.get("removed") == ["edit.org"])
        assert addresses(session.query("www.edit.org")) != ["0.0.0.0"]
    finally:
        there.close()


def test_stop_and_start(session: Any) -> None:
    there = dnsnb.connect(session.client.url, token=session.token)
    try:
        screens = [Screen(session, "dns/status"), Screen(there, "dns/status")]
        for screen in screens:
            screen.wait(lambda d: d["running"])
        before = session.status["dns"]
        session.client.stop()
        for screen in screens:
            screen.wait(lambda d: not d["running"])
        there.client.start()
        for screen in screens:
            screen.got.clear()
        assert session.client.status()["dns"] == before
        assert session.query("a.test.org").rcode == "NOERROR"
    finally:
        there.close()


def test_a_wrong_name_changes_nothing(session: Any) -> None:
    version = session.client.blacklist()["version"]
    with pytest.raises((SettingError, DnsnbError), match="no spaces please"):
        session.block("fine.test", "no spaces please")
    after = session.client.blacklist()
    assert (after["version"], after["count"]) == (version, 0)
