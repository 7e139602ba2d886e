"""Rules on the addresses in an answer (RPZ's ``rpz-ip``, ``||192.0.2.1^``): the narrowest network that matches decides.

No I/O; knows rules and special.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

from dnsnb.dns.rules import ALLOW, ALLOW_IMPORTANT, LEVELS, NONE, Rules, Verdict
from dnsnb.dns.special import Special


class Networks:
    """Networks of all lists, by address family and prefix length: one dictionary look-up a length that is in use."""

    def __init__(self, rules: Sequence[tuple[int, str, Special]] = ()) -> None:
        self._by_length: dict[tuple[int, int], dict[int, list[tuple[int, Special]]]] = {}
        for slot, text, rule in rules:
            network = ipaddress.ip_network(text)
            octets = network.max_prefixlen // 8
            values = self._by_length.setdefault((octets, network.prefixlen), {})
            value = int(network.network_address) >> (octets * 8 - network.prefixlen)
            values.setdefault(value, []).append((slot, rule))
        self._lengths = sorted(self._by_length, key=lambda key: -key[1])

    def __bool__(self) -> bool:
        return bool(self._by_length)

    def decide(self, addresses: Iterable[bytes], qname: bytes, qtype: int, rules: Rules) -> Verdict:
        """Return the verdict on an answer: an allowed address allows it, else the first blocked one blocks it."""
        blocked = NONE
        for address in addresses:
            for slot, rule in self.matching(address):
                if not (rules.mask >> (slot * LEVELS) & 15 and rule.holds(qname[:-1], 0, qtype, rules.client)):
                    continue
                if rule.level in (ALLOW, ALLOW_IMPORTANT):
                    return Verdict("allow", rules.lists[slot], rule.text)
                if blocked is NONE:
                    reply = rule.reply or rules.replies.get(slot)
                    shown = str(ipaddress.ip_address(address))
                    blocked = Verdict("block", rules.lists[slot], f"{rule.text} (answer {shown})", reply)
                break
        return blocked

    def matching(self, address: bytes) -> list[tuple[int, Special]]:
        """Return (list slot, rule) of the networks that hold an address (4 or 16 octets), the narrowest first."""
        value, octets = int.from_bytes(address), len(address)
        found: list[tuple[int, Special]] = []
        for size, prefix in self._lengths:
            if size == octets:
                found += self._by_length[size, prefix].get(value >> (octets * 8 - prefix), ())
        return found
