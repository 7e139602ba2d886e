"""Replays by numbers worked out by hand, against the real engine, the real cache and a real server's log."""

from __future__ import annotations

import doctest
import threading
from collections.abc import Callable
from datetime import UTC
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dnsnb
from dnsnb import analysis, schema, simulate
from dnsnb.analysis import cachecurve, givenlists, judging, what_if
from dnsnb.dns.cache import Cache
from dnsnb.dns.clients import Client, Directory, Group
from dnsnb.dns.message import make_answer
from dnsnb.dns.policy import Policy
from dnsnb.dns.schedule import Schedule
from dnsnb.dns.wire import Question
from dnsnb.errors import MissingColumnError, SettingError

BASE = 1_795_392_000_000_000  # a full hour, Monday

HAND_MADE = {
    "time": [BASE + n * 1_000_000 for n in range(8)],
    "client": ["10.0.0.1", "10.0.0.1", "10.0.0.2", "10.0.0.2", "10.0.0.2", "10.0.0.3", None, "10.0.0.1"],
    "qname": ["a.ads.test", "news.test", "a.ads.test", "cloaked.test", "b.old.test", "host.lan", None, "b.old.test"],
    "qtype": ["A", "A", "A", "A", "A", "A", "A", "A"],
    "rcode": ["NOERROR"] * 8,
    "status": ["forwarded", "cached", "forwarded", "forwarded", "blocked", "local", "unknown", "forwarded"],
    "list": [None, None, None, None, "blacklist", None, None, None],
    "rule": [None, None, None, None, "old.test", None, None, None],
    "answers": [["192.0.2.1"], ["192.0.2.2"], ["192.0.2.1"], ["x.ads.test", "192.0.2.3"], ["0.0.0.0"], ["10.0.0.3"],
                None, ["192.0.2.9"]],
    "ttl": [60, 60, 60, 60, None, None, None, 60],
}  # fmt: skip


def hand_made() -> pd.DataFrame:
    return schema.to_frame(schema.to_arrow(dict(HAND_MADE)))


def engines(frame: pd.DataFrame) -> dict[str, Any]:
    table = pa.Table.from_pandas(frame, preserve_index=False)
    return {
        "pandas": frame,
        "polars": pl.from_arrow(table),
        "polars lazy": pl.from_arrow(table).lazy(),
        "duckdb": duckdb.from_arrow(table),
        "pyarrow": table,
    }


def test_what_changes_by_hand() -> None:
    found = what_if.replay(hand_made(), blacklist={"ads": ["ads.test"], "more": ["a.ads.test", "never.test"]})
    assert found.read_as.startswith("of 8 queries 3 would be newly blocked, 1 no longer; 0 stay blocked")
    rows = found.changes.set_index(["qname", "change"])
    assert rows.loc[("a.ads.test", "newly blocked"), ["count", "clients"]].tolist() == [2, 2]
    assert rows.loc[("a.ads.test", "newly blocked"), "list"] == "more"  # the longer name decides
    assert rows.loc[("cloaked.test", "newly blocked"), "rule"] == "ads.test (CNAME x.ads.test)"
    assert rows.loc[("b.old.test", "unblocked"), "count"] == 1
    by_client = found.by_client.set_index("client")
    assert by_client.loc["10.0.0.2"].tolist() == [3, 1, 2, 2, 1, pytest.approx(2 / 3)]
    assert by_client.loc["10.0.0.3", "queries"] == 1
    assert found.by_list.set_index("list")[["decided", "caught", "only", "names"]].to_dict("index") == {
        "ads": {"decided": 1, "caught": 3, "only": 1, "names": 2},
        "more": {"decided": 2, "caught": 2, "only": 0, "names": 1},
    }
    assert found.overlap.to_dict() == {"ads": {"ads": 3, "more": 2}, "more": {"ads": 2, "more": 2}}
    assert found.only[["list", "qname", "count"]].values.tolist() == [["ads", "cloaked.test", 1]]
    assert found.by_rule["rule"].tolist() == ["a.ads.test", "ads.test (CNAME x.ads.test)"]


