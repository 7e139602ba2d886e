"""A made-up internet and a made-up household: every demo, notebook and test runs with no network.

`Upstream`/`running` answer, `traffic` asks, `play` sends, `frame` gives a whole day's log without a server; `hunt` one
in which `Beacon`, `Tunnel`, `Dga`, `Rebinding`, `Burst` and `FastFlux` hide, with the truth beside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dnsnb.simulate.infections import Beacon, Burst, Dga, FastFlux, Infection, Rebinding, Tunnel, networks
from dnsnb.simulate.player import Played, play
from dnsnb.simulate.traffic import CLIENTS, Lookup, household, traffic
from dnsnb.simulate.upstream import Running, Upstream, running
from dnsnb.simulate.world import ADS, BEACON, TUNNEL, World

if TYPE_CHECKING:
    from dnsnb.simulate.frames import frame, hunt

__all__ = [
    "ADS",
    "BEACON",
    "CLIENTS",
    "TUNNEL",
    "Beacon",
    "Burst",
    "Dga",
    "FastFlux",
    "Infection",
    "Lookup",
    "Played",
    "Rebinding",
    "Running",
    "Tunnel",
    "Upstream",
    "World",
    "frame",
    "household",
    "hunt",
    "networks",
    "play",
    "running",
    "traffic",
]


def __getattr__(name: str) -> Any:
    if name in ("frame", "hunt"):  # the only part that needs pandas
        from dnsnb.simulate import frames

        return getattr(frames, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
