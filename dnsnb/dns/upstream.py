"""Which upstream is asked next, and when one counts as down: decisions alone. Also what an upstream setting means.

No I/O (the sockets are in server/upstreams); knows errors only.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit

from dnsnb.errors import SettingError

#: done(message or None, why not): called again when an answer that doesn't fit is followed by one that may
Done = Callable[[bytes | None, str], None]

STRATEGIES = ("ordered", "fastest", "parallel", "balanced")
FIRST_TIMEOUT = 0.7
LEAST_TIMEOUT = 0.25
MOMENT = 0.001  # seconds: what comes so soon after another answer tells nothing new of its upstream
BACK_OFF = (2.0, 5.0, 10.0, 20.0, 30.0)


class Upstream(Protocol):
    """Somebody who can be asked. `send` never blocks and never raises; `done` may be called more than once."""

    name: str

    def send(self, query: bytes, done: Done, deadline: float) -> None:
        """Send a query message (its ID is set on the way) and call `done` with the answer before `deadline`."""

    def close(self) -> None:
        """Close its sockets."""


class UpstreamSpec(NamedTuple):
    """What an upstream setting means. `scheme`: udp (with TCP for what is cut), tcp, tls, https, system, recorded."""

    text: str
    scheme: str
    host: str = ""
    port: int = 53
    server_name: str | None = None
    path: str = ""
    addresses: tuple[str, ...] = ()


#: Quad9 by TLS, for its HTTPS wants HTTP/2. Addresses of both families, so that no resolver is asked for them.
PRESETS: dict[str, tuple[str, ...]] = {
    "cloudflare": ("https://cloudflare-dns.com/dns-query@1.1.1.1,1.0.0.1,2606:4700:4700::1111,2606:4700:4700::1001",),
    "google": ("https://dns.google/dns-query@8.8.8.8,8.8.4.4,2001:4860:4860::8888,2001:4860:4860::8844",),
    "quad9": ("tls://dns.quad9.net@9.9.9.9,149.112.112.112,2620:fe::fe,2620:fe::9",),
    "opendns": ("https://doh.opendns.com/dns-query@146.112.41.2,2620:119:fc::2",),
}
_PORTS = {"udp": 53, "tcp": 53, "tls": 853, "https": 443}
_HOST = re.compile(r"(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_-]{0,62})(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,62}))*\.?")
_HINT = (
    "write an address such as 1.1.1.1 or [2606:4700:4700::1111]:53, or udp://, tcp://, tls://name@address, "
    "https://name/dns-query, recorded:FILE (an exported log), system, or one of "
    + ", ".join(PRESETS)
    + ", nextdns:<id>"
)


def parse_upstream(text: str, setting: str = "upstreams") -> UpstreamSpec:
    """Return what an upstream setting means; raises SettingError.

    A host name takes ``@address`` (several with commas) to say where it is, so that no other resolver is needed.
    """
    if not isinstance(text, str) or not text.strip() or len(text) > 500:
        raise SettingError(setting, text, _HINT)
    text = text.strip()
    if text == "system":
        return UpstreamSpec(text, "system")
    if text.startswith("recorded:") and len(text) > 9:
        return UpstreamSpec(text, "recorded", path=text.removeprefix("recorded:"))
    if text in PRESETS:
        return parse_upstream(PRESETS[text][0], setting)._replace(text=text)
    if text.startswith("nextdns:"):
        ident = text.removeprefix("nextdns:")
        if not re.fullmatch(r"[0-9a-f]{4,12}", ident):
            raise SettingError(setting, text, "nextdns: takes the id of a configuration, such as nextdns:abc123")
        full = f"https://dns.nextdns.io/{ident}@45.90.28.0,45.90.30.0,2a07:a8c0::,2a07:a8c1::"
        return parse_upstream(full, setting)._replace(text=text)
    scheme, _, rest = text.rpartition("://")
    scheme = scheme.lower() or "udp"
    if scheme not in _PORTS:
        raise SettingError(setting, text, f"the scheme {scheme!r} is not known; {_HINT}")
    if scheme == "https":
        return _https(text, rest, setting)
    server_name = None
    if scheme == "tls":
        server_name, at, where = rest.partition("@")
        server_name, port = _host_port(server_name, _PORTS[scheme], text, setting)
        if not at:
            return UpstreamSpec(text, scheme, server_name, port, server_name)
        host, port = _host_port(where.split(",")[0], port, text, setting)
        addresses = tuple(_address(a, text, setting) for a in where.split(",")[1:])
        return UpstreamSpec(text, scheme, host, port, server_name, addresses=(host, *addresses))
    host, port = _host_port(rest, _PORTS[scheme], text, setting)
    return UpstreamSpec(text, scheme, host, port, server_name)


def _https(text: str, rest: str, setting: str) -> UpstreamSpec:
    url, _, where = rest.partition("@")
    try:
        parts = urlsplit("https://" + url)
        host, port = parts.hostname, parts.port or 443
    except ValueError as error:
        raise SettingError(setting, text, f"not a URL ({error}); {_HINT}") from None
    if not host or parts.query or parts.fragment:
        raise SettingError(setting, text, f"not the URL of a DoH server; {_HINT}")
    addresses = tuple(_address(a, text, setting) for a in where.split(",") if a)
    return UpstreamSpec(text, "https", host, port, host, parts.path or "/dns-query", addresses)


def _address(text: str, whole: str, setting: str) -> str:
    try:
        return str(ipaddress.ip_address(text.strip("[] ")))
    except ValueError:
        raise SettingError(setting, whole, f"{text!r} is not an IP address; {_HINT}") from None


def _host_port(text: str, port: int, whole: str, setting: str) -> tuple[str, int]:
    host = text
    if text.startswith("["):
        host, bracket, after = text[1:].partition("]")
        if not bracket or (after and not after.startswith(":")):
            raise SettingError(setting, whole, f"a bracket is not closed; {_HINT}")
        text_port = after[1:]
    elif text.count(":") == 1:
        host, _, text_port = text.partition(":")
    else:
        text_port = ""
    if text_port:
        if not text_port.isascii() or not text_port.isdigit() or not 0 < int(text_port) < 65536:
            raise SettingError(setting, whole, f"{text_port!r} is not a port (1 to 65535)")
        port = int(text_port)
    bare = host.split("%", 1)[0]
    try:
        ipaddress.ip_address(bare)
    except ValueError:
        if ":" in host or not _HOST.fullmatch(host) or re.fullmatch(r"[0-9.]+", host):
            raise SettingError(setting, whole, f"{host!r} is neither an address nor a host name; {_HINT}") from None
    return host, port


class Target:
    """One upstream's health: smoothed answer time, failures in a row, and until when it rests."""

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self.name = upstream.name
        self.srtt: float | None = None  # seconds
        self.failures = 0
        self.down_until = 0.0
        self.last_answer = float("-inf")
        self.sent = 0
        self.answered = 0
        self.lost = 0
        self.state = "unknown"
        self.timeout = FIRST_TIMEOUT  # seconds to wait before the next try
        self.plain_until = 0.0  # it answers without EDNS alone, as was seen not long ago

    def up(self, now: float) -> bool:
        return self.state != "down" or now >= self.down_until

    def succeeded(self, now: float, seconds: float) -> bool:
        """Take in an answer; returns whether the state changed."""
        self.answered += 1
        if now - self.last_answer < MOMENT and self.state == "up":  # many came at once: one of them tells enough
            return False
        self.failures = 0
        self.last_answer = now
        srtt = self.srtt = seconds if self.srtt is None else self.srtt + (seconds - self.srtt) / 8
        if srtt * 4 < LEAST_TIMEOUT:
            self.timeout = LEAST_TIMEOUT
        else:
            self.timeout = min(FIRST_TIMEOUT, srtt * 4)
        if self.state == "up":
            return False
        self.state = "up"
        return True

    def failed(self, now: float) -> bool:
        """Take in a time-out or a refused connection; returns whether the state changed.

        It counts as down only when nothing was heard of it for three seconds: a lost packet is not a dead server.
        """
        self.lost += 1
        if now - self.last_answer < 3.0 and self.failures < 8:
            self.failures += 1
            return False
        if self.state == "down" and now < self.down_until:
            return False
        self.down_until = now + BACK_OFF[min(self.failures, len(BACK_OFF) - 1)]
        self.failures += 1
        changed, self.state = self.state != "down", "down"
        return changed


def order(targets: Sequence[Target], strategy: str, now: float, turn: int) -> list[Target]:
    """Return the upstreams in the order to be tried: those that rest come last, the longest-rested first among them."""
    if len(targets) == 1:
        return [targets[0]]
    live = [t for t in targets if t.up(now)]
    resting = sorted((t for t in targets if not t.up(now)), key=lambda t: t.down_until)
    if strategy == "fastest":
        live.sort(key=lambda t: t.srtt if t.srtt is not None else 0.0)
    elif strategy == "balanced" and live:
        turn %= len(live)
        live = live[turn:] + live[:turn]
    return live + resting
