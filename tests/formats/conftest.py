"""One small log of every format: text from `data/`, databases from their SQL, captures and dnstap built octet by
octet."""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

DATA = Path(__file__).parent / "data"

SAMPLES: dict[str, str] = {
    "zeek": "zeek.log",
    "zeek-json": "zeek.json",
    "dnsmasq": "dnsmasq.log",
    "adguard": "adguard.json",
    "bind": "bind.log",
    "unbound": "unbound.log",
    "coredns": "coredns.log",
    "powerdns": "powerdns.log",
    "powerdns-json": "powerdns.json",
    "powerdns-protobuf": "powerdns_protobuf.bin",  # as a dnsdist 1.7 wrote it
    "dnsdist": "dnsdist.log",
    "suricata": "suricata.json",
    "technitium": "technitium.log",
    "technitium-json": "technitium.json",
    "blocky": "blocky.log",
    "blocky-console": "blocky_console.log",
    "nextdns": "nextdns.csv",
    "nextdns-json": "nextdns.json",
    "windows": "windows.log",
    "route53": "route53.json",
    "route53-zone": "route53_zone.log",
    "cloudflare": "cloudflare.json",
    "umbrella": "umbrella.csv",
    "infoblox": "infoblox.log",
    "passivedns": "passivedns.log",
    "cof": "cof.json",
    "dnscollector": "dnscollector.log",
    "dnscollector-json": "dnscollector.json",
    "dnsnb-jsonl": "dnsnb.jsonl",
    "pihole-ftl": "pihole_v21.sql",
    "technitium-db": "technitium.sql",
    "blocky-db": "blocky.sql",
    "dnsnb-sqlite": "dnsnb.sql",
    "dnstap": "made",
    "pcap": "made",
    "dnsnb-parquet": "made",
}


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function from a format's name (or a file in `data/`) to the path of its sample."""
    folder = tmp_path_factory.mktemp("logs")

    def path_of(name: str) -> Path:
        file = SAMPLES.get(name, name)
        if file.endswith(".sql"):
            target = folder / file.replace(".sql", ".db")
            if not target.exists():
                database = sqlite3.connect(target)
                database.executescript((DATA / file).read_text(encoding="utf-8"))
                database.commit()
                database.close()
            return target
        if file == "made":
            target = folder / f"{name}.bin"
            if not target.exists():
                target.write_bytes(MAKERS[name](folder))
            return target
        return DATA / file

    return path_of


def name_wire(name: str) -> bytes:
    return b"".join(bytes([len(x)]) + x.encode() for x in name.split(".") if x) + b"\0"


def message(number: int, flags: int, name: str, qtype: int, answers: tuple[tuple[int, int, bytes], ...] = ()) -> bytes:
    body = struct.pack("!6H", number, flags, 1, len(answers), 0, 0) + name_wire(name) + struct.pack("!2H", qtype, 1)
    return body + b"".join(b"\xc0\x0c" + struct.pack("!2HIH", t, 1, ttl, len(data)) + data for t, ttl, data in answers)


QUERY = message(0x1234, 0x0100, "WWW.Example.com", 1)
ANSWER = message(0x1234, 0x8180, "WWW.Example.com", 1, ((5, 60, b"\3web\xc0\x10"), (1, 300, bytes([198, 51, 100, 7]))))
CLIENT, SERVER = bytes([192, 0, 2, 10]), bytes([192, 0, 2, 53])


def _field(number: int, value: int | bytes) -> bytes:
    def varint(n: int) -> bytes:
        out = b""
        while n > 127:
            out += bytes([n & 127 | 128])
            n >>= 7
        return out + bytes([n])

    if isinstance(value, bytes):
        return varint(number << 3 | 2) + varint(len(value)) + value
    if number in (9, 13):
        return varint(number << 3 | 5) + struct.pack("<I", value)
    return varint(number << 3) + varint(value)


