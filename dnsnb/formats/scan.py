"""`scan_log`: logs larger than memory. Text is converted once, in a stream, to Parquet; DuckDB reads that lazily.

The cache is keyed by each file's path, size and time, and by the settings; it is bounded. Needs the extra `scan`.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from dnsnb import __version__, schema
from dnsnb.errors import DnsnbError, SettingError
from dnsnb.formats import columns, namefeatures, opening, reading
from dnsnb.formats.progress import shown
from dnsnb.formats.report import ImportReport

GROUP_ROWS = 1_000_000
GROUP_BYTES = 192 << 20
CACHE_BYTES = 50 << 30
ABANDONED_S = 86_400.0
"""Nobody is writing a partial file that has not changed for so long."""
VERSION = 4
_REPORT = "dnsnb:import"


def scan_log(
    source: Any,
    *,
    cache: Any = None,
    progress: bool = True,
    memory_limit: str = "1GB",
    report: ImportReport | None = None,
    **settings: Any,
) -> Any:
    """Return a DuckDB relation; the door `dnsnb.formats.scan_log` says how."""
    duckdb = _needed("duckdb")
    report = ImportReport() if report is None else report
    options = reading.Options(**settings)
    inputs = opening.find(source, report)
    plain = [one for one in inputs if opening.is_parquet(one)]
    paths = [str(one.path) for one in plain]
    rest = [one for one in inputs if one not in plain]
    if rest:
        folder = Path(cache) if cache is not None else cache_folder()
        paths.append(str(converted(rest, options, folder, progress, report)))
    try:
        connection = duckdb.connect(config={"memory_limit": memory_limit, "temp_directory": os.fspath(_spill(cache))})
    except duckdb.Error as error:
        raise SettingError("memory_limit", memory_limit, f"must be a size such as '1GB': {error}") from None
    connection.execute("SET TimeZone = 'UTC'")
    return connection.read_parquet(paths, union_by_name=True)


def converted(
    inputs: list[opening.Input], options: reading.Options, folder: Path, progress: bool, report: ImportReport
) -> Path:
    """Return the Parquet file of a set of logs, written now unless it is there already and nothing has changed."""
    key = hashlib.sha256(repr((VERSION, __version__, [_mark(one) for one in inputs], options.key())).encode())
    target = folder / f"scan-{key.hexdigest()[:24]}.parquet"
    if target.exists() and all(one.path is not None for one in inputs):
        _recall(target, report)
        report.note(f"taken from {target}, converted before")
        try:
            os.utime(target)  # what is used stays
        except OSError:  # somebody else's: a folder that can be read alone will do
            pass
        return target
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(".partial", f"{target.stem}.", folder)  # several may convert the same log
    except OSError as error:
        raise SettingError("cache", str(folder), f"must be a folder that can be written: {error.strerror}") from None
    os.close(handle)
    partial = Path(name)
    try:
        tables = reading.tables_of(inputs, options, report, ordered=False, progress=shown(progress))
        to_parquet(tables, partial, report)
        partial.replace(target)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise SettingError(
            "cache", str(folder), f"has no room for the converted log ({os.strerror(error.errno)}); name another folder"
        ) from None
    finally:
        partial.unlink(missing_ok=True)
    _prune(folder, keep=target)
    return target


def to_parquet(tables: Iterator[pa.Table], path: Path, report: ImportReport | None = None) -> int:
    """Write finished tables as one Parquet file (zstd, row groups of a million), with the name features and the report
    of how they were read; return the rows."""
    import pyarrow.parquet as pq

    wanted = file_schema()
    read = row_schema()
    held: list[pa.Table] = []
    count = size = total = 0

    def write() -> None:
        group = pa.concat_tables(held).unify_dictionaries()  # a name counts once in a group, however often it is asked
        held.clear()
        writer.write_table(namefeatures.with_features(group).cast(wanted))

    with pq.ParquetWriter(path, wanted, compression="zstd", use_dictionary=True) as writer:
        for table in tables:
            whole = fitted(table, read)
            held.append(whole)
            count += len(whole)
            size += whole.nbytes
            if count >= GROUP_ROWS or size >= GROUP_BYTES:
                write()
                total += count
                count = size = 0
        if held:
            write()
        if report is not None:
            writer.add_key_value_metadata({_REPORT: json.dumps(report, default=str)})
    return total + count


def _recall(path: Path, report: ImportReport) -> None:
    """Fill a report with that of the conversion."""
    import pyarrow.parquet as pq

    report.update(json.loads((pq.read_metadata(path).metadata or {}).get(_REPORT.encode(), b"{}")))


def file_schema() -> pa.Schema:
    """Return the columns of a converted log: the frame's, all extras, the name features."""
    return pa.schema([*row_schema(), *namefeatures.FIELDS], metadata={"dnsnb_schema": str(VERSION)})


def row_schema() -> pa.Schema:
    """Return the columns of any log: the frame's, then all extras."""
    return pa.schema([*schema.arrow_schema(), *(pa.field(n, k) for n, (k, _) in columns.EXTRAS.items())])


def fitted(table: pa.Table, wanted: pa.Schema) -> pa.Table:
    """Return rows with these columns, whatever their format has of them."""
    have = set(table.column_names)
    arrays = [table.column(f.name) if f.name in have else pa.nulls(len(table), f.type) for f in wanted]
    return pa.Table.from_arrays(arrays, schema=wanted)


def cache_folder() -> Path:
    """Return where conversions are kept unless told otherwise."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "dnsnb" / "scan"


def _spill(cache: Any) -> Path:
    folder = (Path(cache) if cache is not None else cache_folder()) / "spill"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:  # conversions that are there already may lie where nobody may write
        return Path(tempfile.gettempdir())
    return folder


def _mark(one: opening.Input) -> Any:
    if one.path is None:
        return time.time_ns()
    stat = one.path.stat()
    return str(one.path.resolve()), stat.st_size, stat.st_mtime_ns


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # its owner has just finished
        return time.time()


def _prune(folder: Path, keep: Path) -> None:
    """Keep the folder within its bound, and free of what conversions that were killed left behind."""
    for left in folder.glob("scan-*.partial"):
        if _modified(left) < time.time() - ABANDONED_S:
            left.unlink(missing_ok=True)
    files = sorted((p.stat().st_mtime, p.stat().st_size, p) for p in folder.glob("scan-*.parquet") if p != keep)
    total = sum(size for _, size, _ in files) + keep.stat().st_size
    for _, size, path in files:
        if total <= CACHE_BYTES:
            break
        path.unlink(missing_ok=True)
        total -= size


def _needed(name: str) -> Any:
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError:
        raise DnsnbError(f"scan_log needs {name}; install it with: pip install 'dnsnb[scan]'") from None