def test_rows_are_the_log_with_its_fates() -> None:
    rows = what_if.replay(hand_made(), blacklist=["ads.test", "old.test"], whitelist="a.ads.test").rows()
    assert rows["change"].fillna("").tolist() == ["", "", "", "newly blocked", "", "", "", "newly blocked"]
    assert rows["replayed"].tolist() == [*["passed"] * 3, "blocked", "blocked", "passed", "passed", "blocked"]
    assert rows["replayed_rule"].iloc[4] == "old.test"
    assert rows.columns[:3].tolist() == ["time", "client", "client_name"]
    with pytest.raises(SettingError, match="lazy"):
        what_if.replay(pl.from_pandas(pd.DataFrame({"qname": ["a"], "qtype": ["A"]})).lazy()).rows()


def test_the_unblocked_is_judged_by_the_answer_it_got_elsewhere() -> None:
    columns = dict(HAND_MADE)
    columns["answers"] = [*columns["answers"][:7], ["x.ads.test", "192.0.2.9"]]
    found = what_if.replay(schema.to_frame(schema.to_arrow(columns)), blacklist=["ads.test"])
    assert found[found["qname"] == "b.old.test"]["replayed"].tolist() == ["blocked", "blocked"]
    alone = schema.to_frame(schema.to_arrow({name: values[4:5] for name, values in HAND_MADE.items()}))
    assert "which the log lacks" in what_if.replay(alone, blacklist=["ads.test"]).read_as


def test_the_same_on_every_engine() -> None:
    frame = simulate.frame(hours=1)
    lists: Any = {"ads": simulate.ADS, "two": [*simulate.ADS[:3], "vendor-cloud.example"]}
    found = {
        name: what_if.replay(f, blacklist=lists, whitelist=["px.adgrid.example"]) for name, f in engines(frame).items()
    }
    first = found.pop("pandas")
    for other in found.values():
        assert other.read_as == first.read_as
        pd.testing.assert_frame_equal(pd.DataFrame(other), pd.DataFrame(first))
        for table in ("by_client", "by_list", "by_rule", "overlap", "only", "cache_curve"):
            pd.testing.assert_frame_equal(
                pd.DataFrame(getattr(other, table)), pd.DataFrame(getattr(first, table)), check_names=False
            )


def test_what_a_list_was_taken_for(tmp_path: Path) -> None:
    hosts = tmp_path / "my-hosts.txt"
    hosts.write_text("# mine\n0.0.0.0 a.ads.test\n0.0.0.0 not a name\n")
    other = tmp_path / "adblock"
    other.write_text("||b.old.test^\n")
    frame = hand_made()
    for taken in (hosts, str(hosts)):
        row = what_if.replay(frame, blacklist=taken).lists.iloc[0]
        assert row.tolist() == ["blacklist", "block", "the file my-hosts.txt, format hosts", 4, 0]
    several = what_if.replay(frame, blacklist=[hosts, str(other), "news.test"])
    assert several.lists["list"].tolist() == ["blacklist", "my-hosts", "adblock", "whitelist"]
    assert several.lists["taken_as"].tolist()[:3] == [
        "1 name", "the file my-hosts.txt, format hosts", "the file adblock, format adblock"
    ]  # fmt: skip
    assert set(several.by_list["list"]) == {"blacklist", "my-hosts", "adblock"}
    assert what_if.replay(frame, blacklist="ads.test").lists["taken_as"].iloc[0] == "1 name"
    assert what_if.replay(frame, blacklist="||ads.test^\n||x.test^\n").lists["taken_as"].iloc[0] == (
        "a text, format adblock"
    )
    assert str(tmp_path) not in str(several.lists)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"blacklist": "https://lists.example/ads.txt"}, "taken as a URL"),
        ({"blacklist": ["a.test", "no/such/file"]}, r"blacklist\[1\].*taken as a file"),
        ({"blacklist": Path("nothing.here")}, "taken as a file"),
        ({"whitelist": ["not a name"]}, "a space can't stand in a name"),
        ({"blacklist": [7]}, "must be a name"),
        ({"blacklist": 7}, "give names, a file"),
        ({"blacklist": {"a": {"b": ["x.test"]}}}, "give names, a file"),
        ({"blacklist": {"same": ["x.test"]}, "whitelist": {"same": ["y.test"]}}, "taken by another list"),
        ({"policy": Policy(), "blacklist": ["x.test"]}, "holds its own lists"),
        ({"cache": 0}, r"cache.entries: 0: whole numbers, at least 1"),
        ({"cache": {"size": 4}}, r"cache.size"),
    ],
)
def test_a_wrong_list_is_named(given: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingError, match=says):
        what_if.replay(hand_made(), **given)