def dnstap_payload(kind: int, query: bytes = b"", answer: bytes = b"", port: int = 40000) -> bytes:
    inner = (
        _field(1, kind)
        + _field(2, 1)
        + _field(3, 1)
        + _field(4, CLIENT)
        + _field(5, SERVER)
        + _field(6, port)
        + _field(7, 53)
    )
    inner += _field(8, 1772359200) + _field(9, 1000)
    if query:
        inner += _field(10, query)
    if answer:
        inner += _field(12, 1772359200) + _field(13, 20_001_000) + _field(14, answer)
    return _field(1, b"test") + _field(15, 1) + _field(14, inner)


def control(kind: int, content: bytes | None = b"protobuf:dnstap.Dnstap") -> bytes:
    body = struct.pack("!I", kind) + (b"" if content is None else struct.pack("!II", 1, len(content)) + content)
    return struct.pack("!II", 0, len(body)) + body


def frame(payload: bytes) -> bytes:
    return struct.pack("!I", len(payload)) + payload


def _dnstap(folder: Path) -> bytes:
    return (
        control(2)
        + frame(dnstap_payload(5, QUERY))
        + frame(dnstap_payload(6, b"", ANSWER))
        + frame(b"junk")
        + control(3, None)
    )


def ethernet(payload: bytes, source: bytes, target: bytes, protocol: int = 17, vlan: bool = False) -> bytes:
    tag = b"\x81\x00\x00\x05" if vlan else b""
    if len(source) == 16:
        return (
            bytes(12)
            + tag
            + b"\x86\xdd"
            + struct.pack("!IHBB", 6 << 28, len(payload), protocol, 64)
            + source
            + target
            + payload
        )
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 7, 0, 64, protocol, 0) + source + target
    return bytes(12) + tag + b"\x08\x00" + head + payload


def udp(payload: bytes, source: int, target: int) -> bytes:
    return struct.pack("!4H", source, target, 8 + len(payload), 0) + payload


def tcp(payload: bytes, source: int, target: int, number: int, flags: int = 0x18) -> bytes:
    return struct.pack("!HHIIBBHHH", source, target, number, 0, 0x50, flags, 512, 0, 0) + payload


def capture(packets: list[tuple[float, bytes]], order: str = "<", nanos: bool = False) -> bytes:
    magic = 0xA1B23C4D if nanos else 0xA1B2C3D4
    out = struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 65535, 1)
    for when, packet in packets:
        part = round(when % 1 * (1_000_000_000 if nanos else 1_000_000))
        out += struct.pack(order + "IIII", int(when), part, len(packet), len(packet)) + packet
    return out


V6 = bytes.fromhex("20010db8000000000000000000000010")


def packets() -> list[tuple[float, bytes]]:
    length = struct.pack("!H", len(QUERY))
    return [
        (1772359200.5, ethernet(udp(QUERY, 40000, 53), CLIENT, SERVER)),
        (1772359200.625, ethernet(udp(ANSWER, 53, 40000), SERVER, CLIENT, vlan=True)),
        (1772359201.0, ethernet(udp(message(7, 0x0100, "six.example.com", 28), 40001, 53), V6, V6[:-1] + b"\x53")),
        (1772359202.0, ethernet(tcp(b"", 40002, 53, 99, 2), CLIENT, SERVER, 6)),
        (1772359202.25, ethernet(tcp((length + QUERY)[5:], 40002, 53, 105), CLIENT, SERVER, 6)),  # out of order
        (1772359202.5, ethernet(tcp((length + QUERY)[:5], 40002, 53, 100), CLIENT, SERVER, 6)),
        (1772359203.0, ethernet(udp(b"not dns", 1, 2), CLIENT, SERVER)),
    ]


def _pcap(folder: Path) -> bytes:
    return capture(packets())


def _parquet(folder: Path) -> bytes:
    from dnsnb.formats import read_log

    frame = read_log(DATA / "bind.log")
    frame.attrs.clear()
    target = folder / "bind.parquet"
    frame.to_parquet(target)
    return target.read_bytes()


MAKERS: dict[str, Callable[[Path], bytes]] = {"dnstap": _dnstap, "pcap": _pcap, "dnsnb-parquet": _parquet}
