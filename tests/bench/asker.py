"""A load generator that costs less than what it loads: blocks of queries by `sendmmsg`, one block under way a socket.

A program: asks a server as fast as it answers, or at a rate, and prints what came of it as JSON. Linux, 64 bit.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import select
import socket
import struct
import time

BLOCK = 64
SIZE = 512
LOST_S = 2.0  # a block that is not whole by then has lost what is missing
_DONTWAIT = 0x40
_HEADER = struct.Struct("QI4xQQQQi4xI4x")  # struct mmsghdr; connected sockets need no names

libc = ctypes.CDLL(None, use_errno=True)


def query(number: int, name: str, qtype: int = 1) -> bytes:
    """Return a query with recursion desired."""
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    return struct.pack("!6H", number & 0xFFFF, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!2H", qtype, 1)


def names(count: int) -> list[str]:
    """Return the names that are asked for."""
    return [f"name-{n}.cached.bench.net" for n in range(count)]


class Block:
    """Room for messages, laid out once as `sendmmsg` and `recvmmsg` want it."""

    def __init__(self, messages: list[bytes]) -> None:
        self.count = len(messages)
        self._data = [ctypes.create_string_buffer(m, SIZE) for m in messages]
        vectors = b"".join(
            struct.pack("QQ", ctypes.addressof(data), len(m) or SIZE)
            for data, m in zip(self._data, messages, strict=True)
        )
        self._vectors = ctypes.create_string_buffer(vectors, len(vectors))
        base = ctypes.addressof(self._vectors)
        headers = b"".join(_HEADER.pack(0, 0, base + 16 * i, 1, 0, 0, 0, 0) for i in range(self.count))
        self.headers = ctypes.create_string_buffer(headers, len(headers))


def connected(host: str, port: int) -> socket.socket:
    """Return a UDP socket that speaks to one server."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    sock.connect((host, port))
    return sock


def flood(host: str, port: int, seconds: float, count: int, sockets: int, size: int) -> dict[str, float]:
    """Ask as fast as the server answers: each socket sends its next block when the one before is answered."""
    queries = [query(i, name) for i, name in enumerate(names(count))]
    blocks = [Block(queries[i : i + size]) for i in range(0, count, size)]
    room = Block([b""] * size)
    socks = [connected(host, port) for _ in range(sockets)]
    waiting = [0] * sockets
    since = [0.0] * sockets
    poll = select.epoll()
    for sock in socks:
        poll.register(sock.fileno(), select.EPOLLIN)
    place = {sock.fileno(): i for i, sock in enumerate(socks)}
    sent = answered = lost = turn = 0
    began = time.perf_counter()
    end = began + seconds

    def send(i: int) -> None:
        nonlocal sent, turn
        block = blocks[turn % len(blocks)]
        turn += 1
        done = libc.sendmmsg(socks[i].fileno(), block.headers, block.count, 0)
        waiting[i] = max(0, done)
        sent += waiting[i]
        since[i] = time.perf_counter()

    for i in range(sockets):
        send(i)
    while any(waiting):
        now = time.perf_counter()
        for fd, _ in poll.poll(0.2):
            got = libc.recvmmsg(fd, room.headers, size, _DONTWAIT, None)
            if got > 0:
                i = place[fd]
                answered += got
                waiting[i] -= got
                if waiting[i] <= 0 and now < end:
                    send(i)
        for i in range(sockets):
            if waiting[i] > 0 and now - since[i] > LOST_S:
                lost += waiting[i]
                waiting[i] = 0
                if now < end:
                    send(i)
    return {"sent": sent, "answered": answered, "lost": lost, "seconds": time.perf_counter() - began}


def calmly(host: str, port: int, seconds: float, count: int, rate: float) -> dict[str, float]:
    """Ask at a rate, one query at a time; waits in milliseconds."""
    queries = [query(i, name) for i, name in enumerate(names(count))]
    sock = connected(host, port)
    sock.setblocking(False)
    waits: list[float] = []
    asked: dict[int, float] = {}
    sent = 0
    began = time.perf_counter()
    while True:
        now = time.perf_counter()
        if now - began >= seconds and (not asked or now - began >= seconds + LOST_S):
            break
        due = began + sent / rate
        if now >= due and now - began < seconds:
            number = sent & 0xFFFF
            sock.send(struct.pack("!H", number) + queries[sent % count][2:])
            asked[number] = time.perf_counter()
            sent += 1
            due = began + sent / rate
        if select.select([sock], [], [], max(0.0, min(due - time.perf_counter(), 0.05)))[0]:
            reply = sock.recv(SIZE)
            at = asked.pop(int.from_bytes(reply[:2]), None)
            if at is not None:
                waits.append((time.perf_counter() - at) * 1000)
    waits.sort()
    found = {f"p{q}_ms": waits[min(len(waits) - 1, int(len(waits) * q / 100))] for q in (50, 99) if waits}
    return {"sent": sent, "answered": len(waits), "lost": len(asked), "seconds": time.perf_counter() - began} | found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rate", type=float, default=0.0, help="queries a second (default: as fast as it answers)")
    parser.add_argument("--names", type=int, default=1024)
    parser.add_argument("--sockets", type=int, default=4)
    parser.add_argument("--block", type=int, default=BLOCK, help="queries that a socket has under way")
    given = parser.parse_args()
    host, _, port = given.address.rpartition(":")
    if given.rate:
        found = calmly(host, int(port), given.seconds, given.names, given.rate)
    else:
        found = flood(host, int(port), given.seconds, given.names, given.sockets, given.block)
    print(json.dumps(found | {"cpu_s": time.process_time()}))


if __name__ == "__main__":
    main()
