"""Downloads of list texts: by address refused at connect time, capped in size, time and decompression, conditional.

Knows nothing of lists or DNS. Errors never quote the body: what an inner server says must not reach who set the URL.
"""

from __future__ import annotations

import ipaddress
import socket
import zlib
from collections.abc import Iterable
from typing import Any, NamedTuple

import aiohttp

from dnsnb.errors import DnsnbError, SettingError

MAX_BODY = 256 << 20
MAX_TEXT = 512 << 20
MAX_RATIO = 200  # no list of names is compressed better, a bomb is
TIMEOUT_S = 120.0
SILENCE_S = 20.0
REDIRECTS = 5

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class FetchError(DnsnbError):
    """A text can't be had; the message says why and names the URL's host."""


class AddressRefusedError(OSError):
    """A name leads to an address that lists aren't fetched from."""


class Fetched(NamedTuple):
    """A download: `text` (None when it hasn't changed since), and the marks to ask with next time."""

    text: bytes | None
    etag: str | None
    modified: str | None


class Fetcher:
    """Fetches texts over HTTP(S). `allow`: networks that may be fetched from though they aren't public."""

    def __init__(
        self,
        allow: Iterable[str] = (),
        *,
        max_body: int = MAX_BODY,
        max_text: int = MAX_TEXT,
        timeout_s: float = TIMEOUT_S,
        silence_s: float = SILENCE_S,
        resolver: Any = None,
    ) -> None:
        self.allow: tuple[Network, ...] = tuple(_network(text) for text in allow)
        self.max_body = max_body
        self.max_text = max_text
        self.timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=silence_s, sock_read=silence_s)
        self._resolver = resolver

    async def fetch(self, url: str, etag: str | None = None, modified: str | None = None) -> Fetched:
        """Return the text at `url`, or that it is unchanged; raises FetchError saying why not."""
        headers = {"User-Agent": "dnsnb", "Accept": "text/plain, */*;q=0.5", "Accept-Encoding": "gzip"}
        if etag:
            headers["If-None-Match"] = etag
        if modified:
            headers["If-Modified-Since"] = modified
        connector = aiohttp.TCPConnector(
            socket_factory=self._socket, resolver=self._resolver, limit=1, use_dns_cache=False, force_close=True
        )
        try:
            async with (
                aiohttp.ClientSession(
                    connector=connector,
                    timeout=self.timeout,
                    auto_decompress=False,
                    cookie_jar=aiohttp.DummyCookieJar(),
                ) as session,
                session.get(url, headers=headers, max_redirects=REDIRECTS) as response,
            ):
                if response.status == 304 and (etag or modified):
                    return Fetched(None, etag, modified)
                if response.status != 200:
                    raise FetchError(f"{_host(url)} answered with status {response.status}")
                body = await self._read(response)
        except FetchError:
            raise
        except aiohttp.TooManyRedirects:
            raise FetchError(f"{_host(url)} redirects more than {REDIRECTS} times") from None
        except TimeoutError:
            raise FetchError(f"{_host(url)} took too long ({self.timeout.total:g} s in all is the most)") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise FetchError(f"{_host(url)} can't be read: {_reason(error)}") from None
        return Fetched(body, response.headers.get("ETag"), response.headers.get("Last-Modified"))

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        length = response.content_length
        if length is not None and length > self.max_body:
            raise FetchError(f"it says it has {length:,} octets; {self.max_body:,} is the most")
        if response.content_type in ("text/html", "application/xhtml+xml"):
            raise FetchError("it is a web page, not a list")
        encoding = response.headers.get("Content-Encoding", "").lower()
        if encoding not in ("", "identity", "gzip", "x-gzip"):
            raise FetchError(f"the encoding {encoding[:40]!r} was not asked for")
        text = bytearray()
        unpack: Any = None
        read = 0
        async for chunk in response.content.iter_chunked(1 << 16):
            if read == 0 and (encoding or chunk[:2] == b"\x1f\x8b"):
                unpack = zlib.decompressobj(31)
            read += len(chunk)
            if read > self.max_body:
                raise FetchError(f"it has more than {self.max_body:,} octets, which is the most")
            if unpack is None:
                text += chunk
                continue
            try:
                while chunk and not unpack.eof:
                    text += unpack.decompress(chunk, 1 << 20)
                    chunk = unpack.unconsumed_tail
                    if len(text) > self.max_text or len(text) > max(1 << 20, read * MAX_RATIO):
                        raise FetchError("it unpacks to far more than a list holds")
            except zlib.error:
                raise FetchError("its compression is broken") from None
        if unpack is not None and not unpack.eof:
            raise FetchError("its compression breaks off")
        if text[:200].lstrip()[:1] == b"<":
            raise FetchError("it is a web page, not a list")
        return bytes(text)

    def _socket(self, addr_info: tuple[Any, ...]) -> socket.socket:
        """Make the socket for one address after a look at it: names, redirects and literals all come through here."""
        family, kind, proto, _, address = addr_info
        if not self.allows(address[0]):
            raise AddressRefusedError(f"{address[0]} is not a public address")
        made = socket.socket(family, kind, proto)
        made.setblocking(False)
        return made

    def allows(self, address: str) -> bool:
        """Whether an address may be fetched from."""
        try:
            parsed = ipaddress.ip_address(address.split("%", 1)[0])
        except ValueError:
            return False
        if any(parsed in network for network in self.allow if network.version == parsed.version):
            return True
        return _is_public(parsed)


def check_url(url: str, setting: str = "url") -> str:
    """Return a URL that can be fetched, or raise SettingError saying what is wrong with it."""
    from yarl import URL

    try:
        parsed = URL(url)
    except (ValueError, TypeError):
        raise SettingError(setting, url, "not a URL") from None
    if parsed.scheme not in ("http", "https"):
        raise SettingError(setting, url, "a URL of a list starts with http:// or https://; a file is given as a file")
    if not parsed.host:
        raise SettingError(setting, url, "has no host")
    if parsed.user or parsed.password:
        raise SettingError(setting, "(hidden)", "a URL with a password would stand in logs and answers")
    return url


def _is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in ipaddress.IPv6Network("64:ff9b::/96"):
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return _is_public(inner)
        if address.teredo is not None or address.is_site_local:
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise SettingError("lists.allow_private", text, "an address or a network, such as 192.168.1.0/24") from None


def _host(url: str) -> str:
    from yarl import URL

    return str(URL(url).host)


def _reason(error: BaseException) -> str:
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, AddressRefusedError):
            return str(inner)
        if isinstance(inner, BaseExceptionGroup):
            inner = inner.exceptions[0]
            continue
        inner = getattr(inner, "os_error", None) or inner.__cause__ or inner.__context__
    if isinstance(error, aiohttp.ClientPayloadError):
        return "the answer breaks off"
    if isinstance(error, aiohttp.InvalidURL | aiohttp.NonHttpUrlClientError):
        return "it leads to something that is no web address"
    if isinstance(error, aiohttp.ClientConnectorError):
        return error.os_error.strerror or type(error.os_error).__name__
    return type(error).__name__
