"""A session against a real server: the doors, commands, the frame, capture, panels, and what stays when it ends."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd
import pytest

import dnsnb
from dnsnb import simulate
from dnsnb.errors import CommandError, NotConnected, SettingError
from dnsnb.notebook.selection import select
from dnsnb.notebook.session import Session


@pytest.fixture(scope="module")
def network() -> Iterator[Any]:
    with simulate.running(latency_ms=1) as upstream:
        yield upstream


@pytest.fixture
def session(network: Any) -> Iterator[Session]:
    with dnsnb.start(name="test", upstreams=[network.address], blacklist=["ads.example.net"]) as opened:
        yield opened


def until(session: Session, test: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait for a change of the live frame that makes `test` true."""
    changed = threading.Event()
    with_end = time.monotonic() + seconds
    watch = session.live.on_change(changed.set)
    try:
        while not test():
            left = with_end - time.monotonic()
            assert left > 0, f"it did not come: {session!r}"
            changed.wait(min(left, 0.2))
            changed.clear()
    finally:
        watch.close()


def test_a_query_is_a_row_within_a_second(session: Session) -> None:
    answer = session.query("www.example.org")
    assert answer.rcode == "NOERROR"
    assert answer.addresses
    until(session, lambda: len(session.live) == 1, 1.0)
    row = session.frame.iloc[0]
    assert (row.qname, row.qtype, row.status, row.client) == ("www.example.org", "A", "forwarded", "127.0.0.1")
    assert list(row.answers) == answer.addresses


def test_block_and_allow_hold_from_the_next_query(session: Session) -> None:
    assert session.block("example.org", "ads.example.net") == ["example.org"]
    blocked = session.query("www.example.org")
    assert blocked.addresses == ["0.0.0.0"]
    assert blocked.ede == ("15 (blocked)",) or blocked.ede[0].startswith("15 (blocked)")
    assert session.allow("www.example.org") == ["www.example.org"]
    assert session.query("www.example.org").addresses != ["0.0.0.0"]
    assert session.disallow("www.example.org") == ["www.example.org"]
    assert session.unblock("example.org", "never.example.org") == ["example.org"]
    assert session.query("www.example.org").addresses != ["0.0.0.0"]


def test_a_wrong_name_changes_nothing(session: Session) -> None:
    with pytest.raises(CommandError, match=r"not\.\.a\.name"):
        session.block("fine.example.org", "not..a.name")
    assert session.unblock("fine.example.org") == []
    with pytest.raises(SettingError, match="qtype: 'NOTYPE'"):
        session.query("www.example.org", "NOTYPE")
    with pytest.raises(SettingError, match="name: "):
        session.query("x" * 64 + ".example.org")


def test_stop_and_start(session: Session) -> None:
    address = session.status["dns"]
    assert session.stop()["running"] is False
    with pytest.raises(NotConnected, match="stopped"):
        session.query("www.example.org")
    assert session.start()["running"] is True
    assert session.status["dns"] == address
    assert session.query("www.example.org").rcode == "NOERROR"


def test_starting_again_gives_the_same_and_other_settings_take_over(network: Any, session: Session) -> None:
    assert dnsnb.start(name="test", upstreams=[network.address], blacklist=["ads.example.net"]) is session
    address = session.status["dns"]
    other = dnsnb.start(name="test", upstreams=[network.address], block_mode="nxdomain", blacklist=["ads.example.net"])
    assert session.closed
    assert other.status["dns"] == address
    assert other.query("ads.example.net").rcode == "NXDOMAIN"
    assert dnsnb.sessions()["test"] is other
    other.close()
    assert "test" not in dnsnb.sessions()


