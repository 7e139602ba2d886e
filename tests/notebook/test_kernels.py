"""The live view on real kernels: frames flow while a cell blocks, commands are answered, the end is quick."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client import BlockingKernelClient, KernelManager

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120), pytest.mark.filterwarnings("default")]

ROOT = Path(__file__).resolve().parents[2]
SETUP = f"""
import sys, threading, time
sys.path.insert(0, {str(ROOT)!r})
import dnsnb
from dnsnb import simulate
network = simulate.running()
session = dnsnb.start(upstreams=[network.address])
session.query("first.example.org")
def traffic():
    for i in range(10_000):
        try:
            session.query(f"n{{i}}.example.org")
        except Exception:
            return
        time.sleep(0.02)
session
"""


@pytest.fixture(scope="module", params=["current", "6.31.0"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    """Where an older ipykernel stands that is to be imported before ours; None for the one of this environment."""
    if request.param == "current":
        return None
    place: Path = tmp_path_factory.mktemp("ipykernel")
    run = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps",
         "--target", place, f"ipykernel=={request.param}"],
        capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    if run.returncode:
        pytest.skip(f"ipykernel {request.param} can't be had: {run.stderr[-200:]}")
    return place


class Notebook:
    """A kernel with the messages that a front end would get."""

    def __init__(self, client: BlockingKernelClient) -> None:
        self.client = client
        self.messages: list[dict[str, Any]] = []

    def run(self, code: str) -> str:
        return str(self.client.execute(code))

    def send(self, comm: str, content: dict[str, Any]) -> None:
        """Send a widget's custom message, as a front end does."""
        data = {"method": "custom", "content": content}
        message = self.client.session.msg("comm_msg", {"comm_id": comm, "data": data})
        self.client.shell_channel.send(message)

    def wait(self, test: Callable[[dict[str, Any]], bool], seconds: float = 30.0) -> dict[str, Any]:
        """Wait for a message, old ones included."""
        end = time.monotonic() + seconds
        looked = 0
        while True:
            for message in self.messages[looked:]:
                looked += 1
                if test(message):
                    return message
                assert message["msg_type"] != "error", message["content"]
            left = end - time.monotonic()
            assert left > 0, f"it did not come among {[m['msg_type'] for m in self.messages]}"
            try:
                message = self.client.get_iopub_msg(timeout=left)
            except Exception:
                continue
            message["at"] = time.monotonic()
            self.messages.append(message)

    def idle(self, request: str) -> None:
        """Wait until a request is done."""
        self.wait(
            lambda m: (
                m["msg_type"] == "status"
                and m["content"]["execution_state"] == "idle"
                and m["parent_header"].get("msg_id") == request
            )
        )


def frame_of(message: dict[str, Any]) -> dict[str, Any] | None:
    """The frame that a message carries, if it is one."""
    if message["msg_type"] != "comm_msg" or message["content"]["data"].get("method") != "custom":
        return None
    content: dict[str, Any] = message["content"]["data"]["content"]
    return content if content.get("t") == "frame" else None


@pytest.fixture
def notebook(folder: Path | None) -> Iterator[Notebook]:
    path = os.pathsep.join(filter(None, [str(folder) if folder else "", os.environ.get("PYTHONPATH", "")]))
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(env=os.environ | ({"PYTHONPATH": path} if path else {}))
    client = manager.blocking_client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=40)
        yield Notebook(client)
    finally:
        client.stop_channels()
        if manager.is_alive():
            manager.shutdown_kernel(now=True)


def test_the_view_lives_while_a_cell_blocks(notebook: Notebook, folder: Path | None) -> None:
    version = notebook.run("import ipykernel; print(ipykernel.__version__)")
    notebook.idle(version)
    printed = next(m for m in notebook.messages if m["msg_type"] == "stream")["content"]["text"]
    assert printed.startswith("6.31." if folder else "7."), printed

    notebook.idle(notebook.run(SETUP))
    shown = notebook.wait(lambda m: m["msg_type"] in ("execute_result", "display_data"))["content"]["data"]
    comm = shown["application/vnd.jupyter.widget-view+json"]["model_id"]
    assert "running" in shown["text/plain"]
    assert "<svg" in shown["text/html"]

    notebook.send(comm, {"t": "hello", "epoch": None, "last": 0, "visible": True})
    first = notebook.wait(lambda m: bool((f := frame_of(m)) and f["whole"]))
    assert first["content"]["data"]["content"]["channels"]["dns/status"]["running"]
    assert first["buffers"], "columns travel as binary buffers"

    notebook.send(comm, {"t": "ack", "seq": 1, "visible": True})
    notebook.send(comm, {"t": "request", "id": 1, "method": "POST", "path": "/api/dns/blacklist",
                         "body": {"names": ["blocked.example.org"]}})  # fmt: skip
    notebook.wait(lambda m: m["msg_type"] == "comm_msg" and m["content"]["data"].get("content", {}).get("id") == 1)

    notebook.idle(notebook.run("threading.Thread(target=traffic, daemon=True).start()"))
    began = time.monotonic()
    request = notebook.run("time.sleep(3)")
    notebook.idle(request)
    ended = time.monotonic()
    inside = [m for m in notebook.messages if m.get("at", 0) > began and m["at"] < ended and frame_of(m)]
    assert 3 <= len(inside) <= 33, f"{len(inside)} frames came while the cell slept"


def test_a_kernel_with_a_running_server_ends_within_two_seconds(notebook: Notebook) -> None:
    notebook.idle(
        notebook.run(SETUP + "\nthreading.Thread(target=traffic, daemon=True).start()\nimport os\nprint(os.getpid())")
    )
    pid = int(next(m for m in notebook.messages if m["msg_type"] == "stream")["content"]["text"])
    # the magic, as a person types it
    notebook.idle(notebook.run("%load_ext dnsnb\n%dnsnb block magic.example.org\n%dnsnb query magic.example.org"))
    shown = [m["content"]["data"] for m in notebook.messages if m["msg_type"] == "execute_result"]
    assert "0.0.0.0" in shown[-1]["text/plain"]
    began = time.monotonic()
    notebook.client.shutdown()
    while _lives(pid):
        assert time.monotonic() - began < 2.5, "the kernel's process did not end"
        time.sleep(0.02)


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
