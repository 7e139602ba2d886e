"""From the question to the row in a notebook's frame: `make bench-frame`. Costs are told as processor time a row too.

Each part runs in a process of its own, with an upstream of its own; nothing but this project is measured.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

HERE = Path(__file__).parent
BEGIN, END = "<!-- frame -->", "<!-- /frame -->"
UPSTREAM = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("127.0.0.1", 0))
print(s.getsockname()[1], flush=True)
while True:
    q, a = s.recvfrom(600)
    end = q.index(b"\\0", 12) + 5
    head, answer = bytes.fromhex("81800001000100000000"), bytes.fromhex("c00c000100010000012c0004c0000201")
    s.sendto(q[:2] + head + q[12:end] + answer, a)
"""


@contextmanager
def session(where: str, **settings: Any) -> Iterator[Any]:
    """A session of a server in front of an upstream that knows every name."""
    import dnsnb

    upstream = subprocess.Popen([sys.executable, "-c", UPSTREAM], stdout=subprocess.PIPE, text=True)
    try:
        assert upstream.stdout is not None
        address = f"127.0.0.1:{upstream.stdout.readline().strip()}"
        with dnsnb.start(name="bench", where=where, upstreams=[address], **settings) as made:  # type: ignore[arg-type]
            yield made
    finally:
        upstream.kill()
        upstream.wait()


def ask(dns: str, seconds: float, rate: float = 0.0) -> dict[str, float]:
    """Let the generator ask, and return what it says."""
    command = [sys.executable, str(HERE / "asker.py"), dns, "--seconds", str(seconds), "--rate", str(rate)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 30)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def cpu(process: psutil.Process) -> float:
    """Seconds of processor that a process has used."""
    times = process.cpu_times()
    return float(times.user + times.system)


def rows(seconds: float) -> dict[str, Any]:
    """The live frame alone: a million rows such as the server sends, then snapshots."""
    import orjson

    from dnsnb.client.liveframe import LiveFrame

    size = 500
    same: dict[str, Any] = {
        "transport": "udp", "qtype": "A", "qclass": "IN", "rcode": "NOERROR", "flags": "qr rd ra", "status": "cached",
        "client": "127.0.0.1", "ttl": 300, "query_bytes": 33, "response_bytes": 49,
    }  # fmt: skip
    raws = []
    for first in range(0, 20 * size, size):
        numbers = range(first, first + size)
        batch = {name: [value] * size for name, value in same.items()}
        batch |= {"time": [1_700_000_000_000_000 + 37 * i for i in numbers], "id": list(numbers)}
        batch |= {
            "qname": [f"host-{i % 5000}.bench.example" for i in numbers],
            "latency_ms": [i % 90 / 8 for i in numbers],
        }
        batch["answers"] = [[f"198.51.100.{i % 250}"] for i in numbers]
        raws.append(orjson.dumps(batch))
    warm = LiveFrame()
    warm.extend(orjson.loads(raws[0]))
    warm.snapshot()
    live = LiveFrame()
    gc.collect()
    process = psutil.Process()
    before = process.memory_info().rss
    decode = extend = 0.0
    for i in range(2000):
        began = time.thread_time()
        columns = orjson.loads(raws[i % 20])
        between = time.thread_time()
        live.extend(columns)
        extend += time.thread_time() - between
        decode += between - began
    without = process.memory_info().rss
    frame = live.snapshot()
    held = process.memory_info().rss
    unchanged, after = [], []
    for _ in range(10):
        for i in range(20):
            live.extend(orjson.loads(raws[i]))
        began = time.perf_counter()
        frame = live.snapshot()
        between = time.perf_counter()
        live.snapshot()
        after.append((between - began) * 1e3)
        unchanged.append((time.perf_counter() - between) * 1e3)
    return {
        "decode_us": decode, "extend_us": extend, "rows": len(frame), "bytes_a_row": (without - before) / 1e6,
        "bytes_a_row_with_frame": (held - before) / 1e6, "after_10k_ms": statistics.median(after),
        "unchanged_ms": statistics.median(unchanged),
    }  # fmt: skip


