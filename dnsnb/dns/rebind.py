"""Whether a public name was answered with an address of the inside (DNS rebinding), and which addresses those are.

No I/O; looks at bytes only. Knows names.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from dnsnb.dns.names import name_tail
from dnsnb.errors import SettingError

A, AAAA = 1, 28
_INSIDE_4 = tuple(
    (int(network.network_address), int(network.netmask))
    for network in map(
        ipaddress.IPv4Network,
        (
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "169.254.0.0/16",
            "172.16.0.0/12",
            "192.168.0.0/16",
        ),
    )
)
_MAPPED = bytes(10) + b"\xff\xff"
_NAT64 = bytes.fromhex("0064ff9b") + bytes(8)


def is_inside(rdata: bytes) -> bool:
    """Whether an address (4 or 16 octets) is private, shared, loopback, link-local or unspecified, mapped or not."""
    if len(rdata) == 4:
        value = int.from_bytes(rdata)
        return any(value & mask == network for network, mask in _INSIDE_4)
    if len(rdata) != 16:
        return False
    if rdata[:12] in (_MAPPED, _NAT64):
        return is_inside(rdata[12:])
    if rdata[:15] == bytes(15):
        return rdata[15] < 2  # :: and ::1
    return rdata[0] & 0xFE == 0xFC or (rdata[0] == 0xFE and rdata[1] & 0xC0 == 0x80)


class Rebinding:
    """The protection: `enabled`, and the names (with all below them) that may point inside."""

    def __init__(self, enabled: bool = False, allow: Iterable[str] = ()) -> None:
        self.enabled = enabled
        self.allow = tuple(allow)
        try:
            self._tails = frozenset(name_tail(name.removeprefix("*.")) for name in self.allow)
        except ValueError as error:
            raise SettingError("rebind_allow", list(self.allow), str(error)) from None

    def offends(self, qname: bytes, rrtype: int, rdata: bytes) -> bool:
        """Whether this record of the answer for `qname` (wire, lower case) is to be withheld."""
        if not self.enabled or rrtype not in (A, AAAA) or not is_inside(rdata):
            return False
        tail = qname[:-1]
        at = 0
        while at < len(tail):
            if tail[at:] in self._tails:
                return False
            at += tail[at] + 1
        return True
