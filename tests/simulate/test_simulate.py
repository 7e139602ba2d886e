"""The made-up internet and household: the same for the same seed, honest over real sockets, with its threats inside."""

from __future__ import annotations

import socket
from collections import Counter

import dnslib
import pytest

from dnsnb import schema, simulate
from dnsnb.simulate.world import World


def ask(address: str, name: str, qtype: str = "A", *, tcp: bool = False, timeout: float = 2.0) -> dnslib.DNSRecord:
    host, _, port = address.rpartition(":")
    record = dnslib.DNSRecord.question(name, qtype)
    return dnslib.DNSRecord.parse(record.send(host, int(port), tcp=tcp, timeout=timeout))


@pytest.fixture(scope="module")
def upstream() -> object:
    with simulate.running(latency_ms=0) as running:
        yield running


def test_traffic_is_the_same_for_the_same_seed() -> None:
    one, two = (list(simulate.traffic(7, 120, 10)) for _ in range(2))
    assert one == two
    assert one == sorted(one)
    assert one != list(simulate.traffic(8, 120, 10))


def test_traffic_has_its_rate_its_clients_and_its_threats() -> None:
    lookups = list(simulate.traffic(1, 600, 10))
    assert 0.6 * 6000 < len(lookups) < 1.4 * 6000
    assert {x.client for x in lookups} == set(simulate.CLIENTS)
    names = Counter(x.qname for x in lookups)
    assert 9 <= names[simulate.BEACON] <= 11
    assert sum(n.endswith(simulate.TUNNEL) for n in names) > 50
    calm = {x.qname for x in simulate.traffic(1, 600, 10, threats=False)}
    assert simulate.BEACON not in calm
    assert not any(n.endswith(simulate.TUNNEL) for n in calm)


def test_daily_traffic_sleeps_at_night() -> None:
    hours = Counter(int(x.at // 3600) for x in simulate.traffic(1, 86_400, 0.5, daily=True, threats=False))
    assert sum(hours[h] for h in (19, 20, 21)) > 3 * sum(hours[h] for h in (1, 2, 3))


@pytest.mark.parametrize(
    ("name", "rcode", "records"),
    [
        ("ok-60.test.org", "NOERROR", 1),
        ("nx-30-5.test.org", "NXDOMAIN", 0),
        ("nodata-30-5.test.org", "NOERROR", 0),
        ("servfail.test.org", "SERVFAIL", 0),
        ("refused.test.org", "REFUSED", 0),
        ("cname-300-3.test.org", "NOERROR", 2),
        ("unknown-to-all.example", "NXDOMAIN", 0),
        ("anything.at.all.net", "NOERROR", None),
    ],
)
def test_names_are_orders(upstream: simulate.Running, name: str, rcode: str, records: int | None) -> None:
    reply = ask(upstream.address, name)
    assert dnslib.RCODE[reply.header.rcode] == rcode
    assert len(reply.rr) == records if records is not None else reply.rr


def test_seq_counts_and_slow_waits(upstream: simulate.Running) -> None:
    first, second = (str(ask(upstream.address, "seq-10.test.org").rr[0].rdata) for _ in range(2))
    assert first != second
    with pytest.raises(socket.timeout):
        ask(upstream.address, "slow-3000.test.org", timeout=0.2)
    with pytest.raises(socket.timeout):
        ask(upstream.address, "drop.test.org", timeout=0.2)


@pytest.mark.parametrize("name", ["trunc.test.org", "big-200.test.org"])
def test_cut_over_udp_whole_over_tcp(upstream: simulate.Running, name: str) -> None:
    cut = ask(upstream.address, name)
    assert (cut.header.tc, len(cut.rr)) == (1, 0)
    assert len(ask(upstream.address, name, tcp=True).rr) == (200 if "big" in name else 1)


def test_answers_are_the_same_for_the_same_seed() -> None:
    query = bytes(dnslib.DNSRecord.question("www.any-name.org").pack())
    assert World(3).reply(query) == World(3).reply(query)


def test_play_sends_everything_from_its_own_client(upstream: simulate.Running) -> None:
    lookups = list(simulate.traffic(1, 20, 20))
    played = simulate.play(upstream.address, lookups, speed=0)
    assert (played.sent, played.answered) == (len(lookups), len(lookups))
    assert played.rcodes["NXDOMAIN"] >= 10


def test_frame_is_a_log(upstream: simulate.Running) -> None:
    frame = simulate.frame(seed=2, hours=0.5)
    assert list(frame.columns) == list(schema.NAMES)
    assert frame.dtypes.astype(str).equals(schema.empty_frame().dtypes.astype(str))
    assert frame["time"].is_monotonic_increasing
    assert {"blocked", "cached", "forwarded"} <= set(frame["status"].unique())
    assert frame.equals(simulate.frame(seed=2, hours=0.5))
    blocked = frame[frame["status"] == "blocked"]
    assert blocked["qname"].str.endswith(simulate.ADS).all()


def test_a_closed_upstream_is_gone() -> None:
    running = simulate.running()
    host, _, port = running.address.rpartition(":")
    running.close()
    running.close()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((host, int(port)))


def test_what_is_hidden_is_told() -> None:
    hidden = (
        simulate.Beacon(period=60, jitter=0.3, loss=0.3),
        simulate.Tunnel(start=600, length=120),
        simulate.Dga(start=900, algorithm=7, names=40),
        simulate.Rebinding(start=1200),
        simulate.Burst(start=1500, length=20),
        simulate.FastFlux(every=60),
    )
    frame = simulate.frame(1, 1, 0.1, threats=False, infected=hidden)
    calm = simulate.frame(1, 1, 0.1, threats=False)
    truth = frame.attrs["truth"]
    assert [t["what"] for t in truth] == ["beacon", "tunnel", "dga", "rebinding", "burst", "fast flux"]
    assert len(frame) == len(calm) + sum(t["queries"] for t in truth)
    assert frame.equals(simulate.frame(1, 1, 0.1, threats=False, infected=hidden))
    calls = frame[frame["qname"] == hidden[0].qname]["time"]
    assert len(calls) == truth[0]["queries"]
    assert 0.5 * 60 < len(calls) < 0.9 * 60  # 30 % of them are lost
    assert calls.diff().dt.total_seconds().dropna().between(42 - 1e-3, 78 * 12).all()
    dga = frame[frame["qname"].isin(hidden[2].generate())]
    assert len(dga) == len(set(hidden[2].generate())) == 40
    assert set(dga["rcode"]) == {"NXDOMAIN"}
    rebound = frame[frame["qname"] == hidden[3].qname]["answers"].tolist()
    assert [a[0] for a in rebound] == ["203.0.113.80", *["192.168.1.1"] * 3]
    assert frame[frame["qname"] == hidden[5].qname]["answers"].explode().nunique() > 30


def test_a_larger_household_asks_as_much() -> None:
    small, large = (simulate.frame(2, 3, 0.5, threats=False, clients=n) for n in (7, 30))
    assert large["client"].nunique() == 30
    assert large["client_name"].notna().all()
    browsers = large[large["client_name"].str.match("laptop|phone|tablet|tv")]
    assert 0.6 * len(small) < len(browsers) < 1.5 * len(small)
    speaker = large[large["client_name"] == "speaker-2"]
    gaps = speaker["time"].diff().dt.total_seconds() - speaker["ttl"].shift()
    assert gaps.dropna().between(0, 1).all()
    with pytest.raises(ValueError, match="clients: 3"):
        simulate.household(3)
