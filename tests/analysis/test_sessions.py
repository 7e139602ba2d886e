"""Sessions by silence and lookups by page, by numbers worked out by hand."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings

sys.path.insert(0, str(Path(__file__).parent))
from frame_kinds import ROWS, made

from dnsnb import analysis


def test_silence_parts_sessions() -> None:
    frame = made(
        {"at": 0, "client": "a"}, {"at": 60, "client": "a"}, {"at": 60 + 1800, "client": "a"},  # 30 min: not more
        {"at": 4000, "client": "a"}, {"at": 10, "client": "b"}, {"at": None, "client": "a"}, {"at": 1, "client": None},
        qname="www.example", qtype="A",
    )  # fmt: skip
    found = analysis.sessions(frame)
    assert found[["client", "session", "queries", "minutes"]].values.tolist() == [
        ["a", 1, 3, 31.0],
        ["a", 2, 1, 0.0],
        ["b", 1, 1, 0.0],
    ]
    assert len(analysis.sessions(frame, gap="1min")) == 4


def test_address_and_service_types_are_one_lookup() -> None:
    rows = [{"at": n / 10, "qtype": qtype} for n, qtype in enumerate(["A", "AAAA", "HTTPS"])]
    frame = made(*rows, {"at": 0.3, "qtype": "TXT"}, {"at": 5, "qtype": "A"}, client="a", qname="www.example")
    found = analysis.sessions(frame).iloc[0]
    assert (found["queries"], found["lookups"], found["names"]) == (5, 3, 1)


def test_what_is_looked_up_with_a_page() -> None:
    rows = []
    for at in (0, 100, 200):
        rows += [(at, "www.shop.example"), (at + 0.1, "cdn.example"), (at + 1.9, "ads.example")]
    rows += [(300, "lonely.example"), (302.5, "lonely.example"), (100.2, "only-once.example")]
    frame = made(*({"at": at, "qname": name} for at, name in rows), client="a", qtype="A")
    found = analysis.page_loads(frame)
    assert found.to_dict("records") == [
        {
            "root": "www.shop.example", "loads": 3, "clients": 1, "names": 7 / 3,
            "companions": "ads.example, cdn.example, only-once.example",
        }
    ]  # fmt: skip
    with pytest.raises(ValueError, match="limit: 5: the frame has more lookups"):
        analysis.page_loads(frame, limit=5)


@settings(max_examples=5)
@given(frame=ROWS)
def test_no_query_is_lost_or_counted_twice(frame: pd.DataFrame) -> None:
    whole = frame.dropna(subset=["time", "client", "qname"])
    found = analysis.sessions(frame, gap="5min")
    assert found["queries"].sum() == len(whole)
    assert (found["lookups"] <= found["queries"]).all()
    assert (found["lookups"] >= 1).all()
    one = analysis.sessions(frame, gap="1D")
    assert len(one) == whole["client"].nunique()
