"""`dnsnb export` and `dnsnb import`: what a running server was told, to a file and back, over its API."""

from __future__ import annotations

import argparse
import os
from typing import Any

from dnsnb.commands.policy import add_trust
from dnsnb.errors import SettingError


def add_parsers(commands: Any) -> None:
    """Add the commands to the parser's."""
    for name, run, text in (
        ("export", _export, "write a running server's settings, lists, clients and records to a file"),
        ("import", _import, "give a running server what another one's export holds"),
    ):
        parser = commands.add_parser(name, help=text)
        parser.add_argument("file", help="the archive, such as dnsnb.zip")
        parser.add_argument("--url", default=os.environ.get("DNSNB_URL"), help="the server's API (or DNSNB_URL)")
        parser.add_argument("--token", default=os.environ.get("DNSNB_TOKEN"), help="its admin token (or DNSNB_TOKEN)")
        add_trust(parser)
        parser.set_defaults(run=run)


def _export(arguments: argparse.Namespace) -> int:
    with _client(arguments) as client:
        size = client.export_archive(arguments.file)
    print(f"{arguments.file}: {size:,} bytes")
    return 0


def _import(arguments: argparse.Namespace) -> int:
    with _client(arguments) as client:
        try:
            told = client.import_archive(arguments.file)
        except FileNotFoundError as error:
            raise SettingError("file", arguments.file, f"can't be read: {error.strerror}") from None
    for key in ("settings", "blacklist", "whitelist", "lists", "clients", "records"):
        value = told[key]
        print(f"{key}: {', '.join(value) or 'none' if isinstance(value, list) else value}")
    for problem in told["problems"]:
        print(f"not taken: {problem.encode('ascii', 'backslashreplace').decode()}")
    return 1 if told["problems"] else 0


def _client(arguments: argparse.Namespace) -> Any:
    from dnsnb.client.client import Client

    for key in ("url", "token"):
        if not getattr(arguments, key):
            raise SettingError(f"--{key}", None, f"is needed; or set DNSNB_{key.upper()}")
    return Client(arguments.url, arguments.token, ca=arguments.ca, fingerprint=arguments.fingerprint)
