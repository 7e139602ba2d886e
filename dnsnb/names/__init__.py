"""What a domain name says by itself: its registered domain by the public suffix list, its labels, its letters.

Works on distinct names; imports nothing of ours. Takes names in any spelling, gives them as in the frame: lower case,
no final dot, A-labels, RFC 4343 escapes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dnsnb.names.generated import dga_score as dga_score
    from dnsnb.names.letters import entropy as entropy
    from dnsnb.names.letters import features as features
    from dnsnb.names.spelling import spelled as spelled
    from dnsnb.names.suffixes import Parts as Parts
    from dnsnb.names.suffixes import parts as parts
    from dnsnb.names.suffixes import registered_domain as registered_domain

__all__ = ["Parts", "dga_score", "entropy", "features", "parts", "registered_domain", "spelled"]
_ROOMS = {"dga_score": "generated", "entropy": "letters", "features": "letters", "spelled": "spelling"}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in __all__:
        return getattr(import_module(f"dnsnb.names.{_ROOMS.get(name, 'suffixes')}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
