"""How much of a log is on lists, by numbers worked out by hand."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings

sys.path.insert(0, str(Path(__file__).parent))
from frame_kinds import ROWS, made

from dnsnb import analysis


def traffic() -> pd.DataFrame:
    return made(
        {"client": "a", "qname": "x.ads.example", "status": "blocked"},
        {"client": "a", "qname": "y.ads.example", "status": "forwarded"},
        {"client": "b", "qname": "metrics.example", "status": "cached"},
        {"client": "b", "qname": "notads.example", "status": "forwarded"},
        {"client": "b", "qname": "ads.example", "status": "local"},  # settled before any list
        {"client": "b", "qname": None, "status": "forwarded"},
    )


def test_by_rule_client_and_list(tmp_path: Path) -> None:
    path = tmp_path / "all.txt"
    path.write_text("ads.example\n||metrics.example^\n")
    lists = {"ads": ["ads.example"], "all": path}
    by_list = analysis.trackers(traffic(), lists, by="list").set_index("list")
    assert by_list["queries"].to_dict() == {"all": 3, "ads": 2}
    assert by_list["only"].to_dict() == {"all": 1, "ads": 0}
    assert by_list.loc["all", ["share", "names", "clients", "blocked", "would_be"]].tolist() == [0.75, 3, 2, 1, 2]
    overlap = analysis.trackers(traffic(), lists, by="overlap")
    assert overlap[["list", "other", "queries", "names"]].values.tolist() == [["ads", "all", 2, 2]]
    by_client = analysis.trackers(traffic(), lists, by="client").set_index("client")
    assert by_client["share"].to_dict() == {"a": 1.0, "b": 0.5}
    by_rule = analysis.trackers(traffic(), ["ads.example", "metrics.example"])
    assert dict(zip(by_rule["rule"], by_rule["queries"], strict=True)) == {"ads.example": 2, "metrics.example": 1}
    assert "3 of 4 queries are on the lists; 2 of them passed" in by_rule.read_as
    with pytest.raises(ValueError, match="by: 'name'"):
        analysis.trackers(traffic(), lists, by="name")


@settings(max_examples=5)
@given(frame=ROWS)
def test_blocked_and_would_be_are_all(frame: pd.DataFrame) -> None:
    for by in ("rule", "client", "list", "overlap"):
        found = analysis.trackers(frame, ["tracker.example", "a.test"], by=by)
        assert (found["blocked"] + found["would_be"] == found["queries"]).all()
