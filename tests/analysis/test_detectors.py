"""DGA by behaviour, new domains, rebinding, fast flux and bursts: figures worked out by hand on every kind of frame."""

from __future__ import annotations

import sqlite3
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from frame_kinds import BASE, KINDS, SECOND, as_kind

from dnsnb import analysis, schema, simulate
from dnsnb.analysis.bursts import ewma_z, usual
from dnsnb.analysis.dga_behaviour import label_entropy
from dnsnb.analysis.fast_flux import networks
from dnsnb.errors import SettingError

HOUR, DAY = 3600, 86_400


def table(rows: list[tuple[Any, ...]], *names: str) -> Any:
    columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    return schema.to_arrow(columns | {"time": [BASE + int(t * SECOND) for t in columns["time"]]})


# --- DGA by behaviour ---


def walks() -> Any:
    rows = [(n, "10.0.0.1", f"{'abcdefgh'[n % 8]}qwertzu{n:02d}.test", "NXDOMAIN", "forwarded") for n in range(20)]
    rows += [(30 + n, "10.0.0.1", f"www{n}.shop.test", "NOERROR", "forwarded") for n in range(5)]
    rows += [(40 + n, "10.0.0.2", f"host{n}.corp.test", "NXDOMAIN", "forwarded") for n in range(30)]  # a search suffix
    rows += [(80, "10.0.0.2", "corp.test", "NOERROR", "forwarded")]
    rows += [(90 + n, "10.0.0.2", f"blocked{n}.test", "NXDOMAIN", "blocked") for n in range(30)]
    rows += [
        (130 + n, "10.0.0.3", f"{'abcdefgh'[n % 8]}qwertzu{n:02d}.test", "NXDOMAIN", "forwarded") for n in range(12)
    ]
    rows += [
        (2 * HOUR, "10.0.0.1", "late.test", "NXDOMAIN", "forwarded"),
        (5, "10.0.0.2", "wpad", "NXDOMAIN", "forwarded"),
    ]
    return table(rows, "time", "client", "qname", "rcode", "status")


@pytest.mark.parametrize("kind", KINDS)
def test_dga_by_hand(kind: str) -> None:
    found = analysis.dga_behaviour(as_kind(walks(), kind))
    assert found[["client", "verdict", "nx_domains", "answered_domains", "shared_with"]].values.tolist() == [
        ["10.0.0.1", "dga", 20, 1, 1],
        ["10.0.0.3", "", 12, 0, 0],
        ["10.0.0.1", "", 1, 0, 0],
    ]
    walk = found.iloc[0]
    assert walk["nx_share"] == pytest.approx(20 / 21)
    assert walk["window"] == pd.Timestamp(BASE, unit="us", tz="UTC")
    assert walk["example"] == "aqwertzu00.test"
    # log(20 / 5) / log(10) of 0.6; entropy 3.1 and more, and the share, whole
    assert walk["score"] == pytest.approx(0.6 * np.log10(4) + 0.4, abs=0.02)
    shared = analysis.dga_behaviour(as_kind(walks(), kind), fewest=10)
    assert shared["shared_with"].tolist()[:2] == [1, 1]  # 12 of 20 are half and more, 12 of 12 too; below fewest is 0
    assert shared["verdict"].tolist()[:2] == ["dga", "dga"]


def test_label_entropy_by_hand() -> None:
    assert label_entropy(["aaaa", "abab", "abcd", ""]).tolist() == [0.0, 1.0, 2.0, 0.0]
    with pytest.raises(ValueError, match="fewest: 1"):
        analysis.dga_behaviour(schema.empty_frame(), fewest=1)


@settings(max_examples=5)
@given(st.integers(2, 200), st.integers(0, 2**31))
def test_a_walk_is_counted_to_the_name(names: int, algorithm: int) -> None:
    dga = simulate.Dga(client="10.9.9.9", algorithm=algorithm, names=names, start=0)
    made = dga.generate()
    frame = pd.DataFrame(
        {"qname": made, "client": "10.9.9.9", "rcode": "NXDOMAIN", "time": pd.Timestamp("2026-01-01", tz="UTC")}
    )
    found = analysis.dga_behaviour(frame)
    assert found["nx_domains"].tolist() == [len(set(made))]
    assert (found["verdict"].iloc[0] == "dga") == (names >= 15)


