"""Trackers behind a site's own name."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
from hypothesis import given, settings

sys.path.insert(0, str(Path(__file__).parent))
from frame_kinds import ROWS, made

from dnsnb import analysis


def test_a_chain_to_somebody_elses_tracker() -> None:
    frame = made(
        {"client": "a", "qname": "m.news.example", "answers": ["t.collect.example", "192.0.2.1"]},
        {"client": "b", "qname": "m.news.example", "answers": ["t.collect.example", "192.0.2.1"]},
        {"client": "a", "qname": "www.collect.example", "answers": ["t.collect.example"]},  # its own
        {"client": "a", "qname": "www.news.example", "answers": ["cdn.example", "2001:db8::1"]},
        {"client": "a", "qname": "x.news.example", "status": "blocked", "rule": "t (CNAME y.collect.example)"},
        {"client": "a", "qname": "txt.example", "qtype": "TXT", "answers": ["t.collect.example"]},
        qtype="A", status="forwarded",
    )  # fmt: skip
    found = analysis.cloaking(frame, ["collect.example"])
    assert found.to_dict("records") == [
        {
            "qname": "m.news.example", "site": "news.example", "target": "t.collect.example",
            "tracker": "collect.example", "queries": 2, "clients": 2, "blocked": 0,
        },
        {
            "qname": "x.news.example", "site": "news.example", "target": "y.collect.example",
            "tracker": "collect.example", "queries": 1, "clients": 1, "blocked": 1,
        },
    ]  # fmt: skip


def test_the_list_that_comes_with_it() -> None:
    found = analysis.cloaking(made({"qname": "a.shop.example", "qtype": "A", "answers": ["shop.at-o.net."]}))
    assert found["tracker"].tolist() == ["at-o.net"]
    text = (Path(analysis.__file__).parent / "cloaking.txt").read_text(encoding="utf-8")
    assert "Copyright (c) 2022 NextDNS" in text, "its licence wants the notice kept"


@settings(max_examples=5)
@given(frame=ROWS)
def test_only_rows_with_a_chain(frame: pd.DataFrame) -> None:
    found = analysis.cloaking(frame, ["tracker.example"])
    addresses = frame[frame["qtype"].isin(["A", "AAAA", "HTTPS"]) & frame["qname"].notna()]
    chained = [answers for answers in addresses["answers"].dropna() if "x.tracker.example" in answers]
    assert found["queries"].sum() <= len(chained)
    assert "tracker.example" not in set(found["qname"])
