"""Domains that look made up, in a frame: which name speaks for a domain, and what stands beside it."""

from __future__ import annotations

import pandas as pd
import pytest

from dnsnb import analysis, simulate


def test_by_hand() -> None:
    frame = pd.DataFrame(
        {
            "client": ["10.0.0.1", "10.0.0.2", "10.0.0.1", "10.0.0.1", None],
            "qname": ["www.wikipedia.org", "wikipedia.org", "xjw3qpkzt0v8h1.com", "qwjzkrvbtplx.info", "com"],
            "rcode": ["NOERROR", "NOERROR", "NXDOMAIN", "NXDOMAIN", "NOERROR"],
        }
    )
    found = analysis.dga(frame)
    assert set(found["domain"][:2]) == {"xjw3qpkzt0v8h1.com", "qwjzkrvbtplx.info"}
    assert found["verdict"].tolist() == ["made up", "made up", ""]
    assert found["nx_share"].tolist() == [1.0, 1.0, 0.0]
    last = found.iloc[2]
    assert (last["domain"], last["queries"], last["clients"], last["names"]) == ("wikipedia.org", 2, 2, 2)
    assert len(analysis.dga(frame, n=1)) == 1


def test_of_equal_scores_what_does_not_exist_comes_first_and_what_nobody_chose_is_left_out() -> None:
    names = ["xjw3qpkzt0v8h1xjw3qpkz.cloudfront.net", "xjw3qpkzt0v8h1xjw3qpkz.com", "xjw3qpkzt0v8h1._tcp.local"]
    frame = pd.DataFrame({"client": "10.0.0.1", "qname": names, "rcode": ["NOERROR", "NXDOMAIN", "NOERROR"]})
    found = analysis.dga(pd.concat([frame, frame[:1]]))
    assert found["domain"].tolist() == names[1::-1]
    assert found["score"].tolist() == [1.0, 1.0]


def test_least_is_a_share() -> None:
    with pytest.raises(ValueError, match="least"):
        analysis.dga(simulate.frame(hours=0.1), least=2)


def test_the_infected_of_a_day() -> None:
    """The names of a generator that is hidden in ordinary traffic come before all others."""
    day = simulate.frame(1, hours=2, clients=8, threats=False, infected=[simulate.Dga(client="127.0.2.14", start=600)])
    found = analysis.dga(day, n=20)
    assert (found["nx_share"] == 1).mean() > 0.8
