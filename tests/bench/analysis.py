"""How fast logs are analysed: ten million rows by each library, a million names, and 100 million rows in 4 GB.

Makes its data itself (seeded). `python tests/bench/analysis.py --markdown FILE`; about five minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from dnsnb import analysis, schema
from dnsnb.formats import scan_log

NAMES = 200_000
CLIENTS = 500
GROUP = 1_000_000
BASE = 1_772_323_200_000_000
MARK = "analysis"
LARGE_GB = 4.0

ASKED: dict[str, Callable[[Any], Any]] = {
    "rate by minute and status": lambda frame: analysis.rate(frame, "1min", by="status"),
    "top 20 names, with distinct clients": lambda frame: analysis.top(frame, "qname", 20),
    "top 20 clients": lambda frame: analysis.top(frame, "client", 20),
    "latency percentiles by upstream": lambda frame: analysis.latency(frame),
    "answers": lambda frame: analysis.rcodes(frame),
    "hit ratio": lambda frame: analysis.cache_hits(frame),
}
#: those that the goal is for
GOALS = ("rate by minute and status", "top 20 names, with distinct clients", "latency percentiles by upstream")
GOAL_S = 2.0


def made_names(count: int, seed: int = 3) -> list[str]:
    """Distinct names such as a network asks for: hosts below domains below public suffixes."""
    chance = random.Random(seed)
    hosts = ["www", "api", "cdn", "mail", "img", "static.assets", "edge-7", "telemetry", "login", "a.b.c"]
    tops = ["com"] * 6 + ["net", "org", "de", "co.uk", "io", "com.br", "github.io", "example"]
    letters = "abcdefghijklmnopqrstuvwxyz0123456789-"
    made = []
    for number in range(count):
        word = "".join(chance.choices(letters[:36], k=chance.randint(4, 14)))
        made.append(f"{hosts[number % 10]}.{word}{number % 997:x}.{tops[number * 7 % len(tops)]}")
    return made


def groups(rows: int) -> Iterator[pa.Table]:
    """Yield a log in tables of a million rows: the same questions again and again, at later times."""
    chance = np.random.default_rng(7)
    names = pa.array(made_names(NAMES))
    clients = pa.array([f"10.{n // 65536}.{n // 256 % 256}.{n % 256}" for n in range(CLIENTS)])
    size = min(GROUP, rows)

    def coded(values: list[str], share: list[float]) -> pa.Array:
        picked = chance.choice(len(values), size, p=share).astype(np.int32)
        return pa.DictionaryArray.from_arrays(pa.array(picked), pa.array(values))

    statuses = ["forwarded", "cached", "blocked", "failed"]
    status = coded(statuses, [0.5, 0.33, 0.16, 0.01])
    forwarded = status.indices.to_numpy() == 0
    columns: dict[str, Any] = {
        "client": clients.take(pa.array(np.minimum(chance.zipf(1.3, size) - 1, CLIENTS - 1))),
        "transport": coded(["udp", "tcp"], [0.98, 0.02]),
        "qname": names.take(pa.array(np.minimum(chance.zipf(1.25, size) - 1, NAMES - 1))),
        "qtype": coded(["A", "AAAA", "HTTPS", "PTR"], [0.5, 0.3, 0.18, 0.02]),
        "qclass": coded(["IN"], [1.0]),
        "rcode": coded(["NOERROR", "NXDOMAIN", "SERVFAIL"], [0.9, 0.09, 0.01]),
        "status": status,
        "upstream": pa.DictionaryArray.from_arrays(
            pa.array(chance.integers(0, 2, size).astype(np.int32), mask=~forwarded),
            pa.array(["192.0.2.53", "198.51.100.53"]),
        ),
        "latency_ms": pa.array(np.where(forwarded, chance.lognormal(2.6, 0.6, size), 0.05).astype(np.float32)),
        "ttl": pa.array(chance.integers(1, 3600, size).astype(np.int32)),
        "source": coded(["bench"], [1.0]),
    }
    steps = np.cumsum(chance.integers(0, 2 * 864, size)).astype(np.int64)  # some 1,150 rows a second
    for number in range(max(1, rows // size)):
        columns["time"] = pa.array(BASE + number * int(steps[-1]) + steps).cast(pa.timestamp("us", "UTC"))
        columns["id"] = pa.array(np.arange(number * size, (number + 1) * size))
        wanted = schema.arrow_schema()
        yield pa.Table.from_arrays(
            [columns[f.name] if f.name in columns else pa.nulls(size, f.type) for f in wanted], schema=wanted
        )


def written(path: Path, rows: int) -> Path:
    with pq.ParquetWriter(path, schema.arrow_schema(), compression="zstd", compression_level=1) as out:
        for number, table in enumerate(groups(rows)):
            out.write_table(table, row_group_size=GROUP)
            if number % 10 == 9:
                print(f"  {(number + 1) * GROUP:,} rows written", flush=True)
    return path


def libraries(path: Path) -> dict[str, Callable[[], Any]]:
    """The same rows as each library has them; made when they are called for."""

    def pandas() -> Any:
        return schema.to_frame(pq.read_table(path))

    def polars() -> Any:
        import polars

        return polars.scan_parquet(path)

    return {"scan_log (DuckDB on Parquet)": lambda: scan_log(path, progress=False), "Polars on Parquet": polars,
            "pandas, in memory": pandas}  # fmt: skip


def timed(work: Callable[[], Any], rounds: int) -> float:
    best = float("inf")
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - began)
    return best


def measure_libraries(path: Path, rows: int, rounds: int) -> list[str]:
    found: dict[str, dict[str, float]] = {question: {} for question in ASKED}
    libs = libraries(path)
    for library, make in libs.items():
        frame = make()
        for question, ask in ASKED.items():
            found[question][library] = timed(lambda ask=ask, frame=frame: ask(frame), rounds)
            print(f"  {library}: {question}: {found[question][library]:.2f} s", flush=True)
        del frame
    head = f"| seconds for {rows:,} rows | " + " | ".join(libs) + " | goal |"
    out = [head, "|---" * (len(libs) + 2) + "|"]
    for question, times in found.items():
        shown = " | ".join(f"{times[library]:.2f}" for library in libs)
        out.append(f"| {question} | {shown} | {f'< {GOAL_S:.0f} s' if question in GOALS else ''} |")
    return out


def measure_names(count: int, rounds: int) -> list[str]:
    from dnsnb import names

    made = list(dict.fromkeys(made_names(count + count // 20)))[:count]
    column = pa.array(made)
    domains = timed(lambda: names.registered_domain(made), rounds)
    spread = timed(lambda: names.entropy(column), rounds)
    out = [
        f"| names ({len(made):,} distinct) | measured | goal |",
        "|---|---|---|",
        f"| registered domain | {domains:.2f} s | < 1.5 s |",
        f"| entropy | {len(made) / spread / 1e6:.1f} M names/s | >= 1.6 M names/s |",
    ]
    print("\n".join(out[2:]), flush=True)
    return out


def ask_all(path: str) -> None:
    """What the child process does: every question of a log by `scan_log`, and how much memory that took."""
    frame = scan_log(path, progress=False)
    times = {}
    for question, ask in ASKED.items():
        began = time.perf_counter()
        ask(frame)
        times[question] = time.perf_counter() - began
        print(f"  {question}: {times[question]:.1f} s", file=sys.stderr, flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(json.dumps({"times": times, "peak_gb": peak}))


def measure_large(folder: Path, rows: int) -> list[str]:
    path = written(folder / "large.parquet", rows)
    size = path.stat().st_size / 1e9
    print(f"  {rows:,} rows, {size:.1f} GB on disk", flush=True)
    try:
        ran = subprocess.run(
            [sys.executable, __file__, "--child", str(path)], stdout=subprocess.PIPE, text=True, check=True, timeout=600
        )
    finally:
        path.unlink()
    told = json.loads(ran.stdout)
    memory = f"at most **{told['peak_gb']:.2f} GB** of memory (goal: {LARGE_GB:.0f} GB)"
    out = [
        f"A Parquet file of {rows:,} rows ({size:.1f} GB) through `scan_log`: {memory}.",
        "",
        f"| seconds for {rows:,} rows | scan_log |",
        "|---|---|",
    ]
    return out + [f"| {question} | {seconds:.1f} |" for question, seconds in told["times"].items()]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--large", type=int, default=100_000_000, help="rows of the large log; 0: none")
    parser.add_argument("--names", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--markdown", help="put the tables into this file")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        ask_all(options.child)
        return 0
    blocks = []
    with tempfile.TemporaryDirectory(prefix="dnsnb-bench-") as name:
        folder = Path(name)
        need = (options.rows + options.large) * 40  # octets a row, more than it takes
        if shutil.disk_usage(folder).free < need:
            print(f"{folder} has less than {need / 1e9:.0f} GB left; give less rows", file=sys.stderr)
            return 2
        print(f"{options.rows:,} rows", flush=True)
        blocks.append(measure_libraries(written(folder / "log.parquet", options.rows), options.rows, options.rounds))
        print(f"{options.names:,} names", flush=True)
        blocks.append(measure_names(options.names, options.rounds))
        if options.large:
            print(f"{options.large:,} rows", flush=True)
            blocks.append(measure_large(folder, options.large))
    text = (
        f"## Analysing logs\n\n{os.cpu_count()} cores, best of {options.rounds} rounds.\n\n"
        + "\n\n".join("\n".join(block) for block in blocks)
        + "\n"
    )
    print(text)
    if options.markdown:
        put(Path(options.markdown), text)
    return 0


def put(target: Path, text: str) -> None:
    """Put a block in the place of the old one, or at the end; what others measured stays."""
    old = target.read_text(encoding="utf-8") if target.exists() else ""
    begin, end = f"<!-- {MARK} -->", f"<!-- /{MARK} -->"
    block = f"{begin}\n{text}\n{end}"
    if begin in old and end in old:
        head, rest = old.split(begin, 1)
        target.write_text(head + block + rest.split(end, 1)[1], encoding="utf-8")
    else:
        target.write_text(f"{old.rstrip()}\n\n{block}\n".lstrip(), encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
