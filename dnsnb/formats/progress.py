"""How far the reading of logs is, as bars that appear after two seconds and go when it is done.

Knows tqdm, where it is installed, and nothing of logs but their inputs. `Progress` itself shows nothing.
"""

from __future__ import annotations

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
    """Shows two bars, one after the other: files looked at, octets read."""

    def __init__(self, tqdm: Any) -> None:
        self._tqdm = tqdm
        self._bar: Any = None

    def looking(self, inputs: list[Input]) -> Iterable[Input]:
        return self._tqdm(inputs, desc="telling formats", unit=" files", delay=DELAY_S, leave=False)

    def begin(self, inputs: list[Input]) -> None:
        total = sum(one.size for one in inputs) or None
        self._bar = self._tqdm(
            total=total, desc="reading the log", unit="B", unit_scale=True, delay=DELAY_S, leave=False
        )

    def took(self, octets: int) -> None:
        self._bar.update(octets)

    def end(self) -> None:
        if self._bar is not None:
            self._bar.close()


def shown(wanted: bool) -> Progress:
    """Return what shows bars, where somebody wants them and tqdm is there (it comes with ``dnsnb[scan]``)."""
    try:
        from tqdm.auto import tqdm
    except ImportError:
        return Progress()
    return Bars(tqdm) if wanted else Progress()
