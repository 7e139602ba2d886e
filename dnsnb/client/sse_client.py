"""One connection to a server's event stream for however many subscribers, which comes back by itself.

Connects with the first subscription and leaves with the last. Knows sse, states and the background loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import threading
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal, Self

import aiohttp
import orjson

from dnsnb import sse
from dnsnb.background import BackgroundLoop
from dnsnb.client.events import Event, EventBuffer, Policy
from dnsnb.client.states import ChannelStates
from dnsnb.client.trust import NOT_TRUSTED, Trust, hang_up, why_unreachable
from dnsnb.errors import NotConnected
from dnsnb.schema import whole

log = logging.getLogger("dnsnb.client")

State = Literal["connecting", "open", "waiting", "closed"]

FIRST_DELAY = 0.25  # seconds before the first new attempt; doubled by each failure
MAX_DELAY = 30.0
IDLE = 75.0  # seconds without a byte: the heartbeat comes every 30
WARN_AFTER = 1.0

#: servers whose loss was told: however many clients one process has, it is told once, until it is back
_LOST: set[str] = set()


class Subscription:
    """A handler's place in the stream; `close()` ends it."""

    def __init__(self, pattern: str, handler: Callable[[Event], None], leave: Callable[[Subscription], None]) -> None:
        self.pattern = pattern
        self.handler = handler
        self._leave = leave

    def wants(self, channel: str) -> bool:
        """Whether the pattern (`*` stands for any run of characters) names a channel."""
        return fnmatchcase(channel, self.pattern)

    def close(self) -> None:
        """Hear no more; the last one to leave ends the connection."""
        self._leave(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Watch:
    """A handler of connection changes; `close()` ends it."""

    def __init__(self, close: Callable[[], None]) -> None:
        self.close = close


class SSEClient:
    """The event stream of the server at `url`, shared by its subscribers.

    Handlers run in the client's loop thread and should be quick; what they raise is logged. `state` is `connecting`,
    `open`, `waiting` (for the next attempt) or `closed`, `reason` says why. Test messages (`Event.test`) reach only
    handlers that subscribed with `tests=True`. `tls` says what certificate is taken (client/trust).

    >>> import threading, dnsnb
    >>> told, seen = threading.Event(), []
    >>> with dnsnb.start("example", upstreams=["192.0.2.53"]) as session:
    ...     client = SSEClient(session.client.url, session.token)
    ...     with client.subscribe("dns/status", lambda event: (seen.append(event.data["running"]), told.set())):
    ...         arrived = told.wait(5)
    ...     client.close()
    >>> seen
    [True]
    """

    def __init__(self, url: str, token: str, loop: BackgroundLoop | None = None, *, tls: Trust = True) -> None:
        self.url: str = url.rstrip("/")
        self._token = token
        self._tls = tls
        self._own_loop = loop is None
        self._loop = loop or BackgroundLoop("dnsnb-client")
        self._lock = threading.Lock()
        self._subscriptions: list[tuple[Subscription, bool]] = []
        self._watchers: list[Callable[[str, str], None]] = []
        self._states = ChannelStates()
        self._run: Any = None
        self._state: State = "closed"
        self._reason = "no subscription yet"
        self._last_id = ""
        self._ended = False
        self._warned = False
        self._lost_at: float | None = None
        self._brakes: set[EventBuffer] = set()
        self._eased: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None
        self.gaps: int = 0  # events that the server could not replay

    @property
    def state(self) -> State:
        """`connecting`, `open`, `waiting` or `closed`."""
        return self._state

    @property
    def reason(self) -> str:
        """Why the state is what it is; empty while all is well."""
        return self._reason

    @property
    def is_connected(self) -> bool:
        """Whether the stream is open."""
        return self._state == "open"

    def current(self, channel: str) -> dict[str, Any] | None:
        """Return a state channel's present content, deltas applied, or None before its first event."""
        return self._states.get(channel)

    def subscribe(self, pattern: str, handler: Callable[[Event], None], *, tests: bool = False) -> Subscription:
        """Call `handler` with each event of the matching channels, the present state of each first.

        `pattern` is a channel or has `*` for any run of characters. Raises NotConnected after `close()`.
        """
        subscription = Subscription(pattern, handler, self._leave)
        with self._lock:
            if self._ended or self._loop.closed:
                raise NotConnected("this client is closed")
            start = not self._subscriptions
        self._loop.call(self._join, subscription, tests, start)
        return subscription

    def _join(self, subscription: Subscription, tests: bool, start: bool) -> None:
        with self._lock:
            self._subscriptions.append((subscription, tests))
        for channel, data in self._states.items():
            if subscription.wants(channel):
                self._deliver(subscription, Event(channel, data, int(time.time() * 1000)))
        if start or self._run is None or self._run.done():
            self._last_id = ""
            self._run = asyncio.ensure_future(self._follow())

    def _leave(self, subscription: Subscription) -> None:
        with self._lock:
            self._subscriptions = [s for s in self._subscriptions if s[0] is not subscription]
            last = not self._subscriptions
        if last and not self._loop.closed:
            try:
                self._loop.start(self._stop, "no subscription any more")
            except RuntimeError:
                pass

    async def _stop(self, reason: str) -> None:
        if self._subscriptions and not self._ended:
            return  # somebody came meanwhile
        run, self._run = self._run, None
        if run is not None:
            run.cancel()
            await asyncio.wait([run])
        self._states.clear()
        self._set("closed", reason)

    def on_connection_change(self, handler: Callable[[str, str], None]) -> _Watch:
        """Call `handler(state, reason)` in the client's loop thread at each change."""
        self._watchers.append(handler)

        def close() -> None:
            if handler in self._watchers:
                self._watchers.remove(handler)

        return _Watch(close)

    async def events(
        self, pattern: str = "*", *, limit: int = 1000, policy: Policy = "drop_oldest"
    ) -> AsyncIterator[Event]:
        """Iterate over the events of the matching channels, in whatever asyncio loop this is used.

        At most `limit` events wait for the reader. With `drop_oldest` the oldest goes then; `latest` keeps but the
        newest of each channel; with `block` nothing goes: the stream is not read on, for nobody, until there is room
        (commands are answered still), and if that takes so long that the server cuts it off, it replays from there.
        """
        buffer = EventBuffer(asyncio.get_running_loop(), limit, policy, self._ease)
        if policy == "block":
            self._brakes.add(buffer)
        subscription: Subscription | None = None
        try:
            subscription = await asyncio.to_thread(self.subscribe, pattern, buffer.put)
            while True:
                yield await buffer.get()
        finally:
            self._brakes.discard(buffer)
            buffer.close()
            if subscription is not None:
                await asyncio.to_thread(subscription.close)

    def _ease(self) -> None:
        """A reader has room again."""
        eased = self._eased
        if eased is not None:
            loop, event = eased
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(event.set)

    async def _wait_for_readers(self) -> None:
        """Wait while a reader that lets nothing be dropped has no room."""
        event = asyncio.Event()
        self._eased = (asyncio.get_running_loop(), event)
        while any(buffer.full for buffer in tuple(self._brakes)):
            await event.wait()
            event.clear()
        self._eased = None

    def close(self) -> None:
        """Leave the stream for good."""
        with self._lock:
            if self._ended:
                return
            self._ended = True
            self._subscriptions = []
        if not self._loop.closed:
            self._loop.start(self._stop, "closed").result(5)
            if self._own_loop:
                self._loop.close()

    def _deliver(self, subscription: Subscription, event: Event) -> None:
        try:
            subscription.handler(event)
        except Exception:
            log.exception("a handler of %s failed", event.type)

    def _dispatch(self, event: Event) -> None:
        if event.type == "system/reset":
            self._states.clear()
        elif event.type == "system/gap":
            self.gaps += int((event.data or {}).get("count") or 0)
        if not event.test and isinstance(event.data, dict) and not self._states.take(event.type, event.data):
            self._resynchronise(event.type)
        for subscription, tests in list(self._subscriptions):
            if subscription.wants(event.type) and (tests or not event.test):
                self._deliver(subscription, event)

    def _resynchronise(self, channel: str) -> None:
        """A delta of a list is missing: open the stream anew, which begins with the whole state."""
        log.debug("%s: a version is missing", channel)
        if self._run is not None:
            self._run.cancel()
        self._run = asyncio.ensure_future(self._follow())

    def _set(self, state: State, reason: str = "") -> None:
        if (state, reason) == (self._state, self._reason):
            return
        self._state, self._reason = state, reason
        for handler in list(self._watchers):
            try:
                handler(state, reason)
            except Exception:
                log.exception("a handler of connection changes failed")

    async def _follow(self) -> None:
        """Keep the stream open until told otherwise."""
        delay = FIRST_DELAY
        opened = False
        async with aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=IDLE),
            read_bufsize=1 << 20,
            connector=aiohttp.TCPConnector(ssl=self._tls),
        ) as http:
            while True:
                if not opened:
                    self._set("connecting")
                outcome = await self._connect(http)
                if outcome.final:
                    self._set("closed", outcome.reason)
                    log.warning("the event stream of %s ended: %s", self.url, outcome.reason)
                    return
                if outcome.was_open:
                    opened = True
                    delay = FIRST_DELAY
                self._lost_at = self._lost_at or time.monotonic()
                self._set("waiting", outcome.reason)
                pause = max(outcome.wait or 0.0, delay * random.uniform(0.5, 1.0))
                delay = min(MAX_DELAY, delay * 2)
                self._warn(opened, outcome.reason)
                await asyncio.sleep(pause)

    def _warn(self, opened: bool, reason: str) -> None:
        """One warning a process for a lost server, after a second of it; none before the first connection."""
        if opened and not self._warned and self._lost_at and time.monotonic() - self._lost_at >= WARN_AFTER:
            self._warned = True
            if self.url in _LOST:
                return
            _LOST.add(self.url)
            log.warning("connection to %s lost: %s; reconnecting", self.url, reason)

    async def _connect(self, http: aiohttp.ClientSession) -> _Outcome:
        """Read the stream until it ends, and say how it did."""
        headers = {"Accept": "text/event-stream", "Authorization": f"Bearer {self._token}", "Cache-Control": "no-store"}
        if self._last_id:
            headers["Last-Event-ID"] = self._last_id
        decoder = sse.Decoder(self._last_id)
        outcome = _Outcome()
        try:
            # a redirect to another origin is followed without the token: it is for this server alone
            async with http.get(f"{self.url}/api/sse/stream?batch=1", headers=headers, max_redirects=5) as response:
                if _refused(response, outcome):
                    return outcome
                outcome.was_open = True
                self._lost_at = None
                if self._warned:
                    self._warned = False
                    _LOST.discard(self.url)
                    log.info("connection to %s is back", self.url)
                self._set("open")
                try:
                    async for chunk in response.content.iter_any():
                        for message in decoder.feed(chunk):
                            event = _event(message)
                            if event is not None:
                                self._dispatch(event)
                        self._last_id = decoder.last_event_id
                        if self._brakes:
                            await self._wait_for_readers()
                except asyncio.CancelledError:
                    hang_up(response)
                    raise
            outcome.reason = "the server ended the stream"
        except (TimeoutError, aiohttp.ServerTimeoutError):
            outcome.reason = f"nothing heard for {IDLE:g} s" if outcome.was_open else "no answer in time"
        except (aiohttp.ClientError, OSError, sse.MessageTooLarge) as error:
            outcome.reason = why_unreachable(error) if isinstance(error, NOT_TRUSTED) else _words(error)
        if decoder.retry_ms is not None:
            outcome.wait = decoder.retry_ms / 1000
        return outcome


