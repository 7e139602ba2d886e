"""The analyses of traffic, by numbers worked out by hand, on three kinds of frame, and on odd ones."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from dnsnb import analysis, schema, simulate

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


def test_rate_folds_what_is_rare_and_keeps_the_total() -> None:
    names = ["a"] * 5 + ["b"] * 3 + ["c", "(other)", None]
    frame = schema.to_frame(schema.to_arrow({"time": [BASE] * 11, "qname": names}))
    found = analysis.rate(frame, "1min", by="qname", most=2)
    assert found.iloc[0].to_dict() == {"a": 5, "b": 3, "(other)": 3}
    every = analysis.rate(frame, "1min", by="qname")
    assert every.iloc[0].to_dict() == {"a": 5, "b": 3, "(other)": 1, "c": 1, "(none)": 1}
    with pytest.raises(ValueError, match="most: 0"):
        analysis.rate(frame, by="qname", most=0)


def test_a_value_called_none_is_not_taken_for_none() -> None:
    frame = schema.to_frame(schema.to_arrow({"time": [BASE] * 3, "qname": ["(none)", "(none)", None]}))
    assert analysis.rate(frame, by="qname").iloc[0].to_dict() == {"(none)": 2, "((none))": 1}


def test_one_row_of_1970_is_named() -> None:
    frame = schema.to_frame(schema.to_arrow({"time": [1_000_000, BASE, BASE + MINUTE]}))
    with pytest.raises(
        ValueError, match=r"29,\d+,\d+ windows.*leave out the 1 of 3 rows that are up to 1970-01-01"
    ) as said:
        analysis.rate(frame, "1min")
    assert "take a longer one" in str(said.value)
    assert analysis.rate(frame, "365D")["count"].sum() == 3
    assert len(analysis.rate(frame, "1D", limit=21_000)) > 20_000


def test_rows_without_a_client_are_nobody() -> None:
    frame = schema.to_frame(schema.to_arrow({"qname": ["a", "a", "b"], "client": ["x", None, None]}))
    for kind in (frame, pl.from_pandas(frame[["qname", "client"]]).lazy(), duckdb.from_df(frame[["qname", "client"]])):
        assert analysis.top(kind)["clients"].tolist() == [1, 0]


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


def test_who_answered_and_who_did_not() -> None:
    columns = {
        "time": [BASE, BASE + 60 * MINUTE, BASE, BASE, BASE, BASE],
        "status": ["forwarded", "forwarded", "failed", "failed", "failed", "cached"],
        "rcode": ["NOERROR", "NOERROR", None, "SERVFAIL", "SERVFAIL", "NOERROR"],
        "ede": [None, None, None, 22, None, None],
        "latency_ms": [10.0, 30.0, 5000.0, 5000.0, 9.0, 0.5],
        "qtype": ["A", "AAAA", "A", "A", "A", "A"],
    }
    frame = schema.to_frame(schema.to_arrow(columns))
    found = analysis.latency(frame, by=None).iloc[0]
    assert (found["count"], found["p50"], found["failed"], found["timeouts"]) == (2, 20.0, 0.6, 0.4)
    by_hour = analysis.latency(frame, by="hour")
    assert by_hour["hour"].tolist() == [0, 1]
    assert by_hour["p50"].tolist() == [10.0, 30.0]
    assert analysis.latency(frame, by="qtype").set_index("qtype")["timeouts"].to_dict() == {"A": 0.5, "AAAA": 0.0}
    memory = analysis.latency(frame, by=None, answered_by="memory").iloc[0]
    assert (memory["count"], memory["p50"], memory["failed"]) == (1, 0.5, 0.0)
    captured = frame.assign(status="unknown", latency_ms=frame["latency_ms"].where(frame["rcode"].notna()))
    assert analysis.latency(captured, by=None)["timeouts"].tolist() == [pytest.approx(1 / 6)]
    blind = analysis.latency(frame.drop(columns=["rcode", "ede"]), by=None)
    assert pd.isna(blind["timeouts"].iloc[0])
    with pytest.raises(ValueError, match="answered_by: 'cache'"):
        analysis.latency(frame, answered_by="cache")


def test_stale_answers_stand_apart() -> None:
    statuses = ["cached"] * 3 + ["forwarded"] + ["stale"] * 4 + ["blocked", "local", "failed"]
    found = analysis.cache_hits(schema.to_frame(schema.to_arrow({"status": statuses}))).iloc[0]
    assert found.to_dict() == {"cached": 3, "stale": 4, "forwarded": 1, "hit_ratio": 0.75, "stale_ratio": 0.5}


def test_how_long_the_cache_really_holds() -> None:
    asked = [
        (0, "forwarded", 300),
        (10, "cached", 290),
        (50, "cached", 250),
        (60, "forwarded", 300),
        (90, "cached", 270),
    ]
    asked += [(1000, "forwarded", 300)]
    columns = {
        "time": [BASE + at * 1_000_000 for at, _, _ in asked], "status": [status for _, status, _ in asked],
        "ttl": [ttl for _, _, ttl in asked], "qname": ["a.test"] * 6, "qtype": ["A"] * 6,
    }  # fmt: skip
    found = analysis.effective_ttl(schema.to_frame(schema.to_arrow(columns)))
    assert found.to_dict("records") == [
        {
            "qname": "a.test", "qtype": "A", "asked": 3, "hits": 3, "ttl": 300.0, "held_s": 50.0, "refetch_s": 60.0,
            "early": True,
        }
    ]  # fmt: skip


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


@pytest.mark.parametrize(
    "made",
    ["from dnsnb.formats import read_log; f = read_log({log!r})", "import dnsnb.simulate as s; f = s.frame(hours=0.1)"],
)
def test_a_frame_has_its_analyses_whichever_way_it_was_made(made: str, tmp_path: Path) -> None:
    log = tmp_path / "dnsmasq.log"
    log.write_text("Nov  1 10:00:00 dnsmasq[1]: query[A] a.example from 192.0.2.1\n")
    code = made.format(log=str(log)) + "; print(len(f.dns.top('qname')))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(run.stdout) >= 1


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


def test_an_upstream_without_a_name_is_timed_too() -> None:
    columns = {"status": ["unknown", "forwarded"], "latency_ms": [3.0, 5.0], "upstream": [None, "192.0.2.53"]}
    frame = schema.to_frame(schema.to_arrow(columns))
    assert analysis.latency(frame)[["upstream", "p50"]].values.tolist() == [["192.0.2.53", 5.0], ["unknown", 3.0]]
    nothing = analysis.latency(frame, answered_by="memory")
    assert nothing.read_as == "no row was answered by memory, as far as its status and upstream say"


def test_an_empty_result_says_so() -> None:
    frame = schema.to_frame(schema.to_arrow({"time": [BASE], "client": ["10.0.0.1"], "qname": ["a.test"]}))
    assert analysis.storms(frame).read_as.startswith("nothing found: questions that")
    assert analysis.amplification(frame).read_as == "no row has the sizes of question and answer"


def test_charts_label_round_times_and_cut_none() -> None:
    frame = simulate.frame(hours=6, rate=0.1)
    drawn = str(analysis.rate(frame, "10min").chart())
    assert {f"{hour:02d}:00" for hour in range(6)} <= set(re.findall(r">(\d\d:\d\d)<", drawn))
    # the last of ten-second windows would stick out of the picture
    last = pd.DataFrame({"time": pd.date_range("2026-03-02 09:06:50", periods=25, freq="10s", tz="UTC").as_unit("us")})
    drawn = str(analysis.rate(last, "10s").chart())
    assert "09:10:00" in drawn
    assert "09:10:50" not in drawn


def test_nobody_is_blamed_for_what_a_capture_misses() -> None:
    columns = {
        "time": [BASE + n for n in range(60)], "client": ["10.0.0.1"] * 60, "qname": ["a.test"] * 60,
        "status": ["unknown"] * 60, "rcode": ["NOERROR"] * 40 + [None] * 20, "latency_ms": [3.0] * 40 + [None] * 20,
    }  # fmt: skip
    frame = schema.to_frame(schema.to_arrow(columns))
    assert analysis.latency(frame)["failed"].round(2).tolist() == [0.33]
    assert "upstream fails" not in str(analysis.summary(frame))


def test_capitals_have_room_beside_the_bars() -> None:
    frame = pd.DataFrame({"qtype": ["CNAME", "NSEC3PARAM", "WWWWW"]}, dtype="str")
    svg = analysis.top(frame, "qtype").plot(backend="svg")._repr_html_()
    places = [float(x) for x in re.findall(r'<text x="([\d.]+)" y="\d+" text-anchor="end">', svg)]
    assert min(places) >= 8.8 * len("NSEC3PARAM") - 2.2


def test_a_name_with_dollars_is_no_mathematics() -> None:
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("agg")
    axes = analysis.top(pd.DataFrame({"qname": [r"a$\frac$.test"]}, dtype="str"), "qname").plot(backend="matplotlib")
    axes.figure.canvas.draw()
    pyplot.close(axes.figure)


def test_a_drawing_has_room_and_an_end() -> None:
    many = analysis.top(pd.DataFrame({"qname": [f"n{n}.test" for n in range(90)]}, dtype="str"), "qname", n=90)
    assert str(many.plot(backend="svg")).count("<rect") == 60
    assert "the first 60 of 90" in str(many.plot(backend="svg"))
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("agg")
    axes = many.plot(backend="matplotlib")
    assert len(axes.get_yticklabels()) == 60
    assert axes.figure.get_figheight() > 10  # a label a line
    pyplot.close(axes.figure)