def test_columns_that_are_not_there() -> None:
    bare = hand_made()[["qname", "qtype"]]
    assert what_if.replay(bare, blacklist=["ads.test"])["change"].notna().sum() == 1
    with pytest.raises(MissingColumnError, match="qtype"):
        what_if.replay(bare[["qname"]])
    with pytest.raises(MissingColumnError, match="time"):
        _ = what_if.replay(bare).cache_curve
    assert what_if.replay(schema.empty_frame(), blacklist=["ads.test"]).cache_curve["asked"].sum() == 0


def test_groups_and_hours() -> None:
    policy = Policy()
    policy.create("school", "block")
    policy.edit("school", add=["news.test"])
    evening = Schedule("18:00-20:00", UTC)
    policy.set_directory(
        Directory(
            [Client("tablet", ("10.0.0.1",))], [Group("kids", ("tablet",), ("school",), schedules={"school": evening})]
        )
    )
    hours = [BASE + h * 3_600_000_000 for h in range(24)]
    columns = {
        "time": hours * 2, "client": ["10.0.0.1"] * 24 + ["10.0.0.2"] * 24, "qname": ["news.test"] * 48,
        "qtype": ["A"] * 48, "status": ["forwarded"] * 48,
    }  # fmt: skip
    frame = schema.to_frame(schema.to_arrow(columns))
    found = what_if.replay(frame, policy=policy)
    rows = found.rows()
    caught = rows[rows["replayed"] == "blocked"]
    assert caught["time"].dt.hour.tolist() == [18, 19]
    assert set(caught["client"]) == {"10.0.0.1"}
    assert found.changes["count"].tolist() == [2]
    assert policy.generation == Policy().generation + 3  # the given policy is as it was


# --- caches ---


@given(st.lists(st.integers(0, 9), max_size=60))
def test_reuse_distances_by_counting(trace: list[int]) -> None:
    found = cachecurve.reuse_distances(np.array(trace, np.int64))
    for place, question in enumerate(trace):
        before = [at for at in range(place) if trace[at] == question]
        if before:
            assert found[place] == len(set(trace[before[-1] + 1 : place]))
        else:
            assert found[place] > 1 << 60


@given(
    st.lists(st.tuples(st.integers(0, 7), st.integers(0, 40)), max_size=60),
    st.lists(st.sampled_from([0, 5, 30, 300]), min_size=8, max_size=8),
    st.integers(1, 9),
)
def test_hits_are_those_of_the_real_cache(steps: list[tuple[int, int]], ttls: list[int], size: int) -> None:
    cache = Cache(entries=size)
    now, hits = 0, 0
    questions, times = [], []
    for number, wait in steps:
        now += wait
        questions.append(number)
        times.append(now * 1000)
        question = Question(bytes((1, 97 + number, 0)), 1, 1, False, False)
        if cache.get(question, now) is not None:
            hits += 1
        else:
            answer = make_answer(question, 0)
            answer.keep = ttls[number]
            cache.put(question, answer, now)
    keeps = np.array([float(ttls[q]) for q in questions])
    asked = np.array(questions, np.int64)
    assert cachecurve.hits_by_size(asked, np.array(times, np.int64), keeps, [size]) == [hits]


def test_the_curve_finds_what_the_log_had() -> None:
    frame = simulate.frame(hours=3, threats=False)
    replayed = what_if.replay(frame, blacklist=simulate.ADS, negative_ttl=60)
    curve = replayed.cache_curve.set_index(["ttl_floor", "entries"])
    passed = replayed.rows()["replayed"].eq("passed")
    assert curve.loc[(0, 100_000), "hits"] == pytest.approx(
        int((frame["status"].eq("cached") & passed).sum()), rel=0.01
    )
    assert curve.loc[(0, 100_000), "asked"] == passed.sum()
    for floor in cachecurve.TTL_FLOORS:
        assert curve.loc[floor]["hit_ratio"].is_monotonic_increasing
    assert curve.xs(100_000, level="entries")["hit_ratio"].is_monotonic_increasing


