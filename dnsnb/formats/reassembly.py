"""What came in pieces becomes whole: IP fragments, and TCP segments in any order, sent again, or missing.

Pure; bounded in entries and octets. Knows nothing of captures: a packet is its `Mark`, a number and a time in µs.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from typing import Any, NamedTuple

Mark = tuple[int, int]
MOST_STREAMS = 4096
MOST_FRAGMENTS = 1024
STREAM_LIMIT = 1 << 18
MOST_OCTETS = 64 << 20
"""Of all streams together, waiting for what comes before them."""
DATAGRAM = 1 << 16
PATIENCE_US = 3_000_000
"""How long a lost segment may be waited for: TCP sends again within a second or two, else the capture has lost it."""
_COST = 100  # octets that an entry takes beside its own
_MASK = 0xFFFFFFFF


class Fragments:
    """IP datagrams of which some fragments came; `lost` counts those that never became whole."""

    def __init__(self) -> None:
        self.lost = 0
        self._parts: OrderedDict[Any, dict[int, bytes]] = OrderedDict()
        self._sizes: dict[Any, int] = {}

    def take(self, key: Any, offset: int, last: bool, piece: bytes) -> bytes | None:
        """Take a fragment; return the datagram that it completes."""
        parts = self._parts.setdefault(key, {})
        size = self._sizes.get(key, 0) + len(piece) - len(parts.get(offset, b""))
        if size > DATAGRAM:  # more than a datagram holds: pieces that overlap, which nobody sends in earnest
            return None
        parts[offset], self._sizes[key] = piece, size
        if last:
            parts[-1] = (offset + len(piece)).to_bytes(4)
        if len(self._parts) > MOST_FRAGMENTS:
            del self._sizes[self._parts.popitem(last=False)[0]]
            self.lost += 1
        if -1 not in parts:
            return None
        total, at, out = int.from_bytes(parts[-1]), 0, []
        if size < total:
            return None
        while at < total:
            part = parts.get(at)
            if not part:
                return None
            out.append(part)
            at += len(part)
        del self._parts[key], self._sizes[key]
        return b"".join(out)

    def finish(self) -> None:
        """Count what never became whole."""
        self.lost += len(self._parts)
        self._parts.clear()
        self._sizes.clear()


class Message(NamedTuple):
    """A DNS message out of a stream: the packet that completed it, its octets, and how many there were of them on
    the wire."""

    mark: Mark
    octets: bytes
    size: int


class Streams:
    """The directions of TCP connections, by any key; `lost` counts messages of which segments are missing."""

    def __init__(self) -> None:
        self.lost = 0
        self._streams: OrderedDict[Any, Stream] = OrderedDict()
        self.waiting_octets = 0

    def take(
        self, key: Any, mark: Mark, number: int, flags: int, payload: bytes, size: int
    ) -> list[tuple[Any, Message]]:
        """Take a segment of which `payload` was captured and `size` octets were sent; return what can now be read,
        each message with its stream's key."""
        stream = self._streams.get(key)
        if not size and not flags & 7 and (stream is None or not stream.waiting):
            return []  # an acknowledgement
        syn, out = bool(flags & 2), list[tuple[Any, Message]]()
        start = (number + syn) & _MASK
        if stream is not None and (start != stream.first if syn else stream.closed and stream.beyond(number)):
            out += self._let_go(key, stream)  # another connection between the same ports
            stream = None
        if stream is None:
            stream = self._streams[key] = Stream(start, begun=syn)
        self._streams.move_to_end(key)
        before = stream.octets
        found = stream.take(mark, start, payload, size)
        if flags & 5:
            stream.end((start + size) & _MASK, reset=bool(flags & 4))
        if stream.waiting and stream.hopeless(mark, start, size):
            found += stream.beyond_gaps()
        out += [(key, message) for message in found]
        self.waiting_octets += stream.octets - before
        if stream.lost:
            self.lost += stream.lost
            stream.lost = 0
        while self._streams and (len(self._streams) > MOST_STREAMS or self.waiting_octets > MOST_OCTETS):
            out += self._let_go(*self._streams.popitem(last=False))
        return out

    def settle(self) -> list[tuple[Any, Message]]:
        """Give up waiting: return the messages that lie behind what is missing."""
        return [one for key, stream in self._streams.items() for one in self._given_up(key, stream)]

    def finish(self) -> None:
        """Count what is no whole message."""
        self.lost += sum(bool(stream.held) for stream in self._streams.values())
        self._streams.clear()

    def _let_go(self, key: Any, stream: Stream) -> list[tuple[Any, Message]]:
        if not stream.octets:
            return []
        found = self._given_up(key, stream)
        self.waiting_octets -= stream.octets
        self.lost += bool(stream.held)
        return found

    def _given_up(self, key: Any, stream: Stream) -> list[tuple[Any, Message]]:
        before = stream.octets
        found = stream.beyond_gaps()
        self.waiting_octets += stream.octets - before
        self.lost += stream.lost
        stream.lost = 0
        return [(key, message) for message in found]


