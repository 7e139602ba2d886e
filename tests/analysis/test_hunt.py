"""The hunt finds what hides in a day, all of it and nothing else; the detectors' streams add up to their batches."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from frame_kinds import BASE, SECOND, plain

import dnsnb
from dnsnb import analysis, schema, simulate
from dnsnb.analysis.gathered import Gathered
from dnsnb.errors import MissingColumnError


@pytest.mark.parametrize("seed", [3])
def test_a_hunt_finds_what_hides_and_nothing_else(seed: int) -> None:
    day = simulate.hunt(seed, hours=6, rate=0.1)
    found = day.dns.hunt(asn=pd.DataFrame(simulate.networks()))
    truth = {(t["what"], t["client"], t["domain"]) for t in day.attrs["truth"]}
    seen = {(r["what"], r["client"], "" if pd.isna(r["domain"]) else r["domain"]) for r in found.to_dict("records")}
    assert seen == truth
    assert found["score"].is_monotonic_decreasing
    assert found["score"].between(0.4, 1).all()
    for row in found.to_dict("records"):
        told = next(t for t in day.attrs["truth"] if t["what"] == row["what"])
        assert abs(pd.Timestamp(told["first"]) - row["first"]) < pd.Timedelta("1min")
        assert row["queries"] >= 0.7 * told["queries"] or row["what"] == "dga"
    assert found.attrs["left_out"] == {}


def test_a_calm_day_is_calm_and_what_cannot_run_is_named() -> None:
    calm = simulate.frame(5, 4, 0.1, threats=False, clients=30)
    found = calm.dns.hunt()
    assert found.empty
    assert found.read_as == "nothing found"
    assert found.attrs["left_out"] == {"fast flux": "no table of AS was given"}
    bare = analysis.hunt(calm[["client", "qname", "qtype"]])
    assert set(bare.attrs["left_out"]) == {"beacon", "dga", "rebinding", "burst", "fast flux"}
    with pytest.raises(MissingColumnError, match="client"):
        analysis.hunt(calm[["qname"]])


def test_printed_it_shows_every_column_and_moves_no_cursor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    found = analysis.hunt(simulate.hunt(seed=3, hours=8, clients=12))
    shown = repr(found)
    assert shown.startswith(found.read_as)
    assert all(column in shown for column in found.columns)
    assert all(
        text in shown for text in (found["evidence"].iloc[0][:60], f"{found['first'].iloc[0]:%Y-%m-%d %H:%M:%S}")
    )
    assert "min-width" in found._repr_html_()  # the evidence isn't squeezed to a column of single words
    drawn = str(found.plot(backend="svg"))
    assert "dga 127.0.3.14<" in drawn  # of one without a domain no "nan"
    assert all(f"{what} {client}" in drawn for what, client in zip(found["what"], found["client"], strict=True))
    named = analysis.top(pd.DataFrame({"qname": ["a.test"], "list": ["ads\x1b[2J"]}), "list")
    assert "ads" in repr(named)
    assert "\x1b" not in repr(named)
    assert "Empty" not in repr(analysis.top(pd.DataFrame({"qname": []}, dtype="str"), "qname"))


def test_what_many_do_alike_is_one_row_and_ignored_is_ignored() -> None:
    infected = [simulate.Beacon(client, "in.update-check.example", 120) for client in list(simulate.CLIENTS)[:5]]
    day = simulate.frame(2, 1.5, 0.02, threats=False, infected=infected)
    found = day.dns.hunt()
    assert found[["what", "domain"]].values.tolist() == [["beacon", "update-check.example"]]
    assert found["evidence"].iloc[0].endswith("; and 4 more clients")
    assert found["queries"].iloc[0] == sum(t["queries"] for t in day.attrs["truth"])
    alone = simulate.frame(2, 1.5, 0.02, threats=False, infected=infected[:1]).dns.hunt()
    assert alone["score"].iloc[0] > found["score"].iloc[0]  # what most clients do is seldom malware
    assert day.dns.hunt(ignore=["update-check.example"]).empty


@pytest.mark.shared
def test_hunting_in_real_logs(shared_data: Path) -> None:
    tunnel = dnsnb.read_log(shared_data / "pcap-tunnel" / "dnscat2_bind_dns.pcap").dns.hunt()
    assert set(tunnel["what"]) == {"tunnel"}


# --- streams ---

ROW = st.fixed_dictionaries(
    {
        "time": st.one_of(st.none(), st.integers(0, 400).map(lambda n: BASE + n * 7 * SECOND)),
        "client": st.sampled_from(["10.0.0.1", "10.0.0.2", None]),
        "qname": st.sampled_from(
            ["a.one.test", "bb.one.test", "one.test", "x.two.test", "com", "9.in-addr.arpa", None]
        ),
        "qtype": st.sampled_from(["A", "TXT", None]),
        "ttl": st.sampled_from([None, 30, 300]),
        "query_bytes": st.sampled_from([None, 40, 60]),
        "response_bytes": st.sampled_from([None, 90]),
    }
)
TRIED: list[tuple[str, dict[str, Any]]] = [
    ("tunnels", {}), ("beacons", {"fewest": 4}), ("newly_seen", {"within": "30min"}), ("bursts", {}),
    ("bursts", {"by": "client", "every": "10min", "n": None}),
]  # fmt: skip


def by_column(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in rows[0]} if rows else {}


@pytest.mark.parametrize(("name", "params"), TRIED)
@settings(max_examples=4, deadline=None)
@given(a=st.lists(ROW, max_size=40), b=st.lists(ROW, min_size=1, max_size=40), cut=st.integers(0, 40))
def test_states_add_up_to_the_batch(name: str, params: dict[str, Any], a: Any, b: Any, cut: int) -> None:
    one, other = analysis.live(name, **params), analysis.live(name, **params)
    one.extend(by_column(a[:cut]))
    one.extend(by_column(a[cut:]))
    other.update(schema.to_frame(schema.to_arrow(by_column(b))))
    wanted = getattr(analysis, name)(schema.to_frame(schema.to_arrow(by_column([*a, *b]))), **params)
    for summed in (one + other, other + one):
        pd.testing.assert_frame_equal(plain(summed.result()), plain(wanted), check_dtype=False, rtol=1e-9)
        assert (summed.rows, summed.dropped) == (len(a) + len(b), 0)
    assert one.rows == len(a)


def test_streams_are_bounded_and_say_what_they_dropped() -> None:
    many: dict[str, list[Any]] = {
        "time": [BASE + n * SECOND for n in range(300)],
        "client": ["10.0.0.1"] * 280 + ["10.0.0.2"] * 20,
        "qname": [f"{n:040x}.evil.test" for n in range(280)] + [f"n{n}.shop.test" for n in range(20)],
        "qtype": ["TXT"] * 300,
    }
    tunnels = analysis.live("tunnels", names=100)
    beacons = analysis.live("beacons", events=100)
    new = analysis.live("newly_seen", within="1min", pairs=1)
    bursts = analysis.live("bursts", windows=2)
    for stream in (tunnels, beacons, new, bursts):
        stream.extend(many)
    assert tunnels.result()["verdict"].tolist() == ["tunnel"]  # the pair with the most names is kept
    assert (tunnels.result()["names"].tolist(), tunnels.dropped) == ([100], 200)
    assert beacons.result().empty
    assert beacons.dropped == 200
    assert new.result()["domain"].tolist() == ["shop.test"]
    assert new.dropped == 280
    assert bursts.result()["count"].sum() + bursts.dropped == 300


@settings(max_examples=8)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9)), max_size=30),
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9)), max_size=30),
)
def test_gathered_sums_are_those_of_all(a: list[tuple[str, int]], b: list[tuple[str, int]]) -> None:
    def gathered(rows: list[tuple[str, int]]) -> Gathered:
        made = Gathered(("client",), ("sum",), ("least",), ("most",))
        frame = pd.DataFrame(rows, columns=["client", "sum"]).assign(count=1)
        made.add(frame.assign(least=frame["sum"], most=frame["sum"]))
        return made

    both = gathered(a)
    both.absorb(gathered(b))
    for key, values in pd.DataFrame([*a, *b], columns=["client", "n"]).groupby("client")["n"]:
        row = both.table().set_index("client").loc[key]
        assert row.tolist() == [len(values), values.sum(), values.min(), values.max()]
    assert len(both.table()) == len({key for key, _ in [*a, *b]})
