"""Streams: state(a) + state(b) is the batch's result of a and b; limits keep totals and say what they dropped."""

from __future__ import annotations

import random
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from frame_kinds import BASE, SECOND, as_kind, plain, rich_table

from dnsnb import analysis, schema
from dnsnb.analysis.sketches import Distinct, Frequent, Percentiles

ROW = st.fixed_dictionaries(
    {
        "time": st.one_of(st.none(), st.integers(BASE, BASE + 600 * SECOND)),
        "client": st.sampled_from(["10.0.0.1", "10.0.0.2", None]),
        "qname": st.sampled_from(["a.test", "b.test", "www.c.test", "(none)", "(other)", None]),
        "qtype": st.sampled_from(["A", "AAAA", None]),
        "rcode": st.sampled_from(["NOERROR", "NXDOMAIN", "SERVFAIL", None]),
        "status": st.sampled_from([*schema.STATUSES, None]),
        "upstream": st.sampled_from(["u1", "u2", None]),
        "latency_ms": st.one_of(st.none(), st.integers(1, 90_000).map(lambda n: n / 8)),
        "ede": st.sampled_from([None, None, 22, 6]),
    }
)
ROWS = st.lists(ROW, max_size=25)

#: analysis -> the parameters it is tried with
TRIED: dict[str, list[dict[str, Any]]] = {
    "cache_hits": [{}, {"every": "1min"}],
    "latency": [{}, {"by": "hour"}, {"by": None, "answered_by": "memory"}],
    "nxdomain": [{}, {"by": "client"}, {"by": "qtype"}],
    "rate": [{}, {"every": "1min", "by": "qname", "most": 2}, {"every": "10s", "by": "status"}],
    "rcodes": [{}],
    "top": [{}, {"column": "client"}, {"column": "qtype", "n": 1}],
}
#: how far a stream's figures may be from the batch's, relative
ERRORS = {"latency": 0.0102}


def by_column(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in rows[0]} if rows else {}


def same(name: str, found: Any, wanted: Any) -> None:
    pd.testing.assert_frame_equal(
        plain(found), plain(wanted), check_dtype=False, rtol=ERRORS.get(name, 1e-9), atol=1e-3
    )


@pytest.mark.parametrize(("name", "params"), [(name, params) for name, tried in TRIED.items() for params in tried])
@settings(max_examples=5, deadline=None)
@given(a=ROWS, b=ROWS, cut=st.integers(0, 25))
def test_states_add_up_to_the_batch(name: str, params: dict[str, Any], a: Any, b: Any, cut: int) -> None:
    one, other = analysis.live(name, **params), analysis.live(name, **params)
    one.extend(by_column(a[:cut]))
    one.extend(by_column(a[cut:]))
    if b:
        other.update(schema.to_frame(schema.to_arrow(by_column(b))))
    whole = schema.to_frame(schema.to_arrow(by_column([*a, *b])))
    wanted = getattr(analysis, name)(whole, **params)
    for summed in (one + other, other + one):
        same(name, summed.result(), wanted)
        assert summed.rows == len(a) + len(b)
        assert summed.dropped == 0
    assert one.rows == len(a), "a sum leaves its parts as they are"


@pytest.mark.parametrize("name", analysis.TWINS)
def test_every_twin_gives_what_the_batch_gives(name: str) -> None:
    table = rich_table()
    stream = analysis.live(name)
    for start in range(0, len(table), 37):
        stream.update(as_kind(table.slice(start, 37), "polars" if start % 2 else "pandas"))
    same(name, stream.result(), getattr(analysis, name)(as_kind(table, "pandas")))
    assert stream.result().attrs["rows"] == len(table)
    assert stream._repr_html_()
    assert name in repr(stream)


def test_only_equals_add_up() -> None:
    with pytest.raises(ValueError, match="same analysis with the same parameters"):
        _ = analysis.live("top", column="qname") + analysis.live("top", column="client")
    with pytest.raises(ValueError, match="no incremental twin; there are"):
        analysis.live("tops")


def test_a_stream_that_takes_itself_doubles() -> None:
    stream = analysis.live("rcodes")
    stream.extend({"rcode": ["NOERROR", "NXDOMAIN"]})
    stream.merge(stream)
    assert stream.result()["count"].tolist() == [2, 2]


def test_limits_keep_totals_and_count_what_they_fold() -> None:
    names = [f"n{n}.test" for n in range(50)]
    rates = analysis.live("rate", by="qname", most=5, values=20)
    rates.extend({"time": [BASE] * 50, "qname": names})
    assert rates.result().to_numpy().sum() == 50
    assert rates.dropped == 30
    windows = analysis.live("rate", every="1s", limit=10)
    windows.extend({"time": [BASE + n * SECOND for n in range(30)]})
    assert windows.result()["count"].sum() == 10
    assert windows.dropped == 20
    upstreams = analysis.live("latency", limit=3)
    upstreams.extend({"upstream": names, "status": ["forwarded"] * 50, "latency_ms": [1.0] * 50})
    found = upstreams.result().set_index("upstream")["count"]
    assert (found.sum(), found["(other)"], upstreams.dropped) == (50, 47, 47)


