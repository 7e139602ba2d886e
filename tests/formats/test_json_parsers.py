"""Blocks of JSON lines read by DuckDB give what the line-by-line reader gives, or are left to that one."""

from __future__ import annotations

import random
from typing import Any

import orjson
import pyarrow as pa
import pytest

from dnsnb.formats import jsonrows, zeek_json
from dnsnb.formats.feeding import Context
from dnsnb.formats.lines import Block
from dnsnb.formats.report import ImportReport
from dnsnb.formats.times import Clock

pytest.importorskip("duckdb")

WANTED = pa.schema([("ts", pa.float64()), *zeek_json._SCHEMA])
ZEEK: dict[str, Any] = {
    "ts": 1772359200.000263, "uid": "C1", "id.orig_h": "192.0.2.31", "id.orig_p": 1041, "id.resp_h": "192.0.2.53",
    "proto": "udp", "trans_id": 1, "rtt": 1e-06, "query": "api62.example.net", "qclass": 1, "qclass_name": "C_INTERNET",
    "qtype": 65, "rcode": 0, "AA": False, "TC": False, "RD": True, "RA": True, "Z": 0, "rejected": False,
    "answers": ["edge1.example.net", "198.51.100.1"], "TTLs": [300.0, 60.0],
}  # fmt: skip
ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 1.75, 3_000_000_000, 1e300, "", "5", "x", "nül\u0000l", "\\x41", "a,b", [],
    [None, "a"], ["7"], [1, 2.5], [True], {}, {"a": 1}, [["a"]],
)  # fmt: skip


@pytest.fixture(autouse=True)
def _small_blocks_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonrows, "LARGE", 1)


def block(lines: list[bytes]) -> Block:
    return Block(b"\n".join([*lines, b""]))


def context() -> Context:
    report = ImportReport()
    return Context(report, Clock(report, "UTC", None, 0.0), "dns.log")


def by_line(lines: list[bytes]) -> pa.Table:
    return jsonrows._slowly(block(lines), WANTED, context())[0]


def by_duckdb(lines: list[bytes]) -> pa.Table | None:
    one = block(lines)
    return jsonrows._by_duckdb(memoryview(one.data)[: one.size], WANTED)


def test_zeeks_lines_are_read_by_duckdb() -> None:
    few = {key: value for key, value in ZEEK.items() if key not in ("rtt", "answers", "TTLs")}
    lines = [orjson.dumps(ZEEK | {"trans_id": n} if n % 3 else few) for n in range(300)]
    found = by_duckdb(lines)
    assert found is not None
    assert found.equals(by_line(lines))
    assert found.column("query").to_pylist() == ["api62.example.net"] * 300


@pytest.mark.parametrize("key", WANTED.names)
def test_values_of_any_type_are_the_same_or_left_alone(key: str) -> None:
    seen = 0
    for odd in ODD:
        lines = [orjson.dumps(ZEEK), orjson.dumps(ZEEK | {key: odd}), orjson.dumps(ZEEK)]
        found = by_duckdb(lines)
        seen += found is not None
        assert found is None or found.equals(by_line(lines)), (key, odd, found.slice(1, 1).to_pylist())
    assert seen


@pytest.mark.parametrize(
    "line", [b"[1]", b"5", b'"x"', b"{", b'{"uid":"a","uid":"b"}', b'{"uid":"a"}{"uid":"b"}', b"\xff"]
)
def test_what_is_no_object_is_reported_and_the_rest_is_read(line: bytes) -> None:
    lines = [orjson.dumps(ZEEK), line, orjson.dumps(ZEEK | {"query": "last.example"})]
    told = context()
    table, numbers = jsonrows.read(block(lines), WANTED, told)
    good = line.startswith(b'{"uid":"a","uid"')
    assert table.column("query").to_pylist() == ["api62.example.net", *([None] if good else []), "last.example"]
    assert numbers.tolist() == ([1, 2, 3] if good else [1, 3])
    assert told.report.skipped_count == (0 if good else 1)


def test_damaged_blocks_come_out_as_by_line() -> None:
    chance = random.Random(7)
    for _ in range(60):
        raw = bytearray(b"\n".join([orjson.dumps(ZEEK)] * 4))
        for _ in range(chance.randrange(1, 4)):
            raw[chance.randrange(len(raw))] = chance.choice(b'\n"{}[],:x0 \\')
        lines = [line for line in bytes(raw).split(b"\n") if line]
        found = by_duckdb(lines)
        expected = by_line(lines)
        assert found is None or len(found) != len(lines) or found.equals(expected), lines
