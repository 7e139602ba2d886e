"""Zeek's tab-separated and JSON logs of the same traffic give equal frames, whatever is in it."""

from __future__ import annotations

import json
import random
from typing import Any

import pandas as pd
import pytest

from dnsnb.formats import read_log

FIELDS = (
    "ts", "uid", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "proto", "trans_id", "rtt", "query", "qclass",
    "qclass_name", "qtype", "qtype_name", "rcode", "rcode_name", "AA", "TC", "RD", "RA", "Z", "answers", "TTLs",
    "rejected",
)  # fmt: skip
TEXTS = (
    b"a.example",
    b"-",
    b"(empty)",
    b"caf\xe9.example",
    b"caf\xc3\xa9.example",
    b"a\\b",
    b"t\tab",
    b"x,y",
    b"",
    b"\x00\x01",
)


def octets(raw: bytes) -> str:
    return "".join(chr(c) if 32 <= c < 127 else f"\\x{c:02x}" for c in raw)


def in_tabs(value: Any, element: bool = False) -> str:
    """What the ASCII writer makes of a value."""
    match value:
        case None:
            return "-"
        case bool():
            return "T" if value else "F"
        case float():
            return f"{value:.6f}"
        case int():
            return str(value)
        case list():
            return ",".join(in_tabs(v, True) for v in value) or "(empty)"
        case bytes() if value == b"":
            return "(empty)"
    if value in (b"-", b"(empty)"):
        return "".join(f"\\x{c:02x}" for c in value)
    text = octets(value.replace(b"\\", b"\\\\"))
    return text.replace(",", "\\x2c") if element else text


def in_json(value: Any) -> Any:
    """What the JSON writer makes of a value: text as it is where it is UTF-8, else its odd octets escaped."""
    if isinstance(value, list):
        return [in_json(v) for v in value]
    if isinstance(value, bytes):
        try:
            text = value.decode()
        except UnicodeDecodeError:
            return octets(value)
        return text if text.isprintable() else octets(value)
    return value


def record(chance: random.Random) -> dict[str, Any]:
    answered = chance.random() < 0.7
    answers = [chance.choice(TEXTS[:8]) for _ in range(chance.randrange(4))] if answered else None
    query = chance.choice((None, *TEXTS))
    return {
        "ts": round(1772359200 + chance.random() * 1e5, 6), "uid": b"C" + str(chance.random()).encode(),
        "id.orig_h": chance.choice((b"192.0.2.1", b"2001:db8::1")), "id.orig_p": chance.randrange(65536),
        "id.resp_h": b"192.0.2.53", "id.resp_p": 53, "proto": chance.choice((b"udp", b"tcp")),
        "trans_id": chance.randrange(65536), "rtt": round(chance.random(), 6) if answered else None, "query": query,
        "qclass": chance.choice((1, 32769, None)), "qclass_name": None, "qtype": chance.choice((1, 28, 255, None)),
        "qtype_name": None, "rcode": chance.choice((0, 2, 3, 5)) if answered else None, "rcode_name": None,
        **{flag: chance.random() < 0.5 for flag in ("AA", "TC", "RD", "RA")}, "Z": chance.randrange(8),
        "answers": answers, "TTLs": None if answers is None else [round(chance.random() * 3600, 6) for _ in answers],
        "rejected": False,
    }  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
def test_tabs_and_json_give_equal_frames(seed: int) -> None:
    chance = random.Random(seed)
    records = [record(chance) for _ in range(120)]
    head = ["#separator \\x09", "#set_separator\t,", "#empty_field\t(empty)", "#unset_field\t-", "#path\tdns"]
    tabs = [*head, "#fields\t" + "\t".join(FIELDS), *("\t".join(in_tabs(r[f]) for f in FIELDS) for r in records), ""]
    objects = [json.dumps({f: in_json(r[f]) for f in FIELDS if r[f] is not None}) for r in records]
    one = read_log("\n".join(tabs).encode())
    other = read_log("\n".join([*objects, ""]).encode())
    assert (one.attrs["import"].format, other.attrs["import"].format) == ("zeek", "zeek-json")
    assert len(one) == len(other) == len(records)
    for name in ("answers", "qname_raw", "lossy"):
        if name in one or name in other:
            assert [_plain(v) for v in one.pop(name)] == [_plain(v) for v in other.pop(name)], name
    pd.testing.assert_frame_equal(
        one.drop(columns="id"), other.drop(columns="id")[[c for c in one if c != "id"]], check_categorical=False
    )


def _plain(value: Any) -> Any:
    if hasattr(value, "__len__") and not isinstance(value, str):
        return list(value)
    return None if value is pd.NA or value is None or value != value else value


def line(ts: Any, query: str) -> str:
    row = {"ts": ts, "uid": "C1", "id.orig_h": "192.0.2.1", "id.orig_p": 5000, "trans_id": 7, "query": query}
    return json.dumps(row, ensure_ascii=False)


@pytest.mark.parametrize("length", range(90, 130))
def test_a_name_of_any_letters_may_stand_anywhere_in_the_first_line(length: int) -> None:
    name = "a" * length + "é" + "b" * 100
    assert len(read_log(line(1767225600.25, name).encode())) == 1


@pytest.mark.parametrize("many", [1, 3000])
def test_each_line_may_tell_its_time_in_its_own_way(many: int) -> None:
    lines = [line(1767225600.25, "a.example"), *[line("2026-01-01T00:00:00.250000Z", "b.example")] * many]
    for log in (lines, lines[::-1], ['{"uid": "cut', *lines[::-1]]):
        frame = read_log("\n".join(log).encode())
        assert len(frame) == many + 1
        assert set(frame["time"]) == {pd.Timestamp("2026-01-01T00:00:00.25", tz="UTC")}
