"""`%dnsnb`: one line magic, each word of it a thin call of the public API."""

from __future__ import annotations

from typing import Any

_USAGE = "%dnsnb start | stop | status | tail [N] | query NAME [TYPE] | block NAME… | unblock NAME… | close"


def dnsnb(line: str) -> Any:
    """Start, stop or ask the default session: `%dnsnb start`, `%dnsnb query example.com MX`, `%dnsnb tail 20`."""
    from dnsnb.errors import DnsnbError, SettingError
    from dnsnb.notebook.doors import sessions, start

    word, *rest = line.split() or ["start"]
    if word not in ("start", "stop", "status", "tail", "query", "block", "unblock", "close"):
        raise SettingError("%dnsnb", line, f"use {_USAGE}")
    session = sessions().get("default")
    if word == "start":
        if session is not None and not rest:
            session.start()
            return session
        return start(upstreams=rest) if rest else start()
    if session is None:
        raise DnsnbError("no session is open; %dnsnb start opens one")
    if word == "tail":
        if rest and not rest[0].isdigit():
            raise SettingError("%dnsnb tail", rest[0], "a number of rows")
        return session.frame.tail(int(rest[0]) if rest else 10)
    if word == "query":
        if not rest:
            raise SettingError("%dnsnb query", line, "needs a name: %dnsnb query example.com AAAA")
        return session.query(*rest[:2])
    if word in ("block", "unblock"):
        return getattr(session, word)(*rest)
    if word == "status":
        return session.status
    if word == "close":
        session.close()
        return None
    return session.stop()


def load(ipython: Any) -> None:
    """Give an IPython the magic."""
    ipython.register_magic_function(dnsnb, "line", "dnsnb")


def unload(ipython: Any) -> None:
    """Take it away again."""
    ipython.magics_manager.magics["line"].pop("dnsnb", None)
