"""DNS over HTTPS (RFC 8484) on the API's port: a DNS message in, a DNS message out. Decides nothing about names."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Iterable
from typing import TYPE_CHECKING

from aiohttp import web

from dnsnb.errors import CommandError
from dnsnb.server.web import Route, only

if TYPE_CHECKING:
    from dnsnb.server.server import Server

TYPE = "application/dns-message"
MAX_MESSAGE = 65_535


async def get_query(server: Server, request: web.Request) -> web.Response:
    """Answer `?dns=`, a message in base64url without padding."""
    only(request, "dns")
    text = request.query.get("dns", "")
    try:
        if "=" in text or len(text) > MAX_MESSAGE * 4 // 3 + 4:
            raise ValueError("padding, or too long")
        query = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
    except (ValueError, binascii.Error):
        raise CommandError(400, "bad_query", "dns must be a DNS message in base64url without padding", "dns") from None
    return await _answer(server, request, query)


async def post_query(server: Server, request: web.Request) -> web.Response:
    """Answer the message in the body."""
    only(request)
    if request.content_type != TYPE:
        raise CommandError(415, "bad_content_type", f"the body must be {TYPE}")
    query = await request.content.read(MAX_MESSAGE + 1)
    if len(query) > MAX_MESSAGE or not request.content.at_eof():
        raise CommandError(413, "too_large", "a DNS message has at most 65,535 bytes")
    return await _answer(server, request, query)


async def _answer(server: Server, request: web.Request, query: bytes) -> web.Response:
    if not server.running:
        raise CommandError(503, "stopped", "DNS is stopped")
    client = request.remote or ""
    reply = server.engine.answer_now(query, client, "doh")
    if reply is None:
        came: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        server.engine.ask(query, client, "doh", lambda answer: None if came.done() else came.set_result(answer))
        reply = await came
    if not reply:
        raise CommandError(400, "bad_query", "this is no DNS query that is answered")
    # no asker may reuse an answer for longer than its shortest TTL (RFC 8484 5.1)
    return web.Response(
        body=reply, content_type=TYPE, headers={"Cache-Control": f"private, max-age={shortest_ttl(reply)}"}
    )


def shortest_ttl(reply: bytes) -> int:
    """Return the least TTL of a reply's answers, of its authority where there are none; 0 where there is neither."""
    counts = [int.from_bytes(reply[at : at + 2]) for at in (4, 6, 8)]
    try:
        at = 12
        for _ in range(counts[0]):
            at = _after_name(reply, at) + 4
        ttls: list[int] = []
        for count in counts[1:]:
            for _ in range(count):
                at = _after_name(reply, at)
                ttls.append(int.from_bytes(reply[at + 4 : at + 8]))
                at += 10 + int.from_bytes(reply[at + 8 : at + 10])
            if ttls:
                return min(ttls)
    except IndexError:
        pass
    return 0


def _after_name(message: bytes, at: int) -> int:
    while (length := message[at]) != 0:
        if length >= 0xC0:
            return at + 2
        at += length + 1
    return at + 1


ROUTES: tuple[Route, ...] = (
    Route("GET", "/dns-query", get_query),
    Route("POST", "/dns-query", post_query, "viewer", TYPE),
)


def opened(routes: Iterable[Route]) -> list[Route]:
    """Return routes with these open to who has no token; `allow_clients` still says who may ask."""
    return [route._replace(role=None) if route in ROUTES else route for route in routes]
