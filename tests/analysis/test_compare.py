"""Two logs side by side, by numbers worked out by hand."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from frame_kinds import KINDS, as_kind, rich_table

from dnsnb import schema, simulate
from dnsnb.analysis.compare import called, compare
from dnsnb.analysis.facts import facts
from dnsnb.errors import MissingColumnError

BASE = 1_795_392_000_000_000
HOUR = 3_600_000_000


def log(
    names: list[str], statuses: list[str], waits: list[float], source: str = "home", start: int = BASE
) -> pd.DataFrame:
    count = len(names)
    columns = {
        "time": [start + n * HOUR // (count - 1) for n in range(count)], "qname": names, "status": statuses,
        "latency_ms": waits, "client": ["10.0.0.1"] * count, "rcode": ["NOERROR"] * count, "qtype": ["A"] * count,
        "source": [source] * count, "upstream": ["u"] * count,
    }  # fmt: skip
    return schema.to_frame(schema.to_arrow(columns))


def two(**more: Any) -> tuple[pd.DataFrame, pd.DataFrame]:
    one = log(["a", "a", "b", "c"], ["forwarded", "cached", "forwarded", "blocked"], [10, 0, 30, 0])
    other = log(
        ["a", "d", "d", "d", "d"], ["forwarded", "cached", "cached", "cached", "failed"], [40, 0, 0, 0, 99], **more
    )
    return one, other


def test_the_figures_by_hand() -> None:
    found = compare(*two(source="office"))
    assert found.names == ("home", "office")
    assert found.read_as == "home against office: 4 and 5 queries; 1 names new, 2 gone, 1 in both"
    figures = found.set_index(["aspect", "what"])
    assert figures.loc[("volume", "queries"), ["a", "b", "difference", "ratio"]].tolist() == [4, 5, 1, 1.25]
    assert figures.loc[("volume", "queries an hour"), ["a", "b"]].tolist() == [4, 5]
    assert figures.loc[("volume", "names"), ["a", "b"]].tolist() == [3, 2]
    assert figures.loc[("status", "cached"), ["a", "b"]].tolist() == [0.25, 0.6]
    assert figures.loc[("status", "blocked"), ["a", "b", "difference"]].tolist() == [0.25, 0, -0.25]
    assert figures.loc[("cache", "hit ratio"), ["a", "b"]].tolist() == [pytest.approx(1 / 3), 0.75]
    assert figures.loc[("wait", "p50"), ["a", "b", "ratio"]].tolist() == [20, 40, 2]
    assert found.new.to_dict("list") == {"qname": ["d"], "count": [4]}
    assert found.gone.to_dict("list") == {"qname": ["b", "c"], "count": [1, 1]}
    assert found.clients["change"].tolist() == [0]


def test_what_a_column_lost_and_gained() -> None:
    one = pd.DataFrame({"qname": ["a", "a", "b", "c"]})
    two = pd.DataFrame({"qname": ["a", "d", "d", "d"]})
    found = compare(one, two, "qname").set_index("qname")
    assert found["fate"].to_dict() == {"d": "new", "a": "both", "b": "gone", "c": "gone"}
    assert found.loc["d", "change"] == pytest.approx(0.75)
    assert compare(one, two)["what"].tolist() == ["queries", "names"]
    with pytest.raises(MissingColumnError, match="client"):
        compare(one, two, "client")
    with pytest.raises(ValueError, match="n: 0"):
        compare(one, two, "qname", n=0)


def test_what_the_two_are_called() -> None:
    one, other = two()
    later = [facts(two(start=BASE + hours * HOUR)[1]) for hours in (0, 6, 48)]
    assert [called(facts(one), f) for f in later] == [("a", "b"), ("00:00", "06:00"), ("Nov 23", "Nov 25")]
    assert compare(one, other, names=("x", "y")).names == ("x", "y")


def test_the_same_on_every_engine() -> None:
    table = rich_table()
    first, *others = (compare(as_kind(table.slice(0, 100), kind), as_kind(table.slice(100), kind)) for kind in KINDS)
    for other in others:
        pd.testing.assert_frame_equal(pd.DataFrame(other), pd.DataFrame(first), rtol=1e-4)
        assert other.read_as == first.read_as
        assert other.new.equals(first.new)


@settings(max_examples=8)
@given(
    st.lists(st.sampled_from("abcd"), min_size=1, max_size=20),
    st.lists(st.sampled_from("bcde"), min_size=1, max_size=20),
)
def test_forth_and_back_are_the_same_change(one: list[str], other: list[str]) -> None:
    forth = compare(pd.DataFrame({"qname": one}), pd.DataFrame({"qname": other}), "qname").set_index("qname")["change"]
    back = compare(pd.DataFrame({"qname": other}), pd.DataFrame({"qname": one}), "qname").set_index("qname")["change"]
    assert forth.sort_index().tolist() == pytest.approx((-back).sort_index().tolist())
    assert forth.sum() == pytest.approx(0)


def test_it_draws_itself_and_stays_text() -> None:
    import matplotlib

    matplotlib.use("Agg")
    bad = "<script>alert(1)</script>"
    found = compare(simulate.frame(hours=0.2).assign(rcode=bad), simulate.frame(2, 0.2), names=(bad, "b"))
    for drawn in (found._repr_html_(), str(found.plot(backend="svg")), str(found.names_asked.plot(backend="svg"))):
        assert "<script" not in drawn
    assert found.plot(backend="matplotlib").get_legend() is not None
    assert "points" in found._repr_html_()
