"""ROUTES: every route of the API, with the least role that may call it. Each reads a request and calls one method."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from aiohttp import web

import dnsnb
from dnsnb.dns.lists import BLACKLIST, WHITELIST
from dnsnb.errors import CommandError, SettingError
from dnsnb.server import doh, log_routes, metrics, page, policy_routes
from dnsnb.server.auth import ROLES, SESSION_SECONDS
from dnsnb.server.responder import CHANNELS
from dnsnb.server.web import GATE, GRANT, Handler, Route, only, read_int, read_json, read_names

if TYPE_CHECKING:
    from dnsnb.server.server import Server

MAX_PAGE = 10_000


# --- the stream ---


async def get_stream(server: Server, request: web.Request) -> web.StreamResponse:
    """The event stream."""
    only(request, "channels", "filter", "batch", "last_event_id")
    return await server.responder.handle(request, request[GRANT])


async def get_test(server: Server, request: web.Request) -> dict[str, Any]:
    """Send a marked message on each channel to everybody, and return the stream's figures."""
    only(request)
    for channel in CHANNELS:
        server.responder.emit(channel, {"message": f"a test of {channel}"}, test=True)
    return server.responder.stats()


async def get_stats(server: Server, request: web.Request) -> dict[str, Any]:
    """The stream's figures."""
    only(request)
    return server.responder.stats()


# --- DNS ---


async def get_status(server: Server, request: web.Request) -> dict[str, Any]:
    """Whether DNS is answered, where, and how the upstreams are."""
    only(request)
    return server.status()


async def start(server: Server, request: web.Request) -> dict[str, Any]:
    """Answer DNS."""
    only(request)
    await _no_body(request)
    return await server.start_dns()


async def stop(server: Server, request: web.Request) -> dict[str, Any]:
    """Stop answering DNS."""
    only(request)
    await _no_body(request)
    return await server.stop_dns()


async def toggle(server: Server, request: web.Request) -> dict[str, Any]:
    """Start or stop."""
    only(request)
    await _no_body(request)
    return await server.toggle_dns()


async def get_list(name: str, server: Server, request: web.Request) -> dict[str, Any]:
    """A list's newest names."""
    only(request, "limit", "search")
    limit = read_int(request, "limit", 100, 0, MAX_PAGE)
    return server.events.list_state(name, limit, request.query.get("search", "").lower())


async def add_names(name: str, server: Server, request: web.Request) -> dict[str, Any]:
    """Add names to a list, all or nothing."""
    only(request)
    body = _known(await read_json(request), "names")
    return _without(await server.edit_list(name, add=read_names(body)), "removed", "absent")


async def remove_names(name: str, server: Server, request: web.Request) -> dict[str, Any]:
    """Remove names from a list."""
    only(request, "name")
    body = _known(await read_json(request), "names")
    names = request.query.getall("name", [])
    if not names or "names" in body:
        names = [*names, *read_names(body)]
    return _without(await server.edit_list(name, remove=names), "added", "already")


async def get_cache(server: Server, request: web.Request) -> dict[str, Any]:
    """The cache's newest answers."""
    only(request, "limit", "search")
    limit = read_int(request, "limit", 100, 0, MAX_PAGE)
    return server.events.cache_page(limit, request.query.get("search", "").lower())


async def flush_cache(server: Server, request: web.Request) -> dict[str, Any]:
    """Forget cached answers: of a name, of all below a suffix, or all."""
    only(request, "name", "suffix")
    await _no_body(request)
    return await server.flush_cache(request.query.get("name"), request.query.get("suffix"))


async def get_health(server: Server, request: web.Request) -> dict[str, Any]:
    """That the server is well."""
    only(request)
    return {"status": "ok", "version": dnsnb.__version__, "uptime_s": server.uptime_s}


async def get_metrics(server: Server, request: web.Request) -> web.Response:
    """All counters in the text format of Prometheus."""
    only(request)
    body = await asyncio.to_thread(metrics.render, metrics.collect(server))
    return web.Response(body=body, headers={"Content-Type": metrics.CONTENT_TYPE})


# --- tokens ---


