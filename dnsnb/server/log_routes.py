"""The routes of the query log, the settings, the archive and the description. Each calls one method."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from aiohttp import web

from dnsnb.errors import CommandError
from dnsnb.server import archive, openapi, reconfigure
from dnsnb.server.logexport import export_format
from dnsnb.server.logquery import FILTERS, LogQuery
from dnsnb.server.web import Route, only, read_choice, read_int, read_json

if TYPE_CHECKING:
    from dnsnb.server.server import Server

MAX_PAGE = 10_000
STALL_SECONDS = 30.0  # for a piece of an export to be taken
ZIP = "application/zip"


async def get_log(server: Server, request: web.Request) -> dict[str, Any]:
    """A page of the query log, the newest rows unless `order` is oldest.

    `next` is the `before` of the next page (`after` when the order is oldest), null when there is no more.
    """
    only(request, "limit", "before", "after", "order", *FILTERS)
    limit = read_int(request, "limit", 1000, 1, MAX_PAGE)
    before = read_int(request, "before", 0, 1, 1 << 62) or None
    after = read_int(request, "after", -1, 0, 1 << 62)
    oldest = read_choice(request, "order", ("newest", "oldest")) == "oldest"
    wanted = _query(server, request)
    return await server.events.log_page(limit, before, None if after < 0 else after, wanted, oldest_first=oldest)


async def export_log(server: Server, request: web.Request) -> web.StreamResponse:
    """All rows of the log that pass the filters, oldest first, as a file: csv, jsonl or parquet."""
    only(request, "format", "guard", *FILTERS)
    form = export_format(request.query.get("format", "csv"))
    guard = read_choice(request, "guard", ("1", "0")) == "1"
    async with contextlib.aclosing(server.storage.rows(_query(server, request))) as rows:
        first = await anext(rows, None)  # an error comes before the first byte
        response = web.StreamResponse(
            headers={
                "Content-Type": form.content_type,
                "Content-Disposition": f'attachment; filename="queries.{form.suffix}"',
            }
        )
        await response.prepare(request)
        writer = await asyncio.to_thread(form.make, guard)
        try:
            if first is not None:
                await _write(response, await asyncio.to_thread(writer.add, first))
                async for columns in rows:
                    await _write(response, await asyncio.to_thread(writer.add, columns))
            await _write(response, await asyncio.to_thread(writer.end))
            await response.write_eof()
        except TimeoutError:  # who asks and does not read would hold its place in the log for ever
            _cut(request)
        except Exception:
            _cut(request)  # what is not whole must not look as if it were
            raise
    return response


def _cut(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


async def _write(response: web.StreamResponse, data: bytes) -> None:
    async with asyncio.timeout(STALL_SECONDS):
        await response.write(data)


async def get_config(server: Server, request: web.Request) -> dict[str, Any]:
    """The settings, where each came from, and which wait for a restart."""
    only(request)
    return reconfigure.describe(server)


async def patch_config(server: Server, request: web.Request) -> dict[str, Any]:
    """Change settings; null puts one back to its default."""
    only(request)
    return await reconfigure.reconfigure(server, await read_json(request))


async def get_config_schema(server: Server, request: web.Request) -> dict[str, Any]:
    """The JSON schema of the settings."""
    only(request)
    return reconfigure.schema()


async def get_archive(server: Server, request: web.Request) -> web.Response:
    """Settings, lists, clients and local records as one zip archive."""
    only(request)
    data = await archive.export(server)
    headers = {"Content-Disposition": 'attachment; filename="dnsnb.zip"'}
    return web.Response(body=data, content_type=ZIP, headers=headers)


async def take_archive(server: Server, request: web.Request) -> dict[str, Any]:
    """Take in what another server's archive holds; all of it is checked first."""
    only(request)
    if request.content_type != ZIP:
        raise CommandError(415, "bad_content_type", f"the body must be {ZIP}")
    data = bytearray()
    async for chunk in request.content.iter_chunked(1 << 16):
        data += chunk
        if len(data) > archive.MAX_BYTES:
            raise CommandError(413, "too_large", f"an archive has at most {archive.MAX_BYTES:,} bytes")
    return await archive.take(server, bytes(data))


async def get_openapi(server: Server, request: web.Request) -> dict[str, Any]:
    """This description (OpenAPI 3.1)."""
    only(request)
    return openapi.document(server.routes, server.http_url)


def _query(server: Server, request: web.Request) -> LogQuery | None:
    given = {key: request.query[key] for key in FILTERS if key in request.query}
    return LogQuery(given, server.wall() // 1000) if given else None


ROUTES: tuple[Route, ...] = (
    Route("GET", "/api/dns/log", get_log),
    Route("GET", "/api/dns/log/export", export_log),
    Route("GET", "/api/dns/config", get_config, "operator"),
    Route("PATCH", "/api/dns/config", patch_config, "admin"),
    Route("GET", "/api/dns/config/schema", get_config_schema),
    Route("GET", "/api/system/archive", get_archive, "admin"),
    Route("POST", "/api/system/archive", take_archive, "admin", ZIP),
    Route("GET", "/api/openapi.json", get_openapi),
)