def end_to_end(where: str, seconds: float) -> dict[str, Any]:
    """As fast as the server answers; every question that was answered must become a row."""
    with session(where) as made:
        dns = made.status["dns"]
        kernel = psutil.Process()
        server = psutil.Process(made.handle.pid) if made.handle.pid else kernel
        warm = ask(dns, 1.0)
        end = time.monotonic() + 10
        while made.live.total < warm["answered"] and time.monotonic() < end:
            time.sleep(0.05)
        first, cpu_kernel, cpu_server = made.live.total, cpu(kernel), cpu(server)
        asked = ask(dns, seconds)
        end = time.monotonic() + 10
        while made.live.total - first < asked["answered"] and time.monotonic() < end:
            time.sleep(0.01)
        count = made.live.total - first
        a_row = 1e6 / max(1, count)
        told = {
            "rows_a_second": count / asked["seconds"], "asked": asked["sent"], "answered": asked["answered"],
            "rows": count, "dropped": asked["sent"] - count, "kernel_us": (cpu(kernel) - cpu_kernel) * a_row,
            "generator_us": asked["cpu_s"] * a_row,
        }  # fmt: skip
        if server is not kernel:
            told["server_us"] = (cpu(server) - cpu_server) * a_row
        return told


def arrival(seconds: float) -> dict[str, Any]:
    """At 1,000 queries a second: from the question's time in the log to its row in the frame."""
    waits: list[float] = []
    with session("process") as made:
        dns = made.status["dns"]
        ask(dns, 1.0)
        time.sleep(0.5)

        class Sink:
            def extend(self, columns: dict[str, list[Any]]) -> None:
                now = time.time() * 1e6
                waits.extend((now - at) / 1e3 for at in columns["time"])

            def update(self, frame: Any) -> None:
                pass

        watch = made.live.pass_on(Sink())
        ask(dns, seconds, 1000.0)
        time.sleep(0.3)
        watch.close()
    waits.sort()
    return {"rows": len(waits), "median_ms": statistics.median(waits), "p99_ms": waits[int(len(waits) * 0.99)]}


def start(_seconds: float) -> dict[str, Any]:
    """A fresh interpreter: import, and `start()` up to the first answer."""
    code = (
        "import sys, time; a = time.perf_counter(); import dnsnb; b = time.perf_counter()\n"
        "s = dnsnb.start(where=sys.argv[1], upstreams=['127.0.0.1:9'], blacklist=['x.test'])\n"
        "r = s.query('x.test'); c = time.perf_counter(); print(b - a, c - b, flush=True); s.close()"
    )
    told: dict[str, Any] = {}
    for where in ("thread", "process"):
        runs = []
        for _ in range(4):
            done = subprocess.run([sys.executable, "-c", code, where], capture_output=True, text=True, check=True)
            runs.append([float(x) for x in done.stdout.split()])
        told["import_ms"] = min(r[0] for r in runs) * 1e3
        told[f"start_{where}_s"] = statistics.median(r[1] for r in runs[1:])  # the first fills the disk's cache
    return told


def idle(seconds: float) -> dict[str, Any]:
    """Processor time of kernel and server while a dashboard is open and nothing is asked."""
    with session("process") as made:
        view = made.dashboard
        view._on_message({"t": "hello", "visible": True})
        time.sleep(2)
        both = [psutil.Process(), psutil.Process(made.handle.pid)]
        before = [cpu(p) for p in both]
        time.sleep(seconds)
        kernel, server = ((cpu(p) - b) / seconds * 100 for p, b in zip(both, before, strict=True))
    return {"kernel_percent": kernel, "server_percent": server}


def busy(seconds: float) -> dict[str, Any]:
    """The wait of one in a hundred at 1,000 queries a second, while the notebook rests and while it computes."""
    told: dict[str, list[float]] = {"resting": [], "computing": []}
    with session("process") as made:
        dns = made.status["dns"]
        ask(dns, 1.0, 1000.0)
        for _ in range(3):
            told["resting"].append(ask(dns, seconds / 6, 1000.0)["p99_ms"])
            over = threading.Event()

            def asking(over: threading.Event = over) -> None:
                told["computing"].append(ask(dns, seconds / 6, 1000.0)["p99_ms"])
                over.set()

            asker = threading.Thread(target=asking)
            asker.start()
            while not over.is_set():
                sum(i * i for i in range(10_000))
            asker.join()
    return {f"{name}_p99_ms": statistics.median(values) for name, values in told.items()}


