"""`dnsnb demo`: the main job with no browser: a server, a made-up network, a household's traffic, a live summary.

Prints to the terminal. Everything is on loopback and ends by itself.
"""

from __future__ import annotations

import shutil
import sys
import threading
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    import pandas as pd

_TICKS = " ▁▂▃▄▅▆▇█"
_COLOURS = {  # nearest of the 256 terminal colours to the status colours of the dashboard
    "forwarded": 25,
    "cached": 74,
    "stale": 152,
    "local": 36,
    "blocked": 166,
    "limited": 178,
    "refused": 246,
    "failed": 175,
}


def run(seconds: float = 60.0, out: TextIO | None = None, *, rate: float = 25.0, seed: int = 1) -> int:
    """Play `seconds` of traffic against a server of our own, print a live summary, then the head of the frame.

    Returns 0, or 1 when a query was left without an answer.
    """
    from dnsnb import simulate
    from dnsnb.notebook.doors import start

    out = out or sys.stdout
    with simulate.running(world=simulate.World(seed)) as upstream:
        session = start(name="demo", upstreams=[upstream.address], blacklist=list(simulate.ADS))
        try:
            out.write(f"DNS server on {session.status['dns']}, stream on {session.status['http']}/api/sse/stream\n")
            out.write(f"playing {seconds:g} s of a household of {len(simulate.CLIENTS)} clients …\n\n")
            view = _Summary(out, seconds)
            played = simulate.play(
                session.status["dns"],
                simulate.traffic(seed, seconds, rate),
                seconds=seconds + 1,
                on_progress=lambda at, _sent: view.draw(at, session.frame),
            )
            _settle(session, played.sent)
            frame = session.frame
            view.draw(seconds, frame, last=True)
            view.end()
            _print_frame(out, frame)
            rcodes = ", ".join(f"{n} {rcode}" for rcode, n in sorted(played.rcodes.items(), key=lambda kv: -kv[1]))
            out.write(f"\nsent {played.sent}, answered {played.answered} ({rcodes}); {len(frame)} rows in the frame\n")
            return 0 if played.answered == played.sent else 1
        finally:
            session.close()


def _settle(session: Any, rows: int) -> None:
    """Wait until the stream has brought the last rows."""
    done = threading.Event()
    watch = session.live.on_change(lambda: done.set() if len(session.live) >= rows else None)
    if len(session.live) < rows:
        done.wait(3)
    watch.close()


class _Summary:
    """A few lines that are redrawn in place on a terminal, and printed once a few seconds elsewhere."""

    def __init__(self, out: TextIO, seconds: float) -> None:
        self.out = out
        self.seconds = seconds
        self.live = out.isatty()
        self._lines = 0
        self._next = 0.0

    def draw(self, at: float, frame: pd.DataFrame, *, last: bool = False) -> None:
        if not self.live and at < self._next and not last:
            return
        self._next = at + self.seconds / 6
        lines = self.lines(min(at, self.seconds), frame)
        if self.live and self._lines:
            self.out.write(f"\x1b[{self._lines}F\x1b[J")
        self.out.write("\n".join(lines) + "\n")
        self.out.flush()
        self._lines = len(lines)

    def end(self) -> None:
        self.out.write("\n")

    def lines(self, at: float, frame: pd.DataFrame) -> list[str]:
        width = min(shutil.get_terminal_size((100, 24)).columns, 110)
        if not len(frame):
            return [f"{at:5.1f} s  no queries yet"]
        counts = frame["status"].value_counts()
        total = int(counts.sum())
        parts = [f"{self._paint(str(name))} {n / total:4.0%}" for name, n in counts.items() if n]
        recent = frame["latency_ms"][frame["status"] == "forwarded"].tail(500)
        p50, p95 = (recent.quantile(q) for q in (0.5, 0.95))
        lines = [
            f"{at:5.1f} s  {total:6d} queries   " + "   ".join(parts),
            f"         upstream p50 {p50:.1f} ms, p95 {p95:.1f} ms" if len(recent) else "",
            "         " + self._spark(frame, width - 20),
        ]
        for title, column in (("clients", "client"), ("names", "qname")):
            top = frame[column].value_counts().head(3)
            lines.append(f"         {title}: " + ", ".join(f"{printable(str(k), 34)} {v}" for k, v in top.items()))
        return lines

    def _paint(self, status: str) -> str:
        return f"\x1b[38;5;{_COLOURS[status]}m{status}\x1b[0m" if self.live and status in _COLOURS else status

    def _spark(self, frame: pd.DataFrame, width: int) -> str:
        seconds = frame["time"].astype("int64") // 1_000_000
        first = int(seconds.iloc[0])
        bins = (seconds - first).value_counts()
        last = int((seconds - first).max())
        step = max(1, -(-(last + 1) // max(width, 10)))
        heights = [sum(int(bins.get(n + k, 0)) for k in range(step)) for n in range(0, last + 1, step)]
        top = max(heights) or 1
        return "".join(_TICKS[round(h / top * 8)] for h in heights) + f"  max {top / step:.0f} q/s"


def printable(text: str, width: int) -> str:
    """Return hostile text cut in the middle and fit for a terminal: printable ASCII alone."""
    safe = "".join(c if " " <= c <= "~" else f"\\{ord(c) & 255:03d}" for c in text)
    half = (width - 1) // 2
    return safe if len(safe) <= width else f"{safe[:half]}…{safe[-half:]}"


def _print_frame(out: TextIO, frame: pd.DataFrame) -> None:
    shown = (
        frame[["time", "client", "qname", "qtype", "rcode", "status", "rule", "upstream", "latency_ms"]].head(8).copy()
    )
    shown["time"] = shown["time"].dt.strftime("%H:%M:%S.%f").str[:-3]
    shown["qname"] = shown["qname"].map(lambda n: printable(n, 36))
    shown["latency_ms"] = shown["latency_ms"].map(lambda ms: "" if ms != ms else f"{ms:.2f}")
    out.write("session.frame.head(8), some of its columns:\n")
    out.write(shown.astype("str").fillna("-").replace("nan", "-").to_string(index=False) + "\n")
