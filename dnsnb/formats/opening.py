"""Where a log's bytes come from: paths, globs, folders, streams; compression by magic; rotated sets in their true
order.

The only place in formats/ that opens files to read them (databases and Parquet open their own). Knows errors only.
"""

from __future__ import annotations

import bz2
import glob
import io
import lzma
import os
import re
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from dnsnb.errors import LogFormatError, SettingError
from dnsnb.formats.report import ImportReport

CHUNK = 1 << 20
HEAD = 1 << 16
MAGIC = {
    b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\xfd7zXZ\0": "xz", b"\x28\xb5\x2f\xfd": "zstd",
    b"\x50\x2a\x4d\x18": "zstd",  # pzstd starts with a frame that says how long the next one is
}  # fmt: skip
SUFFIXES = (".gz", ".bz2", ".xz", ".zst", ".zstd", ".lzma")


class Input:
    """One log to read: a path or an open stream. `head` is its first bytes, decompressed."""

    def __init__(self, path: Path | None, stream: IO[bytes] | None = None) -> None:
        self.path = path
        self._stream = stream
        self.name = str(path) if path is not None else str(getattr(stream, "name", "stream"))
        self.modified = path.stat().st_mtime if path is not None else time.time()
        self._taken = b""
        self._rest: Iterator[bytes] | None = None
        self.compression: str | None = None
        self.size = path.stat().st_size if path is not None else 0
        self.consumed = 0
        self.cut: str | None = None
        self.start = b""
        """What `head` was, kept when the bytes have gone by."""

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
        try:
            while piece := stream.read(CHUNK):
                data = piece.encode() if isinstance(piece, str) else bytes(piece)
                self.consumed += len(data)
                yield data
        except ValueError as error:  # a stream that was closed
            raise LogFormatError(f"{self.name}: can't be read: {error}") from None
        finally:
            if self._stream is None:
                stream.close()

    def _decompressed(self) -> Iterator[bytes]:
        raw = self._raw()
        first = b""
        while len(first) < 6 and (piece := next(raw, None)) is not None:
            first += piece
        self.compression = next((kind for magic, kind in MAGIC.items() if first.startswith(magic)), None)
        if self.compression == "zstd":
            yield from _zstd(first, raw, self._cut)
            return
        maker = _DECOMPRESSORS.get(self.compression or "")
        yield from _decompress(first, raw, maker, self._cut) if maker else _plain(first, raw)

    def _cut(self, why: str) -> None:
        self.cut = why


def _plain(first: bytes, raw: Iterator[bytes]) -> Iterator[bytes]:
    if first:
        yield first
    yield from raw


def _decompress(
    first: bytes, raw: Iterator[bytes], maker: Callable[[], Any], cut: Callable[[str], None]
) -> Iterator[bytes]:
    engine = maker()
    data: bytes | None = first
    fed = False
    while data is not None:
        while data:
            try:
                out = engine.decompress(data)
            except (zlib.error, OSError, lzma.LZMAError, EOFError, ValueError) as error:
                cut(f"the compressed data is damaged ({error}); what came before was read")
                return
            fed = True
            if out:
                yield out
            if not engine.eof:
                break
            data = engine.unused_data.lstrip(b"\0")
            engine, fed = maker(), False
        data = next(raw, None)
    if fed and not engine.eof:
        tail = engine.flush() if hasattr(engine, "flush") else b""
        if tail:
            yield tail
        cut("the compressed data ends too early; what was there was read")


class _Reader(io.RawIOBase):
    """The raw pieces as a file, for pyarrow."""

    def __init__(self, first: bytes, raw: Iterator[bytes]) -> None:
        self._held = first
        self._raw = raw

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if not self._held:
            self._held = next(self._raw, b"")
        if size is None or size < 0:
            size = len(self._held)
        out, self._held = self._held[:size], self._held[size:]
        return out


def _zstd(first: bytes, raw: Iterator[bytes], cut: Callable[[str], None]) -> Iterator[bytes]:
    import pyarrow as pa

    stream = pa.CompressedInputStream(pa.PythonFile(_Reader(first, raw), mode="r"), "zstd")
    size = 1 << 12  # small at first: where the data is damaged, the piece that ends there is lost as a whole
    try:
        while piece := stream.read(size):
            yield piece
            size = min(size * 2, 1 << 14)
    except OSError as error:
        cut(f"the compressed data is damaged or ends too early ({error}); what came before was read")


