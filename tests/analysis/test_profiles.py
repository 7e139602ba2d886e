"""What clients are like and how they change, by numbers worked out by hand."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings

sys.path.insert(0, str(Path(__file__).parent))
from frame_kinds import ROWS, made

from dnsnb import analysis


def test_profile() -> None:
    frame = made(
        {"at": 0, "qname": "www.a.example", "rcode": "NOERROR", "status": "cached"},
        {"at": 3600, "qname": "cdn.a.example", "rcode": "NXDOMAIN", "status": "forwarded"},
        {"at": 3700, "qname": "b.example", "rcode": "NOERROR", "status": "blocked"},
        {"at": 3800, "qname": "localhost", "rcode": "NOERROR", "status": "local"},
        client="a",
    )
    row = analysis.profile(frame).iloc[0]
    assert (row["queries"], row["names"], row["domains"], row["top_domain"], row["top_share"]) == (
        4,
        4,
        3,
        "a.example",
        0.5,
    )
    assert (row["nxdomain"], row["blocked"]) == (0.25, 0.25)
    base = frame["time"].iloc[0].hour
    assert row["busiest_hour"] == base + 1
    assert (row[f"h{base:02}"], row[f"h{base + 1:02}"]) == (1, 3)


def test_a_client_that_changed() -> None:
    before = made(*({"at": n, "qname": "a.example"} for n in range(3)), {"at": 9, "qname": "x.b.example"}, client="a")
    now = made(*({"at": n, "qname": "a.example"} for n in range(3)), {"at": 9, "qname": "new.example"}, client="a")
    both = pd.concat([now, made({"at": 1, "client": "n", "qname": "a.example"})])
    found = analysis.profile_diff(both, before).set_index("client")
    # p = (3/4, 1/4, 0), q = (3/4, 0, 1/4): the divergence is 1/4 bit, the distance its root
    assert found.loc["a", "distance"] == pytest.approx(0.5)
    assert found.loc["a", "hour_distance"] == 0
    assert found.loc["a", ["new", "gone", "new_share", "new_domains"]].tolist() == [1, 1, 0.25, "new.example"]
    assert (found.loc["n", "fate"], found.index[0]) == ("new", "n")
    assert pd.isna(found.loc["n", "distance"])


@settings(max_examples=5)
@given(one=ROWS, other=ROWS)
def test_a_distance_is_one(one: pd.DataFrame, other: pd.DataFrame) -> None:
    """Between 0 and 1, the same both ways, 0 to itself."""
    there, back = (analysis.profile_diff(a, b).set_index("client")["distance"] for a, b in ((one, other), (other, one)))
    pd.testing.assert_series_equal(there.sort_index(), back.sort_index())
    assert there.dropna().between(0, 1).all()
    assert (analysis.profile_diff(one, one)["distance"].dropna() == 0).all()
    assert analysis.profile(one)["queries"].sum() == len(one.dropna(subset=["time", "client", "qname"]))
