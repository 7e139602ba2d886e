"""Questions that ordinary programs don't ask: each kind, and no ordinary one."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings

sys.path.insert(0, str(Path(__file__).parent))
from frame_kinds import ROWS, made

from dnsnb import analysis

ODD = {
    "any": {"qtype": "ANY"},
    "null": {"qtype": "NULL"},
    "transfer": {"qtype": "AXFR"},
    "meta type": {"qtype": "TYPE200"},
    "unknown type": {"qtype": "TYPE65280"},
    "address as name": {"qname": "192.0.2.1"},
    "private reverse": {"qtype": "PTR", "qname": "7.31.172.in-addr.arpa"},
    "other class": {"qclass": "CH"},
    "no recursion": {"flags": "qr ra"},
}
DEFAULTS = {"client": "a", "qname": "www.example", "qtype": "A", "qclass": "IN", "flags": "qr rd ra"}


@pytest.mark.parametrize("what", ODD)
def test_each_kind(what: str) -> None:
    found = analysis.odd_queries(made(ODD[what], ODD[what], {}, status="forwarded", **DEFAULTS))
    assert found[["what", "client", "count", "names", "forwarded"]].values.tolist() == [[what, "a", 2, 1, 2]]


@pytest.mark.parametrize(
    "name", ["8.8.8.8.in-addr.arpa", "1.32.172.in-addr.arpa", "1.128.100.in-addr.arpa", "1.0.0.2.ip6.arpa"]
)
def test_public_reverse_names_are_ordinary(name: str) -> None:
    assert analysis.odd_queries(made({"qtype": "PTR", "qname": name})).empty


@pytest.mark.parametrize(
    "name",
    ["1.10.in-addr.arpa", "1.16.172.in-addr.arpa", "1.168.192.in-addr.arpa", "1.254.169.in-addr.arpa",
     "64.100.in-addr.arpa", "1.127.in-addr.arpa", "1.d.f.ip6.arpa", "0.8.e.f.ip6.arpa"],
)  # fmt: skip
def test_private_reverse_names_leak(name: str) -> None:
    assert analysis.odd_queries(made({"qtype": "PTR", "qname": name}))["what"].tolist() == ["private reverse"]


def test_a_sweep_of_caches() -> None:
    swept = [{"client": "a", "qname": f"n{n}.example", "flags": "qr ra"} for n in range(20)]
    found = analysis.odd_queries(made(*swept, {"client": "b", "qname": "n.example", "flags": "qr ra"}, qtype="A"))
    assert found[["what", "client", "names"]].values.tolist() == [["no recursion", "b", 1], ["sweep", "a", 20]]
    assert set(analysis.odd_queries(made(*swept, qtype="A"), sweep=21)["what"]) == {"no recursion"}


@settings(max_examples=5)
@given(frame=ROWS)
def test_counts_are_of_rows(frame: pd.DataFrame) -> None:
    found = analysis.odd_queries(frame)
    assert (found["names"] <= found["count"]).all()
    assert (found["forwarded"] <= found["count"]).all()
    assert found.loc[found["what"] == "any", "count"].sum() == (frame["qtype"] == "ANY").sum()
