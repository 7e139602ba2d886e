"""Real resolvers from Debian, started on loopback for a test and ended by it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def program(name: str) -> str:
    """Return a program's path; a test that wants it is skipped where it is not installed (never on CI)."""
    path = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    if path is None:
        if os.environ.get("CI"):
            pytest.fail(f"{name} is not installed; .ci/run should have done it")
        pytest.skip(f"{name} is not installed")
    return path


def free_port() -> int:
    """Return a port that is free for UDP and TCP on loopback."""
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
            udp.bind(("127.0.0.1", 0))
            port = int(udp.getsockname()[1])
            try:
                tcp.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def wait_until_it_answers(port: int, process: subprocess.Popen[bytes], seconds: float = 10) -> None:
    """Ask until something comes back."""
    query = bytes.fromhex("abcd01000001000000000000") + b"\5ready\4test\0\0\1\0\1"
    deadline = time.monotonic() + seconds
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.2)
        sock.connect(("127.0.0.1", port))
        while time.monotonic() < deadline:
            assert process.poll() is None, f"{process.args} ended with {process.returncode}"
            try:
                sock.send(query)
                if sock.recv(512)[:2] == query[:2]:
                    return
            except (TimeoutError, ConnectionRefusedError):
                time.sleep(0.02)
    raise AssertionError(f"{process.args} does not answer")


@contextmanager
def running(arguments: list[str], port: int) -> Iterator[int]:
    """Run a resolver that stays in the foreground, for as long as the block lasts."""
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until_it_answers(port, process)
        yield port
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def unbound(
    folder: Path, *, data: dict[str, str] | None = None, forward: str | None = None, local_test_zone: bool = True
) -> Iterator[int]:
    """Unbound on a free port: `data` are its local answers ("www.test A": "192.0.2.1"), `forward` HOST@PORT."""
    port = free_port()
    lines = [
        "server:", '  username: ""', '  chroot: ""', f'  directory: "{folder}"', '  pidfile: ""', "  use-syslog: no",
        "  interface: 127.0.0.1", f"  port: {port}", "  do-not-query-localhost: no", "  do-ip6: no",
        '  module-config: "iterator"', "  access-control: 127.0.0.0/8 allow",
        f'  local-zone: "test." {"static" if local_test_zone else "transparent"}',
    ]  # fmt: skip
    lines += [f"  local-data: '{key} {value}'" for key, value in (data or {}).items()]
    if forward is not None:
        lines += ['  domain-insecure: "."', "forward-zone:", '  name: "."', f"  forward-addr: {forward}"]
    config = folder / "unbound.conf"
    config.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with running([program("unbound"), "-d", "-p", "-c", str(config)], port):
        yield port


@contextmanager
def dnsmasq(*options: str) -> Iterator[int]:
    """dnsmasq on a free port, with these options."""
    port = free_port()
    base = [
        "--keep-in-foreground",
        "--no-resolv",
        "--no-hosts",
        "--conf-file=/dev/null",
        "--pid-file",
        "--log-facility=/dev/null",
    ]
    where = ["--listen-address=127.0.0.1", "--bind-interfaces", f"--port={port}", "--user=root"]
    with running([program("dnsmasq"), *base, *where, *options], port):
        yield port
