"""Parts of the live view alone, plain results to keep, and a foreground watch where nothing updates itself.

Knows the dashboard, the static view and the session.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from dnsnb.errors import SettingError
from dnsnb.notebook.dashboard import DIMENSIONS, Dashboard
from dnsnb.notebook.frames_out import tail
from dnsnb.notebook.rates import Rates
from dnsnb.notebook.static_view import as_html, as_text, words

#: columns that `top` takes, by the names people use for them
_ALIASES = {"qname": "domain", "domains": "domain", "type": "qtype", "clients": "client", "types": "qtype"}


def table(session: Any, *, height: int | None = None) -> Dashboard:
    """Return the table of queries alone, with its search."""
    return Dashboard(session, panels=["table"], height=height)


def chart(session: Any) -> Dashboard:
    """Return queries over time alone."""
    return Dashboard(session, panels=["chart"])


def top(session: Any, column: str = "client", *, most: int = 10) -> Dashboard:
    """Return one header of bars alone: client, domain, qtype, status, upstream or list."""
    dimension = _ALIASES.get(column, column)
    if dimension not in DIMENSIONS:
        raise SettingError("column", column, f"one of {', '.join(DIMENSIONS)}")
    return Dashboard(session, panels=["bars"], dimensions=[dimension], most=most)


class Snapshot:
    """The state of a session at one moment as a plain result: it stays in the notebook when the kernel is gone."""

    def __init__(self, data: dict[str, Any]) -> None:
        self.data = data

    def __repr__(self) -> str:
        return as_text(self.data)

    def _repr_html_(self) -> str:
        return as_html(self.data)

    def _repr_markdown_(self) -> str:
        return words(self.data)


def snapshot(session: Any, rows: int = 20) -> Snapshot:
    """Return what the dashboard shows now: state, five minutes of rates, the newest `rows` rows."""
    frame = session.frame
    rates = Rates()
    rates.add_frame(frame.tail(100_000))
    columns = tail(frame, rows)
    return Snapshot(
        {
            "channels": {"dns/status": session.status if session.alive else {}},
            "rates": [rates.pack(1, 300)],
            "rows": {k: v for k, v in columns.items() if any(x is not None for x in v)},
            "totals": rates.recent(300),
        }
    )


async def watch(session: Any, seconds: float = 60.0, *, every: float = 1.0, rows: int = 12) -> None:
    """Show the session for some seconds in the foreground, redrawn in place: for front ends without live widgets.

    ``await session.watch(60)`` in a cell; interrupting the cell ends it early. Nothing is redrawn while nothing comes.
    """
    from IPython.display import display

    shown = None
    drawn = -1
    end = time.monotonic() + seconds
    while True:
        if drawn != session.live.sequence or shown is None:
            drawn = session.live.sequence
            now = snapshot(session, rows)
            if shown is None:
                shown = display(now, display_id=True)
            else:
                shown.update(now)
        left = end - time.monotonic()
        if left <= 0:
            return
        await asyncio.sleep(min(every, left))
