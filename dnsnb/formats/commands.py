"""`dnsnb read` and `dnsnb formats`: what the command line does with logs.

Prints through the function it is given; names from logs are escaped for the terminal.
"""

from __future__ import annotations

import argparse
import errno
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from dnsnb.errors import LogFormatError, SettingError
from dnsnb.formats.report import printable

_FORMULA = r"^[=+@\t\r\n-]"
SHOWN = ("time", "client", "qname", "qtype", "rcode", "status", "latency_ms", "upstream")


def add_parsers(commands: Any) -> None:
    """Add `read` and `formats` to the sub-parsers of `dnsnb`."""
    read = commands.add_parser("read", help="read any DNS log: show it, its report, or convert it")
    read.add_argument("files", nargs="+", metavar="FILE", help="a log, a glob or a folder; - is standard input")
    read.add_argument("--format", default="auto", help="see `dnsnb formats`; found out by default")
    read.add_argument("--out", metavar="FILE", help="write .parquet, .csv or .jsonl instead of showing rows")
    read.add_argument("--head", type=int, default=10, metavar="N", help="show the first N rows (10)")
    read.add_argument("--tz", help="zone of times that name none, such as Europe/Berlin")
    read.add_argument("--year", type=int, help="year of the first line, where the log leaves years out")
    read.add_argument("--events", action="store_true", help="the lines as they are, queries and answers not joined")
    read.add_argument("--template", help="the log format that CoreDNS or DNS-collector was configured with")
    read.set_defaults(run=read_command)
    formats = commands.add_parser("formats", help="list the log formats that can be read")
    formats.set_defaults(run=formats_command)


def read_command(
    args: argparse.Namespace, show: Callable[[str], object] | None = None, change: Callable[[Any], Any] | None = None
) -> int:
    """Run `dnsnb read`; return the exit status. Raises LogFormatError or SettingError with one line for the user.

    `change` makes another Arrow table of each that is written.
    """
    show = show or _print
    settings = {
        "format": args.format, "tz": getattr(args, "tz", None), "year": getattr(args, "year", None),
        "rows": "events" if getattr(args, "events", False) else "queries", "template": getattr(args, "template", None),
    }  # fmt: skip
    sources: list[Any] = [sys.stdin.buffer if f == "-" else f for f in args.files]
    try:
        if args.out:
            return _convert(sources, Path(args.out), settings, show, change)
        from dnsnb.formats import read_log

        frame = read_log(sources, progress=sys.stderr.isatty(), **settings)
    except BrokenPipeError:  # who reads what is printed has seen enough
        raise
    except OSError as error:
        told = f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)
        raise LogFormatError(told) from None
    head = frame[[c for c in SHOWN if c in frame]].head(max(0, args.head))
    if len(head):
        show(printable(head.to_string(max_colwidth=60), keep="\n"))
        show("")
    show(str(frame.attrs["import"]))
    return 0


def formats_command(args: argparse.Namespace | None = None, show: Callable[[str], object] | None = None) -> int:
    """Run `dnsnb formats`; return the exit status."""
    from dnsnb.formats import FORMATS

    show = show or _print
    width = max(map(len, FORMATS))
    for name, row in FORMATS.items():
        show(f"{name:<{width}}  {row.title}")
    return 0


def _convert(
    sources: list[Any],
    out: Path,
    settings: dict[str, Any],
    show: Callable[[str], object],
    change: Callable[[Any], Any] | None,
) -> int:
    """Write a log elsewhere in a stream; the target appears whole or not at all."""
    from dnsnb.formats import reading
    from dnsnb.formats.progress import shown
    from dnsnb.formats.report import ImportReport

    writers: dict[str, Callable[[Any, Path], None]] = {".parquet": _to_parquet, ".csv": _to_csv, ".jsonl": _to_jsonl}
    writer = writers.get(out.suffix)
    if writer is None:
        raise SettingError("--out", str(out), f"must end in {', '.join(writers)}")
    if out.is_dir() or not out.parent.is_dir():
        why = "is a folder" if out.is_dir() else f"can't be written: there is no folder {out.parent}"
        raise SettingError("--out", str(out), why)
    report = ImportReport()
    partial = out.with_name(f".{out.name}.partial")
    try:
        partial.touch()
        bars = shown(sys.stderr.isatty())
        tables = reading.tables(sources, reading.Options(**settings), report, ordered=False, progress=bars)
        writer(map(change, tables) if change is not None else tables, partial)
        partial.replace(out)
    except OSError as error:
        if error.filename != str(partial) and error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        why = os.strerror(error.errno) if error.errno else str(error)
        raise SettingError("--out", str(out), f"can't be written: {why}") from None
    finally:
        partial.unlink(missing_ok=True)
    show(str(report))
    show(f"written      {printable(str(out))}")
    return 0


def _to_parquet(tables: Any, path: Path) -> None:
    from dnsnb.formats.scan import to_parquet

    to_parquet(tables, path)


def _to_csv(tables: Any, path: Path) -> None:
    from dnsnb.formats.scan import fitted, row_schema

    wanted = row_schema()  # the same cells in every line, whatever the formats of the files have of them
    with path.open("w", encoding="utf-8", newline="") as out:
        _flat(wanted.empty_table()).to_csv(out, index=False)
        for table in tables:
            _flat(fitted(table, wanted)).to_csv(out, index=False, header=False)


def _to_jsonl(tables: Any, path: Path) -> None:
    import orjson
    import pyarrow as pa

    with path.open("wb") as out:
        for table in tables:
            rows = table.set_column(
                table.column_names.index("time"), "time", table.column("time").cast(pa.int64())
            ).to_pylist()
            _write_lines(
                out, (orjson.dumps({k: v for k, v in row.items() if v is not None}, default=str) for row in rows)
            )


def _write_lines(out: IO[bytes], lines: Any) -> None:
    for line in lines:
        out.write(line + b"\n")


def _flat(table: Any) -> Any:
    """Return rows for a spreadsheet: answers joined by blanks, cells that begin as a formula does are quoted."""
    from dnsnb import schema

    frame = schema.to_frame(table)
    frame["answers"] = [None if v is None else " ".join(v) for v in table.column("answers").to_pylist()]
    for name in frame.select_dtypes("category").columns:  # of lists and files, whose names are others' too
        frame[name] = frame[name].map(_guarded, na_action="ignore")
    for name in frame.select_dtypes(["object", "str"]).columns:
        risky = frame[name].astype("str").str.match(_FORMULA).fillna(False)
        if risky.any():
            frame.loc[risky, name] = "'" + frame.loc[risky, name].astype(str)
    return frame


def _guarded(word: str) -> str:
    return f"'{word}" if re.match(_FORMULA, word) else word


def _print(text: str) -> None:
    print(text)  # noqa: T201 - a command's voice
