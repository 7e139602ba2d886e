"""Names that don't exist: the ratio both ways, and what search lists waste, by numbers worked out by hand."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings

sys.path.insert(0, str(Path(__file__).parent))
from frame_kinds import ROWS, made

from dnsnb import analysis


def household() -> pd.DataFrame:
    """Ten answered questions of two clients, six of them NXDOMAIN, four of those by habit."""
    good, missing = {"rcode": "NOERROR"}, {"rcode": "NXDOMAIN"}
    return made(
        {"client": "a", "qname": "www.example.com"} | good,
        {"client": "a", "qname": "www.example.com.corp.example"} | missing,  # a search list
        {"client": "a", "qname": "www.example.com.corp.example"} | missing,
        {"client": "a", "qname": "wpad"} | missing,
        {"client": "a", "qname": "1.0.0.10.in-addr.arpa"} | missing,
        {"client": "a", "qname": "9.9.9.9.in-addr.arpa"} | good,
        {"client": "b", "qname": "www.example.com.corp.example"} | missing,  # b never asked for the name alone
        {"client": "b", "qname": "mistyped.example"} | missing,
        {"client": "b", "qname": "mail.example"} | good,
        {"client": "b", "qname": "shop.example"} | good,
        {"client": "b", "qname": "unanswered.example", "rcode": None},
    )


def test_the_ratio_both_ways() -> None:
    found = analysis.nxdomain(household()).iloc[0]
    assert (found["answered"], found["nxdomain"], found["ratio"]) == (10, 6, 0.6)
    assert (found["reverse"], found["single_label"], found["search_suffix"]) == (2, 1, 2)
    assert (found["other_answered"], found["other_nxdomain"], found["other_ratio"]) == (5, 2, 0.4)


def test_by_client() -> None:
    found = analysis.nxdomain(household(), by="client").set_index("client")
    assert found["ratio"].to_dict() == {"a": 4 / 6, "b": 0.5}
    assert found["other_ratio"].to_dict() == {"a": 0.0, "b": 0.5}


def test_what_search_lists_waste() -> None:
    found = analysis.search_suffixes(household())
    assert found.to_dict("records") == [
        {
            "suffix": "corp.example", "queries": 2, "share": 2 / 11, "names": 1, "clients": 1,
            "example": "www.example.com.corp.example",
        }
    ]  # fmt: skip


@settings(max_examples=5)
@given(frame=ROWS)
def test_what_is_left_out_adds_up(frame: pd.DataFrame) -> None:
    found = analysis.nxdomain(frame, by="qtype")
    left_out = found[["reverse", "single_label", "search_suffix"]].sum(axis=1)
    assert (found["other_answered"] + left_out == found["answered"]).all()
    assert (found["other_nxdomain"] <= found["nxdomain"]).all()
    waste = analysis.search_suffixes(frame)["queries"].sum()
    assert waste <= found["search_suffix"].sum() + frame["qtype"].isna().sum()


def test_wrong_numbers_are_named() -> None:
    with pytest.raises(ValueError, match="n: 0"):
        analysis.search_suffixes(household(), n=0)
