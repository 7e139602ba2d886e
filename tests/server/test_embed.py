"""A server in a thread or in a process: the same to a client, the same errors, nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

import psutil
import pytest

import dnsnb
from dnsnb.config import Settings
from dnsnb.errors import SettingError
from dnsnb.server.embed import Handle, begin_child, launch

WHERE = ["thread", "process"]
UPSTREAM = "127.0.0.1:9"


def health(handle: Handle) -> Any:
    request = urllib.request.Request(
        handle.http + "/api/system/health", headers={"Authorization": f"Bearer {handle.token}"}
    )
    with urllib.request.urlopen(request, timeout=5) as answer:
        return json.load(answer)


def is_free(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            udp.bind((host, int(port)))
            tcp.bind((host, int(port)))
        except OSError:
            return False
        return True


def wait_until(condition: Any, seconds: float = 5) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def is_gone(pid: int) -> bool:
    """Whether a process has ended; who is to take note of an orphan's end may take seconds."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


@pytest.mark.parametrize("where", WHERE)
def test_it_runs_and_leaves_nothing_behind(where: Any) -> None:
    threads = set(threading.enumerate())
    handle = launch(Settings(upstreams=[UPSTREAM], token="a-token-of-ours"), where)
    try:
        assert handle.running
        assert health(handle)["status"] == "ok"
        assert handle.token == "a-token-of-ours"
        assert (handle.pid is None) == (where == "thread")
        assert "a-token" not in repr(handle)
        if handle.pid is not None:
            assert "a-token" not in " ".join(psutil.Process(handle.pid).cmdline())
            assert "a-token" not in str(psutil.Process(handle.pid).environ())
    finally:
        began = time.monotonic()
        handle.close()
    assert time.monotonic() - began < 2
    handle.close()
    assert not handle.running
    assert is_free(handle.dns)
    assert is_free(handle.http.removeprefix("http://"))
    assert not [t for t in threading.enumerate() if t not in threads and t.name.startswith("dnsnb")]
    if handle.pid is not None:
        assert not psutil.pid_exists(handle.pid)


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize(
    ("setting", "value"),
    [("upstreams", ["gopher://x"]), ("blacklist", ["not a name"]), ("log_driver", "papyrus"), ("dns", "nowhere:53")],
)
def test_a_wrong_setting_is_the_same_error(where: Any, setting: str, value: Any) -> None:
    threads = {t.name for t in threading.enumerate()}
    children = set(psutil.Process().children())
    with pytest.raises(SettingError) as error:
        launch(Settings(**({"upstreams": [UPSTREAM]} | {setting: value})), where)
    assert error.value.setting.split("[")[0] == setting
    assert str(error.value).count(setting) >= 1
    assert {t.name for t in threading.enumerate() if t.name.startswith("dnsnb")} <= threads
    assert set(psutil.Process().children()) == children


@pytest.mark.parametrize("where", WHERE)
def test_a_taken_port_is_named(where: Any) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(SettingError) as error:
            launch(Settings(upstreams=[UPSTREAM], dns=address), where)
    assert error.value.setting == "dns"
    assert "taken" in error.value.why
    assert error.value.value == address


def test_a_wrong_place_is_named() -> None:
    with pytest.raises(SettingError) as error:
        launch(Settings(upstreams=[UPSTREAM]), "cloud")  # type: ignore[arg-type]
    assert error.value.setting == "where"


def test_changed_settings_reach_the_process(tmp_path: Path) -> None:
    settings = Settings(upstreams=[UPSTREAM], folder=tmp_path, log_driver="sqlite", privacy=["no-names"], log_days=2)
    with launch(settings, "process") as handle:
        request = urllib.request.Request(
            handle.http + "/api/dns/config", headers={"Authorization": f"Bearer {handle.token}"}
        )
        with urllib.request.urlopen(request, timeout=5) as answer:
            found = json.load(answer)["settings"]
    assert (found["log_driver"], found["privacy"], found["log_days"]) == ("sqlite", ["no-names"], 2)


