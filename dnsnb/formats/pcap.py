"""Packet captures: PCAP (µs and ns, either byte order) and PCAPNG, told by their magic, never by a file's name.

Knows packets and wirerows. A capture that ends in the middle of a packet gives what came before.
"""

from __future__ import annotations

import struct
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from dnsnb.formats import wirerows
from dnsnb.formats.feeding import Context
from dnsnb.formats.lines import PAD
from dnsnb.formats.packets import LINKS, PORTS, Decapsulator, Found
from dnsnb.formats.sniff import Head

BATCH = 8 << 20
_MAGIC = {
    b"\xa1\xb2\xc3\xd4": (">", 1000),
    b"\xd4\xc3\xb2\xa1": ("<", 1000),
    b"\xa1\xb2\x3c\x4d": (">", 1),
    b"\x4d\x3c\xb2\xa1": ("<", 1),
}
_SECTION = b"\x0a\x0d\x0d\x0a"
LARGEST = 1 << 18


def score(head: Head) -> int:
    """The magic number."""
    return 99 if head.raw[:4] in _MAGIC or (head.raw[:4] == _SECTION and len(head.raw) >= 12) else 0


class Reader:
    """Takes a capture's bytes as they come; gives events by the batch."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.joiner = wirerows.joiner()
        self._held: list[bytes] = []
        self._size = 0
        self._order = ""
        self._nanos = 1000
        self._link = 1
        self._next = False
        self._interfaces: list[tuple[int, int, int]] = []
        self._packets = Decapsulator()
        self._count = 0
        self._broken = False

    def begin(self) -> Any:
        """Start another file of the same capture; return the rest of the one before. Streams go on."""
        rest = self._batch(over=True)
        self._cut_off()
        self._held, self._size, self._order, self._next, self._broken, self._count = [], 0, "", False, False, 0
        self._interfaces = []
        return rest

    def feed(self, data: bytes) -> Any:
        """Take bytes; return events once there are enough for a batch."""
        self._held.append(data)
        self._size += len(data)
        return self._batch() if self._size >= BATCH else None

    def flush(self) -> Any:
        """Return the packets that are there as a whole as events."""
        return self._batch()

    def finish(self) -> Any:
        """Return the rest."""
        table = self._batch(over=True)
        self._cut_off()
        packets = self._packets
        packets.finish()
        self.context.skip_count("a message of which packets are missing", packets.lost)
        self.context.report.aside("packets without DNS", packets.other)
        self.context.report.aside("packets that complete no message", packets.parts)
        if self._packets.other:
            self.context.report.note(
                f"{self._packets.other:,} packets hold no DNS on ports {', '.join(map(str, PORTS))}"
            )
        if self._packets.cut:
            self.context.report.note(
                f"{self._packets.cut:,} messages are longer than what was captured of them (snaplen)"
            )
        return table

    def _cut_off(self) -> None:
        if self._size and not self._broken:
            self.context.skip_count(
                "the last packet is cut off", 1, [(self.context.source, self._count + 1, f"{self._size} octets left")]
            )

    def _batch(self, over: bool = False) -> Any:
        data = b"".join(self._held)
        self._held, self._size = [], 0
        if self._broken or not data:
            return self._events(b"", [], [], np.zeros(0, np.int64), np.zeros(0, np.int64), over)
        at = 0
        if not self._order:
            if len(data) < 24:
                self._held, self._size = [data], len(data)
                return None
            at = self._open(data)
        walk = self._blocks if self._next else self._records
        starts, ends, times, links, at, broken = walk(data, at)
        self._broken = broken
        if broken:
            self.context.skip_count(
                "a packet header that can't be; what follows was left out",
                1,
                [(self.context.source, self._count, data[at : at + 16].hex(" "))],
            )
        elif at < len(data):
            self._held, self._size = [data[at:]], len(data) - at
        return self._events(data, starts, ends, times, links, over)

    def _open(self, data: bytes) -> int:
        if data[:4] == _SECTION:
            self._next, self._order = True, "<"
            return 0
        self._order, self._nanos = _MAGIC[data[:4]]
        self._link = struct.unpack_from(self._order + "I", data, 20)[0] & 0xFFFF
        self._known(self._link)
        return 24

    def _known(self, link: int) -> None:
        if link not in LINKS:
            self.context.report.note(f"link type {link} is not one we know; its packets can't be read")

    def _records(self, data: bytes, at: int) -> tuple[Any, Any, Any, Any, int, bool]:
        heads: list[int] = []
        last, broken = len(data) - 16, False
        length_at, found = struct.Struct(f"{self._order}8xI").unpack_from, heads.append
        while at <= last:  # the one loop over all packets: nothing is in it that numpy can do behind it
            found(at)
            at += 16 + length_at(data, at)[0]
        places = np.array(heads, np.int64)
        ends = np.append(places[1:], at) if heads else places
        large = np.flatnonzero(ends - places - 16 > LARGEST)
        if len(large) or at > len(data):
            broken = len(large) > 0
            whole = int(large[0]) if broken else len(places) - 1
            at = int(places[whole])
            places, ends = places[:whole], ends[:whole]
        stamps = (
            np.frombuffer(data, np.uint8)[places[:, None] + np.arange(8)] if len(places) else np.zeros((0, 8), np.uint8)
        )
        words = np.ascontiguousarray(stamps).view(self._order + "u4").reshape(-1, 2).astype(np.int64)
        micros = words[:, 0] * 1_000_000 + words[:, 1] // (1000 // self._nanos)
        return places + 16, ends, micros, np.full(len(ends), self._link), at, broken

    def _blocks(self, data: bytes, at: int) -> tuple[list[int], list[int], Any, Any, int, bool]:
        starts, ends, times, links = [], [], [], []
        size, broken = len(data), False
        while at + 12 <= size:
            if data[at : at + 4] == _SECTION:
                self._order = ">" if data[at + 8 : at + 12] == b"\x1a\x2b\x3c\x4d" else "<"
                self._interfaces = []
            kind, length = struct.unpack_from(self._order + "2I", data, at)
            if length < 12 or length % 4 or length > LARGEST * 8:
                broken = True
                break
            if at + length > size:
                break
            body, stop = at + 8, at + length - 4
            if kind == 1 and stop - body >= 8:
                self._interfaces.append(self._interface(data, body, stop))
            elif kind in (6, 2) and stop - body >= 20:
                number, high, low, captured, _ = struct.unpack_from(self._order + "5I", data, body)
                if kind == 2:  # obsolete: two octets of interface, two of drops
                    number = struct.unpack_from(self._order + "H", data, body)[0]
                link, unit, since = self._interfaces[number] if number < len(self._interfaces) else (1, 10**6, 0)
                starts.append(body + 20)
                ends.append(min(body + 20 + captured, stop))
                times.append((high << 32 | low) * 1_000_000 // unit + since)
                links.append(link)
            elif kind == 3 and stop - body >= 4:
                captured = struct.unpack_from(self._order + "I", data, body)[0]
                starts.append(body + 4)
                ends.append(min(body + 4 + captured, stop))
                times.append(-1)
                links.append(self._interfaces[0][0] if self._interfaces else 1)
            at += length
        micros = np.array([t if 0 <= t < 1 << 62 else np.iinfo(np.int64).min for t in times], np.int64)
        return starts, ends, micros, np.array(links, np.int64), at, broken

    def _interface(self, data: bytes, at: int, stop: int) -> tuple[int, int, int]:
        """Return an interface's link type, its ticks a second, and when its clock began, in µs."""
        link = struct.unpack_from(self._order + "H", data, at)[0]
        self._known(link)
        unit, since = 10**6, 0
        at += 8
        while at + 4 <= stop:
            code, length = struct.unpack_from(self._order + "2H", data, at)
            if code == 9 and length >= 1:
                value = data[at + 4]
                unit = 2 ** (value & 127) if value & 128 else 10 ** min(value, 18)
            elif code == 14 and length == 8:
                since = struct.unpack_from(self._order + "q", data, at + 4)[0] * 1_000_000
            if code == 0:
                break
            at += 4 + (length + 3) // 4 * 4
        return link, unit, since

    def _events(self, data: bytes, starts_: Any, ends_: Any, times: Any, links: Any, over: bool) -> Any:
        starts, ends = np.array(starts_, np.int64), np.array(ends_, np.int64)
        data += bytes(PAD)
        first = self._count + 1
        found = Found()
        if len(starts):
            octets = np.frombuffer(data, np.uint8)
            found = self._packets.packets(octets, data, starts, ends, links, times, first)
            self._count += len(starts)
            self.context.report["lines"] += len(starts)
        if over:
            self._packets.settle(found)
        return partial(self._tables, data, found, times, first) if found.rows or found.bodies else None

    def _tables(self, data: bytes, found: Found, times: Any, first: int) -> pa.Table | None:
        parts = []
        if found.rows:
            rows = np.concatenate(found.rows)
            parts.append(
                self._table(
                    data, np.concatenate(found.starts), np.concatenate(found.ends), np.concatenate(found.sizes),
                    rows + first, times[rows], pa.concat_arrays(found.source), pa.concat_arrays(found.target),
                    np.concatenate(found.ports, axis=1), "udp",
                )
            )  # fmt: skip
        for transport in ("udp", "tcp"):
            bodies = [b for b in found.bodies if b.tcp == (transport == "tcp")]
            if bodies:
                lengths = np.array([len(b.octets) for b in bodies], np.int64)
                stops = np.cumsum(lengths)
                marks = np.array([b.mark for b in bodies], np.int64)
                parts.append(
                    self._table(
                        b"".join(b.octets for b in bodies) + bytes(PAD), stops - lengths, stops,
                        np.array([b.size for b in bodies], np.int64), marks[:, 0], marks[:, 1],
                        [b.source for b in bodies], [b.target for b in bodies],
                        np.array([b.ports for b in bodies], np.int64).T, transport,
                    )
                )  # fmt: skip
        tables = [p for p in parts if p is not None]
        return pa.concat_tables(tables, promote_options="permissive") if tables else None

    def _table(
        self,
        data: bytes,
        starts: Any,
        ends: Any,
        sizes: Any,
        numbers: Any,
        times: Any,
        source: Any,
        target: Any,
        ports: Any,
        transport: str,
    ) -> pa.Table | None:
        octets = np.frombuffer(data, np.uint8)
        response = (octets[np.minimum(starts + 2, len(octets) - 1)] & 0x80) != 0
        one, other = wirerows.addresses(source), wirerows.addresses(target)
        swap = pa.array(response)
        envelope = {
            "time": times,
            "client": _either(swap, other, one).cast(pa.string()),
            "server": _either(swap, one, other),
            "client_port": np.where(response, ports[1], ports[0]),
            "transport": transport,
            "size": sizes,
            "id": pa.array(numbers),
        }
        table, good = wirerows.rows(data, starts, ends, envelope)
        if not good.all():
            short = ends - starts < sizes
            for reason, mask in (
                ("a message of which too little was captured to tell its question (snaplen)", ~good & short),
                ("no DNS message, though the port is DNS's", ~good & ~short),
            ):
                places = np.flatnonzero(mask)
                examples = [
                    (self.context.source, int(numbers[i]), data[starts[i] : min(ends[i], starts[i] + 24)].hex(" "))
                    for i in places[:3].tolist()
                ]
                self.context.skip_count(reason, len(places), examples)
        return table


def _either(mask: pa.Array, yes: pa.DictionaryArray, no: pa.DictionaryArray) -> pa.DictionaryArray:
    both = pa.chunked_array([yes, no]).unify_dictionaries()
    count = len(yes)
    codes = [c.indices.fill_null(-1).to_numpy(zero_copy_only=False) for c in both.chunks]
    picked = np.where(mask.to_numpy(zero_copy_only=False), codes[0], codes[1]) if count else np.zeros(0, np.int32)
    return pa.DictionaryArray.from_arrays(pa.array(picked, pa.int32(), mask=picked < 0), both.chunk(0).dictionary)
