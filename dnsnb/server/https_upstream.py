"""An upstream over HTTPS (RFC 8484). What comes back is checked like any other answer."""

from __future__ import annotations

import asyncio
import importlib.util
import socket
import ssl
from typing import Any

from dnsnb.dns.upstream import Done, UpstreamSpec
from dnsnb.server.stream_upstream import Resuming, answers, padded

TYPE = "application/dns-message"
CONNECTIONS = 24  # each carries one question at a time


class HttpsUpstream:
    """A resolver over HTTPS (RFC 8484), POST with ID 0; the answer is checked like any other.

    By HTTP/2 with `second`, another context of the same trust, where the package h2 is there and the server speaks it;
    else by HTTP/1.1.
    """

    def __init__(
        self, name: str, spec: UpstreamSpec, tls: ssl.SSLContext | None = None, second: ssl.SSLContext | None = None
    ) -> None:
        self.name = name
        self.spec = spec
        self.tls = tls
        self._loop = asyncio.get_running_loop()
        self._session: Any = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._second: Any = None
        if isinstance(second, Resuming) and importlib.util.find_spec("h2"):
            from dnsnb.server.http2_upstream import Http2Upstream

            self._second = Http2Upstream(name, spec, second, self._checked, self._by_http1)

    def send(self, query: bytes, done: Done, deadline: float) -> None:
        """POST a query."""
        if self._second is None or self._second.refused:
            self._by_http1(query, done, deadline)
        else:
            self._second.send(query, done, deadline)

    def _by_http1(self, query: bytes, done: Done, deadline: float) -> None:
        task = self._loop.create_task(self._post(query, done, deadline))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _post(self, query: bytes, done: Done, deadline: float) -> None:
        import aiohttp

        if self._session is None:
            self._session = _https_session(self.spec, self.tls)
        url = f"https://{self.spec.server_name}:{self.spec.port}{self.spec.path}"
        headers = {"Content-Type": TYPE, "Accept": TYPE}
        try:
            async with asyncio.timeout_at(deadline):
                async with self._session.post(
                    url, data=b"\0\0" + padded(query)[2:], headers=headers, allow_redirects=False
                ) as answer:
                    body = b""
                    if answer.status == 200 and answer.content_type == TYPE:
                        body = await answer.content.read(65536)
                        while len(body) <= 65535 and (more := await answer.content.read(65536)):
                            body += more
                    done(*self._checked(answer.status, answer.content_type, body, query))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            done(None, f"{self.name}: {type(error).__name__}")

    def _checked(self, status: int, kind: str, body: bytes, query: bytes) -> tuple[bytes | None, str]:
        """Return an answer and no reason, or none and why it is none."""
        if status != 200 or kind != TYPE:
            return None, f"{self.name}: HTTP {status}, {kind}"
        if not 12 <= len(body) <= 65535:
            return None, f"{self.name}: an answer of {len(body)} octets"
        if body[:2] != b"\0\0" or not answers(body, query):
            return None, f"{self.name}: it answered another question"
        return body, ""

    def close(self) -> None:
        """Close its connections."""
        if self._second is not None:
            self._second.close()
        for task in list(self._tasks):
            task.cancel()
        if self._session is not None:
            closing = self._loop.create_task(self._session.close())
            self._tasks.add(closing)


def _https_session(spec: UpstreamSpec, tls: ssl.SSLContext | None) -> Any:
    import aiohttp
    from aiohttp.abc import AbstractResolver

    class Known(AbstractResolver):
        """The addresses that the setting gives, so that no other resolver is asked."""

        async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[Any]:
            return [
                {"hostname": host, "host": a, "port": port, "family": socket.AF_INET6 if ":" in a else socket.AF_INET,
                 "proto": 0, "flags": socket.AI_NUMERICHOST}
                for a in spec.addresses
            ]  # fmt: skip

        async def close(self) -> None:
            return

    resolver = Known() if spec.addresses else aiohttp.ThreadedResolver()
    connector = aiohttp.TCPConnector(resolver=resolver, ssl=tls or True, limit=CONNECTIONS, keepalive_timeout=30)
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
