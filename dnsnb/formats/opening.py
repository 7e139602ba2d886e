"""Where a log's bytes come from: paths, globs, folders, streams; rotated sets in their true order.

The only place in formats/ that opens files to read them (databases and Parquet open their own). Knows compressed,
report and errors only.
"""

from __future__ import annotations

import glob
import io
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from dnsnb.errors import LogFormatError, SettingError
from dnsnb.formats import compressed
from dnsnb.formats.report import ImportReport

CHUNK = 1 << 20
HEAD = 1 << 16
SUFFIXES = (".gz", ".bz2", ".xz", ".zst", ".zstd", ".lzma")


class Input:
    """One log to read: a path or an open stream. `head` is its first bytes, decompressed."""

    def __init__(self, path: Path | None, stream: IO[bytes] | None = None) -> None:
        self.path = path
        self._stream = stream
        called = getattr(stream, "name", None)  # a pipe's is a number
        self.name = shown(path) if path is not None else called if isinstance(called, str) and called else "stream"
        self.source = shown(path.name) if path is not None else self.name
        """What the rows of it say where they are from."""
        self.modified, self.size = _stat(path)
        self.start = b""
        """What `head` was, kept when the bytes have gone by."""
        self.let_go()

    def let_go(self) -> None:
        """Close the file and forget what was read of it: it is opened anew when it is asked for again."""
        self._taken = b""
        self._rest: Iterator[bytes] | None = None
        self.compression: str | None = None
        self.consumed = 0
        self.cut: str | None = None

    @property
    def head(self) -> bytes:
        """The first 64 KiB after decompression (fewer where there are fewer)."""
        if self._rest is None:
            self._rest = self._decompressed()
            while len(self._taken) < HEAD:
                piece = next(self._rest, None)
                if piece is None:
                    break
                self._taken += piece
            self.start = self._taken[: 1 << 12]
        return self._taken[:HEAD]

    def pieces(self) -> Iterator[bytes]:
        """Yield the decompressed bytes once."""
        _ = self.head
        if self._taken:
            yield self._taken
            self._taken = b""
        if self._rest is not None:
            yield from self._rest

    def _raw(self) -> Iterator[bytes]:
        stream: Any = self._stream
        if stream is None:
            if self.path is None:
                return
            stream = open(self.path, "rb", buffering=0)  # noqa: SIM115 - closed below, also when the reader stops early
        size = HEAD  # many files may be held open by their heads
        try:
            while piece := stream.read(size):
                data = piece.encode() if isinstance(piece, str) else bytes(piece)
                self.consumed += len(data)
                size = CHUNK
                yield data
        except ValueError as error:  # a stream that was closed, or that is for writing
            raise LogFormatError(f"{self.name}: can't be read: {error}") from None
        finally:
            if self._stream is None:
                stream.close()

    def _decompressed(self) -> Iterator[bytes]:
        raw = self._raw()
        first = b""
        while len(first) < 6 and (piece := next(raw, None)) is not None:
            first += piece
        self.compression = compressed.kind_of(first)
        if self.compression is not None:
            yield from compressed.opened(self.compression, first, raw, self._cut)
            return
        if first:
            yield first
        yield from raw

    def _cut(self, why: str) -> None:
        self.cut = why