class Stream:
    """One direction of a TCP connection: segments in any order in, length-prefixed messages out.

    Places in the stream are counted from its first octet, so that they need not wrap around.
    """

    __slots__ = (
        "_at", "_early", "_end", "_over", "_since", "_skip", "_sure", "closed", "first", "held", "lost", "waiting",
    )  # fmt: skip

    def __init__(self, first: int, *, begun: bool) -> None:
        self.first = first
        self.closed = False
        self.held = b""
        self.waiting = 0
        self.lost = 0
        self._sure = begun  # whether `held` begins where a message does, for certain
        self._at = 0  # how much of the stream was taken
        self._end: int | None = None
        self._over = False
        self._skip = 0  # octets of a message that was not captured as a whole, still to come
        self._early: list[tuple[int, Mark, bytes, int]] = []
        self._since = 0

    @property
    def octets(self) -> int:
        """How much memory the stream takes."""
        return self.waiting + len(self.held)

    def beyond(self, number: int) -> bool:
        """Return whether a number is none of this connection's: not sent again, and not what was still to come."""
        return (number - self.first - self._at + STREAM_LIMIT) & _MASK > STREAM_LIMIT

    def take(self, mark: Mark, number: int, payload: bytes, size: int) -> list[Message]:
        """Return the messages that a segment completes."""
        if (
            size == len(payload) > 2
            and int.from_bytes(payload[:2]) == size - 2  # one message, as nearly all segments hold
            and number == (self.first + self._at) & _MASK
            and not (self.held or self._early or self._skip)
            and self._end is None
        ):
            self._at += size
            return [Message(mark, payload[2:], size - 2)]
        out: list[Message] = []
        ahead = (number - self.first - self._at) & _MASK
        place = self._at + ahead - (ahead >> 31 << 32)
        if not size or place + size <= self._at:
            return out
        if place > self._at:
            if not self._early:
                self._since = mark[1]
            heapq.heappush(self._early, (place, mark, payload, size))
            self.waiting += len(payload) + _COST
            return out
        out += self._append(mark, place, payload, size)
        while self._early and self._early[0][0] <= self._at:
            place, _, payload, size = self._pop()
            out += self._append(mark, place, payload, size)
        if self._early:
            self._since = mark[1]
        self._close()
        return out

    def end(self, number: int, *, reset: bool) -> None:
        """Take note of where the stream ends."""
        ahead = (number - self.first - self._at) & _MASK
        self._end = self._at + ahead - (ahead >> 31 << 32)
        self._over |= reset
        self._close()

    def hopeless(self, mark: Mark, number: int, size: int) -> bool:
        """Return whether what is missing won't come any more: the other side has all of it, or time is up."""
        if not self._early:
            return False
        done = self._end is not None and not size and (number - self.first - self._end) & _MASK == 1
        late = mark[1] - self._since > PATIENCE_US
        return done or late or self._over or self.waiting > STREAM_LIMIT

    def beyond_gaps(self) -> list[Message]:
        """Give up waiting for lost segments; return the messages that lie behind each gap.

        A segment behind a gap is taken to begin with a message, as most do. A message's packet is the one it came in.
        """
        out: list[Message] = []
        while self._early:
            place, mark, payload, size = self._pop()
            if place > self._at:
                self.lost += 1
                self._at, self.held, self._skip, self._sure = place, b"", 0, False
            if place + size > self._at:
                out += self._append(mark, place, payload, size)
        self._close()
        return out

    def _pop(self) -> tuple[int, Mark, bytes, int]:
        entry = heapq.heappop(self._early)
        self.waiting -= len(entry[2]) + _COST
        return entry

    def _close(self) -> None:
        if self._end is not None and self._at >= self._end and not self._early:
            self.lost += bool(self.held)
            self.closed, self.held = True, b""

    def _append(self, mark: Mark, place: int, payload: bytes, size: int) -> list[Message]:
        """Take what begins at or before the place that is next."""
        end = max(place + size, self._at)
        known = place + len(payload)
        payload = payload[self._at - place :]
        missing = end - max(known, self._at)
        self._at = end
        if self._skip:
            dropped = min(self._skip, len(payload) + missing)
            self._skip -= dropped
            missing -= max(dropped - len(payload), 0)
            payload = payload[dropped:]
        if self.held and not self._sure and int.from_bytes(payload[:2]) == len(payload) + missing - 2:
            self.lost += 1  # what was held did not begin with a message: this segment does
            self.held = b""
        self.held += payload
        out = []
        held, at = self.held, 0
        while len(held) - at >= 2:
            if not self._sure and not _message_like(held, at):
                self.lost += 1
                at = len(held)
                break
            stop = at + 2 + int.from_bytes(held[at : at + 2])
            if stop > len(held):
                break
            out.append(Message(mark, held[at + 2 : stop], stop - at - 2))
            at = stop
        self.held = held[at:]
        if missing:
            out += self._cut(mark, missing)
        return out

    def _cut(self, mark: Mark, missing: int) -> list[Message]:
        """Return the message that was sent but not captured as a whole (snaplen); go on behind it."""
        held, self.held = self.held, b""
        size = int.from_bytes(held[:2]) if len(held) > 2 else 0
        self._skip = max(2 + size - len(held) - missing, 0) if size else 0
        self._sure &= size > 0 and 2 + size - len(held) >= missing
        if size:
            return [Message(mark, held[2:], size)]
        self.lost += 1
        return []


def _message_like(held: bytes, at: int) -> bool:
    """Return whether a length and a DNS message may begin here, as far as can be seen."""
    size = int.from_bytes(held[at : at + 2])
    if size < 12 or len(held) - at < 14:
        return size >= 12
    questions, *records = (int.from_bytes(held[at + place : at + place + 2]) for place in (6, 8, 10, 12))
    return held[at + 4] >> 3 & 15 < 7 and questions < 2 and sum(records) * 11 <= size - 12 - questions * 5
