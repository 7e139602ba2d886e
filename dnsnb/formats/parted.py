"""More events than memory should hold, put down in parts: all that may belong together is in the same one.

Writes to a folder of its own that goes with the object; knows pyarrow only.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

PARTS = 64
KEPT = 500_000
"""So many events are kept in memory, before all go to disk."""


class Parted:
    """Takes events; gives them back in one part, or in `PARTS` by a whole number that a pair has in common."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._kept: list[pa.Table] = []
        self._count = 0
        self._files: dict[tuple[int, pa.Schema], pa.ipc.RecordBatchStreamWriter] = {}
        self._stack = ExitStack()
        self._folder: Path | None = None

    def __len__(self) -> int:
        return self._count

    def add(self, events: pa.Table) -> None:
        """Take events."""
        self._count += len(events)
        self._kept.append(events)
        if self._folder is not None or self._count > KEPT:
            for table in self._kept:
                self._put(table)
            self._kept = []

    def parts(self) -> Iterator[pa.Table]:
        """Yield all events, once."""
        with self._stack:
            if self._folder is None:
                if self._kept:
                    yield pa.concat_tables(self._kept, promote_options="permissive")
                return
            for file in self._files.values():
                file.close()
            for part in range(PARTS):
                found = [self._path(part, n) for n, (place, _) in enumerate(self._files) if place == part]
                tables = [pa.ipc.open_stream(pa.memory_map(str(path))).read_all() for path in found]
                if tables:
                    yield pa.concat_tables(tables, promote_options="permissive")

    def _path(self, part: int, number: int) -> Path:
        assert self._folder is not None
        return self._folder / f"{part}-{number}.arrow"

    def _put(self, table: pa.Table) -> None:
        if self._folder is None:
            self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="dnsnb-join-")))
        plain = pa.table({name: _plain(table.column(name)) for name in table.column_names})
        places = table.column(self._key).cast(pa.int64()).fill_null(0).to_numpy() % PARTS
        for part in np.unique(places).tolist():
            file = self._files.get((part, plain.schema))
            if file is None:
                path = self._path(part, len(self._files))
                file = self._files[part, plain.schema] = self._stack.enter_context(
                    pa.ipc.new_stream(str(path), plain.schema)
                )
            file.write_table(plain.filter(pa.array(places == part)))


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.cast(column, column.type.value_type) if pa.types.is_dictionary(column.type) else column
