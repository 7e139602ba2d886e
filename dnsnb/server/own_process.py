"""What a server does to a process that is its own, and never to one that it shares with a notebook."""

from __future__ import annotations

import gc


def calm_collector() -> None:
    """Have the cycle collector come seldom: it walks every cached answer and log row, none of which is in a cycle.

    References free them all; the collector still comes, after fifty thousand new containers instead of seven hundred.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
