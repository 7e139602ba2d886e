"""DNS side by side: `make bench-dns`. Interleaved rounds, so that an hour's drift of the machine hits everybody alike.

Every server has one thread and the same upstream; the load generator takes the other core. Ours always logs each query
and has a client on its event stream; the others are measured with their logs on and off. Only ratios are compared.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import asker
import load
import scale
import servers
from load import Round
from servers import Running

BEGIN, END = "<!-- dns -->", "<!-- /dns -->"
GOALS = {
    ("cached", "dnsmasq, log on"): 3.0, ("cached", "unbound, log on"): 1.8, ("cached", "dnsmasq"): 1.2,
    ("cached", "unbound"): 1.0, ("cached", "dnslib's server"): 50.0, ("forwarded", "dnsmasq"): 1.3,
    ("forwarded", "unbound"): 1.5, ("forwarded", "dnsmasq, log on"): 1.3, ("forwarded", "unbound, log on"): 1.5,
}  # fmt: skip
OUTSTANDING_FORWARDED = 150  # what dnsmasq takes without losing any


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", help=", ".join(PARTS) + " (default: all)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of one round")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    parser.add_argument("--markdown", type=Path, help="put the tables into this file, between its marks")
    arguments = parser.parse_args()
    parts = arguments.parts or list(PARTS)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard if 0 < hard < 65_536 else max(soft, 65_536), hard))
    if (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(0, {servers.GENERATOR})
    found: dict[str, Any] = {"machine": machine(), "rounds": arguments.rounds, "seconds": arguments.seconds}
    with tempfile.TemporaryDirectory(prefix="dnsnb-bench-") as folder, ExitStack() as stack:
        up = stack.enter_context(servers.upstream(Path(folder)))
        for part in parts:
            began = time.monotonic()
            found[part] = PARTS[part](Path(folder), up.port, arguments.rounds, arguments.seconds)
            print(f"{part}: {time.monotonic() - began:.0f} s", file=sys.stderr)
    if "scale" in found and arguments.markdown:
        (arguments.markdown.parent / "scale.svg").write_text(scale.plot(found["scale"]))
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1))
    tables = as_markdown(found)
    print(tables)
    if arguments.markdown:
        put(arguments.markdown, tables)
    return 0


def put(path: Path, tables: str) -> None:
    """Replace what stands between the marks of a file, or the file when it has none."""
    held = path.read_text() if path.exists() else ""
    if BEGIN in held and END in held:
        before, after = held.split(BEGIN)[0], held.split(END)[1]
        path.write_text(f"{before}{BEGIN}\n{tables}\n{END}{after}")
    else:
        path.write_text(f"# Measured\n\n{BEGIN}\n{tables}\n{END}\n")


def machine() -> str:
    """What it was measured on."""
    model = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else ():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    return f"{os.cpu_count()} x {model}, {platform.system()} {platform.release()}, {servers.interpreter()[2]}"


def peers(folder: Path, port: int, stack: ExitStack) -> list[Running]:
    """Everybody, started."""
    return [
        stack.enter_context(servers.ours(port)),
        *(stack.enter_context(servers.dnsmasq(folder, port, log=log)) for log in (True, False)),
        *(stack.enter_context(servers.unbound(folder, port, log=log)) for log in (True, False)),
    ]


def interleaved(
    running: list[Running], rounds: int, drive: Callable[[Running, int], Round]
) -> dict[str, dict[str, float]]:
    """Round after round through all servers, beginning with another each time."""
    seen: dict[str, list[Round]] = {server.name: [] for server in running}
    for number in range(rounds):
        for server in running[number % len(running) :] + running[: number % len(running)]:
            seen[server.name].append(drive(server, number))
            print(f"  {server.name}: {seen[server.name][-1].qps:,.0f}", file=sys.stderr)
    told = {}
    for name, rounds_of in seen.items():
        qps, spread = load.middle(rounds_of)
        cpu = statistics.median(r.cpu for r in rounds_of)
        told[name] = {"qps": qps, "spread": spread, "lost": max(r.lost for r in rounds_of), "cpu": cpu}
    return told


def cached(folder: Path, port: int, rounds: int, seconds: float) -> dict[str, Any]:
    """A thousand names that everybody knows already."""
    names = load.write(folder / "cached", [f"name-{n}.cached.bench.net" for n in range(1000)])
    with ExitStack() as stack:
        running = peers(folder, port, stack)
        for server in running:
            load.drive(server, names, 0.5, outstanding=50)
        running.append(stack.enter_context(servers.echo()))
        return interleaved(running, rounds, lambda server, _: load.drive(server, names, seconds))


def by_blocks(folder: Path, port: int, rounds: int, seconds: float) -> dict[str, Any]:
    """The same by a generator of our own: dnsperf's core is full before a quick server's is."""
    names = load.write(folder / "blocks", asker.names(1000))
    with ExitStack() as stack:
        running = [*peers(folder, port, stack), stack.enter_context(servers.dnslib_server(port))]
        for server in running:
            load.drive(server, names, 0.5, outstanding=50)
        return interleaved(running, rounds, lambda server, _: load.blocks(server, 1000, seconds))


def one_asker(folder: Path, port: int, rounds: int, seconds: float) -> dict[str, Any]:
    """The same names, all asked by one (dnsperf's own choice); above it is twenty."""
    names = load.write(folder / "one", [f"name-{n}.cached.bench.net" for n in range(1000)])
    with ExitStack() as stack:
        running = peers(folder, port, stack)
        for server in running:
            load.drive(server, names, 0.5, outstanding=50)
        return interleaved(running, rounds, lambda server, _: load.drive(server, names, seconds, clients=1))


def forwarded(folder: Path, port: int, rounds: int, seconds: float) -> dict[str, Any]:
    """Names that nobody has asked for before: every one goes to the upstream."""
    count = int(150_000 * seconds)

    def drive(server: Running, number: int) -> Round:
        tag = f"{number}{abs(hash(server.name)) % 1000}"
        names = load.write(folder / "forwarded", [f"n{n}.{tag}.fresh.bench.net" for n in range(count)])
        return load.drive(server, names, seconds, outstanding=OUTSTANDING_FORWARDED)

    with ExitStack() as stack:
        return interleaved(peers(folder, port, stack), rounds, drive)


def blocked(folder: Path, port: int, rounds: int, seconds: float) -> dict[str, Any]:
    """Ten thousand names of a list of a million, beside ten thousand cached ones on the same server."""
    listed = scale.listed(folder, 1_000_000)
    chosen = random.Random(3).sample(range(1_000_000), 10_000)
    files = {
        "blocked": load.write(folder / "blocked", [scale.blocked_name(n) for n in chosen]),
        "cached": load.write(folder / "beside", [f"name-{n}.cached.bench.net" for n in range(10_000)]),
    }
    with ExitStack() as stack:
        server = stack.enter_context(servers.ours(port, config=listed))
        for names in files.values():
            load.once(server, names)
            load.drive(server, names, 0.5)
        kinds = [Running(kind, server.port, server.process) for kind in files]
        return interleaved(kinds, rounds, lambda kind, _: load.drive(kind, files[kind.name], seconds))


def latency(folder: Path, port: int, rounds: int, seconds: float) -> dict[str, Any]:
    """Cached names at a quarter of dnsmasq's best rate: the wait that one in a hundred is above, milliseconds."""
    names = load.write(folder / "calm", [f"name-{n}.cached.bench.net" for n in range(1000)])
    with ExitStack() as stack:
        running = [r for r in peers(folder, port, stack) if "log on" not in r.name]
        for server in running:
            load.drive(server, names, 0.5, outstanding=50)
        masq = next(r for r in running if r.name == "dnsmasq")
        rate = load.drive(masq, names, seconds).qps / 4
        seen: dict[str, list[float]] = {r.name: [] for r in running}
        for number in range(rounds):
            for server in running[number % len(running) :] + running[: number % len(running)]:
                seen[server.name].append(load.p99(load.waits(server, names, seconds, rate)))
        return {"rate": rate, **{name: sorted(values)[len(values) // 2] for name, values in seen.items()}}


PARTS: dict[str, Callable[[Path, int, int, float], dict[str, Any]]] = {
    "blocks": by_blocks, "cached": cached, "one asker": one_asker, "forwarded": forwarded,
    "blocked": blocked, "latency": latency, "scale": scale.scale,
}  # fmt: skip


def as_markdown(found: dict[str, Any]) -> str:
    """Return the figures as tables."""
    rounds = f"{found['rounds']} interleaved rounds of {found['seconds']:g} s, median ± spread"
    out = [f"{found['machine']}; {rounds}. Servers on one core, load and upstream on the other.", ""]
    titles = {
        "blocks": "cached",
        "cached": "cached, by dnsperf",
        "one asker": "cached, by dnsperf, all asked by one",
        "forwarded": "forwarded, by dnsperf",
    }
    for part, title in titles.items():
        if part in found:
            ours = found[part]["dnsnb"]["qps"]
            out += [
                f"### {title}",
                "",
                "| server | answers/s | dnsnb is | goal | CPU an answer |",
                "|---|---|---|---|---|",
            ]
            for name, told in found[part].items():
                goal = GOALS.get((part if part == "forwarded" else "cached", name))
                ratio = "" if name == "dnsnb" else f"{ours / told['qps']:.2f}x" if told["qps"] else "-"
                lost = f", {told['lost']:.1%} lost" if told["lost"] > 0.001 else ""
                shown = f"{told['qps']:,.0f} ± {told['spread']:.0%}{lost}"
                out.append(f"| {name} | {shown} | {ratio} | {f'>= {goal:g}x' if goal else ''} | {told['cpu']:.1f} µs |")
            out.append("")
    if "blocked" in found:
        told = found["blocked"]
        ratio = told["blocked"]["qps"] / told["cached"]["qps"]
        out += [
            "### blocked by a list of a million names",
            "",
            f"{told['blocked']['qps']:,.0f} answers/s, {ratio:.2f}x of as many cached ones there (goal >= 0.9x).",
            "",
        ]
    if "latency" in found:
        told = dict(found["latency"])
        rate = told.pop("rate")
        out += [
            f"### wait at {rate:,.0f} queries/s, one in a hundred is above",
            "",
            "| server | ms | dnsnb is |",
            "|---|---|---|",
        ]
        out += [f"| {n} | {v:.3f} | {_times(told['dnsnb'], v, n)} |" for n, v in told.items()]
        out += ["", "Goal against dnsmasq: <= 1.5x.", ""]
    if "scale" in found:
        out += scale.as_markdown(found["scale"])
    return "\n".join(out)


def _times(ours: float, value: float, name: str) -> str:
    return "" if name == "dnsnb" else f"{ours / value:.2f}x"


if __name__ == "__main__":
    sys.exit(main())
