"""dnsnb's own Parquet: a log, a converted log of another system, or a frame that was saved.

Any Parquet file with `time` and `qname` columns is taken; other columns of the frame are added as nulls.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from dnsnb import schema
from dnsnb.errors import LogFormatError
from dnsnb.formats import columns
from dnsnb.formats.feeding import Context
from dnsnb.formats.opening import Input
from dnsnb.formats.sniff import Head


def score(head: Head) -> int:
    """Parquet's magic."""
    return 98 if head.raw[:4] == b"PAR1" else 0


def read(one: Input, context: Context) -> Iterator[pa.Table]:
    """Yield the row groups of a file."""
    if one.path is not None and one.compression is None:
        yield from _groups(one.path, one.name, context)
        return
    with tempfile.TemporaryDirectory(prefix="dnsnb-") as folder:
        copy = Path(folder) / "copy.parquet"
        copy.write_bytes(b"".join(one.pieces()))
        yield from _groups(copy, one.name, context)


def _groups(path: Path, name: str, context: Context) -> Iterator[pa.Table]:
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise LogFormatError(f"{name}: a Parquet file that can't be read, perhaps cut off: {error}") from None
    with file:
        have = file.schema_arrow.names
        if "time" not in have or "qname" not in have:
            raise LogFormatError(
                f"{name}: a Parquet file, but not of DNS queries: expected columns time and qname, found "
                f"{', '.join(have[:12])}"
            )
        wanted = [n for n in have if n in columns._TYPES and n != columns.KIND]
        for group in range(file.num_row_groups):
            try:
                table = file.read_row_group(group, columns=wanted)
            except (pa.ArrowException, OSError) as error:
                context.skip_count(f"a damaged row group ({error})", 1)
                continue
            yield fitted(table)


def fitted(table: pa.Table) -> pa.Table:
    """Return a table with the frame's types; a column of another type that can't be converted is null."""
    arrays: dict[str, Any] = {}
    for name in table.column_names:
        kind = columns._TYPES[name]
        try:
            arrays[name] = columns._fit(table.column(name), kind)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            arrays[name] = pa.nulls(len(table), kind)
    return pa.table(arrays) if arrays else schema.arrow_schema().empty_table()
