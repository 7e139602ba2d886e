"""`dnsnb lists` and `dnsnb explain`: a running server's policy from the terminal, over its API."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from dnsnb.errors import SettingError
from dnsnb.formats.report import printable


def add_parsers(commands: Any) -> None:
    """Add the commands to the parser's."""
    lists = commands.add_parser("lists", help="show, add, refresh and remove the lists of a running server")
    _add_server(lists)
    verbs = lists.add_subparsers(dest="verb", metavar="VERB")

    def verb(name: str, text: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = verbs.add_parser(name, help=text)
        _add_server(parser, again=True)
        return parser

    add = verb("add", "add a list from a URL, a file, or standard input (-)")
    add.add_argument("name")
    add.add_argument("source", help="https://…, a file here, or -")
    add.add_argument("--allow", action="store_true", help="its names are exceptions, not blocked")
    add.add_argument(
        "--format", default="auto", help="hosts, domains, wildcards, adblock, regex or rpz (default: sniffed)"
    )
    add.add_argument("--scope", default="as written", help="'as written', exact or subdomains")
    add.add_argument("--schedule", default="", metavar="TIMES", help="when it holds, such as '22:00-06:00 weekdays'")
    add.add_argument("--preview", action="store_true", help="only say what it would add")
    verb("remove", "take a list away").add_argument("name")
    verb("enable", "let a list hold").add_argument("name")
    verb("disable", "let a list rest").add_argument("name")
    verb("refresh", "look whether lists have changed").add_argument("name", nargs="?")
    verb("overlap", "what only one list catches, and what they have in common")
    verb("hits", "which rules decide, and which never do").add_argument("name", nargs="?")
    lists.set_defaults(run=_lists)

    explain = commands.add_parser("explain", help="why a running server answers a name as it does")
    _add_server(explain)
    explain.add_argument("name")
    explain.add_argument("type", nargs="?", default="A")
    explain.add_argument("--client", metavar="ADDRESS", help="ask as this client")
    explain.add_argument("--no-upstreams", action="store_true", help="don't ask the upstreams")
    explain.set_defaults(run=_explain)


def _add_server(parser: argparse.ArgumentParser, again: bool = False) -> None:
    """Add where the server is; `again` for a verb, which must not undo what stood before it."""
    url, token = os.environ.get("DNSNB_URL"), os.environ.get("DNSNB_TOKEN")
    missing = argparse.SUPPRESS
    parser.add_argument("--url", default=missing if again else url, help="the server's API (or DNSNB_URL)")
    parser.add_argument("--token", default=missing if again else token, help="its token (or DNSNB_TOKEN)")
    add_trust(parser, default=missing if again else None)
    parser.add_argument("--json", action="store_true", default=missing if again else False, help="print the API's JSON")


def add_trust(parser: argparse.ArgumentParser, default: Any = None) -> None:
    """Add which certificate of an https:// server is taken."""
    parser.add_argument("--ca", metavar="FILE", default=default, help="PEM file whose authorities are trusted")
    parser.add_argument("--fingerprint", metavar="SHA256", default=default, help="the server's certificate is this one")


def _lists(arguments: argparse.Namespace) -> int:
    from dnsnb.client.policy import PolicyCommands

    with _client(arguments) as client:
        policy = PolicyCommands(client.request)
        told = _VERBS[arguments.verb or "show"](policy, arguments)
    if arguments.json:
        print(json.dumps(told, indent=1, ensure_ascii=True))
    return 0


def _show(policy: Any, arguments: argparse.Namespace) -> Any:
    told = policy.lists()
    if not arguments.json:
        _table(
            ("list", "kind", "from", "rules", "hits", "state"),
            [(i["name"], i["kind"], i["source"], f"{i['count']:,}", i["hits"], _state(i)) for i in told["lists"]],
        )
    return told


def _add(policy: Any, arguments: argparse.Namespace) -> Any:
    source: dict[str, Any] = {"format": arguments.format, "scope": arguments.scope}
    if arguments.source == "-":
        source["text"] = sys.stdin.read()
    elif "://" in arguments.source:
        source["url"] = arguments.source
    else:
        source["path"] = Path(arguments.source)
    if arguments.preview:
        told = policy.preview_list(**source)
        if not arguments.json:
            print(f"{told['names']:,} names: {told['new']:,} new, {told['known']:,} caught already")
            for name, count in told["known_by"].items():
                print(f"  {printable(name)}: {count:,}")
            _report(told["report"])
        return told
    kind = "allow" if arguments.allow else "block"
    told = policy.add_list(arguments.name, kind=kind, schedule=arguments.schedule, **source)
    if not arguments.json:
        print(f"{printable(told['name'])}: {told['count']:,} rules")
        _report(told["report"])
    return told


def _remove(policy: Any, arguments: argparse.Namespace) -> Any:
    told = policy.remove_list(arguments.name)
    if not arguments.json:
        print(f"{printable(arguments.name)} is gone")
    return told


def _switch(policy: Any, arguments: argparse.Namespace) -> Any:
    told = policy.change_list(arguments.name, enabled=arguments.verb == "enable")
    if not arguments.json:
        print(f"{printable(told['name'])}: {_state(told)}")
    return told


def _refresh(policy: Any, arguments: argparse.Namespace) -> Any:
    told = policy.refresh_lists(arguments.name)
    if not arguments.json:
        for item in told:
            print(f"{printable(item['name'])}: {item['count']:,} rules, {_state(item)}")
    return told


def _overlap(policy: Any, arguments: argparse.Namespace) -> Any:
    told = policy.overlap()
    if not arguments.json:
        others = [row["list"] for row in told]
        rows = [
            (r["list"], f"{r['names']:,}", f"{r['only_here']:,}", *(f"{r['also_in'].get(o, 0):,}" for o in others))
            for r in told
        ]
        _table(("list", "names", "only here", *(f"in {name}" for name in others)), rows)
    return told


def _hits(policy: Any, arguments: argparse.Namespace) -> Any:
    told = policy.hits(arguments.name)
    if not arguments.json:
        _table(("list", "rule", "hits"), [(r["list"], r["rule"], f"{r['hits']:,}") for r in told["rules"]])
        if "never" in told:
            never = told["never"]
            print(f"{never['never_hit']:,} of {never['rules']:,} rules of {printable(never['list'])} have never hit")
    return told


_VERBS = {
    "show": _show, "add": _add, "remove": _remove, "enable": _switch, "disable": _switch, "refresh": _refresh,
    "overlap": _overlap, "hits": _hits,
}  # fmt: skip


def _explain(arguments: argparse.Namespace) -> int:
    from dnsnb.client.policy import PolicyCommands
    from dnsnb.notebook.explained import Explanation

    with _client(arguments) as client:
        told = PolicyCommands(client.request).explain(
            arguments.name, arguments.type, arguments.client, upstreams=not arguments.no_upstreams
        )
    print(json.dumps(told, indent=1, ensure_ascii=True) if arguments.json else repr(Explanation(told)))
    return 0


def _client(arguments: argparse.Namespace) -> Any:
    from dnsnb.client.client import Client

    if not arguments.url:
        raise SettingError(
            "--url", arguments.url, "the server's address is needed: --url http://127.0.0.1:8053, or DNSNB_URL"
        )
    if not arguments.token:
        raise SettingError("--token", arguments.token, "the server's token is needed: --token, or DNSNB_TOKEN")
    return Client(arguments.url, arguments.token, ca=arguments.ca, fingerprint=arguments.fingerprint)


def _report(report: dict[str, Any]) -> None:
    print(
        f"read as {report['format']}: {report['lines']:,} lines, {report['kept']:,} kept, {report['skipped']:,} skipped"
    )
    for reason, count in list(report["reasons"].items())[:10]:
        print(f"  {count:,} x {printable(reason)}")
    for item in report["examples"][:10]:
        print(f"  line {item['line']}: {printable(item['text'])}")


def _state(item: dict[str, Any]) -> str:
    if item.get("error"):
        return f"error: {printable(item['error'])}"
    hours = f", {item['schedule']}" if item.get("schedule") else ""
    return ("holds" if item["enabled"] else "rests") + hours


def _table(head: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    shown = [head, *([printable(str(cell)) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in shown) for column in range(len(head))]
    for row in shown:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
