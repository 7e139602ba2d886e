"""Files that only their owner may read (mode 0600 under any umask), and writing one whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO


def make_folder(path: Path) -> Path:
    """Make a folder of mode 0700, with those above it; raises OSError."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def open_private(path: Path, flags: int = os.O_RDWR | os.O_CREAT) -> int:
    """Open a file for reading and writing, made with mode 0600; returns the descriptor."""
    handle = os.open(path, flags | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0), 0o600)
    if hasattr(os, "fchmod"):
        os.fchmod(handle, 0o600)
    return handle


def write_whole(path: Path, write: Callable[[IO[bytes]], object], *, beside: Path | None = None) -> None:
    """Write a file beside `path` and put it in its place: readers see the old one or the new one, never half.

    `beside` is another folder of the same file system to write it in.
    """
    handle, name = tempfile.mkstemp(dir=beside or path.parent, prefix=f".{path.name}-", suffix=".tmp")  # mode 0600
    try:
        with os.fdopen(handle, "wb") as out:
            write(out)
            out.flush()
            os.fsync(out.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Make the names in a folder outlive a loss of power, where the system can."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def clear_leftovers(folder: Path) -> None:
    """Remove what a writer that was killed left half written."""
    for path in folder.glob(".*.tmp"):
        path.unlink(missing_ok=True)


def append_all(handle: int, data: bytes) -> None:
    """Append to a file, all or nothing; raises OSError."""
    start = os.lseek(handle, 0, os.SEEK_END)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(handle, view) :]
    except BaseException:
        os.ftruncate(handle, start)
        raise


def lock_folder(folder: Path) -> int | None:
    """Take a folder for this server alone; returns what `unlock_folder` takes, None where that can't be done.

    Raises BlockingIOError when another server has it. The lock ends with the process, however that ends.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    try:
        path = make_folder(folder) / ".lock"
        os.close(open_private(path))
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None  # a folder that can't be written can't be written by two
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise BlockingIOError(f"another server keeps its data in {folder}") from None
    return handle


def unlock_folder(handle: int | None) -> None:
    """Give a folder back."""
    if handle is not None:
        os.close(handle)
