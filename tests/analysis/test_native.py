"""Large pandas frames are asked about by DuckDB: the same results, the same errors."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from frame_kinds import as_kind, plain, rich_table

from dnsnb import analysis, schema, simulate
from dnsnb.analysis import native
from dnsnb.errors import MissingColumnError

FRAME = as_kind(rich_table(), "pandas")
TIMED = schema.to_frame(schema.to_arrow({"time": [0], "client": ["10.0.0.1"], "qname": ["a.test"], "qtype": ["A"]}))
ASKED: dict[str, dict[str, Any]] = {
    "rate": {"by": "status"}, "top": {}, "latency": {}, "rcodes": {}, "cache_hits": {"every": "1min"}, "domains": {},
    "nxdomain": {}, "tunnels": {}, "sessions": {}, "replay": {"blacklist": ["shop.example"]},
}  # fmt: skip


@pytest.mark.parametrize("name", ASKED)
def test_a_large_frame_gives_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    small = getattr(analysis, name)(FRAME, **ASKED[name])
    monkeypatch.setattr(native, "LARGE", 1)
    assert "duckdb" in type(native.nw.to_native(native.lazy(FRAME, "qname", "status"))).__module__
    pd.testing.assert_frame_equal(plain(getattr(analysis, name)(FRAME, **ASKED[name])), plain(small), rtol=1e-4)


def test_rows_keep_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    small = analysis.replay(FRAME, blacklist=["shop.example"]).rows()
    monkeypatch.setattr(native, "LARGE", 1)
    pd.testing.assert_frame_equal(analysis.replay(FRAME, blacklist=["shop.example"]).rows(), small)


def test_what_duckdb_cannot_take_stays_with_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "LARGE", 1)
    odd = pd.DataFrame({"qname": pd.Series(["a", 1, "a"], dtype=object)})
    assert analysis.top(odd)["count"].tolist() == [2, 1]
    with pytest.raises(MissingColumnError, match="client"):
        analysis.top(odd, "client")


@pytest.mark.parametrize("kind", ["pandas", "duckdb"])
def test_windows_are_rounded_down(kind: str) -> None:
    import duckdb
    import pyarrow as pa

    times = pd.to_datetime([-61_000_000, -1, 0, 59_999_999, 60_000_000], unit="us", utc=True).as_unit("us")
    frame: Any = pd.DataFrame({"time": times})
    if kind == "duckdb":
        frame = duckdb.from_arrow(pa.Table.from_pandas(frame))
    rows = native.with_windows(native.lazy(frame, "time"), 60_000_000)
    assert native.collected(rows.select("window"))["window"].tolist() == [-2, -1, 0, 0, 1]


def test_percentiles_from_counts_are_those_of_the_values(monkeypatch: pytest.MonkeyPatch) -> None:
    latency = importlib.import_module("dnsnb.analysis.latency")
    frame = simulate.frame(hours=2, threats=False)
    found = latency.latency(frame, by="qtype").set_index("qtype")
    good = frame[frame["status"].eq("forwarded")]
    for qtype, waits in good.groupby("qtype", observed=True)["latency_ms"]:
        for name, q in latency.PERCENTILES.items():
            assert found.loc[qtype, name] == pytest.approx(waits.astype("float64").quantile(q), abs=0.0015)
    monkeypatch.setattr(latency, "MOST_GROUPS", 10)
    pd.testing.assert_frame_equal(latency.latency(frame, by="qtype").set_index("qtype"), found, atol=0.0015)


@pytest.mark.parametrize(
    ("asked", "error", "said"),
    [
        (lambda: analysis.top("pihole.log", "client"), TypeError, "read a log by dnsnb.read_log"),
        (lambda: analysis.hunt([1, 2]), TypeError, "list is no frame that is known; give pandas"),
        (lambda: analysis.pseudonymise({}, b"0" * 32), TypeError, "dict is no frame that is known"),
        (lambda: analysis.rate(TIMED.assign(time="2026-03-02")), TypeError, "time: String: must be times; with pandas"),
        (lambda: analysis.rate(TIMED.assign(time=1.5)), TypeError, "time: Float64: must be times"),
        (lambda: analysis.rate(TIMED.assign(time=pd.Timestamp(0))), TypeError, "tz_localize"),
        (lambda: analysis.tunnels(TIMED, ignore="lan"), TypeError, r"must be several domains, such as \['lan'\]"),
        (lambda: analysis.sessions(TIMED, gap="soon"), ValueError, "gap: 'soon': must be a time"),
        (lambda: analysis.tunnels(TIMED, n=-2), ValueError, "n: -2: must not be negative"),
    ],
)
def test_what_is_wrong_is_named(asked: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        asked()
