"""Frames in, frames out: what analysts ask of DNS traffic. Knows the schema only; each analysis is a pure function."""

from __future__ import annotations

from difflib import get_close_matches

from dnsnb.analysis.beacons import beacons
from dnsnb.analysis.bursts import bursts
from dnsnb.analysis.bypass import bypass
from dnsnb.analysis.clients import anonymity, chatty
from dnsnb.analysis.cloaking import cloaking
from dnsnb.analysis.compare import compare
from dnsnb.analysis.dga import dga
from dnsnb.analysis.dga_behaviour import dga_behaviour
from dnsnb.analysis.domains import domains, leaks, name_features
from dnsnb.analysis.exposure import ecs
from dnsnb.analysis.fast_flux import fast_flux
from dnsnb.analysis.flows import flow
from dnsnb.analysis.homoglyphs import homoglyphs
from dnsnb.analysis.hunt import hunt
from dnsnb.analysis.latency import latency
from dnsnb.analysis.live import TWINS, live
from dnsnb.analysis.lookalikes import lookalikes
from dnsnb.analysis.memory import cache_hits, effective_ttl
from dnsnb.analysis.newly_seen import newly_seen
from dnsnb.analysis.nonexistent import nxdomain, search_suffixes
from dnsnb.analysis.oddities import odd_queries
from dnsnb.analysis.profiles import profile, profile_diff
from dnsnb.analysis.pseudonyms import pseudonymise
from dnsnb.analysis.rebinding import rebinding
from dnsnb.analysis.repeats import retries, storms
from dnsnb.analysis.result import Result
from dnsnb.analysis.sessions import page_loads, sessions
from dnsnb.analysis.sizes import amplification, ttls
from dnsnb.analysis.streaming import Stream
from dnsnb.analysis.summary import summary
from dnsnb.analysis.trackers import trackers
from dnsnb.analysis.traffic import rate, rcodes, top
from dnsnb.analysis.tunnels import tunnels
from dnsnb.analysis.validation import dnssec
from dnsnb.analysis.what_if import replay

#: the analyses that take a frame first, which `frame.dns` offers as methods
OF_A_FRAME = (
    "amplification",
    "anonymity",
    "beacons",
    "bursts",
    "bypass",
    "cache_hits",
    "chatty",
    "cloaking",
    "compare",
    "dga",
    "dga_behaviour",
    "dnssec",
    "domains",
    "ecs",
    "effective_ttl",
    "fast_flux",
    "flow",
    "homoglyphs",
    "hunt",
    "latency",
    "leaks",
    "lookalikes",
    "name_features",
    "newly_seen",
    "nxdomain",
    "odd_queries",
    "page_loads",
    "profile",
    "profile_diff",
    "rate",
    "rcodes",
    "rebinding",
    "replay",
    "retries",
    "search_suffixes",
    "sessions",
    "storms",
    "summary",
    "top",
    "trackers",
    "ttls",
    "tunnels",
)

#: those that give such a frame again, not a result; `frame.dns` has them too
GIVE_A_FRAME = ("pseudonymise",)


def meant(name: str) -> str:
    """Return what somebody may have meant who wrote a name that no analysis has."""
    every = (*OF_A_FRAME, *GIVE_A_FRAME)
    inside = [one for one in every if globals()[one].__module__ == f"{__name__}.{name}"]  # nonexistent -> nxdomain
    near = inside or get_close_matches(name, every, 3)
    return f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(every)}"


def __getattr__(name: str) -> object:
    if name.startswith("_"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    raise AttributeError(f"dnsnb.analysis has no {name!r}; {meant(name)}")


__all__ = [
    "GIVE_A_FRAME",
    "OF_A_FRAME",
    "TWINS",
    "Result",
    "Stream",
    "amplification",
    "anonymity",
    "beacons",
    "bursts",
    "bypass",
    "cache_hits",
    "chatty",
    "cloaking",
    "compare",
    "dga",
    "dga_behaviour",
    "dnssec",
    "domains",
    "ecs",
    "effective_ttl",
    "fast_flux",
    "flow",
    "homoglyphs",
    "hunt",
    "latency",
    "leaks",
    "live",
    "lookalikes",
    "name_features",
    "newly_seen",
    "nxdomain",
    "odd_queries",
    "page_loads",
    "profile",
    "profile_diff",
    "pseudonymise",
    "rate",
    "rcodes",
    "rebinding",
    "replay",
    "retries",
    "search_suffixes",
    "sessions",
    "storms",
    "summary",
    "top",
    "trackers",
    "ttls",
    "tunnels",
]
