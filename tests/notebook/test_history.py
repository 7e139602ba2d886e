"""The frame of a session holds every row once, in order, whenever it came and whatever happened to the stream."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import dnsnb
from dnsnb import simulate
from dnsnb.client.client import Client
from dnsnb.config import Settings
from dnsnb.notebook.lookup import look_up
from dnsnb.notebook.session import Session
from dnsnb.server.embed import Handle, launch
from dnsnb.server.server import Server

TOKEN = "history-test-token-0123456789"


class Relay:
    """A TCP relay in front of a server that can be cut and opened again; the stream's request comes late there."""

    def __init__(self, url: str, late: float = 0.0) -> None:
        self._late = late
        host, _, port = url.removeprefix("http://").rpartition(":")
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._pairs: list[socket.socket] = []
        self._through = True
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                inner, _ = self._listener.accept()
                if not self._through:
                    inner.close()
                    continue
                outer = socket.create_connection(self._target)
                self._pairs += [inner, outer]
                for a, b in ((inner, outer), (outer, inner)):
                    threading.Thread(target=self._pump, args=[a, b], daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if data.startswith(b"GET /api/sse/stream"):
                    time.sleep(self._late)
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def cut(self) -> None:
        self._through = False
        for end in self._pairs:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._pairs.clear()

    def mend(self) -> None:
        self._through = True

    def close(self) -> None:
        self.cut()
        self._listener.close()


@pytest.fixture(scope="module")
def network() -> Iterator[Any]:
    with simulate.running(latency_ms=0) as upstream:
        yield upstream


def until(test: Callable[[], bool], what: str, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not test():
        assert time.monotonic() < end, what
        time.sleep(0.01)


def ask(handle: Handle, *names: str) -> None:
    for name in names:
        look_up(handle.dns, name)


def ids(session: Session) -> list[int]:
    return [int(i) for i in session.frame["id"]]


def test_a_session_that_opens_under_traffic_has_no_hole_and_no_double(network: Any) -> None:
    with launch(Settings(upstreams=[network.address])) as handle, contextlib.closing(Relay(handle.http, 0.7)) as relay:
        done = threading.Event()

        def traffic() -> None:
            number = 0
            while not done.is_set():
                ask(handle, f"host{number % 50}.example.org")
                number += 1

        asking = threading.Thread(target=traffic)
        asking.start()
        try:
            for _ in range(2):
                with dnsnb.connect(relay.url, handle.token) as session:
                    came = len(session.live)
                    until(lambda s=session, n=came: len(s.live) > n + 20, f"{session!r}")  # type: ignore[misc]
                    found = ids(session)
                    assert found == list(range(1, len(found) + 1))
        finally:
            done.set()
            asking.join(5)


def test_rows_that_the_replay_has_lost_are_read_from_the_log(network: Any) -> None:
    settings = Settings(upstreams=[network.address], replay_events=100)
    with (
        launch(settings) as handle,
        contextlib.closing(Relay(handle.http)) as relay,
        dnsnb.connect(relay.url, handle.token) as session,
    ):
        ask(handle, *[f"before{i}.example.org" for i in range(5)])
        until(lambda: len(session.live) == 5, "the first rows")
        relay.cut()
        until(lambda: not session.client.sse.is_connected, "the cut is seen")
        ask(handle, *[f"meanwhile{i}.example.org" for i in range(400)])
        with Client(handle.http, handle.token) as straight:  # all are in the ring before the stream comes back
            until(lambda: straight.log(limit=1).get("count") == 405, "the rows are kept")
        relay.mend()
        until(lambda: len(session.live) >= 405, f"the rows come: {session!r} {session.client.sse.gaps}")
        assert session.client.sse.gaps, "the ring was too small: else this tests nothing"
        ask(handle, "after.example.org")
        until(lambda: len(session.live) >= 406, "the stream goes on")
        assert ids(session) == list(range(1, 407))
        assert session.server_dropped == 0


@pytest.mark.parametrize(("driver", "kept"), [("memory", False), ("memory", True), ("sqlite", True)])
def test_a_restarted_servers_rows_are_there_too(
    network: Any, driver: str, kept: bool, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {"upstreams": [network.address], "token": TOKEN, "log_driver": driver}
    if kept:
        given["folder"] = tmp_path
    first = launch(Settings(**given))
    relay = None
    try:
        relay = Relay(first.http)
        with dnsnb.connect(relay.url, TOKEN) as session:
            ask(first, *[f"old{i}.example.org" for i in range(4)])
            until(lambda: len(session.live) == 4, "the first rows")
            relay.cut()
            address = first.http.removeprefix("http://")
            first.close()
            monkeypatch.setitem(
                Server.__init__.__kwdefaults__, "wall", lambda: time.time_ns() - 3600 * 10**9
            )  # set back
            with launch(Settings(**given, http=address)) as second:
                unseen = [f"unseen{i}.example.org" for i in range(220)]  # more than the stream begins with
                ask(second, *unseen)
                relay.mend()
                until(lambda: len(session.live) >= 224, f"the rows come: {session!r}")
                ask(second, "after.example.org")
                until(lambda: len(session.live) >= 225, "the stream goes on")
                names = list(session.frame["qname"])
                assert names == [
                    *[f"old{i}.example.org" for i in range(4)],
                    *unseen,
                    "after.example.org",
                ]
    finally:
        first.close()
        if relay is not None:
            relay.close()
