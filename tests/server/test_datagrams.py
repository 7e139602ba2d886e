"""Many datagrams a system call, between real sockets: every reply comes to who asked, whole, however it was sent."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from dnsnb.server import mmsg, msghdr, segments

pytestmark = pytest.mark.skipif(not mmsg.supported(), reason="recvmmsg is of 64-bit Linux, and a fast path")

SO_NO_CHECK = 11


@pytest.fixture(params=["127.0.0.1", "::1"])
def host(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def sockets(host: str) -> Iterator[list[socket.socket]]:
    """A server's socket and three askers', connected to it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with ExitStack() as stack:
        made = [stack.enter_context(socket.socket(family, socket.SOCK_DGRAM)) for _ in range(4)]
        made[0].bind((host, 0))
        for asker in made[1:]:
            asker.connect(made[0].getsockname())
            asker.settimeout(10)
        yield made


def exchange(datagrams: mmsg.Datagrams, askers: list[socket.socket], host: str, sizes: list[int], late: bool) -> None:
    """Let askers ask in turns; each reply begins with its question and is as long as told (0: there is none)."""
    wanted: dict[socket.socket, list[bytes]] = {asker: [] for asker in askers}
    replies: dict[bytes, bytes] = {}
    for number, size in enumerate(sizes):
        asker = askers[number % len(askers)]
        query = b"question %d;" % number
        asker.send(query)
        replies[query] = (query + bytes(size))[:size] if size else b""
        if size:
            wanted[asker].append(replies[query])
    queries, clients = datagrams.receive()
    assert queries == list(replies)
    assert clients == [host] * len(sizes)
    if late:
        there = [(datagrams.place(number), replies[query]) for number, query in enumerate(queries) if replies[query]]
        assert datagrams.send_late(there) == 0
    else:
        assert datagrams.send([replies[query] or None for query in queries]) == 0
    for asker, expected in wanted.items():
        assert sorted(asker.recv(65535) for _ in expected) == sorted(expected)
        asker.setblocking(False)
        with pytest.raises(BlockingIOError):
            asker.recv(65535)
        asker.settimeout(10)


@pytest.mark.parametrize(
    "sizes",
    [
        [50],
        [50] * 64,
        [50, 60, 70] * 10,
        [50, 51] * 20,
        [60] * 9 + [61],
        [900] * 64,
        [1232] * 40,
        [50, 0, 60] * 10,
        [50, 1344, 50, 50, 50, 50, 50],
        [0] * 8,
    ],
    ids=str,
)
@pytest.mark.parametrize("late", [False, True], ids=["at once", "late"])
def test_every_reply_comes_to_its_asker(sockets: list[socket.socket], host: str, sizes: list[int], late: bool) -> None:
    datagrams = mmsg.Datagrams(sockets[0])
    for askers in (sockets[1:], sockets[1:2], sockets[2:]):
        exchange(datagrams, askers, host, sizes, late)
    exchange(datagrams, sockets[1:], host, [50], late)


@pytest.mark.parametrize("host", ["127.0.0.1"])
def test_a_way_out_without_segments_is_left_for_ever(sockets: list[socket.socket], host: str) -> None:
    if not segments.supported(sockets[0]):
        pytest.skip("UDP_SEGMENT came with Linux 4.18")
    sockets[0].setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 1)  # no checksum: nothing to cut datagrams with
    runs = segments.Runs(sockets[0].fileno(), msghdr.calls()[1], (names := msghdr.memory(32))[0], 16)  # type: ignore[index]
    names[1][:16] = address(sockets[1])
    assert runs.send([7] * 3, {7: 0}, [b"one", b"two", b"six"]) == 0
    assert runs.refused
    assert [sockets[1].recv(10) for _ in range(3)] == [b"one", b"two", b"six"]
    datagrams = mmsg.Datagrams(sockets[0])
    for late in (False, True, False, True):
        exchange(datagrams, sockets[1:], host, [50, 60] * 20, late)
    messages = [b"a message of one size"] * 5
    sockets[1].setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 1)
    assert segments.send_alike(sockets[1], messages) == (messages, False)


def test_messages_of_one_size_go_out_as_one(sockets: list[socket.socket]) -> None:
    server, asker, gone, _ = sockets
    if not segments.supported(server):
        pytest.skip("UDP_SEGMENT came with Linux 4.18")
    server.settimeout(10)
    alike = [b"message %02d" % number for number in range(90)]
    others = [b"another", b"one", bytes(2000), bytes(2000), bytes(2000), bytes(2000)]
    rest, willing = segments.send_alike(asker, [*others[:3], *alike, *others[3:]])
    assert (rest, willing) == (others, True)
    assert [server.recv(4096) for _ in alike] == alike
    server.close()
    assert segments.send_alike(gone, alike[:5]) == ([], True)
    refusal = select.poll()
    refusal.register(gone, 0)
    assert refusal.poll(10_000)  # nobody is there: the next message is refused for this one's sake
    assert segments.send_alike(gone, alike[:5]) == (alike[:5], True)


def address(sock: socket.socket) -> bytes:
    """Return a socket's own address as the kernel lays it out."""
    host, port = sock.getsockname()
    return socket.AF_INET.to_bytes(2, "little") + port.to_bytes(2) + socket.inet_aton(host) + bytes(8)
