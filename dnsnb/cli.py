"""The command line: `dnsnb serve`, `demo`, `lab`, `query`, `config`. Parses, calls, prints; decides nothing else.

A wrong setting is one line on standard error and exit status 2, never a traceback.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dnsnb.errors import DnsnbError, LogFormatError, SettingError

STOP_SECONDS = 3.0


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status: 0 done, 1 failed, 2 wrong settings or usage."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    try:
        status = int(arguments.run(arguments) or 0)
        if sys.stdout is not None:
            sys.stdout.flush()
        return status
    except (SettingError, LogFormatError) as error:
        return _failed(arguments.command, error, 2)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `dnsnb … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (DnsnbError, OSError) as error:
        return _failed(arguments.command, error, 1)


def _failed(command: str, error: Exception, status: int) -> int:
    """Say what is wrong in one line, whatever the names in it hold; return the exit status."""
    from dnsnb.formats.report import printable

    print(f"dnsnb {command}: {printable(str(error))}", file=sys.stderr)
    try:
        sys.stdout.flush()
    except OSError:  # there is no room for it: leave nothing to be tried again at the end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return status


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of every command."""
    import dnsnb
    from dnsnb.commands import archive, follow, policy, pseudonyms, report
    from dnsnb.formats import commands as logs

    parser = argparse.ArgumentParser(prog="dnsnb", description="A DNS observatory: server, event stream, frames.")
    parser.add_argument("--version", action="version", version=f"dnsnb {dnsnb.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_serve(commands)
    _add_demo(commands)
    _add_lab(commands)
    _add_query(commands)
    _add_config(commands)
    archive.add_parsers(commands)
    policy.add_parsers(commands)
    logs.add_parsers(commands)
    follow.add_parsers(commands)
    report.add_parsers(commands)
    pseudonyms.add_parsers(commands)
    return parser


def _add_settings(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--config", metavar="FILE", help="TOML file with settings")
    add("--dns", metavar="HOST:PORT", help="answer DNS here (default 127.0.0.1:0; port 0 picks a free one)")
    add("--http", metavar="HOST:PORT", help="API and event stream here (default 127.0.0.1:0)")
    add("--tls-http", action="store_true", default=None, help="the API by HTTPS; self-made certificate if none is set")
    add(
        "--upstream",
        action="append",
        metavar="ADDRESS",
        help="ask this resolver; may be given often (default: the system's)",
    )
    add(
        "--blacklist",
        action="append",
        metavar="FILE_OR_NAME",
        help="block these names and all below them; may be given often",
    )
    add("--whitelist", action="append", metavar="FILE_OR_NAME", help="exceptions to the blacklist; may be given often")
    add("--allow-only", action="store_true", default=None, help="nothing resolves but what the whitelist names")
    add("--block-mode", metavar="MODE", help="null, nxdomain, nodata, refused or address")
    add(
        "--allow-client",
        action="append",
        metavar="NETWORK",
        help="who may ask (default: this machine); may be given often",
    )
    add(
        "--token",
        help="token of the API (default: random; others on this machine can see it here: prefer --token-file)",
    )
    add("--token-file", metavar="FILE", help="file that holds the token")
    add("--folder", metavar="FOLDER", help="where to keep what is to survive a restart")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="any other setting; see: dnsnb config")


def settings_from(arguments: argparse.Namespace) -> tuple[Any, Any]:
    """Return (Settings, Sources) of parsed arguments, the file that they name, and the environment."""
    from dnsnb.config import load_settings

    given: dict[str, Any] = {
        "dns": arguments.dns,
        "http": arguments.http,
        "tls_http": arguments.tls_http,
        "upstreams": arguments.upstream,
        "blacklist": arguments.blacklist,
        "whitelist": arguments.whitelist,
        "allow_only": arguments.allow_only,
        "block_mode": arguments.block_mode,
        "allow_clients": arguments.allow_client,
        "token": _token(arguments),
        "folder": arguments.folder,
    }
    for item in arguments.set:
        key, equals, value = item.partition("=")
        if not equals:
            raise SettingError("--set", item, "must be KEY=VALUE, such as cache_entries=50000")
        given[key.strip()] = value.strip()
    return load_settings(arguments.config, os.environ, **given)


def _token(arguments: argparse.Namespace) -> str | None:
    if arguments.token_file is None:
        return str(arguments.token) if arguments.token is not None else None
    try:
        return Path(arguments.token_file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError("--token-file", arguments.token_file, f"can't be read: {error}") from None


def _add_serve(commands: Any) -> None:
    parser = commands.add_parser("serve", help="run the server until it is told to stop")
    _add_settings(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON line when it is ready")
    parser.set_defaults(run=_serve)


def _serve(arguments: argparse.Namespace) -> int:
    import asyncio

    settings, _ = settings_from(arguments)
    return asyncio.run(serve(settings, as_json=arguments.json))


async def serve(settings: Any, *, as_json: bool) -> int:
    """Run a server until SIGTERM or SIGINT; a second one ends it at once."""
    import asyncio
    import json
    import signal

    from dnsnb.server.own_process import calm_collector
    from dnsnb.server.server import Server

    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def ask_to_stop() -> None:
        if stop.is_set():
            os._exit(1)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(number, ask_to_stop)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(ask_to_stop))
    server = Server(settings)
    await server.__aenter__()
    calm_collector()
    try:
        if as_json:
            ready = {"dns": server.dns_address, "http": server.http_url, "token": server.token}
            print(json.dumps(ready), flush=True)
        else:
            where = ", ".join([server.dns_address, *server.ports.also])
            print(f"DNS on {where} (UDP and TCP), API and event stream on {server.http_url}", flush=True)
            if settings.token is None:
                print(f"token: {server.token}", flush=True)
        await stop.wait()
    finally:
        try:
            await asyncio.wait_for(server.__aexit__(None, None, None), STOP_SECONDS - 0.5)
        except TimeoutError:
            pass
    return 0


def _add_demo(commands: Any) -> None:
    parser = commands.add_parser("demo", help="a server, a made-up network and its traffic, here in the terminal")
    parser.add_argument("--seconds", type=_seconds, default=60.0, metavar="N", help="how long to play (default 60)")
    parser.set_defaults(run=_demo)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value <= 86_400:
        raise argparse.ArgumentTypeError(f"{text!r}: must be a number of seconds, more than 0 and at most 86400")
    return value


def _demo(arguments: argparse.Namespace) -> int:
    from dnsnb.demo import run

    return run(arguments.seconds)


def _add_lab(commands: Any) -> None:
    parser = commands.add_parser("lab", help="open JupyterLab on the quickstart notebook")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="what follows goes to JupyterLab")
    parser.set_defaults(run=_lab)


def _lab(arguments: argparse.Namespace) -> int:
    import importlib.util
    import subprocess

    if importlib.util.find_spec("jupyterlab") is None:
        raise SettingError("lab", "jupyterlab", "is not installed; install it by: pip install 'dnsnb[lab]'")
    first = _notebooks() / "01_quickstart.ipynb"
    rest = [a for a in arguments.arguments if a != "--"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        rest.append("--allow-root")  # in a container everybody is root, and Jupyter would only refuse
    return subprocess.call([sys.executable, "-m", "jupyterlab", str(first), *rest])


def _notebooks() -> Path:
    """Return the folder of the notebooks: the repository's, or a copy in this folder of those in the package."""
    package = Path(__file__).resolve().parent
    source = package.parent / "notebooks"
    if (source / "01_quickstart.ipynb").is_file():
        return source
    folder = Path.cwd() / "dnsnb-notebooks"
    folder.mkdir(exist_ok=True)
    for notebook in sorted((package / "notebooks").glob("*.ipynb")):
        if not (folder / notebook.name).exists():  # what somebody has made of it stays
            shutil.copyfile(notebook, folder / notebook.name)
    return folder


def _add_query(commands: Any) -> None:
    parser = commands.add_parser("query", help="ask a DNS server a question, and print the answer")
    parser.add_argument("name", help="the name, such as example.com")
    parser.add_argument("type", nargs="?", default="A", help="the type (default A)")
    parser.add_argument(
        "--server", default=None, metavar="HOST[:PORT]", help="whom to ask (default: the system's resolver)"
    )
    parser.add_argument("--tcp", action="store_true", help="ask over TCP")
    parser.add_argument("--timeout", type=_seconds, default=5.0, metavar="N", help="seconds to wait (default 5)")
    parser.set_defaults(run=_query)


def _query(arguments: argparse.Namespace) -> int:
    from dnsnb.server.lookup import ask, describe

    reply = ask(arguments.name, arguments.type, arguments.server, tcp=arguments.tcp, timeout=arguments.timeout)
    print(describe(reply))
    return 0 if reply.rcode in ("NOERROR", "NXDOMAIN") else 1


def _add_config(commands: Any) -> None:
    parser = commands.add_parser("config", help="print the effective settings and where each came from")
    _add_settings(parser)
    parser.add_argument("--json", action="store_true", help="as JSON, for other programs")
    parser.set_defaults(run=_config)


def _config(arguments: argparse.Namespace) -> int:
    import json

    from dnsnb.config import Settings

    settings, sources = settings_from(arguments)
    shown = settings.public()
    if arguments.json:
        print(json.dumps({"settings": shown, "sources": {key: sources[key] for key in shown}}, indent=2))
        return 0
    width = max(map(len, shown))
    for key, value in shown.items():
        meaning = Settings.model_fields[key].description
        print(f"{key:<{width}}  {value!r:<28} ({sources[key]}) {meaning}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
