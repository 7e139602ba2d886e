"""Who asks: what an asker may, its group's rules, its tokens, and the replies remembered by exact bytes.

No I/O; knows policy, options, cache and journal.
"""

from __future__ import annotations

from dnsnb.dns.cache import Entry
from dnsnb.dns.journal import Record
from dnsnb.dns.options import Access, EngineOptions
from dnsnb.dns.policy import Policy
from dnsnb.dns.rules import Rules
from dnsnb.dns.wire import Query

MEMO_LIMIT = 100_000
PEER_LIMIT = 65_536
GROUP_LIMIT = 256


class Peer:
    """What we remember of an asker: whether it may ask, its group's rules, its answers by exact bytes, its tokens."""

    __slots__ = ("allowed", "full_at", "generation", "memo", "rules", "tokens")

    def __init__(self, allowed: bool, rules: Rules, memo: dict[bytes, Memo], generation: int, burst: float) -> None:
        self.allowed = allowed
        self.rules = rules
        self.memo = memo
        self.generation = generation
        self.tokens = burst
        self.full_at = 0.0


class Memo:
    """A reply to exactly these bytes: `body` follows the ID, rendered for one second of the clock, good `until`."""

    __slots__ = ("body", "entry", "query", "record", "second", "until")

    def __init__(
        self, body: bytes, record: Record, until: float, second: int, query: Query | None, entry: Entry | None
    ) -> None:
        self.body = body
        self.record = record
        self.until = until
        self.second = second
        self.query = query
        self.entry = entry


class Peers:
    """The askers we know: at most `PEER_LIMIT`, forgotten all at once when there are more."""

    def __init__(self, policy: Policy, options: EngineOptions) -> None:
        self.policy = policy
        self.options = options
        self.known: dict[str, Peer] = {}
        self._access = Access(options)
        self._memos: dict[int, tuple[Rules, dict[bytes, Memo]]] = {}

    def configure(self, options: EngineOptions) -> None:
        """Take new options; raises SettingError and stays as it was when they are wrong."""
        self._access = Access(options)
        self.options = options
        self.forget()

    def forget(self) -> None:
        """Drop everything derived, save the tokens that are spent."""
        self._memos.clear()
        for peer in self.known.values():
            peer.generation = -1

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
            shared = self._memos[id(rules)] = (rules, {})
        before = self.known.get(client)
        allowed = self._access.allows(client)
        # nobody who may not ask shares the answers of those who may
        peer = Peer(allowed, rules, shared[1] if allowed else {}, generation, self.options.rate_burst)
        if before is not None:
            peer.tokens, peer.full_at = before.tokens, before.full_at
        self.known[client] = peer
        return peer

    def within_rate(self, peer: Peer, now: float) -> bool:
        """Take one of the asker's tokens; False when none is left."""
        options = self.options
        peer.tokens = min(options.rate_burst, peer.tokens + (now - peer.full_at) * options.rate_limit)
        peer.full_at = now
        if peer.tokens < 1:
            return False
        peer.tokens -= 1
        return True