# --- newly seen domains ---


def seen() -> Any:
    rows = [(0, "10.0.0.1", "www.old.test"), (DAY, "10.0.0.1", "old.test"), (DAY + HOUR, "10.0.0.2", "a.new.test")]
    rows += [
        (DAY + 2 * HOUR, "10.0.0.1", "b.new.test"),
        (DAY + 3 * HOUR, None, "x.newest.test"),
        (DAY, "10.0.0.1", "com"),
    ]
    return table(rows, "time", "client", "qname")


@pytest.mark.parametrize(("kind", "name"), list(zip(KINDS, ["seen.sqlite", "seen.parquet"] * 2, strict=True)))
def test_new_domains_by_hand(kind: str, name: str, tmp_path: Path) -> None:
    store = tmp_path / name
    found = analysis.newly_seen(as_kind(seen(), kind), store, "12h")
    assert found[["domain", "age_h", "queries", "clients"]].values.tolist() == [
        ["newest.test", 0.0, 1, 0],
        ["new.test", 2.0, 2, 2],
    ]
    assert found["first_client"].iloc[1] == "10.0.0.2"
    assert pd.isna(found["first_client"].iloc[0])
    assert found.read_as == "2 of 3 domains were first seen in the last 12h"
    again = analysis.newly_seen(as_kind(seen(), kind), store, "12h")  # the same rows change nothing
    pd.testing.assert_frame_equal(pd.DataFrame(again), pd.DataFrame(found))
    later = table(
        [(3 * DAY, "10.0.0.3", "c.new.test"), (3 * DAY, "10.0.0.3", "only.now.test")], "time", "client", "qname"
    )
    assert analysis.newly_seen(as_kind(later, kind), store, remember=False)["domain"].tolist() == ["now.test"]
    assert analysis.newly_seen(as_kind(later, kind), store)["domain"].tolist() == ["now.test"]


def test_without_a_past_all_is_new_and_says_so() -> None:
    found = analysis.newly_seen(as_kind(seen(), "pandas"), within="7D")
    assert len(found) == 3
    assert "nothing is known from before" in found.read_as
    known = pd.DataFrame({"domain": ["new.test"], "first": [BASE - 9 * DAY * SECOND], "last": [BASE]})
    assert set(analysis.newly_seen(as_kind(seen(), "pandas"), known, "12h")["domain"]) == {"newest.test"}


@settings(max_examples=3)
@given(st.lists(st.tuples(st.integers(0, 72), st.sampled_from("abcdef")), min_size=1, max_size=30), st.integers(0, 72))
def test_a_store_remembers_what_one_log_would_tell(rows: list[tuple[int, str]], cut: int) -> None:
    """A log given in two parts, one after the other, makes the same domains new as the whole does."""
    asked = [(hour * HOUR, "c", f"www.{name}.test") for hour, name in sorted(rows)]
    parts = [p for p in ([r for r in asked if r[0] < cut * HOUR], [r for r in asked if r[0] >= cut * HOUR]) if p]
    with tempfile.TemporaryDirectory() as folder:
        for part in parts:
            last = analysis.newly_seen(
                as_kind(table(part, "time", "client", "qname"), "pandas"), f"{folder}/s.db", "12h"
            )
    whole = analysis.newly_seen(as_kind(table(asked, "time", "client", "qname"), "pandas"), within="12h")
    names = {row[2][4:] for row in parts[-1]}
    assert set(last["domain"]) == set(whole["domain"]) & names