_DECOMPRESSORS: dict[str, Callable[[], Any]] = {
    "gzip": lambda: zlib.decompressobj(31),
    "bz2": bz2.BZ2Decompressor,
    "xz": lzma.LZMADecompressor,
}


def find(source: Any, report: ImportReport) -> list[Input]:
    """Return what a path, a glob, a folder, an open stream or a list of these names, oldest first.

    Raises FileNotFoundError, LogFormatError or SettingError naming what was not found.
    """
    if isinstance(source, (list, tuple)) and source:
        return [one for item in source for one in find(item, report)]
    if hasattr(source, "read"):
        return [Input(None, source)]
    if isinstance(source, (bytes, bytearray, memoryview)):
        return [Input(None, io.BytesIO(bytes(source)))]
    text, path = named(source)
    if path.is_dir():
        paths = [p for p in path.iterdir() if p.is_file() and not p.name.startswith(".") and not _beside(p)]
        if not paths:
            raise LogFormatError(
                f"{text}: the folder holds no files; expected DNS logs (those in folders within: write {text}/**/*)"
            )
    elif path.exists():
        paths = [path]
    elif glob.has_magic(text):
        paths = [Path(p) for p in glob.glob(str(path), recursive=True) if Path(p).is_file() and not _beside(Path(p))]
        if not paths:
            raise FileNotFoundError(f"{text}: no file matches")
    else:
        raise FileNotFoundError(f"{text}: no such file, folder or glob")
    return [Input(p) for p in in_order(paths)]


def named(source: Any) -> tuple[str, Path]:
    """Return the path that a source is, as it was written and as it is meant; raises SettingError when it is none."""
    if not isinstance(source, (str, os.PathLike)) or not os.fspath(source):
        raise SettingError(
            "source", source, "must be a path, a glob, a folder, an open stream, bytes or a list of these"
        )
    text = os.fsdecode(source)
    try:
        return text, Path(text).expanduser()
    except RuntimeError:  # ~ of somebody who is not known here
        return text, Path(text)


def _beside(path: Path) -> bool:
    return path.name.endswith(("-wal", "-shm", "-journal"))


def in_order(paths: list[Path]) -> list[Path]:
    """Return rotated files oldest first: ``log.2.gz``, ``log.1``, ``log``; ``log-20260101``; Zeek's
    ``dns.16:00:00-17:00:00.log.gz``."""
    return sorted(paths, key=lambda p: (str(p.parent), *_rank(p)))


def stem(path: Path) -> str:
    """Return the name that a rotated set shares."""
    return _rank(path)[0]


_DATE = re.compile(
    r"[-._]?(?<!\d)((?:19|20)\d\d(-?)(?:0[1-9]|1[0-2])\2[0-3]\d(?:[-T_]?\d\d(?:[-:.]?\d\d){0,2})?)(?!\d)"
)
_RANDOM = re.compile(r"[-_](?:[0-9a-f]{8,}(?=[._]|$)|[0-9a-z]{4}(?=\.csv$))")
"""What object stores put behind a date, that names may differ: no part of what a set shares."""
_HOURS = re.compile(r"\.(\d\d[:.]\d\d[:.]\d\d)-\d\d[:.]\d\d[:.]\d\d(?=\.)")
_NUMBER = re.compile(r"\.(\d{1,4})$")


def _rank(path: Path) -> tuple[str, int, str, int, float]:
    name = path.name
    for suffix in SUFFIXES:
        name = name.removesuffix(suffix)
    number = _NUMBER.search(name)
    if number:
        return _NUMBER.sub("", name), 0, "", -int(number[1]), path.stat().st_mtime
    for pattern in (_HOURS, _DATE):
        dated = [found[1] for found in pattern.finditer(name)]
        if dated:
            return _RANDOM.sub("", pattern.sub("", name)), 0, " ".join(dated), 0, path.stat().st_mtime
    return name, 1, "", 0, path.stat().st_mtime
