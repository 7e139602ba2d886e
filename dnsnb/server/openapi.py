"""The API's description (OpenAPI 3.1), made of the table of routes and of what is said here about each; no I/O.

A test holds it against the routes: every route is here, with exactly the parameters that it takes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import dnsnb
from dnsnb.config import Settings
from dnsnb.dns.blocking import MODES
from dnsnb.schema import COLUMNS, STATUSES
from dnsnb.server.auth import ROLES
from dnsnb.server.list_source import KEYS
from dnsnb.server.logexport import EXPORTS
from dnsnb.server.logquery import FILTERS
from dnsnb.server.web import Route

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
COUNT: Schema = {"type": "integer", "minimum": 0}
OBJECT: Schema = {"type": "object"}
BOOLEAN: Schema = {"type": "boolean"}
NAMES: Schema = {"type": "array", "items": TEXT, "maxItems": 100_000}


def _integer(low: int, high: int) -> Schema:
    return {"type": "integer", "minimum": low, "maximum": high}


def _one_of(*words: str) -> Schema:
    return {"type": "string", "enum": list(words)}


def _object(required: Iterable[str] = (), **properties: Schema) -> Schema:
    found: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return found | ({"required": sorted(required)} if required else {})


class Operation(NamedTuple):
    """What is said of one route beside its handler's docstring: query parameters, body, and what it answers."""

    query: Mapping[str, Schema] = MappingProxyType({})
    body: Schema | None = None
    answer: Schema | str | None = OBJECT  # a schema of JSON, a content type, or None for 204
    required: tuple[str, ...] = ()


_FILTERS: dict[str, Schema] = dict.fromkeys(FILTERS, TEXT) | {
    "last": {"type": "string", "pattern": r"^\d+(\.\d+)?[smhdw]$", "examples": ["15m", "1h"]},
    "name": {"type": "string", "examples": ["example.com", "*.example.com", "/^ads/"]},
    "status": {"type": "string", "description": f"any of {', '.join(STATUSES)}, separated by commas"},
    "slower": {"type": "number", "minimum": 0},
    "faster": {"type": "number", "minimum": 0},
}
_STATUS = {"$ref": "#/components/schemas/Status"}
_LIST = {"$ref": "#/components/schemas/List"}
_LOG = {"$ref": "#/components/schemas/LogPage"}
_PAGE: dict[str, Schema] = {"limit": _integer(0, 10_000), "search": TEXT}
_SOURCE = _object(**{key: {} for key in KEYS})
_SOURCE_NAMED = _SOURCE | {"required": ["name"]}
_EDIT = Operation(body=_object(["names"], names=NAMES), answer=_LIST)
_REMOVAL = Operation({"name": TEXT}, body=_object(names=NAMES), answer=_LIST)
_READ_LIST = Operation(_PAGE, answer=_LIST)
_RECORD = _object(["name", "type", "data"], name=TEXT, type=TEXT, data=TEXT, ttl=COUNT)

