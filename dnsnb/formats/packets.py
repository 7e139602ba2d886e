"""From frames on a link to DNS messages: Ethernet, VLANs, SLL, raw IP; IPv4 and IPv6; UDP at once by numpy, the rest
one by one.

Pure; what must be put together is reassembly's. Knows nothing of capture files.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from dnsnb.formats.reassembly import Fragments, Mark, Message, Streams

Ints = np.ndarray[Any, np.dtype[Any]]
PORTS = (53, 5353, 5355)
ETHERNET, RAW, SLL, SLL2, NULL, LOOP = 1, 101, 113, 276, 0, 108
LINKS = (ETHERNET, RAW, SLL, SLL2, NULL, LOOP, 12, 14, 228, 229)
_DNS = np.zeros(1 << 16, bool)
_DNS[list(PORTS)] = True
_GENEVE = 6081
_TUNNELS = (4789, 8472, _GENEVE)  # 8472: VXLAN as Linux had it before its port was assigned, and flannel has it still
_AUTHENTICATION = 51
_EXTENSIONS = (0, 43, 60, 135, _AUTHENTICATION)


class Body(NamedTuple):
    """A message that had to be put together; `size` is how long it was on the wire."""

    mark: Mark
    octets: bytes
    size: int
    source: bytes
    target: bytes
    ports: tuple[int, int]
    tcp: bool


class Found:
    """DNS messages found in a batch: spans of the batch's buffer, or octets of their own (`body`), with their
    envelope."""

    def __init__(self) -> None:
        self.rows: list[Ints] = []
        self.starts: list[Ints] = []
        self.ends: list[Ints] = []
        self.source: list[pa.Array] = []
        self.target: list[pa.Array] = []
        self.ports: list[Ints] = []
        self.sizes: list[Ints] = []
        self.bodies: list[Body] = []

    def add(self, streamed: list[tuple[Any, Message]]) -> None:
        """Add messages that came by TCP, each with its stream's addresses and ports."""
        for (source, target, ports), message in streamed:
            if message.octets:
                self.bodies.append(Body(message.mark, message.octets, message.size, source, target, ports, True))


