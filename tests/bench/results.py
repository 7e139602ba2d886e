"""Puts what was measured into its section of RESULTS.md, in place of what stood there."""

from __future__ import annotations

from pathlib import Path


def put(path: Path, section: str, text: str) -> None:
    """Write a section between its two comments; one that is new goes to the end."""
    old = path.read_text() if path.exists() else ""
    begin, end = f"<!-- {section} -->", f"<!-- /{section} -->"
    block = f"{begin}{text}{end}"
    if begin in old and end in old:
        old = old.split(begin)[0] + block + old.split(end)[1]
    else:
        old = f"{old.rstrip()}\n\n{block}\n"
    path.write_text(old)