def stream(form: str, seconds: float) -> dict[str, Any]:
    """Fifty clients over sockets, beside the session's own; deliveries as the server counts what it has written."""
    with session("process") as made:
        url = urlsplit(made.status["http"])
        readers = subprocess.Popen(
            [sys.executable, __file__, "--read", f"{url.hostname}:{url.port}", made.token, form], stdout=subprocess.PIPE
        )
        try:
            end = time.monotonic() + 10
            while made.client.request("GET", "/api/sse/stats")["connections"] < 51 and time.monotonic() < end:
                time.sleep(0.1)
            ask(made.status["dns"], 0.5, 100.0)
            before = made.client.request("GET", "/api/sse/stats")
            began = time.monotonic()
            asked = ask(made.status["dns"], seconds)
            after = made.client.request("GET", "/api/sse/stats")
            took = time.monotonic() - began
            seen = [{key: at[key] for key in ("connections", "rejected", "stalled")} for at in (before, after)]
            if any(at["connections"] != 51 for at in seen):
                raise RuntimeError(f"not 51 streams at start and end: {seen}; the readers ended by {readers.poll()}")
        finally:
            readers.kill()
            readers.wait()
        sent = after["channels"]["dns/log/event"]["sent"] - before["channels"]["dns/log/event"]["sent"]
        return {
            "deliveries_a_second": sent / took, "rows_a_second": asked["answered"] / took,
            "dropped": after["dropped"] - before["dropped"],
        }  # fmt: skip


def read_streams(address: str, token: str, form: str) -> None:
    """Be fifty clients that take whatever comes, until killed."""
    host, _, port = address.rpartition(":")
    chosen = selectors.DefaultSelector()
    for _ in range(50):
        sock = socket.create_connection((host, int(port)))
        sock.sendall(
            f"GET /api/sse/stream?channels=dns/log/event&batch={int(form == 'batch')} HTTP/1.1\r\nHost: {address}\r\n"
            f"Authorization: Bearer {token}\r\n\r\n".encode()
        )
        chosen.register(sock, selectors.EVENT_READ)
    room = bytearray(1 << 20)
    while True:
        for key, _ in chosen.select():
            assert isinstance(key.fileobj, socket.socket)
            if not key.fileobj.recv_into(room):
                chosen.unregister(key.fileobj)


PARTS: dict[str, tuple[Callable[[float], dict[str, Any]], float]] = {
    "rows": (rows, 0),
    "process": (lambda s: end_to_end("process", s), 30),
    "thread": (lambda s: end_to_end("thread", s), 30),
    "arrival": (arrival, 8),
    "start": (start, 0),
    "idle": (idle, 15),
    "busy": (busy, 24),
    "batches": (lambda s: stream("batch", s), 8),
    "single": (lambda s: stream("single", s), 8),
}

