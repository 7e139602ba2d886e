"""Flow 1: a query from another program goes by way of a real resolver, and is in the frame within a second."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import peers
import pytest

import dnsnb

pytestmark = pytest.mark.peer


@pytest.fixture(params=["unbound", "dnsmasq"])
def upstream(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A real resolver that knows three names."""
    if request.param == "unbound":
        data = {"www.flow.test. A": "192.0.2.10", "www.flow.test. AAAA": "2001:db8::10", "txt.flow.test. TXT": '"a b"'}
        with peers.unbound(tmp_path, data=data) as port:
            yield f"127.0.0.1:{port}"
    else:
        options = [
            "--host-record=www.flow.test,192.0.2.10,2001:db8::10,60",
            "--txt-record=txt.flow.test,a b",
            "--local=/test/",
        ]
        with peers.dnsmasq(*options) as port:
            yield f"127.0.0.1:{port}"


def dig(dns: str, *arguments: str) -> str:
    """Ask as any other program would; the short answer."""
    host, _, port = dns.rpartition(":")
    command = [peers.program("dig"), f"@{host}", "-p", port, "+short", "+tries=1", "+time=4", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()


def wait_for_rows(session: Any, rows: int, seconds: float = 1.0) -> float:
    """Wait for the frame to have so many rows; returns how long it took."""
    began = time.monotonic()
    there = threading.Event()
    watch = session.live.on_change(lambda *_: there.set() if len(session.live) >= rows else None)
    try:
        assert len(session.live) >= rows or there.wait(seconds), f"{len(session.live)} of {rows} rows after {seconds} s"
    finally:
        watch.close()
    return time.monotonic() - began


@pytest.mark.parametrize("where", ["thread", "process"])
def test_a_query_becomes_a_row(upstream: str, where: str) -> None:
    with dnsnb.start(name=f"flow-{where}", where=where, upstreams=[upstream], blacklist=["ads.test"]) as session:
        dns = session.status["dns"]
        assert dig(dns, "www.flow.test") == "192.0.2.10"
        assert dig(dns, "www.flow.test") == "192.0.2.10"
        assert dig(dns, "+tcp", "www.flow.test", "AAAA") == "2001:db8::10"
        assert dig(dns, "txt.flow.test", "TXT") == '"a b"'
        assert dig(dns, "x.ads.test") == "0.0.0.0"
        wait_for_rows(session, 5)
        frame = session.frame.sort_values("id")
        assert list(frame["status"]) == ["forwarded", "cached", "forwarded", "forwarded", "blocked"]
        assert list(frame["transport"]) == ["udp", "udp", "tcp", "udp", "udp"]
        assert list(frame["qname"]) == ["www.flow.test"] * 3 + ["txt.flow.test", "x.ads.test"]
        assert list(frame["answers"].iloc[2]) == ["2001:db8::10"]
        assert frame["list"].iloc[4] == "blacklist"
        assert frame["rule"].iloc[4] == "ads.test"
        assert str(frame["time"].dtype) == "datetime64[us, UTC]"
        assert (frame["latency_ms"] >= 0).all()


def test_a_name_that_nobody_knows(upstream: str) -> None:
    with dnsnb.start(name="flow-nx", upstreams=[upstream]) as session:
        assert dig(session.status["dns"], "nothing.flow.test") == ""
        wait_for_rows(session, 1)
        row = session.frame.iloc[0]
        assert row["rcode"] == "NXDOMAIN"
        assert row["status"] == "forwarded"
