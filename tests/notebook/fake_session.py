"""A session without a server: `Session`, `Client` and `SSEClient` as the live view uses them, driven by hand."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Any

import pandas as pd

from dnsnb import schema
from dnsnb.client.states import ChannelStates
from dnsnb.errors import CommandError


@dataclass
class Event:
    type: str
    data: dict[str, Any]
    timestamp: int = 0


class Handle:
    def __init__(self, close: Callable[[], None]) -> None:
        self.close = close


class FakeSSE:
    def __init__(self) -> None:
        self.handlers: list[tuple[str, Callable[[Event], None]]] = []
        self.watchers: list[Callable[..., None]] = []
        self.is_connected = True
        self.state = "open"
        self.states = ChannelStates()

    def current(self, channel: str) -> dict[str, Any] | None:
        return self.states.get(channel)

    def subscribe(self, pattern: str, handler: Callable[[Event], None]) -> Handle:
        entry = (pattern, handler)
        self.handlers.append(entry)
        return Handle(lambda: self.handlers.remove(entry))

    def on_connection_change(self, handler: Callable[..., None]) -> Handle:
        self.watchers.append(handler)
        return Handle(lambda: self.watchers.remove(handler))

    def emit(self, channel: str, data: dict[str, Any]) -> None:
        self.states.take(channel, data)
        for pattern, handler in list(self.handlers):
            if fnmatch(channel, pattern):
                handler(Event(channel, data))

    def connection(self, state: str, reason: str = "") -> None:
        self.state = state
        self.is_connected = state == "open"
        for handler in list(self.watchers):
            handler(state, reason)


class FakeClient:
    """Keeps one list in memory and answers like the HTTP API."""

    def __init__(self, sse: FakeSSE) -> None:
        self.sse = sse
        self.requests: list[tuple[str, str, Any]] = []
        self.threads: list[str] = []
        self.names: dict[str, list[str]] = {"blacklist": [], "whitelist": []}
        self.running = True

    def status(self) -> dict[str, Any]:
        return {
            "running": self.running,
            "dns": "127.0.0.1:5353",
            "http": "http://127.0.0.1:8053",
            "upstreams": [{"name": "192.0.2.53", "state": "up", "latency_ms": 12.0}],
            "block_mode": "null",
            "error": None,
            "version": 1,
        }

    def request(self, method: str, path: str, body: Any = None) -> Any:
        self.requests.append((method, path, body))
        self.threads.append(threading.current_thread().name)
        parts = path.split("?", maxsplit=1)[0].split("/")
        if parts[-1] in self.names:
            return self._edit(method, parts[-1], (body or {}).get("names") or [])
        if parts[-1] in ("start", "stop"):
            self.running = parts[-1] == "start"
            self.sse.emit("dns/status", self.status())
            return self.status()
        raise CommandError(404, "not_found", f"{path}: no such route")

    def _edit(self, method: str, which: str, names: list[str]) -> dict[str, Any]:
        held = self.names[which]
        for name in names:
            if " " in name or "!" in name:
                raise CommandError(422, "bad_name", f"{name!r} is not a domain name", "names[0]")
        answer: dict[str, Any] = {"list": which, "driver": "memory", "version": 1}
        if method == "POST":
            answer["added"] = [n for n in names if n not in held]
            held.extend(answer["added"])
        elif method == "DELETE":
            answer["removed"] = [n for n in names if n in held]
            for n in answer["removed"]:
                held.remove(n)
        answer |= {"count": len(held), "entries": [{"name": n} for n in reversed(held)]}
        if method != "GET":
            delta = {k: answer[k] for k in ("list", "version", "count", "added", "removed") if k in answer}
            self.sse.emit(f"dns/{which}/", delta)
        return answer


class FakeSession:
    def __init__(self, frame: pd.DataFrame | None = None) -> None:
        self.frame = schema.empty_frame() if frame is None else frame
        self.client = FakeClient(FakeSSE())
        self.name = "default"

    def __repr__(self) -> str:
        return "<Session default>"

    def greet(self) -> None:
        """What a server sends to a stream that has just opened."""
        sse = self.client.sse
        sse.emit("dns/status", self.client.status())
        for which in ("blacklist", "whitelist"):
            sse.emit(f"dns/{which}/", {"list": which, "driver": "memory", "version": 1, "count": 0, "entries": []})

    def rows(self, columns: schema.Columns) -> None:
        count = len(columns["time"])
        self.client.sse.emit("dns/log/event", {"columns": columns, "count": count, "dropped": 0})
