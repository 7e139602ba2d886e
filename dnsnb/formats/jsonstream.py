"""JSON that is not one object a line, made so: ``}{`` without a line break (Firehose), arrays, pretty-printed records,
and records in the envelope of an API (``{"data": [...]}``, CloudWatch's ``logEvents``).

Pure and incremental; what is held is bounded. Knows no format.
"""

from __future__ import annotations

import re

ENVELOPES = frozenset(
    (b"data", b"events", b"hits", b"logEvents", b"logs", b"Records", b"records", b"result", b"results")
)
"""Keys under which services hand out lists of records; the rest of such an object is no record."""
LONGEST = 4 << 20
_TOKEN = re.compile(rb'"(?:[^"\\]+|\\.)*+("?)|[{}\[\]]', re.DOTALL)
_ALONE = re.compile(rb"\[\s*[\[{\]]")
_TORN = re.compile(rb'\n|[}\]]\s*(?=\{"$)')
_BETWEEN = b" \t\r\n,\0\x1e"
_QUOTE, _OBJECT, _ARRAY = b'"{['
_LIST, _OTHER = 1, 2
"""What else may be open: the list of an envelope, an array that holds no records (`_ARRAY` is one around records)."""


def needed(head: bytes) -> bool:
    """Return whether a text is JSON whose records are not one to a line; a line that is a record by itself says no."""
    import orjson

    text = head.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n\0")
    if text[:1] == b"\x1e":  # RFC 7464
        return True
    if text[:1] == b"[":
        return _ALONE.match(text) is not None
    if text[:1] != b"{":
        return False
    lines = [line for line in text[: text.rfind(b"\n") + 1].split(b"\n")[:50] if line.strip(_BETWEEN)]
    for line in lines:
        try:
            item = orjson.loads(line.strip(b"\0"))
        except orjson.JSONDecodeError:
            continue
        if isinstance(item, dict) and item and not _enveloped(item):
            return False
    return bool(lines) or Lines().feed(text).rstrip() not in (b"", text.rstrip(_BETWEEN))


def _enveloped(item: dict[str, object], depth: int = 2) -> bool:
    return any(
        (key.encode() in ENVELOPES and isinstance(value, list) and bool(value) and isinstance(value[0], dict))
        or (depth > 1 and isinstance(value, dict) and _enveloped(value, depth - 1))
        for key, value in item.items()
    )


class Lines:
    """Takes a text of JSON values piece by piece; gives each record back as a line of its own.

    What is damaged is given as a line too, so that whoever reads the lines reports it; with the next record that can
    be told all is well again. `open` says whether an array or an envelope has not ended.
    """

    def __init__(self) -> None:
        self._text = b""
        self._restart(0)

    def _restart(self, at: int) -> None:
        self._at = at  # what is before this was read
        self._loose = at  # from here on nothing was a record
        self._began = -1  # where the record begins
        self._stack: list[int] = []
        self._outer = 0  # so many of what is open are around the record
        self._key = b""

    @property
    def open(self) -> bool:
        return bool(self._stack)

    def feed(self, data: bytes) -> bytes:
        """Take bytes; return the lines that are complete."""
        text = self._text = self._text + data
        out: list[bytes] = []
        while (token := _TOKEN.search(text, self._at)) is not None:
            start, end = token.span()
            octet = text[start]
            if octet == _QUOTE:
                # a line break in a string, or a "}{" at its end: the record was cut within a string, this is the next
                torn = _TORN.search(text, start, end) if self._began >= 0 else None
                if torn is not None:
                    self._give(torn.end(), out)
                    continue
                if not token[1]:
                    break  # goes on in the next piece
                self._key = text[start + 1 : end - 1]
            elif octet in (_OBJECT, _ARRAY):
                if octet == _OBJECT and self._began >= 0 and not self._fits(text[self._at : start].strip(b" \t\r\n")):
                    self._give(start, out)
                    continue
                end = self._enter(octet, start, end, out)
            elif self._stack:
                self._stack.pop()
                if self._began < 0:
                    self._outer = len(self._stack)
                    self._loose = end
                elif len(self._stack) == self._outer:
                    out.append(text[self._began : end])
                    self._began, self._loose = -1, end
            self._at = end
        self._trim(out)
        return b"".join(_line(one) + b"\n" for one in out)

    def finish(self) -> bytes:
        """Return what is left: the start of a record whose end is missing, or nothing."""
        left = self._text[self._began if self._began >= 0 else self._loose :]
        inside = self._began < 0 and _OBJECT in self._stack
        self._text = b""
        self._restart(0)
        return b"" if inside else _line(left.strip(_BETWEEN))

    def _enter(self, octet: int, start: int, end: int, out: list[bytes]) -> int:
        """Note what opens, and return where to go on: behind a record that is there as a whole."""
        around = self._stack[-1] if self._stack else _ARRAY
        if octet == _ARRAY:
            listed = around == _OBJECT and self._key in ENVELOPES
            alone = self._began < 0 and around == _ARRAY
            self._stack.append(_LIST if listed else _ARRAY if alone else _OTHER)
        else:
            if around == _ARRAY or (around == _LIST and len(self._stack) - self._outer <= 3):
                if _OBJECT not in self._stack and (junk := self._text[self._loose : start].strip(_BETWEEN)):
                    out.append(junk)
                self._outer = len(self._stack)
                whole = _whole(self._text, start)
                if whole:
                    out.append(self._text[start:whole])
                    self._began, self._loose = -1, whole
                    return whole
                self._began = start
            self._stack.append(_OBJECT)
        if self._began < 0:
            self._outer, self._loose = len(self._stack), end
        return end

    def _fits(self, before: bytes) -> bool:
        """Whether an object may begin here, by what stands before it."""
        if self._stack[-1] == _OBJECT:
            return before.endswith(b":")
        return before.endswith(b",") or (not before and self._text[self._at - 1] == _ARRAY)

    def _give(self, at: int, out: list[bytes]) -> None:
        """Give away a record that is damaged, and begin anew behind it."""
        out.append(self._text[self._began : at])
        self._restart(at)

    def _trim(self, out: list[bytes]) -> None:
        keep = self._began if self._began >= 0 else self._at if _OBJECT in self._stack else self._loose
        if len(self._text) - keep > LONGEST:
            out.append(self._text[keep:])
            keep = len(self._text)
            self._restart(keep)
        self._text = self._text[keep:]
        self._at, self._loose = max(0, self._at - keep), max(0, self._loose - keep)
        if self._began >= 0:
            self._began -= keep


def _whole(text: bytes, start: int) -> int:
    """Return where the record that begins at `start` ends, the quick way; 0 where that does not tell."""
    import orjson

    at = end = start
    balance = 0
    while (end := text.find(b"}", end, start + (1 << 16)) + 1) > 0:
        balance += text.count(b"{", at, end) - 1
        at = end
        if balance <= 0:  # braces in strings count too: what parses is a record all the same
            try:
                item = orjson.loads(text[start:end])
            except orjson.JSONDecodeError:
                return 0
            return 0 if _enveloped(item) else end
    return 0


def _line(text: bytes) -> bytes:
    return text.replace(b"\r", b" ").replace(b"\n", b" ")
