"""Frames in, frames out: what analysts ask of DNS traffic. Knows the schema only; each analysis is a pure function."""

from __future__ import annotations

from dnsnb.analysis.compare import compare
from dnsnb.analysis.latency import latency
from dnsnb.analysis.live import TWINS, live
from dnsnb.analysis.memory import cache_hits, effective_ttl
from dnsnb.analysis.result import Result
from dnsnb.analysis.streaming import Stream
from dnsnb.analysis.summary import summary
from dnsnb.analysis.traffic import rate, rcodes, top
from dnsnb.analysis.what_if import replay

#: the analyses that take a frame first, which `frame.dns` offers as methods
OF_A_FRAME = (
    "cache_hits",
    "compare",
    "effective_ttl",
    "latency",
    "rate",
    "rcodes",
    "replay",
    "summary",
    "top",
)

__all__ = [
    "OF_A_FRAME",
    "TWINS",
    "Result",
    "Stream",
    "cache_hits",
    "compare",
    "effective_ttl",
    "latency",
    "live",
    "rate",
    "rcodes",
    "replay",
    "summary",
    "top",
]
