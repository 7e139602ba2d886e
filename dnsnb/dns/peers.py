"""Who asks: what an asker may, its group's rules, its tokens, and the replies remembered by exact bytes.

No I/O; knows policy, options, cache and journal.
"""

from __future__ import annotations

import ipaddress

from dnsnb.dns.cache import Entry
from dnsnb.dns.journal import Record
from dnsnb.dns.options import Access, EngineOptions
from dnsnb.dns.policy import Policy
from dnsnb.dns.rules import Rules
from dnsnb.dns.wire import Query

MEMO_LIMIT = 100_000
PEER_LIMIT = 65_536
GROUP_LIMIT = 256
FOR_EVER = float("inf")


class Bucket:
    """The tokens of an asker, or of all askers of a network."""

    __slots__ = ("full_at", "tokens")

    def __init__(self, burst: float) -> None:
        self.tokens = burst
        self.full_at = 0.0


class Peer:
    """What we remember of an asker: whether it may ask, its group's rules, its answers by exact bytes, its tokens."""

    __slots__ = ("allowed", "bucket", "generation", "memo", "rules", "stamp")

    def __init__(
        self,
        allowed: bool,
        rules: Rules,
        memo: dict[bytes, Memo],
        generation: int,
        bucket: Bucket | None,
        stamp: object,
    ) -> None:
        self.allowed = allowed
        self.rules = rules
        self.stamp = stamp  # a group's until something changes; on entries that it may have as they are
        self.memo = memo
        self.generation = generation
        self.bucket = bucket  # None while there is no limit


class Memo:
    """A reply to exactly these bytes: `body` follows the ID; good `until`, and as it is rendered while `fresh`."""

    __slots__ = ("body", "entry", "fresh", "query", "record", "ttl", "until")

    def __init__(
        self,
        body: bytes,
        record: Record,
        ttl: int | None,
        until: float = FOR_EVER,
        fresh: float = FOR_EVER,
        query: Query | None = None,
        entry: Entry | None = None,
    ) -> None:
        self.body = body
        self.record = record
        self.ttl = ttl
        self.until = until
        self.fresh = fresh
        self.query = query
        self.entry = entry


class Peers:
    """The askers we know: at most `PEER_LIMIT`, forgotten all at once when there are more."""

    def __init__(self, policy: Policy, options: EngineOptions) -> None:
        self.policy = policy
        self.options = options
        self.known: dict[str, Peer] = {}
        self._access = Access(options)
        self._buckets: dict[str, Bucket] = {}
        self._memos: dict[int, tuple[Rules, dict[bytes, Memo], object]] = {}

    def configure(self, options: EngineOptions) -> None:
        """Take new options; raises SettingError and stays as it was when they are wrong."""
        self._access = Access(options)
        if (options.rate_prefix4, options.rate_prefix6) != (self.options.rate_prefix4, self.options.rate_prefix6):
            self._buckets.clear()
        self.options = options
        self.forget()

    def forget(self) -> None:
        """Drop everything derived, save the tokens that are spent."""
        self._memos.clear()
        for peer in self.known.values():
            peer.generation = -1

    def of(self, client: str) -> Peer:
        """Return an asker as it stands."""
        peer = self.known.get(client)
        return peer if peer is not None and peer.generation == self.policy.generation else self.meet(client)

    def meet(self, client: str) -> Peer:
        """Return an asker as it stands after the last change."""
        if len(self.known) >= PEER_LIMIT:
            self.known.clear()
        generation = self.policy.generation
        rules = self.policy.rules_for(client)
        shared = self._memos.get(id(rules))
        if shared is None or shared[0] is not rules:
            if len(self._memos) >= GROUP_LIMIT:
                self._memos.clear()
            shared = self._memos[id(rules)] = (rules, {}, object())
        allowed = self._access.allows(client)
        # nobody who may not ask shares the answers of those who may
        bucket = self._bucket(client) if self.options.rate_limit else None
        memo, stamp = (shared[1], shared[2]) if allowed else ({}, object())
        peer = self.known[client] = Peer(allowed, rules, memo, generation, bucket, stamp)
        return peer

    def _bucket(self, client: str) -> Bucket:
        """Return the tokens of an address' network: who has a /56 has more addresses than can be counted."""
        try:
            address = ipaddress.ip_address(client.partition("%")[0])
        except ValueError:
            key = client
        else:
            bits = self.options.rate_prefix4 if address.version == 4 else self.options.rate_prefix6
            key = str(ipaddress.ip_network((address, bits), strict=False))
        bucket = self._buckets.get(key)
        if bucket is None:
            if len(self._buckets) >= PEER_LIMIT:
                self._buckets.clear()
            bucket = self._buckets[key] = Bucket(self.options.rate_burst)
        return bucket

    def within_rate(self, peer: Peer, now: float) -> bool:
        """Take one of the asker's tokens; False when none is left."""
        options, bucket = self.options, peer.bucket
        if bucket is None:
            return True
        bucket.tokens = min(options.rate_burst, bucket.tokens + (now - bucket.full_at) * options.rate_limit)
        bucket.full_at = now
        if bucket.tokens < 1:
            return False
        bucket.tokens -= 1
        return True
