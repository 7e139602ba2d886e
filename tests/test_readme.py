"""Every command and every block of code in README.md is run here, as a reader would, with no network."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dnsnb import simulate

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = [(language, code) for language, code in re.findall(r"```(\w*)\n(.*?)```", README, re.DOTALL)]
PYTHON = [code for language, code in BLOCKS if language == "python"]
COMMANDS = [
    line.replace("\\\n", "")
    for language, code in BLOCKS
    if language == "sh"
    for line in code.strip().splitlines()
    if not line.startswith("#")
]


@pytest.fixture(scope="module")
def network() -> Iterator[simulate.Running]:
    with simulate.running(latency_ms=1) as running:
        yield running


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A folder with the files that the README speaks of."""
    (tmp_path / "ads.txt").write_text("ads.example.com\ntracker.example.net\n")
    (tmp_path / "my.log").write_text(
        "2026-03-02T10:00:00Z 192.0.2.7 asked www.example.com A -> NOERROR in 1.5 ms\n" * 3
    )
    (tmp_path / "pihole.log").write_text(
        "Mar  2 10:00:01 dnsmasq[77]: query[A] www.example.com from 192.0.2.7\n"
        "Mar  2 10:00:01 dnsmasq[77]: forwarded www.example.com to 198.51.100.53\n"
        "Mar  2 10:00:01 dnsmasq[77]: reply www.example.com is 203.0.113.10\n"
    )
    return tmp_path


def test_blocks_are_of_kinds_that_are_run() -> None:
    assert {language for language, _ in BLOCKS} <= {"python", "sh"}
    assert PYTHON
    assert COMMANDS


@pytest.mark.parametrize("number", range(len(PYTHON)))
def test_python(number: int, desk: Path, network: simulate.Running) -> None:
    """In a process of its own, so that each block stands alone; a warning is an error."""
    code = PYTHON[number].replace('"1.1.1.1", "9.9.9.9"', f'"{network.address}"')
    (desk / "block.py").write_text(code)
    is_test = "def test_" in code
    command = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "block.py"] if is_test else ["-W", "error", "block.py"]
    run = subprocess.run(
        [sys.executable, *command],
        cwd=desk,
        env=os.environ | {"DNSNB_UPSTREAMS": network.address, "NO_PROXY": "*"},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert run.returncode == 0, f"{code}\n{run.stdout}\n{run.stderr}"
    assert not run.stderr, run.stderr


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def run(command: str, desk: Path) -> str:
    """Run a command line where the README's reader stands, with the `dnsnb` of this environment."""
    done = subprocess.run(
        ["bash", "-euc", command],
        cwd=desk,
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def make(command: str, desk: Path) -> None:
    """What has a test of its own, or is this very run, is asked what it would do; the demo is run."""
    target = shlex.split(command)[1]
    if target == "demo":
        assert "qname" in run(f"make -C {ROOT} demo SECONDS=1", desk)
        return
    shown = run(f"make -n -C {ROOT} {shlex.join(shlex.split(command)[1:])}", desk)
    expected = {"lab": "dnsnb lab", "test": "-m pytest", "check": "mypy", "bench": "tests/bench"}
    assert expected[target] in shown


class Served:
    """`dnsnb serve` as the README has it, on free ports, and the commands that speak to it."""

    def __init__(self, desk: Path, network: simulate.Running) -> None:
        self.desk = desk
        self.ports = {"5353": str(free_port()), "8053": str(free_port())}
        self.swap = {"--upstream 1.1.1.1": f"--upstream {network.address}"}
        self.process: subprocess.Popen[str] | None = None
        self.token = ""

    def line(self, command: str) -> str:
        for old, new in (self.swap | self.ports).items():
            command = command.replace(old, new)
        return command.replace("$TOKEN", self.token)

    def serve(self, command: str) -> None:
        words = shlex.split(self.line(command))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "dnsnb", *words[1:], "--json"], cwd=self.desk, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.token = json.loads(self.process.stdout.readline())["token"]

    def close(self) -> None:
        if self.process is not None:
            assert self.process.stdout is not None
            self.process.send_signal(signal.SIGTERM)
            assert self.process.wait(5) == 0
            self.process.stdout.close()


@pytest.mark.timeout(120)
def test_commands(desk: Path, network: simulate.Running) -> None:
    """One after the other, as they stand there; a command that this does not know fails the test."""
    served = Served(desk, network)
    how: dict[str, Callable[[str], object]] = {
        "make": lambda command: make(command, desk),
        "dnsnb serve": served.serve,
        "dnsnb": lambda command: run(served.line(command), desk),
        "curl": lambda command: run(f"timeout 2 {served.line(command)} || [ $? = 124 ]", desk),
    }
    try:
        for command in COMMANDS:
            words = command.split()
            action = how.get(" ".join(words[:2])) or how.get(words[0])
            assert action, f"README.md has a command that no test runs: {command}"
            action(command)
    finally:
        served.close()
