"""Roll-ups by registered domain, leaks, and what names look like: by hand, and a stream's parts against the whole."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from frame_kinds import KINDS, as_kind

from dnsnb import analysis, schema

ROWS = [
    ("10.0.0.1", "www.example.co.uk", "NOERROR", "forwarded"),
    ("10.0.0.1", "cdn.example.co.uk", "NXDOMAIN", "forwarded"),
    ("10.0.0.2", "www.example.co.uk", "NOERROR", "cached"),
    ("10.0.0.2", "me.github.io", "NOERROR", "blocked"),
    ("10.0.0.2", "you.github.io", "NOERROR", "forwarded"),
    (None, "me.github.io", "NOERROR", "forwarded"),
    ("10.0.0.1", "nas.fritz.box", "NXDOMAIN", "forwarded"),
    ("10.0.0.1", "nas.fritz.box", "NXDOMAIN", "forwarded"),
    ("10.0.0.3", "wpad", "NXDOMAIN", "forwarded"),
    ("10.0.0.3", "tv.lan", "NXDOMAIN", "local"),
    ("10.0.0.3", "tv.lan", None, "failed"),
    ("10.0.0.3", "pc.nosuchtop", "NXDOMAIN", "forwarded"),
    ("10.0.0.3", ".", "NOERROR", "forwarded"),
    ("10.0.0.3", "co.uk", "NOERROR", "forwarded"),
    ("10.0.0.3", None, None, "failed"),
]


def table() -> object:
    client, qname, rcode, status = (list(column) for column in zip(*ROWS, strict=True))
    return schema.to_arrow({"client": client, "qname": qname, "rcode": rcode, "status": status})


@pytest.mark.parametrize("kind", KINDS)
def test_domains_by_hand(kind: str) -> None:
    found = analysis.domains(as_kind(table(), kind))
    assert found.columns.tolist() == [
        "domain", "kind", "queries", "share", "clients", "names", "nx_share", "blocked_share",
    ]  # fmt: skip
    rows = {row["domain"]: row for row in found.to_dict("records")}
    assert found["domain"][0] == "example.co.uk"
    uk = rows["example.co.uk"]
    assert (uk["kind"], uk["queries"], uk["clients"], uk["names"]) == ("icann", 3, 2, 2)
    assert uk["share"] == pytest.approx(3 / 14)  # the row without a name is no part of it
    assert uk["nx_share"] == pytest.approx(1 / 3)
    me = rows["me.github.io"]
    assert (me["kind"], me["queries"], me["clients"], me["blocked_share"]) == ("private", 2, 1, 0.5)
    assert rows["pc.nosuchtop"]["kind"] == "unknown"
    together = analysis.domains(as_kind(table(), kind), private=False).set_index("domain")
    assert together["queries"]["github.io"] == 3
    assert len(analysis.domains(as_kind(table(), kind), n=2)) == 2


@pytest.mark.parametrize("kind", KINDS)
def test_leaks_by_hand(kind: str) -> None:
    found = analysis.leaks(as_kind(table(), kind))
    assert found[["top", "why", "queries", "example"]].values.tolist() == [
        ["fritz.box", "a router's own", 2, "nas.fritz.box"],
        ["lan", "private use, unregistered", 2, "tv.lan"],
        ["nosuchtop", "not in the public suffix list", 1, "pc.nosuchtop"],
        ["wpad", "single label", 1, "wpad"],
    ]
    assert found["nx_share"].tolist() == [1.0, 0.5, 1.0, 1.0]


def test_name_features_by_hand() -> None:
    found = analysis.name_features(as_kind(table(), "pandas")).set_index("qname")
    assert found.index[0] == "me.github.io"  # of those asked twice, the first by its letters
    assert found.loc["cdn.example.co.uk", ["etld1", "sub", "labels", "sub_bytes"]].tolist() == [
        "example.co.uk", "cdn", 4, 3,
    ]  # fmt: skip
    assert found["entropy"]["cdn.example.co.uk"] == pytest.approx(1.584962500721156)
    assert found["clients"]["me.github.io"] == 1


rows = st.lists(
    st.tuples(
        st.sampled_from(["10.0.0.1", "10.0.0.2", None]),
        st.sampled_from(["a.example.com", "b.example.com", "x.co.uk", "nas.lan", "wpad", ".", None]),
        st.sampled_from(["NOERROR", "NXDOMAIN", None]),
        st.sampled_from(["cached", "blocked"]),
    ),
    max_size=30,
)


@settings(max_examples=5)
@given(rows=rows, cut=st.integers(0, 30))
@pytest.mark.parametrize("name", ["domains", "leaks", "name_features"])
def test_a_streams_parts_add_up_to_the_batch(name: str, rows: list[tuple[str, ...]], cut: int) -> None:
    frame = pd.DataFrame(rows, columns=["client", "qname", "rcode", "status"]).astype("str")
    one, other = analysis.live(name), analysis.live(name)
    one.update(frame[:cut])
    other.update(frame[cut:])
    pd.testing.assert_frame_equal((one + other).result(), getattr(analysis, name)(frame))
    if len(frame):
        assert analysis.domains(frame)["queries"].sum() <= len(frame)


def test_a_streams_limit_is_told() -> None:
    stream = analysis.live("domains", limit=100)
    stream.update(pd.DataFrame({"client": "c", "qname": [f"n{i}.example.com" for i in range(60_000)]}))
    assert stream.result()["queries"].sum() + stream.dropped == 60_000
    assert stream.dropped
