"""kill -9 at any moment: edits that were acknowledged are there, files open, at most the last second of log is gone.

`make drill` repeats it 50 times; the suite a few.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from dnslib import DNSRecord

from dnsnb import drivers
from dnsnb.config import Settings
from dnsnb.drivers.paging import read_page

TIMES = int(os.environ.get("DRILL", "3"))
LOGS = ["file", "sqlite", "parquet"]
LISTS = ["file", "sqlite"]
LOG_BYTES = 8_000_000  # files are set aside above a quarter of it, and nothing goes


class Api:
    """One kept connection to the server's API."""

    def __init__(self, url: str, token: str) -> None:
        host, _, port = url.removeprefix("http://").rpartition(":")
        self._connection = http.client.HTTPConnection(host, int(port), timeout=5)
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def close(self) -> None:
        self._connection.close()

    def __call__(self, method: str, path: str, body: Any) -> int:
        self._connection.request(method, path, json.dumps(body), self._headers)
        answer = self._connection.getresponse()
        answer.read()
        return answer.status


def one_life(folder: Path, log: str, lists: str, number: int, seconds: float) -> tuple[set[str], set[str], list[Any]]:
    """Run a server, work it, kill it; returns names acknowledged, names perhaps there, and (name, when) answered."""
    arguments = ["--folder", str(folder), "--upstream", "127.0.0.1:9"]
    for key, value in (("log_driver", log), ("list_driver", lists), ("cache_driver", "file"), ("log_bytes", LOG_BYTES)):
        arguments += ["--set", f"{key}={value}"]
    command = [sys.executable, "-m", "dnsnb", "serve", "--json", *arguments]
    acknowledged: set[str] = set()
    maybe: set[str] = set()
    answered: list[tuple[str, float]] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        host, _, port = ready["dns"].rpartition(":")
        api = Api(ready["http"], ready["token"])
        end = time.monotonic() + seconds
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.settimeout(5)
        sock.connect((host, int(port)))
        killer = threading.Timer(seconds, process.kill)
        killer.start()
        turn = 0
        with sock, contextlib.suppress(OSError, http.client.HTTPException):
            while time.monotonic() < end + 5:
                turn += 1
                for part in range(20):
                    name = f"q{number}-{turn}-{part}.localhost"
                    sock.send(DNSRecord.question(name).pack())
                    sock.recv(4096)
                    answered.append((name, time.monotonic()))
                blocked = f"b{number}-{turn}.example"
                maybe.add(blocked)
                assert api("POST", "/api/dns/blacklist", {"names": [blocked]}) == 200
                acknowledged.add(blocked)
                assert (
                    api("PATCH", "/api/dns/config", {"block_ttl": 1 + turn % 1000, "log_days": 1 + turn % 1000}) == 200
                )
        api.close()
        process.wait(10)
        assert process.returncode == -signal.SIGKILL
    return acknowledged, maybe, [(name, end - when) for name, when in answered]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_kill_at_any_moment(tmp_path: Path) -> None:
    chance = random.Random(20260101)
    for number in range(TIMES):
        log, lists = LOGS[number % 3], LISTS[number % 2]
        folder = tmp_path / f"{log}-{lists}"
        names_before = set()
        if folder.exists():
            names_before = names_in(folder, log, lists)
        acknowledged, maybe, answered = one_life(folder, log, lists, number, chance.uniform(0.05, 1.8))
        kept = json.loads((folder / "settings.json").read_bytes()) if (folder / "settings.json").exists() else {}
        assert kept.get("block_ttl") == kept.get("log_days")  # both of one change
        Settings(**kept)
        names = names_in(folder, log, lists)
        assert names_before | acknowledged <= names <= names_before | maybe
        opened = open_all(folder, log, lists)
        rows = read_page(opened.log, 1_000_000, most=1_000_000).columns
        ids = rows.get("id", [])
        assert ids == sorted(set(ids))
        found = {name for name in rows.get("qname", []) if name.startswith(f"q{number}-")}
        old = {name for name, age in answered if age > 1.1}
        assert old <= found, f"{len(old - found)} of {len(old)} rows are gone"
        opened.close()


def names_in(folder: Path, log: str, lists: str) -> set[str]:
    opened = open_all(folder, log, lists)
    try:
        return {text for text, _ in opened.lists.load("blacklist")}
    finally:
        opened.close()


def open_all(folder: Path, log: str, lists: str) -> drivers.Drivers:
    given = SimpleNamespace(
        log_driver=log, list_driver=lists, cache_driver="file", folder=folder, log_rows=10, log_bytes=LOG_BYTES
    )
    return drivers.open_drivers(given)
