"""A dnstap receiver: Frame Streams over a unix or TCP socket, with the bidirectional handshake or without. PowerDNS's
protobuf log is told by its first octets.

A thread for each sender (unbound, BIND, dnsdist, CoreDNS …), bounded; what they send goes to a sink by columns, as
`follow` does.
"""

from __future__ import annotations

import os
import re
import socket
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from dnsnb.errors import SettingError
from dnsnb.formats.dnstap import ACCEPT, CONTENT, FINISH, READY, START, STOP
from dnsnb.formats.feeding import Context, Feed
from dnsnb.formats.following import Live
from dnsnb.formats.table import FORMATS
from dnsnb.formats.times import Clock

MOST_SENDERS = 256
GREETING_S = 30.0
"""Who says nothing for so long after it connected is let go; later a sender may be silent as long as it likes."""
FLUSH_S = 0.2
SETTLE_S = 3.0
LONGEST = 1 << 18
"""A frame holds at most two DNS messages of 64 KiB; with `MOST_SENDERS` it bounds what is held for all of them."""


class DnstapListener(Live):
    """Listens on ``unix:/path`` or ``host:port`` (port 0: any; see `address`) until closed."""

    def __init__(self, address: str, sink: Any = None, *, limit: int = 1_000_000) -> None:
        super().__init__(sink, limit)
        self.refused = 0
        self._path: Path | None = None
        self._socket = self._listen(address)
        self.about: str = f"dnstap on {self.address}"
        self._lock = threading.Lock()
        self._senders: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._closed = threading.Event()
        self._acceptor = threading.Thread(target=self._accept, name="dnsnb-dnstap", daemon=True)
        self._acceptor.start()

    @property
    def address(self) -> str:
        """Where senders connect to: ``unix:/path`` or ``host:port``."""
        if self._path is not None:
            return f"unix:{self._path}"
        host, port = self._socket.getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def close(self) -> None:
        """Stop listening and let all senders go; what waited for an answer is given as it is."""
        self._closed.set()
        self._wake()
        self._acceptor.join(10)
        with self._lock:
            senders = list(self._senders)
        for sender in senders:
            try:
                sender.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for thread in self._threads:
            thread.join(10)
        self._socket.close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return (
            f"<DnstapListener {self.address if not self._closed.is_set() else 'closed'}, {len(self._senders)} "
            f"senders, {self.report['rows']:,} rows>"
        )

    def _listen(self, address: str) -> socket.socket:
        if not isinstance(address, str):
            raise SettingError("address", address, "must be 'unix:/path/to.sock' or 'host:port'")
        if address.startswith("unix:"):
            if not 0 < len(os.fsencode(address.removeprefix("unix:"))) < 108:
                raise SettingError("address", address, "a socket's path has 1 to 107 octets")
            self._path = Path(address.removeprefix("unix:"))
            if self._path.exists() and stat.S_ISSOCK(os.stat(self._path).st_mode):
                if _alive(self._path):
                    raise SettingError("address", address, "another process is listening there")
                self._path.unlink()
            elif self._path.exists():
                raise SettingError("address", address, "there is a file that is no socket")
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            target: Any = str(self._path)
        else:
            host, _, port = address.rpartition(":")
            if not host or not re.fullmatch("[0-9]{1,5}", port) or int(port) > 65535:
                raise SettingError("address", address, "must be 'unix:/path/to.sock' or 'host:port'")
            host = host.strip("[]")
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            listener = socket.socket(family, socket.SOCK_STREAM)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            target = (host, int(port))
        try:
            listener.bind(target)
            listener.listen(128)
        except OSError as error:
            listener.close()
            raise SettingError("address", address, f"can't listen there: {error.strerror or error}") from None
        return listener

    def _wake(self) -> None:
        try:
            with socket.socket(self._socket.family, socket.SOCK_STREAM) as knock:
                knock.settimeout(1)
                knock.connect(str(self._path) if self._path is not None else self._socket.getsockname())
        except OSError:
            pass

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                sender, _ = self._socket.accept()
            except OSError:
                return
            if self._closed.is_set():
                sender.close()
                return
            with self._lock:
                full = len(self._senders) >= MOST_SENDERS
                if not full:
                    self._senders.add(sender)
            if full:
                self.refused += 1
                self.report.note(f"senders were refused: {MOST_SENDERS} are connected")
                sender.close()
                continue
            self._threads = [t for t in self._threads if t.is_alive()]
            thread = threading.Thread(target=self._serve, args=(sender,), name="dnsnb-dnstap-sender", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, sender: socket.socket) -> None:
        try:
            self._receive(sender)
        except (OSError, _NotFrames) as error:
            self.report.note(f"a sender was let go: {error}")
        except Exception as error:
            self.error = error
        finally:
            sender.close()
            with self._lock:
                self._senders.discard(sender)

    def _receive(self, sender: socket.socket) -> None:
        if sender.family != socket.AF_UNIX:
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # a sender whose machine is gone ends some day
        frames = _Frames(sender)
        spoken = "powerdns-protobuf" if frames.greeting() else "dnstap"
        context = Context(self.report, Clock(self.report, "UTC", None, time.time()), spoken)
        feed = Feed(FORMATS[spoken], context)
        with self._lock:
            told = self.report["format"]
            self.report["format"] = spoken if told in (None, spoken) else "dnstap, powerdns-protobuf"
        try:
            self._converse(sender, frames, feed)
        finally:  # what came before it went away counts
            self._hand(feed, feed.reader.flush)
            with self._lock:
                if frames.cut:
                    context.skip_count("the last frame is cut off", 1, [("dnstap", 0, frames.cut[:16].hex(" "))])
                for table in feed.finish():
                    self._take(table)

    def _converse(self, sender: socket.socket, frames: _Frames, feed: Feed) -> None:
        both_ways = False
        flushed = heard = time.monotonic()
        while (frame := frames.next(FLUSH_S)) is not None:
            now = time.monotonic()
            if isinstance(frame, tuple):
                kind, content = frame
                if kind in (READY, START) and content and CONTENT not in content:
                    raise _NotFrames(f"it sends {content[0][:60]!r}, not {CONTENT.decode()}")
                if kind == READY:
                    both_ways = True
                    sender.sendall(_control(ACCEPT, CONTENT))
                elif kind == STOP:
                    if both_ways:
                        sender.sendall(_control(FINISH))
                    return
            elif frame:
                with self._lock:  # it counts in the report that all share
                    feed.reader.frame(frame)
                heard = now
            if now - flushed >= FLUSH_S or not frame:
                flushed = now
                self._hand(feed, feed.reader.flush)
            if now - heard > SETTLE_S and feed.joiner is not None and feed.joiner.waiting is not None:
                with self._lock:
                    for table in feed.rest():
                        self._take(table)

    def _hand(self, feed: Feed, events: Callable[[], Any]) -> None:
        with self._lock:
            for table in feed.settle(events()):
                self._take(table)