@pytest.mark.parametrize("wrong", [1_000_000, 4_000_000_000_000_000])
def test_a_clock_gone_wrong_does_not_empty_a_rate(wrong: int) -> None:
    rates = analysis.live("rate", every="1min")
    rates.extend({"time": [BASE, wrong, BASE + 60 * SECOND]})
    assert rates.rows == 3
    assert rates.result()["count"].tolist() == [1, 1]


def test_top_says_how_far_off_it_may_be() -> None:
    picked = random.Random(5).choices(range(2000), weights=[2000 / (n + 1) for n in range(2000)], k=20_000)
    names = [f"n{n}" for n in picked]
    halves = [analysis.live("top", n=20, limit=200) for _ in range(2)]
    for start in range(0, len(names), 500):
        halves[start // 500 % 2].extend({"qname": names[start : start + 500]})
    found = (halves[0] + halves[1]).result()
    truth = Counter(names)
    assert "came at most" in found.read_as
    for row in found.itertuples():
        assert row.count - row.error <= truth[row.qname] <= row.count
    assert set(found["qname"][:8]) == {name for name, _ in truth.most_common(8)}


@settings(max_examples=15, deadline=None)
@given(
    parts=st.lists(st.dictionaries(st.integers(0, 60), st.integers(1, 9), max_size=30), max_size=8),
    limit=st.integers(1, 20),
)
def test_space_saving_never_says_too_little(parts: list[dict[int, int]], limit: int) -> None:
    truth: Counter[int] = Counter()
    halves = Frequent(limit), Frequent(limit)
    for number, part in enumerate(parts):
        truth.update(part)
        halves[number % 2].add(part)
    halves[0].absorb(halves[1])
    counts, errors, floor = halves[0].counts, halves[0].errors, halves[0].floor
    assert len(counts) <= limit + limit // 4
    for value, count in truth.items():
        if value in counts:
            assert counts[value] - errors.get(value, 0) <= count <= counts[value]
        else:
            assert count <= floor


def test_distinct_is_exact_below_its_limit_and_near_above() -> None:
    few, many, half = Distinct(100), Distinct(1024), Distinct(1024)
    few.add(str(n) for n in range(99))
    assert (len(few), few.exact) == (99, True)
    many.add(str(n) for n in range(30_000))
    half.add(str(n) for n in range(20_000, 50_000))
    many.absorb(half)
    assert not many.exact
    assert len(many) == pytest.approx(50_000, rel=0.1)  # three sigma
    assert len(many.hashes) == 1024


@settings(max_examples=15, deadline=None)
@given(values=st.lists(st.floats(0.001, 1e6), min_size=1, max_size=60), share=st.floats(0, 1), cut=st.integers(0, 60))
def test_percentiles_are_within_their_error(values: list[float], share: float, cut: int) -> None:
    one, other = Percentiles(0.01), Percentiles(0.01)
    one.add(np.array(values[:cut]))
    other.add(np.array(values[cut:]))
    one.absorb(other)
    assert one.quantile(share) == pytest.approx(float(np.quantile(values, share)), rel=0.0101)


def test_percentiles_of_nothing_and_of_nought() -> None:
    assert np.isnan(Percentiles().quantile(0.5))
    nought = Percentiles()
    nought.add(np.array([0.0, 0.0]))
    assert nought.quantile(0.5) < 0.00011


def test_follow_and_live_frames_feed_a_stream(tmp_path: Path) -> None:
    """A stream is a sink, by Arrow arrays as well as by lists."""
    import dnsnb
    from dnsnb.client.liveframe import LiveFrame

    frame, types = LiveFrame(), analysis.live("top", column="qtype")
    frame.extend({"time": [BASE], "qtype": ["A"]})
    frame.pass_on(types)
    frame.extend(dict(zip(rich_table().column_names, rich_table().columns, strict=True)))
    assert types.rows == len(frame) == len(rich_table()) + 1
    same("top", types.result(), analysis.top(frame.snapshot(), "qtype"))
    log = tmp_path / "named.log"
    question = "client @0x7f 127.0.1.1#36104 (a.example): query: a.example IN A + (127.0.0.1)"
    log.write_text(f"23-Nov-2026 06:54:02.075 queries: info: {question}\n" * 3)
    names, arrived = analysis.live("top"), threading.Event()

    class Told:
        def extend(self, columns: schema.Columns) -> None:
            names.extend(columns)
            arrived.set()

    follower = dnsnb.follow(log, Told(), start="beginning", interval_s=0.01)
    assert arrived.wait(10)
    follower.close()
    assert names.result().to_dict("list") == {"qname": ["a.example"], "count": [3], "share": [1.0], "clients": [1]}
