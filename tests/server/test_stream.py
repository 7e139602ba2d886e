"""The ring and its readers, without sockets: fan-out, filters, replay, gaps, slow readers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsnb import schema
from dnsnb.dns.journal import LogBatch
from dnsnb.schema import Columns
from dnsnb.server.rowfilter import RowFilter
from dnsnb.server.stream import MAX_BATCH_ROWS, ROWS, Form, Reader, Ring
from dnsnb.sse import Decoder

STATUS = ("dns/status", {"running": True, "version": 3})


class Clock:
    ms = 1_000_000

    def __call__(self) -> int:
        return self.ms


def ring(events: int = 1000, size: int = 1 << 20, epoch: str = "77", clock: Callable[[], int] | None = None) -> Ring:
    return Ring(epoch, events, size, clock or Clock())


def rows(first: int, count: int, **more: Any) -> Columns:
    columns: Columns = {
        "id": list(range(first, first + count)),
        "qname": [f"n{n}.example.com" for n in range(first, first + count)],
        "status": ["blocked" if n % 2 else "cached" for n in range(first, first + count)],
        "upstream": [None] * count,
    }
    return columns | more


def reader(
    on: Ring, last: str | None = None, form: Form | None = None, channels: Iterable[str] | None = None
) -> Reader:
    wants = (lambda _: True) if channels is None else frozenset(channels).__contains__
    return Reader(on, wants, lambda: [STATUS], form, last)


def drain(one: Reader) -> list[dict[str, Any]]:
    """All that waits, as a client would see it; `id` is put into each message."""
    decoder, found = Decoder(), []
    while chunks := one.take():
        found += [orjson.loads(m.data) | {"id": m.id} for m in decoder.feed(b"".join(chunks))]
    return found


def ids(messages: list[dict[str, Any]]) -> list[int]:
    return [m["data"]["id"] for m in messages if m["type"] == ROWS]


def add(on: Ring, first: int, count: int = 1, encode: bool = True) -> None:
    on.add_rows(LogBatch(rows(first, count), count), encode)


def test_the_present_state_comes_first_then_what_happens() -> None:
    on = ring()
    add(on, 1)
    one = reader(on)
    found = drain(one)
    add(on, 2)
    on.add_state("dns/status", {"running": False, "version": 4})
    found += drain(one)
    assert [(m["type"], m["data"].get("version")) for m in found] == [
        ("dns/status", 3),
        (ROWS, None),
        ("dns/status", 4),
    ]
    assert [m["id"] for m in found] == ["77-1", "77-2", "77-3"]
    assert drain(one) == []


def test_a_batch_by_column_leaves_out_what_is_all_null() -> None:
    on = ring()
    one = reader(on, form=Form(batch=True))
    on.add_rows(LogBatch(rows(1, 3), 3, 5), True)
    (batch,) = [m for m in drain(one) if m["type"] == ROWS]
    assert batch["data"]["count"] == 3
    assert batch["data"]["dropped"] == 5
    assert set(batch["data"]["columns"]) == {"id", "qname", "status"}
    assert batch["id"] == "77-3"


def test_a_batch_by_column_says_once_what_all_rows_share() -> None:
    on = ring()
    one = reader(on, form=Form(batch=True))
    content = rows(1, 3) | {"time": [7] * 3, "qtype": ["A"] * 3, "answers": [["192.0.2.1"]] * 3, "ttl": [5, None, 5]}
    on.add_rows(LogBatch(content, 3), True)
    (batch,) = [m["data"] for m in drain(one) if m["type"] == ROWS]
    assert batch["constants"] == {"qtype": "A", "answers": ["192.0.2.1"]}
    assert set(batch["columns"]) == {"time", "id", "qname", "status", "ttl"}
    assert schema.whole(batch) == {name: values for name, values in content.items() if name != "upstream"}


def test_rows_one_a_message_have_an_id_each() -> None:
    on = ring()
    one = reader(on)
    add(on, 1, 3)
    found = [m for m in drain(one) if m["type"] == ROWS]
    assert [m["id"] for m in found] == ["77-1", "77-2", "77-3"]
    values = {"id": 1, "qname": "n1.example.com", "status": "blocked"}
    assert found[0]["data"] == dict.fromkeys(n for n in schema.NAMES if n != "source") | values


def test_encoded_once_however_many_read() -> None:
    on = ring()
    readers = [reader(on, form=Form(batch=True)) for _ in range(50)]
    for one in readers:
        one.take()
    add(on, 1, 100)
    assert len({id(one.take()[0]) for one in readers}) == 1


def test_readers_of_the_same_filter_share_too() -> None:
    on = ring()
    texts = ("status:blocked,cached qname:example.com", "qname:EXAMPLE.com.  status:cached,blocked,cached")
    readers = [reader(on, form=Form(True, RowFilter(text))) for text in texts]
    for one in readers:
        one.take()
    on.add_rows(LogBatch(rows(1, 10) | {"qname": ["a.example.com"] * 9 + ["other.test"]}, 10), True)
    first, second = (one.take()[0] for one in readers)
    assert first is second


def test_a_large_batch_is_cut() -> None:
    on = ring(events=20_000)
    one = reader(on, form=Form(batch=True))
    add(on, 1, MAX_BATCH_ROWS * 2 + 5)
    counts = [m["data"]["count"] for m in drain(one) if m["type"] == ROWS]
    assert counts == [MAX_BATCH_ROWS, MAX_BATCH_ROWS, 5]


@pytest.mark.parametrize("encode", [True, False])
@pytest.mark.parametrize("batch", [True, False])
@pytest.mark.parametrize("after", range(13))
def test_replay_from_anywhere_loses_and_doubles_nothing(after: int, batch: bool, encode: bool) -> None:
    on = ring()
    for first, count in ((1, 5), (6, 1), (7, 6)):
        add(on, first, count, encode)
    one = reader(on, f"77-{after}", Form(batch=batch))
    found = drain(one)
    got = [n for m in found if m["type"] == ROWS for n in (m["data"]["columns"]["id"] if batch else [m["data"]["id"]])]
    assert got == list(range(after + 1, 13))
    assert one.outcome == "replayed"
    assert one.replayed == 12 - after
    assert not [m for m in found if m["type"] == "system/gap"]


def test_a_replay_brings_states_as_they_are_not_as_they_were() -> None:
    on = ring()
    add(on, 1)
    on.add_state("dns/status", {"running": False, "version": 2})
    add(on, 2)
    found = drain(reader(on, "77-1"))
    assert [(m["type"], m["data"].get("version", m["data"].get("id"))) for m in found] == [("dns/status", 3), (ROWS, 2)]


def test_what_is_gone_is_told_with_its_count() -> None:
    on = ring(events=4)
    for n in range(1, 11):
        add(on, n)
    one = reader(on, "77-2")
    gap, *rest = drain(one)
    assert gap["type"] == "system/gap"
    assert gap["data"] == {"count": 4, "first": "77-3", "last": "77-6", "reason": "gone"}
    assert gap["id"] == "77-6"
    assert ids(rest) == [7, 8, 9, 10]
    assert one.outcome == "gap"


@pytest.mark.parametrize(
    "last", ["76-5", "77-99", "junk", "77-", "-5", "77-٣", "77-1_0", "x" * 5000, "77-" + "9" * 4000]
)
def test_an_id_of_another_run_is_told_as_a_reset(last: str) -> None:
    on = ring()
    add(on, 1)
    one = reader(on, last)
    first, *rest = drain(one)
    assert first["type"] == "system/reset"
    assert first["data"]["epoch"] == "77"
    assert len(first["data"]["last_event_id"]) <= 64
    assert [m["type"] for m in rest] == ["dns/status"]
    add(on, 2)
    assert ids(drain(one)) == [2]


def test_earliest_gives_all_that_is_held() -> None:
    on = ring(events=3)
    for n in range(1, 6):
        add(on, n)
    assert ids(drain(reader(on, "earliest"))) == [3, 4, 5]


def test_gap_and_reset_come_whatever_channels_were_asked_for() -> None:
    on = ring(events=2)
    for n in range(1, 6):
        add(on, n)
    assert [m["type"] for m in drain(reader(on, "77-1", channels=[ROWS]))] == ["system/gap", ROWS, ROWS]
    assert [m["type"] for m in drain(reader(on, "1-1", channels=[ROWS]))] == ["system/reset"]


def test_a_slow_reader_loses_the_oldest_is_told_and_gets_the_states_anew() -> None:
    clock = Clock()
    on = ring(events=10, clock=clock)
    slow = reader(on)
    drain(slow)
    for n in range(1, 31):
        add(on, n)
        clock.ms += 10
    assert (slow.depth, slow.lag_ms) == (10, 100)
    found = drain(slow)
    assert [m["type"] for m in found[:2]] == ["system/gap", "dns/status"]
    assert found[0]["data"] == {"count": 20, "first": "77-1", "last": "77-20", "reason": "slow"}
    assert ids(found) == list(range(21, 31))
    assert slow.dropped == 20
    assert (slow.depth, slow.lag_ms) == (0, 0)


def test_the_ring_is_bounded_in_bytes_encoded_or_not() -> None:
    for encode in (True, False):
        on = ring(events=10**9, size=100_000)
        for n in range(200):
            add(on, n * 100, 100, encode)
        assert on.bytes <= 100_000
        assert 1 <= len(on.entries) < 200
        assert on.evicted + sum(e.count for e in on.entries) == 20_000


def test_rows_are_not_encoded_for_nobody() -> None:
    on = ring()
    add(on, 1, 100, encode=False)
    assert not on.entries[0]._json
    assert ids(drain(reader(on, "77-50"))) == list(range(51, 101))


def test_take_gives_whole_messages_in_portions() -> None:
    on = ring(events=10_000)
    one = reader(on)
    for n in range(1, 101):
        add(on, n, 100)
    portions = []
    while chunks := one.take(limit=20_000):
        portions.append(sum(map(len, chunks)))
        assert all(chunk.endswith(b"\n\n") for chunk in chunks)
    assert len(portions) > 20
    assert max(portions) < 60_000


def test_a_heartbeat_goes_to_one_reader_and_only_the_newest_waits() -> None:
    on = ring()
    one = reader(on)
    drain(one)
    one.push("system/heartbeat", {"uptime_s": 1})
    one.push("system/heartbeat", {"uptime_s": 2})
    assert [m["data"] for m in drain(one)] == [{"uptime_s": 2}]
    assert on.number == 0


def test_a_test_message_on_the_log_channel_is_marked_and_no_row() -> None:
    on = ring()
    one = reader(on, form=Form(True))
    drain(one)
    on.add_state(ROWS, {"message": "test"}, test=True)
    (found,) = drain(one)
    assert (found["test"], found["data"]) == (True, {"message": "test"})


def test_channels_that_were_not_asked_for_stay_away_but_move_the_id() -> None:
    on = ring()
    one = reader(on, channels=["dns/status"])
    add(on, 1)
    assert [m["type"] for m in drain(one)] == ["dns/status"]
    assert one.id == "77-1"


@given(
    st.lists(st.tuples(st.booleans(), st.integers(1, 9)), max_size=30),
    st.integers(3, 40),
    st.lists(st.integers(0, 4), max_size=40),
    st.booleans(),
)
def test_whatever_happens_rows_and_gaps_account_for_every_number(
    steps: list[tuple[bool, int]], size: int, takes: list[int], batch: bool
) -> None:
    """A reader that takes now and then, and comes back with its last id, sees each number as row, state or gap."""
    on = ring(events=size)
    decoder = Decoder()
    one = reader(on, form=Form(batch))
    seen: list[int] = []
    numbered: list[int] = []
    missing = 0
    pace = iter(takes)

    def take(portion: int) -> None:
        nonlocal missing
        for message in decoder.feed(b"".join(one.take(portion))):
            body = orjson.loads(message.data)
            if body["type"] == ROWS:
                seen.extend(body["data"]["columns"]["id"] if batch else [body["data"]["id"]])
            elif body["type"] == "system/gap":
                missing += body["data"]["count"]

    for state, count in steps:
        if state:
            on.add_state("dns/info", {})
        else:
            numbered.extend(range(on.number + 1, on.number + 1 + count))
            on.add_rows(LogBatch(rows(on.number + 1, count), count), True)
        what = next(pace, 0)
        if what == 1:
            take(10**6)
        elif what == 2:
            take(1)
        elif what == 3:
            take(1)
            one = reader(on, decoder.last_event_id, Form(batch)) if decoder.last_event_id else one
    while one.depth or one._states_due:
        take(10**6)
    assert seen == sorted(set(seen))
    assert set(seen) <= set(numbered)
    assert len(numbered) - len(seen) <= missing
