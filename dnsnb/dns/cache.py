"""What upstreams said, for as long as it holds: bounded by entries and bytes, least recently used out first.

No I/O, no clock of its own; keyed by question (name, type, class, DO, CD).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Container, Iterator
from typing import Protocol

from dnsnb.dns import wire
from dnsnb.dns.message import Answer, reframed
from dnsnb.dns.wire import Question

MAX_MEMOS = 16
NEVER = float("-inf")
PREFETCH_LEFT = 0.1
_OVERHEAD = 700  # bytes that an entry takes beside its body, measured


class Entry:
    """One answer kept: `stored` and `expires` on the monotonic clock, `hits` since it was stored."""

    __slots__ = (
        "answer", "expires", "hits", "memos", "refreshing", "replaced", "retry_at", "stamp", "stored", "used",
    )  # fmt: skip

    def __init__(self, answer: Answer, stored: float, expires: float) -> None:
        self.answer = answer
        self.stored = stored
        self.expires = expires
        self.hits = 0
        self.used = NEVER
        self.refreshing = False
        self.replaced = False
        self.retry_at = 0.0  # until then it serves, ended as it is: its upstreams were asked a moment ago
        self.memos: list[Memo] | None = None  # replies made from it, which end when it is replaced
        self.stamp: object = None  # who may have it with nothing more to be decided: `Peer.stamp`

    def ripe(self) -> float:
        """Return when it is old enough to be asked for again, so that nobody has to wait at its end."""
        return self.expires - (self.expires - self.stored) * PREFETCH_LEFT

    def remember(self, memo: Memo) -> None:
        """Keep a reply that is made from it; some forms of a question are enough (0x20 makes thousands)."""
        if self.memos is None:
            self.memos = []
        elif len(self.memos) >= MAX_MEMOS:
            self.end_memos()
        self.memos.append(memo)

    def end_memos(self) -> None:
        """End the replies made from it."""
        for memo in self.memos or ():
            memo.until = memo.fresh = 0.0
        self.memos = []


class Memo(Protocol):
    """Something derived of an entry that holds `until` a moment of the monotonic clock, as it is while `fresh`."""

    until: float
    fresh: float


class Cache:
    """Answers by question. `stale_ttl` seconds after its end an entry is still held, for `get_stale` (RFC 8767)."""

    def __init__(self, entries: int = 100_000, size: int = 128 << 20, *, stale_ttl: int = 86_400) -> None:
        self.limit_entries = entries
        self.limit_bytes = size
        self.stale_ttl = stale_ttl
        self.bytes = 0
        self.hits = 0
        self.misses = 0
        self.stale = 0
        self.evictions = 0
        self.version = 1
        self._entries: OrderedDict[Question, Entry] = OrderedDict()
        self._cuts: set[bytes] = set()  # names that don't exist, and perhaps some that were forgotten meanwhile

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, question: Question, now: float) -> Entry | None:
        """Return a live entry; a miss is counted here, hits where they are logged (most never come this way)."""
        entry = self._entries.get(question)
        if entry is None or now >= entry.expires:
            self.misses += 1
            return None
        entry.hits += 1
        self._entries.move_to_end(question)
        return entry

    def look(self, question: Question, entry: Entry | None, now: float, apart: Container[bytes] = ()) -> Entry | None:
        """Return what `peek` found if it is live, or a name above that doesn't exist; else the one that has ended."""
        if entry is not None and now < entry.expires:
            entry.hits += 1
            self._entries.move_to_end(question)
            return entry
        self.misses += 1
        return self.get_cut(question, now, apart) or entry if self._cuts else entry

    def touch(self, question: Question) -> None:
        """Note that an entry is in use, where replies made from it are remembered elsewhere."""
        if question in self._entries:
            self._entries.move_to_end(question)

    def peek(self, question: Question) -> Entry | None:
        """Return an entry, ended or not, and count nothing."""
        return self._entries.get(question)

    def get_stale(self, question: Question, now: float) -> Entry | None:
        """Return an entry that has ended, but not for longer than `stale_ttl`."""
        entry = self._entries.get(question)
        if entry is None or now >= entry.expires + self.stale_ttl:
            return None
        return entry

    def get_cut(self, question: Question, now: float, apart: Container[bytes] = ()) -> Entry | None:
        """Return a live NXDOMAIN of a name above the question's, as its own: nothing is below it (RFC 8020 2).

        Names `apart` have upstreams of their own: who is asked for what is above them knows nothing of them.
        """
        name, cuts = question.qname, self._cuts
        if not cuts or name in apart:
            return None
        at = name[0] + 1
        while at < len(name) - 1:
            above = name[at:]
            if above in cuts:
                entry = self._entries.get(Question(above, *question[1:]))
                if entry is not None and entry.answer.rcode == wire.NXDOMAIN and now < entry.expires:
                    if len(entry.answer.names) > 1:
                        return None
                    return Entry(reframed(entry.answer, question), entry.stored, entry.expires)
            if above in apart:
                return None
            at += name[at] + 1
        return None

    def put(self, question: Question, answer: Answer, now: float) -> Entry | None:
        """Keep an answer for `answer.keep` seconds; returns its entry, or None when it may not be kept."""
        keep = answer.keep
        if keep <= 0:
            return None
        entry = Entry(answer, now, now + keep)
        self.restore(question, entry)
        return entry

    def restore(self, question: Question, entry: Entry) -> None:
        """Take an entry as it is, such as one from before a restart."""
        answer, entries = entry.answer, self._entries
        old = entries.setdefault(question, entry)
        if old is not entry:
            entries[question] = entry
            entries.move_to_end(question)
            self.bytes -= len(old.answer.body) + _OVERHEAD
            old.replaced = True
            old.end_memos()
        if answer.rcode == wire.NXDOMAIN:
            if len(self._cuts) > self.limit_entries:
                self._cuts = {q.qname for q, held in self._entries.items() if held.answer.rcode == wire.NXDOMAIN}
            self._cuts.add(question.qname)
        size = self.bytes = self.bytes + len(answer.body) + _OVERHEAD
        while len(entries) > self.limit_entries or size > self.limit_bytes:
            _, gone = entries.popitem(last=False)
            size = self.bytes = size - len(gone.answer.body) - _OVERHEAD
            self.evictions += 1
        self.version += 1

    def flush(self, *, name: bytes | None = None, suffix: bytes | None = None) -> int:
        """Forget a name, all at and below a suffix (both wire, lower case), or everything; returns how many went."""
        if name is None and suffix is None:
            gone = len(self._entries)
            self._entries.clear()
            self._cuts.clear()
            self.bytes = 0
        else:
            doomed = [q for q in self._entries if q.qname == name or (suffix is not None and below(q.qname, suffix))]
            for question in doomed:
                self.bytes -= len(self._entries.pop(question).answer.body) + _OVERHEAD
            gone = len(doomed)
        if gone:
            self.version += 1
        return gone

    def resize(self, entries: int, size: int) -> None:
        """Take new limits; what is over goes at the next `put`."""
        self.limit_entries = entries
        self.limit_bytes = size

    def items(self) -> Iterator[tuple[Question, Entry]]:
        """Yield the entries, most recently used first."""
        return iter(reversed(self._entries.items()))


def below(name: bytes, suffix: bytes) -> bool:
    """Whether a wire name is `suffix` or below it, by label boundary."""
    if not name.endswith(suffix):
        return False
    at, stop = 0, len(name) - len(suffix)
    while at < stop:
        at += name[at] + 1
    return at == stop
