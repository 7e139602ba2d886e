"""Sessions in a real kernel: restart, interrupt and shutdown leave no port and no process, in under two seconds."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from jupyter_client.manager import KernelManager

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default"), pytest.mark.timeout(120)]

START = """
import json, dnsnb
from dnsnb import simulate
network = simulate.running(latency_ms=0)
session = dnsnb.start(upstreams=[network.address], where={where!r})
print(json.dumps({{"dns": session.status["dns"], "http": session.status["http"], "pid": session.handle.pid}}))
"""


class Kernel:
    """A kernel of its own, spoken to as a notebook does."""

    def __init__(self) -> None:
        self.manager = KernelManager(kernel_name="python3")
        self.manager.start_kernel(cwd=str(ROOT))
        self.client = self.manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)

    def run(self, code: str, timeout: float = 60) -> str:
        """Run a cell and return what it printed; an error in it fails the test."""
        out: list[str] = []

        def hear(message: dict[str, Any]) -> None:
            if message["msg_type"] == "stream" and message["content"]["name"] == "stdout":
                out.append(message["content"]["text"])

        reply = self.client.execute_interactive(code, timeout=timeout, output_hook=hear)
        assert reply["content"]["status"] == "ok", reply["content"].get("traceback")
        return "".join(out)

    def started(self, where: str) -> dict[str, Any]:
        return dict(json.loads(self.run(START.format(where=where)).strip().splitlines()[-1]))

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
        self.manager.context.destroy(linger=0)  # a socket of a kernel that died by itself may be open still


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    made = Kernel()
    yield made
    made.close()


def is_free(address: str, seconds: float = 3.0) -> bool:
    """Whether nobody listens at HOST:PORT any more."""
    host, _, port = address.rpartition("/")[2].rpartition(":")
    deadline = time.monotonic() + seconds
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                udp.bind((host, int(port)))
                tcp.bind((host, int(port)))
                return True
            except OSError:
                if time.monotonic() > deadline:
                    return False
        time.sleep(0.02)


@pytest.mark.parametrize("where", ["thread", "process"])
def test_shutdown_leaves_nothing_behind(kernel: Kernel, where: str) -> None:
    facts = kernel.started(where)
    assert not is_free(facts["dns"], 0)
    pid = kernel.manager.provisioner.process.pid
    began = time.monotonic()
    kernel.client.shutdown()
    psutil.Process(pid).wait(5)
    assert time.monotonic() - began < 2.5  # the kernel's own end takes a part of it
    assert is_free(facts["dns"])
    assert is_free(facts["http"])
    if where == "process":
        assert not psutil.pid_exists(facts["pid"]) or psutil.Process(facts["pid"]).status() == psutil.STATUS_ZOMBIE


def test_a_killed_kernel_takes_its_server_process_along(kernel: Kernel) -> None:
    facts = kernel.started("process")
    os.kill(kernel.manager.provisioner.process.pid, signal.SIGKILL)
    assert is_free(facts["dns"])
    assert is_free(facts["http"])


def test_an_interrupt_stops_the_cell_and_not_the_server(kernel: Kernel) -> None:
    facts = kernel.started("thread")
    code = "import time; print('sleeping', flush=True)\nfor _ in range(600): time.sleep(0.1)"
    ident = kernel.client.execute(code, stop_on_error=False)  # else a cell sent at once after an error may be aborted
    while True:
        message = kernel.client.get_iopub_msg(timeout=20)
        if message["parent_header"].get("msg_id") == ident and message["msg_type"] == "stream":
            break
    kernel.manager.interrupt_kernel()
    reply = kernel.client.get_shell_msg(timeout=10)
    assert reply["content"]["ename"] == "KeyboardInterrupt"
    assert kernel.run("print(session.query('after.the.org').rcode)").strip() == "NOERROR"
    assert not is_free(facts["dns"], 0)


def test_running_the_start_cell_again_and_again(kernel: Kernel) -> None:
    first = kernel.started("thread")
    code = """
import threading
sessions = {id(dnsnb.start(upstreams=[network.address])) for _ in range(100)}
ours = lambda: sorted(t.name for t in threading.enumerate() if "dnsnb" in t.name)
print(len(sessions), len(ours()))
before = ours()
other = dnsnb.start(upstreams=[network.address], block_mode="nxdomain")
print(other.status["dns"] == session_address, ours() == before)
two = dnsnb.start(name="two", upstreams=[network.address])
print(two.status["dns"] != other.status["dns"], len(dnsnb.sessions()))
two.close(); other.close(); network.close()
print(len(dnsnb.sessions()), ours())
"""
    lines = kernel.run(f"session_address = {first['dns']!r}\n{code}").split("\n")
    assert lines[0].startswith("1 ")
    assert lines[1] == "True True"
    assert lines[2] == "True 2"
    assert lines[3] == "0 []"


def test_restart_and_start_again(kernel: Kernel) -> None:
    facts = kernel.started("thread")
    began = time.monotonic()
    kernel.manager.restart_kernel()
    assert is_free(facts["dns"])
    assert time.monotonic() - began < 5  # stopping and starting a whole kernel
    kernel.client.wait_for_ready(timeout=60)
    again = kernel.started("thread")
    assert not is_free(again["dns"], 0)
