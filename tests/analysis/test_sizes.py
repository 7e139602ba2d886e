"""TTLs by class and answers by size, by numbers worked out by hand."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings

sys.path.insert(0, str(Path(__file__).parent))
from frame_kinds import ROWS, made

from dnsnb import analysis


def test_ttls_by_class() -> None:
    ttls = [0, 1, 29, 30, 59, 60, 299, 300, 86399, 86400, 200_000]
    frame = made(
        *({"ttl": ttl} for ttl in ttls), {"ttl": 7, "status": "cached"}, {"ttl": None}, qname="a", status="forwarded"
    )
    found = analysis.ttls(frame)
    assert dict(zip(found["ttl"], found["count"], strict=True)) == {
        "0": 1, "1-29": 2, "30-59": 2, "60-299": 2, "300-899": 1, "14400-86399": 1, "86400 and more": 2,
    }  # fmt: skip
    assert found["share"].iloc[0] == pytest.approx(1 / 11)
    assert set(found["names"]) == {1}


def test_amplification() -> None:
    frame = made(
        {"qtype": "ANY", "query_bytes": 40, "response_bytes": 4000},
        {"qtype": "ANY", "query_bytes": 60, "response_bytes": 0},
        {"qtype": "A", "query_bytes": 50, "response_bytes": 100},
        {"qtype": "A", "query_bytes": None, "response_bytes": 9},
    )
    found = analysis.amplification(frame)
    assert found[["qtype", "count", "ratio", "largest"]].values.tolist() == [["ANY", 2, 40.0, 4000], ["A", 1, 2.0, 100]]


@settings(max_examples=5)
@given(frame=ROWS)
def test_shares_add_up(frame: pd.DataFrame) -> None:
    found = analysis.ttls(frame)
    fresh = frame[~frame["status"].isin(["cached", "stale", "local", "blocked"]) & frame["ttl"].notna()]
    assert found["count"].sum() == len(fresh)
    assert found.empty or found["share"].sum() == pytest.approx(1)
    sized = frame.dropna(subset=["query_bytes", "response_bytes", "qtype"])
    assert analysis.amplification(frame)["response_bytes"].sum() == sized["response_bytes"].sum()
