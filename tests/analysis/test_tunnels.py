"""Tunnels: figures worked out by hand, every capture of one flagged, nobody else."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from frame_kinds import BASE, KINDS, SECOND, as_kind

import dnsnb
from dnsnb import analysis, schema, simulate


def made() -> Any:
    """Sixteen names of 32 equal digits in four minutes below evil.test; a browser's names; names backwards."""
    rows: list[tuple[Any, ...]] = [
        (n * 15, "10.0.0.1", f"{n:x}" * 32 + ".evil.test", "TXT", 64, 200) for n in range(16)
    ]
    rows += [(n * 15, "10.0.0.2", "www.shop.test", "A", 44, 60) for n in range(20)]
    rows += [(n * 15, "10.0.0.2", "cdn-17.shop.test", "TXT", 44, 60) for n in range(2)]
    rows += [(n, "10.0.0.2", f"{n}.0.0.10.in-addr.arpa", "PTR", 60, 60) for n in range(200)]
    columns = zip(*((BASE + t * SECOND, *rest) for t, *rest in rows), strict=True)
    names = ("time", "client", "qname", "qtype", "query_bytes", "response_bytes")
    return schema.to_arrow(dict(zip(names, map(list, columns), strict=True)))


@pytest.mark.parametrize("kind", KINDS)
def test_by_hand(kind: str) -> None:
    found = analysis.tunnels(as_kind(made(), kind))
    assert found[["client", "domain", "verdict"]].values.tolist() == [
        ["10.0.0.1", "evil.test", "tunnel"],
        ["10.0.0.2", "shop.test", ""],
    ]
    tunnel, browser = found.iloc[0], found.iloc[1]
    whole = ["queries", "names", "sub_bytes", "up_bytes", "down_bytes"]
    assert tunnel[whole].tolist() == [16, 16, 512, 1024, 3200]
    shares = ["mean_sub", "odd_share", "uncacheable", "entropy"]
    assert tunnel[shares].tolist() == [32.0, 1.0, 1.0, 4.0]  # sixteen digits, equally often: 4 bits
    assert tunnel["per_min"] == pytest.approx(16 / 3.75)
    # volume log(512 / 200) / log(20) of 0.30, length 20 / 28 of 0.25, the rest whole
    assert tunnel["score"] == 0.723
    assert tunnel["reasons"].startswith("512 octets in 16 names (32 a name); 100% of types such as TXT")
    assert browser[whole].tolist() == [22, 2, 9, 968, 1320]
    assert browser["odd_share"] == pytest.approx(2 / 22)
    assert browser["uncacheable"] == pytest.approx(2 / 22)


def test_what_is_left_out_and_asked_for() -> None:
    frame = as_kind(made(), "pandas")
    assert len(analysis.tunnels(frame, n=1)) == 1
    assert analysis.tunnels(frame, least=0.8)["verdict"].tolist() == ["", ""]
    assert analysis.tunnels(frame, ignore=("evil.test", "arpa"))["domain"].tolist() == ["shop.test"]
    assert "10.in-addr.arpa" in set(analysis.tunnels(frame, ignore=())["domain"])
    bare = analysis.tunnels(frame.drop(columns=["query_bytes", "response_bytes", "time"]))
    # without sizes: header 12, name and its two, type and class 4
    assert bare.iloc[0][["up_bytes", "down_bytes"]].tolist() == [16 * (42 + 2 + 16), 0]
    assert bare["first"].isna().all()


def test_a_domain_below_a_private_suffix_is_one_of_its_own() -> None:
    names = [f"{n:032x}.one.github.io" for n in range(10)] + ["www.two.github.io"]
    frame = pd.DataFrame({"client": "c", "qname": names, "qtype": "A"})
    assert set(analysis.tunnels(frame)["domain"]) == {"one.github.io", "two.github.io"}


LABEL = st.text(st.sampled_from("abcdef0123456789-"), min_size=1, max_size=40)


