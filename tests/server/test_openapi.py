"""The API's description against the API: every route, its parameters, its answers; and no input that is a 500."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dnsnb.server.openapi import OPERATIONS, document
from dnsnb.server.routes import ROUTES
from dnsnb.server.server import Server
from dnsnb.simulate import Upstream

DOCUMENT = document(ROUTES)
API = [r for r in ROUTES if r.path.startswith("/api/") or r.path in ("/metrics", "/dns-query")]
ENDLESS = {("GET", "/api/sse/stream")}
OPERATION_LIST = [
    (method.upper(), path, operation) for path, item in DOCUMENT["paths"].items() for method, operation in item.items()
]
IDS = [f"{method} {path}" for method, path, _ in OPERATION_LIST]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with (
        Upstream(latency_ms=0) as up,
        Server(upstreams=[up.address], folder=tmp_path, log_driver="sqlite", list_folders=[str(tmp_path)]) as made,
    ):
        yield made


async def call(server: Server, method: str, path: str, **how: Any) -> tuple[int, str, bytes]:
    headers = {"Authorization": f"Bearer {server.token}"} | how.pop("headers", {})
    async with (
        aiohttp.ClientSession() as http,
        http.request(method, server.http_url + path, headers=headers, allow_redirects=False, **how) as response,
    ):
        return response.status, response.content_type, await response.read()


def resolved(schema: Any) -> Any:
    while isinstance(schema, dict) and "$ref" in schema:
        *_, kind, name = schema["$ref"].split("/")
        schema = DOCUMENT["components"][kind][name]
    return schema


def test_every_route_is_described_and_nothing_else() -> None:
    described = {(method, path) for method, path, _ in OPERATION_LIST}
    assert described == {(r.method, r.path) for r in API}
    assert set(OPERATIONS) <= described
    assert DOCUMENT["openapi"] == "3.1.0"
    ids = [operation["operationId"] for _, _, operation in OPERATION_LIST]
    assert len(set(ids)) == len(ids)
    for _, path, operation in OPERATION_LIST:
        assert operation["summary"], path
        assert {"401", "403", "422"} <= set(operation["responses"])


def test_every_reference_leads_somewhere() -> None:
    text = json.dumps(DOCUMENT)
    for part in text.split('"$ref": "')[1:]:
        assert resolved({"$ref": part.split('"')[0]})


@pytest.mark.parametrize(("method", "path", "operation"), OPERATION_LIST, ids=IDS)
async def test_a_route_takes_exactly_the_parameters_that_are_described(
    server: Server, method: str, path: str, operation: Any
) -> None:
    """A route says which parameters it knows when it is given another."""
    body: dict[str, Any] = {}
    content = next(iter(operation.get("requestBody", {}).get("content", {})), "application/json")
    if content != "application/json":
        body = {"data": b"x", "headers": {"Content-Type": content}}
    elif method != "GET":
        body = {"json": {}}
    status, _, raw = await call(server, method, f"{path}?no_such_parameter=1", **body)
    error = json.loads(raw)["error"]
    assert (status, error["setting"]) == (422, "no_such_parameter"), raw
    known = error["message"].partition("this route knows ")[2]
    assert {name for name in known.split(", ") if name} == {p["name"] for p in operation.get("parameters", ())}


READS = [(m, p, o) for m, p, o in OPERATION_LIST if m == "GET" and (m, p) not in ENDLESS and p != "/dns-query"]


@pytest.mark.parametrize(("method", "path", "operation"), READS, ids=[p for _, p, _ in READS])
async def test_an_answer_is_as_described(server: Server, method: str, path: str, operation: Any) -> None:
    given: dict[str, str] = {"name": "blacklist" if "/lists/" in path else "localhost"}
    query = "&".join(f"{p['name']}={given[p['name']]}" for p in operation.get("parameters", ()) if p["required"])
    status, content_type, raw = await call(server, method, f"{path}?{query}")
    assert status == 200, raw
    [(described, media)] = operation["responses"]["200"]["content"].items()
    if described != "application/json":
        assert content_type == described or path == "/api/dns/log/export"
        return
    schema = resolved(media["schema"])
    answer = json.loads(raw)
    assert isinstance(answer, dict)
    assert set(schema.get("required", ())) <= set(answer)
    if schema.get("properties"):
        assert set(answer) <= set(schema["properties"])
        for key, value in schema["properties"].items():
            if value.get("type") in ("string", "boolean", "array", "object") and key in answer:
                kind = {"string": str, "boolean": bool, "array": list, "object": dict}[value["type"]]
                assert isinstance(answer[key], kind), key


def test_a_client_has_a_method_for_each_route() -> None:
    import ast

    import dnsnb.client

    for_browsers = {"/api/auth/login", "/api/auth/logout", "/api/sse/stream"}  # the last is SSEClient's
    written = set()
    for path in Path(dnsnb.client.__path__[0]).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                written.add(node.value.rstrip("?/"))
    missing = {r.path for r in API if r.path.startswith("/api/")} - written - for_browsers
    assert not missing


# --- no input is a 500 ---

TEXTS = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        ["", "0", "-1", "1e999", "9" * 30, "example.com", "..", "/(/", "*" * 40, "\x00", "blacklist", "127.0.0.1",
         "2026-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59", "99999h", "http://127.0.0.1:1/x", "file:///etc/passwd",
         "../../x", "ANY", "TYPE65536", "\udcff".encode("utf-8", "replace").decode(), "a" * 300]
    ),
)  # fmt: skip
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False), TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4)),
    max_leaves=8,
)


def body_of(operation: Any) -> st.SearchStrategy[Any]:
    described = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if described is None:
        return st.none()
    properties = resolved(described["schema"]).get("properties", {})
    shaped = st.dictionaries(st.sampled_from(sorted(properties)), JSON, max_size=5) if properties else JSON
    return st.one_of(shaped, shaped, JSON)


def query_of(operation: Any) -> st.SearchStrategy[Any]:
    names = [p["name"] for p in operation.get("parameters", ())]
    return st.dictionaries(st.sampled_from(names), TEXTS, max_size=4) if names else st.just({})


def sendable(value: Any) -> bool:
    try:
        json.dumps(value).encode()
        return "\\ud" not in json.dumps(value)
    except ValueError:
        return False


@pytest.mark.slow
@settings(max_examples=5, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_input_is_a_server_error(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Each example sends a made-up request to every route of one server."""
    requests = []
    for method, path, operation in OPERATION_LIST:
        if (method, path) in ENDLESS:
            continue
        query, body = data.draw(query_of(operation)), data.draw(body_of(operation))
        requests.append((method, path, query, body if sendable(body) else None))

    async def send() -> None:
        folder = tmp_path_factory.mktemp("fuzz")
        async with Upstream(latency_ms=0) as up, Server(upstreams=[up.address], folder=folder) as server:
            for method, path, query, body in requests:
                clean = {k: v.encode("utf-8", "replace").decode() for k, v in query.items()}
                async with asyncio.timeout(20):
                    status, _, raw = await call(server, method, path, params=clean, json=body)
                assert status != 500, (method, path, query, body, raw)
                assert status < 400 or json.loads(raw)["error"]["code"], raw
            assert server.running or ("POST", "/api/dns/stop") in {r[:2] for r in requests}

    asyncio.run(send())


async def test_garbage_bodies_are_no_server_error(server: Server) -> None:
    chance = random.Random(7)
    bodies = [b"", b"{", b"[]", b"null", b'"x"', b"1e999", b"[" * 5000, b"\xff\xfe", chance.randbytes(500)]
    for method, path, operation in OPERATION_LIST:
        if method == "GET":
            continue
        content = next(iter(operation.get("requestBody", {}).get("content", {})), "application/json")
        for body in bodies:
            status, _, raw = await call(server, method, path, data=body, headers={"Content-Type": content})
            assert status != 500, (method, path, body, raw)
