"""Server: owns engine, sockets, drivers, event stream and the HTTP side; opens and closes them in order.

One method changes each state, and keeps, applies and publishes it, in that order, under one lock: routes can't forget.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from typing import Any, Self

from aiohttp import web

from dnsnb.config import Settings
from dnsnb.dns.cache import Cache
from dnsnb.dns.engine import Engine
from dnsnb.dns.forwarding import Forwarder
from dnsnb.dns.journal import Journal
from dnsnb.dns.listanalytics import Hits
from dnsnb.dns.names import name_tail
from dnsnb.dns.policy import Policy
from dnsnb.dns.rebind import Rebinding
from dnsnb.dns.upstream import Target
from dnsnb.drivers import Drivers
from dnsnb.errors import SettingError
from dnsnb.server import doh
from dnsnb.server.auth import Tokens
from dnsnb.server.certificate import Certificate, open_certificate
from dnsnb.server.events import DNSEventService
from dnsnb.server.http_port import IDLE_SECONDS, HttpPort
from dnsnb.server.initial_lists import fill_lists
from dnsnb.server.policy_keeper import PolicyKeeper
from dnsnb.server.ports import DnsPorts, open_http_socket, watch_accepts
from dnsnb.server.reconfigure import engine_options, open_privacy
from dnsnb.server.responder import SSEResponder
from dnsnb.server.routes import ROUTES
from dnsnb.server.storage import Storage
from dnsnb.server.token_store import keep_logged_out, keep_tokens, load_logged_out, load_tokens
from dnsnb.server.upstreams import open_upstreams
from dnsnb.server.views import GroupUpstreams
from dnsnb.server.web import Route, build_app, http_logger

ADMIN = "admin"  # name of the token that the server was given or made


class Server:
    """A DNS server with its API and event stream, as an async context manager.

    Settings come as `Settings`, or by name: `async with Server(upstreams=["1.1.1.1"]) as server`. Then it goes by
    `dns_address` ("127.0.0.1:5353"), `http_url` and `token`. Raises SettingError, and then has left nothing open.

    >>> async def main():
    ...     async with Server(upstreams=["192.0.2.53"], blacklist=["ads.example.com"]) as server:
    ...         return server.dns_address.startswith("127.0.0.1:"), server.policy.list("blacklist").count
    >>> asyncio.run(main())
    (True, 1)
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], int] = time.time_ns,
        http_routes: Iterable[Route] = ROUTES,
        **values: Any,
    ) -> None:
        if settings is None:
            settings = Settings(**values)
        elif values:
            settings = settings.changed(**values)
        self.settings: Settings = settings
        self.clock = clock
        self.wall = wall
        self.error: str | None = None
        self.http_url: str = ""
        self.certificate: Certificate | None = None
        self.cookie_name: str = "dnsnb"
        self.tokens: Tokens = Tokens(wall=lambda: wall() / 1e9)
        self._token, _ = self.tokens.create(ADMIN, "admin", token=settings.token)
        self.routes: tuple[Route, ...] = tuple(doh.opened(http_routes) if settings.doh_open else http_routes)
        self.waiting_settings: set[str] = set()  # changed, and in force with the next start
        self._problems: list[str] = []  # of the opening
        self._started = wall() // 1_000_000
        self._began = clock()
        self._stack = AsyncExitStack()

    def __repr__(self) -> str:
        state = "running" if self.running else "stopped"
        return f"<dnsnb server {self.dns_address}, {state}, {self.http_url or 'not open'}>"

    @property
    def running(self) -> bool:
        """Whether DNS is answered."""
        return "ports" in vars(self) and self.ports.is_open

    @property
    def dns_address(self) -> str:
        """HOST:PORT where DNS is answered; the same after each stop and start."""
        return self.ports.dns if "ports" in vars(self) else ""

    @property
    def token(self) -> str:
        """The admin token's text."""
        return self._token

    @property
    def host_names(self) -> tuple[str, ...]:
        """Names that a Host header may carry, beside loopback and the address it came in on."""
        return tuple(self.settings.http_hosts)

    # --- life ---

    async def __aenter__(self) -> Self:
        try:
            await self._open()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _open(self) -> None:
        settings = self.settings = await asyncio.to_thread(self.settings.with_kept)
        stack = self._stack
        self.tokens.load(await asyncio.to_thread(load_tokens, settings.folder))
        self.tokens.log_out(await asyncio.to_thread(load_logged_out, settings.folder))
        cache = Cache(settings.cache_entries, settings.cache_bytes)
        self.storage: Storage = await Storage.open(settings, cache, notice=self._tell, clock=self.clock, wall=self.wall)
        stack.push_async_callback(self.storage.close)
        self.policy: Policy = Policy(allow_only=settings.allow_only, wall=lambda: self.wall() / 1e9)
        self.policy.set_rebinding(Rebinding(settings.rebind_protection, settings.rebind_allow))
        problems = await fill_lists(self.policy, self.drivers.lists, settings)
        self.hits: Hits = Hits()
        keeper = PolicyKeeper(
            self.policy,
            settings.folder,
            allow_private=settings.list_networks,
            list_folders=settings.list_folders,
        )
        self.policy_keeper: PolicyKeeper = await stack.enter_async_context(keeper)
        await keeper.take(
            settings.lists,
            settings.clients,
            settings.groups,
            settings.records,
            {"hosts": settings.hosts_files, "zone": settings.zone_files},
        )
        self.lock: asyncio.Lock = self.policy_keeper.lists.lock  # one lock for all changes
        loop = asyncio.get_running_loop()
        self.forwarder: Forwarder = Forwarder(
            self.open_targets(settings.upstreams, "upstreams"),
            clock=self.clock,
            later=loop.call_later,
            strategy=settings.strategy,
        )
        opened: dict[tuple[str, ...], list[Target]] = {}  # who is named for several suffixes has one health, one cost
        for suffix, texts in settings.routes.items():
            if texts not in opened:
                opened[texts] = self.open_targets(texts, f"routes.{suffix}")
            self.forwarder.routes[_wire_name(suffix, f"routes.{suffix}")] = opened[texts]
        stack.callback(GroupUpstreams(self.policy, self.forwarder).close)
        first_id = self.storage.next_id()
        self.engine: Engine = Engine(
            self.policy,
            self.forwarder,
            options=engine_options(settings),
            cache=cache,
            journal=Journal(settings.journal_limit, first_id),
            clock=self.clock,
            wall=self.wall,
        )
        self._open_events()
        self.responder.ring.first_id = first_id
        self.events.set_privacy(await asyncio.to_thread(open_privacy, settings))
        stack.push_async_callback(self.events.close)
        if settings.tls_http or settings.tls_dns is not None:
            self.certificate = await asyncio.to_thread(open_certificate, settings, stack.callback)
        dot = self.certificate.context("dot") if self.certificate is not None else None
        self.ports: DnsPorts = DnsPorts(self.engine, settings, dot)
        stack.callback(self._close_ports)
        no_room = "no file descriptors are left: new connections wait until others end"
        stack.callback(watch_accepts(lambda: self.events.notice("error", no_room, "accept")))
        await self._open_http()
        await self.ports.open()
        self.storage.start()
        self.events.start()
        self._problems += (*problems, *self.policy_keeper.problems)
        for problem in self._problems:
            self.events.notice("warning", problem)

    def open_targets(self, texts: Iterable[str], setting: str) -> list[Target]:
        """Return opened upstreams, to be closed at the end at the latest."""
        upstreams = open_upstreams(texts, setting=setting)
        for upstream in upstreams:
            self._stack.callback(upstream.close)
        return [Target(upstream) for upstream in upstreams]

    def _tell(self, level: str, text: str, key: str) -> None:
        """Tell people; before there is anybody to tell, when there is."""
        if "events" in vars(self):
            self.events.notice(level, text, key)
        else:
            self._problems.append(text)

    @property
    def drivers(self) -> Drivers:
        """The drivers in use."""
        return self.storage.drivers

    def _open_events(self) -> None:
        settings = self.settings
        self.responder: SSEResponder = SSEResponder(
            max_streams=settings.max_streams,
            replay_events=settings.replay_events,
            replay_bytes=settings.replay_bytes,
            heartbeat_seconds=settings.heartbeat_seconds,
            wall=self.wall,
        )
        self.responder.heartbeat = lambda: {"uptime_s": self.uptime_s, "clients": len(self.responder.streams)}
        self.tokens.on_revoke.append(self.responder.end_streams_of)
        self.events: DNSEventService = DNSEventService(
            self.engine,
            self.policy,
            self.storage,
            self.responder,
            self._status,
            self.hits,
            clock=self.clock,
            wall=self.wall,
        )
        self.forwarder.on_health = self.events.upstreams_changed

    async def _open_http(self) -> None:
        sock, where = open_http_socket(self.settings)
        self._stack.callback(sock.close)
        self.http_url = f"{'https' if self.settings.tls_http else 'http'}://{where}"
        self.cookie_name = f"dnsnb_{sock.getsockname()[1]}"  # a browser keeps cookies by host, not by port
        runner = web.AppRunner(
            build_app(self, self.routes),
            access_log=None,
            logger=http_logger(),
            handler_cancellation=True,
            shutdown_timeout=1.0,
            keepalive_timeout=IDLE_SECONDS,
        )
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        certificate = self.certificate if self.settings.tls_http else None
        port = HttpPort(runner, certificate, self.settings.max_streams)
        self._stack.callback(port.close)
        self._stack.push_async_callback(self.responder.close)
        await port.start(sock)

    def _close_ports(self) -> None:
        self.forwarder.abandon("the server stops")
        self.ports.close()

    # --- what it is ---

    @property
    def uptime_s(self) -> int:
        """Seconds since the server was made."""
        return int(self.clock() - self._began)

    def status(self) -> dict[str, Any]:
        """Return the Status that API and stream give."""
        return self.events.status()

    def _status(self) -> dict[str, Any]:
        upstreams = [
            {
                "name": target.name,
                "state": target.state,
                "latency_ms": None if target.srtt is None else round(target.srtt * 1000, 2),
            }
            for target in self.forwarder.targets
        ]
        return {
            "running": self.running,
            "dns": self.dns_address,
            "dns_also": self.ports.also,
            "tls_dns": self.ports.tls,
            "http": self.http_url,
            "fingerprint": self.certificate.fingerprint if self.certificate is not None else None,
            "started": self._started,
            "upstreams": upstreams,
            "block_mode": self.engine.options.block.mode,
            "allow_only": self.policy.allow_only,
            "error": self.error,
        }

    # --- what changes it ---

    async def start_dns(self) -> dict[str, Any]:
        """Answer queries; does nothing when it does already. Returns the status."""
        async with self.lock:
            return await self._start()

    async def stop_dns(self) -> dict[str, Any]:
        """Close the DNS ports; what is in flight is answered SERVFAIL. Returns the status."""
        async with self.lock:
            return self._stop()

    async def toggle_dns(self) -> dict[str, Any]:
        """Start or stop, whichever it is not. Returns the status."""
        async with self.lock:
            return self._stop() if self.running else await self._start()

    async def _start(self) -> dict[str, Any]:
        if not self.running:
            try:
                await self.ports.open()
                self.error = None
            except SettingError as error:
                self.error = str(error)
                raise
            finally:
                self.events.status_changed()
        return self.status()

    def _stop(self) -> dict[str, Any]:
        if self.running:
            self._close_ports()
            self.events.status_changed()
        return self.status()

    async def edit_list(self, name: str, add: Iterable[str] = (), remove: Iterable[str] = ()) -> dict[str, Any]:
        """Add and remove names of a list, all or nothing; returns its state and what was done.

        Raises SettingError for a wrong name, OSError when the driver can't keep it; then nothing has changed.
        """
        async with self.lock:
            edit = self.policy.plan(name, add, remove)
            if edit.added or edit.removed:
                now = self.wall() // 1_000_000
                added = [(rule.text, now) for rule in edit.added]
                removed = [rule.text for rule in edit.removed]
                await self.storage.change_list(name, added, removed)
                self.policy.apply(edit)  # the event service hears of it and tells
                names = self.policy.list(name).names
                names.update((rule, now) for rule in edit.added if rule in names)  # the moment that is kept
            done = {
                key: [rule.text for rule in getattr(edit, key)] for key in ("added", "already", "removed", "absent")
            }
            return self.events.list_state(name) | done

    async def flush_cache(self, name: str | None = None, suffix: str | None = None) -> dict[str, Any]:
        """Forget cached answers of a name, of all at and below a suffix, or all; returns the cache's state."""
        async with self.lock:
            gone = self.engine.flush(
                name=None if name is None else _wire_name(name, "name"),
                suffix=None if suffix is None else _wire_name(suffix, "suffix"),
            )
            self.events.cache_flushed(gone)
            return self.events.cache_state() | {"flushed": gone}

    async def add_token(self, name: str, role: str, channels: Iterable[str] = ("*",)) -> dict[str, Any]:
        """Make a token; the result is the only place that its text is ever in."""
        async with self.lock:
            text, grant = self.tokens.create(name, role, channels)
            try:
                await asyncio.to_thread(keep_tokens, self.settings.folder, self.tokens.dump(ADMIN))
            except OSError:
                self.tokens.revoke(name)
                raise
            return grant.public() | {"token": text}

    async def log_out(self, cookie: str) -> None:
        """End a login, with a folder for the runs to come too; it has ended even when OSError says it can't be kept."""
        async with self.lock:
            self.tokens.close_session(cookie)
            await asyncio.to_thread(keep_logged_out, self.settings.folder, self.tokens.logged_out)

    async def revoke_token(self, name: str) -> bool:
        """End a token, its logins and its streams."""
        async with self.lock:
            if name == ADMIN:
                raise SettingError("name", name, "the server's own token can't be revoked; start it with another")
            if all(grant.name != name for grant in self.tokens.grants):
                return False
            await asyncio.to_thread(keep_tokens, self.settings.folder, self.tokens.dump(ADMIN, name))
            return self.tokens.revoke(name)


def _wire_name(text: str, setting: str) -> bytes:
    """Return a typed name as wire bytes; the root is "."."""
    if text == ".":
        return b"\0"
    try:
        return name_tail(text) + b"\0"
    except ValueError as error:
        raise SettingError(setting, text, str(error)) from None
