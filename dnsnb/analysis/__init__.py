"""Frames in, frames out: what analysts ask of DNS traffic. Knows the schema only; each analysis is a pure function."""

from __future__ import annotations

from dnsnb.analysis.compare import compare
from dnsnb.analysis.result import Result
from dnsnb.analysis.summary import summary
from dnsnb.analysis.traffic import cache_hits, latency, rate, rcodes, top
from dnsnb.analysis.what_if import replay

#: the analyses that take a frame first, which `frame.dns` offers as methods
OF_A_FRAME = ("cache_hits", "compare", "latency", "rate", "rcodes", "replay", "summary", "top")

__all__ = ["OF_A_FRAME", "Result", "cache_hits", "compare", "latency", "rate", "rcodes", "replay", "summary", "top"]
