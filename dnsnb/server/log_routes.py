"""The routes of the query log and of the settings. Each reads a request and calls one method."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from aiohttp import web

from dnsnb.server import reconfigure
from dnsnb.server.logexport import export_format
from dnsnb.server.logquery import FILTERS, LogQuery
from dnsnb.server.web import Route, only, read_choice, read_int, read_json

if TYPE_CHECKING:
    from dnsnb.server.server import Server

MAX_PAGE = 10_000


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
    rows = server.storage.rows(_query(server, request))
    first = await anext(rows, None)  # an error comes before the first byte
    response = web.StreamResponse(
        headers={
            "Content-Type": form.content_type,
            "Content-Disposition": f'attachment; filename="queries.{form.suffix}"',
        }
    )
    await response.prepare(request)
    writer = await asyncio.to_thread(form.make, guard)
    if first is not None:
        await response.write(await asyncio.to_thread(writer.add, first))
        async for columns in rows:
            await response.write(await asyncio.to_thread(writer.add, columns))
    await response.write(await asyncio.to_thread(writer.end))
    await response.write_eof()
    return response


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


def _query(server: Server, request: web.Request) -> LogQuery | None:
    given = {key: request.query[key] for key in FILTERS if key in request.query}
    return LogQuery(given, server.wall() // 1000) if given else None


ROUTES: tuple[Route, ...] = (
    Route("GET", "/api/dns/log", get_log),
    Route("GET", "/api/dns/log/export", export_log),
    Route("GET", "/api/dns/config", get_config, "operator"),
    Route("PATCH", "/api/dns/config", patch_config, "admin"),
    Route("GET", "/api/dns/config/schema", get_config_schema),
)
