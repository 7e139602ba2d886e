"""A server for somebody else's program: in a background thread of this process, or in a process of its own.

Both look the same to a client: addresses and a token.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Any, Literal, Self

from dnsnb.errors import DnsnbError, SettingError

if TYPE_CHECKING:  # what a process of its own needs of these, it imports itself, beside us
    from dnsnb.config import Settings

READY_SECONDS = 15.0
STOP_SECONDS = 2.0


class Handle:
    """A running server: `dns` ("127.0.0.1:5353"), `http` (URL), `token`, `pid` (None in a thread), `close()`.

    `fingerprint` is that of its certificate, where it has one.
    """

    def __init__(self, dns: str, http: str, token: str, pid: int | None, fingerprint: str | None = None) -> None:
        self.dns = dns
        self.http = http
        self.token = token
        self.pid = pid
        self.fingerprint = fingerprint

    @property
    def running(self) -> bool:
        """Whether the server is still there."""
        raise NotImplementedError

    def close(self) -> None:
        """Stop the server; closing twice is fine."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        where = "this process" if self.pid is None else f"process {self.pid}"
        return f"<dnsnb server in {where}: dns {self.dns}, http {self.http}, {'running' if self.running else 'closed'}>"


def launch(
    settings: Settings, where: Literal["thread", "process"] = "thread", child: subprocess.Popen[bytes] | None = None
) -> Handle:
    """Start a server and return its handle; raises SettingError as the server itself would, and leaves nothing then.

    A process of its own may be a `child` that was begun before (`begin_child`).
    """
    if where not in ("thread", "process"):
        raise SettingError("where", where, "must be 'thread' or 'process'")
    return InThread(settings) if where == "thread" else InProcess(settings, child or begin_child())


def begin_child() -> subprocess.Popen[bytes]:
    """Begin a process that gets ready to be a server, and waits for its settings; it ends when its input does."""
    return subprocess.Popen(
        [sys.executable, "-m", "dnsnb.server.child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # an interrupt of the notebook is not the server's
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )


class InThread(Handle):
    """A server in a daemon thread of this process."""

    def __init__(self, settings: Settings) -> None:
        from dnsnb.background import BackgroundLoop
        from dnsnb.server.server import Server

        self._loop = BackgroundLoop(f"dnsnb-{settings.name}")
        self.server = Server(settings)
        try:
            self._loop.call(self.server.__aenter__)
        except BaseException:
            self._loop.close()
            raise
        server = self.server
        fingerprint = server.certificate.fingerprint if server.certificate is not None else None
        super().__init__(server.dns_address, server.http_url, server.token, None, fingerprint)
        atexit.register(_close_at_exit, weakref.ref(self))  # before the loop's own, so that what is kept gets written

    @property
    def running(self) -> bool:
        return not self._loop.closed

    def set_function(self, function: Callable[[Any, Any], Any] | None) -> None:
        """Have the policy call a function after the lists (see dns.function); None takes it away."""

        async def set_it() -> None:
            self.server.policy.set_function(function)

        self._loop.call(set_it)

    def close(self) -> None:
        if self._loop.closed:
            return
        future = self._loop.start(self.server.__aexit__, None, None, None)
        try:
            future.result(STOP_SECONDS)
        except TimeoutError:
            future.cancel()
        finally:  # whatever went wrong at the end, no thread stays
            self._loop.close()


class InProcess(Handle):
    """A server in a child process. It ends when this process ends, however that happens: its standard input closes."""

    def __init__(self, settings: Settings, child: subprocess.Popen[bytes]) -> None:
        self._process = child
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input: IO[bytes] = self._process.stdin
        self._output: IO[bytes] = self._process.stdout
        try:
            # by the pipe, not by arguments: those can be read by every user of the machine
            given = {k: getattr(settings, k) for k in settings.model_fields_set}
            self._input.write(json.dumps(given, default=str).encode() + b"\n")
            self._input.flush()
            ready = self._ready()
        except BaseException:
            self._end()
            raise
        super().__init__(ready["dns"], ready["http"], ready["token"], self._process.pid, ready["fingerprint"])

    def _ready(self) -> dict[str, Any]:
        timer = threading.Timer(READY_SECONDS, self._process.kill)
        timer.daemon = True
        timer.start()
        try:
            line = self._output.readline()
        finally:
            timer.cancel()
        if not line:
            code = self._process.wait()
            raise DnsnbError(
                f"the server's process ended at its start, with status {code}; its standard error says why"
            )
        ready: dict[str, Any] = json.loads(line)
        if "setting" in ready:
            raise SettingError(ready["setting"], ready["value"], ready["why"])
        if "error" in ready:
            raise DnsnbError(ready["error"])
        return ready

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def close(self) -> None:
        self._end()

    def _end(self) -> None:
        if not self._input.closed:
            try:
                self._input.close()  # its sign to stop
            except BrokenPipeError:
                pass
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._output.close()


def _close_at_exit(reference: weakref.ref[Handle]) -> None:
    handle = reference()
    if handle is not None:
        handle.close()
