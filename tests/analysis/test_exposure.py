"""Client subnets in questions, by numbers worked out by hand."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from frame_kinds import ROWS

from dnsnb import analysis
from dnsnb.errors import MissingColumnError


def test_prefixes_and_whole_addresses() -> None:
    frame = pd.DataFrame(
        {
            "qname": ["a.test", "b.test", "a.test", "a.test", "c.test"],
            "client": ["x", "y", "x", "x", "x"],
            "ecs": ["192.0.2.0/24/0", "192.0.2.0/24/24", "2001:db8::1/128", None, "198.51.100.7"],
        }
    )
    found = analysis.ecs(frame)
    assert found[["subnet", "whole", "queries", "share", "names", "clients"]].values.tolist() == [
        ["192.0.2.0/24", False, 2, 0.4, 2, 2],
        ["198.51.100.7", False, 1, 0.2, 1, 1],
        ["2001:db8::1/128", True, 1, 0.2, 1, 1],
    ]
    assert found["bits"].tolist() == [24, pd.NA, 128]


def test_a_log_without_them_says_so() -> None:
    with pytest.raises(MissingColumnError, match="no column 'ecs'"):
        analysis.ecs(pd.DataFrame({"qname": ["a.test"]}))


@settings(max_examples=5)
@given(frame=ROWS, subnets=st.lists(st.sampled_from(["192.0.2.0/24/0", "x", None]), min_size=20, max_size=20))
def test_every_subnet_is_counted_once(frame: pd.DataFrame, subnets: list[str | None]) -> None:
    whole = frame.assign(ecs=pd.Series(subnets[: len(frame)], dtype="str"))
    assert analysis.ecs(whole)["queries"].sum() == whole["ecs"].notna().sum()