OWNER = """
import sys, time
from dnsnb.config import Settings
from dnsnb.server.embed import launch
handle = launch(Settings(upstreams=["127.0.0.1:9"]), sys.argv[1])
print(handle.dns, handle.pid or 0, flush=True)
for _ in range(3_000):  # a signal just before a sleep begins is looked at when that ends: no long ones
    time.sleep(0.02)
"""


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_it_ends_with_its_owner_however_that_ends(where: str, number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, where], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as owner:
        assert owner.stdout is not None
        address, pid = owner.stdout.readline().split()
        os.kill(owner.pid, number)
        owner.wait(5)
        assert wait_until(lambda: is_free(address))
        if int(pid):
            assert wait_until(lambda: is_gone(int(pid)))


@pytest.mark.parametrize("where", WHERE)
def test_the_owner_ends_without_closing(where: str) -> None:
    code = OWNER.partition("for _ in")[0]
    began = time.monotonic()
    run = subprocess.run([sys.executable, "-c", code, where], capture_output=True, text=True, timeout=20)
    assert (run.returncode, run.stderr) == (0, "")
    address, pid = run.stdout.split()
    assert wait_until(lambda: is_free(address))
    assert not int(pid) or wait_until(lambda: is_gone(int(pid)))
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("where", WHERE)
def test_what_is_kept_is_written_though_nobody_closed(where: str, tmp_path: Path) -> None:
    code = """
import socket, sys
from dnslib import DNSRecord
from dnsnb.config import Settings
from dnsnb.server.embed import launch
from dnsnb.simulate import running
with running(latency_ms=0) as up:
    settings = Settings(upstreams=[up.address], folder=sys.argv[2], log_driver="parquet", cache_driver="file")
    handle = launch(settings, sys.argv[1])
    host, _, port = handle.dns.rpartition(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        sock.sendto(DNSRecord.question("ok-60.example.org").pack(), (host, int(port)))
        sock.recv(4096)
"""
    run = subprocess.run([sys.executable, "-c", code, where, str(tmp_path)], capture_output=True, text=True, timeout=30)
    assert (run.returncode, run.stderr) == (0, "")
    rows = wait_until(lambda: list((tmp_path / "parquet").glob("date=*/*.parquet")))
    assert rows
    assert wait_until(lambda: (tmp_path / "cache.jsonl").exists() and (tmp_path / "cache.jsonl").stat().st_size > 0)


def test_a_thread_ends_though_its_server_fails_to() -> None:
    handle = launch(Settings(name="broken"), "thread")

    def fail() -> None:
        raise OSError(28, "No space left on device")

    handle.server._stack.callback(fail)  # type: ignore[attr-defined]
    with pytest.raises(OSError, match="No space left"):
        handle.close()
    assert not handle.running
    assert not [thread for thread in threading.enumerate() if thread.name == "dnsnb-broken"]
    handle.close()


def test_a_process_that_is_killed_is_seen() -> None:
    with launch(Settings(upstreams=[UPSTREAM]), "process") as handle:
        assert handle.pid is not None
        os.kill(handle.pid, signal.SIGKILL)
        assert wait_until(lambda: not handle.running)
    assert "closed" in repr(handle)


def test_two_servers_live_beside_each_other() -> None:
    with launch(Settings(upstreams=[UPSTREAM])) as one, launch(Settings(upstreams=[UPSTREAM])) as other:
        assert one.dns != other.dns
        assert health(one)["status"] == health(other)["status"] == "ok"


def test_a_child_that_gets_no_settings_ends_in_silence() -> None:
    said, _ = begin_child().communicate(timeout=30)
    assert said == b""


def test_a_wrong_setting_leaves_no_child() -> None:
    before = set(psutil.Process().children())
    with pytest.raises(SettingError, match="block_mode"):
        dnsnb.start("wrong", where="process", block_mode="never")
    assert set(psutil.Process().children()) == before
