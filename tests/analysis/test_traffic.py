"""The analyses of traffic, by numbers worked out by hand, on three kinds of frame, and on odd ones."""

from __future__ import annotations

import doctest
import importlib
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import dnsnb.analysis.accessor  # noqa: F401 - registers frame.dns
from dnsnb import analysis, schema, simulate
from dnsnb.errors import MissingColumnError

MINUTE = 60_000_000
BASE = 1_795_392_000_000_000  # a full hour


def hand_made() -> pd.DataFrame:
    """Six queries over three minutes, the middle one empty."""
    columns = {
        "time": [BASE, BASE + 1, BASE + 2, BASE + 2 * MINUTE, BASE + 2 * MINUTE + 5, BASE + 2 * MINUTE + 9],
        "client": ["10.0.0.1", "10.0.0.1", "10.0.0.2", "10.0.0.2", "10.0.0.2", None],
        "qname": ["a.test", "b.test", "a.test", "a.test", "c.test", None],
        "qtype": ["A", "A", "AAAA", "A", "A", "A"],
        "rcode": ["NOERROR", "NXDOMAIN", "NOERROR", "NOERROR", "SERVFAIL", None],
        "status": ["forwarded", "forwarded", "forwarded", "cached", "failed", "blocked"],
        "upstream": ["u1", "u1", "u2", None, "u1", None],
        "latency_ms": [10.0, 20.0, 5.0, 0.1, 4500.0, 0.0],
    }
    return schema.to_frame(schema.to_arrow(columns))


KINDS = ("pandas", "arrow-backed", "polars", "duckdb")


def as_kind(frame: pd.DataFrame, kind: str) -> Any:
    if kind == "pandas":
        return frame
    wanted = frame[["time", "client", "qname", "qtype", "rcode", "status", "upstream", "latency_ms", "ede"]]
    table = pa.Table.from_pandas(wanted, preserve_index=False)
    if kind == "arrow-backed":
        return table.to_pandas(types_mapper=pd.ArrowDtype)
    return pl.from_arrow(table).lazy() if kind == "polars" else duckdb.from_arrow(table)


@pytest.fixture(params=KINDS)
def made(request: pytest.FixtureRequest) -> Any:
    return as_kind(hand_made(), request.param)


def test_top(made: Any) -> None:
    found = analysis.top(made, "qname", n=2)
    assert found.to_dict("list") == {
        "qname": ["a.test", "b.test"],
        "count": [3, 1],
        "share": [0.5, 1 / 6],
        "clients": [2, 1],
    }
    assert analysis.top(made, "client")["count"].tolist() == [3, 2]


def test_rate_has_no_holes(made: Any) -> None:
    found = analysis.rate(made, "1min")
    assert found["count"].tolist() == [3, 0, 3]
    assert found.index[0] == pd.Timestamp(BASE, unit="us", tz="UTC")
    by = analysis.rate(made, "1min", by="status")
    assert by["forwarded"].tolist() == [3, 0, 0]
    assert by.to_numpy().sum() == 6


def test_rcodes(made: Any) -> None:
    found = analysis.rcodes(made)
    assert dict(zip(found["rcode"], found["count"], strict=True)) == {"NOERROR": 3, "NXDOMAIN": 1, "SERVFAIL": 1}
    assert found["share"].iloc[0] == pytest.approx(0.6)


def test_latency_leaves_memory_and_failures_out(made: Any) -> None:
    found = analysis.latency(made).set_index("upstream")
    assert found.loc["u1", "count"] == 2
    assert found.loc["u1", "p50"] == pytest.approx(15.0)
    assert found.loc["u1", "failed"] == pytest.approx(1 / 3)
    assert found.loc["u2", ["p50", "p99"]].tolist() == [5.0, 5.0]
    assert analysis.latency(made, by=None)["count"].tolist() == [3]


def test_a_dead_upstream_has_a_row() -> None:
    frame = hand_made()
    dead = frame.assign(status="failed", upstream="dead")
    found = analysis.latency(pd.concat([frame, dead])).set_index("upstream")
    assert found.loc["dead", ["count", "failed"]].tolist() == [0, 1.0]
    assert pd.isna(found.loc["dead", "p50"])


def test_results_can_be_kept(tmp_path: Path) -> None:
    frame = simulate.frame(hours=0.2)
    for name in ("top", "rcodes", "latency"):
        found = getattr(frame.dns, name)()
        found.to_parquet(tmp_path / "kept.parquet")
        pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "kept.parquet"), pd.DataFrame(found))
    frame.dns.rate("1min", by="status").to_parquet(tmp_path / "kept.parquet")
    frame.dns.cache_hits("1min").to_parquet(tmp_path / "kept.parquet")


