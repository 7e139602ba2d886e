"""The one-line doors `start` and `connect`, and which sessions are open.

A server is started through `server/embed` alone, checked by `config`; the session does the rest.
"""

from __future__ import annotations

import atexit
import contextlib
import sys
import threading
from contextlib import ExitStack
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

from dnsnb.errors import DnsnbError

if TYPE_CHECKING:  # imported when a child is on its way, which takes as long
    import subprocess

    from dnsnb.config import Settings
    from dnsnb.notebook.session import Session

_REGISTRY = "_dnsnb_sessions"


def start(
    name: str = "default", *, where: Literal["thread", "process"] = "thread", rows: int = 1_000_000, **settings: Any
) -> Session:
    """Start a DNS server in a background thread (or a process of its own) and return its session.

    Calling it again with the same name and settings gives the same session; with other settings the old server closes
    and the new one takes over its addresses. `rows` bounds `session.frame`. The settings are those of
    `dnsnb.config.Settings`; raises SettingError for a wrong one, and then a server that was running stays as it was.

    >>> with start("example", upstreams=["192.0.2.53"], blacklist=["ads.example.com"]) as session:
    ...     print(session.query("ads.example.com").addresses, session.log()["status"].tolist())
    ['0.0.0.0'] ['blocked']
    """
    with _lock(), ExitStack() as undo:
        old = _sessions().get(name)
        child = None
        if (old is None or not old.alive) and where == "process":
            from dnsnb.server.embed import begin_child

            child = undo.enter_context(begin_child())  # it imports what it needs while we do; it ends with its input
        from dnsnb.config import load_settings

        checked, _ = load_settings(name=name, **settings)
        if old is not None and old.alive:
            if old.settings == checked and old.where == where:
                return old
            return _replace(old, checked, where, rows)
        session = _begin(checked, where, rows, child)
        undo.pop_all()
        return session


def connect(
    url: str, token: str, *, rows: int = 1_000_000, ca: str | None = None, fingerprint: str | None = None
) -> Session:
    """Return a session of a server that runs elsewhere; closing it leaves that server as it is.

    An ``https://`` server's certificate is checked by the system's authorities, by those in the PEM file `ca`, or it is
    the one of this SHA-256 `fingerprint` (a server's `status["fingerprint"]`). Raises NotConnected when it can't be
    reached or is another one, CommandError when the token is refused.

    >>> with start("example", upstreams=["192.0.2.53"]) as session:
    ...     with connect(session.client.url, session.token) as other:
    ...         other.block("ads.example.com")
    ['ads.example.com']
    """
    from dnsnb.client.client import Client
    from dnsnb.notebook.session import Session

    return Session(Client(url, token, ca=ca, fingerprint=fingerprint), name=url, rows=rows)


def sessions() -> dict[str, Session]:
    """Return the sessions that `start` has open, by name.

    >>> with start("example", upstreams=["192.0.2.53"]):
    ...     "example" in sessions()
    True
    """
    return {name: session for name, session in _sessions().items() if session.alive}


def _begin(
    settings: Settings, where: Literal["thread", "process"], rows: int, child: subprocess.Popen[bytes] | None = None
) -> Session:
    from dnsnb.client.client import Client
    from dnsnb.notebook.session import Session
    from dnsnb.server.embed import launch

    handle = launch(settings, where, child)
    try:
        session = Session(
            Client(handle.http, handle.token, fingerprint=handle.fingerprint),
            name=settings.name,
            rows=rows,
            handle=handle,
            settings=settings,
            where=where,
        )
    except BaseException:
        handle.close()
        raise
    _sessions()[settings.name] = session
    session.on_close = _forget
    return session


def _try_out(settings: Settings, taken: dict[str, str]) -> None:
    """Raise what a server with these settings would raise, while the old one still holds its addresses and folder."""
    from dnsnb.server.embed import launch

    free = {k: f"{v.rpartition(':')[0]}:0" for k, v in taken.items() if getattr(settings, k) == v}
    launch(
        settings.changed(**free, folder=None, log_driver="memory", cache_driver="memory", list_driver="memory")
    ).close()


def _replace(old: Session, settings: Settings, where: Literal["thread", "process"], rows: int) -> Session:
    """Close the old server and start one with other settings on its addresses; the old one comes back if that fails."""
    assert old.handle is not None
    assert old.settings is not None
    keep = {"dns": old.handle.dns, "http": old.handle.http.partition("://")[2]}
    given = settings.model_fields_set
    wanted = settings.changed(**{k: v for k, v in keep.items() if k not in given})
    _try_out(wanted, keep)
    before, before_where = old.settings.changed(**keep), old.where
    old.replace()
    try:
        session = _begin(wanted, where, rows)
    except DnsnbError:
        with contextlib.suppress(DnsnbError):
            _begin(before, before_where, rows).settings = old.settings
        raise
    session.settings = settings
    return session


# --- the registry: outside our modules, so that %autoreload can't orphan a running server ---


def _runtime() -> Any:
    found = sys.modules.get(_REGISTRY)
    if found is None:
        found = ModuleType(_REGISTRY)
        found.sessions = {}  # type: ignore[attr-defined]
        found.lock = threading.RLock()  # type: ignore[attr-defined]
        sys.modules[_REGISTRY] = found
        atexit.register(_close_all, found.sessions)
    return found


def _sessions() -> dict[str, Session]:
    found: dict[str, Session] = _runtime().sessions
    return found


def _lock() -> threading.RLock:
    found: threading.RLock = _runtime().lock
    return found


def _close_all(open_sessions: dict[str, Session]) -> None:
    for session in list(open_sessions.values()):
        with contextlib.suppress(Exception):
            session.close()


def _forget(session: Session) -> None:
    if _sessions().get(session.name) is session:
        del _sessions()[session.name]