def test_a_store_that_is_none_is_named(tmp_path: Path) -> None:
    frame = as_kind(seen(), "pandas")
    for store in (tmp_path / "seen.csv", 7):
        with pytest.raises(SettingError, match="store"):
            analysis.newly_seen(frame, store)
    (tmp_path / "bad.sqlite").write_bytes(b"no database, but as long as one could be" * 40)
    (tmp_path / "bad.parquet").write_bytes(b"nothing")
    for name in ("bad.sqlite", "bad.parquet"):
        with pytest.raises(SettingError, match=name):
            analysis.newly_seen(frame, tmp_path / name)
    with pytest.raises(SettingError, match="no column 'first'"):
        analysis.newly_seen(frame, pd.DataFrame({"domain": ["a"]}))
    with pytest.raises(SettingError, match="can't be"):
        analysis.newly_seen(frame, tmp_path / "nowhere" / "seen.db")
    database = sqlite3.connect(tmp_path / "seen.db")
    database.close()


# --- rebinding ---


def turned() -> Any:
    rows = [
        (0, "10.0.0.1", "a.evil.test", "A", ["203.0.113.5"], 1),
        (2, "10.0.0.1", "a.evil.test", "A", ["192.168.1.1"], 1),
        (9, "10.0.0.1", "a.evil.test", "A", ["203.0.113.5"], 1),
        (0, "10.0.0.1", "b.evil.test", "A", ["203.0.113.5"], 30),
        (1800, "10.0.0.1", "b.evil.test", "A", ["cname.evil.test", "169.254.169.254"], 30),
        (0, "10.0.0.2", "intra.firm.test", "A", ["172.16.0.9"], 300),
        (0, "10.0.0.2", "both.firm.test", "A", ["203.0.113.5", "10.1.1.1"], 300),
        (0, "10.0.0.2", "six.firm.test", "A", ["203.0.113.5"], 300),
        (0, "10.0.0.2", "six.firm.test", "AAAA", ["fd00::1"], 300),
        (0, "10.0.0.2", "ads.firm.test", "A", ["203.0.113.5"], 300),
        (9, "10.0.0.2", "ads.firm.test", "A", ["0.0.0.0"], 300),
        (0, "10.0.0.2", "nas.local", "A", ["10.0.0.9"], 300),
        (0, "10.0.0.2", "www.firm.test", "A", ["203.0.113.5"], 300),
        (0, "10.0.0.2", "old.firm.test", "A", ["203.0.113.5"], 300),
        (9000, "10.0.0.2", "old.firm.test", "A", ["10.0.0.9"], 300),
        (0, "10.0.0.2", "txt.firm.test", "TXT", ["10.0.0.9"], 300),
    ]
    return table(rows, "time", "client", "qname", "qtype", "answers", "ttl")


@pytest.mark.parametrize("kind", KINDS)
def test_rebinding_by_hand(kind: str) -> None:
    found = analysis.rebinding(as_kind(turned(), kind))
    assert found[["qname", "verdict", "score", "switched_after_s"]].fillna(-1).values.tolist() == [
        ["a.evil.test", "rebinding", 1.0, 2.0],
        ["b.evil.test", "rebinding", 0.8, 1800.0],
        ["both.firm.test", "mixed", 0.7, -1],
        ["old.firm.test", "inside", 0.3, 9000.0],
        ["intra.firm.test", "inside", 0.3, -1],
        ["six.firm.test", "inside", 0.3, -1],
    ]
    first = found.iloc[0]
    assert first[["outside", "inside", "ttl_s", "queries"]].tolist() == ["203.0.113.5", "192.168.1.1", 1.0, 3]
    assert first["reasons"] == "a.evil.test was 203.0.113.5, and 192.168.1.1 2 s later (TTL 1 s)"
    assert found["inside"].iloc[1] == "169.254.169.254"
    assert analysis.rebinding(as_kind(turned(), kind), within="10min")["verdict"].tolist().count("rebinding") == 1
    assert len(analysis.rebinding(as_kind(turned(), kind), ignore=("firm.test", "local"))) == 2


