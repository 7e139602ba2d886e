"""`dnsnb report`: a log on one page, here in the terminal or as one self-contained HTML file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from dnsnb.errors import LogFormatError, SettingError

#: logs larger than this are converted once and scanned, not held in memory (where the extra `scan` is installed)
LARGE = 512 << 20


def add_parsers(commands: Any) -> None:
    """Add the command to the parser's."""
    parser = commands.add_parser("report", help="one page on any DNS log: what, who, when, how fast, what looks wrong")
    add = parser.add_argument
    add("files", nargs="+", metavar="FILE", help="a log, a glob or a folder; - is standard input")
    add("--out", metavar="FILE", help="write one self-contained .html (or .txt) instead of printing")
    add("--title", default=None, help="what stands at the top (default: the file's name)")
    add("--format", default="auto", help="see `dnsnb formats`; found out by default")
    add("--tz", help="zone of times that name none, and the zone to show all in, such as Europe/Berlin")
    add("--year", type=int, help="year of the first line, where the log leaves years out")
    add("--template", help="the log format that CoreDNS or DNS-collector was configured with")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run `dnsnb report`; return the exit status."""
    out = Path(arguments.out) if arguments.out else None
    if out is not None and out.suffix.lower() not in (".html", ".htm", ".txt"):
        raise SettingError("--out", arguments.out, "must end in .html or .txt")
    from dnsnb.analysis.summary import reading_notes, summary

    title = arguments.title or "DNS report: " + ", ".join(_named(file) for file in arguments.files[:3])
    frame, notes = _read(arguments)
    try:
        report = summary(frame, tz=arguments.tz, title=title)
    except ValueError as error:
        if str(error).startswith("tz:"):
            raise SettingError("--tz", arguments.tz, "must be a zone such as Europe/Berlin") from None
        raise
    report.notes += reading_notes(notes)
    if out is None:
        print(report)
        return 0
    try:
        report.save(out) if out.suffix.lower() != ".txt" else out.write_text(f"{report}\n", encoding="utf-8")
    except OSError as error:
        raise SettingError("--out", arguments.out, f"can't be written: {error.strerror}") from None
    print(f"{report.heading}\nfindings     {len(report.findings)}\nwritten      {out}")
    return 0


def _read(arguments: argparse.Namespace) -> tuple[Any, str]:
    """Return the log, lazy where it is large, and what is to be said of the reading."""
    from dnsnb.formats import read_log, scan_log
    from dnsnb.formats.report import ImportReport

    sources: list[Any] = [sys.stdin.buffer if file == "-" else file for file in arguments.files]
    how = {"format": arguments.format, "tz": arguments.tz, "year": arguments.year, "template": arguments.template}
    try:
        size = sum(Path(file).stat().st_size for file in arguments.files if file != "-" and Path(file).is_file())
        if size > LARGE:
            try:
                import duckdb  # noqa: F401
            except ImportError:
                pass
            else:
                said = ImportReport()
                return scan_log(sources, report=said, **how), str(said)
        return read_log(sources, progress=sys.stderr.isatty(), **how), ""
    except OSError as error:
        raise LogFormatError(str(error)) from None


def _named(file: str) -> str:
    return "standard input" if file == "-" else Path(file).name or file
