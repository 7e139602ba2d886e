"""Dialects met in the field (versions, locales, exports, headers), each in a few lines of our own: data/dialects.txt.

A section is ``=== format: what``, lines of a log, ``---``, and what each row must say.
"""

from __future__ import annotations

import json
import re

import pytest

from dnsnb.formats import read_log

from .conftest import DATA
from .test_every_format import _same

SECTIONS = dict(
    part.split("\n", 1) for part in re.split(r"(?m)^=== ", (DATA / "dialects.txt").read_text(encoding="utf-8"))[1:]
)


@pytest.mark.parametrize("dialect", SECTIONS)
def test_a_dialect_is_recognised_and_read(dialect: str) -> None:
    text, told = SECTIONS[dialect].split("---\n")
    frame = read_log(text.encode(), tz="UTC", year=2026)
    report = frame.attrs["import"]
    assert report.format == dialect.partition(":")[0]
    expected = [json.loads(line) for line in told.splitlines()]
    assert len(frame) == len(expected), f"{frame.iloc[:, :16]}\n{report}"
    left_out = re.search(r"(\d+) left out", dialect)
    assert report.skipped_count == (int(left_out[1]) if left_out else 0), str(report)
    assert report.lines == report.events + report.skipped_count + sum(report.asides.values()), str(report)
    for row, values in enumerate(expected):
        for column, value in values.items():
            _same(frame[column].iloc[row], value, f"{dialect}, row {row}, {column}")


def test_a_template_of_coredns_may_be_json() -> None:
    template = '{"name":"{name}","type":"{type}","from":"{remote}","rcode":"{rcode}"}'
    line = b'{"name":"a.example.","type":"AAAA","from":"192.0.2.1","rcode":"NXDOMAIN"}\n'
    frame = read_log(line, format="coredns", template=template)
    assert frame[["qname", "qtype", "client", "rcode"]].values.tolist() == [
        ["a.example", "AAAA", "192.0.2.1", "NXDOMAIN"]
    ]
