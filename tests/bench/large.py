"""How much memory it takes to convert a log that is far larger than that, in a stream, to Parquet; and how long.

Writes logs of `--gigabytes` into a temporary folder, one after the other, and gives each to `scan_log` in a process of
its own. `python tests/bench/large.py --markdown FILE`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import logs
import results

LIMIT = 1 << 30
PER_SECOND = 400
BODIES = 200_000
ROOM = 1.4
"""Free disk, as a share of the log, without which nothing is begun: the log and what becomes of it."""

CHILD = """
import json, resource, sys, time
begun = time.perf_counter()
from dnsnb.formats import scan_log
from dnsnb.formats.report import ImportReport
report = ImportReport()
relation = scan_log(sys.argv[1], cache=sys.argv[2], progress=False, report=report, tz="UTC", year=2026)
took = time.perf_counter() - begun
with open("/proc/self/status") as status:
    peak = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
rows = relation.aggregate("count(*)").fetchall()[0][0]
work = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({"seconds": took, "peak": peak + children, "rows": rows, "lines": report.lines,
                  "skipped": report.skipped, "work": work.ru_utime + work.ru_stime}))
"""


def bind(chance: random.Random, name: str, word: str) -> str:
    return (
        f" queries: info: client @0x7f{chance.getrandbits(24):06x} 192.0.2.{chance.randrange(250)}"
        f"#{chance.randrange(1024, 65536)} ({name}): query: {name} IN {word} +E(0)K (192.0.2.53)\n"
    )


def dnsmasq(chance: random.Random, name: str, word: str) -> str:
    pid = " dnsmasq[77]: "
    asked = f"{pid}query[{word}] {name} from 192.0.2.{chance.randrange(250)}\n"
    if chance.random() < 0.5:
        return asked + f"\0{pid}cached {name} is 198.51.100.{chance.randrange(250)}\n"
    return asked + f"\0{pid}forwarded {name} to 192.0.2.53\n\0{pid}reply {name} is 198.51.100.{chance.randrange(250)}\n"


FORMATS: dict[str, tuple[Callable[[random.Random, str, str], str], str]] = {
    "bind": (bind, "%d-%b-%Y %H:%M:%S.000"),
    "dnsmasq": (dnsmasq, "%b %e %H:%M:%S"),
}


def write(kind: str, path: Path, size: int) -> None:
    """Write a log of at least so many octets; one name in a hundred is asked once only."""
    body, stamp = FORMATS[kind]
    chance = random.Random(9)
    pool = logs.names(chance)
    words = [word for word, _ in logs.TYPES]
    bodies = [body(chance, chance.choice(pool), chance.choice(words)) for _ in range(BODIES)]
    now, written = 1_772_359_200, 0
    with path.open("w") as out:
        while written < size:
            head = time.strftime(stamp, time.gmtime(now))
            begin = chance.randrange(BODIES - PER_SECOND)
            lines = bodies[begin : begin + PER_SECOND]
            lines += [body(chance, f"x{chance.getrandbits(64):x}.example.net", "A") for _ in range(PER_SECOND // 100)]
            written += out.write(head + head.join(lines).replace("\0", head))
            now += 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=5.0)
    parser.add_argument("--only", nargs="*", choices=list(FORMATS))
    parser.add_argument("--folder", help="where the log is written (default: where temporary files are)")
    parser.add_argument("--markdown", help="put the table into this file")
    options = parser.parse_args()
    size = int(options.gigabytes * 1e9)
    out = [
        "| log | lines | k lines/s, processor time of a line | rows | peak memory | goal |",
        "|---|---|---|---|---|---|",
    ]
    worst = 0
    for kind in options.only or FORMATS:
        with tempfile.TemporaryDirectory(prefix="dnsnb-large-", dir=options.folder) as folder:
            free = shutil.disk_usage(folder).free
            if free < size * ROOM:
                print(f"{folder}: {free / 1e9:.1f} GB are free, {size * ROOM / 1e9:.1f} GB are needed", file=sys.stderr)
                return 2
            path = Path(folder) / "large.log"
            write(kind, path, size)
            environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
            done = subprocess.run(
                [sys.executable, "-c", CHILD, str(path), str(Path(folder) / "cache")],
                env=environment, stdout=subprocess.PIPE, check=True,
            )  # fmt: skip
            told = json.loads(done.stdout)
            assert not told["skipped"], told
            worst = max(worst, told["peak"])
            pace = f"{told['lines'] / told['seconds'] / 1e3:,.0f}, {told['work'] / told['lines'] * 1e6:.2f} µs of work"
            peak = f"**{told['peak'] >> 20:,} MiB** | < {LIMIT >> 20:,} MiB"
            log = f"{kind}, {path.stat().st_size / 1e9:.1f} GB"
            out.append(f"| {log} | {told['lines']:,} | {pace} | {told['rows']:,} | {peak} |")
            print(out[-1], flush=True)
    if options.markdown:
        text = "\n## Logs larger than memory, converted by scan_log\n\n" + "\n".join(out) + "\n"
        results.put(Path(options.markdown), "large", text)
    return int(worst > LIMIT)


if __name__ == "__main__":
    raise SystemExit(main())