#: part, figure, what it is, its goal, how it is shown
TABLE = (
    ("process", "rows_a_second", "UDP query to row in the frame, server in a subprocess", ">= 100,000/s", "{:,.0f}/s"),
    ("process", "dropped", "of these, dropped in 30 s", "0", "{:,.0f}"),
    ("thread", "rows_a_second", "the same, server in the kernel's own thread", ">= 60,000/s", "{:,.0f}/s"),
    ("thread", "dropped", "of these, dropped in 30 s", "0", "{:,.0f}"),
    ("arrival", "median_ms", "arrival to row in the frame at 1 k queries/s, median", "<= 150 ms", "{:.0f} ms"),
    ("rows", "unchanged_ms", "`session.frame` of 1 M rows, unchanged", "<= 5 ms", "{:.2f} ms"),
    ("rows", "after_10k_ms", "the same after 10 k new rows", "<= 100 ms", "{:.0f} ms"),
    ("rows", "bytes_a_row", "memory of the live frame, resident bytes a row", "<= 120", "{:.0f}"),
    ("rows", "bytes_a_row_with_frame", "the same with a frame given out", "", "{:.0f}"),
    ("start", "import_ms", "`import dnsnb`", "<= 100 ms", "{:.0f} ms"),
    ("start", "start_thread_s", "`dnsnb.start()` to first answer, thread", "<= 1 s", "{:.2f} s"),
    ("start", "start_process_s", "the same, process", "<= 1 s", "{:.2f} s"),
    ("idle", "kernel_percent", "CPU with an idle dashboard, kernel", "<= 0.5 %", "{:.2f} %"),
    ("idle", "server_percent", "the same, server", "<= 0.5 %", "{:.2f} %"),
    ("busy", "resting_p99_ms", "p99 of answers, notebook resting", "", "{:.2f} ms"),
    ("busy", "computing_p99_ms", "the same, notebook busy in Python", "unchanged", "{:.2f} ms"),
    ("batches", "deliveries_a_second", "stream to 50 clients, batches", ">= 2,000,000/s", "{:,.0f}/s"),
    ("single", "deliveries_a_second", "stream to 50 clients, single events", ">= 700,000/s", "{:,.0f}/s"),
    ("rows", "decode_us", "processor time: a row from JSON", "", "{:.2f} µs"),
    ("rows", "extend_us", "processor time: a row into the live frame", "", "{:.2f} µs"),
    ("process", "server_us", "processor time: server, a query from socket to stream", "", "{:.2f} µs"),
    ("process", "kernel_us", "processor time: kernel, a row from stream to frame", "", "{:.2f} µs"),
    ("thread", "kernel_us", "processor time: both in one process", "", "{:.2f} µs"),
    ("process", "generator_us", "processor time: the load generator", "", "{:.2f} µs"),
)  # fmt: skip


def as_markdown(found: dict[str, dict[str, Any]]) -> str:
    """Return the figures beside their goals."""
    lines = ["## From the question to the frame", "", f"{os.cpu_count()} cores; no peers, so absolute figures.", ""]
    lines += ["| work | measured | goal |", "|---|---|---|"]
    for part, figure, what, goal, shown in TABLE:
        if figure in found.get(part, {}):
            lines.append(f"| {what} | {shown.format(found[part][figure])} | {goal} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", help=", ".join(PARTS))
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--read", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, help="of each part that takes time (default: its own)")
    parser.add_argument("--markdown", type=Path, help="put the table into this file, between its marks")
    given = parser.parse_args()
    if given.read:
        read_streams(*given.read)
    if given.one:
        function, seconds = PARTS[given.one]
        print(json.dumps(function(given.seconds or seconds)))
        return 0
    found: dict[str, dict[str, Any]] = {}
    for part in given.parts or PARTS:
        command = [sys.executable, __file__, "--one", part]
        command += ["--seconds", str(given.seconds)] if given.seconds else []
        with tempfile.TemporaryFile() as errors:
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=errors, text=True, timeout=180, check=False)
            if done.returncode:
                errors.seek(0)
                print(f"{part} failed:\n{errors.read().decode()[-2000:]}", file=sys.stderr)
                continue
        found[part] = json.loads(done.stdout.splitlines()[-1])
        told = ", ".join(f"{k} {v:,.2f}" for k, v in found[part].items())
        print(f"  {part}: {told}", file=sys.stderr, flush=True)
    text = as_markdown(found)
    print(text)
    if given.markdown:
        held = given.markdown.read_text() if given.markdown.exists() else "# Measured\n"
        block = f"{BEGIN}\n{text}{END}"
        if BEGIN in held and END in held:
            held = held.split(BEGIN)[0] + block + held.split(END)[1]
        else:
            held = f"{held.rstrip()}\n\n{block}\n"
        given.markdown.write_text(held)
    return 0 if len(found) == len(given.parts or PARTS) else 1


if __name__ == "__main__":
    sys.exit(main())
