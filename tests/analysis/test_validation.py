"""How answers stood with DNSSEC, by numbers worked out by hand."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings

sys.path.insert(0, str(Path(__file__).parent))
from frame_kinds import ROWS, made

from dnsnb import analysis


def test_each_verdict() -> None:
    frame = made(
        {"qname": "good.example", "flags": "qr rd ra ad"},
        {"qname": "good.example", "flags": "qr rd ra ad"},
        {"qname": "plain.example"},
        {"qname": "bad.example", "rcode": "SERVFAIL", "ede": 7},
        {"qname": "broken.example", "rcode": "SERVFAIL"},
        {"qname": "broken.example", "flags": "qr rd ra cd"},  # the same with checking disabled: answered
        {"qname": "lame.example", "rcode": "SERVFAIL"},
        {"qname": "silent.example", "rcode": None, "flags": None},
        {"qname": "maybe.example", "ede": 5},
        {"qname": "ads.example", "status": "blocked"},
        qtype="A", rcode="NOERROR", flags="qr rd ra", client="a", status="forwarded",
    )  # fmt: skip
    found = analysis.dnssec(frame)
    counts = {(v, r): c for v, r, c in zip(found["validation"], found["reason"], found["count"], strict=True)}
    assert counts == {
        ("secure", ""): 2, ("insecure", ""): 1, ("bogus", "signature expired"): 1, ("bogus", "answered with CD"): 1,
        ("unchecked", "asked with CD"): 1, ("failed", ""): 1, ("unanswered", ""): 1,
        ("indeterminate", "DNSSEC indeterminate"): 1,
    }  # fmt: skip
    assert found["share"].iloc[0] == pytest.approx(2 / 9)
    assert "2 were bogus" in found.read_as


@settings(max_examples=5)
@given(frame=ROWS)
def test_every_looked_up_row_has_one_verdict(frame: pd.DataFrame) -> None:
    passed = frame["status"].isin(["blocked", "local", "refused", "limited"]).sum()
    assert analysis.dnssec(frame)["count"].sum() == len(frame) - passed
