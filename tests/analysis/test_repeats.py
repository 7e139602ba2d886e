"""Storms and retries, by numbers worked out by hand."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings

sys.path.insert(0, str(Path(__file__).parent))
from frame_kinds import ROWS, made

from dnsnb import analysis


def test_storms() -> None:
    loud = [{"at": n / 10, "client": "a", "qname": "loop.example"} for n in range(30)]  # 30 in the first 10 s
    later = [{"at": 20 + n / 10, "client": "a", "qname": "loop.example"} for n in range(25)]
    calm = [{"at": n, "client": "b", "qname": "calm.example"} for n in range(19)]
    found = analysis.storms(made(*loud, *later, *calm, qtype="A"))
    row = found.iloc[0]
    assert len(found) == 1
    assert (row["client"], row["qname"], row["windows"], row["queries"], row["worst"]) == (
        "a",
        "loop.example",
        2,
        55,
        30,
    )
    assert (row["last"] - row["first"]).total_seconds() == 20
    with pytest.raises(ValueError, match="least: 1"):
        analysis.storms(made(*calm), least=1)


def test_retries() -> None:
    good, failed = {"rcode": "NOERROR", "status": "forwarded"}, {"rcode": "SERVFAIL", "status": "failed"}
    silent = {"rcode": None, "status": "failed"}
    frame = made(
        {"at": 0, "qname": "x.example"} | silent,
        {"at": 2, "qname": "x.example"} | failed,  # retried, again in vain
        {"at": 4, "qname": "x.example"} | good,  # retried, and recovered
        {"at": 6, "qname": "x.example"} | good,  # nothing to retry
        {"at": 8, "qname": "y.example"} | failed,
        {"at": 60, "qname": "y.example"} | good,  # too late to be a retry
        client="a", qtype="A",
    )  # fmt: skip
    found = analysis.retries(frame)
    assert found.to_dict("records") == [
        {"client": "a", "queries": 6, "failed_share": 0.5, "failed": 3, "timeouts": 1, "retried": 2, "recovered": 1}
    ]
    assert analysis.retries(frame, within="1min")["recovered"].tolist() == [2]


@settings(max_examples=5)
@given(frame=ROWS)
def test_parts_are_never_more_than_the_whole(frame: pd.DataFrame) -> None:
    found = analysis.retries(frame)
    assert found["queries"].sum() == len(frame.dropna(subset=["time", "client", "qname"]))
    for part, whole in (
        ("failed", "queries"),
        ("timeouts", "failed"),
        ("recovered", "retried"),
        ("retried", "queries"),
    ):
        assert (found[part] <= found[whole]).all()
    stormy = analysis.storms(frame, every="1h", least=2)
    assert (stormy["worst"] * stormy["windows"] >= stormy["queries"]).all()
    assert (stormy["queries"] >= 2 * stormy["windows"]).all()


def test_a_capture_without_answers() -> None:
    """A question that no answer was seen to; but a log of questions alone says nothing of answers."""
    rows = [{"at": 0, "rcode": None}, {"at": 1, "rcode": "NOERROR"}]
    frame = made(*rows, client="a", qname="x.example", qtype="A", status="unknown")
    assert analysis.retries(frame)[["failed", "timeouts", "retried", "recovered"]].values.tolist() == [[1, 1, 1, 1]]
    assert analysis.retries(frame.assign(rcode=None))["failed"].tolist() == [0]
