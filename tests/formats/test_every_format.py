"""Every format: it is recognised, its rows say what the log says, survive Parquet, and no damage raises an
exception."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import pandas as pd
import pyarrow.parquet as pq
import pytest

from dnsnb import schema
from dnsnb.errors import LogFormatError
from dnsnb.formats import FORMATS, read_log

from .conftest import SAMPLES

# format -> what its rows are, as {row: {column: value}}; -1 under "rows" is how many there are, "skipped" how many
# lines gave none
EXPECTED: dict[str, dict[Any, Any]] = {
    "zeek": {
        "rows": 4,
        "skipped": 1,
        0: {
            "qname": "www.example.com",
            "client": "192.0.2.10",
            "answers": ["web.example.com", "198.51.100.7"],
            "ttl": 60,
            "flags": "qr rd ra ad",
            "dns_id": 4660,
            "client_port": 50000,
            "transport": "udp",
            "server": "192.0.2.53",
            "qclass": "IN",
        },
        1: {
            "qname": r"caf\195\169.example.com",
            "client": "2001:db8::10",
            "rcode": None,
            "transport": "tcp",
            "qtype": "AAAA",
        },
        2: {"qname": ".", "status": "refused", "answers": []},
        3: {"answers": ["TXT 3 a,b"]},
    },
    "zeek-json": {"rows": 2, "skipped": 1, 0: {"qname": "www.example.com", "ttl": 60, "flags": "qr rd ra ad"}},
    "dnsmasq": {
        "rows": 9,
        "skipped": 2,
        0: {
            "qname": "www.example.com",
            "qtype": "A",
            "status": "forwarded",
            "upstream": "192.0.2.53",
            "rcode": "NOERROR",
            "answers": ["web.example.com", "198.51.100.7", "198.51.100.8"],
        },
        1: {"qtype": "AAAA", "answers": ["web.example.com", "2001:db8::7"]},
        2: {"status": "cached", "client": "192.0.2.11"},
        3: {"qname": "ads.example.net", "status": "blocked", "list": "gravity blocked"},
        4: {"qname": r"sp\032ace\\x.example.com", "qtype": "HTTPS", "rcode": "NXDOMAIN", "status": "local"},
        5: {"qname": None, "lossy": True, "qtype": "TYPE65280", "client": "2001:db8::12", "rcode": None},
        6: {"client_port": 40001, "answers": ["203.0.113.1"]},
        7: {"reason": "duplicate of a query in flight"},
        8: {"transport": "tcp", "answers": ["hello there"]},
    },
    "adguard": {
        "rows": 4,
        "skipped": 1,
        0: {
            "qname": "www.example.com",
            "status": "forwarded",
            "answers": ["198.51.100.7", "198.51.100.8"],
            "ttl": 60,
            "rcode": "NOERROR",
            "flags": "qr rd ra",
            "time": "2026-03-01T10:00:00.123456Z",
            "transport": "udp",
        },
        1: {
            "status": "blocked",
            "rule": "||ads.example.net^",
            "list": "list 1",
            "ede": 15,
            "client_name": "phone",
            "transport": "doh",
        },
        2: {"rule": "||old.", "list": "list 7", "rcode": None, "ecs": "192.0.2.0/24"},
        3: {"qname": "first.example.com", "qtype": "MX", "rcode": "NXDOMAIN"},
    },
    "bind": {
        "rows": 6,
        "skipped": 1,
        0: {
            "qname": "www.example.com",
            "rcode": "NOERROR",
            "latency_ms": 3.0,
            "query_flags": "rd",
            "server": "192.0.2.53",
        },
        1: {"qname": r"sp\032ace.example.com", "transport": "tcp", "query_flags": "rd cd do", "ecs": "192.0.2.0/24/0"},
        2: {"qtype": "TYPE65280", "server": None, "query_flags": ""},
        3: {"status": "blocked", "rule": "ads.example.net.rpz.example", "list": "rpz.example", "rcode": "NXDOMAIN"},
        4: {"status": "refused", "rcode": "REFUSED", "qtype": "ANY"},
        5: {"status": "failed", "rcode": "SERVFAIL", "qtype": "TXT"},
    },
    "unbound": {
        "rows": 5,
        "skipped": 1,
        0: {"qname": "www.example.com", "status": "forwarded", "response_bytes": 64, "rcode": "NOERROR"},
        1: {
            "qname": "caf?.example.com",
            "lossy": True,
            "status": "cached",
            "server": "2001:db8::53",
            "transport": "udp",
        },
        2: {"status": "blocked", "rule": "blocked.example.net.", "rcode": "NXDOMAIN"},
        3: {"status": "failed", "reason": "all servers failed", "rcode": "SERVFAIL"},
        4: {"rcode": "FORMERR"},
    },
    "coredns": {
        "rows": 3,
        "skipped": 2,
        0: {
            "qname": "www.example.com",
            "flags": "qr rd ra",
            "query_flags": "do",
            "query_bytes": 45,
            "response_bytes": 188,
        },
        1: {"client": "2001:db8::10", "rcode": "NXDOMAIN", "latency_ms": 0.3405, "transport": "tcp"},
        2: {"rcode": None, "status": "failed", "latency_ms": None, "time": "2026-03-01T10:00:02.289Z"},
    },
    "powerdns": {
        "rows": 3,
        "skipped": 1,
        0: {"qname": "www.example.com", "latency_ms": 2.5, "status": "forwarded", "client_port": 40000},
        1: {
            "qname": "next.example.com",
            "rcode": "NXDOMAIN",
            "latency_ms": 49.0,
            "client": "192.0.2.11",
            "time": "2026-03-01T10:00:02.5Z",
        },
        2: {"qname": "auth.example.com", "query_flags": "do", "status": "cached"},
    },
    "powerdns-json": {
        "rows": 1,
        "skipped": 1,
        0: {"status": "cached", "latency_ms": 50.0, "rcode": "NOERROR", "client": "192.0.2.10"},
    },
    "powerdns-protobuf": {
        "rows": 17,
        "skipped": 0,
        0: {
            "qname": "www.example",
            "client": "127.0.0.1",
            "client_port": 60692,
            "answers": ["198.51.100.7"],
            "ttl": 60,
            "rcode": "NOERROR",
            "transport": "udp",
            "latency_ms": 0.433,
            "query_bytes": 40,
            "response_bytes": 56,
            "dns_id": 42663,
            "side": "client",
        },
        1: {"transport": "tcp"},
        2: {"answers": ["www.example", "198.51.100.7"]},
        3: {"qtype": "TXT", "answers": None},
        5: {"qname": r"sp\032ace.example"},
        6: {"qname": r"caf\233.example"},
        7: {"qname": r"a\.b.example", "rcode": "NXDOMAIN"},
        8: {"status": "refused"},
        10: {"qname": "refused.example", "rcode": None},
        12: {"qname": "."},
        14: {"qname": "-.example"},
        16: {"client": "::1"},
    },
    "dnsdist": {
        "rows": 2,
        "skipped": 1,
        0: {
            "qname": r"caf\233.example.com",
            "rcode": "NOERROR",
            "dns_id": 21528,
            "time": "2026-03-01T10:00:00.668377Z",
        },
        1: {"client": "2001:db8::10", "rcode": "NXDOMAIN"},
    },
    "suricata": {
        "rows": 3,
        "skipped": 1,
        0: {
            "qname": "www.example.com",
            "client": "192.0.2.10",
            "rcode": "NOERROR",
            "answers": ["198.51.100.7"],
            "latency_ms": 20.0,
        },
        2: {"qname": "v1.example.com", "client": "192.0.2.12", "ttl": 9},
        1: {
            "qname": "v2.example.com",
            "rcode": "NXDOMAIN",
            "flags": "qr rd ra",
            "latency_ms": 500.0,
            "time": "2026-03-01T16:00:01Z",
        },
    },
    "technitium": {
        "rows": 3,
        "skipped": 1,
        0: {"answers": ["198.51.100.7", "198.51.100.8"], "rcode": "NOERROR", "client": "192.0.2.10"},
        1: {"qname": ".", "transport": "dot", "rcode": "NXDOMAIN", "answers": [], "client": "2001:db8::10"},
        2: {"status": "failed", "rcode": None, "transport": "doh"},
    },
    "technitium-json": {
        "rows": 2,
        0: {"status": "cached", "ttl": 77, "transport": "dot", "time": "2026-03-01T10:00:00.123456Z"},
        1: {"status": "blocked", "ede": 15},
    },
    "technitium-db": {
        "rows": 3,
        0: {"answers": ["198.51.100.7", "198.51.100.8"], "latency_ms": 12.5, "status": "forwarded"},
        1: {"status": "blocked", "qtype": "AAAA", "rcode": "NXDOMAIN", "transport": "doh"},
        2: {"qname": ".", "qtype": "AXFR", "answers": None},
    },
    "blocky": {
        "rows": 3,
        "skipped": 1,
        0: {
            "client_name": "laptop",
            "upstream": "tcp+udp:192.0.2.53",
            "answers": ["198.51.100.7", "web.example.com"],
            "latency_ms": 12.0,
        },
        1: {"status": "blocked", "list": "ads", "rule": "ads.example.net"},
        2: {"client": None, "status": "cached", "rcode": "NXDOMAIN"},
    },
    "blocky-console": {
        "rows": 3,
        "skipped": 1,
        0: {"client_name": "laptop", "upstream": "upstream", "answers": ["web.example.com", "198.51.100.7"]},
        1: {"status": "blocked", "list": "ads", "latency_ms": 0.0, "qtype": "AAAA"},
        2: {"status": "cached", "rcode": "NXDOMAIN", "time": "2026-03-01T10:00:02Z"},
    },
    "blocky-db": {
        "rows": 2,
        0: {"qname": "www.example.com", "upstream": "192.0.2.53"},
        1: {"status": "blocked", "list": "ads"},
    },
    "nextdns": {
        "rows": 2,
        0: {"transport": "doh", "client_name": "Phone", "status": "forwarded"},
        1: {"status": "blocked", "list": "oisd", "rule": "ads.example.net", "qtype": "HTTPS"},
    },
    "nextdns-json": {"rows": 2, 0: {"transport": "dot"}, 1: {"status": "blocked", "list": "X list"}},
    "windows": {
        "rows": 3,
        "skipped": 4,
        0: {
            "qname": "www.example.com",
            "client": "192.0.2.10",
            "side": "client",
            "rcode": None,
            "time": "2026-03-21T13:51:18Z",
        },
        1: {
            "side": "upstream",
            "upstream": "192.0.2.53",
            "rcode": "NOERROR",
            "flags": "qr rd ra",
            "latency_ms": None,
        },
        2: {"rcode": "NXDOMAIN", "client": "192.0.2.10", "time": "2026-03-21T00:51:19Z"},
    },
    "route53": {
        "rows": 2,
        0: {"client_port": 40000, "client_name": "i-1"},
        1: {"status": "blocked", "list": "l-1", "rule": "g-1"},
    },
    "route53-zone": {
        "rows": 3,
        0: {"qname": "www.example.com", "client": "192.0.2.10", "ecs": None, "server": "FRA6", "status": "local"},
        1: {"client": "2001:db8::10", "ecs": "198.51.100.0/24", "transport": "tcp", "rcode": "NXDOMAIN"},
        2: {"status": "failed", "uid": "Z0EXAMPLE", "time": "2026-03-01T10:00:02.5Z"},
    },
    "cloudflare": {
        "rows": 3,
        0: {"answers": ["198.51.100.7"], "transport": "doh", "status": "blocked", "client_name": "laptop"},
        1: {
            "qtype": "AAAA",
            "rcode": "NXDOMAIN",
            "status": "cached",
            "ecs": "192.0.2.0/24",
            "time": "2026-03-01T10:00:01Z",
        },
        2: {"qtype": "TYPE65280", "client": "2001:db8::11"},
    },
    "umbrella": {
        "rows": 2,
        0: {"qname": "www.example.com", "qtype": "A", "client": "192.0.2.10"},
        1: {"status": "blocked", "list": "Advertisements"},
    },
    "infoblox": {
        "rows": 2,
        0: {"rcode": "NOERROR", "answers": ["198.51.100.7", "198.51.100.8"], "ttl": 60},
        1: {"rcode": "NXDOMAIN", "qtype": "HTTPS", "server": "192.0.2.53"},
    },
    "passivedns": {
        "rows": 2,
        "skipped": 1,
        0: {"count": 5, "answers": ["198.51.100.7"]},
        1: {"answers": ["www.example.com"]},
    },
    "cof": {
        "rows": 2,
        0: {"answers": ["198.51.100.7", "198.51.100.8"], "count": 42, "last": "2026-03-02T10:00:00Z"},
        1: {"answers": ["ns.example.com"], "time": "2026-03-01T10:00:00Z"},
    },
    "dnscollector": {
        "rows": 2,
        0: {"rcode": "NXDOMAIN", "latency_ms": 20.0, "query_bytes": 45, "response_bytes": 99, "ttl": 300},
        1: {"client": "2001:db8::10", "transport": "tcp", "rcode": None},
    },
    "dnscollector-json": {
        "rows": 1,
        0: {"answers": ["198.51.100.7"], "ttl": 60, "latency_ms": 20.0, "rcode": "NOERROR", "dns_id": 7},
    },
    "dnsnb-jsonl": {
        "rows": 2,
        0: {"answers": ["198.51.100.7"], "ttl": 60, "status": "cached"},
        1: {"ede": 15, "list": "blacklist", "rule": "example.net"},
    },
    "dnsnb-sqlite": {
        "rows": 2,
        0: {"answers": ["198.51.100.7"], "status": "cached"},
        1: {"qname": ".", "answers": None},
    },
    "dnsnb-parquet": {"rows": 6, 0: {"qname": "www.example.com", "latency_ms": 3.0}},
    "pihole-ftl": {
        "rows": 5,
        0: {
            "client": "192.0.2.10",
            "client_name": "laptop.lan",
            "upstream": "192.0.2.53#53",
            "latency_ms": 12.3,
            "flags": "qr ad",
            "time": "2026-03-01T10:00:00.000001Z",
            "status": "forwarded",
            "rcode": "NOERROR",
        },
        1: {"status": "blocked", "list": "list 7", "ede": 15, "client_name": None, "qtype": "AAAA"},
        2: {
            "status": "blocked",
            "reason": "gravity CNAME",
            "rule": "tracker.example.net",
            "qtype": "HTTPS",
            "latency_ms": None,
        },
        3: {"status": "stale", "qtype": "TYPE65280", "rcode": "NXDOMAIN", "id": 40},
        4: {"qname": "10.2.0.192.in-addr.arpa", "client": "192.0.2.11", "qtype": "PTR", "status": "cached"},
    },
    "dnstap": {
        "rows": 1,
        "skipped": 1,
        0: {
            "qname": "www.example.com",
            "latency_ms": 20.0,
            "answers": ["web.example.com", "198.51.100.7"],
            "ttl": 60,
            "side": "client",
            "query_bytes": 33,
            "flags": "qr rd ra",
            "client_port": 40000,
            "transport": "udp",
        },
    },
    "pcap": {
        "rows": 3,
        0: {
            "qname": "www.example.com",
            "latency_ms": 125.0,
            "answers": ["web.example.com", "198.51.100.7"],
            "dns_id": 0x1234,
        },
        1: {"client": "2001:db8::10", "qtype": "AAAA", "rcode": None},
        2: {"transport": "tcp", "client_port": 40002, "qname": "www.example.com"},
    },
}


def test_every_format_has_a_sample_and_expectations() -> None:
    assert set(FORMATS) == set(SAMPLES) == set(EXPECTED)


@pytest.mark.parametrize("name", FORMATS)
def test_rows_say_what_the_log_says(name: str, sample: Callable[[str], Path]) -> None:
    frame = read_log(sample(name), tz="UTC", year=2025 if name == "dnsmasq" else 2026)
    report = frame.attrs["import"]
    assert report.format == name
    assert tuple(frame.columns[: len(schema.NAMES)]) == schema.NAMES
    assert list(frame.dtypes.iloc[: len(schema.NAMES)]) == list(schema.empty_frame().dtypes) or _alike(frame)
    expected = EXPECTED[name]
    assert len(frame) == expected["rows"] == report.rows, f"{frame.iloc[:, :16]}\n{report}"
    assert report.skipped_count == expected.get("skipped", 0), str(report)
    for row, values in expected.items():
        if isinstance(row, int):
            for column, value in values.items():
                _same(frame[column].iloc[row], value, f"{name} row {row} {column}")


def _alike(frame: pd.DataFrame) -> bool:
    empty = schema.empty_frame()
    for name in schema.NAMES:
        have, want = frame[name].dtype, empty[name].dtype
        if isinstance(want, pd.CategoricalDtype):
            assert isinstance(have, pd.CategoricalDtype), name
        else:
            assert have == want, name
    return True


def _same(have: Any, want: Any, where: str) -> None:
    if want is None:
        assert have is None or have is pd.NA or have != have, f"{where}: {have!r}"
    elif isinstance(want, list):
        assert list(have) == want, f"{where}: {have!r}"
    elif isinstance(have, pd.Timestamp):
        assert have == pd.Timestamp(want), f"{where}: {have!r}"
    elif isinstance(want, float):
        assert abs(have - want) < 1e-4, f"{where}: {have!r}"
    else:
        assert have == want, f"{where}: {have!r}"


@pytest.mark.parametrize("name", FORMATS)
def test_rows_survive_parquet(name: str, sample: Callable[[str], Path], tmp_path: Path) -> None:
    frame = read_log(sample(name), tz="UTC")
    target = tmp_path / "log.parquet"
    frame.to_parquet(target)
    again = read_log(target)
    assert pq.read_metadata(target).num_rows == len(frame)
    pd.testing.assert_frame_equal(again[list(frame.columns)], frame, check_categorical=False)


CARRIERS: dict[str, Callable[[str], bytes]] = {
    "a Windows editor": lambda text: text.replace("\n", "\r\n").encode("utf-16"),
    "a power loss": lambda text: b"\xef\xbb\xbf" + text.replace("\n", "\n\n").encode() + bytes(512),
    "a container": lambda text: b"".join(
        json.dumps({"log": line + "\n", "stream": "stdout", "time": "2026-05-01T10:00:00Z"}).encode() + b"\n"
        for line in text.removesuffix("\n").split("\n")
    ),
}


@pytest.mark.parametrize("name", [name for name, row in FORMATS.items() if row.kind == "lines"])
def test_what_carried_a_log_changes_no_row(name: str, sample: Callable[[str], Path]) -> None:
    text = sample(name).read_text(encoding="utf-8")
    plain = read_log(text.encode(), tz="UTC", year=2026)
    for carrier, carry in CARRIERS.items():
        other = read_log(carry(text), tz="UTC", year=2026)
        assert other.attrs["import"].format == name, carrier
        for column in plain.columns.drop(["id", "source"]):
            if column != "time" or plain["time"].notna().all():  # a container knows the time where the log does not
                assert list(map(str, other[column])) == list(map(str, plain[column])), f"{carrier}: {column}"


@pytest.mark.parametrize("name", FORMATS)
def test_damage_gives_rows_or_a_report_never_an_exception(
    name: str, sample: Callable[[str], Path], tmp_path: Path
) -> None:
    chance = random.Random(name)
    whole = sample(name).read_bytes()
    target = tmp_path / "damaged"
    for round_ in range(hypothesis.settings().max_examples // 3):  # 8, or as many as EXAMPLES wants
        data = bytearray(whole)
        if round_ % 3 != 1:
            data = data[: chance.randrange(1, len(data))]
        for _ in range(chance.randrange(0, 12) if round_ % 3 else 0):
            data[chance.randrange(len(data))] = chance.randrange(256)
        if round_ % 5 == 4:
            at = chance.randrange(len(data))
            data[at:at] = bytes(chance.randrange(1, 40))
        target.write_bytes(data)
        for rows in ("queries", "events"):
            try:
                frame = read_log(target, format=name, tz="UTC", rows=rows)
            except LogFormatError:
                continue  # damage to what tells the format is one clear error
            report = frame.attrs["import"]
            assert len(frame) == report.rows
            if FORMATS[name].kind == "lines" and rows == "events":  # no line goes missing without a word
                assert report.lines == report.rows + report.skipped_count + sum(report.asides.values()), str(report)
