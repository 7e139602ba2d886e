"""dnsperf's load and what it says: queries a second, what was lost, and the wait of each query."""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from servers import GENERATOR, Running, on_core, program


class Round(NamedTuple):
    """One round: answers a second, the share of queries that were lost, the server's processor time an answer (µs)."""

    qps: float
    lost: float
    cpu: float


def drive(server: Running, names: Path, seconds: float, *, outstanding: int = 200, clients: int = 20) -> Round:
    """Ask as fast as the server answers."""
    before = server.cpu_seconds()
    said = _dnsperf(server, names, ["-l", str(seconds), "-q", str(outstanding), "-c", str(clients)])
    spent = server.cpu_seconds() - before
    sent, lost = _number(said, r"Queries sent:\s+(\d+)"), _number(said, r"Queries lost:\s+(\d+)")
    qps, answered = _number(said, r"Queries per second:\s+([\d.]+)"), max(1.0, sent - lost)
    return Round(qps, lost / sent if sent else 1.0, spent / answered * 1e6)


def blocks(server: Running, count: int, seconds: float, *, outstanding: int = 160, clients: int = 20) -> Round:
    """The same by asker.py, which costs less than what it loads: `clients` with as many queries each under way."""
    command = [sys.executable, str(Path(__file__).with_name("asker.py")), f"127.0.0.1:{server.port}"]
    command += ["--seconds", str(seconds), "--names", str(count)]
    command += ["--sockets", str(clients), "--block", str(outstanding // clients)]
    before = server.cpu_seconds()
    done = subprocess.run(on_core(GENERATOR, command), capture_output=True, text=True, check=True, timeout=120)
    spent, told = server.cpu_seconds() - before, json.loads(done.stdout)
    answered = max(1, told["answered"])
    return Round(answered / told["seconds"], told["lost"] / max(1, told["sent"]), spent / answered * 1e6)


def once(server: Running, names: Path, *, outstanding: int = 200) -> None:
    """Ask for every name once."""
    _dnsperf(server, names, ["-n", "1", "-q", str(outstanding), "-c", "20"])


def waits(server: Running, names: Path, seconds: float, rate: float) -> list[float]:
    """Ask at a rate; each answered query's wait in milliseconds, sorted."""
    said = _dnsperf(server, names, ["-l", str(seconds), "-Q", str(int(rate)), "-q", "200", "-c", "20", "-v"])
    return sorted(float(x) * 1000 for x in re.findall(r"^> NOERROR \S+ \S+ ([\d.]+)", said, re.MULTILINE))


def p99(values: Sequence[float]) -> float:
    """The value that one in a hundred is above."""
    return values[int(len(values) * 0.99)] if values else float("nan")


def middle(rounds: Sequence[Round]) -> tuple[float, float]:
    """Median queries a second, and the spread: half the distance between quartiles, as a share of the median."""
    values = sorted(r.qps for r in rounds)
    median = statistics.median(values)
    if len(values) < 3:
        return median, 0.0
    quartiles = statistics.quantiles(values, n=4)
    return median, (quartiles[2] - quartiles[0]) / 2 / median


def _dnsperf(server: Running, names: Path, arguments: list[str]) -> str:
    command = [program("dnsperf"), "-s", "127.0.0.1", "-p", str(server.port), "-d", str(names), "-t", "2", *arguments]
    command = on_core(GENERATOR, command)
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False).stdout


def _number(text: str, pattern: str) -> float:
    found = re.search(pattern, text)
    return float(found.group(1)) if found else 0.0


def write(path: Path, names: list[str]) -> Path:
    """Write names as dnsperf reads them."""
    path.write_text("".join(f"{name} A\n" for name in names))
    return path
