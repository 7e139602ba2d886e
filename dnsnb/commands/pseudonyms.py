"""`dnsnb pseudonymise`: any DNS log, of any size, as a file that can be shown to others."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from dnsnb.errors import SettingError


def add_parsers(commands: Any) -> None:
    """Add the command to the parser's."""
    parser = commands.add_parser("pseudonymise", help="replace names and addresses of a log by keyed tokens")
    add = parser.add_argument
    add("files", nargs="+", metavar="FILE", help="a log, a glob or a folder; - is standard input")
    add("--key", required=True, metavar="FILE", help="file that holds the key, at least 16 octets; keep it secret")
    add("--out", required=True, metavar="FILE", help="write .parquet, .csv or .jsonl")
    add("--format", default="auto", help="see `dnsnb formats`; found out by default")
    add("--tz", help="zone of times that name none, such as Europe/Berlin")
    add("--year", type=int, help="year of the first line, where the log leaves years out")
    add("--template", help="the log format that CoreDNS or DNS-collector was configured with")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run `dnsnb pseudonymise`; return the exit status."""
    from dnsnb.analysis.pseudonyms import Pseudonyms
    from dnsnb.formats.commands import read_command

    try:
        key = Path(arguments.key).read_bytes()
    except OSError as error:
        raise SettingError("--key", arguments.key, f"can't be read: {error.strerror}") from None
    made = Pseudonyms(key.removesuffix(b"\n").removesuffix(b"\r"))
    return read_command(arguments, change=made.table)
