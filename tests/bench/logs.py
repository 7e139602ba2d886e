"""Seeded logs to measure on, of any length: the same questions in the words of each format."""

from __future__ import annotations

import base64
import json
import random
import sqlite3
import struct
import time
from pathlib import Path
from typing import Any

NAMES = 20_000
TYPES = (("A", 1), ("A", 1), ("AAAA", 28), ("HTTPS", 65))


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
