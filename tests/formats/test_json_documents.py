"""JSON that is not one record a line: Firehose's, arrays, pretty-printed, in the envelope of an API."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from dnsnb.errors import LogFormatError
from dnsnb.formats import follow, read_log
from dnsnb.formats.jsonstream import LONGEST, Lines, needed

Records = list[dict[str, Any]]
LOGS = ("route53.json", "cloudflare.json", "nextdns.json", "suricata.json", "zeek.json", "adguard.json", "dnsnb.jsonl")
SHAPES: dict[str, Callable[[Records], str]] = {
    "firehose": lambda records: "".join(map(json.dumps, records)),
    "pretty": lambda records: "\n".join(json.dumps(r, indent=2) for r in records),
    "array": json.dumps,
    "pretty array": lambda records: json.dumps(records, indent=4),
    "several arrays": lambda records: json.dumps(records[:1]) + "\n" + json.dumps(records[1:]) + "\n",
    "envelope": lambda records: json.dumps({"count": 2, "of": [{}], "data": records, "meta": {"next": None}}),
    "two envelopes": lambda records: json.dumps({"status": {"code": 200}, "hits": {"n": 2, "hits": records}}, indent=1),
    "CloudWatch": lambda records: "".join(
        json.dumps({"messageType": "DATA_MESSAGE", "logEvents": [{"timestamp": 1, "message": json.dumps(r)}]})
        for r in records
    ),
    "text sequence": lambda records: "".join(f"\x1e{json.dumps(r)}\n" for r in records),
}  # fmt: skip


def records_of(path: Path) -> Records:
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return [record for record in found if isinstance(record, dict)]


def same(one: pd.DataFrame, other: pd.DataFrame) -> bool:
    return one.astype(str).drop(columns="id").equals(other.astype(str).drop(columns="id"))


@pytest.mark.parametrize(
    ("shape", "log"),
    [
        *((shape, "route53.json") for shape in SHAPES),
        *((s, log) for s in ("firehose", "pretty array") for log in LOGS[1:]),
    ],
)
def test_the_rows_are_those_of_a_record_a_line(sample: Callable[[str], Path], shape: str, log: str) -> None:
    records = records_of(sample(log))
    expected = read_log("".join(f"{json.dumps(r)}\n" for r in records).encode())
    frame = read_log(SHAPES[shape](records).encode())
    assert same(frame, expected)
    report = frame.attrs["import"]
    assert report.format == expected.attrs["import"].format
    assert report.skipped_count == expected.attrs["import"].skipped_count
    assert report.lines == report.events + report.skipped_count + sum(report.asides.values())
    assert any("not one record a line" in note for note in report.notes)


def test_utf16_with_a_mark_as_powershell_writes_it(sample: Callable[[str], Path]) -> None:
    records = records_of(sample("route53.json"))
    expected = read_log("".join(f"{json.dumps(r)}\n" for r in records).encode())
    assert same(read_log(("\ufeff" + json.dumps(records, indent=4)).encode("utf-16-le")), expected)


def test_plain_lines_stay_as_they_are(sample: Callable[[str], Path]) -> None:
    for log in LOGS:
        assert not needed(sample(log).read_bytes()), log
    assert not needed(b'{"a": 1, "b": {"c": [')  # the start of a line
    assert not needed(b"[1551441121] unbound[1:0] info: 127.0.0.1 example.com. A IN\n")
    assert not needed(b"[INFO] 192.0.2.1\n")
    assert not needed(b"")


@pytest.mark.parametrize("shape", SHAPES)
def test_pieces_of_any_size_give_the_same_lines(shape: str) -> None:
    records: Records = [
        {"n": i, "s": 'x}{[]\\"y', "deep": {"k": [1, {"z": [{}]}], "data": [1]}, "e": {}} for i in range(5)
    ]
    text = SHAPES[shape](records).encode()
    whole = Lines().feed(text)
    assert len(whole.splitlines()) == 5
    for size in (1, 7, 100):
        lines = Lines()
        assert b"".join(lines.feed(text[i : i + size]) for i in range(0, len(text), size)) == whole
        assert (lines.finish(), lines.open) == (b"", False)


def test_a_record_that_is_cut_anywhere_costs_at_most_its_neighbour() -> None:
    records = [json.dumps({"n": i, "s": "abc", "deep": {"k": [1, {"z": []}]}, "e": {}}).encode() for i in range(5)]
    for at in range(1, len(records[1])):
        lines = Lines()
        out = lines.feed(records[0] + records[1][:at] + b"".join(records[2:])) + lines.finish()
        assert sum(record in out.splitlines() for record in records) >= 3, records[1][:at]


def test_what_never_ends_is_given_up_and_the_next_record_read() -> None:
    lines = Lines()
    out = lines.feed(b'{"a": [')
    for _ in range(6):
        out += lines.feed(b"1," * (1 << 19))
        assert len(lines._text) <= LONGEST
    out += lines.feed(b']} {"b": 1}{"c": 2}') + lines.finish()
    assert out.splitlines()[-1] == b'{"c": 2}'
    assert len(out) > 6 << 20  # all of it was handed on, none dropped in silence


def test_damage_never_raises_and_every_piece_is_accounted_for(sample: Callable[[str], Path]) -> None:
    rng = random.Random(9)
    records = records_of(sample("route53.json"))
    for _ in range(60):
        text = bytearray(rng.choice(list(SHAPES.values()))(records).encode())
        del text[rng.randrange(40, len(text)) :]
        for _ in range(rng.randrange(4)):
            text[rng.randrange(40, len(text))] = rng.randrange(256)
        try:
            report = read_log(bytes(text), format="route53").attrs["import"]
        except LogFormatError:  # nothing is left that looks like it
            continue
        assert report.lines == report.events + report.skipped_count + sum(report.asides.values())


def test_an_array_that_is_cut_says_so(sample: Callable[[str], Path]) -> None:
    text = json.dumps(records_of(sample("route53.json"))).encode()
    report = read_log(text[:-20]).attrs["import"]
    assert any("ends too early" in note for note in report.notes)
    assert report.skipped_count == 1


def test_objects_without_a_line_break_are_followed(tmp_path: Path, sample: Callable[[str], Path]) -> None:
    records = records_of(sample("route53.json"))
    log = tmp_path / "stream.json"
    log.write_text(json.dumps(records[0]) + json.dumps(records[1]))
    with follow(log, start="beginning", interval_s=0.02) as follower:
        assert follower.wait_for(2)
        with log.open("a") as out:
            out.write(json.dumps(records[0]))
        assert follower.wait_for(3)
