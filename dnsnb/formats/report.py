"""What a reader did with a file: how much it took in, what it left out and why, what it had to assume.

A dict, so that it survives `frame.attrs`, pickling and Parquet metadata. Knows nothing of formats.
"""

from __future__ import annotations

import html
import threading
from typing import Any

EXAMPLES = 3
_LOCK = threading.Lock()  # readers parse in threads; not part of a report, which is pickled


class ImportReport(dict[str, Any]):
    """The report of one import; also readable as attributes (`report.rows`, `report.skipped`).

    Keys: `files`, `format`, `lines`, `events`, `rows`, `bytes`, `skipped` (reason -> {"count", "examples": [[file,
    line, text]]}), `asides` (what -> count: lines that hold no record and are not meant to: headers, empty lines …),
    `lossy` (rows whose name was not written whole), `untimed` (rows without a time), `untold` (what of names the
    log can't tell in any row), `notes`, `year`, `zone`, `clock_steps`, `first`, `last` (ISO 8601, UTC), `seconds`.
    """

    def __init__(self, *args: Any, **fields: Any) -> None:
        super().__init__(
            files=[], format=None, lines=0, events=0, rows=0, bytes=0, skipped={}, asides={}, lossy=0, untimed=0,
            untold="", notes=[], year=None, zone=None, clock_steps=0, first=None, last=None, seconds=0.0,
        )  # fmt: skip
        self.update(*args, **fields)

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __deepcopy__(self, memo: Any) -> ImportReport:
        return self  # pandas copies attrs with every operation; the report is history and does not change

    def skip(self, reason: str, count: int, examples: list[tuple[str, int, str]] | None = None) -> None:
        """Count lines (or records) that gave no row, keeping the first few as examples."""
        if count <= 0:
            return
        with _LOCK:
            entry = self["skipped"].setdefault(reason, {"count": 0, "examples": []})
            entry["count"] += int(count)
            entry["examples"] += [[file, int(line), text[:200]] for file, line, text in examples or ()]
            entry["examples"] = sorted(entry["examples"], key=lambda e: e[:2])[:EXAMPLES]

    def aside(self, what: str, count: int) -> None:
        """Count lines that hold no record and are not meant to: with events and skipped ones they are all lines."""
        if count > 0:
            with _LOCK:
                self["asides"][what] = self["asides"].get(what, 0) + int(count)

    def forget(self) -> None:
        """Count from nothing again: what was read so far was not asked for."""
        with _LOCK:
            self.update(lines=0, events=0, rows=0, bytes=0, skipped={}, asides={}, lossy=0, untimed=0)

    def note(self, text: str, instead: str = "") -> None:
        """Say once what was assumed or repaired, or `instead` of what was said before."""
        with _LOCK:
            if instead in self["notes"]:
                self["notes"][self["notes"].index(instead)] = text
            elif text not in self["notes"] and len(self["notes"]) < 50:
                self["notes"].append(text)

    @property
    def skipped_count(self) -> int:
        """How many lines or records gave no row."""
        return sum(entry["count"] for entry in self["skipped"].values())

    def __str__(self) -> str:
        lines = [f"{label:<12}{value}" for label, value in self._facts()]
        for reason, entry in self["skipped"].items():
            lines.append(f"  {entry['count']:>9,}  {reason}")
            lines += [f"             {_example(*example)}" for example in entry["examples"]]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        left = 'style="text-align:left;vertical-align:top"'  # notebooks put the cells of a table to the right
        rows = "".join(
            f"<tr><th {left}>{label}</th><td {left}>{html.escape(str(value))}</td></tr>"
            for label, value in self._facts()
        )
        for reason, entry in self["skipped"].items():
            shown = "".join(
                f'<br><code style="overflow-wrap:anywhere">{html.escape(_example(*example))}</code>'
                for example in entry["examples"]
            )
            rows += f"<tr><th {left}>{entry['count']:,}</th><td {left}>{html.escape(reason)}{shown}</td></tr>"
        return f'<table class="dnsnb-import"><caption {left}>import report</caption>{rows}</table>'

    def _facts(self) -> list[tuple[str, str]]:
        files = self["files"]
        named = ", ".join(printable(f) for f in files[:3]) + (f" and {len(files) - 3} more" if len(files) > 3 else "")
        facts = [
            *([("files", named)] if files else []),
            ("format", str(self["format"] or "not known yet")),
            ("lines", f"{self['lines']:,}"),
            ("rows", f"{self['rows']:,}"),
            ("skipped", f"{self.skipped_count:,}"),
        ]
        if self["asides"]:
            facts.append(("no records", ", ".join(f"{n:,} {what}" for what, n in self["asides"].items())))
        if self["lossy"]:
            facts.append(("lossy names", f"{self['lossy']:,} rows (column lossy; qname_raw is what was written)"))
        if self["untimed"]:
            facts.append(("no time", f"{self['untimed']:,} rows: the log tells none, or none that could be read"))
        if self["untold"]:
            facts.append(("untold", self["untold"]))
        if self["first"]:
            facts.append(("time", f"{self['first']} to {self['last']}"))
        facts += [(k, str(self[k])) for k in ("year", "zone") if self[k] is not None]
        if self["clock_steps"]:
            facts.append(("clock steps", f"{self['clock_steps']:,} (the time went back by more than a minute)"))
        return facts + [("note", printable(note)) for note in self["notes"]]


def _example(file: str, line: int, text: str) -> str:
    """Return where a line stands and what it is; what is no line, but a file as a whole, may be named in its text."""
    where = f"{file}:{line}: " if line else "" if file in text else f"{file}: "
    return printable(where + text)


def printable(text: str, keep: str = "") -> str:
    """Return hostile text fit for a terminal: what can't be printed, and isn't to be kept, as ``\\x1b``."""
    return "".join(c if c.isprintable() or c in keep else f"\\x{ord(c):02x}" for c in text)