@pytest.mark.parametrize(
    ("wrong", "setting"),
    [
        ({"dns": "127.0.0.1:http"}, "dns"),
        ({"upstreams": ["gopher://x"]}, "upstreams[0]"),
        ({"blacklist": ["/no/such/file.txt"]}, "blacklist[0]"),
        ({"blok_mode": "null"}, "blok_mode"),
    ],
)
def test_a_wrong_setting_is_named_and_leaves_the_running_server(
    session: Session, wrong: dict[str, Any], setting: str
) -> None:
    with pytest.raises(SettingError) as caught:
        dnsnb.start(name="test", **wrong)
    assert caught.value.setting == setting
    assert session.alive
    assert session.query("www.example.org").rcode == "NOERROR"


def test_a_taken_port_is_named(session: Session) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(SettingError, match=r"dns: .*taken"):
            dnsnb.start(name="test", dns=f"127.0.0.1:{taken.getsockname()[1]}")
    assert session.alive


def test_closing_leaves_no_thread_and_no_port(network: Any) -> None:
    before = set(threading.enumerate())
    opened = dnsnb.start(name="short", upstreams=[network.address])
    opened.query("www.example.org")
    until(opened, lambda: len(opened.live) == 1)
    address = opened.status["dns"]
    began = time.monotonic()
    opened.close()
    opened.close()
    assert time.monotonic() - began < 2
    left = {t.name for t in set(threading.enumerate()) - before if t.name.startswith("dnsnb")}
    assert not {n for n in left if not n.startswith("dnsnb-view")}
    host, _, port = address.rpartition(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind((host, int(port)))
    assert len(opened.frame) == 1, "the frame stays"
    assert "closed" in repr(opened)
    assert opened._repr_mimebundle_() == {"text/plain": repr(opened)}
    with pytest.raises(NotConnected, match="closed"):
        opened.block("x.example.org")


def test_connect_sees_what_was_there_before_it_and_leaves_the_server(session: Session) -> None:
    session.query("before.example.org")
    until(session, lambda: len(session.live) == 1)
    with dnsnb.connect(session.status["http"], session.token or "") as other:
        assert list(other.frame["qname"]) == ["before.example.org"]
        session.query("after.example.org")
        until(other, lambda: len(other.live) == 2)
        other.block("both.example.org")
        assert session.query("both.example.org").addresses == ["0.0.0.0"]
        assert other.token is None
    assert session.alive
    with pytest.raises(CommandError, match="token"):
        dnsnb.connect(session.status["http"], "wrong-token")
    with pytest.raises(NotConnected):
        dnsnb.connect("http://127.0.0.1:1", "any-token")
    with pytest.raises(SettingError, match="url"):
        dnsnb.connect("ftp://127.0.0.1", "any-token")


def test_a_process_of_its_own_is_the_same_to_the_session(network: Any) -> None:
    with dnsnb.start(name="apart", where="process", upstreams=[network.address]) as apart:
        assert apart.handle is not None
        assert apart.handle.pid
        assert apart.query("www.example.org").rcode == "NOERROR"
        until(apart, lambda: len(apart.live) == 1)
    assert not apart.handle.running


def test_capture_shows_what_this_process_asks_for(session: Session) -> None:
    original = socket.getaddrinfo
    session.block("blocked.example.org")
    with session.capture():
        found = socket.getaddrinfo("captured.example.org", 443, type=socket.SOCK_STREAM)
        assert {i[4][1] for i in found} == {443}
        assert socket.gethostbyname("blocked.example.org") == "0.0.0.0"
        assert socket.getaddrinfo("127.0.0.1", 80)[0][4][0] == "127.0.0.1"
        assert socket.getaddrinfo("localhost", 80)
        with pytest.raises(socket.gaierror):
            socket.getaddrinfo("nx-30-5.example.org", 80)
        with session.capture():
            socket.gethostbyname_ex("inner.example.org")
        assert socket.getaddrinfo is not original
    assert socket.getaddrinfo is original
    until(session, lambda: "inner.example.org" in set(session.frame["qname"]))
    names = set(session.frame["qname"])
    assert {"captured.example.org", "blocked.example.org", "nx-30-5.example.org"} <= names
    assert "localhost" not in names


def test_capture_leaves_alone_how_the_server_itself_is_reached(
    network: Any, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = socket.getaddrinfo
    asked: list[str] = []

    def hosts_file(host: Any, *rest: Any, **more: Any) -> Any:
        asked.append(str(host))
        return system("127.0.0.1" if host == "dns-box.lan" else host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", hosts_file)
    wide: dict[str, Any] = {
        "dns": "0.0.0.0:0",
        "allow_clients": ["127.0.0.0/8"],
        "allow_remote": True,
        "http_hosts": ["dns-box.lan"],
    }
    with dnsnb.start(name="wide", upstreams=[network.address], **wide) as server:
        assert server.token
        url = server.client.url.replace("127.0.0.1", "dns-box.lan")
        with dnsnb.connect(url, server.token) as far, far.capture(), dnsnb.connect(url, server.token) as later:
            socket.gethostbyname("seen.example.org")
            socket.getaddrinfo(socket.gethostname(), None)
            assert later.query("asked.example.org").server == f"127.0.0.1:{server.status['dns'].rpartition(':')[2]}"
            until(later, lambda: "seen.example.org" in set(later.frame["qname"]))
            names = set(later.frame["qname"])
    assert socket.gethostname() in asked
    assert not names & {"dns-box.lan", socket.gethostname().lower()}


@pytest.mark.parametrize("host", ["x" * 64 + ".example.org", "a..example.org", "a\udc80.example.org"])
def test_capture_fails_as_the_system_does_for_what_is_no_name(session: Session, host: str) -> None:
    with session.capture(), pytest.raises(socket.gaierror, match="Name or service not known"):
        socket.getaddrinfo(host, 80)


def test_one_connection_however_many_views(session: Session) -> None:
    panels = [session.dashboard, session.table(), session.chart(), session.top("client"), session.controls()]
    assert session.dashboard is session.dashboard
    assert session.top("client") is panels[3]
    assert session.client.request("GET", "/api/sse/stats")["connections"] == 1
    assert panels[3].options["dimensions"] == ["client"]
    assert session.top("qname").options["dimensions"] == ["domain"]
    with pytest.raises(SettingError, match="column: 'size'"):
        session.top("size")


def test_what_is_selected_in_the_view_is_a_frame_and_an_expression(session: Session) -> None:
    session.query("www.example.org")
    session.query("ads.example.net")
    until(session, lambda: len(session.live) == 2)
    assert len(session.selected) == 2
    assert session.expression == ""
    session.dashboard.selection = {"values": {"status": ["blocked"]}, "expression": 'status == "blocked"'}
    assert list(session.selected["qname"]) == ["ads.example.net"]
    pd.testing.assert_frame_equal(session.selected, session.frame.query(session.expression, engine="python"))


def has(column: str, text: str) -> str:
    return f'{column}.str.contains("{text}", case=False, regex=False)'


def term(column: str, op: str, value: Any) -> dict[str, Any]:
    return {"terms": [{"column": column, "op": op, "value": value}]}


SELECTIONS: list[tuple[dict[str, Any], str]] = [
    ({"values": {"status": ["blocked", "failed"]}}, 'status in ["blocked", "failed"]'),
    (
        {"values": {"domain": ["pixelbarn.example"]}},
        '(qname == "pixelbarn.example" or qname.str.endswith(".pixelbarn.example"))',
    ),
    ({"values": {"upstream": [None]}}, "upstream.isna()"),
    (term("any", "has", "TV"), f"({has('qname', 'TV')} or {has('client', 'TV')} or {has('client_name', 'TV')})"),
    (term("upstream", "not", "192"), f"~({has('upstream', '192')})"),
    (term("latency_ms", ">", 20), "latency_ms > 20"),
    (term("answers", "has", "203.0"), has('answers.astype("str")', "203.0")),
    (
        {"span": [1772409780000000, 1772409900000000]},
        'time >= "2026-03-02T00:03:00.000Z" and time < "2026-03-02T00:05:00.000Z"',
    ),
]


@pytest.mark.parametrize(("selection", "text"), SELECTIONS, ids=[t[:30] for _, t in SELECTIONS])
def test_selection_and_expression_select_the_same(selection: dict[str, Any], text: str) -> None:
    frame = simulate.frame(1, hours=0.3, rate=2)
    chosen = select(frame, selection)
    assert 0 < len(chosen) < len(frame)
    pd.testing.assert_frame_equal(chosen, frame.query(text, engine="python"))


def test_a_hostile_selection_selects_nothing_dangerous() -> None:
    frame = simulate.frame(1, hours=0.05, rate=2)
    for selection in (
        {"values": {"status": "blocked", "__class__": ["x"]}},
        {"terms": [{"column": "__import__", "op": "has", "value": "os"}, 3]},
        term("latency_ms", "eval", 1),
        {"span": [1]},
    ):
        assert len(select(frame, selection)) == len(frame)


def test_a_snapshot_stays_when_the_session_is_gone(session: Session) -> None:
    session.query("www.example.org")
    until(session, lambda: len(session.live) == 1)
    kept = session.snapshot()
    session.close()
    assert "www.example.org" in kept._repr_html_()
    assert "running" in repr(kept)


async def test_watch_runs_in_the_foreground(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    import IPython.display

    shown: list[str] = []

    class Display:
        def update(self, result: Any) -> None:
            shown.append(result._repr_html_())

    def display(result: Any, display_id: bool) -> Display:
        shown.append(result._repr_html_())
        return Display()

    monkeypatch.setattr(IPython.display, "display", display)
    task = asyncio.create_task(session.watch(1.0, every=0.1))
    await asyncio.sleep(0)
    await asyncio.to_thread(session.query, "watched.example.org")
    await task
    assert "watched.example.org" not in shown[0]
    assert "watched.example.org" in shown[-1]


def test_the_magic(network: Any, session: Session) -> None:
    from dnsnb.notebook.magics import dnsnb as magic

    with pytest.raises(dnsnb.errors.DnsnbError, match="no session is open"):
        magic("status")
    with pytest.raises(SettingError, match="%dnsnb start"):
        magic("dance")
    opened = magic(f"start {network.address}")
    try:
        assert magic("query www.example.org AAAA").qtype == "AAAA"
        assert magic("block x.example.org") == ["x.example.org"]
        assert magic("status")["running"]
        assert magic("stop")["running"] is False
        assert magic("start") is opened
        assert len(magic("tail 3")) <= 3
    finally:
        magic("close")
    assert opened.closed


def test_a_panel_of_ones_own_in_three_lines(session: Session) -> None:
    drawn = threading.Event()

    def blocked(frame: pd.DataFrame) -> pd.DataFrame:
        return frame[frame["status"] == "blocked"][["qname"]]

    panel = session.panel(blocked, every=0.05)
    assert session.panel(blocked) is panel
    panel.observe(lambda change: drawn.set() if "ads.example.net" in change["new"] else None, "value")
    session.query("ads.example.net")
    assert drawn.wait(5), panel.value
    assert "<table" in panel.value

    failed = threading.Event()
    wrong = session.panel(lambda frame: frame["<b>"], every=0.05)
    wrong.observe(lambda change: failed.set() if "KeyError" in change["new"] else None, "value")
    if "KeyError" not in wrong.value:
        assert failed.wait(5)
    assert "<b>" not in wrong.value


def test_an_analysis_follows_the_log(session: Session) -> None:
    """From the rows that are there on; result() at any moment."""
    session.query("first.example")
    followed = session.follow("top", column="qname")
    session.query("followed.example")
    until(session, lambda: {"first.example", "followed.example"} <= set(followed.result()["qname"]))
    with pytest.raises(ValueError, match="no incremental twin"):
        session.follow("nothing")


def test_a_client_that_has_a_name_is_called_by_it(session: Session) -> None:
    session.policy.set_clients([{"name": "workbench", "addresses": ["127.0.0.0/24"]}])
    session.query("named.example.org")
    until(session, lambda: len(session.live) == 1)
    assert session.frame["client_name"].tolist() == ["workbench"]
    assert session.log()["client_name"].tolist() == ["workbench"]


def test_what_threads_log_is_kept_and_not_printed(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    import logging

    logging.getLogger("dnsnb.server").warning("an upstream says %s", "a\x1b[31mb")
    assert "WARNING dnsnb.server: an upstream says a\\u001b[31mb" in repr(session.log_tail(5))
    assert "\x1b" not in repr(session.log_tail(5))
    assert capsys.readouterr().err == ""
    for i in range(1500):
        logging.getLogger("dnsnb").warning("line %d", i)
    assert len(session.log_tail(5000)) <= 1000 + 100  # and the server's own notices
    assert len(session.log_tail(3)) == 3


def test_controls_are_widgets_that_follow_the_server_and_command_it(network: Any, session: Session) -> None:
    controls = session.controls()
    assert session.controls() is controls
    until(session, lambda: controls.upstreams.value == network.address)
    assert (controls.running.value, controls.block_mode.value, controls.pause.value) == (True, "null", 0)
    controls.block_mode.value = "nxdomain"
    until(session, lambda: session.query("ads.example.net").rcode == "NXDOMAIN")
    controls.pause.value = 60
    until(session, lambda: controls.pause.value == -1)
    assert session.query("ads.example.net").rcode == "NOERROR"
    controls.pause.value = 0
    until(session, lambda: session.query("ads.example.net").rcode == "NXDOMAIN")
    session.stop()
    until(session, lambda: controls.running.value is False)
    controls.running.value = True
    until(session, lambda: session.status["running"])
    controls.upstreams.value = "not//one"
    until(session, lambda: "neither an address nor a host name" in controls.said.value)
    until(session, lambda: controls.upstreams.value == network.address)


def test_closing_leaves_the_views_as_last_drawn_and_replacing_takes_them_away(network: Any, session: Session) -> None:
    session.query("www.example.org")
    until(session, lambda: len(session.live) == 1)
    views = [session.dashboard, session.chart(), session.controls(), session.panel(lambda frame: len(frame))]
    until(session, lambda: ">1<" in views[3].value)
    other = dnsnb.start(name="views", upstreams=[network.address])
    replaced = other.dashboard
    dnsnb.start(name="views", upstreams=[network.address], block_mode="nxdomain").close()
    assert replaced.comm is None
    session.close()
    assert all(view.comm is not None for view in views)
    assert views[0].snapshot["connection"] == {"state": "closed", "reason": "the session is closed"}
    assert views[0].snapshot["rows"]["qname"] == ["www.example.org"]
    assert ">1<" in views[3].value
    until(session, lambda: views[2].running.disabled)
    assert session._repr_mimebundle_()[0]["text/html"]
    assert len(session.selected) == 1


@pytest.mark.parametrize(
    ("ways", "families"),
    [
        ({socket.AF_INET, socket.AF_INET6}, {socket.AF_INET, socket.AF_INET6}),
        ({socket.AF_INET}, {socket.AF_INET}),
        ({socket.AF_INET6}, {socket.AF_INET6}),
        (set(), {socket.AF_INET, socket.AF_INET6}),  # as the system does without any: both
    ],
)
def test_a_capture_leaves_out_the_family_that_leads_nowhere(
    monkeypatch: pytest.MonkeyPatch, ways: set[int], families: set[int]
) -> None:
    from dnsnb.notebook import capture

    monkeypatch.setattr(capture, "_leads", lambda family, _: family in ways)
    records = [{"name": "two.lan", "type": t, "data": d} for t, d in (("A", "192.0.2.7"), ("AAAA", "2001:db8::7"))]
    with dnsnb.start("families", upstreams=["192.0.2.53"], records=records) as session, session.capture():
        found = socket.getaddrinfo("two.lan", 80, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
        assert {info[0] for info in found} == families
        assert {info[0] for info in socket.getaddrinfo("two.lan", 80)} == {socket.AF_INET, socket.AF_INET6}
