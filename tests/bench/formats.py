"""How fast logs are read, beside the tools that people use for the same file, in one run, rounds interleaved.

Makes its logs itself (seeded); peers that are not installed are left out. `python tests/bench/formats.py --markdown
FILE`.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import random
import re
import sqlite3
import struct
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

NAMES = 20_000
TYPES = (("A", 1), ("A", 1), ("AAAA", 28), ("HTTPS", 65))
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


def names(chance: random.Random) -> list[str]:
    words = ["cdn", "api", "www", "mail", "img", "static", "login", "edge", "telemetry", "docs"]
    return [
        f"{chance.choice(words)}{i % 977}.{chance.choice(words)}-{i}.example{chance.choice(['.com', '.net', '.org'])}"
        for i in range(NAMES)
    ]


def rows(count: int) -> Any:
    chance = random.Random(9)
    pool = names(chance)
    weights = [min(NAMES - 1, int(chance.paretovariate(0.6)) - 1) for _ in range(50_000)]
    now = 1_772_359_200.0
    for i in range(count):
        now += chance.random() * 0.002
        word, number = TYPES[i * 7 % 4]
        yield i, now, f"192.0.2.{i * 31 % 250}", 1024 + i * 17 % 60000, pool[weights[i * 13 % 50_000]], word, number


def zeek(count: int, folder: Path) -> Path:
    path = folder / "dns.log"
    fields = (
        "ts uid id.orig_h id.orig_p id.resp_h id.resp_p proto trans_id rtt query qclass qclass_name qtype "
        "qtype_name rcode rcode_name AA TC RD RA Z answers TTLs rejected"
    )
    types = (
        "time string addr port addr port enum count interval string count string count string count string bool "
        "bool bool bool count vector[string] vector[interval] bool"
    )
    with path.open("w") as out:
        out.write(
            "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tdns\n"
            "#open\t2026-03-01-10-00-00\n"
        )
        out.write("#fields\t" + "\t".join(fields.split()) + "\n#types\t" + "\t".join(types.split()) + "\n")
        for i, now, client, port, name, word, number in rows(count):
            answers = f"edge{i % 50}.example.net,198.51.100.{i % 250}\t300.000000,60.000000" if i % 3 else "-\t-"
            out.write(
                f"{now:.6f}\tC{i:x}\t{client}\t{port}\t192.0.2.53\t53\tudp\t{i & 65535}\t0.0{i % 90000:05d}\t{name}"
                f"\t1\tC_INTERNET\t{number}\t{word}\t0\tNOERROR\tF\tF\tT\tT\t0\t{answers}\tF\n"
            )
    return path


def zeek_json(count: int, folder: Path) -> Path:
    path = folder / "dns.json"
    with path.open("w") as out:
        for i, now, client, port, name, word, number in rows(count):
            item: dict[str, Any] = {
                "ts": round(now, 6),
                "uid": f"C{i:x}",
                "id.orig_h": client,
                "id.orig_p": port,
                "id.resp_h": "192.0.2.53",
                "id.resp_p": 53,
                "proto": "udp",
                "trans_id": i & 65535,
                "rtt": i % 90000 / 1e6,
                "query": name,
                "qclass": 1,
                "qclass_name": "C_INTERNET",
                "qtype": number,
                "qtype_name": word,
                "rcode": 0,
                "rcode_name": "NOERROR",
                "AA": False,
                "TC": False,
                "RD": True,
                "RA": True,
                "Z": 0,
                "rejected": False,
            }
            if i % 3:
                item |= {"answers": [f"edge{i % 50}.example.net", f"198.51.100.{i % 250}"], "TTLs": [300.0, 60.0]}
            out.write(json.dumps(item, separators=(",", ":")) + "\n")
    return path


def bind(count: int, folder: Path) -> Path:
    path = folder / "query.log"
    with path.open("w") as out:
        for i, now, client, port, name, word, _ in rows(count):
            stamp = time.strftime("%d-%b-%Y %H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1000):03d}"
            out.write(
                f"{stamp} queries: info: client @0x7f{i & 0xFFFFFF:06x} {client}#{port} ({name}): query: {name} IN "
                f"{word} +E(0)K (192.0.2.53)\n"
            )
    return path


def dnsmasq(count: int, folder: Path) -> Path:
    path = folder / "dnsmasq.log"
    with path.open("w") as out:
        for i, now, client, _, name, word, _ in rows(count // 3):
            head = time.strftime("%b %e %H:%M:%S", time.gmtime(now)) + " dnsmasq[77]: "
            out.write(f"{head}query[{word}] {name} from {client}\n")
            if i % 2:
                out.write(f"{head}cached {name} is 198.51.100.{i % 250}\n{head}cached {name} is 198.51.101.{i % 250}\n")
            else:
                out.write(f"{head}forwarded {name} to 192.0.2.53\n{head}reply {name} is 198.51.100.{i % 250}\n")
    return path


def pihole(count: int, folder: Path) -> Path:
    path = folder / "pihole-FTL.db"
    script = (Path(__file__).parents[1] / "formats" / "data" / "pihole_v21.sql").read_text()
    database = sqlite3.connect(path)
    database.executescript("\n".join(line for line in script.split("INSERT INTO domain_by_id")[:1]))
    pool = names(random.Random(9))
    database.executemany("INSERT INTO domain_by_id VALUES (?, ?)", list(enumerate(pool, 1)))
    database.executemany(
        "INSERT INTO client_by_id VALUES (?, ?, ?)", [(i, f"192.0.2.{i}", f"pc{i}.lan") for i in range(250)]
    )
    database.execute("INSERT INTO forward_by_id VALUES (1, '192.0.2.53#53')")
    place = {name: i for i, name in enumerate(pool, 1)}
    database.executemany(
        "INSERT INTO query_storage VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)",
        (
            (
                i + 1,
                now,
                1 + i % 2,
                1 + i % 3,
                place[name],
                i % 250,
                1 if i % 3 == 1 else None,
                None,
                4,
                i % 900 / 1e5,
                0,
                5 if i % 3 == 0 else None,
                -1,
            )
            for i, now, _, _, name, _, _ in rows(count)
        ),
    )
    database.commit()
    database.close()
    return path


def message(number: int, name: str, qtype: int, answer: bool) -> bytes:
    body = struct.pack("!6H", number, 0x8180 if answer else 0x0100, 1, 2 if answer else 0, 0, 0)
    body += b"".join(bytes([len(x)]) + x.encode() for x in name.split(".")) + b"\0" + struct.pack("!2H", qtype, 1)
    if answer:
        body += b"\xc0\x0c" + struct.pack("!2HIH", 5, 1, 300, 7) + b"\4edge\xc0\x0c"
        body += b"\xc0\x0c" + struct.pack("!2HIH4B", 1, 1, 60, 4, 198, 51, 100, number & 255)
    return body


def adguard(count: int, folder: Path) -> Path:
    path = folder / "querylog.json"
    with path.open("w") as out:
        for i, now, client, _, name, word, number in rows(count):
            stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1e6):06d}+02:00"
            data = base64.b64encode(message(i & 65535, name, number, answer=True)).decode()
            out.write(
                f'{{"T":"{stamp}","QH":"{name}","QT":"{word}","QC":"IN","CP":"","Upstream":"192.0.2.53:53",'
                f'"Answer":"{data}","IP":"{client}","Result":{{}},"Elapsed":{i}}}\n'
            )
    return path


def pcap(count: int, folder: Path) -> Path:
    path = folder / "dns.pcap"
    with path.open("wb") as out:
        out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for i, now, _, port, name, _, number in rows(count // 2):
            for answer in (False, True):
                data = message(i & 65535, name, number, answer=answer)
                ports = (53, port) if answer else (port, 53)
                ends = (bytes((192, 0, 2, 53)), bytes((192, 0, 2, i * 31 % 250)))
                packet = (
                    bytes(12)
                    + b"\x08\x00"
                    + struct.pack("!BBHHHBBH", 0x45, 0, 28 + len(data), 7, 0, 64, 17, 0)
                    + b"".join(ends if answer else ends[::-1])
                )
                packet += struct.pack("!4H", *ports, 8 + len(data), 0) + data
                out.write(struct.pack("<IIII", int(now), int(now % 1 * 1e6), len(packet), len(packet)) + packet)
    return path


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


def regex_loop(path: Path) -> int:
    with path.open() as lines:
        return len([m.groups() for line in lines if (m := _BIND.match(line))])


def polars_extract(path: Path) -> int:
    import polars as pl

    lines = pl.Series(path.read_text().splitlines())
    return len(lines.str.extract_groups(_BIND.pattern))


def sqlite_view(path: Path) -> int:
    import pandas as pd

    sql = (
        "SELECT q.id, timestamp, type, status, d.domain, c.ip, c.name, f.forward, reply_type, reply_time FROM "
        "query_storage q JOIN domain_by_id d ON d.id = q.domain JOIN client_by_id c ON c.id = q.client LEFT JOIN "
        "forward_by_id f ON f.id = q.forward"
    )
    database = sqlite3.connect(path)
    try:
        return len(pd.read_sql(sql, database))
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
    "zeek": (zeek, {"zat": zat_frame, "pandas.read_csv (untyped)": pandas_tsv, "pyarrow.csv (untyped)": arrow_tsv}),
    "zeek-json": (zeek_json, {"pyarrow.json (untyped)": arrow_json, "json.loads": loads_json}),
    "bind": (bind, {"re loop": regex_loop, "polars extract_groups": polars_extract}),
    "dnsmasq": (dnsmasq, {}),
    "pihole-ftl": (pihole, {"pandas.read_sql": sqlite_view}),
    "adguard": (adguard, {"json.loads + dnslib": dnslib_answers}),
    "pcap": (pcap, {"dpkt": dpkt_packets}),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=600_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--markdown", help="append the table to this file")
    options = parser.parse_args()
    from dnsnb.formats import read_log

    out = ["| format | lines | dnsnb, k lines/s | wanted | peers, k lines/s |", "|---|---|---|---|---|"]
    with tempfile.TemporaryDirectory(prefix="dnsnb-bench-") as folder:
        for name, (make, peers) in CASES.items():
            if options.only and name not in options.only:
                continue
            path = make(options.rows, Path(folder))
            best: dict[str, float] = {}
            lines = 0
            for _ in range(options.rounds):
                begun = time.perf_counter()
                frame = read_log(path, tz="UTC", year=2026)
                pace = frame.attrs["import"].lines / (time.perf_counter() - begun)
                lines = frame.attrs["import"].lines
                assert frame.attrs["import"].format == name, frame.attrs["import"]
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
                f"| {name} | {lines:,} | **{best['dnsnb'] / 1e3:,.0f}** | {BARS[name] / 1e3:,.0f} | {shown or '–'} |"
            )
            print(out[-1], flush=True)
            path.unlink()
    text = (
        f"\n## Reading logs\n\n{os.cpu_count()} cores, best of {options.rounds} interleaved rounds.\n\n"
        + "\n".join(out)
        + "\n"
    )
    if options.markdown:
        target = Path(options.markdown)
        old = target.read_text() if target.exists() else ""
        begin, end = "<!-- formats -->", "<!-- /formats -->"
        block = f"{begin}{text}{end}"
        if begin in old and end in old:
            old = old.split(begin)[0] + block + old.split(end)[1]
        else:
            old = f"{old.rstrip()}\n\n{block}\n"
        target.write_text(old)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
