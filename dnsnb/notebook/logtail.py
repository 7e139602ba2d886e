"""What dnsnb's background threads have to say, kept instead of printed: a notebook's cells are no place for it.

Python's own logging; imports nothing but the escaping of the static view.
"""

from __future__ import annotations

import logging
from collections import deque

from dnsnb.notebook.static_view import plain

KEEP = 1000  # records; older ones go


class Tail(logging.Handler):
    """The newest records of a logger, as lines."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        self.lines: deque[str] = deque(maxlen=KEEP)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record; a traceback's lines stay lines."""
        try:
            self.lines.extend(plain(line) for line in self.format(record).splitlines())
        except Exception:
            self.handleError(record)


class Lines(list[str]):
    """Lines of a log, shown as such."""

    def __repr__(self) -> str:
        return "\n".join(self) or "nothing was logged"


def listen() -> Tail:
    """Return the process's tail, which takes what `dnsnb` logs from the first call on; nothing is printed then."""
    logger = logging.getLogger("dnsnb")
    for handler in logger.handlers:
        if type(handler).__name__ == Tail.__name__ and hasattr(handler, "lines"):  # of before a reload, too
            return handler  # type: ignore[return-value]
    tail = Tail()
    logger.addHandler(tail)
    return tail
