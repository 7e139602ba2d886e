"""Sends look-ups to a DNS server over UDP, each from its client's own address, at their own pace or faster."""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

import dnslib

from dnsnb.simulate.traffic import Lookup


class Played(NamedTuple):
    """What came of playing: questions sent, answers received, and answers by rcode."""

    sent: int
    answered: int
    rcodes: dict[str, int]


def play(
    address: str,
    lookups: Iterable[Lookup],
    *,
    speed: float = 1.0,
    seconds: float | None = None,
    on_progress: Callable[[float, int], None] | None = None,
) -> Played:
    """Send the look-ups to HOST:PORT and wait for their answers.

    `speed` 10 plays ten seconds in one, 0 as fast as answers come back (at most 256 outstanding); `seconds` ends it
    early (real time). `on_progress(seconds, sent)` is called about four times a second. Where the system lets no
    program ask from another loopback address (macOS), every question comes from the same one.
    """
    host, _, port = address.rpartition(":")
    target = (host.strip("[]"), int(port))
    family = socket.AF_INET6 if ":" in target[0] else socket.AF_INET
    sockets: dict[str, socket.socket] = {}
    poll = select.poll()
    by_fd: dict[int, socket.socket] = {}
    sent = answered = outstanding = 0
    rcodes: dict[str, int] = {}
    began = reported = time.monotonic()

    def receive(timeout: float) -> None:
        nonlocal answered, outstanding
        for fd, _ in poll.poll(max(0.0, timeout) * 1000):
            try:
                while True:
                    wire = by_fd[fd].recv(4096)
                    answered += 1
                    outstanding = max(0, outstanding - 1)
                    rcode = dnslib.RCODE.get(wire[3] & 15)
                    rcodes[rcode] = rcodes.get(rcode, 0) + 1
            except (BlockingIOError, ConnectionRefusedError):
                pass

    try:
        for lookup in lookups:
            now = time.monotonic()
            if seconds is not None and now - began >= seconds:
                break
            due = began + lookup.at / speed if speed else now
            while now < due and (seconds is None or now - began < seconds):
                receive(min(due - now, 0.05))
                now = time.monotonic()
                if on_progress is not None and now - reported >= 0.25:
                    reported = now
                    on_progress(now - began, sent)
            sock = sockets.get(lookup.client)
            if sock is None:
                sock = sockets[lookup.client] = _socket(family, lookup.client, target)
                by_fd[sock.fileno()] = sock
                poll.register(sock, select.POLLIN)
            try:
                sock.send(_query(sent, lookup))
                sent += 1
                outstanding += 1
            except OSError:  # the server's port is closed, or our buffer is full: as lost as on a real network
                sent += 1
            if outstanding >= 256:
                receive(0.2)
                if outstanding >= 256:  # lost ones must not stop the play
                    outstanding = 0
            elif not speed:
                receive(0)
        deadline = time.monotonic() + 5
        while answered < sent and time.monotonic() < deadline:
            before = answered
            receive(0.5)
            if answered == before:
                break
        if on_progress is not None:
            on_progress(time.monotonic() - began, sent)
    finally:
        for sock in sockets.values():
            sock.close()
    return Played(sent, answered, rcodes)


def _socket(family: int, client: str, target: tuple[str, int]) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.setblocking(False)
    if family == socket.AF_INET and target[0].startswith("127."):
        try:
            sock.bind((client, 0))
        except OSError:
            pass
    sock.connect(target)
    return sock


def _query(number: int, lookup: Lookup) -> bytes:
    name = b"".join(bytes([len(label)]) + label.encode() for label in lookup.qname.split("."))
    qtype = dnslib.QTYPE.reverse[lookup.qtype]
    header = struct.pack("!6H", number & 0xFFFF, 0x0120, 1, 0, 0, 1)
    return header + name + b"\0" + struct.pack("!HH", qtype, 1) + b"\0\0\x29\x04\xd0\0\0\0\0\0\0"
