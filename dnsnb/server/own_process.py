"""What a server does to a process that is its own, and never to one that it shares with a notebook."""

from __future__ import annotations

import asyncio
import gc

YOUNG = 2_000  # new containers after which those alone are looked at, while they are in the processor's caches
MANY = 1_000_000  # containers that have stayed since the last look at all of them
LOOK_SECONDS = 60.0
_NEVER = 1_000_000


def calm_collector() -> None:
    """Have the cycle collector leave alone what stays: cached answers and log rows, none of which is in a cycle.

    References free them all, and looking at them again and again took a sixth of the time of a forwarded question.
    What few cycles there are (of HTTP connections) end young, or with a look at everything: once a minute, when
    much is new.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, _NEVER, _NEVER)
    gc.enable()
    asyncio.get_running_loop().call_later(LOOK_SECONDS, _look)


def _look() -> None:
    if gc.get_count()[1] * YOUNG >= MANY:
        gc.collect()
    asyncio.get_running_loop().call_later(LOOK_SECONDS, _look)
