"""The routes of the policy: lists, clients, local records, pauses, and why a name is answered as it is.

Rows as in web.ROUTES: (method, path, handler, role). `server` has `policy`, `policy_keeper`, `engine` and `hits`.
"""

from __future__ import annotations

import asyncio
import functools
import time
from typing import TYPE_CHECKING, Any

from aiohttp import web

from dnsnb.dns import listanalytics
from dnsnb.dns.explain import Explanation, add_lines, explain, judge_answer, parse_question
from dnsnb.dns.reading import read_answer
from dnsnb.dns.rules import Verdict
from dnsnb.dns.wire import Question, make_query, rcode_text
from dnsnb.errors import CommandError, SettingError
from dnsnb.server.fetch import FetchError
from dnsnb.server.lists import PAUSE_S
from dnsnb.server.web import Route, only, read_int, read_json

if TYPE_CHECKING:
    from dnsnb.dns.upstream import Target
    from dnsnb.server.server import Server

ASK_S = 3.0
MAX_ASKED = 16

_pause = functools.partial(time.sleep, PAUSE_S)


# --- lists ---


async def get_lists(server: Server, request: web.Request) -> dict[str, Any]:
    """Every list: settings, counts, load report, error, hits."""
    only(request)
    shown = server.policy_keeper.lists.statuses()
    for item in shown:
        item["hits"] = server.hits.lists[item["name"]]
    function = server.policy.function
    return {
        "lists": shown,
        "generation": server.policy.generation,
        "allow_only": server.policy.allow_only,
        "paused": _paused(server),
        "function": None if function is None else function.as_dict(),
    }


async def add_list(server: Server, request: web.Request) -> dict[str, Any]:
    """Add a list, or give one another source."""
    only(request)
    body = await read_json(request)
    try:
        return await server.policy_keeper.lists.add(body)
    except FetchError as error:
        raise SettingError("list.url", body.get("url"), str(error)) from None


async def change_list(server: Server, request: web.Request) -> dict[str, Any]:
    """Switch a list on or off, change when it holds or is refreshed."""
    only(request)
    body = await read_json(request)
    return await server.policy_keeper.lists.change(_text(body.pop("name", None), "name"), body)


async def remove_list(server: Server, request: web.Request) -> dict[str, Any]:
    """Take a list away."""
    only(request, "name")
    name = _text(request.query.get("name"), "name")
    _known_list(server, name)
    await server.policy_keeper.lists.remove(name)
    return {"removed": name, "generation": server.policy.generation}


async def refresh_lists(server: Server, request: web.Request) -> dict[str, Any]:
    """Look whether a list (or all of them) has changed."""
    only(request)
    body = await read_json(request)
    names = [_text(body["name"], "name")] if "name" in body else list(server.policy_keeper.lists.states)
    return {"lists": [await server.policy_keeper.lists.refresh(name) for name in names]}


async def preview_list(server: Server, request: web.Request) -> dict[str, Any]:
    """What a list would add, before it is added."""
    only(request)
    body = await read_json(request)
    try:
        content = await server.policy_keeper.lists.preview(body)
    except FetchError as error:
        raise SettingError("list.url", body.get("url"), str(error)) from None
    return await asyncio.to_thread(listanalytics.would_add, server.policy, content, _pause)


async def get_entries(server: Server, request: web.Request) -> dict[str, Any]:
    """Names of a list, searched."""
    only(request, "name", "search", "limit")
    item = _known_list(server, _text(request.query.get("name"), "name"))
    limit = read_int(request, "limit", 100, 1, 10_000)
    found = await asyncio.to_thread(listanalytics.entries, item, request.query.get("search", ""), limit)
    return {"list": item.name, "version": item.version, "count": item.count, "entries": found}


async def get_overlap(server: Server, request: web.Request) -> dict[str, Any]:
    """What only one list catches, and what lists have in common."""
    only(request)
    return await asyncio.to_thread(listanalytics.overlap, server.policy, _pause)


async def get_hits(server: Server, request: web.Request) -> dict[str, Any]:
    """Hits per list and rule; with `name`, that list's rules that never hit."""
    only(request, "name", "limit")
    limit = read_int(request, "limit", 100, 1, 10_000)
    told: dict[str, Any] = {
        "lists": dict(server.hits.lists.most_common()),
        "rules": server.hits.top(limit),
        "dropped": server.hits.dropped,
    }
    if "name" in request.query:
        item = _known_list(server, request.query["name"])
        told["never"] = await asyncio.to_thread(listanalytics.never_hit, item, server.hits, limit, _pause)
    return told


