"""What a driver promises. Methods block, and are called one at a time a driver, in a worker thread."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from dnsnb import schema
from dnsnb.dns.journal import LogBatch


class LogDriver(Protocol):
    """Keeps the query log."""

    name: str
    #: False where rows only go out (a console): `scan` then gives nothing
    readable: bool
    #: True where `append` takes next to no time, beside readers too: then it isn't left to a worker thread
    quick: bool

    @property
    def count(self) -> int:
        """Rows that are kept."""

    @property
    def last_id(self) -> int:
        """The highest id that was ever kept and is still known; 0 when there is none."""

    def append(self, batch: LogBatch) -> None:
        """Keep a batch; raises OSError when it can't, and then has kept nothing of it."""

    def scan(
        self,
        before: int | None = None,
        after: int | None = None,
        *,
        since: int | None = None,
        until: int | None = None,
        oldest_first: bool = False,
    ) -> Iterator[schema.Columns]:
        """Yield rows with an id below `before` and above `after`, in chunks; in each chunk ids rise.

        The newest chunk comes first unless `oldest_first`. `since` and `until` (µs since the epoch) may save reading
        what is surely outside; the caller still looks at each row's time.
        """

    def expire(self, older_than: int) -> int:
        """Drop rows from before `older_than` (µs since the epoch), and the oldest above the driver's size.

        Returns how many went. A driver may keep some longer until a whole file of them is due.
        """

    def close(self) -> None:
        """Write what waits, and close."""


class ListDriver(Protocol):
    """Keeps the names that people typed into the lists."""

    name: str

    def load(self, list_name: str) -> list[tuple[str, int]]:
        """Return the names of a list in the order they were added, and when each was (ms since the epoch)."""

    def change(self, list_name: str, added: Sequence[tuple[str, int]], removed: Sequence[str]) -> None:
        """Keep an edit, all of it or (raising OSError) nothing; when it returns, it outlives the process."""

    def close(self) -> None:
        """Close."""


class CacheDriver(Protocol):
    """Keeps the cache from one run to the next."""

    name: str
    #: False where nothing outlives the process, so that there is nothing to save
    lasting: bool

    def load(self) -> Iterable[bytes]:
        """Return the entries that were saved."""

    def save(self, entries: Iterable[bytes]) -> None:
        """Keep these entries in the place of those before, all or (raising OSError) none."""

    def close(self) -> None:
        """Close."""
