"""Many datagrams a system call: `recvmmsg` and `sendmmsg` of Linux through ctypes, into memory that is laid out once.

Knows sockets and options only. `supported()` says whether this machine has them; everybody else uses plain sockets.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import sys
from functools import cache
from typing import Any

from dnsnb.dns.options import FAST_PATHS

BATCH = 64
SIZE = 4096  # octets a datagram; a longer query is cut, and then refused like any other that can't be read
_NAME = 32  # octets for an address: sockaddr_in6 takes 28
_DONTWAIT = 0x40
_WORDS = 16  # 32-bit words in a struct mmsghdr


class _Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Msghdr(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_void_p),
        ("namelen", ctypes.c_uint32),
        ("iov", ctypes.POINTER(_Iovec)),
        ("iovlen", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("controllen", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Mmsghdr(ctypes.Structure):
    _fields_ = (("hdr", _Msghdr), ("length", ctypes.c_uint32))


@cache
def _calls() -> tuple[Any, Any] | None:
    if not sys.platform.startswith("linux") or ctypes.sizeof(_Mmsghdr) != _WORDS * 4:
        return None
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        return libc.recvmmsg, libc.sendmmsg
    except (OSError, AttributeError):
        return None


def supported() -> bool:
    """Whether this system has both calls, laid out as we know them (64-bit Linux), and fast paths are on."""
    return FAST_PATHS and _calls() is not None


class Datagrams:
    """A socket's datagrams, up to `BATCH` at a time.

    `receive` gives queries and their clients' addresses; `send` takes the replies in the same order.
    """

    def __init__(self, sock: socket.socket) -> None:
        calls = _calls()
        if calls is None:
            raise OSError(errno.ENOSYS, "recvmmsg is not to be had here")
        self._recvmmsg, self._sendmmsg = calls
        self._fd = sock.fileno()
        self._six = sock.family == socket.AF_INET6
        self._in, self._in_view = _memory(BATCH * SIZE)
        self._out, self._out_view = _memory(BATCH * SIZE)
        self._names, self._names_view = _memory(BATCH * _NAME)
        self._in_iov, self._in_headers = _headers(self._in, self._names)
        self._out_iov, self._out_headers = _headers(self._out, self._names)
        # a struct is slow to touch field by field: lengths are read and written through flat views of its memory
        self._lengths = memoryview(self._in_headers).cast("B").cast("I")
        self._out_lengths = memoryview(self._out_iov).cast("B").cast("L")
        self._out_address = ctypes.addressof(self._out_headers)
        self._clients: dict[bytes, str] = {}
        self._name = 28 if self._six else 16  # octets of an address
        self._late: _Late | None = None

    def receive(self) -> tuple[list[bytes], list[str]]:
        """Return the queries that wait (none when nothing does) and their askers' addresses."""
        count = self._recvmmsg(self._fd, self._in_headers, BATCH, _DONTWAIT, None)
        if count <= 0:
            if count < 0 and ctypes.get_errno() not in (errno.EAGAIN, errno.EINTR, errno.ECONNREFUSED):
                raise OSError(ctypes.get_errno(), "recvmmsg")
            return [], []
        lengths = self._lengths[14 : count * _WORDS : _WORDS].tolist()
        view, names = self._in_view, self._names_view
        queries = []
        clients = []
        known = self._clients
        start, width = (8, 16) if self._six else (4, 4)
        at = 0
        name = start
        for length in lengths:
            queries.append(view[at : at + length].tobytes())
            raw = names[name : name + width].tobytes()
            client = known.get(raw)
            if client is None:
                client = self._client(raw)
            clients.append(client)
            at += SIZE
            name += _NAME
        return queries, clients

    def place(self, index: int) -> bytes:
        """Return where the i-th asker is, for an answer that comes later (`send_late`)."""
        at = index * _NAME
        return self._names_view[at : at + self._name].tobytes()

    def send_late(self, replies: list[tuple[bytes, bytes]]) -> int:
        """Send replies to where their askers are; returns how many the system did not take."""
        if self._late is None:
            self._late = _Late(self._name)
        late, lost = self._late, 0
        for start in range(0, len(replies), BATCH):
            part = replies[start : start + BATCH]
            late.fill(part)
            lost += self._send_run(late.address, 0, len(part))
        return lost

    def send(self, replies: list[bytes | None]) -> int:
        """Send each reply (falsy: none) to its asker; returns how many the system did not take."""
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

    def _send_run(self, address: int, first: int, count: int) -> int:
        while count > 0:
            sent = self._sendmmsg(self._fd, ctypes.c_void_p(address + first * _WORDS * 4), count, _DONTWAIT)
            if sent <= 0:
                if ctypes.get_errno() == errno.EAGAIN:
                    return count
                sent = 1  # that one can't be sent: the rest can
            first += sent
            count -= sent
        return 0

    def _client(self, raw: bytes) -> str:
        if len(self._clients) >= 65_536:
            self._clients.clear()
        text = socket.inet_ntop(socket.AF_INET6 if self._six else socket.AF_INET, raw)
        self._clients[raw] = text
        return text