OPERATIONS: dict[tuple[str, str], Operation] = {
    ("GET", "/api/sse/stream"): Operation(
        dict.fromkeys(("channels", "filter", "last_event_id"), TEXT) | {"batch": _one_of("0", "1")},
        answer="text/event-stream",
    ),
    ("GET", "/api/dns/status"): Operation(answer=_STATUS),
    ("POST", "/api/dns/start"): Operation(answer=_STATUS),
    ("POST", "/api/dns/stop"): Operation(answer=_STATUS),
    ("POST", "/api/dns/toggle"): Operation(answer=_STATUS),
    ("GET", "/api/dns/blacklist"): _READ_LIST,
    ("POST", "/api/dns/blacklist"): _EDIT,
    ("DELETE", "/api/dns/blacklist"): _REMOVAL,
    ("GET", "/api/dns/whitelist"): _READ_LIST,
    ("POST", "/api/dns/whitelist"): _EDIT,
    ("DELETE", "/api/dns/whitelist"): _REMOVAL,
    ("GET", "/api/dns/log"): Operation(
        {
            "limit": _integer(1, 10_000),
            "before": _integer(1, 1 << 53),
            "after": _integer(0, 1 << 53),
            "order": _one_of("newest", "oldest"),
            **_FILTERS,
        },
        answer=_LOG,
    ),
    ("GET", "/api/dns/log/export"): Operation(
        {"format": _one_of(*EXPORTS), "guard": _one_of("1", "0"), **_FILTERS}, answer="application/octet-stream"
    ),
    ("GET", "/api/dns/cache"): Operation(_PAGE),
    ("DELETE", "/api/dns/cache"): Operation({"name": TEXT, "suffix": TEXT}),
    ("PATCH", "/api/dns/config"): Operation(body={"$ref": "#/components/schemas/Settings"}),
    ("GET", "/metrics"): Operation(answer="text/plain"),
    ("GET", "/dns-query"): Operation({"dns": TEXT}, answer="application/dns-message", required=("dns",)),
    ("POST", "/dns-query"): Operation(body={"type": "string", "format": "binary"}, answer="application/dns-message"),
    ("POST", "/api/auth/login"): Operation(body=_object(["token"], token=TEXT), answer=None),
    ("POST", "/api/auth/logout"): Operation(answer=None),
    ("POST", "/api/auth/tokens"): Operation(
        body=_object(["name"], name=TEXT, role=_one_of(*ROLES), channels={"type": "array", "items": TEXT})
    ),
    ("DELETE", "/api/auth/tokens"): Operation({"name": TEXT}, required=("name",)),
    ("POST", "/api/dns/lists"): Operation(body=_SOURCE_NAMED),
    ("PATCH", "/api/dns/lists"): Operation(body=_SOURCE_NAMED),
    ("DELETE", "/api/dns/lists"): Operation({"name": TEXT}, required=("name",)),
    ("POST", "/api/dns/lists/refresh"): Operation(body=_object(name=TEXT)),
    ("POST", "/api/dns/lists/preview"): Operation(body=_SOURCE),
    ("GET", "/api/dns/lists/entries"): Operation(
        {"name": TEXT, "search": TEXT, "limit": _integer(1, 10_000)}, required=("name",)
    ),
    ("GET", "/api/dns/lists/hits"): Operation({"name": TEXT, "limit": _integer(1, 10_000)}),
    ("POST", "/api/dns/clients"): Operation(
        body=_object(clients={"type": "array", "items": OBJECT}, groups={"type": "array", "items": OBJECT})
    ),
    ("DELETE", "/api/dns/clients"): Operation({"name": TEXT}, required=("name",)),
    ("GET", "/api/dns/records"): Operation({"search": TEXT, "limit": _integer(1, 100_000)}),
    ("POST", "/api/dns/records"): Operation(body=_object(["records"], records={"type": "array", "items": _RECORD})),
    ("DELETE", "/api/dns/records"): Operation(dict.fromkeys(("name", "type", "data"), TEXT), required=("name",)),
    ("POST", "/api/dns/pause"): Operation(body=_object(seconds={"type": "number"}, client=TEXT)),
    ("DELETE", "/api/dns/pause"): Operation({"client": TEXT}),
    ("GET", "/api/dns/test"): Operation(
        dict.fromkeys(("name", "type", "client"), TEXT) | {"upstreams": _one_of("1", "0")}, required=("name",)
    ),
    ("GET", "/api/system/archive"): Operation(answer="application/zip"),
    ("POST", "/api/system/archive"): Operation(body={"type": "string", "format": "binary"}),
}


