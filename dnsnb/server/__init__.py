"""The server: sockets, HTTP, the event stream, and who may use them. `Server` is loaded when it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dnsnb.server.server import Server

__all__ = ["Server"]


def __getattr__(name: str) -> Any:
    if name == "Server":
        from dnsnb.server.server import Server

        return Server
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