def test_cache_hits(made: Any) -> None:
    assert analysis.cache_hits(made)["hit_ratio"].tolist() == [0.25]
    assert analysis.cache_hits(made, "1min")["hit_ratio"].tolist() == [0.0, 1.0]


def test_the_same_on_every_engine() -> None:
    frame = simulate.frame(hours=2)
    asked = [
        lambda f: analysis.top(f, "qname", 50),
        lambda f: analysis.rate(f, "5min", by="status"),
        lambda f: analysis.rcodes(f),
        lambda f: analysis.latency(f),
        lambda f: analysis.cache_hits(f, "10min"),
    ]
    for ask in asked:
        first, *others = (ask(as_kind(frame, kind)) for kind in KINDS)
        for other in others:
            pd.testing.assert_frame_equal(
                pd.DataFrame(first), pd.DataFrame(other), check_dtype=False, check_names=False, rtol=1e-4
            )


def odd_frames() -> dict[str, pd.DataFrame]:
    frame = simulate.frame(hours=0.1)
    return {
        "empty": schema.empty_frame(),
        "one": frame.head(1),
        "null": schema.to_frame(schema.to_arrow({"id": [1, 2, 3]})),
        "unsorted": frame.sample(frac=1, random_state=1),
        "doubled": pd.concat([frame, frame]),
    }


@pytest.mark.parametrize("kind", odd_frames())
def test_odd_frames(kind: str) -> None:
    frame = odd_frames()[kind]
    for name in ("top", "rate", "rcodes", "latency", "cache_hits"):
        found = getattr(frame.dns, name)()
        assert isinstance(found, analysis.Result)
        assert found.read_as
        assert found._repr_html_()
    assert str(frame.dns.summary())
    assert frame.dns.compare(frame)["difference"].fillna(0).eq(0).all()
    if kind == "unsorted":
        whole = simulate.frame(hours=0.1)
        pd.testing.assert_frame_equal(pd.DataFrame(frame.dns.rate()), pd.DataFrame(whole.dns.rate()))


@pytest.mark.parametrize(
    ("name", "column"), [("top", "qname"), ("rcodes", "rcode"), ("latency", "latency_ms"), ("rate", "time")]
)
def test_a_missing_column_is_named(name: str, column: str) -> None:
    frame = simulate.frame(hours=0.05).drop(columns=column)
    with pytest.raises(MissingColumnError, match=column):
        getattr(analysis, name)(frame)


def test_the_accessor_says_what_it_needs_and_has() -> None:
    with pytest.raises(AttributeError, match="qname"):
        _ = pd.DataFrame({"a": [1]}).dns
    with pytest.raises(AttributeError, match="no analysis 'tops'"):
        _ = schema.empty_frame().dns.tops
    assert "top" in dir(schema.empty_frame().dns)


@pytest.mark.parametrize("backend", ["svg", "matplotlib"])
def test_results_draw_themselves(backend: str) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    frame = simulate.frame(hours=1)
    for found in (
        frame.dns.rate("5min", by="status"),
        frame.dns.top(),
        frame.dns.cache_hits("10min"),
        frame.dns.latency(),
    ):
        drawn = found.plot(backend=backend)
        assert drawn is not None
    pyplot.close("all")


def test_hostile_names_are_text_in_charts() -> None:
    bad = '<script>alert(1)</script>"onload="x'
    frame = schema.to_frame(schema.to_arrow({"qname": [bad], "time": [BASE], "status": ["cached"], "client": [bad]}))
    drawn = str(frame.dns.top().chart()) + frame.dns.summary()._repr_html_() + frame.dns.top()._repr_html_()
    seen: list[tuple[str, list[tuple[str, str | None]]]] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            seen.append((tag, attrs))

    Reader().feed(drawn)
    assert seen
    assert not [tag for tag, _ in seen if tag == "script"]
    assert not [name for _, attrs in seen for name, _ in attrs if name.startswith("on")]


@pytest.mark.parametrize("module", ["traffic", "compare", "summary"])
def test_examples_run(module: str) -> None:
    failed, tried = doctest.testmod(importlib.import_module(f"dnsnb.analysis.{module}"))
    assert (failed, tried > 0) == (0, True)
