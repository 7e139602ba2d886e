"""Where the policy is kept: one JSON file, and each list's last good copy; written whole or not at all, mode 0600."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import zlib
from pathlib import Path
from typing import Any

from dnsnb.errors import SettingError

FILE = "policy.json"


class PolicyStore:
    """A folder; nothing is kept when `folder` is None. All methods block: call them in a worker thread."""

    def __init__(self, folder: str | Path | None) -> None:
        self.folder = None if folder is None else Path(folder)

    def load(self) -> dict[str, Any]:
        """Return what was saved last; {} when nothing was. A broken file is an error that names it."""
        if self.folder is None:
            return {}
        path = self.folder / FILE
        try:
            held = json.loads(path.read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise SettingError(
                "policy_folder", str(path), f"can't be read ({error}); mend it or move it away"
            ) from None
        if not isinstance(held, dict):
            raise SettingError("policy_folder", str(path), "is not a JSON object; mend it or move it away")
        return held

    def save(self, held: dict[str, Any]) -> None:
        """Replace what was saved."""
        if self.folder is not None:
            self._write(FILE, json.dumps(held, indent=1, ensure_ascii=True).encode())

    def save_copy(self, name: str, text: bytes) -> None:
        """Keep a list's text."""
        if self.folder is not None:
            self._write(_file_of(name), zlib.compress(text, 1))

    def load_copy(self, name: str) -> bytes | None:
        """Return the text kept for a list; None when there is none, or it is damaged."""
        if self.folder is None:
            return None
        try:
            return zlib.decompress((self.folder / _file_of(name)).read_bytes())
        except (OSError, zlib.error):
            return None

    def drop_copy(self, name: str) -> None:
        """Forget a list's text."""
        if self.folder is not None:
            (self.folder / _file_of(name)).unlink(missing_ok=True)

    def _write(self, file: str, data: bytes) -> None:
        assert self.folder is not None
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=self.folder, prefix=".")  # made with mode 0600
        try:
            with os.fdopen(handle, "wb") as out:
                out.write(data)
                out.flush()
                os.fsync(out.fileno())
            Path(temporary).replace(self.folder / file)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise


def _file_of(name: str) -> str:
    # A list's name is a person's text: it never becomes part of a path.
    return f"list-{hashlib.sha256(name.encode()).hexdigest()[:32]}.z"
