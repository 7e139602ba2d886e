"""Every error that dnsnb raises on purpose. The message names the culprit and says what would be right."""

from __future__ import annotations

from typing import Any


class DnsnbError(Exception):
    """Root of all errors raised by dnsnb."""


class SettingError(DnsnbError, ValueError):
    """A setting has a wrong value.

    `setting` is its dotted name (``upstreams[1]``), `value` what was given, `why` what is wrong and what is right.
    The HTTP API answers it with 422, the CLI with exit status 2.
    """

    def __init__(self, setting: str, value: object, why: str) -> None:
        self.setting = setting
        self.value = value
        self.why = why
        shown = " ".join(repr(value).split("\n"))  # a frame's has lines
        super().__init__(f"{setting}: {shown if len(shown) <= 120 else shown[:117] + '...'}: {why}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.setting, self.value, self.why)


class WireError(DnsnbError, ValueError):
    """A DNS message, or a name in one, can't be read."""


class NotConnected(DnsnbError, ConnectionError):  # noqa: N818 - says the state, as anyio's ClosedResource does
    """A command was given while the server can't be reached; the message says why."""


class CommandError(DnsnbError):
    """The server refused a command: `status` is the HTTP status, `code` the API's word, `setting` the culprit."""

    def __init__(self, status: int, code: str, message: str, setting: str | None = None) -> None:
        self.status = status
        self.code = code
        self.message = message
        self.setting = setting
        super().__init__(message)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.status, self.code, self.message, self.setting)


class LogFormatError(DnsnbError, ValueError):
    """A file is not a DNS log that we can read; the message says what was expected and what was found."""


class MissingColumnError(DnsnbError, KeyError):
    """An analysis needs a column that the frame lacks; the message names it."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""
