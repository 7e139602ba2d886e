"""The live frame: typed, bounded, never half a batch, cheap to look at."""

from __future__ import annotations

import threading
from typing import Any

import pandas as pd
import pytest

from dnsnb import schema
from dnsnb.client.liveframe import LiveFrame
from dnsnb.errors import SettingError


def rows(count: int, first: int = 0) -> schema.Columns:
    return {
        "time": [1_700_000_000_000_000 + first + i for i in range(count)],
        "client": ["127.0.0.1"] * count,
        "qname": [f"n{first + i}.example" for i in range(count)],
        "qtype": ["A" if (first + i) % 2 else "AAAA" for i in range(count)],
        "status": ["cached"] * count,
        "answers": [["192.0.2.1"]] * count,
        "ttl": [None] * count,
        "id": list(range(first + 1, first + count + 1)),
    }


def test_an_empty_frame_has_the_whole_schema() -> None:
    frame = LiveFrame().snapshot()
    assert list(frame.columns) == list(schema.NAMES)
    pd.testing.assert_frame_equal(frame, schema.empty_frame())


def test_rows_are_typed_and_in_order() -> None:
    live = LiveFrame()
    live.extend(rows(3))
    live.extend(rows(2, 3))
    frame = live.snapshot()
    assert len(frame) == len(live) == 5
    assert list(frame["qname"]) == [f"n{i}.example" for i in range(5)]
    assert str(frame["time"].dtype) == "datetime64[us, UTC]"
    assert str(frame["qtype"].dtype) == "category"
    assert str(frame["ttl"].dtype) == "Int32"
    assert frame["ttl"].isna().all()
    assert frame["upstream"].isna().all()


def test_the_newest_rows_within_the_limit_are_kept_and_drops_are_counted() -> None:
    live = LiveFrame(limit=1000)
    for first in range(0, 5000, 300):
        live.extend(rows(300, first))
    frame = live.snapshot()
    assert len(frame) == len(live) == 1000
    assert live.dropped == 5100 - 1000
    assert list(frame["id"]) == list(range(4101, 5101))
    live.extend(rows(2500, 5100))
    assert list(live.snapshot()["id"]) == list(range(6601, 7601)), "a batch larger than the limit"


def test_a_snapshot_never_changes_and_is_made_once() -> None:
    live = LiveFrame()
    live.extend(rows(10))
    first = live.snapshot()
    again = live.snapshot()
    again.loc[0, "qname"] = "written.example"
    assert first.loc[0, "qname"] == "n0.example"
    assert live.snapshot().loc[0, "qname"] == "n0.example"
    live.extend(rows(10, 10))
    assert len(first) == 10
    assert len(live.snapshot()) == 20


def test_a_batch_is_seen_whole_or_not_at_all() -> None:
    live = LiveFrame()
    done = threading.Event()
    sizes: list[int] = []

    def read() -> None:
        while not done.is_set():
            frame = live.snapshot()
            sizes.append(len(frame))
            assert list(frame["id"].tail(1)) in ([], [len(frame)])

    reader = threading.Thread(target=read)
    reader.start()
    for i in range(60):
        live.extend(rows(7, i * 7))
    done.set()
    reader.join(10)
    assert all(size % 7 == 0 for size in sizes)
    assert sizes == sorted(sizes)


def test_a_ragged_batch_is_refused_whole() -> None:
    live = LiveFrame()
    with pytest.raises(ValueError, match="client: 1 values where other columns have 2"):
        live.extend({"time": [1, 2], "client": ["a"]})
    assert len(live) == 0


def test_changes_are_told_and_a_failing_handler_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    live = LiveFrame()
    told: list[int] = []

    def fail() -> None:
        raise RuntimeError("mine")

    live.on_change(fail)
    watch = live.on_change(lambda: told.append(len(live)))
    live.extend(rows(2))
    watch.close()
    watch.close()
    live.extend(rows(2, 2))
    assert told == [2]
    assert "mine" in caplog.text


@pytest.mark.parametrize("limit", [0, -1, 1.5, "many"])
def test_a_wrong_limit_is_named(limit: Any) -> None:
    with pytest.raises(SettingError, match="limit"):
        LiveFrame(limit=limit)
