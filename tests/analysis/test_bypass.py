"""Ways round the resolver, by numbers worked out by hand."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings

sys.path.insert(0, str(Path(__file__).parent))
from frame_kinds import ROWS, made

from dnsnb import analysis


def test_well_known_names() -> None:
    frame = made(
        {"at": 0, "client": "a", "qname": "use-application-dns.net", "rcode": "NXDOMAIN"},
        {"at": 1, "client": "a", "qname": "mask.icloud.com", "rcode": "NOERROR"},
        {"at": 2, "client": "b", "qname": "mozilla.cloudflare-dns.com", "rcode": "NOERROR"},
        {"at": 3, "client": "b", "qname": "mozilla.cloudflare-dns.com", "rcode": "NOERROR", "status": "blocked"},
        {"at": 4, "client": "b", "qname": "doh.own.example", "rcode": "NOERROR"},
        {"at": 5, "client": "b", "qname": "notdns.google.example", "rcode": "NOERROR"},
        {"at": 6, "client": "c", "qname": "_dns.resolver.arpa", "rcode": "NOERROR"},
        status="forwarded",
    )
    found = analysis.bypass(frame, providers=["own.example."])
    assert found[["what", "client", "name", "queries", "refused"]].values.tolist() == [
        ["canary", "a", "use-application-dns.net", 1, 1],
        ["discovery", "c", "_dns.resolver.arpa", 1, 0],
        ["provider", "b", "mozilla.cloudflare-dns.com", 2, 1],
        ["provider", "b", "doh.own.example", 1, 0],
        ["relay", "a", "mask.icloud.com", 1, 0],
    ]


def test_a_client_that_fell_silent() -> None:
    hours = [{"at": 3600 * h + m, "client": "gone", "qname": "a.example"} for h in range(5) for m in range(10)]
    there = [{"at": 3600 * h, "client": "here", "qname": "a.example"} for h in range(16)]
    rare = [{"at": 60, "client": "rare", "qname": "a.example"}]
    found = analysis.bypass(made(*hours, *there, *rare))
    assert found[["what", "client", "name"]].values.tolist() == [["silent", "gone", "nothing for 10 h"]]
    # 50 queries in 5 hours, then nothing from 4:00:09 to 15:00
    assert found["expected"].iloc[0] == pytest.approx(10 * (11 - 9 / 3600))
    assert analysis.bypass(made(*hours, *there, *rare), silent_hours=12).empty


def test_other_resolvers_in_a_capture() -> None:
    frame = made(
        {"at": 0, "client": "a", "qname": "a.example", "upstream": "192.168.1.1"},
        {"at": 1, "client": "a", "qname": "a.example", "upstream": "8.8.8.8"},
    )
    found = analysis.bypass(frame, resolvers=["192.168.1.1"])
    assert found[["what", "client", "name"]].values.tolist() == [["other resolver", "a", "8.8.8.8"]]
    assert analysis.bypass(frame).empty


@settings(max_examples=5)
@given(frame=ROWS)
def test_refused_is_never_more_than_asked(frame: pd.DataFrame) -> None:
    found = analysis.bypass(frame, providers=["a.test"], least=0.001, silent_hours=0.5)
    assert (found["refused"].fillna(0) <= found["queries"]).all()
    assert (found["first"] <= found["last"]).all()
    provider = found[found["what"] == "provider"]["queries"].sum()
    there = frame.dropna(subset=["time"])["qname"].isin(["a.test", "www.a.test"])
    assert provider == there.sum()
