"""A DNS observatory in a notebook.

`start()` gives a DNS server with a live dashboard and its query log as a frame; `read_log()` gives the same frame for
the log of any other DNS system. Everything is loaded when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

#: public name -> the module that has it
_DOORS = {
    "start": "dnsnb.notebook.doors",
    "connect": "dnsnb.notebook.doors",
    "sessions": "dnsnb.notebook.doors",
    "Session": "dnsnb.notebook.session",
    "Client": "dnsnb.client.client",
    "SSEClient": "dnsnb.client.sse_client",
    "LiveFrame": "dnsnb.client.liveframe",
    "Dashboard": "dnsnb.notebook.dashboard",
    "Server": "dnsnb.server.server",
    "Settings": "dnsnb.config",
    "read_log": "dnsnb.formats",
    "scan_log": "dnsnb.formats",
    "follow": "dnsnb.formats",
    "listen": "dnsnb.formats",
    "FORMATS": "dnsnb.formats",
    "replay": "dnsnb.analysis",
    "summary": "dnsnb.analysis",
    "compare": "dnsnb.analysis",
    "pseudonymise": "dnsnb.analysis",
}
_FRAMES = ("read_log", "scan_log", "simulate")
_ROOMS = ("analysis", "simulate", "formats", "errors", "schema")

if TYPE_CHECKING:
    from dnsnb import analysis as analysis
    from dnsnb import errors as errors
    from dnsnb import formats as formats
    from dnsnb import schema as schema
    from dnsnb import simulate as simulate
    from dnsnb.analysis.compare import compare as compare
    from dnsnb.analysis.pseudonyms import pseudonymise as pseudonymise
    from dnsnb.analysis.summary import summary as summary
    from dnsnb.analysis.what_if import replay as replay
    from dnsnb.client.client import Client as Client
    from dnsnb.client.liveframe import LiveFrame as LiveFrame
    from dnsnb.client.sse_client import SSEClient as SSEClient
    from dnsnb.config import Settings as Settings
    from dnsnb.formats import FORMATS as FORMATS
    from dnsnb.formats import follow as follow
    from dnsnb.formats import listen as listen
    from dnsnb.formats import read_log as read_log
    from dnsnb.formats import scan_log as scan_log
    from dnsnb.notebook.dashboard import Dashboard as Dashboard
    from dnsnb.notebook.doors import connect as connect
    from dnsnb.notebook.doors import sessions as sessions
    from dnsnb.notebook.doors import start as start
    from dnsnb.notebook.session import Session as Session
    from dnsnb.server.server import Server as Server


def give_analyses() -> None:
    """Let pandas frames have `.dns`, the analyses as methods. Called when the first frame is made."""
    import dnsnb.analysis.accessor  # noqa: F401 - importing it is enough


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _FRAMES:
        give_analyses()
    if name in _DOORS:
        return getattr(import_module(_DOORS[name]), name)
    if name in _ROOMS:
        return import_module(f"dnsnb.{name}")
    raise AttributeError(f"module 'dnsnb' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*_DOORS, *_ROOMS, "__version__"])


def load_ipython_extension(ipython: Any) -> None:
    """`%load_ext dnsnb`: gives the line magic `%dnsnb`."""
    from dnsnb.notebook.magics import load

    load(ipython)


def unload_ipython_extension(ipython: Any) -> None:
    """`%unload_ext dnsnb`."""
    from dnsnb.notebook.magics import unload

    unload(ipython)
