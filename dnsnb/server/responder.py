"""SSEResponder: carries the ring's events to every connected client over aiohttp-sse, and never waits for a slow one.

What a client gets is decided in stream.py; here are connections, time-outs, the cap, and the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from aiohttp import web
from aiohttp_sse import EventSourceResponse

from dnsnb.dns.journal import LogBatch
from dnsnb.errors import CommandError, SettingError
from dnsnb.server.auth import Grant, check_patterns, matches
from dnsnb.server.rowfilter import RowFilter
from dnsnb.server.stream import ROWS, Form, Reader, Ring
from dnsnb.server.turns import Turns

CHANNELS = (
    "dns/status",
    "dns/info",
    "dns/log/event",
    "dns/log/",
    "dns/cache/",
    "dns/blacklist/",
    "dns/whitelist/",
    "system/heartbeat",
)
RETRY_MS = 1000  # what a browser is told to wait before it comes back
PING_SECONDS = 15
STALL_SECONDS = 10.0
RETRY_AFTER = 5
FAREWELL_SECONDS = 1.0
WRITES_A_TURN = 16  # of up to 64 KiB or a message: about a millisecond, then queries get their answers first
SEND_BUFFER = 512 * 1024  # smaller than a message, each would wait for the other side to acknowledge

States = Callable[[], Iterable[tuple[str, Any]]]


class _Response(EventSourceResponse):  # type: ignore[misc]
    """aiohttp-sse's response, with headers that keep proxies from caching, buffering and compressing."""

    def __init__(self) -> None:
        # the kernel gives up later than we do, so that a stalled reader is counted as one
        super().__init__(send_timeout=STALL_SECONDS + 5, ping_interval=PING_SECONDS, sep="\n")
        self.headers["Cache-Control"] = "no-cache, no-transform"
        self.headers["Content-Type"] = "text/event-stream; charset=utf-8"


class Stream:
    """One connection: its place in the ring, and what wakes it."""

    def __init__(
        self,
        reader: Reader,
        grant: Grant,
        transport: asyncio.BaseTransport | None,
        patterns: tuple[str, ...],
        since: int,
    ) -> None:
        self.reader = reader
        self.grant = grant
        self.peer = str((transport.get_extra_info("peername") or ("",))[0]) if transport else ""
        self._transport = transport
        sock = transport.get_extra_info("socket") if transport else None
        if sock is not None:  # else the kernel holds megabytes for each reader that is slow
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        self.patterns = patterns
        self.since = since
        self.wake = asyncio.Event()
        self.closing = ""

    def close(self, why: str) -> None:
        """End it after what it can take at once."""
        self.closing = self.closing or why
        self.wake.set()

    def abort(self) -> None:
        """End it now, whatever waits to be sent."""
        if isinstance(self._transport, asyncio.Transport):
            self._transport.abort()

    def stats(self) -> dict[str, Any]:
        """Return its figures for people."""
        reader = self.reader
        return {
            "peer": self.peer,
            "token": self.grant.name,
            "role": self.grant.role,
            "channels": list(self.patterns),
            "batch": reader.form.batch,
            "filter": reader.form.filter.text if reader.form.filter else None,
            "since": self.since,
            "id": reader.id,
            "outcome": reader.outcome,
            "queue": reader.depth,
            "lag_ms": reader.lag_ms,
            "dropped": reader.dropped,
            "replayed": reader.replayed,
            "events": reader.sent_events,
            "bytes": reader.sent_bytes,
        }