class _NotFrames(Exception):  # noqa: N818 - says what the sender is not sending
    pass


class _Frames:
    """Cuts what a socket sends into frames: bytes are data, (type, [content types]) is control, b"" means "nothing
    for now", None the end."""

    def __init__(self, sender: socket.socket) -> None:
        self.sender = sender
        self._held = bytearray()
        self._over = False
        self._short = False

    def greeting(self) -> bool:
        """Wait for the first octets; return whether they are PowerDNS's: two of length, then a message's type. As
        dnstap's four of length they would be far too long."""
        self.sender.settimeout(GREETING_S)
        while len(self._held) < 4 and not self._over:
            try:
                self._take()
            except TimeoutError:
                raise _NotFrames(f"it said nothing for {GREETING_S:.0f} s") from None
        self._short = int.from_bytes(self._held[:4]) > LONGEST and self._held[2] == 8 and 1 <= self._held[3] <= 4
        return self._short

    @property
    def cut(self) -> bytes:
        """The start of a frame whose end never came."""
        return bytes(self._held) if self._over else b""

    def next(self, timeout_s: float) -> Any:
        while True:
            frame = self._cut()
            if frame is not None:
                return frame
            if self._over:
                return None
            self.sender.settimeout(timeout_s)
            try:
                self._take()
            except TimeoutError:
                return b""

    def _take(self) -> None:
        piece = self.sender.recv(1 << 18)
        self._over = not piece
        self._held += piece

    def _cut(self) -> Any:
        held = self._held
        if self._short:
            return self._data(2, int.from_bytes(held[:2]))
        if len(held) < 4:
            return None
        length = int.from_bytes(held[:4])
        if length:
            if length > LONGEST:
                raise _NotFrames(f"a frame of {length} octets")
            return self._data(4, length)
        if len(held) < 8:
            return None
        size = int.from_bytes(held[4:8])
        if not 4 <= size <= 512:
            raise _NotFrames(f"a control frame of {size} octets")
        if len(held) < 8 + size:
            return None
        body = bytes(held[8 : 8 + size])
        del held[: 8 + size]
        kind, at, content = int.from_bytes(body[:4]), 4, []
        while at + 8 <= len(body) and int.from_bytes(body[at : at + 4]) == 1:
            width = int.from_bytes(body[at + 4 : at + 8])
            content.append(body[at + 8 : at + 8 + width])
            at += 8 + width
        return kind, content

    def _data(self, start: int, length: int) -> bytes | None:
        if len(self._held) < start + length:
            return None
        frame = bytes(self._held[start : start + length])
        del self._held[: start + length]
        return frame


def _control(kind: int, content: bytes | None = None) -> bytes:
    body = kind.to_bytes(4) + (b"" if content is None else (1).to_bytes(4) + len(content).to_bytes(4) + content)
    return bytes(4) + len(body).to_bytes(4) + body


def _alive(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as knock:
        knock.settimeout(1)
        try:
            knock.connect(str(path))
        except OSError:
            return False
        return True
