"""A session: a server as a notebook sees it, by its client, its live frame and its views.

The server may be anywhere: everything but the handle that ends our own goes over HTTP, like everybody's.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, Self
from urllib.parse import urlsplit

from dnsnb.client.client import Client
from dnsnb.client.liveframe import LiveFrame
from dnsnb.client.policy import PolicyCommands
from dnsnb.config import Settings
from dnsnb.errors import NotConnected, SettingError
from dnsnb.notebook.capture import Capture
from dnsnb.notebook.explained import Explanation
from dnsnb.notebook.history import LogFeed
from dnsnb.notebook.logframe import read_log_pages
from dnsnb.notebook.logtail import Lines, listen
from dnsnb.notebook.lookup import Lookup, look_up
from dnsnb.notebook.static_view import plain

if TYPE_CHECKING:
    import pandas as pd

    from dnsnb.analysis.streaming import Stream
    from dnsnb.notebook.controls import Controls
    from dnsnb.notebook.dashboard import Dashboard
    from dnsnb.notebook.own import OwnPanel
    from dnsnb.notebook.panels import Snapshot
    from dnsnb.server.embed import Handle

log = logging.getLogger(__name__)


class Session:
    """A server as a notebook sees it: `frame` is its log, the session itself displays the live dashboard.

    A context manager: leaving it closes the session, and the server too if `start` made it.
    """

    def __init__(
        self,
        client: Client,
        *,
        name: str,
        rows: int = 1_000_000,
        handle: Handle | None = None,
        settings: Settings | None = None,
        where: Literal["thread", "process"] = "thread",
    ) -> None:
        self.name = name
        self.client = client
        self.handle = handle
        self.settings = settings
        self.where = where
        self.live: LiveFrame = LiveFrame(rows)
        self._tail = listen()
        self.on_close: Callable[[Session], None] | None = None
        self._closed = False
        self._views: dict[Any, Any] = {}
        self._views_lock = threading.Lock()
        try:
            client.status()  # a wrong address or token is said here and now
            self._feed = LogFeed(client, self.live)
            self._feed.begin()
        except BaseException:
            client.close()
            raise

    # --- the log ---

    @property
    def frame(self) -> pd.DataFrame:
        """The query log so far, typed; a copy that never changes. One row a query, in the order of arrival."""
        import dnsnb.analysis.accessor  # noqa: F401 - gives the frame its `.dns`

        return self.live.snapshot()

    @property
    def server_dropped(self) -> int:
        """Rows that the server or the stream dropped before they came here."""
        return self._feed.dropped

    # --- commands ---

    @property
    def status(self) -> dict[str, Any]:
        """The server's status now: `running`, `dns` and `http` addresses, `upstreams`, `block_mode` …"""
        return self._open().status()

    @property
    def token(self) -> str | None:
        """The token of a server that `start` made, for the page at `status["http"]`; None for one elsewhere."""
        return self.handle.token if self.handle is not None else None

    def query(self, name: str, qtype: str = "A") -> Lookup:
        """Ask the server a question over DNS, as `dig` would; it stands in the log like any other."""
        return look_up(self._dns_address(), name, qtype)

    def block(self, *names: str) -> list[str]:
        """Block names and all below them, from the next query on; returns those that weren't blocked yet."""
        return list(map(_text, self._open().add_blacklist(names)["added"]))

    def unblock(self, *names: str) -> list[str]:
        """Take names off the blacklist; returns those that were on it."""
        return list(map(_text, self._open().remove_blacklist(names)["removed"]))

    def allow(self, *names: str) -> list[str]:
        """Make names, and all below them, exceptions to the blacklist; returns those that weren't yet."""
        return list(map(_text, self._open().add_whitelist(names)["added"]))

    def disallow(self, *names: str) -> list[str]:
        """Take names off the whitelist; returns those that were on it."""
        return list(map(_text, self._open().remove_whitelist(names)["removed"]))

    def stop(self) -> dict[str, Any]:
        """Stop answering DNS; the session, its frame and its views stay. Returns the status."""
        return self._open().stop()

    def start(self) -> dict[str, Any]:
        """Answer DNS again. Returns the status."""
        return self._open().start()

    def flush(self, *, name: str = "", suffix: str = "") -> int:
        """Empty the cache: one name, all below a suffix, or everything; returns how many answers went."""
        return int(self._open().flush_cache(name=name, suffix=suffix)["flushed"])

    def configure(self, **settings: Any) -> dict[str, Any]:
        """Change settings while the server runs; None puts one back to its default.

        Returns what `changed`, and in `restart` what holds only from the next start on. Kept when the server has a
        folder.
        """
        return self._open().configure(**settings)

    @property
    def config(self) -> dict[str, Any]:
        """The server's settings."""
        settings: dict[str, Any] = self._open().config()["settings"]
        return settings

    def log(self, *, limit: int = 100_000, **filters: Any) -> pd.DataFrame:
        """Return rows of the kept log, oldest first, such as ``session.log(last="1h", status="blocked")``.

        Filters: last, since, until, client, name, type, status, rcode, upstream, list, slower, faster.
        """
        return read_log_pages(self._open(), limit, filters)

    def log_tail(self, lines: int = 20) -> Lines:
        """Return what dnsnb logged last in this process, and the server's newest notices: nothing of it is printed."""
        info = self.client.sse.current("dns/info") or {}
        notices = [
            f"{datetime.fromtimestamp(n['time'] / 1000, UTC).astimezone():%Y-%m-%d %H:%M:%S} "
            f"{str(n['level']).upper()} server: {plain(n['text'])}"
            for n in info.get("notices") or ()
        ]
        return Lines([*notices, *self._tail.lines][-lines:])

    def capture(self) -> Capture:
        """Return a context in which this process's own look-ups go through the server."""
        return Capture(self._captured_address, never=[self._server_host])

    @property
    def policy(self) -> PolicyCommands:
        """Commands on lists, clients, local names and pauses: `session.policy.add_list("ads", url=…)` …"""
        return PolicyCommands(self._open().request)

    def explain(self, name: str, qtype: str = "A", client: str | None = None, *, upstreams: bool = True) -> Explanation:
        """Say why a name is answered as it is: each step, every rule that matches, what each upstream says."""
        return Explanation(self.policy.explain(name, qtype, client, upstreams=upstreams))

    def set_policy(self, function: Callable[[Any, Any], Any] | None) -> None:
        """Call `function(question, client)` after the lists, from the next query on; None takes it away.

        It returns None, "allow", "block" or an address; see `dnsnb.dns.function`. Its errors are counted in
        `session.policy.lists()["function"]`. Only a server in this process can call it.
        """
        self._open()
        if self.handle is None or not hasattr(self.handle, "set_function"):
            why = "only a server in this process can call it: dnsnb.start(where='thread')"
            raise SettingError("function", function, why)
        self.handle.set_function(function)

    def _captured_address(self) -> str:
        """The DNS address as the stream last told it: a look-up should not cost a command."""
        sse = self._open().sse
        return self._dns_address(sse.current("dns/status") if sse.is_connected else None)

    def _dns_address(self, status: dict[str, Any] | None = None) -> str:
        status = status or self._open().status()
        if not status["running"]:
            raise NotConnected("the DNS server is stopped; session.start() starts it")
        address = str(status["dns"])
        host, _, port = address.rpartition(":")
        if host not in ("0.0.0.0", "[::]", "::"):
            return address
        # it listens on every address: so on the one where we reach it
        try:
            server = socket.getaddrinfo(self._server_host, int(port), type=socket.SOCK_DGRAM)[0][4][0]
        except OSError as error:
            raise NotConnected(f"the address of {self._server_host} can't be found: {error}") from None
        return f"[{server}]:{port}" if ":" in str(server) else f"{server}:{port}"

    @property
    def _server_host(self) -> str:
        return urlsplit(self.client.url).hostname or "127.0.0.1"

    def _open(self) -> Client:
        if self._closed:
            raise NotConnected("this session is closed; dnsnb.start() begins another")
        return self.client

    # --- views ---

    @property
    def dashboard(self) -> Dashboard:
        """The live view; one for the session, however often it is shown."""
        from dnsnb.notebook.dashboard import Dashboard

        found: Dashboard = self._view("dashboard", Dashboard)
        return found

    @property
    def selected(self) -> pd.DataFrame:
        """The frame that the filter of the dashboard leaves; the whole frame while there is none."""
        from dnsnb.notebook.selection import select

        view = self._views.get("dashboard")
        return select(self.frame, view.selection if view is not None else None)

    @property
    def expression(self) -> str:
        """The filter of the dashboard as text for `frame.query(…, engine="python")`; empty while there is none."""
        from dnsnb.notebook.selection import expression

        view = self._views.get("dashboard")
        return expression(view.selection if view is not None else None)

    def table(self, *, height: int | None = None) -> Dashboard:
        """Return the table of queries alone; `height` in pixels."""
        from dnsnb.notebook.panels import table

        return self._panel(("table", height), lambda: table(self, height=height))

    def chart(self) -> Dashboard:
        """Return queries over time alone."""
        from dnsnb.notebook.panels import chart

        return self._panel("chart", lambda: chart(self))

    def top(self, column: str = "client", *, most: int = 10) -> Dashboard:
        """Return one header of bars alone: client, domain, qtype, status, upstream or list."""
        from dnsnb.notebook.panels import top

        return self._panel(("top", column, most), lambda: top(self, column, most=most))

    def controls(self) -> Controls:
        """Return the controls alone, as ipywidgets: start and stop, block mode, pause, upstreams, lists, look-up …"""
        from dnsnb.notebook.controls import Controls

        found: Controls = self._view("controls", Controls)
        return found

    def panel(self, draw: Callable[[pd.DataFrame], Any], *, every: float = 1.0) -> OwnPanel:
        """Return a panel of your own: what `draw(frame)` gives, drawn again after changes, `every` seconds apart."""
        from dnsnb.notebook.own import OwnPanel

        found: OwnPanel = self._view(draw, lambda session: OwnPanel(session, draw, every=every))
        return found

    def follow(self, analysis: str, **params: Any) -> Stream:
        """Return an analysis that follows the log: `.result()` at any moment, of the rows so far and all that come.

        `analysis` is one with an incremental twin (`dnsnb.analysis.TWINS`), such as "top" with `column="client"`.
        """
        from dnsnb.analysis import live

        followed = live(analysis, **params)
        self.live.pass_on(followed)
        return followed

    def snapshot(self, rows: int = 20) -> Snapshot:
        """Return what the dashboard shows now as a plain result that stays in the notebook."""
        from dnsnb.notebook.panels import snapshot

        return snapshot(self, rows)

    async def watch(self, seconds: float = 60.0, *, every: float = 1.0, rows: int = 12) -> None:
        """Show the session for some seconds in the foreground, for front ends without live widgets."""
        from dnsnb.notebook.panels import watch

        await watch(self, seconds, every=every, rows=rows)

    def _panel(self, key: Any, make: Callable[[], Dashboard]) -> Dashboard:
        found: Dashboard = self._view(key, lambda _session: make())
        return found

    def _view(self, key: Any, make: Any) -> Any:
        self._open()
        with self._views_lock:
            view = self._views.get(key)
            if view is None:
                view = self._views[key] = make(self)
            return view

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        if self._closed:
            view = self._views.get("dashboard")  # as it was when the session closed
            return view._repr_mimebundle_(**kwargs) if view is not None else {"text/plain": repr(self)}
        return self.dashboard._repr_mimebundle_(**kwargs)

    # --- life ---

    @property
    def alive(self) -> bool:
        """Whether the session is open and its server, if it is our own, still there."""
        return not self._closed and (self.handle is None or self.handle.running)

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def close(self) -> None:
        """Leave the server, and end it if `start` made it. The frame stays, and so do the views, as last drawn.

        Closing twice is fine.
        """
        self._end()

    def replace(self) -> None:
        """Close, and take the views away: another session comes in its place."""
        self._end()
        with self._views_lock:
            views, self._views = list(self._views.values()), {}
        for view in views:
            view.close()

    def _end(self) -> None:
        if self._closed:
            return
        self._closed = True
        with self._views_lock:
            views = list(self._views.values())
        for view in views:
            view.finish()
        self._feed.close()
        self.client.close()
        if self.handle is not None:
            self.handle.close()
        if self.on_close is not None:
            self.on_close(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        if self._closed:
            return f"<Session {self.name!r}, closed, {len(self.live):,} rows>"
        status = self.client.sse.current("dns/status") or {}
        word = "running" if status.get("running") else "stopped" if status else self.client.sse.state
        return f"<Session {self.name!r}, {word}, dns {status.get('dns', '?')}, {len(self.live):,} rows>"


def _text(entry: Any) -> str:
    return str(entry["name"]) if isinstance(entry, dict) else str(entry)
