"""Beacons: figures worked out by hand, what jitter, loss and TTLs do, and a day in which nobody is accused falsely."""

from __future__ import annotations

import math
import random
import sys
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from frame_kinds import BASE, KINDS, SECOND, as_kind

from dnsnb import analysis, schema, simulate
from dnsnb.analysis.regular import fisher_g, regularity


def made() -> Any:
    """Twenty-five hours: an hourly caller, one whom a TTL tells, and one who asks when it likes."""
    rows: list[tuple[Any, ...]] = [(n * 3600 + 7, "10.0.0.1", "c2.evil.test", 5, 50) for n in range(25)]
    rows += [(n * 3600 + 7.4, "10.0.0.1", "c2.evil.test", None, 50) for n in range(25)]  # AAAA, in the same ask
    rows += [(n * 300.5, "10.0.0.2", "api.cloud.test", 300, 60) for n in range(40)]
    rows += [(n * n * 31 + 5, "10.0.0.3", "www.news.test", 60, 60) for n in range(30)]
    rows += [(n * 60, "10.0.0.3", "5.0.0.10.in-addr.arpa", 60, 60) for n in range(30)]
    rows += [(n * 4, "10.0.0.3", "retry.slow.test", 60, 60) for n in range(30)]
    columns = zip(*((BASE + int(t * SECOND), c, q, ttl, size) for t, c, q, ttl, size in rows), strict=True)
    return schema.to_arrow(
        dict(zip(("time", "client", "qname", "ttl", "query_bytes"), map(list, columns), strict=True))
    )


@pytest.mark.parametrize("kind", KINDS)
def test_by_hand(kind: str) -> None:
    found = analysis.beacons(as_kind(made(), kind))
    assert found[["client", "domain", "verdict"]].values.tolist() == [
        ["10.0.0.1", "evil.test", "beacon"],
        ["10.0.0.2", "cloud.test", "ttl"],
        ["10.0.0.3", "slow.test", ""],  # clockwork, but a retry's
        ["10.0.0.3", "news.test", ""],
    ]
    hourly, cached = found.iloc[0], found.iloc[1]
    assert hourly[["asks", "period_s", "regularity", "jitter", "lost"]].tolist() == [25, 3600, 1.0, 0.0, 0.0]
    assert hourly[["score", "times_score", "sizes_score", "duration_score"]].tolist() == [1.0, 1.0, 1.0, 1.0]
    assert hourly["prevalence"] == pytest.approx(1 / 3)
    # 24 gaps of 24 where chance gives 1.1 ** (-1 / 0.1) * (1 - 1 / 1.1) of them: of 4 pairs, 3 widths, 24 places
    assert hourly["chance"] == pytest.approx(4 * 3 * 24 * (1.1**-10 * (1 - 1 / 1.1)) ** 24, rel=1e-6)
    assert hourly["first"] == pd.Timestamp(BASE + 7 * SECOND, unit="us", tz="UTC")
    assert cached["ttl_s"] == 300
    assert found.iloc[2]["period_s"] == 4


def test_what_is_put_together_and_left_out() -> None:
    frame = as_kind(made(), "pandas")
    apart = analysis.beacons(frame, fewest=4, together_s=0, ignore=())
    assert "10.in-addr.arpa" in set(apart["domain"])
    assert analysis.beacons(frame, ignore=("evil.test", "arpa"))["verdict"].tolist() == ["ttl", "", ""]
    assert len(analysis.beacons(frame, n=1)) == 1
    assert analysis.beacons(frame, shortest_s=3).query("domain == 'slow.test'")["verdict"].tolist() == ["beacon"]
    with pytest.raises(ValueError, match="fewest: 3"):
        analysis.beacons(frame, fewest=3)


@pytest.mark.parametrize("kind", KINDS)
def test_of_a_large_log_the_newest_hours_are_looked_at(kind: str) -> None:
    # hours 24, 23, 22 … have 2 rows of the caller each; hour 3 and earlier hold the others
    found = analysis.beacons(as_kind(made(), kind), most=30)
    assert found[["client", "asks"]].values.tolist() == [["10.0.0.1", 15]]
    assert found.read_as.endswith("the 150 oldest rows are left out")
    assert found["first"].iloc[0] == pd.Timestamp(BASE + (10 * 3600 + 7) * SECOND, unit="us", tz="UTC")
    whole = analysis.beacons(as_kind(made(), kind), most=1)  # one hour at least
    assert whole.empty