@settings(max_examples=8)
@given(
    st.lists(st.tuples(st.sampled_from(["c1", "c2"]), LABEL, st.sampled_from(["A", "TXT"])), min_size=1, max_size=30)
)
def test_counts_are_those_of_the_distinct_names(rows: list[tuple[str, str, str]]) -> None:
    frame = pd.DataFrame(rows, columns=["client", "sub", "qtype"])
    frame["qname"] = frame["sub"] + ".evil.test"
    found = analysis.tunnels(frame.drop(columns="sub"), n=None).set_index("client")
    for client, of in frame.groupby("client"):
        subs = set(of["sub"])
        row = found.loc[client]
        assert (row["queries"], row["names"], row["sub_bytes"]) == (len(of), len(subs), sum(map(len, subs)))
        assert row["odd_share"] == pytest.approx((of["qtype"] == "TXT").mean())
        assert 0 <= row["entropy"] <= len(Counter("".join(subs))).bit_length()
        assert 0 <= row["score"] <= 1


@pytest.mark.parametrize("types", [("A",), ("AAAA", "A"), ("TXT",), ("NULL",)])
@pytest.mark.parametrize(("size", "per_second"), [(8, 1.0), (20, 0.02), (60, 0.004)])
def test_slow_ones_and_plain_types_are_seen(types: tuple[str, ...], size: int, per_second: float) -> None:
    tunnel = simulate.Tunnel("10.9.9.9", "t.far.example", per_second, size, types, start=0.0, length=None)
    asked = list(tunnel.lookups(1, 600 / per_second))
    frame = pd.DataFrame(asked).assign(time=lambda rows: pd.to_datetime(rows["at"], unit="s", utc=True))
    assert analysis.tunnels(frame)[["domain", "verdict"]].values.tolist() == [["far.example", "tunnel"]]


def test_none_in_the_simulators_day_but_the_one() -> None:
    day = simulate.frame(4, 3, 0.1, clients=30)
    found = analysis.tunnels(day).query("verdict == 'tunnel'")
    assert found[["client", "domain"]].values.tolist() == [["127.0.2.30", "deep-current.example"]]
    calm = analysis.tunnels(simulate.frame(4, 3, 0.1, clients=30, threats=False))
    assert calm["score"].max() < 0.45


@pytest.mark.shared
def test_every_captured_tunnel_is_flagged(shared_data: Path) -> None:
    files = [
        *sorted((shared_data / "pcap-tunnel").iterdir()),
        *(shared_data / folder / f"dnscat2_{name}" for folder, name in (
            ("bind", "bind_query.log"), ("coredns", "coredns_coredns.log"), ("dnsmasq", "dnsmasq_dnsmasq.log"),
            ("powerdns", "pdns_pdns.log.gz"), ("filebeat", "bind_filebeat.json"), ("filebeat", "coredns_filebeat.json"),
        )),
    ]  # fmt: skip
    assert len(files) == 15
    for path in files:
        found = dnsnb.read_log(path).dns.tunnels()
        flagged = set(found.loc[found["verdict"] == "tunnel", "domain"])
        assert len(flagged) == 1, f"{path.name}: {found.read_as}"
        if "dnscat2_" in path.name and "gt_" not in path.name and "dmachard" not in path.name:
            assert flagged == {"example.attack"}


@pytest.mark.shared
def test_nothing_benign_is_flagged(shared_data: Path) -> None:
    files = [
        "pcap-benign/gt_normal_00000.pcap", "zeek-tsv/wrccdc_dns.log.gz", "zeek-tsv/dns.log",
        "zeek-json/zat_dns.json.log",
        "bind/gen_bind918_utc_query.log", "dnsmasq/gen_dnsmasq290_extra.log", "unbound/gen_unbound117_epoch.log",
        "dnsdist/gen_dnsdist17_query.log", "dnstap/gen_bind918_utc.fstrm", "suricata-eve/eve_v2_nicoaller.json",
        *(f"pcap/{path.name}" for path in sorted((shared_data / "pcap").iterdir())),
    ]  # fmt: skip
    for name in files:
        found = dnsnb.read_log(shared_data / name).dns.tunnels(n=5)
        assert found["verdict"].eq("").all(), f"{name}: {found.iloc[0].to_dict()}"


def test_the_plot_shows_octets() -> None:
    drawn = str(analysis.tunnels(as_kind(made(), "pandas")).plot(backend="svg"))
    assert "10.0.0.1 evil.test" in drawn
    assert ">512<" in drawn
