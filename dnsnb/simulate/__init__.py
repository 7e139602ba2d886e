"""A made-up internet and a made-up household: every demo, notebook and test runs with no network.

`Upstream`/`running` answer, `traffic` asks, `play` sends, `frame` gives a whole day's log without a server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dnsnb.simulate.player import Played, play
from dnsnb.simulate.traffic import CLIENTS, Lookup, traffic
from dnsnb.simulate.upstream import Running, Upstream, running
from dnsnb.simulate.world import ADS, BEACON, TUNNEL, World

if TYPE_CHECKING:
    from dnsnb.simulate.frames import frame

__all__ = [
    "ADS",
    "BEACON",
    "CLIENTS",
    "TUNNEL",
    "Lookup",
    "Played",
    "Running",
    "Upstream",
    "World",
    "frame",
    "play",
    "running",
    "traffic",
]


def __getattr__(name: str) -> Any:
    if name == "frame":  # the only part that needs pandas
        from dnsnb.simulate.frames import frame

        return frame
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
