"""The servers that are measured, each on loopback with one thread, all in front of the same upstream."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil


class Running(NamedTuple):
    """A server that answers: where, and the process that does."""

    name: str
    port: int
    process: subprocess.Popen[bytes]
    ready: dict[str, str] = {}  # noqa: RUF012 - what our own server says of itself; never changed

    def memory_mb(self) -> float:
        """Its resident memory."""
        return psutil.Process(self.process.pid).memory_info().rss / 1e6

    def cpu_seconds(self) -> float:
        """Its processor time so far, the kernel's for it included."""
        times = psutil.Process(self.process.pid).cpu_times()
        return float(times.user + times.system)


def program(name: str) -> str:
    """Return a program's path, or end with what to install."""
    path = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    if path is None:
        sys.exit(f"{name} is not installed: apt-get install dnsperf dnsmasq-base unbound")
    return path


GENERATOR, SERVER = (0, 1) if (os.cpu_count() or 1) > 1 else (0, 0)


def on_core(core: int, arguments: list[str]) -> list[str]:
    """Return a command that stays on one core: the load and the upstream on one, what is measured on the other."""
    taskset = shutil.which("taskset")
    return [taskset, "-c", str(core), *arguments] if taskset and GENERATOR != SERVER else arguments


SYSTEMS = "/usr/bin/python3"


def interpreter() -> tuple[str, dict[str, str], str]:
    """Return (Python, what its environment needs, how it is told of) for our server and dnslib's.

    The peers are as the system builds them, so Python is the system's too where it is of the same version: one that
    somebody built without profile-guided optimisation is a fifth slower.
    """
    version = "{}.{}".format(*sys.version_info)
    found = os.pathsep.join([str(Path(__file__).resolve().parents[2]), sysconfig.get_path("purelib")])
    environment = {"PYTHONPATH": found}
    code = "import sys, dnsnb.server.server; print(sys.version.split()[0])"
    if os.path.exists(SYSTEMS):
        said = subprocess.run(
            [SYSTEMS, "-c", code], env=os.environ | environment, capture_output=True, text=True, check=False
        ).stdout.strip()
        if said.startswith(version + "."):
            return SYSTEMS, environment, f"Python {said} of the system"
    return sys.executable, {}, f"Python {sys.version.split()[0]} of the environment"