# --- clients ---


async def get_clients(server: Server, request: web.Request) -> dict[str, Any]:
    """Clients and groups."""
    only(request)
    return {**server.policy.directory.as_dict(), "generation": server.policy.generation}


async def set_clients(server: Server, request: web.Request) -> dict[str, Any]:
    """Take clients and groups for all there were; the part that is left out stays as it is."""
    only(request)
    body = await read_json(request)
    held = server.policy.directory.as_dict()
    for key in body:
        if key not in held:
            raise SettingError(key, body[key], "not known; there are clients and groups")
    held |= body
    for key, value in held.items():
        if not isinstance(value, list):
            raise SettingError(key, value, "must be a list")
    await server.policy_keeper.set_directory(held["clients"], held["groups"])
    return {**server.policy.directory.as_dict(), "generation": server.policy.generation}


async def remove_client(server: Server, request: web.Request) -> dict[str, Any]:
    """Take a client or a group away by its name."""
    only(request, "name")
    name = _text(request.query.get("name"), "name")
    held = server.policy.directory.as_dict()
    left = {key: [item for item in value if item["name"] != name] for key, value in held.items()}
    if left == held:
        raise CommandError(404, "not_found", f"no client or group is named {name!r}", "name")
    for group in left["groups"]:
        group["members"] = [member for member in group["members"] if member != name]
    await server.policy_keeper.set_directory(left["clients"], left["groups"])
    return {**server.policy.directory.as_dict(), "removed": name, "generation": server.policy.generation}


# --- local records ---


async def get_records(server: Server, request: web.Request) -> dict[str, Any]:
    """Local records."""
    only(request, "search", "limit")
    limit = read_int(request, "limit", 1000, 1, 100_000)
    wanted = request.query.get("search", "").lower()
    records = server.policy.local.records
    found = [r._asdict() for r in records if wanted in r.name.lower() or wanted in r.data.lower()]
    return {"count": len(records), "generation": server.policy.generation, "records": found[:limit]}


async def add_records(server: Server, request: web.Request) -> dict[str, Any]:
    """Add local records, all or nothing."""
    only(request)
    body = await read_json(request)
    records = body.get("records", [body])
    if not isinstance(records, list):
        raise SettingError("records", records, "a list of records with name, type, data and ttl")
    added = await server.policy_keeper.add_records(records)
    shown = [record._asdict() for record in added]
    return {"count": len(server.policy.local), "generation": server.policy.generation, "added": shown}


async def remove_records(server: Server, request: web.Request) -> dict[str, Any]:
    """Take local records away by name, and type, and data."""
    only(request, "name", "type", "data")
    name = _text(request.query.get("name"), "name")
    gone = await server.policy_keeper.remove_records(name, request.query.get("type"), request.query.get("data"))
    shown = [record._asdict() for record in gone]
    return {"count": len(server.policy.local), "generation": server.policy.generation, "removed": shown}


# --- pauses ---


async def get_pause(server: Server, request: web.Request) -> dict[str, Any]:
    """Who is let off the lists, and until when."""
    only(request)
    return {"paused": _paused(server), "generation": server.policy.generation}


async def set_pause(server: Server, request: web.Request) -> dict[str, Any]:
    """Let lists rest for `seconds`, for everybody or for `client` (an address, a client's or a group's name)."""
    only(request)
    body = await read_json(request)
    for key in body:
        if key not in ("seconds", "client"):
            raise SettingError(key, body[key], "not known; there are seconds and client")
    who = body.get("client")
    server.policy.pause(body.get("seconds", 300), None if who is None else _text(who, "client"))
    return {"paused": _paused(server), "generation": server.policy.generation}


async def end_pause(server: Server, request: web.Request) -> dict[str, Any]:
    """End a pause."""
    only(request, "client")
    ended = server.policy.resume(request.query.get("client"))
    return {"ended": ended, "paused": _paused(server), "generation": server.policy.generation}


# --- why ---