async def login(server: Server, request: web.Request) -> web.Response:
    """Give a browser a cookie for a token; the cookie is not the token."""
    only(request)
    token = _known(await read_json(request), "token").get("token")
    if not isinstance(token, str):
        raise SettingError("token", "…", 'the body must be {"token": "…"}')
    grant = request.app[GATE].check_login(request, token)
    response = web.Response(status=204)
    response.set_cookie(
        server.cookie_name,
        server.tokens.open_session(grant),
        max_age=int(SESSION_SECONDS),
        httponly=True,
        samesite="Strict",
        path="/",
        secure=request.secure,
    )
    return response


async def logout(server: Server, request: web.Request) -> web.Response:
    """End a browser's login."""
    only(request)
    await _no_body(request)
    await server.log_out(request.cookies.get(server.cookie_name, ""))
    response = web.Response(status=204)
    response.del_cookie(server.cookie_name, path="/", httponly=True, samesite="Strict")
    return response


async def get_me(server: Server, request: web.Request) -> dict[str, Any]:
    """What the token in use may do."""
    only(request)
    return request[GRANT].public()


async def get_tokens(server: Server, request: web.Request) -> dict[str, Any]:
    """All tokens' names, roles and channels."""
    only(request)
    return {"roles": list(ROLES), "tokens": [grant.public() for grant in server.tokens.grants]}


async def add_token(server: Server, request: web.Request) -> dict[str, Any]:
    """Make a token; its text is in this answer and nowhere else."""
    only(request)
    body = _known(await read_json(request), "name", "role", "channels")
    channels = body.get("channels", ["*"])
    if not isinstance(channels, list):
        raise SettingError("channels", channels, "a list of channel patterns")
    return await server.add_token(body.get("name", ""), body.get("role", "viewer"), channels)


async def remove_token(server: Server, request: web.Request) -> dict[str, Any]:
    """Revoke a token: its logins and streams end."""
    only(request, "name")
    await _no_body(request)
    name = request.query.get("name", "")
    if not await server.revoke_token(name):
        raise CommandError(404, "not_found", f"no token is named {name!r}", "name")
    return {"revoked": name}


# --- inside ---


async def _no_body(request: web.Request) -> None:
    _known(await read_json(request))


def _known(body: dict[str, Any], *keys: str) -> dict[str, Any]:
    for key in body:
        if key not in keys:
            known = f"not known; there is {', '.join(keys)}" if keys else "not known; this route takes no body"
            raise SettingError(key[:100], "…", known)
    return body


def _without(value: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {k: v for k, v in value.items() if k not in keys}


def _page_handler(handler: Any) -> Handler:
    async def handle(server: Server, request: web.Request) -> Any:
        return await handler(request)

    return handle


def _list_routes(name: str) -> tuple[Route, ...]:
    path = f"/api/dns/{name}"
    return (
        Route("GET", path, partial(get_list, name)),
        Route("POST", path, partial(add_names, name), "operator"),
        Route("DELETE", path, partial(remove_names, name), "operator"),
    )


ROUTES: tuple[Route, ...] = (
    Route("GET", "/api/sse/stream", get_stream),
    Route("GET", "/api/sse/test", get_test, "operator"),
    Route("GET", "/api/sse/stats", get_stats),
    Route("GET", "/api/dns/status", get_status),
    Route("POST", "/api/dns/start", start, "operator"),
    Route("POST", "/api/dns/stop", stop, "operator"),
    Route("POST", "/api/dns/toggle", toggle, "operator"),
    *_list_routes(BLACKLIST),
    *_list_routes(WHITELIST),
    Route("GET", "/api/dns/cache", get_cache),
    Route("DELETE", "/api/dns/cache", flush_cache, "operator"),
    Route("GET", "/api/system/health", get_health),
    Route("GET", "/metrics", get_metrics),
    Route("POST", "/api/auth/login", login, None),
    Route("POST", "/api/auth/logout", logout, None),
    Route("GET", "/api/auth/me", get_me),
    Route("GET", "/api/auth/tokens", get_tokens, "admin"),
    Route("POST", "/api/auth/tokens", add_token, "admin"),
    Route("DELETE", "/api/auth/tokens", remove_token, "admin"),
    *log_routes.ROUTES,
    *doh.ROUTES,
    *policy_routes.ROUTES,
    *(Route(method, path, _page_handler(handler), None) for method, path, handler in page.routes()),
)
