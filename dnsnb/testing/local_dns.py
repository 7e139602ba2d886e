"""`LocalDNS`: a whole dnsnb server in a thread, before a made-up internet that a test fills."""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack
from typing import TYPE_CHECKING, Any, Self

from dnsnb.config import Settings
from dnsnb.dns.reserved import INNER
from dnsnb.errors import SettingError
from dnsnb.notebook.capture import Capture
from dnsnb.notebook.lookup import Lookup, look_up
from dnsnb.server.embed import launch
from dnsnb.simulate.upstream import Running
from dnsnb.testing.answers import Answers, plain

if TYPE_CHECKING:
    import pandas as pd

    from dnsnb.client.client import Client


class LocalDNS:
    """A DNS server on loopback that answers what it was told; all other names are NXDOMAIN, nothing leaves the machine.

    Settings are those of `dnsnb.start`. A change holds from the next question on. Close it, or use it as a context.

    >>> with LocalDNS() as dns:
    ...     dns.answer("api.example.com", "192.0.2.10")
    ...     with dns.capture():
    ...         import socket
    ...         print(socket.gethostbyname("api.example.com"), dns.asked("api.example.com"))
    192.0.2.10 1
    """

    def __init__(self, **settings: Any) -> None:
        if "upstreams" in settings:
            raise SettingError(
                "upstreams", settings["upstreams"], "its upstream is made up; for others use dnsnb.start"
            )
        self._answers = Answers()
        self._client: Client | None = None
        self._seen = 0  # questions that had reached the made-up internet when the cache was last emptied
        with ExitStack() as stack:
            self._internet = stack.enter_context(Running(world=self._answers, latency_ms=0, remember=False))
            upstreams = [self._internet.address]
            given = {"prefetch": False, "serve_stale": False} | settings | {"upstreams": upstreams}
            # names that a server answers itself, such as .local and 10.in-addr.arpa, are as made up as all others
            given["routes"] = dict.fromkeys(INNER, upstreams) | dict(settings.get("routes", {}))
            self._handle = stack.enter_context(launch(Settings(**given)))
            self._stack = stack.pop_all()

    # --- where it is ---

    @property
    def address(self) -> str:
        """HOST:PORT of the DNS server."""
        return self._handle.dns

    @property
    def host(self) -> str:
        """The DNS server's address."""
        return self.address.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The DNS server's port, the same for UDP and TCP."""
        return int(self.address.rpartition(":")[2])

    @property
    def client(self) -> Client:
        """Every command of the HTTP API, such as `client.status()`."""
        if self._client is None:
            from dnsnb.client.client import Client

            self._client = Client(self._handle.http, self._handle.token)
        return self._client

    # --- what it answers ---

    def answer(self, name: str, *data: str, type: str | None = None, ttl: int = 60) -> None:  # noqa: A002 - dig's word
        """Answer a name with records; the type is guessed from addresses.

        ``answer("example.com", "10 mail.example.com.", type="MX")``; ``*.example.com`` is all below that has no records
        of its own; an alias (CNAME) is followed. Raises SettingError.
        """
        self._answers.answer(name, data, type, ttl)
        self._forget()

    def fail(self, name: str, rcode: str = "SERVFAIL") -> None:
        """Answer a name with an error: NXDOMAIN, or SERVFAIL, which all others reach the asker as too.

        That is how a resolver hands them on. For REFUSED itself, `block` under the setting ``block_mode="refused"``.
        """
        self._answers.fail(name, rcode)
        self._forget()

    def silence(self, name: str) -> None:
        """Have nobody answer for a name: who asks waits, and gets SERVFAIL after 4.5 s if still there."""
        self._answers.silence(name)
        self._forget()

    def delay(self, name: str, seconds: float) -> None:
        """Answer a name so many seconds later, when it isn't cached."""
        self._answers.delay(name, seconds)
        self._forget()

    def block(self, *names: str) -> None:
        """Block names and all below them, as a blacklist does."""
        self.client.add_blacklist(names)

    def unblock(self, *names: str) -> None:
        """Take names off the blacklist."""
        self.client.remove_blacklist(names)

    def stop(self) -> None:
        """Stop answering: the port is closed, as when a server is down."""
        self.client.stop()

    def start(self) -> None:
        """Answer again, on the same port."""
        self.client.start()

    # --- what was asked ---

    @property
    def frame(self) -> pd.DataFrame:
        """Every question so far, as the frame of `dnsnb.start().frame`."""
        from dnsnb.notebook.logframe import read_log_pages

        return read_log_pages(self.client, 1_000_000, {})

    def asked(self, name: str | None = None, qtype: str | None = None, *, status: str | None = None) -> int:
        """Return how many questions there were for a name (and nothing below it), a type, of a status; None is any."""
        columns = self._columns()
        wanted = {"qname": name and plain(name), "qtype": qtype and qtype.upper(), "status": status}
        keep = [True] * len(columns.get("id", []))
        for column, value in wanted.items():
            if value is not None:
                keep = [yes and found == value for yes, found in zip(keep, columns.get(column, keep), strict=True)]
        return sum(keep)

    def names(self) -> list[str]:
        """Return the names that were asked for, in order, each once."""
        return list(dict.fromkeys(self._columns().get("qname", [])))

    def lookup(self, name: str, qtype: str = "A") -> Lookup:
        """Ask it as `dig` would."""
        return look_up(self.address, name, qtype)

    def capture(self) -> AbstractContextManager[Any]:
        """Return a context in which this process's own look-ups (requests, urllib, asyncio …) come here."""
        return Capture(lambda: self.address, never=[self.host])

    # --- life ---

    def close(self) -> None:
        """Stop it and leave nothing behind; closing twice is fine."""
        if self._client is not None:
            self._client.close()
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<dnsnb test server on {self.address}, {'running' if self._handle.running else 'closed'}>"

    def _columns(self) -> dict[str, list[Any]]:
        merged: dict[str, list[Any]] = {}
        before: int | None = None
        while True:
            page = self.client.log(limit=10_000, before=before)
            for key, values in page["columns"].items():
                merged[key] = values + merged.get(key, [])
            before = page["next"]
            if before is None:
                return merged

    def _forget(self) -> None:
        """Let go of all that is cached, if anything can be: a star or an alias may stand behind any name."""
        asked = sum(self._internet.queries.values())
        if asked != self._seen:
            self._seen = asked
            self.client.flush_cache()
