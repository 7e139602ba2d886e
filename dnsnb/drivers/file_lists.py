"""Edits of the lists as text files, a name a line: a person may read them, and change them while no server runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from dnsnb.drivers.columns import time_text, time_us
from dnsnb.drivers.private import clear_leftovers, make_folder, write_whole


class FileLists:
    """One file a list, replaced whole with each edit."""

    name = "file"

    def __init__(self, folder: Path) -> None:
        self.folder = make_folder(folder)
        clear_leftovers(folder)

    def load(self, list_name: str) -> list[tuple[str, int]]:
        try:
            text = self._path(list_name).read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return []
        names: dict[str, int] = {}
        for line in text.splitlines():
            name, _, comment = line.partition("#")
            if name.strip():
                names[name.strip()] = _moment(comment)
        return list(names.items())

    def change(self, list_name: str, added: Sequence[tuple[str, int]], removed: Sequence[str]) -> None:
        names = dict(self.load(list_name))
        for text in removed:
            names.pop(text, None)
        names.update(added)
        lines = [f"{text}  # {time_text(moment * 1000)}\n" for text, moment in names.items()]
        write_whole(self._path(list_name), lambda out: out.write("".join(lines).encode()))

    def close(self) -> None:
        return

    def _path(self, list_name: str) -> Path:
        return self.folder / f"{quote(list_name, safe='')}.txt"


def _moment(comment: str) -> int:
    try:
        return time_us(comment.strip()) // 1000
    except ValueError:
        return 0
