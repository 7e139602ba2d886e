"""Flows between stages keep their totals; the drawing shows them all, and hostile names as text."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings

sys.path.insert(0, str(Path(__file__).parent))
from frame_kinds import ROWS, made

from dnsnb import analysis


def test_flow() -> None:
    frame = made(
        {"client": "a", "qname": "www.x.example", "upstream": "u1"},
        {"client": "a", "qname": "cdn.x.example", "upstream": "u1"},
        {"client": "b", "qname": "y.example", "status": "blocked"},
        {"client": None, "qname": "z.example", "upstream": "u2"},
        status="forwarded",
    )
    found = analysis.flow(frame)
    links = {(s, a, b): n for s, a, b, n in found[["stage", "source", "target", "count"]].itertuples(index=False)}
    assert links == {
        (0, "a", "x.example"): 2, (0, "b", "y.example"): 1, (0, "(none)", "z.example"): 1,
        (1, "x.example", "u1"): 2, (1, "y.example", "blocked"): 1, (1, "z.example", "u2"): 1,
    }  # fmt: skip


def test_the_rest_is_folded_and_labels_never_collide() -> None:
    rows = [{"client": f"c{n}", "qtype": "A"} for n in range(5)] + [{"client": "(other)", "qtype": "A"}] * 3
    found = analysis.flow(made(*rows), ["client", "qtype"], most=2)
    assert dict(zip(found["source"], found["count"], strict=True)) == {"((other))": 4, "(other)": 3, "c0": 1}
    with pytest.raises(ValueError, match="two different ones"):
        analysis.flow(made(*rows), ["client"])


@settings(max_examples=5)
@given(frame=ROWS)
def test_every_stage_adds_up(frame: pd.DataFrame) -> None:
    found = analysis.flow(frame, ["qtype", "client", "domain", "answered_by"], most=2)
    assert (found.groupby("stage")["count"].sum() == len(frame)).all()
    if len(frame):
        into = found[found["stage"] == 0].groupby("target")["count"].sum()
        out = found[found["stage"] == 1].groupby("source")["count"].sum()
        assert into.to_dict() == out.to_dict()


def test_the_drawing() -> None:
    bad = '<script>alert(1)</script>"onload="x'
    drawn = str(analysis.flow(made({"client": bad, "qname": bad}, {"client": "a", "qname": "x.example"})).plot())
    assert drawn.count("<path") == 4
    assert "<script" not in drawn
    assert 'onload="x' not in drawn.replace("&quot;", "")
    assert "nothing to show" in str(analysis.flow(made()).chart())
    with pytest.raises(ValueError, match="SVG alone"):
        analysis.flow(made({"client": "a"})).plot(backend="matplotlib")
