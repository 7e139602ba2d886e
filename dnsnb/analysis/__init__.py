"""Frames in, frames out: what analysts ask of DNS traffic. Knows the schema only; each analysis is a pure function."""

from __future__ import annotations

from dnsnb.analysis.clients import anonymity, chatty
from dnsnb.analysis.compare import compare
from dnsnb.analysis.latency import latency
from dnsnb.analysis.live import TWINS, live
from dnsnb.analysis.memory import cache_hits, effective_ttl
from dnsnb.analysis.nonexistent import nxdomain, search_suffixes
from dnsnb.analysis.oddities import odd_queries
from dnsnb.analysis.repeats import retries, storms
from dnsnb.analysis.result import Result
from dnsnb.analysis.sessions import page_loads, sessions
from dnsnb.analysis.sizes import amplification, ttls
from dnsnb.analysis.streaming import Stream
from dnsnb.analysis.summary import summary
from dnsnb.analysis.traffic import rate, rcodes, top
from dnsnb.analysis.validation import dnssec
from dnsnb.analysis.what_if import replay

#: the analyses that take a frame first, which `frame.dns` offers as methods
OF_A_FRAME = (
    "amplification",
    "anonymity",
    "cache_hits",
    "chatty",
    "compare",
    "dnssec",
    "effective_ttl",
    "latency",
    "nxdomain",
    "odd_queries",
    "page_loads",
    "rate",
    "rcodes",
    "replay",
    "retries",
    "search_suffixes",
    "sessions",
    "storms",
    "summary",
    "top",
    "ttls",
)

__all__ = [
    "OF_A_FRAME",
    "TWINS",
    "Result",
    "Stream",
    "amplification",
    "anonymity",
    "cache_hits",
    "chatty",
    "compare",
    "dnssec",
    "effective_ttl",
    "latency",
    "live",
    "nxdomain",
    "odd_queries",
    "page_loads",
    "rate",
    "rcodes",
    "replay",
    "retries",
    "search_suffixes",
    "sessions",
    "storms",
    "summary",
    "top",
    "ttls",
]
