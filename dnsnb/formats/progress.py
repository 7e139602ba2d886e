"""How far the reading of logs is, as bars that appear after two seconds and go when it is done.

Knows tqdm, where it is installed, and nothing of logs but their inputs. `Progress` itself shows nothing.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dnsnb.formats.opening import Input

DELAY_S = 2.0


class Progress:
    """What a reading tells of itself: the logs as they are looked at, then the octets that were taken of them."""

    def looking(self, inputs: list[Input]) -> Iterable[Input]:
        """Return the logs, whose formats are to be told."""
        return inputs

    def begin(self, inputs: list[Input]) -> None:
        """Hear which logs will be read."""

    def took(self, octets: int) -> None:
        """Hear how many more octets, as they lie in the files, were taken."""

    def end(self) -> None:
        """Hear that it is over, or given up."""


class Bars(Progress):
    """Shows two bars, one after the other: files looked at, octets read. tqdm is loaded for what takes long alone."""

    def __init__(self) -> None:
        self._what: dict[str, Any] = {}
        self._since = 0.0
        self._done = 0
        self._bar: Any = None

    def looking(self, inputs: list[Input]) -> Iterable[Input]:
        self._next(desc="telling formats", unit=" files", total=len(inputs))
        for one in inputs:
            yield one
            self.took(1)

    def begin(self, inputs: list[Input]) -> None:
        total = sum(one.size for one in inputs) or None
        self._next(desc="reading the log", unit="B", unit_scale=True, total=total)

    def took(self, octets: int) -> None:
        if self._bar is not None:
            self._bar.update(octets)
        elif time.monotonic() - self._since >= DELAY_S:
            self._bar = _bar(initial=self._done + octets, leave=False, **self._what)
            self._since = math.inf  # without tqdm there is nothing to wait for
        self._done += octets

    def end(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _next(self, **what: Any) -> None:
        self.end()
        self._what, self._since, self._done = what, time.monotonic(), 0


def _bar(**how: Any) -> Any:
    """Return a bar of tqdm, which comes with ``dnsnb[scan]``; None without it."""
    try:
        from tqdm.auto import tqdm
    except ImportError:
        return None
    return tqdm(**how)


def shown(wanted: bool) -> Progress:
    """Return what shows bars, where somebody wants them."""
    return Bars() if wanted else Progress()
