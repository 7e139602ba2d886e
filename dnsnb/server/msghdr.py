"""How Linux lays out many datagrams a system call: the structures of `recvmmsg` and `sendmmsg`, and memory for them.

Knows ctypes and nothing of DNS.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from functools import cache
from typing import Any

BATCH = 64
# Octets of a datagram: above 1232 (RFC 9715), and an odd number of cache lines, else all would share a few of their
# sets. A longer query is cut and then refused like any other that can't be read, a longer answer is asked for by TCP.
SIZE = 1344
NAME = 32  # octets for an address: sockaddr_in6 takes 28
WORDS = 16  # 32-bit words in a struct mmsghdr
DONTWAIT = 0x40


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
def calls() -> tuple[Any, Any] | None:
    """Return `recvmmsg` and `sendmmsg`; None where they aren't, or not on a 64-bit little-endian Linux."""
    if not sys.platform.startswith("linux") or ctypes.sizeof(_Mmsghdr) != WORDS * 4 or sys.byteorder != "little":
        return None
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        return libc.recvmmsg, libc.sendmmsg
    except (OSError, AttributeError):
        return None


def memory(size: int) -> tuple[Any, memoryview]:
    """Return zeroed memory, and a view of its octets."""
    block = (ctypes.c_uint8 * size)()
    return block, memoryview(block).cast("B")


def mapped(size: int) -> tuple[Any, mmap.mmap]:
    """Return zeroed memory, and a map of it: slices of that are bytes at once, a third cheaper than by a view."""
    pages = mmap.mmap(-1, size)
    return (ctypes.c_uint8 * size).from_buffer(pages), pages


def headers(block: Any, names: Any | None) -> tuple[Any, Any]:
    """Return `BATCH` headers, each for `SIZE` octets of the block, and of an address where `names` is given."""
    iov = (_Iovec * BATCH)()
    each = (_Mmsghdr * BATCH)()
    base = ctypes.addressof(block)
    for n in range(BATCH):
        iov[n].base, iov[n].length = base + n * SIZE, SIZE
        header = each[n].hdr
        if names is not None:
            header.name, header.namelen = ctypes.addressof(names) + n * NAME, NAME
        header.iov, header.iovlen = ctypes.pointer(iov[n]), 1
    return iov, each
