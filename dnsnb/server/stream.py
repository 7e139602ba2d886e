"""What the event stream holds and what each reader gets next: one ring for replay, slow readers and fan-out. No I/O.

A reader is a place in the ring. It gets the states as they are, then what came since; what is gone is told.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import orjson

from dnsnb import schema
from dnsnb.dns.journal import LogBatch
from dnsnb.drivers.columns import slice_columns
from dnsnb.schema import Columns
from dnsnb.server.rowfilter import RowFilter

ROWS = "dns/log/event"
MAX_BATCH_ROWS = 512  # fewer than what makes a reader's cycle collector come while it takes one apart
ROW_KEYS = tuple(name for name in schema.NAMES if name != "source")  # every row has all of them
UNENCODED_ROW_BYTES = 600  # what a row weighs while it is still Python objects
_FRAMES_BYTES = 8 * 1024 * 1024


class Entry:
    """One event of a state channel, or one batch of rows with the numbers `first` to `last`."""

    __slots__ = ("_batch", "_json", "channel", "count", "dropped", "first", "last", "rows", "time")

    def __init__(self, channel: str, first: int, count: int, time: int, content: bytes | LogBatch) -> None:
        self.channel = channel
        self.first = first
        self.last = first + count - 1
        self.time = time
        self.count = count
        self.rows = isinstance(content, LogBatch)
        self.dropped = content.dropped if isinstance(content, LogBatch) else 0
        self._batch = content if isinstance(content, LogBatch) else None
        self._json = b"" if isinstance(content, LogBatch) else content

    @property
    def json(self) -> bytes:
        """The state, or a batch (`LogBatch.json`), which is encoded when it is first wanted, and then only bytes."""
        if self._batch is not None:
            self._json, self._batch = self._batch.json, None
        return self._json

    @property
    def columns(self) -> Columns:
        """The rows of a batch."""
        if self._batch is not None:
            return self._batch.columns
        return schema.whole(orjson.loads(self._json))

    @property
    def cost(self) -> int:
        """Bytes it is reckoned to hold."""
        return len(self._json) + 200 if self._batch is None else self.count * UNENCODED_ROW_BYTES


@dataclass(frozen=True)
class Form:
    """How a reader wants the rows: by column or one a message, and which."""

    batch: bool = False
    filter: RowFilter | None = None

    @property
    def key(self) -> tuple[bool, str]:
        """Readers with the same key share encoded bytes."""
        return self.batch, self.filter.text if self.filter else ""


class Ring:
    """The newest events within `max_events` and `max_bytes`; numbers run on without a gap from 1."""

    def __init__(self, epoch: str, max_events: int, max_bytes: int, now_ms: Callable[[], int]) -> None:
        self.epoch = epoch
        self.max_events = max_events
        self.max_bytes = max_bytes
        self.now_ms = now_ms
        self.number = 0  # of the newest event
        self.first_id = 1  # of the rows of this run
        self.bytes = 0
        self.entries: deque[Entry] = deque()
        self.serial = 0  # of the oldest entry held
        self.events: Counter[str] = Counter()
        self.evicted = 0
        self._costs: deque[int] = deque()
        self._frames: OrderedDict[tuple[int, tuple[bool, str]], tuple[bytes, int]] = OrderedDict()
        self._frames_bytes = 0

    @property
    def end(self) -> int:
        """Serial that the next entry will have."""
        return self.serial + len(self.entries)

    @property
    def lost_before(self) -> int:
        """Number of the newest event that is no longer held."""
        return self.entries[0].first - 1 if self.entries else self.number

    def add_state(self, channel: str, data: Any, test: bool = False) -> Entry:
        """Append an event of any channel but the rows."""
        self.number += 1
        now = self.now_ms()
        entry = Entry(channel, self.number, 1, now, orjson.dumps(data, default=str))
        mark = b',"test":true' if test else b""
        self._keep_frame(
            (entry.last, (False, "")), (message(f"{self.epoch}-{entry.last}", channel, entry.json, now, mark), 1)
        )
        self._append(entry, 1)
        return entry

    def add_rows(self, batch: LogBatch, encode: bool) -> None:
        """Append rows, in batches of at most `MAX_BATCH_ROWS`; `encode` says that somebody is waiting for them."""
        for part in _parts(batch):
            entry = Entry(ROWS, self.number + 1, part.count, self.now_ms(), part)
            self.number = entry.last
            if encode or part.encoded:
                entry.json  # noqa: B018 - now, once, for all
            self._append(entry, part.count)

    def _append(self, entry: Entry, count: int) -> None:
        cost = entry.cost
        self.entries.append(entry)
        self._costs.append(cost)
        self.bytes += cost
        self.events[entry.channel] += count
        while len(self.entries) > 1 and (
            self.bytes > self.max_bytes or self.number - self.entries[0].first >= self.max_events
        ):
            self.evicted += self.entries.popleft().count
            self.bytes -= self._costs.popleft()
            self.serial += 1

    def find(self, number: int) -> int:
        """Return the serial of the first entry with something newer than an event's number."""
        low, high = 0, len(self.entries)
        while low < high:
            middle = (low + high) // 2
            if self.entries[middle].last > number:
                high = middle
            else:
                low = middle + 1
        return self.serial + low

    def frame(self, entry: Entry, form: Form, after: int = 0) -> tuple[bytes, int]:
        """Return an entry's bytes for a form, and how many events they are; only what is newer than `after`."""
        whole = after < entry.first
        key = (entry.last, form.key if entry.rows else (False, ""))
        if whole:
            found = self._frames.get(key)
            if found is not None:
                return found
        made = self._rows_frame(entry, form, after) if entry.rows else self._state_frame(entry)
        if whole:
            self._keep_frame(key, made)
        return made

    def _state_frame(self, entry: Entry) -> tuple[bytes, int]:
        return message(f"{self.epoch}-{entry.last}", entry.channel, entry.json, entry.time), 1

    def _rows_frame(self, entry: Entry, form: Form, after: int) -> tuple[bytes, int]:
        if form.batch and form.filter is None and after < entry.first:
            data = _rows_data(entry.json, entry.count, entry.dropped)
            return message(f"{self.epoch}-{entry.last}", ROWS, data, entry.time), entry.count
        columns, count = entry.columns, entry.count
        numbers = list(range(entry.first, entry.last + 1))
        if after >= entry.first:
            skip = after - entry.first + 1
            columns = {name: values[skip:] for name, values in columns.items()}
            numbers, count = numbers[skip:], count - skip
        if form.filter is not None:
            columns, count = form.filter.apply({**columns, "": numbers}, count)
            numbers = columns.pop("", []) if count else []
        if not count:
            return b"", 0
        if form.batch:
            data = _rows_data(LogBatch(columns, count).json, count, entry.dropped)
            return message(f"{self.epoch}-{entry.last}", ROWS, data, entry.time), count
        return self._one_by_one(columns, numbers, entry.time), count

    def _one_by_one(self, columns: Columns, numbers: list[int], time: int) -> bytes:
        given = [columns.get(name) or [None] * len(numbers) for name in ROW_KEYS]
        dumps = orjson.dumps
        tail = b',"timestamp":%d}\n\n' % time
        head = f"id: {self.epoch}-".encode()
        middle = b'\ndata: {"type":"dns/log/event","data":'
        parts = []
        for number, row in zip(numbers, zip(*given, strict=True), strict=True):
            parts += [head, b"%d" % number, middle, dumps(dict(zip(ROW_KEYS, row, strict=True)), default=str), tail]
        return b"".join(parts)

    def _keep_frame(self, key: tuple[int, tuple[bool, str]], made: tuple[bytes, int]) -> None:
        self._frames[key] = made
        self._frames_bytes += len(made[0])
        while self._frames_bytes > _FRAMES_BYTES and len(self._frames) > 1:
            _, old = self._frames.popitem(last=False)
            self._frames_bytes -= len(old[0])