@settings(max_examples=3)
@given(st.permutations(range(16)))
def test_rebinding_goes_by_time_not_by_place(order: list[int]) -> None:
    frame = as_kind(turned(), "pandas")
    pd.testing.assert_frame_equal(
        pd.DataFrame(analysis.rebinding(frame.iloc[order])), pd.DataFrame(analysis.rebinding(frame))
    )


# --- fast flux ---


def fluxed() -> Any:
    rows = [
        (n * 60, f"10.0.0.{n % 3}", "pills.flux.test", "A", [f"198.18.{n * 2}.1", f"198.18.{n * 2 + 1}.1"], 60)
        for n in range(10)
    ]
    rows += [(n, "10.0.0.1", "www.cdn.test", "A", [f"203.0.113.{n}", "cname.cdn.test"], 30) for n in range(1, 40)]
    rows += [(n, "10.0.0.1", "slow.test", "A", [f"198.18.{n}.7"], 86400) for n in range(20)]
    rows += [(n, "10.0.0.1", "0.pool.ntp.org", "A", [f"198.18.{n}.9"], 60) for n in range(20)]
    return table(rows, "time", "client", "qname", "qtype", "answers", "ttl")


@pytest.mark.parametrize("kind", KINDS)
def test_fast_flux_by_hand(kind: str) -> None:
    frame = as_kind(fluxed(), kind)
    found = analysis.fast_flux(frame, pd.DataFrame(simulate.networks()))
    assert found[["qname", "verdict", "addresses", "networks", "answers", "clients", "queries"]].values.tolist() == [
        ["pills.flux.test", "fast flux", 20, 20, 10, 3, 10],
        ["slow.test", "", 20, 20, 20, 1, 20],
        ["www.cdn.test", "", 39, 1, 39, 1, 39],
    ]
    assert found["flux"].tolist() == pytest.approx([1.32 * 20 + 18.54 * 20] * 2 + [1.32 * 39 + 18.54])
    assert found["score"].iloc[0] == pytest.approx(397.2 / (397.2 + 142.38), abs=1e-3)
    blind = analysis.fast_flux(frame)
    assert blind["networks"].tolist() == blind["prefixes"].tolist() == [1, 1, 1]
    assert blind["verdict"].eq("").all()
    assert "no table of AS was given" in blind.read_as


def test_tables_of_networks(tmp_path: Path) -> None:
    ranges = "198.18.0.0\t198.18.0.255\t65001\tXX\tHOMES\n198.18.1.0\t198.18.1.255\t0\tNone\tNot routed\n"
    ranges += "2001:db8::\t2001:db8::ff\t7\n"
    (tmp_path / "ip2asn.tsv").write_text(ranges)
    (tmp_path / "own.csv").write_text("network,asn\n198.18.0.0/24,AS65001\n2001:db8::/120,7\n")
    import ipaddress

    for name in ("ip2asn.tsv", "own.csv"):
        known = networks(tmp_path / name)
        told = [
            known.of(ipaddress.ip_address(a)) for a in ("198.18.0.9", "198.18.1.9", "198.17.0.1", "2001:db8::9", "::1")
        ]
        assert told == [65001, None, None, 7, None]
    wrongs = [
        {"network": ["198.18.0.0/99"], "asn": [1]},
        {"a": [1]},
        {"start": ["10.9.9.9"], "end": ["10.0.0.1"], "asn": [1]},
    ]
    for wrong in (*map(pd.DataFrame, wrongs), 7, tmp_path / "none.csv"):
        with pytest.raises(SettingError, match="asn"):
            networks(wrong)


@settings(max_examples=5)
@given(st.sets(st.integers(0, 255), min_size=2, max_size=60))
def test_flux_is_holzs_formula(hosts: set[int]) -> None:
    rows = [(n, "c", "a.test", "A", [f"198.18.{n}.{n % 200 + 1}"], 60) for n in hosts]
    frame = as_kind(table(rows, "time", "client", "qname", "qtype", "answers", "ttl"), "pandas")
    found = analysis.fast_flux(frame, pd.DataFrame(simulate.networks())).iloc[0]
    assert found["flux"] == pytest.approx((1.32 + 18.54) * len(hosts))
    assert (found["verdict"] == "fast flux") == (len(hosts) >= 8)


