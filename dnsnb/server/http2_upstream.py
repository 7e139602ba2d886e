"""A connection of HTTP/2 (RFC 9113) to a DoH server: many questions at once, each a stream. Needs the package h2.

Decides nothing but which answer is whose; whoever speaks HTTP/1.1 alone is asked by https_upstream.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.exceptions

from dnsnb.dns.upstream import Done, UpstreamSpec
from dnsnb.server.stream_upstream import Resuming, StreamUpstream, Watched, padded

MAX_BODY = 65_535
MAX_STREAMS = 100  # at once; what RFC 9113 6.5.2 has every server take, known before it says how many
MAX_HELD = 4096  # questions that wait for a stream

Ask = Callable[[bytes, Done, float], None]
Check = Callable[[int, str, bytes, bytes], tuple[bytes | None, str]]


class Http2Upstream(StreamUpstream):
    """One connection, opened again when it breaks. `instead` takes the questions where HTTP/2 is not spoken."""

    def __init__(self, name: str, spec: UpstreamSpec, tls: Resuming, check: Check, instead: Ask) -> None:
        super().__init__(name, spec.addresses or (spec.host,), spec.port, tls=tls, server_name=spec.server_name)
        tls.set_alpn_protocols(["h2", "http/1.1"])
        default = "" if spec.port == 443 else f":{spec.port}"
        self.authority = f"{spec.server_name}{default}"
        self.path = spec.path
        self.check = check
        self.instead = instead
        self.refused = False  # it speaks HTTP/1.1 alone

    def _protocol(self) -> Any:
        return Http2Connection(self)


class Http2Connection(Watched):
    """Questions by stream in `waiting`; those above what the server takes at once are held back."""

    def __init__(self, upstream: Http2Upstream) -> None:
        super().__init__()
        self.upstream = upstream
        self.held: deque[tuple[bytes, Done, float]] = deque()
        self._said: dict[int, tuple[int, str]] = {}
        self._bodies: dict[int, bytes] = {}
        self._h2: h2.connection.H2Connection | None = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        if transport.get_extra_info("ssl_object").selected_alpn_protocol() == "h2":
            self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
            self._h2.initiate_connection()
            self._flush()
        else:
            self.upstream.refused = True
        self.watch(heard=True)

    def ask(self, query: bytes, done: Done, deadline: float) -> None:
        """Send a question, or keep it until there is a stream for it."""
        if self._h2 is None:
            self.upstream.instead(query, done, deadline)
            return
        room = min(MAX_STREAMS, self._h2.remote_settings.max_concurrent_streams)
        if len(self.waiting) >= room:
            self.forget()
        if len(self.waiting) >= room:
            if len(self.held) >= MAX_HELD:
                done(None, f"{self.upstream.name}: too many questions wait on one connection")
            else:
                self.held.append((query, done, deadline))
            return
        body = b"\0\0" + padded(query)[2:]
        headers = [
            (":method", "POST"), (":scheme", "https"), (":authority", self.upstream.authority),
            (":path", self.upstream.path), ("content-type", "application/dns-message"),
            ("accept", "application/dns-message"), ("content-length", str(len(body))),
        ]  # fmt: skip
        try:
            stream = self._h2.get_next_available_stream_id()
            self._h2.send_headers(stream, headers)
            self._h2.send_data(stream, body, end_stream=True)
        except (h2.exceptions.ProtocolError, h2.exceptions.NoAvailableStreamIDError):
            self.transport.close()  # worn out: the next question opens another
            done(None, f"{self.upstream.name}: the connection is full")
            return
        self.waiting[stream] = (query, done, deadline)
        self._flush()
        self.watch(heard=False)

    def forget(self) -> None:
        before = set(self.waiting)
        super().forget()
        for stream in before - set(self.waiting):
            if self._h2 is not None:
                self._h2.reset_stream(stream)

    def data_received(self, data: bytes) -> None:
        if self._h2 is None:
            self.transport.abort()
            return
        try:
            for event in self._h2.receive_data(data):
                self._take(event)
        except h2.exceptions.ProtocolError:
            self.transport.abort()
            return
        self._flush()
        self.watch(heard=True)

    def _take(self, event: Any) -> None:
        assert self._h2 is not None
        if isinstance(event, h2.events.ResponseReceived):
            headers = {str(name): str(value) for name, value in event.headers}
            status = headers.get(":status", "")
            kind = headers.get("content-type", "").partition(";")[0].strip().lower()
            self._said[event.stream_id] = (int(status) if status.isdecimal() else 0, kind)
        elif isinstance(event, h2.events.DataReceived):
            body = self._bodies.get(event.stream_id, b"")
            if len(body) <= MAX_BODY:
                self._bodies[event.stream_id] = body + event.data
            self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            self._end(event.stream_id, "")
        elif isinstance(event, h2.events.StreamReset):
            self._end(event.stream_id, f"{self.upstream.name}: it takes no question now ({int(event.error_code)})")
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.transport.close()

    def _end(self, stream: int, why: str) -> None:
        status, kind = self._said.pop(stream, (0, ""))
        body = self._bodies.pop(stream, b"")
        known = self.waiting.pop(stream, None)
        if known is None:
            return
        if why:
            known[1](None, why)
        else:
            self.answered += 1
            tls = self.upstream.tls
            if self.answered == 1 and isinstance(tls, Resuming):
                tls.last = self.transport.get_extra_info("ssl_object").session
            known[1](*self.upstream.check(status, kind, body, known[0]))
        if self.held and not self.transport.is_closing():
            self.ask(*self.held.popleft())

    def _flush(self) -> None:
        if self._h2 is not None and not self.transport.is_closing():
            data = self._h2.data_to_send()
            if data:
                self.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        waiting = [*self.waiting.values(), *self.held]
        self.waiting.clear()
        self.held.clear()
        self.upstream.lost(self, waiting)  # type: ignore[arg-type]