def _parts(batch: LogBatch) -> Iterable[LogBatch]:
    if batch.count <= MAX_BATCH_ROWS:
        yield batch
        return
    dropped = batch.dropped
    for start in range(0, batch.count, MAX_BATCH_ROWS):
        columns = slice_columns(batch.columns, start, start + MAX_BATCH_ROWS)
        yield LogBatch(columns, min(MAX_BATCH_ROWS, batch.count - start), dropped, batch.first_id + start)
        dropped = 0


def _rows_data(json: bytes, count: int, dropped: int) -> bytes:
    return b'%b,"count":%d,"dropped":%d}' % (json[:-1], count, dropped)


def message(id: str, channel: str, data: bytes, time: int, mark: bytes = b"") -> bytes:  # noqa: A002
    """Return the envelope of encoded data as one message of the stream."""
    return b'id: %b\ndata: {"type":"%b","data":%b,"timestamp":%d%b}\n\n' % (
        id.encode(),
        channel.encode(),
        data,
        time,
        mark,
    )


class Reader:
    """One stream's position in the ring: `take` gives the bytes to send next.

    `wants` says which channels it asked for and may read; `states` gives their present content. A reader that lost its
    place gets a `system/gap` with the count, one from another run of the server a `system/reset`.
    """

    def __init__(
        self,
        ring: Ring,
        wants: Callable[[str], bool],
        states: Callable[[], Iterable[tuple[str, Any]]],
        form: Form | None = None,
        last_event_id: str | None = None,
    ) -> None:
        self.ring = ring
        self.wants = wants
        self.form = form or Form()
        self.sent_events = 0
        self.sent_bytes = 0
        self.sent: Counter[str] = Counter()
        self.sent_by_channel: Counter[str] = Counter()
        self.dropped = 0
        self.replayed = 0
        self.outcome = "new"  # or "replayed", "gap", "reset"
        self._states = states
        self._control: deque[tuple[str, Any]] = deque()
        self._number = ring.number  # of the newest event sent or passed over
        self._position = ring.end
        self._states_due = True
        self._states_from = ring.end  # events of states before this serial are covered by what was sent as present
        self._replay_until = 0
        if last_event_id:
            self._resume(last_event_id)

    def _resume(self, last_event_id: str) -> None:
        ring = self.ring
        if last_event_id == "earliest":
            number = ring.lost_before
        else:
            epoch, _, digits = last_event_id.rpartition("-")
            number = int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 18 else -1
            if epoch != ring.epoch or not 0 <= number <= ring.number:
                self.outcome = "reset"
                told = {"epoch": ring.epoch, "last_event_id": last_event_id[:64], "first_id": ring.first_id}
                self._control.append(("system/reset", told))
                return
        self.outcome = "replayed"
        self._replay_until = ring.number
        self._number = number
        self._position = ring.find(number)
        self._notice_gap("gone")

    def _notice_gap(self, reason: str) -> None:
        """Tell what is not in the ring any more, and go on at its oldest entry with the states as they are now."""
        ring = self.ring
        lost = ring.lost_before
        if self._number >= lost:
            return
        count = lost - self._number
        gap = {
            "count": count,
            "first": f"{ring.epoch}-{self._number + 1}",
            "last": f"{ring.epoch}-{lost}",
            "reason": reason,
        }
        self.dropped += count
        self.outcome = "gap"
        self._number = lost
        self._position = ring.serial
        self._control.append(("system/gap", gap))
        self._states_due = True

    @property
    def id(self) -> str:
        """The id up to which this reader has all."""
        return f"{self.ring.epoch}-{self._number}"

    @property
    def depth(self) -> int:
        """Entries of the ring that wait for this reader."""
        return self.ring.end - max(self._position, self.ring.serial)

    @property
    def lag_ms(self) -> int:
        """Age of the oldest entry that waits for this reader, milliseconds."""
        if not self.depth:
            return 0
        return max(
            0, self.ring.now_ms() - self.ring.entries[max(self._position, self.ring.serial) - self.ring.serial].time
        )

    def push(self, channel: str, data: Any) -> None:
        """Send something to this reader alone, newest of its channel only (the heartbeat)."""
        if self.wants(channel):
            self._control = deque(item for item in self._control if item[0] != channel)
            self._control.append((channel, data))

    def take(self, limit: int = 64 * 1024) -> list[bytes]:
        """Return the next chunks of whole messages, about `limit` bytes; nothing when all is sent."""
        ring = self.ring
        out: list[bytes] = []
        size = 0
        if self._position < ring.serial:
            self._notice_gap("slow")
        if self._control or self._states_due:
            size = self._take_control(out)
        while size < limit and self._position < ring.end:
            entry = ring.entries[self._position - ring.serial]
            after, self._number = self._number, entry.last
            old_state = not entry.rows and self._position < self._states_from
            self._position += 1
            if old_state or not self.wants(entry.channel):
                continue
            frame, count = ring.frame(entry, self.form, after)
            if not count:
                continue
            out.append(frame)
            size += len(frame)
            self.sent_events += count
            self.sent[entry.channel] += count
            self.sent_by_channel[entry.channel] += len(frame)
            if entry.last <= self._replay_until:
                self.replayed += count
        self.sent_bytes += size
        return out

    def _take_control(self, out: list[bytes]) -> int:
        size = 0
        now = self.ring.now_ms()
        pending: list[tuple[str, Any]] = list(self._control)
        self._control.clear()
        if self._states_due:
            self._states_due = False
            self._states_from = self.ring.end
            pending += [(channel, data) for channel, data in self._states() if self.wants(channel)]
        for channel, data in pending:
            frame = message(self.id, channel, orjson.dumps(data, default=str), now)
            out.append(frame)
            size += len(frame)
            self.sent_events += 1
            self.sent[channel] += 1
            self.sent_by_channel[channel] += len(frame)
        return size
