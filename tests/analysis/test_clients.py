"""Who asks most, and who could be told apart, by numbers worked out by hand."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings

sys.path.insert(0, str(Path(__file__).parent))
from frame_kinds import ROWS, made

from dnsnb import analysis


def test_chatty() -> None:
    polls = [{"at": 3600 * n, "client": "tv", "qname": "poll.example"} for n in range(4)]
    frame = made(
        *polls,
        {"at": 0, "client": "tv", "qname": "other.example"},
        {"at": 5, "client": "pc", "qname": "a.example"},
        {"at": 1},
    )
    found = analysis.chatty(frame)
    assert found.iloc[0].to_dict() == {
        "client": "tv", "queries": 5, "share": 5 / 7, "hours": 4, "per_hour": 1.25, "names": 2,
        "favourite": "poll.example", "favourite_share": 0.8,
    }  # fmt: skip
    assert found["client"].tolist() == ["tv", "pc"]


def test_anonymity() -> None:
    rows = [{"client": f"c{n}", "qname": "common.example", "at": 0} for n in range(5)]
    rows += [{"client": "c0", "qname": "rare.example", "at": 4000}, {"client": "c1", "qname": "pair.example", "at": 0},
             {"client": "c2", "qname": "pair.example", "at": 0}]  # fmt: skip
    found = analysis.anonymity(made(*rows)).set_index("column")
    assert found.loc["qname"].to_dict() == {
        "values": 3, "rare": 2, "unique": 1, "rows": 3, "share": 3 / 8, "clients": 1, "least": 1,
    }  # fmt: skip
    assert found.loc["hour", ["values", "rare", "unique"]].tolist() == [2, 1, 1]
    assert analysis.anonymity(made(*rows), "qname", k=2)["rare"].tolist() == [1]
    with pytest.raises(ValueError, match="k: 1"):
        analysis.anonymity(made(*rows), k=1)


@settings(max_examples=5)
@given(frame=ROWS)
def test_more_clients_wanted_means_more_values_rare(frame: pd.DataFrame) -> None:
    few, many = (analysis.anonymity(frame, ["qname"], k=k).iloc[0] for k in (2, 4))
    assert few["rare"] == few["unique"] <= many["rare"] <= many["values"]
    assert analysis.chatty(frame, n=10)["queries"].sum() == frame["client"].notna().sum()
