"""Compressed bytes in, plain bytes out, piece by piece: gzip, bzip2, xz, lzma and Zstandard, told by first octets.

What is damaged or cut off gives all that came before. Knows nothing of files or logs.
"""

from __future__ import annotations

import bz2
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Any

MAGIC = {
    b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\xfd7zXZ\0": "xz", b"]\0\0": "xz", b"\x28\xb5\x2f\xfd": "zstd",
    b"\x50\x2a\x4d\x18": "zstd",  # pzstd starts with a frame that says how long the next one is
}  # fmt: skip
SLICE = 1 << 12
"""So much compressed data is opened at once: it bounds what comes out of it (gzip makes a thousand of one), and what is
lost where an xz file is damaged."""
_AHEAD = 1 << 16
_DAMAGE = (zlib.error, OSError, lzma.LZMAError, EOFError, ValueError)
_MAKERS: dict[str, Callable[[], Any]] = {
    "gzip": lambda: zlib.decompressobj(31),
    "bz2": bz2.BZ2Decompressor,
    "xz": lzma.LZMADecompressor,
}
EARLY = "the compressed data ends too early"


def kind_of(first: bytes) -> str | None:
    """Return how data that begins so is compressed; None when it isn't."""
    return next((kind for magic, kind in MAGIC.items() if first.startswith(magic)), None)


def opened(kind: str, first: bytes, raw: Iterator[bytes], cut: Callable[[str], None]) -> Iterator[bytes]:
    """Yield the plain bytes of all members, one after the other; `cut` hears why they end before their end."""
    return _zstd(first, raw, cut) if kind == "zstd" else _members(_MAKERS[kind], first, raw, cut)


def _members(
    maker: Callable[[], Any], first: bytes, raw: Iterator[bytes], cut: Callable[[str], None]
) -> Iterator[bytes]:
    engine = maker()
    fed = False
    for piece in _slices(first, raw):
        data = piece if fed else piece.lstrip(b"\0")  # padding between members
        while data:
            before = engine.copy() if hasattr(engine, "copy") else None
            try:
                out = engine.decompress(data)
            except _DAMAGE as error:
                yield from _until_damage(before, data)
                cut(f"the compressed data is damaged ({error})")
                return
            fed = True
            if out:
                yield out
            if not engine.eof:
                break
            data = engine.unused_data.lstrip(b"\0")
            engine, fed = maker(), False
    if fed and not engine.eof:
        tail = engine.flush() if hasattr(engine, "flush") else b""
        if tail:
            yield tail
        cut(EARLY)


def _slices(first: bytes, raw: Iterator[bytes]) -> Iterator[bytes]:
    piece: bytes | None = first
    while piece is not None:
        for at in range(0, len(piece), SLICE):
            yield piece[at : at + SLICE]
        piece = next(raw, None)


def _until_damage(engine: Any, data: bytes) -> Iterator[bytes]:
    """Yield what comes out before the octet that is wrong, where an engine's state could be kept."""
    if engine is None:
        return
    for at in range(len(data)):
        try:
            out = engine.decompress(data[at : at + 1])
        except _DAMAGE:
            return
        if out:
            yield out


class _Source(io.RawIOBase):
    """The raw pieces as a file, for pyarrow; knows early when they end."""

    def __init__(self, first: bytes, raw: Iterator[bytes]) -> None:
        self._held = first
        self._at = 0
        self._raw = raw
        self.ending = False
        """Whether what is left is in hand."""
        self._look_ahead()

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        self._look_ahead()
        out = self._held[self._at : self._at + SLICE]  # not all that is asked for: damage takes what is opened with it
        self._at += len(out)
        return out

    def _look_ahead(self) -> None:
        while not self.ending and len(self._held) - self._at < _AHEAD:
            piece = next(self._raw, None)
            self.ending = piece is None
            self._held, self._at = self._held[self._at :] + (piece or b""), 0


def _zstd(first: bytes, raw: Iterator[bytes], cut: Callable[[str], None]) -> Iterator[bytes]:
    import pyarrow as pa

    source = _Source(first, raw)
    stream = pa.CompressedInputStream(pa.PythonFile(source, mode="r"), "zstd")
    held: list[bytes] = []
    size = 0
    try:  # what is asked for together with the octet that is wrong is lost: small pieces at the end, where it is cut
        while piece := stream.read(64 if source.ending else 1 << 12):
            held.append(piece)
            size += len(piece)
            if size >= _AHEAD:
                yield b"".join(held)
                held, size = [], 0
    except OSError as error:
        early = "truncated" in str(error).lower()
        cut(EARLY if early else f"the compressed data is damaged ({error})")
    if held:
        yield b"".join(held)
