"""`dnsnb follow` and `dnsnb listen`: the queries of a log that grows, or of dnstap, one a line as they come."""

from __future__ import annotations

import argparse
import json
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

from dnsnb.schema import Columns

MAX_BATCHES = 64  # that wait for the terminal; then the log waits: nothing is lost


def add_parsers(commands: Any) -> None:
    """Add the commands to the parser's."""
    follow = commands.add_parser("follow", help="print the queries of a log as they are written, by whatever system")
    follow.add_argument("file", metavar="FILE", help="the log; rotation and truncation are followed")
    follow.add_argument("--beginning", action="store_true", help="from the first line, not from the end")
    follow.add_argument("--format", default="auto", help="see `dnsnb formats`; found out by default")
    follow.add_argument("--tz", help="zone of times that name none, such as Europe/Berlin")
    follow.add_argument("--year", type=int, help="year of the first line, where the log leaves years out")
    follow.add_argument("--template", help="the log format that CoreDNS or DNS-collector was configured with")
    follow.set_defaults(run=_follow)
    listen = commands.add_parser("listen", help="print the queries that unbound, BIND, dnsdist … send by dnstap")
    listen.add_argument("address", metavar="ADDRESS", help="unix:/path or HOST:PORT")
    listen.set_defaults(run=_listen)
    for parser in (follow, listen):
        parser.add_argument("--json", action="store_true", help="a JSON object a line, with all columns")


def _follow(arguments: argparse.Namespace) -> int:
    from dnsnb.formats import follow

    start = "beginning" if arguments.beginning else "end"
    settings = {"format": arguments.format, "tz": arguments.tz, "year": arguments.year, "template": arguments.template}
    return _show(lambda sink: follow(arguments.file, sink, start=start, **settings), arguments.json, "follow")


def _listen(arguments: argparse.Namespace) -> int:
    from dnsnb.formats import listen

    return _show(lambda sink: listen(arguments.address, sink), arguments.json, "listen")


def _show(begin: Callable[[Any], Any], as_json: bool, command: str) -> int:
    """Print rows until interrupted, or until what is followed ends; then say how many there were, and what was left."""
    batches: queue.Queue[Columns] = queue.Queue(MAX_BATCHES)
    try:
        live = begin(batches.put)
    except OSError as error:
        print(f"dnsnb {command}: {error}", file=sys.stderr)
        return 2
    if command == "listen":
        print(f"listening on {live.address}", file=sys.stderr, flush=True)
    try:
        while live.error is None or not batches.empty():
            try:
                columns = batches.get(timeout=0.2)
            except queue.Empty:
                continue
            for line in lines(columns, as_json):
                print(line)
            sys.stdout.flush()
    except KeyboardInterrupt:
        pass
    finally:
        _drain_while_closing(live, batches)
    print(live.report, file=sys.stderr)
    return 0 if live.error is None else 1


def _drain_while_closing(live: Any, batches: queue.Queue[Columns]) -> None:
    """Close it; its thread may be waiting for room."""
    closing = threading.Thread(target=live.close, daemon=True)
    closing.start()
    while closing.is_alive():
        try:
            batches.get(timeout=0.05)
        except queue.Empty:
            continue


def lines(columns: Columns, as_json: bool) -> Iterator[str]:
    """Yield a line a row, printable whatever the names hold: time, client, name, type, what came of it, how long."""
    from dnsnb.drivers.columns import time_text
    from dnsnb.formats.report import printable

    count = len(next(iter(columns.values()), []))
    times = columns.get("time") or [None] * count
    shown = {**columns, "time": [None if time is None else time_text(time) for time in times]}
    if as_json:
        for row in zip(*shown.values(), strict=True):
            yield json.dumps({k: v for k, v in zip(shown, row, strict=True) if v is not None})  # ASCII alone
        return
    names = ("time", "client", "qname", "qtype", "status", "rcode", "latency_ms", "answers")
    nothing = [None] * count
    for time, client, qname, qtype, status, rcode, latency, answers in zip(
        *(shown.get(name) or nothing for name in names), strict=True
    ):
        parts = [time or "-", client or "-", qname or "-", qtype or "-", rcode or status or "-"]
        if status and rcode:
            parts.append(status)
        if latency is not None:
            parts.append(f"{latency:.3g} ms")
        yield printable("  ".join(map(str, parts)) + (f"  {', '.join(answers)}" if answers else ""))