def test_a_long_log_is_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = simulate.frame(hours=3)
    points = cachecurve.points_of({"entries": [100, 100_000], "ttl_floor": 0})
    whole = cachecurve.cache_curve(frame, points, 900)
    monkeypatch.setattr(cachecurve, "MOST_ROWS", len(frame) // 2)
    part = cachecurve.cache_curve(frame, points, 900)
    assert 0 < part.attrs["params"]["sampled"] < 1
    assert part["hit_ratio"].tolist() == pytest.approx(whole["hit_ratio"].tolist(), abs=0.05)
    assert "every" in part.read_as


def test_it_draws_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    import matplotlib

    matplotlib.use("Agg")
    bad = "<script>alert(1)</script>.ads.test"
    found = what_if.replay(
        schema.to_frame(schema.to_arrow({"qname": [bad], "qtype": ["A"], "client": [bad], "time": [BASE], "ttl": [9]})),
        blacklist={"<b>mine": ["ads.test"]},
    )
    assert len(found.changes) == 1
    for result in (found, found.by_client, found.by_list, found.by_rule, found.only, found.cache_curve):
        for drawn in (str(result.plot(backend="svg")), result._repr_html_()):
            assert "<script" not in drawn
            assert "<b>mine" not in drawn
        assert result.plot(backend="matplotlib") is not None


# --- a real server's log ---


def served(lookups: Any, **settings: Any) -> tuple[pd.DataFrame, Policy]:
    """Ask a real server over UDP and return what it logged, and its policy."""
    with (
        simulate.running() as upstream,
        dnsnb.start(upstreams=[upstream.address], where="thread", **settings) as session,
    ):
        policy: Policy = session.handle.server.policy  # type: ignore[union-attr]
        asked = list(lookups)
        there = threading.Event()
        watch = session.live.on_change(lambda *_: there.set() if len(session.live) >= len(asked) else None)
        played = simulate.play(session.status["dns"], asked, speed=0)
        assert played.answered == played.sent == len(asked)
        assert len(session.live) >= len(asked) or there.wait(5)
        watch.close()
        return session.frame, policy


def test_the_same_policy_gives_a_server_s_own_statuses() -> None:
    lookups = simulate.traffic(seed=3, seconds=300, rate=8)
    frame, policy = served(
        lookups,
        name="replayed",
        blacklist=[*simulate.ADS[:6], "collect.trackwell.example"],
        whitelist=["px.adgrid.example", "metrics.amber-bakery.example"],
        lists=[
            {
                "name": "rules",
                "text": "||viewcount.example^$dnstype=AAAA\n/^img[.]s/\n||203.0.113.0/24^\n@@||img.silver*",
            },
            {"name": "kids", "text": "*.vendor-cloud.example\n||*news.example^\n"},
        ],
        records=[{"name": "ads.pixelbarn.example", "type": "A", "data": "192.0.2.77"}],
        clients=[{"name": "tablet", "addresses": ["127.0.2.14"]}, {"name": "camera", "addresses": ["127.0.2.21"]}],
        groups=[
            {"name": "children", "members": ["tablet", "127.0.2.20/31"], "lists": ["kids"]},
            {"name": "things", "members": ["camera"], "allow_only": True, "inherit": False},
        ],
    )  # fmt: skip
    assert len(frame) > 1000
    statuses = frame["status"].value_counts()
    assert statuses["blocked"] > 200
    rules = frame["rule"].dropna()
    assert rules.str.contains("(CNAME collect.trackwell.example)", regex=False).any()
    assert rules.str.contains("(answer 203.0.113.", regex=False).any()
    assert {"blacklist", "rules", "kids", "allow_only"} <= set(frame["list"].dropna())
    assert statuses["local"] > 0
    for log in (frame, duckdb.from_arrow(pa.Table.from_pandas(frame, preserve_index=False))):
        found = what_if.replay(log, policy=policy)
        assert found["change"].isna().all(), found.changes
        assert (found["was"] == found["replayed"]).all()
    rows = what_if.replay(frame, policy=policy).rows()
    assert (rows["replayed"].eq("blocked") == rows["status"].eq("blocked")).all()
    blocked = rows[rows["status"] == "blocked"]
    assert blocked["replayed_list"].tolist() == blocked["list"].astype(str).tolist()
    assert blocked["replayed_rule"].fillna("").tolist() == blocked["rule"].fillna("").tolist()
    assert what_if.replay(frame)["change"].eq("unblocked").any()


@pytest.mark.parametrize("module", [what_if, givenlists, judging, cachecurve])
def test_examples_run(module: Any) -> None:
    assert doctest.testmod(module).failed == 0


def test_it_is_offered_everywhere() -> None:
    found: list[Callable[..., Any]] = [dnsnb.replay, analysis.replay, what_if.replay]
    assert len(set(found)) == 1
    assert hand_made().dns.replay(blacklist=["ads.test"]).read_as
