"""Server-sent events as bytes, both ways, to the letter of the WHATWG HTML text (section 9.2).

No I/O; imports nothing of ours but errors.
"""

from __future__ import annotations

from typing import NamedTuple

from dnsnb.errors import DnsnbError

#: A message with its unfinished line may be this large (bytes) unless the decoder is told otherwise.
MAX_MESSAGE_BYTES = 64 * 1024 * 1024
#: `retry:` is honoured within these bounds, milliseconds.
MIN_RETRY_MS, MAX_RETRY_MS = 10, 3_600_000
HEARTBEAT = b":\n\n"

_BOM = b"\xef\xbb\xbf"


class Message(NamedTuple):
    """A dispatched message: its data, its event type, and the stream's last event id when it was dispatched."""

    data: str
    event: str = "message"
    id: str = ""


class MessageTooLarge(DnsnbError, ValueError):  # noqa: N818 - says the state
    """A message grew over the decoder's limit before it ended; the stream can't be read any further."""


def encode(
    data: str | bytes,
    *,
    id: str | None = None,  # noqa: A002 - the field's name
    event: str | None = None,
    retry: int | None = None,
) -> bytes:
    """Return one message as it goes over the wire.

    Line ends of every kind in `data` come out as LF at the other side: the format knows no other. Lone surrogates
    become U+FFFD. Raises ValueError for an id or event with CR, LF or NUL, and for a negative `retry` (milliseconds).
    """
    lines = []
    if id is not None:
        lines.append(b"id: " + _one_line("id", id))
    if event is not None:
        lines.append(b"event: " + _one_line("event", event))
    if retry is not None:
        if retry < 0:
            raise ValueError(f"retry: {retry}: milliseconds, 0 or more")
        lines.append(b"retry: %d" % retry)
    raw = data if isinstance(data, bytes) else _utf8(data)
    if b"\r" in raw:
        raw = raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    lines.append(b"data: " + raw.replace(b"\n", b"\ndata: "))
    return b"\n".join(lines) + b"\n\n"


def comment(text: str = "") -> bytes:
    """Return a comment, which readers ignore; each of its lines is marked as one."""
    raw = _utf8(text).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return b": " + raw.replace(b"\n", b"\n: ") + b"\n\n"


def is_event_stream(content_type: str | None) -> bool:
    """Whether a Content-Type header names an event stream; its parameters (charset …) don't count."""
    return (content_type or "").partition(";")[0].strip(" \t\r\n\f").lower() == "text/event-stream"


class Decoder:
    """Turns chunks of bytes, cut anywhere, into messages, in linear time.

    One decoder reads one connection; give the next one `last_event_id` of the one before, which holds although that
    connection may send no id. `retry_ms` is what the stream asked for last, clamped, or None.
    The unfinished line and the unfinished message together may have `limit` bytes; comments don't count.
    """

    def __init__(self, last_event_id: str = "", limit: int = MAX_MESSAGE_BYTES) -> None:
        self.last_event_id: str = last_event_id
        self.retry_ms: int | None = None
        self.limit = limit
        self._id = last_event_id
        self._event = ""
        self._data: list[bytes] = []
        self._held = 0  # bytes in _data and _event
        self._line = bytearray()
        self._after_cr = False
        self._start: bytes | None = b""  # what came so far of a byte order mark

    def feed(self, chunk: bytes) -> list[Message]:
        """Return the messages that this chunk completes; raises MessageTooLarge at the limit."""
        if self._start is not None:
            chunk = self._start + chunk
            if len(chunk) < len(_BOM) and _BOM.startswith(chunk):
                self._start = chunk
                return []
            self._start = None
            chunk = chunk.removeprefix(_BOM)
        if not chunk:
            return []
        if self._after_cr and chunk[0] == 10:
            chunk = chunk[1:]
            self._after_cr = False
            if not chunk:
                return []
        self._after_cr = chunk[-1] == 13
        if b"\r" in chunk:
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        first, *rest = chunk.split(b"\n")
        messages: list[Message] = []
        if rest:
            last = rest.pop()
            if self._line:
                self._line += first
                first = bytes(self._line)
                self._line.clear()
            self._take(first, messages)
            for line in rest:
                self._take(line, messages)
            self._hold(last)
        else:
            self._hold(first)
        return messages

    def _hold(self, part: bytes) -> None:
        if self._line[:1] == b":":
            return
        self._line += part[:1] if not self._line and part[:1] == b":" else part
        if len(self._line) + self._held > self.limit:
            self._too_large()

    def _take(self, line: bytes, messages: list[Message]) -> None:
        if not line:
            self.last_event_id = self._id
            if self._data:
                text = b"\n".join(self._data).decode("utf-8", "replace")
                messages.append(Message(text, self._event or "message", self._id))
                self._data = []
            self._event = ""
            self._held = 0
            return
        name, _, value = line.partition(b":")
        if value[:1] == b" ":
            value = value[1:]
        if name == b"data":
            self._data.append(value)
            self._held += len(value) + 1
        elif name == b"id":
            if b"\0" not in value:
                self._id = value.decode("utf-8", "replace")
        elif name == b"event":
            self._event = value.decode("utf-8", "replace")
            self._held += len(value)
        elif name == b"retry" and value.isdigit():  # of bytes: ASCII digits only
            digits = value.lstrip(b"0") or b"0"
            self.retry_ms = MAX_RETRY_MS if len(digits) > 9 else max(MIN_RETRY_MS, min(int(digits), MAX_RETRY_MS))
        if self._held > self.limit:
            self._too_large()

    def _too_large(self) -> None:
        raise MessageTooLarge(f"a message of the event stream is larger than {self.limit:,} bytes")


def _one_line(what: str, text: str) -> bytes:
    if any(c in text for c in "\r\n\0"):
        raise ValueError(f"{what}: {text!r}: must not contain CR, LF or NUL")
    return _utf8(text)


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:  # lone surrogates
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()