# --- bursts ---


def rush() -> Any:
    """Ten queries a minute for two hours, 200 in minute 60, none in minutes 90 and 91; another client's few."""
    counts = [10] * 120
    counts[60], counts[90], counts[91] = 200, 0, 0
    rows = [(m * 60 + n / 10, "10.0.0.1") for m, count in enumerate(counts) for n in range(count)]
    rows += [(m * 60 + 30, "10.0.0.2") for m in range(0, 120, 7)]
    return table(rows, "time", "client")


@pytest.mark.parametrize("kind", KINDS)
def test_bursts_by_hand(kind: str) -> None:
    found = analysis.bursts(as_kind(rush(), kind), by="client")
    assert found["verdict"].tolist().count("burst") == 1
    assert found.iloc[0][["client", "count", "expected", "verdict"]].tolist() == ["10.0.0.1", 200, 10.0, "burst"]
    assert found["time"].iloc[0] == pd.Timestamp(BASE + 3600 * SECOND, unit="us", tz="UTC")
    # MAD 0 and handfuls of 0: chance's root of ten is the measure
    assert found["robust_z"].iloc[0] == pytest.approx(190 / 10**0.5, abs=1e-3)
    assert found["ewma_z"].iloc[0] == pytest.approx(190 / 10**0.5, abs=1e-3)
    assert found["robust_z"].iloc[1] < 0  # the next is the lull, but a lull of ten is no more than chance
    assert not analysis.bursts(as_kind(rush(), kind), by="client", fewest=500)["verdict"].any()
    whole = analysis.bursts(as_kind(rush(), kind), least=2.0)
    assert whole["verdict"].tolist()[:3] == ["burst", "lull", "lull"]


def test_usual_and_ewma_by_hand() -> None:
    assert usual(np.array([1.0, 9.0, 2.0, 3.0, 4.0]), 1, 0).tolist() == [5.0, 2.0, 3.0, 3.0, 3.5]
    # two days of two windows each with a rhythm: it is usual
    rhythm = np.tile([0.0, 20.0, 0.0, 20.0], 6)
    assert np.abs(rhythm - usual(rhythm, 8, 4))[8:16].max() <= 10
    z = ewma_z([10.0] * 10 + [20.0, 20.0], 0.1)
    assert z[:10].tolist() == [0.0] * 10
    assert z[10] == pytest.approx(10 / 10**0.5)
    # learned: 3 deviations of 10 ** 0.5 at most, a tenth of them into the mean
    mean, variance = 10 + 0.1 * 3 * 10**0.5, 0.9 * 0.1 * 90
    assert z[11] == pytest.approx((20 - mean) / max(variance, mean) ** 0.5)


def test_what_bursts_refuse() -> None:
    frame = as_kind(table([(0, "c"), (40 * 365 * DAY, "c")], "time", "client"), "pandas")
    with pytest.raises(ValueError, match="take a longer one"):
        analysis.bursts(frame)
    with pytest.raises(ValueError, match="weight: 1"):
        analysis.bursts(frame, weight=1)
    live = analysis.live("bursts")
    live.update(frame)
    assert len(live.result()) == 1  # a clock that is far off doesn't stop a stream


@settings(max_examples=5)
@given(st.lists(st.integers(1, 8), min_size=30, max_size=40), st.integers(15, 29))
def test_a_great_burst_is_always_seen(counts: list[int], place: int) -> None:
    counts[place] += 400
    rows = [(m * 60 + n / 10, "c") for m, count in enumerate(counts) for n in range(count)]
    found = analysis.bursts(as_kind(table(rows, "time", "client"), "pandas"), n=1)
    assert found["verdict"].tolist() == ["burst"]
    assert found["time"].iloc[0] == pd.Timestamp((BASE // SECOND // 60 + place) * 60, unit="s", tz="UTC")
