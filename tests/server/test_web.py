"""The gate, route by route over the whole table: token, role, Host, Origin, CSRF, content type, what leaks."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import re
from typing import Any

import pytest
from scripted import closed

from dnsnb.server.auth import ROLES
from dnsnb.server.routes import ROUTES
from dnsnb.server.web import CHANNEL_OF, FAILURES_A_MINUTE, Route

SECRETS = [route for route in ROUTES if route.role is not None]


def path_of(route: Route) -> str:
    return route.path.replace("{name}", "x.js")


def label(route: Route) -> str:
    return f"{route.method} {route.path}"


async def raw(api: Any, text: str, wait: float = 5) -> str:
    """Send bytes as they are; everything up to the end of the connection, or of the time."""
    host, _, port = api.server.http_url.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(text.encode("latin-1"))
    found = b""
    try:
        async with asyncio.timeout(wait):
            while chunk := await reader.read(65536):
                found += chunk
    except (TimeoutError, ConnectionError):
        pass
    await closed(writer)
    return found.decode("latin-1")


def test_the_table_names_each_route_once_with_a_known_role() -> None:
    keys = [(r.method, r.path) for r in ROUTES]
    assert len(keys) == len(set(keys))
    for route in ROUTES:
        assert route.role is None or route.role in ROLES, label(route)
        reads = route.method == "GET" or route.path == "/dns-query"
        assert reads or route.role != "viewer", f"{label(route)} changes something"
        assert route.handler.__doc__ or hasattr(route.handler, "func") or route.role is None, label(route)


def test_what_needs_no_token_is_the_page_and_the_login() -> None:
    assert {r.path for r in ROUTES if r.role is None} == {
        "/",
        "/assets/{name}",
        "/api/auth/login",
        "/api/auth/logout",
    }


async def test_without_a_token_every_route_by_every_method_is_refused(api: Any) -> None:
    for route in SECRETS:
        for method in ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"):
            for headers in ({}, {"Connection": "Upgrade", "Upgrade": "websocket"}, {"Authorization": "Basic Og=="}):
                status, _ = await api.call(method, path_of(route), token=None, **headers)
                assert status == 401, (method, route.path, headers)
    for path in ("/api", "/nothing", "/api/dns/../dns/status", "//api/dns/status", "/api/dns/status/", "/%2e%2e/x"):
        assert (await api.call("GET", path, token=None))[0] == 401, path


async def test_a_wrong_token_and_one_in_the_query_are_refused(api: Any) -> None:
    status, body = await api.call("GET", "/api/dns/status", token="wrong-token")
    assert (status, body["error"]["code"]) == (401, "unauthorized")
    for name in ("token", "access_token", "authorization"):
        assert (await api.call("GET", f"/api/dns/status?{name}={api.server.token}", token=None))[0] == 401


async def test_each_role_reaches_its_routes_and_no_others(api: Any) -> None:
    for role in ROLES:
        text = (await api.server.add_token(role + "-1", role))["token"]
        for route in SECRETS:
            if route.path == "/api/sse/stream":
                continue  # by channel, in test_streams
            if ROLES.index(role) < ROLES.index(route.role or "viewer"):
                status, body = await api.call(route.method, path_of(route), token=text)
                assert (status, body["error"]["code"]) == (403, "forbidden"), (role, label(route))
            elif route.method == "GET":
                status, _ = await api.call(route.method, path_of(route), token=text)
                assert status not in (401, 403), (role, label(route))


async def test_a_token_for_one_channel_gets_no_other_by_any_route(api: Any) -> None:
    made = await api.server.add_token("one-channel", "admin", ["dns/blacklist/"])
    allowed = set()
    for route in SECRETS:
        if route.path == "/api/sse/stream" or route.method == "DELETE":
            continue
        status, body = await api.call(route.method, path_of(route), token=made["token"])
        if status == 403:
            assert body["error"]["code"] == "forbidden", label(route)
        else:
            allowed.add(label(route))
    assert allowed == {
        "GET /api/dns/blacklist",
        "POST /api/dns/blacklist",
        "GET /api/system/health",
        "GET /api/auth/me",
    }
    assert set(CHANNEL_OF) <= {route.path for route in ROUTES}


async def test_a_foreign_host_is_refused_on_every_route(api: Any) -> None:
    for route in ROUTES:
        status, body = await api.call(route.method, path_of(route), Host="evil.example")
        assert (status, body["error"]["code"]) == (403, "foreign_host"), label(route)
    for host in ("localhost", "LOCALHOST.:99", "127.0.0.1:1", "[::1]:80"):
        assert (await api.call("GET", "/api/system/health", Host=host))[0] == 200, host


async def test_more_or_less_than_one_host_is_refused(api: Any) -> None:
    auth = f"Authorization: Bearer {api.server.token}\r\nConnection: close\r\n\r\n"
    for hosts in ("Host: localhost\r\nHost: evil.example\r\n", "Host: localhost\r\nHost: localhost\r\n", ""):
        answer = await raw(api, f"GET /api/dns/status HTTP/1.1\r\n{hosts}{auth}")
        assert re.match(r"HTTP/1\.[01] 400", answer), (hosts, answer[:100])


async def test_a_foreign_origin_is_refused_on_every_route_and_nothing_speaks_cors(api: Any) -> None:
    own = api.server.http_url
    for route in ROUTES:
        status, body = await api.call(route.method, path_of(route), Origin="http://evil.example")
        assert (status, body["error"]["code"]) == (403, "foreign_origin"), label(route)
    assert (await api.call("GET", "/api/system/health", Origin=own))[0] == 200
    assert (await api.call("GET", "/api/system/health", Origin="null"))[0] == 200
    for headers in ({}, {"Origin": own}, {"Origin": "null"}, {"Origin": "http://evil.example"}):
        async with api.session.options(
            own + "/api/dns/stop",
            headers=api.headers(None) | headers | {"Access-Control-Request-Method": "POST"},
        ) as response:
            assert response.status >= 400
            assert not [name for name in response.headers if name.lower().startswith("access-control")]


async def test_responses_carry_safe_headers(api: Any) -> None:
    for path in ("/api/dns/status", "/nothing", "/metrics"):
        async with api.session.get(api.server.http_url + path, headers=api.headers()) as response:
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")
            assert response.headers["Cache-Control"] == "no-store"
            assert response.headers["Server"] == "dnsnb"


# --- login cookies and forged requests ---


async def login(api: Any) -> str:
    async with api.session.post(
        api.server.http_url + "/api/auth/login",
        json={"token": api.server.token},
        headers={"Origin": api.server.http_url},
    ) as response:
        assert response.status == 204
        cookie = response.headers["Set-Cookie"]
    api.session.cookie_jar.clear()
    for word in ("HttpOnly", "SameSite=Strict", "Path=/", "Max-Age="):
        assert word in cookie
    assert api.server.token not in cookie
    return cookie.partition(";")[0]


async def test_a_login_cookie_reads_and_ends_with_the_logout(api: Any) -> None:
    cookie = await login(api)
    status, body = await api.call("GET", "/api/auth/me", token=None, Cookie=cookie)
    assert (status, body["role"]) == (200, "admin")
    own = {"Origin": api.server.http_url, "Cookie": cookie}
    assert (await api.call("POST", "/api/auth/logout", json={}, token=None, **own))[0] == 204
    assert (await api.call("GET", "/api/auth/me", token=None, Cookie=cookie))[0] == 401


async def test_a_change_with_only_a_cookie_must_be_json_from_our_own_page(api: Any) -> None:
    cookie = await login(api)
    own = api.server.http_url
    for route in SECRETS:
        if route.method == "GET":
            continue
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""):
            for origin in (own, "null", None):
                headers = {"Cookie": cookie} | ({"Content-Type": kind} if kind else {})
                headers |= {"Origin": origin} if origin else {}
                async with api.session.request(
                    route.method, own + path_of(route), data=b'{"names":["x.test"]}' if kind else None, headers=headers
                ) as response:
                    assert response.status in (403, 415), (label(route), kind, origin)
        async with api.session.request(
            route.method, own + path_of(route), json={}, headers={"Cookie": cookie}
        ) as response:
            assert response.status == 403, f"{label(route)}: JSON without an Origin"
    assert api.server.running
    status, _ = await api.call("POST", "/api/dns/stop", json={}, token=None, Cookie=cookie, Origin=own)
    assert status == 200
    assert not api.server.running


async def test_get_never_changes_anything(api: Any) -> None:
    await api.ask("www.example.org")
    before = (api.server.status(), api.server.policy.generation, len(api.server.engine.cache))
    for route in SECRETS:
        if route.method != "GET":
            status, _ = await api.call("GET", path_of(route))
            assert status in (200, 400, 405, 422), label(route)
    after = (api.server.status(), api.server.policy.generation, len(api.server.engine.cache))
    assert before == after


async def test_a_body_must_be_json_even_with_a_token(api: Any) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        async with api.session.post(
            api.server.http_url + "/api/dns/blacklist",
            data=b'{"names":["x.test"]}',
            headers=api.headers() | {"Content-Type": kind},
        ) as response:
            assert response.status == 415
    for body, status in ((b"{", 400), (b"[]", 422), (b'"x"', 422), (b"\xff", 400), (b"[" * 100_000, 400)):
        async with api.session.post(
            api.server.http_url + "/api/dns/blacklist",
            data=body,
            headers=api.headers() | {"Content-Type": "application/json"},
        ) as response:
            assert response.status == status, body[:10]
            assert "error" in await response.json()


async def test_a_body_has_a_limit(api: Any) -> None:
    names = ["x" * 60 + f".{n}.example" for n in range(80_000)]
    async with api.session.post(
        api.server.http_url + "/api/dns/blacklist",
        data=io.BytesIO(json.dumps({"names": names}).encode()),
        headers=api.headers() | {"Content-Type": "application/json"},
    ) as response:
        assert response.status == 413
        assert (await response.json())["error"]["code"] == "too_large"
    assert api.server.policy.lists["blacklist"].count == 1


@pytest.mark.parametrize(
    "path",
    [
        "/api/dns/status?verbose=1",
        "/api/dns/blacklist?limit=-1",
        "/api/dns/blacklist?limit=1e3",
        "/api/dns/blacklist?limit=%D9%A3",
        "/api/dns/log?limit=0",
        "/api/dns/log?before=x",
        "/api/dns/cache?limit=99999999",
        "/api/sse/stream?channel=dns/status",
        "/api/sse/stream?channels=nothing",
        "/api/sse/stream?channels=",
        "/api/sse/stream?batch=yes",
        "/api/sse/stream?filter=colour:red",
    ],
)
async def test_a_wrong_parameter_is_named(api: Any, path: str) -> None:
    status, body = await api.call("GET", path)
    assert status == 422
    assert body["error"]["code"] == "bad_setting"
    assert body["error"]["setting"] in path


async def test_wrong_tokens_from_one_address_are_slowed_down(api: Any) -> None:
    for _ in range(FAILURES_A_MINUTE):
        assert (await api.call("GET", "/api/dns/status", token="wrong-token"))[0] == 401
    async with api.session.get(api.server.http_url + "/api/dns/status", headers=api.headers("wrong-token")) as response:
        assert response.status == 429
        assert int(response.headers["Retry-After"]) > 0
    assert (await api.call("POST", "/api/auth/login", json={"token": api.server.token}, token=None))[0] == 429


async def test_static_files_give_away_nothing_else(api: Any) -> None:
    for name in (
        "..%2fpage.py",
        "%2e%2e%2fweb.py",
        "..%5cpage.py",
        "%2fetc%2fpasswd",
        "page.html",
        "x%00.js",
        "nope.js",
    ):
        status, body = await api.call("GET", f"/assets/{name}")
        assert status == 404, name
        assert "root:" not in str(body)


# --- what leaks ---


async def test_the_token_is_in_no_log_error_repr_or_answer(
    api: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    token = api.server.token
    seen = [repr(api.server), repr(api.server.settings), str(api.server.settings), repr(api.server.tokens)]

    def broken() -> dict[str, Any]:
        raise RuntimeError("broken on purpose")

    async with api.stream() as events:
        await events.of("dns/status")
        for route in SECRETS:
            if route.method == "GET" and route.path != "/api/sse/stream":
                seen.append(str(await api.call("GET", path_of(route))))
        monkeypatch.setattr(api.server, "status", broken)
        status, body = await api.call("GET", "/api/dns/status")
        assert (status, body["error"]["code"]) == (500, "internal")
        assert "on purpose" not in str(body)
        seen.append(str(events.seen))
    await api.call("POST", "/api/auth/login", json={"token": token}, token=None)
    await api.call("POST", "/api/auth/login", json={"token": token + "x"}, token=None)
    await raw(api, f"GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nbad header\r\n\r\n", 1)
    await raw(api, f"GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization : Bearer {token}\r\n\r\n", 1)
    assert "broken on purpose" in caplog.text  # in the log, with where it broke
    assert token not in caplog.text + "".join(seen)
    assert len(seen) > 15


# --- bytes that are no requests ---


@pytest.mark.parametrize(
    "text",
    [
        "GET / HTTP/1.1\r\nHost: localhost\r\nX: " + "a" * 20_000 + "\r\n\r\n",
        "GET /" + "a" * 20_000 + " HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        "GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
    ],
)
async def test_junk_is_refused_and_the_server_goes_on(api: Any, text: str) -> None:
    answer = await raw(api, text, 2)
    assert not answer or re.match(r"HTTP/1\.[01] 4\d\d", answer), answer[:100]
    assert "Traceback" not in answer
    assert (await api.call("GET", "/api/system/health"))[0] == 200


async def test_pipelined_requests_do_not_hold_up_dns(api: Any) -> None:
    one = f"GET /api/system/health HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {api.server.token}\r\n\r\n"
    last = one.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")
    flood = asyncio.create_task(raw(api, one * 2000 + last, 20))
    answer = await api.ask("www.example.org", 20)
    assert len(answer) > 40
    assert (await flood).count("HTTP/1.1 200") > 500
