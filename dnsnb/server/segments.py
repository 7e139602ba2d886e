"""Datagrams of one size to one place through the network stack as one: UDP_SEGMENT (generic segmentation offload).

Knows sockets and their memory only.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import socket
import struct
from array import array
from collections.abc import Sequence
from itertools import accumulate, chain
from operator import mul
from typing import Any

from dnsnb.server.msghdr import BATCH, DONTWAIT, NAME, SIZE, WORDS, headers, memory

SOL_UDP = 17
UDP_SEGMENT = 103
ALIKE = 4  # fewer are sent as quickly one by one
LARGEST = 1000  # octets: so many fit through every way out, and 64 of them into one message
_SIZE = struct.Struct("=H")
_CONTROL = struct.Struct("=QiiH6x")  # struct cmsghdr and a 16-bit size, aligned


def supported(sock: socket.socket) -> bool:
    """Whether this system cuts one message into several datagrams."""
    with contextlib.suppress(OSError):
        sock.getsockopt(SOL_UDP, UDP_SEGMENT)
        return True
    return False


def send_alike(sock: socket.socket, messages: Sequence[bytes]) -> tuple[list[bytes], bool]:
    """Send the messages of which several have the same size over a connected socket, each size as one.

    Returns those that are still to be sent, and whether the system takes messages like this. What no buffer has room
    for is as lost as it may be on the way.
    """
    groups: dict[int, list[bytes]] = {}
    for message in messages:
        group = groups.get(len(message))
        if group is None:
            groups[len(message)] = [message]
        else:
            group.append(message)
    rest: list[bytes] = []
    willing = True
    for size, group in groups.items():
        if len(group) < ALIKE or size > LARGEST:
            rest += group
            continue
        note = [(SOL_UDP, UDP_SEGMENT, _SIZE.pack(size))]
        for start in range(0, len(group), BATCH):
            part = group[start : start + BATCH]
            try:
                sock.sendmsg([b"".join(part)], note)
            except BlockingIOError:
                continue
            except OSError as error:  # of an earlier message (ICMP), or no way out takes segments
                rest += part
                willing = willing and error.errno == errno.ECONNREFUSED
    return rest, willing


class Runs:
    """Replies of a batch whose askers asked several questions each: one message for all of one size to one asker."""

    def __init__(self, fd: int, sendmmsg: Any, names: Any, name: int) -> None:
        self.refused = False  # a way out of the machine would not have segments (no checksums there, a small MTU)
        self._fd = fd
        self._sendmmsg = sendmmsg
        self._names = ctypes.addressof(names)
        self._out, self._view = memory(BATCH * SIZE)
        self._base = ctypes.addressof(self._out)
        control, octets = memory(BATCH * _CONTROL.size)
        iov, each = headers(self._out, None)
        for number, header in enumerate(each):
            _CONTROL.pack_into(octets, number * _CONTROL.size, 18, SOL_UDP, UDP_SEGMENT, 0)
            header.hdr.namelen = name
            header.hdr.control = ctypes.addressof(control) + number * _CONTROL.size
        self._keep = control
        self._address = ctypes.addressof(each)
        self._sizes = octets.cast("H")
        self._iov = memoryview(iov).cast("B").cast("L")
        self._headers = memoryview(each).cast("B").cast("L")

    def send(self, keys: Sequence[Any], slots: dict[Any, int], replies: Sequence[bytes]) -> int:
        """Send each reply to the address in its key's slot; returns how many were not taken.

        Keys are equal for replies that are of one size and for one asker; all replies fit into `SIZE` octets each and
        64 KiB together.
        """
        groups: dict[Any, list[bytes]] = {key: [] for key in slots}
        for key, reply in zip(keys, replies, strict=True):
            groups[key].append(reply)
        runs = list(groups.values())
        count = len(runs)
        whole = b"".join(chain.from_iterable(runs))
        self._view[: len(whole)] = whole
        held = list(map(len, runs))
        sizes = [len(run[0]) for run in runs]
        octets = list(map(mul, sizes, held))
        # written by column: a memoryview takes a slice for the price of three items
        self._iov[0 : count * 2 : 2] = array("L", list(accumulate(octets[:-1], initial=self._base)))
        self._iov[1 : count * 2 : 2] = array("L", octets)
        self._headers[0 : count * 8 : 8] = array("L", [self._names + slot * NAME for slot in slots.values()])
        self._headers[5 : count * 8 : 8] = array("L", [_CONTROL.size if n > 1 else 0 for n in held])
        self._sizes[8 : count * 12 : 12] = array("H", sizes)
        lost = first = 0
        while first < count:
            where = ctypes.c_void_p(self._address + first * WORDS * 4)
            sent = self._sendmmsg(self._fd, where, count - first, DONTWAIT)
            if sent <= 0:
                if ctypes.get_errno() == errno.EAGAIN:
                    return lost + sum(held[first:])
                if held[first] > 1:
                    self.refused = True
                    lost += self._send_apart(first, runs[first])
                else:
                    lost += 1  # that one can't be sent: the rest can
                sent = 1
            first += sent
        return lost

    def _send_apart(self, run: int, replies: list[bytes]) -> int:
        """Send a run's replies one by one, from where they lie."""
        self._headers[run * 8 + 5] = 0
        self._iov[run * 2 + 1] = len(replies[0])
        where = ctypes.c_void_p(self._address + run * WORDS * 4)
        lost = 0
        for _ in replies:
            lost += self._sendmmsg(self._fd, where, 1, DONTWAIT) <= 0
            self._iov[run * 2] += len(replies[0])
        return lost
