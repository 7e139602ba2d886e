"""Many datagrams a system call: `recvmmsg` and `sendmmsg` of Linux through ctypes, into memory that is laid out once.

Knows sockets only. `supported()` says whether this machine has them; everybody else uses plain sockets.
"""

from __future__ import annotations

import ctypes
import errno
import socket
import struct
import sys
from functools import cache
from typing import Any

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
    """Whether this system has both calls, laid out as we know them (64-bit Linux)."""
    return _calls() is not None


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

    def address(self, index: int) -> tuple[Any, ...]:
        """Return the i-th asker as `socket.sendto` wants it, for an answer that comes later."""
        raw = self._names_view[index * _NAME : index * _NAME + 28].tobytes()
        port = int.from_bytes(raw[2:4])
        if not self._six:
            return socket.inet_ntop(socket.AF_INET, raw[4:8]), port
        flow = int.from_bytes(raw[4:8])
        scope = struct.unpack_from("=I", raw, 24)[0]
        return socket.inet_ntop(socket.AF_INET6, raw[8:24]), port, flow, scope

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
                lost += self._send_run(first, index - first)
                first = -1
            at += SIZE
        if first >= 0:
            lost += self._send_run(first, len(replies) - first)
        return lost

    def _send_run(self, first: int, count: int) -> int:
        while count > 0:
            sent = self._sendmmsg(self._fd, ctypes.c_void_p(self._out_address + first * _WORDS * 4), count, _DONTWAIT)
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


def _memory(size: int) -> tuple[Any, memoryview]:
    block = (ctypes.c_uint8 * size)()
    return block, memoryview(block).cast("B")


def _headers(block: Any, names: Any) -> tuple[Any, Any]:
    iov = (_Iovec * BATCH)()
    headers = (_Mmsghdr * BATCH)()
    base, name = ctypes.addressof(block), ctypes.addressof(names)
    for n in range(BATCH):
        iov[n].base, iov[n].length = base + n * SIZE, SIZE
        header = headers[n].hdr
        header.name, header.namelen = name + n * _NAME, _NAME
        header.iov, header.iovlen = ctypes.pointer(iov[n]), 1
    return iov, headers
