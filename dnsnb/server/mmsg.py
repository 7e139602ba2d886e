"""Many datagrams a system call: `recvmmsg` and `sendmmsg` of Linux, into memory that is laid out once.

Knows sockets and options only. `supported()` says whether this machine has them; everybody else uses plain sockets.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import sys
from operator import add
from typing import Any

from dnsnb.dns.options import FAST_PATHS
from dnsnb.server import segments
from dnsnb.server.msghdr import BATCH, DONTWAIT, NAME, SIZE, WORDS, calls, headers, mapped, memory

_STARTS = range(0, BATCH * SIZE, SIZE)
_SLOTS = range(BATCH)


def supported() -> bool:
    """Whether this system has both calls, laid out as we know them (64-bit Linux), and fast paths are on."""
    return FAST_PATHS and calls() is not None


class Datagrams:
    """A socket's datagrams, up to `BATCH` at a time.

    `receive` gives queries and their clients' addresses; `send` takes the replies in the same order. Where Linux has
    UDP_SEGMENT (4.18), replies of one size to one asker go through the network stack as one.
    """

    def __init__(self, sock: socket.socket) -> None:
        found = calls()
        if found is None:
            raise OSError(errno.ENOSYS, "recvmmsg is not to be had here")
        self._recvmmsg, self._sendmmsg = found
        self._fd = sock.fileno()
        self._six = sock.family == socket.AF_INET6
        self._together = segments.supported(sock)
        self._in, self._in_memory = mapped(BATCH * SIZE)
        self._out, self._out_view = memory(BATCH * SIZE)
        self._names, self._names_memory = mapped(BATCH * NAME)
        self._in_iov, self._in_headers = headers(self._in, self._names)
        self._out_iov, self._out_headers = headers(self._out, self._names)
        # a struct is slow to touch field by field: lengths are read and written through flat views of its memory
        self._lengths = memoryview(self._in_headers).cast("B").cast("I")
        self._out_lengths = memoryview(self._out_iov).cast("B").cast("L")
        self._out_address = ctypes.addressof(self._out_headers)
        self._places_view = memoryview(self._names_memory).cast("L")
        self._places: list[Any] = []  # where the askers of the last batch are
        self._clients: dict[int | bytes, str] = {}
        self._name = 28 if self._six else 16  # octets of an address
        self._late: _Late | None = None
        self._runs: segments.Runs | None = None
        self._late_runs: segments.Runs | None = None

    def receive(self) -> tuple[list[bytes], list[str]]:
        """Return the queries that wait (none when nothing does) and their askers' addresses."""
        count = self._recvmmsg(self._fd, self._in_headers, BATCH, DONTWAIT, None)
        if count <= 0:
            if count < 0 and ctypes.get_errno() not in (errno.EAGAIN, errno.EINTR, errno.ECONNREFUSED):
                raise OSError(ctypes.get_errno(), "recvmmsg")
            return [], []
        octets = self._in_memory
        lengths = self._lengths[14 : count * WORDS : WORDS].tolist()
        queries = [octets[at : at + length] for at, length in zip(_STARTS, lengths, strict=False)]
        known = self._clients.get
        heads = self._places_view[0 : count * 4 : 4].tolist()  # family, port, and the address (IPv6: the flow)
        if self._six:
            rest = (self._places_view[n : count * 4 : 4].tolist() for n in (1, 2, 3))
            self._places = list(zip(heads, *rest, strict=True))
            names = [self._names_memory[at : at + 16] for at in range(8, count * NAME, NAME)]
            clients = [known(name) or self._client(name) for name in names]
        else:
            self._places = heads
            clients = [known(head >> 32) or self._client(head >> 32) for head in heads]
        return queries, clients

    def place(self, index: int) -> bytes:
        """Return where the i-th asker is, for an answer that comes later (`send_late`)."""
        at = index * NAME
        return self._names_memory[at : at + self._name]

    def send_late(self, replies: list[tuple[bytes, bytes]]) -> int:
        """Send replies to where their askers are; returns how many the system did not take."""
        if self._late is None:
            self._late = _Late(self._name)
        late, lost = self._late, 0
        for start in range(0, len(replies), BATCH):
            part = replies[start : start + BATCH]
            keys = [(place, len(reply)) for place, reply in part] if self._together and len(part) > 3 else []
            slots = {key: slot for slot, key in enumerate(dict.fromkeys(keys))}
            if keys and len(slots) * 4 <= len(keys) * 3 and max(size for _, size in slots) < segments.LARGEST:
                lost += self._send_late_together([reply for _, reply in part], keys, slots)
            else:
                late.fill(part)
                lost += self._send_run(late.address, 0, len(part))
        return lost

    def _send_late_together(self, replies: list[bytes], keys: list[Any], slots: dict[Any, int]) -> int:
        if self._late_runs is None:
            block, self._late_names = memory(BATCH * NAME)
            self._late_runs = segments.Runs(self._fd, self._sendmmsg, block, self._name)
        names, width = self._late_names, self._name
        for (place, _), slot in slots.items():
            names[slot * NAME : slot * NAME + width] = place
        lost = self._late_runs.send(keys, slots, replies)
        self._together = not self._late_runs.refused
        return lost

    def send(self, replies: list[bytes | None]) -> int:
        """Send each reply (falsy: none) to its asker; returns how many the system did not take."""
        if self._together and len(replies) > 3 and all(replies):
            sizes = [len(reply) for reply in replies if reply]
            keys = self._keys(sizes)
            slots = dict(zip(keys, _SLOTS, strict=False))
            if len(slots) * 4 <= len(keys) * 3 and max(sizes) < segments.LARGEST:
                return self._send_together(replies, keys, slots)
        out, lengths = self._out_view, self._out_lengths
        lost = 0
        first = -1
        at = 0
        for index, reply in enumerate(replies):
            if reply and len(reply) <= SIZE:
                size = len(reply)
                out[at : at + size] = reply
                lengths[index * 2 + 1] = size
                if first < 0:
                    first = index
            elif first >= 0:
                lost += self._send_run(self._out_address, first, index - first)
                first = -1
            at += SIZE
        if first >= 0:
            lost += self._send_run(self._out_address, first, len(replies) - first)
        return lost

    def _keys(self, sizes: list[int]) -> list[Any]:
        """Return what is equal for replies of one size to one asker."""
        if not self._six:  # the size goes where the family was, which is always the same
            return list(map(add, self._places, sizes))
        return [(size, *place) for size, place in zip(sizes, self._places, strict=True)]

    def _send_together(self, replies: list[Any], keys: list[Any], slots: dict[Any, int]) -> int:
        if self._runs is None:
            self._runs = segments.Runs(self._fd, self._sendmmsg, self._names, self._name)
        lost = self._runs.send(keys, slots, replies)
        self._together = not self._runs.refused
        return lost

    def _send_run(self, address: int, first: int, count: int) -> int:
        while count > 0:
            sent = self._sendmmsg(self._fd, ctypes.c_void_p(address + first * WORDS * 4), count, DONTWAIT)
            if sent <= 0:
                if ctypes.get_errno() == errno.EAGAIN:
                    return count
                sent = 1  # that one can't be sent: the rest can
            first += sent
            count -= sent
        return 0

    def _client(self, raw: int | bytes) -> str:
        if len(self._clients) >= 65_536:
            self._clients.clear()
        octets = raw.to_bytes(4, sys.byteorder) if isinstance(raw, int) else raw
        text = socket.inet_ntop(socket.AF_INET6 if self._six else socket.AF_INET, octets)
        self._clients[raw] = text
        return text


