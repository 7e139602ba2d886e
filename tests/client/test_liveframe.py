"""The live frame: typed, bounded, never half a batch, cheap to look at."""

from __future__ import annotations

import threading
from typing import Any

import pandas as pd
import pyarrow as pa
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


def test_who_writes_to_an_old_snapshot_changes_no_other() -> None:
    live = LiveFrame(limit=100)
    live.extend(rows(60) | {"latency_ms": [1.0] * 60, "ttl": [300] * 60})
    old = live.snapshot()
    live.extend(rows(60, 60))
    live.snapshot()  # the old one now belongs to its holder alone
    old.loc[:, "latency_ms"] = 99.0
    old.loc[:, "ttl"] = 99
    old.loc[:, "qtype"] = "A"
    old.loc[:, "time"] = old["time"].max()
    now = live.snapshot()
    assert set(now["latency_ms"].dropna()) == {1.0}
    assert set(now["ttl"].dropna()) == {300}
    assert now["time"].is_monotonic_increasing
    assert now["qtype"].value_counts().to_dict() == {"A": 50, "AAAA": 50}


def test_rows_that_come_while_a_snapshot_is_made_are_not_lost() -> None:
    live = LiveFrame(limit=5000)
    done = threading.Event()

    def feed() -> None:
        for first in range(0, 40_000, 37):
            live.extend(rows(37, first))
        done.set()

    feeder = threading.Thread(target=feed)
    feeder.start()
    while not done.is_set():
        ids = list(live.snapshot()["id"])
        assert ids == list(range(ids[0], ids[0] + len(ids))) if ids else True
    feeder.join(10)
    frame = live.snapshot()
    assert list(frame["id"]) == list(range(live.total - 4999, live.total + 1))
    assert list(frame["qname"]) == [f"n{i}.example" for i in range(live.total - 5000, live.total)]


def test_categories_are_the_same_object_until_there_is_a_new_word() -> None:
    live = LiveFrame()
    live.extend(rows(4))
    first = live.snapshot()["qtype"].dtype
    live.extend(rows(4, 4))
    assert live.snapshot()["qtype"].dtype is first
    live.extend({"qtype": ["HTTPS", None], "upstream": [None, "192.0.2.53"]})
    frame = live.snapshot()
    assert list(frame["qtype"].cat.categories) == ["AAAA", "A", "HTTPS"]
    assert frame["qtype"].tail(2).isna().tolist() == [False, True]
    assert frame["upstream"].tolist()[-1] == "192.0.2.53"


def test_words_that_no_row_has_any_more_are_forgotten() -> None:
    live = LiveFrame(limit=100)
    for first in range(0, 6000, 50):
        live.extend({"upstream": [f"192.0.2.{i}" for i in range(first, first + 50)], "id": list(range(50))})
        if first in (2000, 4500):
            live.snapshot()
    frame = live.snapshot()
    assert frame["upstream"].tolist() == [f"192.0.2.{i}" for i in range(5900, 6000)]
    assert len(frame["upstream"].cat.categories) < 4096


def test_a_value_of_a_wrong_type_refuses_its_batch_alone() -> None:
    live = LiveFrame()
    live.extend(rows(2))
    for wrong in ({"ttl": ["soon", "late"]}, {"qname": [1, 2]}, {"qtype": [1, 1]}, {"id": [1 << 70, 1]}):
        with pytest.raises((ValueError, TypeError, OverflowError)):
            live.extend(rows(2, 2) | wrong)
    assert len(live) == len(live.snapshot()) == 2


def test_nulls_of_every_kind_are_the_same_in_every_piece_of_the_way() -> None:
    batch: schema.Columns = {
        "time": [None, 1_700_000_000_000_000, None],
        "client": [None, "192.0.2.1", None],
        "rcode": [None, "NOERROR", None],
        "latency_ms": [None, 0.5, None],
        "answers": [None, [], ["192.0.2.1", "192.0.2.2"]],
        "ttl": [None, 60, None],
        "id": [1, 2, 3],
        "unheard_of": [1, 2, 3],
    }
    by_arrow = {name: pa.array(values) for name, values in batch.items()}
    live, other = LiveFrame(), LiveFrame()
    for _ in range(3):
        live.extend(batch)
        live.extend({"id": [4]})
        other.extend(by_arrow)
        other.extend({"id": pa.array([4])})
        expected = schema.to_frame(pa.concat_tables([schema.to_arrow(batch), schema.to_arrow({"id": [4]})]))
        for frame in (live.snapshot(), other.snapshot()):
            pd.testing.assert_frame_equal(frame.tail(4).reset_index(drop=True), expected)


def test_a_sink_gets_what_is_there_and_all_that_comes_once() -> None:
    """However many batches come while it is handed over."""

    class Counted:
        def __init__(self) -> None:
            self.ids: list[int] = []

        def update(self, frame: pd.DataFrame) -> None:
            self.ids += list(frame["id"])

        def extend(self, columns: schema.Columns) -> None:
            self.ids += columns["id"]

    live, counted = LiveFrame(), Counted()
    live.extend(rows(10))
    go = threading.Event()

    def feed() -> None:
        for first in range(10, 2010, 10):
            live.extend(rows(10, first))
            if first == 500:
                go.set()

    feeder = threading.Thread(target=feed)
    feeder.start()
    assert go.wait(10)
    watch = live.pass_on(counted)
    feeder.join(10)
    assert sorted(counted.ids) == list(range(1, 2011))
    watch.close()
    live.extend(rows(1, 5000))
    assert len(counted.ids) == 2010


def test_a_failing_sink_does_not_stop_the_frame(caplog: pytest.LogCaptureFixture) -> None:
    class Failing:
        def update(self, frame: pd.DataFrame) -> None:
            pass

        def extend(self, columns: schema.Columns) -> None:
            raise RuntimeError("no")

    live = LiveFrame()
    live.pass_on(Failing())
    live.extend(rows(1))
    assert len(live) == 1
    assert "a sink of the live frame failed" in caplog.text