def test_a_beacon_that_asks_before_the_ttl_has_ended_is_one() -> None:
    rng = random.Random(1)
    at = list(accumulate(60 + rng.uniform(-4, 4) for _ in range(60)))
    columns: dict[str, list[Any]] = {
        "time": [BASE + int(t * SECOND) for t in at],
        "client": ["c"] * 60,
        "qname": ["a.evil.test"] * 60,
    }
    frame = schema.to_frame(schema.to_arrow(columns | {"ttl": [60] * 60}))
    assert analysis.beacons(frame)["verdict"].tolist() == ["beacon"]
    exact = columns | {"time": [BASE + n * 60 * SECOND for n in range(60)], "ttl": [60] * 60}
    assert analysis.beacons(schema.to_frame(schema.to_arrow(exact)))["verdict"].tolist() == ["ttl"]
    assert analysis.beacons(frame.drop(columns="ttl"))["verdict"].tolist() == ["beacon"]


HIDDEN = [
    (60.0, 0.3, 0.3), (300.0, 0.3, 0.3), (600.0, 0.3, 0.3), (900.0, 0.3, 0.3), (300.0, 0.0, 0.3), (1200.0, 0.3, 0.0),
    (3600.0, 0.0, 0.0), (30.0, 0.1, 0.1),
]  # fmt: skip


@pytest.mark.parametrize("seed", [11, 12])
def test_a_day_of_thirty_clients(seed: int) -> None:
    """All that are hidden are found, up to 30 % of jitter and loss, and nobody else: the speakers are TTL's."""
    clients = random.Random(seed).sample(list(simulate.household(30)), len(HIDDEN))
    infected = [
        simulate.Beacon(client, f"in.far-end-{n}.example", period, jitter, loss)
        for n, (client, (period, jitter, loss)) in enumerate(zip(clients, HIDDEN, strict=True))
    ]
    day = simulate.frame(seed, 24, 0.05, threats=False, clients=30, infected=infected)
    found = day.dns.beacons(n=None)
    seen = found[found["verdict"] == "beacon"].set_index("client")
    assert seen["domain"].to_dict() == {i.client: i.domain for i in infected}
    for beacon in infected:
        assert seen.loc[beacon.client, "period_s"] == pytest.approx(beacon.period, rel=0.15)
    by_ttl = set(found.loc[found["verdict"] == "ttl", "client"])
    assert by_ttl
    assert {simulate.household(30)[client].partition("-")[0] for client in by_ttl} == {"speaker"}


@given(
    st.floats(20, 5000), st.floats(0, 0.3), st.floats(0, 0.3), st.integers(0, 2**32),
)  # fmt: skip
def test_jitter_and_loss_leave_half_of_the_gaps_alike(period: float, jitter: float, loss: float, seed: int) -> None:
    rng = random.Random(seed)
    calls = accumulate(period * rng.uniform(1 - jitter, 1 + jitter) for _ in range(200))
    found = regularity(np.diff([t for t in calls if rng.random() >= loss]))
    assert found.share >= 0.5
    assert found.log10_chance < -6
    assert found.period == pytest.approx(period, rel=0.25)


@given(st.integers(0, 2**32), st.integers(4, 300), st.floats(1, 1000))
def test_random_times_are_not_regular(seed: int, n: int, scale: float) -> None:
    rng = random.Random(seed)
    gaps = [rng.expovariate(1) * scale + 1e-6 for _ in range(n)]
    found = regularity(gaps)
    assert found.log10_chance > -4  # Chernoff's bound holds for each place that was looked at
    assert regularity([g * 7 for g in gaps]).share == pytest.approx(found.share, abs=1 / n + 1e-9)


def test_fisher_g_by_hand() -> None:
    # of 1, 0, 0, 0, 1 the powers are 2 + 2 cos(2 pi 4 k / 5) for k = 1, 2; they add up to 3
    g, p = fisher_g([0, 4], 1.0)
    assert g == pytest.approx((2 + 2 * math.cos(math.radians(72))) / 3)
    assert p == pytest.approx(2 * (1 - g))
    assert np.isnan(fisher_g([0, 1], 1.0)[0])
    assert np.isnan(fisher_g([], 1.0)[0])
    clock = list(range(0, 6000, 60))
    assert fisher_g(clock, 20.0)[1] < 1e-9


def test_the_plot_shows_how_long_gaps_are() -> None:
    found = analysis.beacons(as_kind(made(), "pandas"))
    drawn = str(found.plot(backend="svg"))
    assert "10.0.0.1 evil.test" in drawn
    assert all(mark in drawn for mark in ("10 s", "1 min", "1 h"))
    ticks = [part.count("M") for part in drawn.split('<path d="')[1:]]
    assert ticks[0] == 1, "the hourly caller's gaps are all at one place"
    assert sum(ticks[-3:]) > 20, "and those of who asks when it likes are not"
    pytest.importorskip("matplotlib").use("Agg")
    assert len(found.plot(backend="matplotlib").get_lines()) == len(found)
    assert "nothing to show" in str(analysis.beacons(schema.empty_frame()).chart())
