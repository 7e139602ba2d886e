"""What the log leaves out: pseudonyms for clients, no clients, no names. No I/O; the key is passed in.

Pseudonyms keep prefixes (Xu et al. 2002, Crypto-PAn): clients of one network stay clients of one network.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable

from dnsnb.dns.journal import LogBatch

MAX_KNOWN = 65_536
_NAMES = ("qname", "answers", "rule")


class Privacy:
    """Applies modes of `config.PRIVACY` to batches of the log, before anybody has seen them."""

    def __init__(self, modes: Iterable[str], key: bytes) -> None:
        self.modes = frozenset(modes)
        self._key = key
        self._known: dict[str, str] = {}

    def apply(self, batch: LogBatch) -> LogBatch:
        """Return a batch without what is to be left out; the batch itself when that is nothing."""
        if not self.modes or not batch.count:
            return batch
        columns = dict(batch.columns)
        nothing = [None] * batch.count
        if "no-clients" in self.modes:
            columns["client"] = nothing
            columns.pop("client_name", None)
        elif "pseudonyms" in self.modes:
            columns["client"] = [None if c is None else self.pseudonym(c) for c in columns["client"]]
            columns.pop("client_name", None)
        if "no-names" in self.modes:
            for name in _NAMES:
                columns[name] = nothing
        return LogBatch(columns, batch.count, batch.dropped, batch.first_id)

    def pseudonym(self, client: str) -> str:
        """Return another address of the same version; always the same one under the same key."""
        known = self._known.get(client)
        if known is None:
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            known = self._known[client] = self._make(client)
        return known

    def _make(self, client: str) -> str:
        try:
            address = ipaddress.ip_address(client.partition("%")[0])
        except ValueError:
            return hashlib.blake2b(client.encode(), key=self._key, digest_size=8).hexdigest()
        size = address.max_prefixlen
        value = int(address)
        flips = 0
        for length in range(size):  # bit by bit: whether it is flipped hangs on the bits before it alone
            prefix = value >> (size - length)
            text = f"{address.version}/{length}/{prefix}".encode()
            flips = flips << 1 | hashlib.blake2b(text, key=self._key, digest_size=1).digest()[0] & 1
        return str(type(address)(value ^ flips))