class _Late:
    """What goes out to askers that are not those of the last batch."""

    def __init__(self, name: int) -> None:
        self._name = name
        self._out, self._view = _memory(BATCH * SIZE)
        self._names, self._names_view = _memory(BATCH * _NAME)
        self._iov, self._headers = _headers(self._out, self._names)
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
            to += _NAME


class Connected:
    """Datagrams of sockets that are connected, up to `BATCH` a system call, into memory that all of them share."""

    def __init__(self) -> None:
        calls = _calls()
        if calls is None:
            raise OSError(errno.ENOSYS, "recvmmsg is not to be had here")
        self._recvmmsg, self._sendmmsg = calls
        self._in, self._in_view = _memory(BATCH * SIZE)
        self._out, self._out_view = _memory(BATCH * SIZE)
        self._in_iov, self._in_headers = _headers(self._in, None)
        self._out_iov, self._out_headers = _headers(self._out, None)
        self._lengths = memoryview(self._in_headers).cast("B").cast("I")
        self._out_lengths = memoryview(self._out_iov).cast("B").cast("L")
        self._out_address = ctypes.addressof(self._out_headers)

    def receive(self, fd: int) -> list[bytes]:
        """Return the datagrams that wait, each cut at `SIZE`; raises OSError for what came of a send (ICMP)."""
        count = self._recvmmsg(fd, self._in_headers, BATCH, _DONTWAIT, None)
        if count <= 0:
            if count < 0 and (number := ctypes.get_errno()) not in (errno.EAGAIN, errno.EINTR):
                raise OSError(number, os.strerror(number))
            return []
        view = self._in_view
        lengths = self._lengths[14 : count * _WORDS : _WORDS].tolist()
        return [view[n * SIZE : n * SIZE + length].tobytes() for n, length in enumerate(lengths)]

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
                address = ctypes.c_void_p(self._out_address + first * _WORDS * 4)
                sent = self._sendmmsg(fd, address, count - first, _DONTWAIT)
                if sent <= 0:
                    number = ctypes.get_errno()
                    if number == errno.EAGAIN:
                        break
                    failed.append((start + first, OSError(number, os.strerror(number))))
                    sent = 1
                first += sent
        return failed


def _memory(size: int) -> tuple[Any, memoryview]:
    block = (ctypes.c_uint8 * size)()
    return block, memoryview(block).cast("B")


def _headers(block: Any, names: Any | None) -> tuple[Any, Any]:
    iov = (_Iovec * BATCH)()
    headers = (_Mmsghdr * BATCH)()
    base = ctypes.addressof(block)
    for n in range(BATCH):
        iov[n].base, iov[n].length = base + n * SIZE, SIZE
        header = headers[n].hdr
        if names is not None:
            header.name, header.namelen = ctypes.addressof(names) + n * _NAME, _NAME
        header.iov, header.iovlen = ctypes.pointer(iov[n]), 1
    return iov, headers