class Decapsulator:
    """Finds DNS in packets; `other` counts those that hold none, `parts` those that complete no message, `lost` the
    messages of which packets are missing."""

    def __init__(self) -> None:
        self.other = 0
        self.parts = 0
        self.cut = 0
        self._fragments = Fragments()
        self._streams = Streams()
        self._first = 1
        self._times: Any = None

    @property
    def lost(self) -> int:
        """How many messages could not be put together, for packets of theirs are missing."""
        return self._fragments.lost + self._streams.lost

    def packets(
        self, octets: Ints, data: bytes, starts: Ints, ends: Ints, link: Ints, times: Ints, first: int
    ) -> Found:
        """Return what DNS there is in the packets at `starts` to `ends` (the buffer is padded), numbered from
        `first`."""
        found = Found()
        self._first, self._times = first, times
        rows = np.arange(len(starts))
        network, version = _network(octets, starts, ends, link)
        other = self.other
        self._ip(octets, data, rows, network, ends, version, found, 0)
        whole = np.zeros(len(starts), bool)
        for complete in found.rows:
            whole[complete] = True
        numbers = {b.mark[0] for b in found.bodies}
        whole[[n - first for n in numbers if n >= first]] = True
        self.parts += len(starts) - int(whole.sum()) - (self.other - other)
        self.parts -= sum(n < first for n in numbers)  # was counted as a part, and is a message after all
        return found

    def finish(self) -> None:
        """Count what the end of the capture left incomplete."""
        self._streams.finish()
        self._fragments.finish()

    def settle(self, found: Found) -> None:
        """Add the messages that wait for segments before them: their file ends here."""
        first = len(found.bodies)
        found.add(self._streams.settle())
        self.parts -= len({b.mark[0] for b in found.bodies[first:]} - {b.mark[0] for b in found.bodies[:first]})

    def _mark(self, row: int) -> Mark:
        return self._first + row, int(self._times[row])

    def _ip(
        self, octets: Ints, data: bytes, rows: Ints, at: Ints, ends: Ints, version: Ints, found: Found, depth: int
    ) -> None:
        at = np.minimum(at, len(octets) - 64)
        first = octets[at] >> 4
        v4 = (version == 4) & (first == 4) & (at + 20 <= ends)
        v6 = (version == 6) & (first == 6) & (at + 40 <= ends)
        neither = ~(v4 | v6)
        self.other += int(neither.sum())
        if v4.any():
            self._v4(octets, data, rows[v4], at[v4], ends[v4], found, depth)
        if v6.any():
            self._v6(octets, data, rows[v6], at[v6], ends[v6], found, depth)

    def _v4(self, octets: Ints, data: bytes, rows: Ints, at: Ints, ends: Ints, found: Found, depth: int) -> None:
        head, protos = _word(octets, at), octets[at + 9]
        length = head >> 32 & 0xFFFF
        told = np.where(length >= 20, at + length, ends)
        ends = np.minimum(ends, told)
        fragment = head & 0x3FFF
        payload = at + (head >> 56 & 15) * 4
        whole = fragment == 0
        if whole.all():
            self._transport(octets, data, rows, payload, ends, told, protos, at + 12, 4, found, depth)
            return
        self._transport(
            octets, data, rows[whole], payload[whole], ends[whole], told[whole], protos[whole], at[whole] + 12, 4,
            found, depth,
        )  # fmt: skip
        for i in np.flatnonzero(~whole).tolist():
            proto, ip = int(protos[i]), int(at[i])
            if proto not in (6, 17):
                self.other += 1
                continue
            key = (data[ip + 12 : ip + 20], int(head[i] >> 16 & 0xFFFF), proto)
            offset = int(fragment[i] & 0x1FFF) * 8
            done = self._fragments.take(key, offset, not fragment[i] & 0x2000, data[int(payload[i]) : int(ends[i])])
            if done is not None:
                self._alone(int(rows[i]), done, proto, key[0][:4], key[0][4:], found)

    def _v6(self, octets: Ints, data: bytes, rows: Ints, at: Ints, ends: Ints, found: Found, depth: int) -> None:
        head = _word(octets, at)
        length = head >> 16 & 0xFFFF
        told = np.where(length > 0, at + 40 + length, ends)
        ends = np.minimum(ends, told)
        proto, payload = head >> 8 & 0xFF, at + 40
        for _ in range(6):
            more = np.isin(proto, _EXTENSIONS) & (payload + 8 <= ends)
            if not more.any():
                break
            units = octets[payload + 1].astype(np.int64)
            width = np.where(proto == _AUTHENTICATION, 8 + units * 4, 8 + units * 8)
            proto, payload = np.where(more, octets[payload], proto), np.where(more, payload + width, payload)
            payload = np.minimum(payload, len(octets) - 64)
        whole = proto != 44
        self._transport(
            octets, data, rows[whole], payload[whole], ends[whole], told[whole], proto[whole], at[whole] + 8, 16,
            found, depth,
        )  # fmt: skip
        for i in np.flatnonzero(~whole).tolist():
            here, ip = int(payload[i]), int(at[i])
            if here + 8 > ends[i]:
                self.other += 1
                continue
            word = int.from_bytes(data[here + 2 : here + 4])
            inner = data[here]
            key = (data[ip + 8 : ip + 40], data[here + 4 : here + 8], inner)
            done = self._fragments.take(key, word & 0xFFF8, not word & 1, data[here + 8 : int(ends[i])])
            if done is not None:
                self._alone(int(rows[i]), done, inner, key[0][:16], key[0][16:], found)

    def _transport(
        self,
        octets: Ints,
        data: bytes,
        rows: Ints,
        at: Ints,
        ends: Ints,
        told: Ints,
        proto: Ints,
        address: Ints,
        width: int,
        found: Found,
        depth: int,
    ) -> None:
        at = np.minimum(at, len(octets) - 64)
        head = _word(octets, at)
        source, target = head >> 48 & 0xFFFF, head >> 32 & 0xFFFF
        room = at + 8 <= ends
        dns = _DNS[source] | _DNS[target]
        udp = (proto == 17) & room & dns
        length = head >> 16 & 0xFFFF
        tunnel = (proto == 17) & room & ~dns & np.isin(target, _TUNNELS)
        tcp = (proto == 6) & (at + 20 <= ends) & dns
        others = ~(udp | tunnel | tcp)
        if others.any():
            self.other += int(others.sum())
        if udp.any():
            mine = slice(None) if udp.all() else udp
            sent = at[mine] + np.maximum(length[mine], 8)  # by UDP's own length; 0 where the card was to fill it in
            sent = np.where(length[mine] >= 8, sent, ends[mine])
            self.cut += int((ends[mine] < sent).sum())
            found.rows.append(rows[mine])
            found.starts.append(at[mine] + 8)
            found.ends.append(np.minimum(ends[mine], sent))
            found.sizes.append(sent - at[mine] - 8)
            found.source.append(_binary(octets, address[mine], width))
            found.target.append(_binary(octets, address[mine] + width, width))
            found.ports.append(np.stack([source[mine], target[mine]]))
        if tunnel.any() and depth < 2:
            inner, geneve = at[tunnel] + 16, target[tunnel] == _GENEVE
            options = np.where(geneve, (octets[at[tunnel] + 8] & 0x3F).astype(np.int64) * 4, 0)
            inside = _word(octets, at[tunnel] + 8) >> 32 & 0xFFFF
            bare = geneve & np.isin(inside, (0x800, 0x86DD))  # as the gateway load balancers of a cloud send it
            inner = np.minimum(inner + options, len(octets) - 64)
            network, version = _network(octets, inner, ends[tunnel], np.where(bare, RAW, ETHERNET))
            self._ip(octets, data, rows[tunnel], network, ends[tunnel], version, found, depth + 1)
        for i in np.flatnonzero(tcp).tolist():
            ip = int(address[i])
            self._segment(
                int(rows[i]),
                data[int(at[i]) : int(ends[i])],
                data[ip : ip + width],
                data[ip + width : ip + 2 * width],
                found,
                int(told[i] - ends[i]),
            )

    def _alone(self, row: int, payload: bytes, proto: int, source: bytes, target: bytes, found: Found) -> None:
        """Take a datagram or segment that was put together from fragments."""
        if proto == 6 and len(payload) >= 20:
            self._segment(row, payload, source, target, found)
        elif proto == 17 and len(payload) >= 8:
            ports = int.from_bytes(payload[:2]), int.from_bytes(payload[2:4])
            if ports[0] in PORTS or ports[1] in PORTS:
                found.bodies.append(Body(self._mark(row), payload[8:], len(payload) - 8, source, target, ports, False))
            else:
                self.other += 1

    def _segment(self, row: int, segment: bytes, source: bytes, target: bytes, found: Found, missing: int = 0) -> None:
        ports = int.from_bytes(segment[:2]), int.from_bytes(segment[2:4])
        if ports[0] not in PORTS and ports[1] not in PORTS:
            self.other += 1
            return
        number, offset, flags = int.from_bytes(segment[4:8]), (segment[12] >> 4) * 4, segment[13]
        size = max(len(segment) + missing - offset, 0)
        if not size and not flags & 7 and not self._streams.waiting_octets:
            return  # an acknowledgement, as most segments are, and nothing that it could tell of
        streamed = self._streams.take((source, target, ports), self._mark(row), number, flags, segment[offset:], size)
        if streamed:
            self.cut += sum(len(message.octets) < message.size for _, message in streamed)
            found.add(streamed)


