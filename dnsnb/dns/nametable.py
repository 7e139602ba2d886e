"""A million names in some 26 MB: which lists name a name, found by its hash in three array look-ups.

No I/O. numpy builds the arrays (in a worker thread, much of it without the GIL); looking up needs none of it.

Kept are Python's own 64-bit hashes, which are keyed anew in each process: an outsider can't aim for a collision, and by
chance one name in 10^13 is taken for a listed one.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from dnsnb.dns.names import BELOW, EXACT
from dnsnb.errors import SettingError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Hashes = NDArray[np.int64]


MAX_LAYERS = 62


class Layer(NamedTuple):
    """Names that mean the same thing: their hashes, the bit of their list and level, and what they cover."""

    hashes: Hashes
    bit: int
    scope: int


class NameTable:
    """An immutable table from a tail to (mask of what names it, mask of what covers the names below it).

    `filled[hash(tail) & low]` is zero for nearly every name that isn't here: test it first, then ask `masks`. Names of
    the small table beside this one are told by `note`, so that one test stands for both.
    """

    __slots__ = ("_hashes", "_layers", "_masks", "_shift", "_starts", "_which", "count", "filled", "low")

    def __init__(self, layers: Sequence[Layer]) -> None:
        import numpy as np

        if len(layers) > MAX_LAYERS:
            raise SettingError(
                "lists", len(layers), f"{MAX_LAYERS} lists of more than a few thousand names is the most"
            )
        hashes, which = _merge(layers)
        self.count = len(hashes)
        bits = max(8, int(max(1, self.count) - 1).bit_length())
        self.low = (1 << (bits + 3)) - 1
        filled = np.zeros(self.low + 1, np.uint8)
        filled[hashes & self.low] = 1
        self.filled = bytearray(filled.tobytes())
        # The hashes are sorted, so the names with the same top bits stand together: starts[top] .. starts[top + 1].
        self._shift = 64 - bits
        starts = np.zeros((1 << bits) + 1, np.uint32)
        np.cumsum(np.bincount((hashes >> self._shift) + (1 << (bits - 1)), minlength=1 << bits), out=starts[1:])
        self._starts = _array("I", starts)
        self._hashes = _array("q", hashes)
        self._which = _array("H", which.astype(np.uint16)) if len(layers) <= 16 else _array("q", which)
        self._layers = tuple(Layer(hashes[:0], layer.bit, layer.scope) for layer in layers)
        self._masks: dict[int, tuple[int, int]] = {}

    def masks(self, tail: bytes) -> tuple[int, int]:
        """Return (mask for the name itself, mask for names below it); zeros when no list names it."""
        wanted = hash(tail)
        top = (wanted >> self._shift) + (1 << (63 - self._shift))
        hashes = self._hashes
        for at in range(self._starts[top], self._starts[top + 1]):
            if hashes[at] == wanted:
                which = self._which[at]
                return self._masks.get(which) or self._masks.setdefault(which, self._expand(which))
        return 0, 0

    def note(self, tail: bytes) -> None:
        """Have `filled` say that a name is known, though it stands in another table."""
        self.filled[hash(tail) & self.low] = 1

    @property
    def bytes_held(self) -> int:
        """How much memory the arrays take."""
        return sum(len(a) * a.itemsize for a in (self._hashes, self._which, self._starts)) + len(self.filled)

    def _expand(self, which: int) -> tuple[int, int]:
        itself = below = 0
        for number, layer in enumerate(self._layers):
            if which >> number & 1:
                itself |= layer.bit if layer.scope & EXACT else 0
                below |= layer.bit if layer.scope & BELOW else 0
        return itself, below


def hash_tails(tails: Iterable[bytes], count: int) -> Hashes:
    """Return the hashes of tails as an array."""
    import numpy as np

    return np.fromiter(map(hash, tails), dtype=np.int64, count=count)


def unique_hashes(pieces: Sequence[Hashes]) -> Hashes:
    """Return the hashes of several pieces, sorted, each once."""
    import numpy as np

    hashes = np.concatenate(pieces)
    hashes.sort()
    return hashes[np.append(True, hashes[1:] != hashes[:-1])] if len(hashes) else hashes


def _merge(layers: Sequence[Layer]) -> tuple[Hashes, Hashes]:
    """Return (sorted unique hashes, for each the mask of the layers that have it)."""
    import numpy as np

    if not layers:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    if len(layers) == 1:
        hashes = unique_hashes([layers[0].hashes])
        return hashes, np.ones(len(hashes), np.int64)
    every = np.concatenate([layer.hashes for layer in layers])
    which = np.concatenate([np.full(len(layer.hashes), 1 << n, np.int64) for n, layer in enumerate(layers)])
    order = np.argsort(every)
    every, which = every[order], which[order]
    first = np.flatnonzero(np.append(True, every[1:] != every[:-1])) if len(every) else order
    return every[first], np.bitwise_or.reduceat(which, first) if len(first) else which


def _array(code: str, values: NDArray[np.generic]) -> array[int]:
    out = array(code)
    out.frombytes(values.tobytes())
    return out