class _Late:
    """What goes out to askers that are not those of the last batch."""

    def __init__(self, name: int) -> None:
        self._name = name
        self._out, self._view = memory(BATCH * SIZE)
        self._names, self._names_view = memory(BATCH * NAME)
        self._iov, self._headers = headers(self._out, self._names)
        self._lengths = memoryview(self._iov).cast("B").cast("L")
        self.address = ctypes.addressof(self._headers)
        for header in self._headers:
            header.hdr.namelen = name

    def fill(self, replies: list[tuple[bytes, bytes]]) -> None:
        """Lay out up to `BATCH` replies, each with its place."""
        out, names, lengths, name = self._view, self._names_view, self._lengths, self._name
        at = to = 0
        for number, (place, reply) in enumerate(replies):
            size = len(reply)
            out[at : at + size] = reply
            names[to : to + name] = place
            lengths[number * 2 + 1] = size
            at += SIZE
            to += NAME


class Connected:
    """Datagrams of sockets that are connected, up to `BATCH` a system call, into memory that all of them share."""

    def __init__(self) -> None:
        found = calls()
        if found is None:
            raise OSError(errno.ENOSYS, "recvmmsg is not to be had here")
        self._recvmmsg, self._sendmmsg = found
        self._in, self._in_memory = mapped(BATCH * SIZE)
        self._out, self._out_view = memory(BATCH * SIZE)
        self._in_iov, self._in_headers = headers(self._in, None)
        self._out_iov, self._out_headers = headers(self._out, None)
        self._lengths = memoryview(self._in_headers).cast("B").cast("I")
        self._out_lengths = memoryview(self._out_iov).cast("B").cast("L")
        self._out_address = ctypes.addressof(self._out_headers)

    def receive(self, fd: int) -> list[bytes]:
        """Return the datagrams that wait, each cut at `SIZE`; raises OSError for what came of a send (ICMP)."""
        count = self._recvmmsg(fd, self._in_headers, BATCH, DONTWAIT, None)
        if count <= 0:
            if count < 0 and (number := ctypes.get_errno()) not in (errno.EAGAIN, errno.EINTR):
                raise OSError(number, os.strerror(number))
            return []
        octets = self._in_memory
        lengths = self._lengths[14 : count * WORDS : WORDS].tolist()
        return [octets[at : at + length] for at, length in zip(_STARTS, lengths, strict=False)]

    def send(self, fd: int, messages: list[bytes]) -> list[tuple[int, OSError]]:
        """Send messages in order; returns the positions of those that the system refused, and why.

        What no buffer has room for is as lost as it may be on the way, and not told.
        """
        failed: list[tuple[int, OSError]] = []
        out, lengths = self._out_view, self._out_lengths
        for start in range(0, len(messages), BATCH):
            part = messages[start : start + BATCH]
            at = 0
            for number, message in enumerate(part):
                size = len(message)
                out[at : at + size] = message
                lengths[number * 2 + 1] = size
                at += SIZE
            first, count = 0, len(part)
            while first < count:
                address = ctypes.c_void_p(self._out_address + first * WORDS * 4)
                sent = self._sendmmsg(fd, address, count - first, DONTWAIT)
                if sent <= 0:
                    number = ctypes.get_errno()
                    if number == errno.EAGAIN:
                        break
                    failed.append((start + first, OSError(number, os.strerror(number))))
                    sent = 1
                first += sent
        return failed
