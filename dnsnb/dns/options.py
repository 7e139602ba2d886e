"""The engine's settings, checked once and never changed in place. No I/O; knows errors and blocking."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass, field

from dnsnb.dns.blocking import BlockAnswer
from dnsnb.errors import SettingError

#: The environment's DNSNB_PLAIN=1 goes the long way everywhere (`make test-plain`): no memo of replies, no batches of
#: datagrams, every message parsed in full.
FAST_PATHS = os.environ.get("DNSNB_PLAIN", "0") in ("", "0")
LOOPBACK = ("127.0.0.0/8", "::1/128")


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """How an engine answers. TTLs in seconds; `rate_limit` in queries a second and client (0: none)."""

    block: BlockAnswer = field(default_factory=BlockAnswer)
    access: tuple[str, ...] = LOOPBACK
    rate_limit: float = 0.0
    rate_burst: float = 100.0
    rate_prefix4: int = 32  # bits of an address that share one rate
    rate_prefix6: int = 56
    ttl_floor: int = 0
    ttl_cap: int = 86_400
    negative_cap: int = 10_800
    serve_stale: bool = True
    prefetch: bool = True
    fast_paths: bool = FAST_PATHS

    def networks(self) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
        """Return the access list; raises SettingError naming the entry that is none."""
        found = []
        for number, text in enumerate(self.access):
            try:
                found.append(ipaddress.ip_network(text, strict=False))
            except ValueError:
                why = "must be an address or a network such as 192.168.0.0/16"
                raise SettingError(f"allow_clients[{number}]", text, why) from None
        return tuple(found)


class Access:
    """Who may ask."""

    def __init__(self, options: EngineOptions) -> None:
        self._networks = options.networks()

    def allows(self, client: str) -> bool:
        """Whether an address (a zone and IPv4-in-IPv6 are seen through) is on the list."""
        try:
            address = ipaddress.ip_address(client.split("%", 1)[0])
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address.version == net.version and address in net for net in self._networks)
