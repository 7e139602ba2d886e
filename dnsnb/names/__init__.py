"""What a domain name says by itself: its registered domain by the public suffix list, its labels, its letters.

Works on distinct names; imports nothing of ours. Names are as in the frame: lower case, A-labels, RFC 4343 escapes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dnsnb.names.letters import entropy as entropy
    from dnsnb.names.letters import features as features
    from dnsnb.names.suffixes import Parts as Parts
    from dnsnb.names.suffixes import parts as parts
    from dnsnb.names.suffixes import registered_domain as registered_domain

__all__ = ["Parts", "entropy", "features", "parts", "registered_domain"]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in ("entropy", "features"):
        return getattr(import_module("dnsnb.names.letters"), name)
    if name in __all__:
        return getattr(import_module("dnsnb.names.suffixes"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
