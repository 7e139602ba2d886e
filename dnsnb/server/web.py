"""The HTTP side: the table of routes, and the one gate that every request passes before any of them.

Routes are thin: a server's method changes the state, keeps it and tells everybody. Knows auth, responder; no DNS.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from dnsnb.errors import CommandError, SettingError
from dnsnb.server import auth
from dnsnb.server.auth import Grant
from dnsnb.server.responder import CHANNELS, RETRY_AFTER

if TYPE_CHECKING:
    from dnsnb.server.server import Server

log = logging.getLogger(__name__)

MAX_BODY = 4 << 20
MAX_HEADER = 8190
BODY_SECONDS = 60.0  # in which a body must be whole
FAILURES_A_MINUTE = 30  # wrong tokens of one address, then 429

#: A handler gives a dict (sent as JSON), None (204) or a response of its own.
Handler = Callable[["Server", web.Request], Awaitable[Any]]


class Route(NamedTuple):
    """One row of the table. `role` is the least one that may call it; None: it needs no token (it gives no data)."""

    method: str
    path: str
    handler: Handler
    role: str | None = "viewer"
    #: a foreign content type of the body, for routes that don't take JSON
    content_type: str = "application/json"


#: What a token must be able to read to call a route: a channel, or "" for nothing. A route that is not named here
#: gives or changes more than one channel tells, so it needs all: a token for one gets no other by another way.
CHANNEL_OF = {
    "/api/sse/stream": "",  # looks at each channel itself
    "/api/system/health": "",
    "/api/auth/me": "",
    "/api/dns/status": "dns/status",
    "/api/dns/start": "dns/status",
    "/api/dns/stop": "dns/status",
    "/api/dns/toggle": "dns/status",
    "/api/dns/blacklist": "dns/blacklist/",
    "/api/dns/whitelist": "dns/whitelist/",
    "/api/dns/log": "dns/log/event",
    "/api/dns/log/export": "dns/log/event",
    "/api/dns/cache": "dns/cache/",
}

GRANT = web.RequestKey("dnsnb-grant", Grant)

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def build_app(server: Server, routes: Iterable[Route]) -> web.Application:
    """Return the aiohttp application: the gate, and behind it the routes."""
    gate = Gate(server)
    app = web.Application(
        middlewares=[gate.check],
        client_max_size=MAX_BODY,
        handler_args={"max_line_size": MAX_HEADER, "max_field_size": MAX_HEADER},
    )
    app[GATE] = gate
    for route in routes:
        path = gate.add(route)
        app.router.add_route(route.method, path, gate.handler_of(route))
    app.on_response_prepare.append(_finish_headers)
    return app


async def _finish_headers(request: web.BaseRequest, response: web.StreamResponse) -> None:
    response.headers["Server"] = "dnsnb"
    for name, value in HEADERS.items():
        if name not in response.headers:
            response.headers[name] = value


class Gate:
    """Host, Origin, token, role, content type, in that order; then the handler; every error becomes JSON."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._failures: dict[str, tuple[float, int]] = {}
        self._changing: set[asyncio.Task[Any]] = set()
        self._public: set[tuple[str, str]] = set()

    def add(self, route: Route) -> str:
        """Take note of a route; returns its path."""
        if route.role is None:
            self._public.add((route.method, route.path))
        return route.path

    def handler_of(self, route: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """Return an aiohttp handler that checks what is particular to a route."""
        changes = route.method != "GET"

        async def handle(request: web.Request) -> web.StreamResponse:
            if route.role is not None and not request[GRANT].may(route.role):
                raise CommandError(403, "forbidden", f"this needs a token of the role {route.role}")
            if route.role is not None:
                _check_channels(request[GRANT], CHANNEL_OF.get(route.path))
            if not request.can_read_body:
                return await run(request)
            if _content_type(request) != route.content_type:
                raise CommandError(415, "bad_content_type", f"the body must be {route.content_type}")
            timer = asyncio.get_running_loop().call_later(BODY_SECONDS, _hurry, request)
            try:
                return await run(request)
            finally:
                timer.cancel()

        async def run(request: web.Request) -> web.StreamResponse:
            if not changes:
                return _answer(await route.handler(self._server, request))
            # a change that has begun ends, although its client may leave: what is kept must be made and told
            task = asyncio.ensure_future(route.handler(self._server, request))
            self._changing.add(task)
            task.add_done_callback(self._changing.discard)
            return _answer(await asyncio.shield(task))

        return handle

    @web.middleware
    async def check(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Let a request through, or answer it with an error."""
        try:
            self._check_host(request)
            self._check_origin(request)
            self._check_token(request)
            return await handler(request)
        except CommandError as error:
            headers = {"Retry-After": str(RETRY_AFTER)} if error.status in (429, 503) else {}
            if error.status == 401:
                headers["WWW-Authenticate"] = "Bearer"
            return _error(error.status, error.code, error.message, error.setting, headers)
        except SettingError as error:
            return _error(422, "bad_setting", str(error), error.setting)
        except web.HTTPException as error:
            if error.status < 400:
                raise
            code = {404: "not_found", 405: "bad_method", 413: "too_large"}.get(error.status, "bad_request")
            headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
            return _error(error.status, code, error.reason, None, headers)
        except OSError as error:
            if isinstance(error, ConnectionError):
                raise
            return _error(503, "not_kept", f"{error.strerror or error}; nothing was changed")
        except Exception:
            log.exception("%s %s failed", request.method, request.rel_url.path)
            return _error(500, "internal", "the server failed to do this; its log says why")

    def _check_host(self, request: web.Request) -> None:
        hosts = request.headers.getall("Host", [])
        if len(hosts) != 1:
            raise CommandError(400, "bad_host", "exactly one Host header is needed")
        local = (request.get_extra_info("sockname") or (None,))[0]
        if not auth.host_is_ours(hosts[0], self._server.host_names, local):
            raise CommandError(403, "foreign_host", "this server doesn't go by that name; see the setting http_hosts")

    def _check_origin(self, request: web.Request) -> None:
        origins = request.headers.getall("Origin", [])
        for origin in origins:
            if origin != "null" and not auth.origin_is_ours(origin, request.headers["Host"]):
                raise CommandError(403, "foreign_origin", "pages of another origin may not use this server")

    def _check_token(self, request: web.Request) -> None:
        tokens = self._server.tokens
        resource = request.match_info.route.resource
        if resource is not None:
            is_public = (request.method, resource.canonical) in self._public
        else:  # no such path, or not by this method: who may know the path is told so
            is_public = any(path == request.path for _, path in self._public)
        text = auth.bearer(request.headers.get("Authorization"))
        if text is not None:
            self._count_failures(request)
            grant = tokens.verify(text)
            if grant is None and not is_public:
                self._fail(request)
                raise CommandError(401, "unauthorized", "this token is not known")
        else:
            key = request.cookies.get(self._server.cookie_name)
            grant = tokens.session(key) if key else None
            if grant is not None and request.method not in ("GET", "HEAD"):
                _check_cookie_change(request)
        if grant is not None:
            request[GRANT] = grant
        elif not is_public:
            raise CommandError(401, "unauthorized", "a token is needed: Authorization: Bearer <token>")

    def _count_failures(self, request: web.Request) -> None:
        now = self._server.clock()
        since, count = self._failures.get(request.remote or "", (now, 0))
        if count >= FAILURES_A_MINUTE and now - since < 60:
            raise CommandError(429, "too_many_failures", "too many wrong tokens came from this address")

    def _fail(self, request: web.Request) -> None:
        now = self._server.clock()
        if len(self._failures) > 4096:
            self._failures.clear()
        since, count = self._failures.get(request.remote or "", (now, 0))
        self._failures[request.remote or ""] = (since, count + 1) if now - since < 60 else (now, 1)

    def check_login(self, request: web.Request, text: str) -> Grant:
        """Return the grant of a token that came to the login route."""
        self._count_failures(request)
        grant = self._server.tokens.verify(text)
        if grant is None:
            self._fail(request)
            raise CommandError(401, "unauthorized", "this token is not known")
        return grant

    async def finish(self) -> None:
        """Wait for changes that have begun."""
        if self._changing:
            await asyncio.wait(self._changing, timeout=2)


def _hurry(request: web.Request) -> None:
    """End the wait for a body that drips in."""
    if not request.content.is_eof():
        request.content.set_exception(CommandError(408, "too_slow", f"the body took longer than {BODY_SECONDS:g} s"))


def _worth_logging(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, HttpProcessingError)


def http_logger() -> logging.Logger:
    """Return the logger for what aiohttp has to say.

    Bytes that are no HTTP are answered 400 and not logged: they are the sender's text, and may hold a token.
    """
    logger = logging.getLogger("dnsnb.server.http")
    logger.addFilter(_worth_logging)
    return logger


GATE = web.AppKey("dnsnb-gate", Gate)


def _check_channels(grant: Grant, channel: str | None) -> None:
    if channel is None:
        if not all(grant.may_read(one) for one in CHANNELS):
            raise CommandError(403, "forbidden", "this needs a token for all channels")
    elif channel and not grant.may_read(channel):
        raise CommandError(403, "forbidden", f"this token may not read {channel!r}")


def _check_cookie_change(request: web.Request) -> None:
    """A change with nothing but a cookie must be one that no other site's page can send: JSON, and our own Origin."""
    if request.headers.get("Origin", "null") == "null":
        raise CommandError(403, "no_origin", "a change with a login cookie needs an Origin header; or use a token")
    if _content_type(request) != "application/json":
        raise CommandError(415, "bad_content_type", "a change with a login cookie must be application/json")


def _content_type(request: web.Request) -> str:
    return request.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def _answer(result: Any) -> web.StreamResponse:
    if isinstance(result, web.StreamResponse):
        return result
    if result is None:
        return web.Response(status=204)
    return web.Response(body=orjson.dumps(result, default=str), content_type="application/json")


def _error(
    status: int, code: str, message: str, setting: str | None = None, headers: dict[str, str] | None = None
) -> web.Response:
    error = {"code": code, "message": message, **({"setting": setting} if setting else {})}
    body = orjson.dumps({"error": error}, default=str)
    return web.Response(status=status, body=body, content_type="application/json", headers=headers)


# --- what handlers read requests with ---


async def read_json(request: web.Request) -> dict[str, Any]:
    """Return the body, which must be a JSON object; none at all reads as an empty one."""
    raw = await request.read()
    if not raw:
        return {}
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise CommandError(400, "bad_json", "the body is not JSON") from None
    if not isinstance(value, dict):
        raise CommandError(422, "bad_json", "the body must be a JSON object")
    return value


def read_names(body: dict[str, Any]) -> list[str]:
    """Return `names` of a body: a list of strings, at most 100,000."""
    names = body.get("names")
    if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
        raise SettingError("names", names, 'a list of domain names: {"names": ["ads.example.com"]}')
    if len(names) > 100_000:
        raise SettingError("names", len(names), "at most 100,000 names at once")
    return names


def read_int(request: web.Request, name: str, default: int, least: int, most: int) -> int:
    """Return a whole number of the query string, within bounds."""
    text = request.query.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 18 or not least <= int(text) <= most:
        raise SettingError(name, text, f"a whole number from {least:,} to {most:,}")
    return int(text)


def read_choice(request: web.Request, name: str, choices: tuple[str, ...]) -> str:
    """Return one of some words of the query string; the first when there is none."""
    text = request.query.get(name, choices[0])
    if text not in choices:
        raise SettingError(name, text, f"one of {', '.join(choices)}")
    return text


def only(request: web.Request, *names: str) -> None:
    """Refuse query parameters that a route doesn't know: a misspelled one must not be passed over."""
    for name in request.query:
        if name not in names:
            known = f"this route knows {', '.join(names)}" if names else "this route takes no parameters"
            raise SettingError(name, request.query[name], known)
