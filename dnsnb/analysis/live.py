"""The analyses that can be fed: `live("top")` gives the incremental twin of `top`. The table says which there are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dnsnb.analysis.beacons import Beacons
from dnsnb.analysis.bursts import Bursts
from dnsnb.analysis.domains import Domains, Leaks, NameFeatures
from dnsnb.analysis.newly_seen import NewlySeen
from dnsnb.analysis.streaming import State, Stream
from dnsnb.analysis.traffic_states import CacheHits, Latencies, Nonexistent, Rates, Rcodes, Tops
from dnsnb.analysis.tunnels import Tunnels

#: analysis -> what makes the state of its incremental twin, by the same parameters
TWINS: dict[str, Callable[..., State]] = {
    "beacons": Beacons,
    "bursts": Bursts,
    "cache_hits": CacheHits,
    "domains": Domains,
    "latency": Latencies,
    "leaks": Leaks,
    "name_features": NameFeatures,
    "newly_seen": NewlySeen,
    "nxdomain": Nonexistent,
    "rate": Rates,
    "rcodes": Rcodes,
    "top": Tops,
    "tunnels": Tunnels,
}


def live(analysis: str, **params: Any) -> Stream:
    """Return an analysis to be fed: a sink for `follow`, a live frame or any frames; the parameters are the batch's.

    Raises ValueError for one that has no incremental twin.

    >>> from dnsnb import simulate
    >>> one, other = live("rcodes"), live("rcodes")
    >>> one.update(simulate.frame(1, hours=0.1)), other.update(simulate.frame(2, hours=0.1))
    (None, None)
    >>> (one + other).rows == one.rows + other.rows
    True
    """
    if analysis not in TWINS:
        raise ValueError(f"analysis: {analysis!r}: has no incremental twin; there are {', '.join(sorted(TWINS))}")
    return Stream(TWINS[analysis](**params))
