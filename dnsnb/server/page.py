"""The dashboard as a page of the server itself: static files alone, under a strict content-security policy.

Knows the view's files as package data, and the public suffix list; the page's data come over the API like everybody's.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Awaitable, Callable
from functools import cache
from importlib.resources import files

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'none'; base-uri 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
_TYPES = {
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".html": "text/html",
    ".txt": "text/plain",
}
SUFFIXES = "suffixes.txt"


def routes() -> list[tuple[str, str, Handler]]:
    """Return (method, path, handler) of the page and its files; none of them carries data, so none needs a login."""
    return [("GET", "/", page), ("GET", "/assets/{name}", asset)]


async def page(request: web.Request) -> web.StreamResponse:
    """Answer the dashboard's HTML."""
    return _answer("page.html")


async def asset(request: web.Request) -> web.StreamResponse:
    """Answer one of the view's files; any other name is a 404."""
    name = request.match_info["name"]
    if name == SUFFIXES:
        return _suffixes()
    if name not in _contents() or name.endswith(".html"):
        raise web.HTTPNotFound(text="no such file", headers=HEADERS)
    return _answer(name)


def _answer(name: str) -> web.Response:
    suffix = name[name.rindex(".") :]
    content_type = _TYPES.get(suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    return web.Response(body=_contents()[name], content_type=content_type, charset="utf-8", headers=HEADERS)


def _suffixes() -> web.Response:
    """The public suffixes of two labels and more, a line each, as static/text.js reads them; compressed if possible."""
    answer = web.Response(body=_suffix_lines(), content_type="text/plain", charset="utf-8", headers=HEADERS)
    answer.headers["Cache-Control"] = "private, max-age=86400"
    answer.enable_compression()
    return answer


@cache
def _suffix_lines() -> bytes:
    from dnsnb.names.suffixes import suffixes

    rules = suffixes()
    exact = (rule for rule in rules.exact if "." in rule)
    lines = (*exact, *(f"*.{star}" for star in rules.stars), *(f"!{name}" for name in rules.exceptions))
    return "\n".join(lines).encode()


@cache
def _contents() -> dict[str, bytes]:
    """The view's files by name, read once: what a path may name is what is in here, and nothing else."""
    folder = files("dnsnb").joinpath("notebook", "static")
    return {entry.name: entry.read_bytes() for entry in folder.iterdir() if "." in entry.name and entry.is_file()}