class SSEResponder:
    """All streams of a server.

    Whoever owns it sets `states`, which yields (channel, data) as they are now, for who connects or fell behind;
    `on_presence`, which hears when somebody is there and when nobody is; and `heartbeat`, what a heartbeat says.
    """

    def __init__(
        self,
        *,
        max_streams: int = 1000,
        replay_events: int = 50_000,
        replay_bytes: int = 32 << 20,
        heartbeat_seconds: float = 30.0,
        stall_seconds: float = STALL_SECONDS,
        wall: Callable[[], int] = time.time_ns,
    ) -> None:
        self._now_ms: Callable[[], int] = lambda: wall() // 1_000_000
        self.ring = Ring(str(wall() // 1_000_000), replay_events, replay_bytes, self._now_ms)
        self.streams: set[Stream] = set()
        self.max_streams = max_streams
        self.heartbeat_seconds = heartbeat_seconds
        self.stall_seconds = stall_seconds
        self.states: States = lambda: ()
        self.on_presence: Callable[[bool], None] = lambda _: None
        self.heartbeat: Callable[[], Any] = lambda: {"clients": len(self.streams)}
        self.accepted = self.rejected = self.stalled = 0
        self.outcomes: Counter[str] = Counter()
        self._past_events: Counter[str] = Counter()
        self._past_bytes: Counter[str] = Counter()
        self._past_dropped = self._past_replayed = 0
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._turns = Turns(WRITES_A_TURN)
        self._empty = asyncio.Event()
        self._empty.set()

    # --- out ---

    def emit(self, channel: str, data: Any, *, test: bool = False) -> None:
        """Send a state channel's news; free when nobody is connected, for who connects gets the state as it is."""
        if self.streams:
            self.ring.add_state(channel, data, test)
            self._wake(channel)

    def emit_rows(self, batch: LogBatch) -> None:
        """Send rows of the log; kept for replay although nobody may be connected, but encoded only for somebody."""
        if not batch.count:
            return
        by_column = any(stream.reader.form.key == (True, "") for stream in self.streams)
        self.ring.add_rows(batch, by_column)
        self._wake(ROWS)

    def _wake(self, channel: str) -> None:
        for stream in self.streams:
            if stream.reader.wants(channel):
                stream.wake.set()

    # --- in ---

    async def handle(self, request: web.Request, grant: Grant) -> web.StreamResponse:
        """Serve one stream until its client leaves, stalls, loses its token, or the server closes."""
        stream = self._admit(request, grant)
        response = _Response()
        self._add(stream)
        try:
            await response.prepare(request)
            await self._write(response, b"retry: %d\n\n" % RETRY_MS)
            while stream.closing != "revoked":
                chunks = stream.reader.take()
                if chunks:
                    await self._turns.mine()
                    await self._write(response, chunks[0] if len(chunks) == 1 else b"".join(chunks))
                elif stream.closing:
                    break
                else:
                    stream.wake.clear()
                    await stream.wake.wait()
            response.stop_streaming()
            async with asyncio.timeout(self.stall_seconds):
                await response.write_eof()
        except TimeoutError:
            self.stalled += 1
            stream.abort()
        except ConnectionError:
            pass
        finally:
            self._remove(stream)
            with contextlib.suppress(RuntimeError):
                response.stop_streaming()
        return response

    async def _write(self, response: _Response, data: bytes) -> None:
        async with asyncio.timeout(self.stall_seconds):
            await response.write(data)

    def _admit(self, request: web.Request, grant: Grant) -> Stream:
        if self._closed or len(self.streams) >= self.max_streams:
            self.rejected += 1
            why = "the server is closing" if self._closed else f"there are {self.max_streams} streams already"
            raise CommandError(503, "too_many_streams", f"{why}; come back in {RETRY_AFTER} s")
        query = request.query
        patterns: tuple[str, ...] = ("*",)
        if "channels" in query:
            patterns = check_patterns(part for text in query.getall("channels") for part in text.split(",") if part)
            for pattern in patterns:
                if not any(matches(pattern, channel) for channel in CHANNELS):
                    raise SettingError("channels", pattern, f"no such channel; there are {', '.join(CHANNELS)}")
        wanted = {c for c in CHANNELS if any(matches(p, c) for p in patterns)}
        readable = frozenset(c for c in wanted if grant.may_read(c))
        for pattern in patterns:
            if not any(matches(pattern, channel) for channel in readable):
                raise CommandError(403, "forbidden", f"this token may not read {pattern!r}", "channels")
        batch = query.get("batch", "0")
        if batch not in ("0", "1"):
            raise SettingError("batch", batch, "0 or 1")
        filters = " ".join(query.getall("filter", []))
        form = Form(batch == "1", RowFilter(filters) if filters.strip() else None)
        last = request.headers.get("Last-Event-ID") or query.get("last_event_id")
        reader = Reader(self.ring, readable.__contains__, self.states, form, last)
        self.outcomes[reader.outcome] += 1
        since = self._now_ms()
        return Stream(reader, grant, request.transport, patterns, since)

    def _add(self, stream: Stream) -> None:
        self.accepted += 1
        self._empty.clear()
        self.streams.add(stream)
        if len(self.streams) == 1:
            self.on_presence(True)
            self._beat_later()

    def _remove(self, stream: Stream) -> None:
        self.streams.discard(stream)
        reader = stream.reader
        self._past_events += reader.sent
        self._past_bytes += reader.sent_by_channel
        self._past_dropped += reader.dropped
        self._past_replayed += reader.replayed
        if not self.streams:
            self._empty.set()
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            self.on_presence(False)

    # --- heartbeat, end ---

    def _beat_later(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self.heartbeat_seconds, self._beat)

    def _beat(self) -> None:
        data = self.heartbeat()
        for stream in self.streams:
            stream.reader.push("system/heartbeat", data)
            stream.wake.set()
        self._beat_later()

    def end_streams_of(self, grant: Grant) -> None:
        """End the streams of a token that was revoked."""
        for stream in self.streams:
            if stream.grant is grant:
                stream.close("revoked")
                asyncio.get_running_loop().call_later(FAREWELL_SECONDS, stream.abort)

    async def close(self) -> None:
        """End every stream: each is given `FAREWELL_SECONDS` to take what is due to it."""
        self._closed = True
        for stream in self.streams:
            stream.close("shutdown")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL_SECONDS):
                await self._empty.wait()
        for stream in self.streams:
            stream.abort()

    # --- measures ---

    def stats(self) -> dict[str, Any]:
        """Return the stream's figures."""
        events, sizes = self._past_events.copy(), self._past_bytes.copy()
        dropped, replayed = self._past_dropped, self._past_replayed
        for stream in self.streams:
            events += stream.reader.sent
            sizes += stream.reader.sent_by_channel
            dropped += stream.reader.dropped
            replayed += stream.reader.replayed
        ring = self.ring
        return {
            "epoch": ring.epoch,
            "number": ring.number,
            "connections": len(self.streams),
            "limit": self.max_streams,
            "accepted": self.accepted,
            "rejected": self.rejected,
            "stalled": self.stalled,
            "dropped": dropped,
            "replay": {
                "events": replayed,
                "hits": self.outcomes["replayed"],
                "gaps": self.outcomes["gap"],
                "resets": self.outcomes["reset"],
                "held_events": ring.number - ring.lost_before,
                "held_bytes": ring.bytes,
                "evicted": ring.evicted,
            },
            "channels": {
                channel: {"emitted": ring.events[channel], "sent": events[channel], "bytes": sizes[channel]}
                for channel in sorted(set(CHANNELS) | set(events) | set(ring.events))
            },
            "most_active": [channel for channel, _ in events.most_common(3)],
            "clients": [stream.stats() for stream in sorted(self.streams, key=lambda s: s.since)],
        }