def document(routes: Iterable[Route], url: str = "/") -> dict[str, Any]:
    """Return the OpenAPI document of some routes; pages for people are left out."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        if route.path.startswith("/api/") or (route.method, route.path) in OPERATIONS:
            operation = OPERATIONS.get((route.method, route.path), Operation())
            paths.setdefault(route.path, {})[route.method.lower()] = _describe(route, operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "dnsnb",
            "version": dnsnb.__version__,
            "summary": "A DNS server's state, log, lists and settings, and its event stream.",
            "license": {"name": "BSD-3-Clause", "identifier": "BSD-3-Clause"},
        },
        "servers": [{"url": url}],
        "security": [{"token": []}, {"cookie": []}],
        "paths": paths,
        "components": {"securitySchemes": _SECURITY, "schemas": _schemas(), "responses": _ERRORS},
    }


_SECURITY = {
    "token": {"type": "http", "scheme": "bearer"},
    "cookie": {"type": "apiKey", "in": "cookie", "name": "dnsnb_<port>"},
}
_ERROR_TEXTS = {
    "400": "the request can't be read",
    "401": "a token is needed, or it is not known",
    "403": "the token's role does not reach, or Host or Origin is foreign",
    "404": "there is no such thing",
    "413": "the body is too large",
    "415": "the body is of another content type",
    "422": "a value is wrong; `setting` names it",
    "429": "too many wrong tokens came from this address",
    "503": "it can't be done now; nothing was changed",
}
_ERRORS: dict[str, Any] = {
    f"Error{status}": {
        "description": text,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }
    for status, text in _ERROR_TEXTS.items()
}


def _describe(route: Route, operation: Operation) -> dict[str, Any]:
    text = _docstring(route.handler)
    told: dict[str, Any] = {
        "operationId": f"{route.method.lower()}{route.path.replace('/', '_').replace('-', '_')}",
        "summary": text.split("\n", 1)[0],
        "description": f"{text}\n\nNeeds the role {route.role}." if route.role else text,
        "responses": _responses(operation),
    }
    if route.role is None:
        told["security"] = []
    parameters = [
        {"name": name, "in": "query", "required": name in operation.required, "schema": schema}
        for name, schema in operation.query.items()
    ]
    if parameters:
        told["parameters"] = parameters
    if operation.body is not None:
        needed = bool(operation.body.get("required")) or operation.body.get("format") == "binary"
        told["requestBody"] = {"required": needed, "content": {route.content_type: {"schema": operation.body}}}
    return told


def _responses(operation: Operation) -> dict[str, Any]:
    errors = {status: {"$ref": f"#/components/responses/Error{status}"} for status in _ERROR_TEXTS}
    if operation.answer is None:
        return {"204": {"description": "done"}, **errors}
    if isinstance(operation.answer, str):
        return {"200": {"description": "the content", "content": {operation.answer: {}}}, **errors}
    return {"200": {"description": "done", "content": {"application/json": {"schema": operation.answer}}}, **errors}


def _docstring(handler: Any) -> str:
    inner = getattr(handler, "func", handler)
    return "\n".join(line.strip() for line in (inner.__doc__ or "").strip().splitlines())


def _schemas() -> dict[str, Any]:
    """Return the schemas that several answers share. Those of answers say what is there, and allow more."""
    settings = Settings.model_json_schema(ref_template="#/components/schemas/{model}")
    properties = {key: {"anyOf": [value, {"type": "null"}]} for key, value in settings["properties"].items()}
    for key in ("token", "folder"):
        del properties[key]
    kinds = {
        "time": {"type": "integer", "description": "µs since the epoch"},
        "float32": {"type": "number"},
        "list": {"type": "array", "items": TEXT},
    }
    whole = {"int16": {"type": "integer"}, "int32": {"type": "integer"}, "int64": {"type": "integer"}}
    columns = {
        c.name: {
            "type": "array",
            "description": c.meaning,
            "items": {"anyOf": [(kinds | whole).get(c.kind, TEXT), {"type": "null"}]},
        }
        for c in COLUMNS
    }
    entries = {"type": "array", "items": {"type": "object", "required": ["name", "added"]}}
    return {
        "Error": {
            "type": "object",
            "required": ["error"],
            "properties": {
                "error": {
                    "type": "object",
                    "required": ["code", "message"],
                    "properties": {"code": TEXT, "message": TEXT, "setting": TEXT},
                }
            },
        },
        "Settings": {"type": "object", "properties": properties, "additionalProperties": False},
        "Status": {
            "type": "object",
            "required": ["running", "dns", "http", "started", "upstreams", "block_mode", "allow_only", "version"],
            "properties": {
                "running": BOOLEAN, "dns": TEXT, "http": TEXT, "started": COUNT, "allow_only": BOOLEAN,
                "upstreams": {"type": "array", "items": {"type": "object", "required": ["name", "state"]}},
                "block_mode": _one_of(*MODES), "error": {"type": ["string", "null"]}, "version": COUNT,
                "dns_also": {"type": "array", "items": TEXT},
                "tls_dns": {"type": ["string", "null"]}, "fingerprint": {"type": ["string", "null"]},
            },
        },
        "List": {
            "type": "object",
            "required": ["list", "driver", "version", "count", "entries"],
            "properties": {"list": TEXT, "driver": TEXT, "version": COUNT, "count": COUNT, "entries": entries},
        },
        "LogPage": {
            "type": "object",
            "required": ["driver", "count", "dropped", "columns", "next"],
            "properties": {
                "driver": TEXT, "count": COUNT, "dropped": COUNT, "next": {"type": ["integer", "null"]},
                "columns": {"type": "object", "properties": columns, "additionalProperties": False},
            },
        },
    }  # fmt: skip
