"""A place in a log file that is being written, and what becomes of the file: rotated, truncated, rewritten, gone.

The only place that looks at file identities; knows opening's order of rotated names. No formats.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import IO

from dnsnb.formats import opening

PIECE = 1 << 20
LOOKS = 3
"""So often the folder is looked at, before a file without a name is taken for removed: names change one by one."""
REMEMBERED = 256
"""So many octets before the place where we are must stay as they were: else the file was rewritten."""


class Tail:
    """A place in a log file, which tells whether the file was rewritten or has a successor under its name."""

    def __init__(self, path: Path, name: Path | None = None) -> None:
        self.path = name or path  # the log's name; `path` may be one of its rotated files
        self._file: IO[bytes] = path.open("rb", buffering=0)
        self.at = 0
        self.lost = False
        self.refused = ""
        self._gone: float | None = None  # since when there is no file of the name
        self._unseen = 0
        self._before = b""  # the octets before `at`, as they were read

    def close(self) -> None:
        self._file.close()

    def gone_for_s(self) -> float:
        """Return for how long there has been no file of the log's name."""
        return 0.0 if self._gone is None else time.monotonic() - self._gone

    def size(self) -> int:
        return os.fstat(self._file.fileno()).st_size

    def read(self, size: int) -> bytes:
        """Return what comes next; nothing where the file was rewritten, even since `rewritten` was asked."""
        known = len(self._before)
        there = os.pread(self._file.fileno(), known + size, self.at - known)
        if there[:known] != self._before:
            return b""
        self.at += len(there) - known
        self._before = there[-REMEMBERED:]
        return there[known:]

    def seek(self, at: int) -> None:
        """Go to a place."""
        self.at = at
        start = max(0, at - REMEMBERED)
        self._before = os.pread(self._file.fileno(), at - start, start)

    def to_last_line(self) -> None:
        """Go to the end, but not into a line: one that is not complete is still to come."""
        end = self.size()
        start = max(0, end - PIECE)
        last = os.pread(self._file.fileno(), end - start, start)
        self.seek(start + last.rfind(b"\n") + 1 if b"\n" in last else end if start else 0)

    def rewritten(self) -> bool:
        """Whether the file is no more what was read: shorter, or other octets where we are (truncated, and grown
        since; its time does not tell: two changes within a tick of the clock have the same)."""
        known = len(self._before)
        return self.size() < self.at or os.pread(self._file.fileno(), known, self.at - known) != self._before

    def successor(self) -> Tail | None:
        """Return the start of the file that follows this one: the next older rotated one, at last the one that has the
        log's name now; None when that is still this one, or names are just being changed."""
        self.refused = ""
        try:
            mine, now = _identity(os.fstat(self._file.fileno())), _identity(os.stat(self.path))
            self._gone = None
            if now == mine:
                return None
            order = [(one, one.stat()) for one in _rotated(self.path)]
            places = [_identity(there) for _, there in order]
            self._unseen = 0 if mine in places else self._unseen + 1
            if 0 < self._unseen < LOOKS:
                return None
            self.lost = self._unseen > 0
            behind = order[places.index(mine) + 1 :] if mine in places else []
            later = [(one, _identity(there)) for one, there in behind if there.st_size]
            target, wanted = later[0] if later else (self.path, now)
            after = Tail(target, self.path)
            if _identity(os.fstat(after._file.fileno())) == wanted:
                return after
            after.close()
        except FileNotFoundError:
            self._gone = self._gone or time.monotonic()
        except OSError as error:
            self.refused = error.strerror or str(error)
        return None


def _identity(there: os.stat_result) -> tuple[int, int]:
    return there.st_dev, there.st_ino


def _rotated(path: Path) -> list[Path]:
    """Return the rotated files of a log that can be read on, oldest first; the log itself is not among them."""
    own = opening.stem(path)
    beside = [p for p in path.parent.iterdir() if p.name.startswith(path.stem) and p != path and p.is_file()]
    plain = [p for p in beside if p.suffix not in opening.SUFFIXES and opening.stem(p) == own]
    return opening.in_order(plain)
