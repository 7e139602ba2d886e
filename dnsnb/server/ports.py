"""The ports of a server: where DNS is answered, over UDP, TCP and TLS, and where the API is. Opens all or nothing."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Callable
from typing import Any

from dnsnb.config import Settings
from dnsnb.dns.engine import Engine
from dnsnb.errors import SettingError
from dnsnb.server.listeners import StreamListener, UdpListener, bind, bind_pair, format_address, parse_address


class DnsPorts:
    """The listeners of an engine. Their addresses stay the same from the first opening on, also with port 0.

    `dns` is the first that DNS is answered on, `also` the others; `tls` those of TLS, separated by commas.
    """

    def __init__(self, engine: Engine, settings: Settings, tls: ssl.SSLContext | None = None) -> None:
        self.engine = engine
        self.settings = settings
        self.context = tls
        self.dns = ""
        self.also: list[str] = []
        self.tls: str | None = None
        self.is_open = False
        self._listeners: list[UdpListener | StreamListener] = []

    async def open(self) -> None:
        """Listen; raises SettingError naming the setting whose port can't be had."""
        settings = self.settings
        opened: list[UdpListener | StreamListener] = []
        try:
            _check_access(settings)
            dns, tls = [], []
            for where in split_addresses(",".join([self.dns, *self.also]) or settings.dns, "dns"):
                udp, tcp = bind_pair(*where, "dns")
                opened += [UdpListener(self.engine, udp, batches=settings.fast_paths), StreamListener(self.engine, tcp)]
                dns.append(_address(udp))
            if settings.tls_dns is not None:
                for where in split_addresses(self.tls or settings.tls_dns, "tls_dns"):
                    sock = bind(socket.SOCK_STREAM, *where, "tls_dns")
                    opened.append(StreamListener(self.engine, sock, tls=self.context))
                    tls.append(_address(sock))
            for listener in opened:
                if isinstance(listener, StreamListener):
                    await listener.start()
        except BaseException:
            for listener in opened:
                listener.close()
            raise
        self._listeners, self.is_open = opened, True
        self.dns, *self.also = dns
        self.tls = ",".join(tls) or None

    def close(self) -> None:
        """Stop listening; closing twice is fine."""
        self.is_open = False
        for listener in self._listeners:
            listener.close()
        self._listeners = []


def split_addresses(text: str, setting: str) -> list[tuple[str, int]]:
    """Return (host, port) of each of some addresses separated by commas; raises SettingError."""
    return [parse_address(part, setting) for part in text.split(",")]


def open_http_socket(settings: Settings) -> tuple[socket.socket, str]:
    """Return the API's bound socket and HOST:PORT; on loopback unless `allow_remote` is set. Raises SettingError."""
    host, port = parse_address(settings.http, "http")
    if not settings.allow_remote and not ipaddress.ip_address(host.partition("%")[0]).is_loopback:
        why = "the API would be open to other machines; use 127.0.0.1 or [::1], or set allow_remote"
        raise SettingError("http", settings.http, why)
    sock = bind(socket.SOCK_STREAM, host, port, "http")
    return sock, _address(sock)


def watch_accepts(tell: Callable[[], None]) -> Callable[[], None]:
    """Call `tell` when the system has no descriptors left for a connection, which asyncio would log a thousand times.

    The loop's other errors go where they went before. Returns what ends it.
    """
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if "accept() out of system resource" in str(context.get("message")):
            tell()
        elif before is not None:
            before(loop, context)
        else:
            loop.default_exception_handler(context)

    loop.set_exception_handler(handle)
    return lambda: loop.set_exception_handler(before) if loop.get_exception_handler() is handle else None


def _address(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return format_address(host, port)


def _check_access(settings: Settings) -> None:
    """No resolver is open to a network by accident (RFC 5625 6.2): who listens widely says who may ask."""
    if "allow_clients" in settings.model_fields_set:
        return
    for key, text in (("dns", settings.dns), ("tls_dns", settings.tls_dns)):
        hosts = [] if text is None else [host.partition("%")[0] for host, _ in split_addresses(text, key)]
        if not all(ipaddress.ip_address(host).is_loopback for host in hosts):
            why = (
                "would be reached from other machines, whom nothing lets ask; set allow_clients, such as 192.168.0.0/16"
            )
            raise SettingError(key, text, why)