def _network(octets: Ints, starts: Ints, ends: Ints, link: Ints) -> tuple[Ints, Ints]:
    """Return where each packet's IP header is, and its version (0 when it is no IP)."""
    last = len(octets) - 64
    at, version = np.minimum(starts, last), np.zeros(len(starts), np.int64)

    def u16(where: Ints) -> Ints:
        return _word(octets, np.minimum(where, last)) >> 48 & 0xFFFF

    kind = np.zeros(len(starts), np.int64)
    for number, ahead, type_at in ((ETHERNET, 14, 12), (SLL, 16, 14), (SLL2, 20, 0)):
        mine = link == number
        if mine.all():
            kind, at = u16(at + type_at), at + ahead
            break
        if mine.any():
            kind = np.where(mine, u16(at + type_at), kind)
            at = np.where(mine, at + ahead, at)
    for _ in range(3):
        tagged = np.isin(kind, (0x8100, 0x88A8, 0x9100))
        if not tagged.any():
            break
        kind = np.where(tagged, u16(at + 2), kind)
        at = np.where(tagged, at + 4, at)
    session = kind == 0x8864  # PPPoE
    if session.any():
        protocol = u16(at + 6)
        kind = np.where(session, np.where(protocol == 0x21, 0x800, np.where(protocol == 0x57, 0x86DD, 0)), kind)
        at = np.where(session, at + 8, at)
    version = np.where(kind == 0x800, 4, np.where(kind == 0x86DD, 6, 0))
    bare = np.isin(link, (RAW, 12, 14, 228, 229, NULL, LOOP))
    if bare.any():
        at = np.where(np.isin(link, (NULL, LOOP)), at + 4, at)
        version = np.where(bare, octets[np.minimum(at, last)] >> 4, version)
    return at, np.where(at < ends, version, 0)


def _word(octets: Ints, at: Ints) -> Ints:
    """Return the eight octets at each position as a number, the first one highest."""
    return np.ndarray((len(octets) - 7,), ">i8", octets, strides=(1,))[at].astype(np.int64)


def _binary(octets: Ints, at: Ints, width: int) -> pa.Array:
    raw = np.ndarray((len(octets) - width + 1,), f"V{width}", octets, strides=(1,))[at]
    return pa.Array.from_buffers(pa.binary(width), len(at), [None, pa.py_buffer(raw)]).cast(pa.binary())
