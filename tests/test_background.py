"""The background loop: results and errors cross over, nothing is left behind, whatever way it ends."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import CancelledError

import pytest

from dnsnb.background import BackgroundLoop


async def double(value: int) -> int:
    await asyncio.sleep(0)
    return value * 2


async def fail() -> None:
    raise KeyError("why")


def test_results_and_errors_cross_over() -> None:
    with BackgroundLoop("test-loop") as loop:
        assert loop.call(double, 21) == 42
        assert loop.call(threading.current_thread).name == "test-loop"
        assert loop.call(threading.current_thread).daemon
        with pytest.raises(KeyError, match="why"):
            loop.call(fail)
        assert loop.start(double, 4).result(5) == 8
        assert "running" in repr(loop)
    assert "closed" in repr(loop)


def test_close_cancels_what_runs_and_leaves_no_thread() -> None:
    before = set(threading.enumerate())
    loop = BackgroundLoop("ends")
    ended = threading.Event()

    async def endless() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.set()

    future = loop.start(endless)
    loop.call(double, 1)
    began = time.monotonic()
    loop.close()
    loop.close()
    assert time.monotonic() - began < 2
    assert ended.is_set()
    with pytest.raises(CancelledError):
        future.result(1)
    assert not [t for t in threading.enumerate() if t not in before and t.name == "ends"]
    for use in (lambda: loop.call(double, 1), lambda: loop.start(double, 1)):
        with pytest.raises(RuntimeError, match="ends"):
            use()


def test_cancelling_the_future_cancels_the_task() -> None:
    with BackgroundLoop() as loop:
        begun, ended = threading.Event(), threading.Event()

        async def endless() -> None:
            begun.set()
            try:
                await asyncio.sleep(3600)
            finally:
                ended.set()

        future = loop.start(endless)
        assert begun.wait(5)
        future.cancel()
        assert ended.wait(5)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system can't fork")
def test_a_forked_child_finds_it_closed() -> None:
    code = """
import os, sys, warnings
warnings.simplefilter("ignore")
from dnsnb.background import BackgroundLoop
loop = BackgroundLoop()
pid = os.fork()
if pid == 0:
    assert loop.closed
    loop.close()
    try:
        loop.call(print)
    except RuntimeError:
        os._exit(7)
    os._exit(1)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
assert loop.call(lambda: 5) == 5
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=20)


def test_the_interpreter_ends_though_nobody_closed() -> None:
    code = """
import asyncio, time
from dnsnb.background import BackgroundLoop
loop = BackgroundLoop()
loop.start(asyncio.sleep, 3600)
print(time.time(), flush=True)
"""
    run = subprocess.run([sys.executable, "-c", code], check=True, timeout=20, capture_output=True, text=True)
    assert time.time() - float(run.stdout) < 2
    assert run.stderr == ""


def test_an_interrupt_leaves_it_usable() -> None:
    code = """
import asyncio, os, signal, threading
from dnsnb.background import BackgroundLoop
loop = BackgroundLoop()
try:
    threading.Timer(0.3, os.kill, [os.getpid(), signal.SIGINT]).start()
    loop.call(asyncio.sleep, 60)
    raise SystemExit("not interrupted")
except KeyboardInterrupt:
    pass
assert loop.call(lambda: 5) == 5
loop.close()
"""
    run = subprocess.run([sys.executable, "-c", code], timeout=20, capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")