async def test_name(server: Server, request: web.Request) -> dict[str, Any]:
    """Explain a question: each step, every rule that matches, and what each upstream says (unless `upstreams=0`)."""
    only(request, "name", "type", "client", "upstreams")
    question = parse_question(_text(request.query.get("name"), "name"), request.query.get("type", "A"))
    client = request.query.get("client", "127.0.0.1")
    told = explain(server.policy, question, client, server.engine)
    await asyncio.to_thread(add_lines, server.policy, told)
    if request.query.get("upstreams", "1") != "0":
        listed = next(step for step in told.steps if step.step == "lists")
        verdict = Verdict(listed.verdict, listed.list, listed.rule)
        question = question._replace(view=server.policy.rules_for(client).view)
        targets = server.engine.forwarder.targets_for(question)[:MAX_ASKED]
        told.upstreams = list(await asyncio.gather(*(_ask(server, t, question, client, verdict) for t in targets)))
        _settle(told)
    return told.as_dict()


async def _ask(server: Server, target: Target, question: Question, client: str, verdict: Verdict) -> dict[str, Any]:
    loop = asyncio.get_running_loop()
    came: asyncio.Future[tuple[bytes | None, str]] = loop.create_future()

    def done(message: bytes | None, why: str) -> None:
        if not came.done():
            came.set_result((message, why))

    began = time.perf_counter()
    told: dict[str, Any] = {
        "upstream": target.name,
        "rcode": None,
        "answers": [],
        "ms": None,
        "error": None,
        "verdict": "none",
    }
    query = make_query(question.qname, question.qtype)
    target.upstream.send(query, done, server.engine.clock() + ASK_S)
    try:
        async with asyncio.timeout(ASK_S):
            message, why = await came
    except TimeoutError:
        return told | {"error": f"no answer within {ASK_S:g} s"}
    told["ms"] = round((time.perf_counter() - began) * 1000, 2)
    if message is None:
        return told | {"error": why}
    try:
        answer = read_answer(message, question)
    except ValueError as error:
        return told | {"error": str(error)}
    judged = judge_answer(server.policy, client, verdict, answer)
    told |= {"rcode": rcode_text(answer.rcode), "answers": answer.texts()[:50], "ttl": answer.ttl}
    return told | {"verdict": judged.action, "list": judged.list, "rule": judged.rule}


def _settle(told: Explanation) -> None:
    if not told.decided and told.upstreams:
        blocked = next((u for u in told.upstreams if u["verdict"] == "block"), None)
        told.decided = "answer" if blocked else "upstream"
        told.verdict = "block" if blocked else told.verdict if told.verdict == "allow" else "forward"


def _paused(server: Server) -> list[dict[str, Any]]:
    paused: list[dict[str, Any]] = server.policy.summary()["paused"]
    return paused


def _known_list(server: Server, name: str) -> Any:
    if name not in server.policy.lists:
        raise CommandError(404, "not_found", f"no list is named {name!r}", "name")
    return server.policy.lists[name]


def _text(value: object, setting: str) -> str:
    if not isinstance(value, str) or not value:
        raise SettingError(setting, value, "is needed, as text")
    return value


ROUTES: tuple[Route, ...] = (
    Route("GET", "/api/dns/lists", get_lists),
    Route("POST", "/api/dns/lists", add_list, "operator"),
    Route("PATCH", "/api/dns/lists", change_list, "operator"),
    Route("DELETE", "/api/dns/lists", remove_list, "operator"),
    Route("POST", "/api/dns/lists/refresh", refresh_lists, "operator"),
    Route("POST", "/api/dns/lists/preview", preview_list, "operator"),
    Route("GET", "/api/dns/lists/entries", get_entries),
    Route("GET", "/api/dns/lists/overlap", get_overlap),
    Route("GET", "/api/dns/lists/hits", get_hits),
    Route("GET", "/api/dns/clients", get_clients),
    Route("POST", "/api/dns/clients", set_clients, "operator"),
    Route("DELETE", "/api/dns/clients", remove_client, "operator"),
    Route("GET", "/api/dns/records", get_records),
    Route("POST", "/api/dns/records", add_records, "operator"),
    Route("DELETE", "/api/dns/records", remove_records, "operator"),
    Route("GET", "/api/dns/pause", get_pause),
    Route("POST", "/api/dns/pause", set_pause, "operator"),
    Route("DELETE", "/api/dns/pause", end_pause, "operator"),
    Route("GET", "/api/dns/test", test_name),
)
