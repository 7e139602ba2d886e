"""The process behind `embed.InProcess`: settings come in by standard input, and its end is the sign to stop."""

from __future__ import annotations

import asyncio
import gc
import json
import signal
import sys
from typing import TYPE_CHECKING, Any

from dnsnb.errors import SettingError

if TYPE_CHECKING:
    from dnsnb.config import Settings


def main() -> int:
    """Run a server until standard input ends; returns the exit status."""
    gc.disable()  # what is imported stays: a tenth of the time would go into looking at it; `calm_collector` ends it
    from dnsnb.config import Settings
    from dnsnb.server import server  # noqa: F401 - the most of the time goes here, while our parent gets ready too

    line = sys.stdin.buffer.readline()
    if not line:  # it did not come to a server
        return 0
    try:
        settings = Settings(**json.loads(line))
        return asyncio.run(_serve(settings))
    except SettingError as error:
        _say({"setting": error.setting, "value": error.value, "why": error.why})
    except Exception as error:
        _say({"error": f"{type(error).__name__}: {error}"})
    return 2


async def _serve(settings: Settings) -> int:
    from dnsnb.server.own_process import calm_collector
    from dnsnb.server.server import Server

    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(loop, "add_signal_handler"):
        loop.add_signal_handler(signal.SIGTERM, ended.set)
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with Server(settings) as server:
        calm_collector()
        fingerprint = server.certificate.fingerprint if server.certificate is not None else None
        ready = {"dns": server.dns_address, "http": server.http_url, "token": server.token, "fingerprint": fingerprint}
        _say(ready)
        watch = asyncio.create_task(_until_end(reader, ended))
        await ended.wait()
        watch.cancel()
    return 0


async def _until_end(reader: asyncio.StreamReader, ended: asyncio.Event) -> None:
    while await reader.read(4096):
        pass
    ended.set()


def _say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message, default=str) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
