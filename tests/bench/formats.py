"""How fast logs are read, beside the tools that people use for the same file, in one run, rounds interleaved.

Makes its logs itself (seeded); peers that are not installed are left out. `python tests/bench/formats.py --markdown
FILE`.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import re
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import logs
import results

sys.path[0] = str(Path(__file__).resolve().parents[2])  # dns.py of this folder stands before the package dns

#: what a log must be read at, rows a second on two cores
BARS = {
    "zeek": 1_000_000,
    "zeek-json": 500_000,
    "bind": 500_000,
    "dnsmasq": 500_000,
    "pihole-ftl": 900_000,
    "adguard": 300_000,
    "pcap": 300_000,
}


# --- peers: each takes the path and returns how many rows it got ---


def zat_frame(path: Path) -> int:
    from zat.log_to_dataframe import LogToDataFrame

    return len(LogToDataFrame().create_dataframe(str(path)))


def pandas_tsv(path: Path) -> int:
    import pandas as pd

    return len(pd.read_csv(path, sep="\t", comment="#", header=None, na_values="-"))


def arrow_tsv(path: Path) -> int:
    import pyarrow.csv as pcsv

    table = pcsv.read_csv(
        path,
        read_options=pcsv.ReadOptions(skip_rows=8, autogenerate_column_names=True),
        parse_options=pcsv.ParseOptions(delimiter="\t"),
    )
    return len(table)


def arrow_json(path: Path) -> int:
    import pyarrow.json as pj

    return len(pj.read_json(path))


def loads_json(path: Path) -> int:
    with path.open() as lines:
        return len([json.loads(line) for line in lines])


_BIND = re.compile(
    r"^(\S+ \S+) .*?client (?:@\S+ )?([^#]+)#(\d+) \([^)]*\): query: (\S+) (\S+) (\S+) (\S+) \(([^)]*)\)"
)


_DNSMASQ = re.compile(
    r"^(\w{3} [ \d]\d [\d:]{8}) dnsmasq\[(\d+)\]: (query\[\w+\]|forwarded|cached|reply) (\S+) (from|to|is) (\S+)$"
)


def regex_loop(pattern: re.Pattern[str]) -> Callable[[Path], int]:
    def read(path: Path) -> int:
        with path.open() as lines:
            return len([m.groups() for line in lines if (m := pattern.match(line))])

    return read


def polars_extract(pattern: re.Pattern[str]) -> Callable[[Path], int]:
    def read(path: Path) -> int:
        import polars as pl

        lines = pl.Series(path.read_text().splitlines())
        return len(lines.str.extract_groups(pattern.pattern))

    return read


_JOINED = (
    "SELECT q.id, timestamp, type, status, d.domain, c.ip, c.name, f.forward, reply_type, reply_time FROM "
    "query_storage q JOIN domain_by_id d ON d.id = q.domain JOIN client_by_id c ON c.id = q.client LEFT JOIN "
    "forward_by_id f ON f.id = q.forward"
)


def pandas_sql(path: Path) -> int:
    import pandas as pd

    database = sqlite3.connect(path)
    try:
        return len(pd.read_sql(_JOINED, database))
    finally:
        database.close()


def sqlite_rows(path: Path) -> int:
    database = sqlite3.connect(path)
    try:
        return len(database.execute(_JOINED).fetchall())
    finally:
        database.close()


def dnslib_answers(path: Path) -> int:
    from dnslib import DNSRecord

    count = 0
    with path.open() as lines:
        for line in lines:
            DNSRecord.parse(base64.b64decode(json.loads(line)["Answer"]))
            count += 1
            if count == 20_000:  # enough to know its pace
                break
    return count


def dnspython_answers(path: Path) -> int:
    import dns.message

    count = 0
    with path.open() as lines:
        for line in lines:
            dns.message.from_wire(base64.b64decode(json.loads(line)["Answer"]))
            count += 1
            if count == 5_000:
                break
    return count


def dnspython_packets(path: Path) -> int:
    import dns.message
    import dpkt

    count = 0
    with path.open("rb") as file:
        for _, data in dpkt.pcap.Reader(file):
            dns.message.from_wire(data[42:])
            count += 1
            if count == 10_000:
                break
    return count


def dpkt_packets(path: Path) -> int:
    import dpkt

    count = 0
    with path.open("rb") as file:
        for _, data in dpkt.pcap.Reader(file):
            dpkt.dns.DNS(dpkt.ethernet.Ethernet(data).data.data.data)
            count += 1
            if count == 40_000:
                break
    return count


CASES: dict[str, tuple[Callable[[int, Path], Path], dict[str, Callable[[Path], int]]]] = {
    "zeek": (
        logs.zeek,
        {"zat": zat_frame, "pandas.read_csv, untyped": pandas_tsv, "pyarrow.csv, untyped": arrow_tsv},
    ),
    "zeek-json": (logs.zeek_json, {"pyarrow.json, untyped": arrow_json, "json.loads": loads_json}),
    "bind": (logs.bind, {"re loop": regex_loop(_BIND), "polars extract_groups": polars_extract(_BIND)}),
    "dnsmasq": (logs.dnsmasq, {"re loop": regex_loop(_DNSMASQ), "polars extract_groups": polars_extract(_DNSMASQ)}),
    "pihole-ftl": (logs.pihole, {"pandas.read_sql": pandas_sql, "sqlite3, rows alone": sqlite_rows}),
    "adguard": (logs.adguard, {"json.loads + dnslib": dnslib_answers, "json.loads + dnspython": dnspython_answers}),
    "pcap": (logs.pcap, {"dpkt": dpkt_packets, "dpkt + dnspython": dnspython_packets}),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=600_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--markdown", help="append the table to this file")
    options = parser.parse_args()
    from dnsnb.formats import read_log

    out = [
        "| format | lines | dnsnb, k lines/s | goal | processor time of a line | peers, k lines/s |",
        "|---|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory(prefix="dnsnb-bench-") as folder:
        for name, (make, peers) in CASES.items():
            if options.only and name not in options.only:
                continue
            path = make(options.rows, Path(folder))
            best: dict[str, float] = {}
            lines = 0
            work = float("inf")
            for _ in range(options.rounds):
                begun, worked = time.perf_counter(), time.process_time()
                frame = read_log(path, tz="UTC", year=2026)
                pace = frame.attrs["import"].lines / (time.perf_counter() - begun)
                lines = frame.attrs["import"].lines
                work = min(work, (time.process_time() - worked) / lines)
                assert frame.attrs["import"].format == name, frame.attrs["import"]
                del frame  # the peers give theirs back as well
                best["dnsnb"] = max(best.get("dnsnb", 0), pace)
                for peer, read in peers.items():
                    begun = time.perf_counter()
                    try:
                        count = read(path)
                    except ImportError:
                        continue
                    best[peer] = max(best.get(peer, 0), count / (time.perf_counter() - begun))
            shown = ", ".join(f"{p} {v / 1e3:,.0f}" for p, v in best.items() if p != "dnsnb")
            out.append(
                f"| {name} | {lines:,} | **{best['dnsnb'] / 1e3:,.0f}** | >= {BARS[name] / 1e3:,.0f} "
                f"| {work * 1e6:.2f} µs | {shown or '–'} |"
            )
            print(out[-1], flush=True)
            path.unlink()
    text = (
        f"\n## Reading logs\n\n{os.cpu_count()} cores, best of {options.rounds} interleaved rounds.\n\n"
        + "\n".join(out)
        + "\n"
    )
    if options.markdown:
        results.put(Path(options.markdown), "formats", text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
