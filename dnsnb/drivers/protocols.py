"""What a driver promises. Methods block, and are called one at a time a driver, in a worker thread."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from dnsnb import schema
from dnsnb.dns.journal import LogBatch


class LogDriver(Protocol):
    """Keeps the query log."""

    name: str

    @property
    def count(self) -> int:
        """Rows that are kept."""

    def append(self, batch: LogBatch) -> None:
        """Keep a batch; raises OSError when it can't, and then has kept nothing of it."""

    def page(
        self, limit: int, before: int | None = None, after: int | None = None
    ) -> tuple[schema.Columns, int | None]:
        """Return the newest `limit` rows with an id below `before` and above `after`, ids rising.

        With them the id to give as `before` for the page of older ones, or None when there are none.
        """

    def close(self) -> None:
        """Write what waits, and close."""


class ListDriver(Protocol):
    """Keeps the names that people typed into the lists."""

    name: str

    def load(self, list_name: str) -> list[tuple[str, int]]:
        """Return the names of a list, and when each was added (ms since the epoch)."""

    def change(self, list_name: str, added: Sequence[tuple[str, int]], removed: Sequence[str]) -> None:
        """Keep an edit, all of it or (raising OSError) nothing."""

    def close(self) -> None:
        """Close."""


class CacheDriver(Protocol):
    """Keeps the cache from one run to the next."""

    name: str

    def load(self) -> Iterable[bytes]:
        """Return the entries that were saved."""

    def save(self, entries: Iterable[bytes]) -> None:
        """Keep these entries in the place of those before."""

    def close(self) -> None:
        """Close."""