@dataclass
class _Outcome:
    reason: str = ""
    final: bool = False
    was_open: bool = False
    wait: float | None = None


def _refused(response: aiohttp.ClientResponse, outcome: _Outcome) -> bool:
    """Whether the answer is no stream; notes in `outcome` what follows from it."""
    status = response.status
    if status == 200 and sse.is_event_stream(response.headers.get("Content-Type")):
        return False
    if status == 204:
        outcome.reason, outcome.final = "the server wants no more connections (204)", True
    elif status in (401, 403):
        outcome.reason, outcome.final = f"the token was refused ({status})", True
    elif 300 <= status < 400:
        outcome.reason, outcome.final = f"the server redirects ({status}) to nowhere", True
    elif status == 200:
        kind = response.headers.get("Content-Type", "no type")
        outcome.reason, outcome.final = f"this is no event stream but {kind}", True
    elif status in (404, 405, 410):
        outcome.reason, outcome.final = f"there is no event stream here ({status})", True
    else:
        outcome.reason = f"the server answered {status}"
        after = response.headers.get("Retry-After", "")
        if after.isascii() and after.isdigit():
            outcome.wait = min(float(after), 300.0)
    return True


def _event(message: sse.Message) -> Event | None:
    try:
        envelope = orjson.loads(message.data)
        data = envelope["data"]
        if envelope["type"] == "dns/log/event" and "columns" in data:
            data = {"columns": whole(data), "count": data["count"], "dropped": data.get("dropped", 0)}
        return Event(
            str(envelope["type"]),
            data,
            int(envelope.get("timestamp") or 0),
            message.id,
            bool(envelope.get("test")),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        log.debug("not an event of ours: %.80r", message.data)
        return None


def _words(error: BaseException) -> str:
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"can't connect ({error.os_error.strerror or error.os_error})"
    return str(error) or type(error).__name__
