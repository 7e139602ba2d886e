"""A wrong setting is one clear error that names it, from Python, CLI and HTTP; a running server stays as it was."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import dnsnb
from dnsnb import simulate
from dnsnb.errors import CommandError, SettingError


@pytest.fixture(scope="module")
def running() -> Iterator[Any]:
    with simulate.running(latency_ms=0) as upstream, dnsnb.start(name="right", upstreams=[upstream.address]) as session:
        yield session


@pytest.fixture
def taken() -> Iterator[str]:
    """An address whose port another program has."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{sock.getsockname()[1]}"


WRONG = {
    "bad address": ({"dns": "localhost:fifty"}, "dns"),
    "no address": ({"dns": "dns.example.com:53"}, "dns"),
    "taken port": ({"dns": "TAKEN"}, "dns"),
    "open to all": ({"http": "0.0.0.0:0"}, "http"),
    "unknown scheme": ({"upstreams": ["ftp://192.0.2.1"]}, "upstreams[0]"),
    "no upstream": ({"upstreams": ["192.0.2.1", "not an address"]}, "upstreams[1]"),
    "unreadable list": ({"blacklist": ["/nowhere/at/all/list.txt"]}, "blacklist[0]"),
    "bad name": ({"blacklist": ["fine.example.com", "not a name"]}, "blacklist[1]"),
    "bad mode": ({"block_mode": "explode"}, "block_mode"),
    "bad network": ({"allow_clients": ["10.0.0.0/64"]}, "allow_clients[0]"),
}


def given(settings: dict[str, Any], taken: str) -> dict[str, Any]:
    return {key: taken if value == "TAKEN" else value for key, value in settings.items()}


@pytest.mark.parametrize("kind", WRONG)
@pytest.mark.parametrize("where", ["thread", "process"])
def test_from_python(kind: str, where: str, running: Any, taken: str) -> None:
    settings, culprit = WRONG[kind]
    settings = given(settings, taken)
    if kind == "taken port" and where == "process":
        pytest.skip("as in a thread")
    with pytest.raises(SettingError) as caught:
        dnsnb.start(name="wrong", where=where, **settings)
    assert caught.value.setting.startswith(culprit)
    assert str(caught.value).startswith(culprit)
    assert running.query("still.here.org").rcode == "NOERROR"


@pytest.mark.parametrize("kind", WRONG)
def test_from_the_command_line(kind: str, taken: str) -> None:
    settings, culprit = WRONG[kind]
    flags = {"upstreams": "--upstream", "blacklist": "--blacklist", "dns": "--dns", "http": "--http",
             "block_mode": "--block-mode", "allow_clients": "--allow-client"}  # fmt: skip
    arguments = []
    for key, value in given(settings, taken).items():
        for item in value if isinstance(value, list) else [value]:
            arguments += [flags[key], item]
    run = subprocess.run(
        [sys.executable, "-m", "dnsnb", "serve", *arguments],
        capture_output=True, text=True, timeout=30, check=False, cwd=Path(__file__).resolve().parents[2],
    )  # fmt: skip
    assert run.returncode == 2
    assert run.stdout == ""
    assert len(run.stderr.strip().splitlines()) == 1, run.stderr
    assert culprit in run.stderr
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize("kind", ["unknown scheme", "bad mode", "bad network"])
def test_over_http(kind: str, running: Any) -> None:
    settings, culprit = WRONG[kind]
    before = running.client.request("GET", "/api/dns/config")
    with pytest.raises((CommandError, SettingError)) as caught:
        running.client.request("PATCH", "/api/dns/config", settings)
    assert str(caught.value.setting).startswith(culprit)
    assert running.client.request("GET", "/api/dns/config") == before
    assert running.query("still.here.org").rcode == "NOERROR"


def test_a_wrong_restart_keeps_the_old_server(running: Any) -> None:
    before = running.status["dns"]
    with pytest.raises(SettingError, match="block_mode"):
        dnsnb.start(name="right", block_mode="explode")
    assert running.status["dns"] == before
    assert running.query("still.here.org").rcode == "NOERROR"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_list_that_may_not_be_read(tmp_path: Path) -> None:
    path = tmp_path / "secret.txt"
    path.write_text("a.test\n", encoding="utf-8")
    path.chmod(0)
    with pytest.raises(SettingError, match=r"blacklist\[0\]"):
        dnsnb.start(name="secret", blacklist=[str(path)])