def free_port() -> int:
    """Return a UDP port that nobody has."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextmanager
def _run(
    name: str,
    arguments: list[str],
    port: int,
    seconds: float = 30,
    *,
    core: int = SERVER,
    environment: dict[str, str] | None = None,
) -> Iterator[Running]:
    arguments = on_core(core, arguments)
    process = subprocess.Popen(
        arguments, env=os.environ | (environment or {}), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait(port, process, seconds)
        yield Running(name, port, process)
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(port: int, process: subprocess.Popen[bytes], seconds: float) -> None:
    query = bytes.fromhex("abcd01000001000000000000") + b"\5ready\5bench\3net\0\0\1\0\1"
    end = time.monotonic() + seconds
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.2)
        sock.connect(("127.0.0.1", port))
        while time.monotonic() < end:
            if process.poll() is not None:
                raise RuntimeError(f"{process.args} ended with {process.returncode}")
            try:
                sock.send(query)
                if sock.recv(512)[:2] == query[:2]:
                    return
            except (TimeoutError, ConnectionRefusedError):
                time.sleep(0.05)
    raise RuntimeError(f"{process.args} does not answer")


@contextmanager
def upstream(folder: Path) -> Iterator[Running]:
    """An unbound that knows every name by heart: faster than anything that is measured in front of it."""
    port = free_port()
    config = folder / "upstream.conf"
    config.write_text(
        _unbound(port, folder, log=False) + '  local-zone: "." redirect\n  local-data: ". 300 IN A 192.0.2.1"\n'
    )
    with _run("upstream", [program("unbound"), "-d", "-c", str(config)], port, core=GENERATOR) as running:
        yield running


@contextmanager
def unbound(folder: Path, upstream_port: int, *, log: bool) -> Iterator[Running]:
    """Unbound, forwarding; with its query and reply log, or without."""
    port = free_port()
    config = folder / f"unbound-{log}.conf"
    forward = f'forward-zone:\n  name: "."\n  forward-addr: 127.0.0.1@{upstream_port}\n'
    config.write_text(_unbound(port, folder, log=log) + forward)
    name = "unbound, log on" if log else "unbound"
    with _run(name, [program("unbound"), "-d", "-c", str(config)], port) as running:
        yield running


def _unbound(port: int, folder: Path, *, log: bool) -> str:
    logging = (
        f'  logfile: "{folder}/unbound.log"\n  log-queries: yes\n  log-replies: yes\n  use-syslog: no\n' if log else ""
    )
    return f"""server:
  interface: 127.0.0.1@{port}
  do-daemonize: no
  username: ""
  chroot: ""
  pidfile: ""
  num-threads: 1
  so-rcvbuf: 4m
  do-not-query-localhost: no
  module-config: "iterator"
  access-control: 127.0.0.0/8 allow
  msg-cache-size: 256m
  rrset-cache-size: 256m
  outgoing-range: 4096
  num-queries-per-thread: 4096
{logging}"""


@contextmanager
def dnsmasq(folder: Path, upstream_port: int, *, log: bool) -> Iterator[Running]:
    """Dnsmasq, forwarding; with its query log, or without."""
    port = free_port()
    arguments = [
        program("dnsmasq"), "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--user=",
        f"--port={port}", "--listen-address=127.0.0.1", "--bind-interfaces", "--cache-size=10000", "--pid-file=",
        "--dns-forward-max=10000", f"--server=127.0.0.1#{upstream_port}",
    ]  # fmt: skip
    if log:
        arguments += ["--log-queries", "--log-async=100", f"--log-facility={folder}/dnsmasq.log"]
    with _run("dnsmasq, log on" if log else "dnsmasq", arguments, port) as running:
        yield running


@contextmanager
def dnslib_server(upstream_port: int) -> Iterator[Running]:
    """The server that comes with dnslib, as shipped: it answers every name itself, and logs nothing."""
    port = free_port()
    code = (
        "from dnslib import RR\nfrom dnslib.server import BaseResolver, DNSServer, DNSLogger\n"
        "class R(BaseResolver):\n"
        "    def resolve(self, request, handler):\n"
        "        reply = request.reply()\n"
        "        reply.add_answer(*RR.fromZone(f'{request.q.qname} 300 A 192.0.2.1'))\n"
        "        return reply\n"
        f"DNSServer(R(), port={port}, address='127.0.0.1', logger=DNSLogger('-request,-reply')).start()\n"
    )
    python, environment, _ = interpreter()
    with _run("dnslib's server", [python, "-c", code], port, environment=environment) as running:
        yield running


@contextmanager
def echo() -> Iterator[Running]:
    """No server at all: every question comes back as its own reply, as quickly as Python can. Where load ends."""
    port = free_port()
    code = (
        "import select, socket\n"
        "from dnsnb.server.mmsg import Datagrams\n"
        "sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)\n"
        f"sock.bind(('127.0.0.1', {port}))\n"
        "datagrams = Datagrams(sock)\n"
        "while True:\n"
        "    select.select([sock], [], [])\n"
        "    queries, _ = datagrams.receive()\n"
        "    datagrams.send([q[:2] + bytes([q[2] | 0x80]) + q[3:] for q in queries])\n"
    )
    python, environment, _ = interpreter()
    with _run("an echo", [python, "-c", code], port, environment=environment) as running:
        yield running


@contextmanager
def ours(upstream_port: int, *, config: Path | None = None, name: str = "dnsnb") -> Iterator[Running]:
    """This server, its query log on and one client on its event stream, as `dnsnb serve` runs it."""
    python, environment, _ = interpreter()
    arguments = [python, "-m", "dnsnb", "serve", "--json", "--upstream", f"127.0.0.1:{upstream_port}"]
    if config is not None:
        arguments += ["--config", str(config)]
    arguments = on_core(SERVER, arguments)
    process = subprocess.Popen(
        arguments, env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    ended = threading.Event()
    try:
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"{arguments} ended with {process.wait()}")
        ready = json.loads(line)
        threading.Thread(target=_read_stream, args=(ready, ended), daemon=True).start()
        yield Running(name, int(ready["dns"].rpartition(":")[2]), process, ready)
    finally:
        ended.set()
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _read_stream(ready: dict[str, str], ended: threading.Event) -> None:
    request = urllib.request.Request(
        f"{ready['http']}/api/sse/stream?batch=1", headers={"Authorization": f"Bearer {ready['token']}"}
    )
    try:
        with urllib.request.urlopen(request) as stream:
            while not ended.is_set() and stream.read1(1 << 20):
                pass
    except OSError:
        return


@contextmanager
def stream_clients(server: Running, count: int) -> Iterator[None]:
    """So many more readers of our server's event stream, in a process of their own beside the load."""
    code = (
        "import selectors, socket, sys\n"
        "host, port, token, count = sys.argv[1:]\n"
        "s = selectors.DefaultSelector()\n"
        "ask = f'GET /api/sse/stream?batch=1 HTTP/1.1\\r\\nHost: {host}:{port}\\r\\n'"
        "f'Authorization: Bearer {token}\\r\\n\\r\\n'\n"
        "for _ in range(int(count)):\n"
        "    c = socket.create_connection((host, int(port)))\n"
        "    c.sendall(ask.encode())\n"
        "    assert b'200 OK' in c.recv(65536)\n"
        "    s.register(c, selectors.EVENT_READ)\n"
        "print('ready', flush=True)\n"
        "while True:\n"
        "    for key, _ in s.select():\n"
        "        if not key.fileobj.recv(1 << 20):\n"
        "            sys.exit(1)\n"
    )
    host, _, port = server.ready["http"].removeprefix("http://").partition(":")
    command = on_core(GENERATOR, [sys.executable, "-c", code, host, port, server.ready["token"], str(count)])
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        if process.stdout.readline() != b"ready\n":
            raise RuntimeError("the stream's readers could not connect")
        yield
    finally:
        process.kill()
        process.wait()