def shown(path: str | os.PathLike[str]) -> str:
    """Return a path as text that can be written: octets that are no UTF-8 as ``\\xff``."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _stat(path: Path | None) -> tuple[float, int]:
    """Return when a file was changed and how large it is; one that is gone tells when it is opened."""
    try:
        there = path.stat() if path is not None else None
    except OSError:
        there = None
    return (there.st_mtime, there.st_size) if there is not None else (time.time(), 0)


def is_parquet(one: Input) -> bool:
    """Return whether an input is a Parquet file that can be read where it lies."""
    try:
        if one.path is None:
            return False
        with one.path.open("rb") as file:
            return file.read(4) == b"PAR1"
    except OSError:
        return False


def find(source: Any, report: ImportReport) -> list[Input]:
    """Return what a path, a glob, a folder, an open stream or a list of these names: each rotated set oldest first.

    Raises FileNotFoundError, LogFormatError or SettingError naming what was not found.
    """
    if isinstance(source, (list, tuple)) and source:
        return _sets_in_order([one for item in source for one in find(item, report)])
    if hasattr(source, "read"):
        return [Input(None, source)]
    if isinstance(source, (bytes, bytearray, memoryview)):
        return [Input(None, io.BytesIO(bytes(source)))]
    text, path = named(source)
    if os.path.isdir(path):
        paths = _in_folder(path, text, report)
    elif os.path.exists(path):
        paths = [path]
    elif glob.has_magic(text):
        paths = [Path(p) for p in glob.glob(str(path), recursive=True) if os.path.isfile(p) and not _beside(Path(p))]
        if not paths:
            _enter(path)
            raise FileNotFoundError(f"{text}: no file matches")
    else:
        _enter(path)
        raise FileNotFoundError(f"{text}: no such file, folder or glob")
    return [Input(p) for p in in_order(paths)]


def _enter(path: Path) -> None:
    """Raise PermissionError when a folder on the way may not be entered: then nobody knows what is there."""
    try:
        path.stat()
    except PermissionError:
        raise
    except (OSError, ValueError):
        pass


def _in_folder(path: Path, text: str, report: ImportReport) -> list[Path]:
    there = [p for p in path.iterdir() if not p.name.startswith(".") and not _beside(p)]
    paths = [p for p in there if os.path.isfile(p)]
    inner = sum(os.path.isdir(p) for p in there)
    within = f"{text.rstrip('/')}/**/*"
    if not paths:
        raise LogFormatError(f"{text}: the folder holds no files; expected DNS logs (in folders within: {within})")
    if inner:
        report.note(f"{text}: {inner:,} folders within were not looked into; {within} names their logs too")
    if other := len(there) - len(paths) - inner:
        report.note(f"{text}: {other:,} entries that are no files (links that lead nowhere, pipes) were left out")
    return paths


def named(source: Any) -> tuple[str, Path]:
    """Return the path that a source is, as it was written and as it is meant; raises SettingError when it is none."""
    if not isinstance(source, (str, os.PathLike)) or not os.fspath(source):
        raise SettingError(
            "source", source, "must be a path, a glob, a folder, an open stream, bytes or a list of these"
        )
    text = os.fsdecode(source)
    if not os.path.exists(text):
        if "\n" in text:
            raise SettingError("source", text, "is the text of a log, not its path; give it as bytes: text.encode()")
        if _URL.match(text):
            raise SettingError(
                "source", text, "is a URL; logs are read from files: give a path, or the open stream of a download"
            )
    try:
        return text, Path(text).expanduser()
    except RuntimeError:  # ~ of somebody who is not known here
        return text, Path(text)


_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


def _beside(path: Path) -> bool:
    return path.name.endswith(("-wal", "-shm", "-journal"))


def in_order(paths: list[Path]) -> list[Path]:
    """Return rotated files oldest first: ``log.2.gz``, ``log.1``, ``log``; ``log-20260101``; Zeek's
    ``dns.16:00:00-17:00:00.log.gz``; a ring of captures."""
    return sorted(paths, key=lambda p: (str(p.parent), *_rank(p)))


def _sets_in_order(inputs: list[Input]) -> list[Input]:
    """Return inputs as they were listed, but the files of each rotated set (a shell lists the newest first) together
    and oldest first."""
    begun: dict[tuple[Path, str], int] = {}
    keys: list[tuple[Any, ...]] = []
    for place, one in enumerate(inputs):
        rank = _rank(one.path) if one.path is not None else ("",)
        keys.append((place if one.path is None else begun.setdefault((one.path.parent, rank[0]), place), *rank))
    return [inputs[i] for i in sorted(range(len(inputs)), key=keys.__getitem__)]


def stem(path: Path) -> str:
    """Return the name that a rotated set shares."""
    return _rank(path)[0]


_DATE = re.compile(
    r"[-._]?(?<!\d)((?:19|20)\d\d(-?)(?:0[1-9]|1[0-2])\2[0-3]\d(?:[-T_]?\d\d(?:[-:.]?\d\d){0,2})?(?:[.,]?\d{3})?"
    r"|(?<=-)1\d{9})(?!\d)"
)
"""A day and perhaps a time, to the ms (BIND's ``suffix timestamp``); or logrotate's ``dateformat -%s``."""
_RANDOM = re.compile(r"[-_](?:[0-9a-f]{8,}(?=[._]|$)|[0-9a-z]{4}(?=\.csv$))")
"""What object stores put behind a date, that names may differ: no part of what a set shares."""
_HOURS = re.compile(r"\.(\d\d[:.]\d\d[:.]\d\d)-\d\d[:.]\d\d[:.]\d\d(?=\.)")
_NUMBER = re.compile(r"\.(\d{1,4})$")
_WITHIN = re.compile(r"\.(\d{1,4})(?=\.[A-Za-z]+$)")
"""logrotate's ``extension``: the number stands before it. Only beside a log of that name: else it may be a host's."""
_CAPTURE = re.compile(r"(?<=cap)(\d{1,6})$")
"""tcpdump -C: dns.pcap, dns.pcap1, dns.pcap2 … in the order in which they were written."""
_RING = re.compile(r"_(?:(\d{5,})_(\d{14})|(\d{14})_(\d{5,}))(?=\.|$)")
"""dumpcap's files: ``name_00001_20260301100000.pcapng``, or the time first."""


def _rank(path: Path) -> tuple[str, int, str, int, float]:
    name = path.name
    for suffix in SUFFIXES:
        name = name.removesuffix(suffix)
    modified = _stat(path)[0]
    if ring := _RING.search(name):
        return _RING.sub("", name), 0, ring[2] or ring[3], int(ring[1] or ring[4]), modified
    if number := _NUMBER.search(name):
        return _NUMBER.sub("", name), 0, "", -int(number[1]), modified
    for pattern in (_HOURS, _DATE):
        dated = [found[1] for found in pattern.finditer(name)]
        if dated:
            return _RANDOM.sub("", pattern.sub("", name)), 0, " ".join(dated), 0, modified
    if (number := _WITHIN.search(name)) and os.path.exists(path.with_name(_WITHIN.sub("", name))):
        return _WITHIN.sub("", name), 0, "", -int(number[1]), modified
    if number := _CAPTURE.search(name):
        return _CAPTURE.sub("", name), 2, "", int(number[1]), modified
    return name, 1, "", 0, modified
