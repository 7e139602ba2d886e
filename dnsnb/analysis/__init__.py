"""Frames in, frames out: what analysts ask of DNS traffic. Knows the schema only; each analysis is a pure function."""

from __future__ import annotations

from dnsnb.analysis.traffic import rate, rcodes, top

__all__ = ["rate", "rcodes", "top"]
