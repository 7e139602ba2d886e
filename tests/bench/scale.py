"""What size costs in answers a second and memory: rules, cached names, rows of the log, readers of the stream."""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import Any

import load
import servers
from servers import Running

CACHE = "cache_entries = 2000000\ncache_bytes = 8589934592\n"
ROWS = "log_rows = 2000000\n"
COUNTS = (1_000, 100_000, 1_000_000)
CLIENTS = (1, 100, 1_000)
WORDS = {"rules": "rules", "names": "cached names", "rows": "rows of the log", "clients": "readers of the stream"}

#: kind -> size as text -> figures
Found = dict[str, dict[str, dict[str, float]]]


def scale(folder: Path, port: int, rounds: int, seconds: float) -> Found:
    """Measure each kind at each of its sizes."""
    calm = load.write(folder / "scale", [f"name-{n}.cached.bench.net" for n in range(1000)])
    return {
        "rules": {f"{n:,}": _rules(folder, port, n, calm, seconds) for n in (0, *COUNTS)},
        "names": {f"{n:,}": _names(folder, port, n, seconds) for n in COUNTS},
        "rows": _rows(folder, port, calm, seconds),
        "clients": {f"{n:,}": _clients(port, n, calm, seconds) for n in CLIENTS},
    }


def _rules(folder: Path, port: int, count: int, calm: Path, seconds: float) -> dict[str, float]:
    config = listed(folder, count) if count else None
    began = time.perf_counter()
    with servers.ours(port, config=config) as server:
        ready = time.perf_counter() - began
        load.drive(server, calm, 0.5)
        memory = server.memory_mb()
        return {"ready_s": ready, "memory_mb": memory, "qps": load.drive(server, calm, seconds).qps}


def _names(folder: Path, port: int, count: int, seconds: float) -> dict[str, float]:
    config = folder / "cache.toml"
    config.write_text(CACHE)
    names = load.write(folder / "names", [f"n{n}.many.bench.net" for n in range(count)])
    with servers.ours(port, config=config) as server:
        before = server.memory_mb()
        load.once(server, names)
        filled = server.memory_mb()
        qps = load.drive(server, names, seconds).qps
        return {"memory_mb": filled, "bytes_each": (filled - before) * 1e6 / count, "qps": qps}


def _rows(folder: Path, port: int, calm: Path, seconds: float) -> dict[str, dict[str, float]]:
    config = folder / "rows.toml"
    config.write_text(ROWS)
    told = {}
    with servers.ours(port, config=config) as server:
        load.drive(server, calm, 0.3)
        before, held = server.memory_mb(), 0
        for count in COUNTS:
            while held < count:
                took = min(seconds, max(0.1, (count - held) / 80_000))
                held += int(load.drive(server, calm, took).qps * took)
            qps = load.drive(server, calm, 1.0).qps
            held += int(qps)
            told[f"{count:,}"] = {"memory_mb": server.memory_mb(), "qps": qps}
            if held > 500_000:
                told[f"{count:,}"]["bytes_each"] = (server.memory_mb() - before) * 1e6 / held
    return told


def _clients(port: int, count: int, calm: Path, seconds: float) -> dict[str, float]:
    with servers.ours(port) as server:
        load.drive(server, calm, 0.5)
        if count == 1:
            return _driven(server, calm, seconds)
        with servers.stream_clients(server, count - 1):
            return _driven(server, calm, seconds)


def _driven(server: Running, calm: Path, seconds: float) -> dict[str, float]:
    qps = load.drive(server, calm, seconds).qps
    return {"memory_mb": server.memory_mb(), "qps": qps}


def blocked_name(number: int) -> str:
    """The name of a line of the list."""
    return f"host-{number}.site-{number % 9973}.example"


def listed(folder: Path, count: int) -> Path:
    """Write a hosts list of so many names, and the configuration that reads it."""
    lines = folder / f"list-{count}.hosts"
    if not lines.exists():
        lines.write_text("".join(f"0.0.0.0 {blocked_name(n)}\n" for n in range(count)))
    config = folder / f"list-{count}.toml"
    config.write_text(f'[[lists]]\nname = "bench"\npath = "{lines}"\n')
    return config


def as_markdown(found: Found) -> list[str]:
    """Return the figures as the lines of a table."""
    out = ["### what size costs", "", "| | cached answers/s | memory | each | ready after |", "|---|---|---|---|---|"]
    for kind, sizes in found.items():
        for size, t in sizes.items():
            each = f"{t['bytes_each']:,.0f} bytes" if "bytes_each" in t else ""
            ready = f"{t['ready_s']:.1f} s" if "ready_s" in t else ""
            out.append(f"| {size} {WORDS[kind]} | {t['qps']:,.0f} | {t['memory_mb']:,.0f} MB | {each} | {ready} |")
    return [*out, "", "![Answers a second and memory by size](scale.svg)", ""]


def plot(found: Found) -> str:
    """Return the figures as SVG: a panel a kind, answers a second above and memory below, by size."""
    width, height, left = 190, 110, 46
    kinds = list(found)
    most = {
        "qps": max(t["qps"] for sizes in found.values() for t in sizes.values()),
        "memory_mb": max(t["memory_mb"] for sizes in found.values() for t in sizes.values()),
    }
    size = f'width="{left + width * len(kinds)}" height="{2 * height + 50}"'
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="10">',
        '<rect width="100%" height="100%" fill="#fff"/>',
    ]
    for (column, kind), (row, (key, unit)) in itertools.product(
        enumerate(kinds), enumerate((("qps", "answers/s"), ("memory_mb", "MB")))
    ):
        top, at = 20 + row * (height + 14), left + column * width
        sizes = list(found[kind].items())
        step = (width - 40) / max(1, len(sizes) - 1)
        points = [
            (at + 10 + n * step, top + height - 20 - t[key] / most[key] * (height - 36))
            for n, (_, t) in enumerate(sizes)
        ]
        if row == 0:
            out.append(f'<text x="{at}" y="14" font-weight="bold">{WORDS[kind]}</text>')
        if column == 0:
            middle = top + height / 2
            out.append(f'<text x="12" y="{middle}" transform="rotate(-90 12 {middle})">{unit}</text>')
        base = top + height - 20
        out.append(f'<path d="M{at} {base}h{width - 20}" stroke="#999"/>')
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        out.append(f'<polyline points="{line}" fill="none" stroke="#2563a8" stroke-width="1.5"/>')
        for (x, y), (size, t) in zip(points, sizes, strict=True):
            out.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="#2563a8"/>')
            out.append(f'<text x="{x:.1f}" y="{y - 5:.1f}" text-anchor="middle" fill="#2563a8">{_short(t[key])}</text>')
            out.append(f'<text x="{x:.1f}" y="{base + 11}" text-anchor="middle">{_short(size)}</text>')
    return "\n".join([*out, "</svg>\n"])


def _short(value: Any) -> str:
    number = float(str(value).replace(",", ""))
    for least, letter in ((1e6, "M"), (1e3, "k")):
        if number >= least:
            return f"{number / least:.3g} {letter}"
    return f"{number:.3g}"
