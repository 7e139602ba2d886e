"""How much a domain looks as if a program had made it up (DGA): a small table, trained by tests/training/dga.py.

Pure numpy. What the table is made from, and how good it is, stands in the trainer's docstring and in its own `made`.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np

from dnsnb.names.ngrams import K, measures
from dnsnb.names.suffixes import PRIVATE, Parts, parts

CHUNK = 4_000  # labels at once: their numbers stay in the processor's cache


class Model(NamedTuple):
    """Counts of usual runs and of mere sounds, shares of suffixes, and trees (flat arrays; leaves point nowhere)."""

    usual: dict[int, Any]
    sounding: dict[int, Any]
    suffixes: dict[str, float]
    roots: Any
    feature: Any
    threshold: Any
    left: Any
    right: Any
    value: Any
    base: float
    limits: tuple[float, float]  #: log-odds that 1 % and 0.1 % of usual names pass that it hasn't seen


def dga_score(names: Iterable[str | None]) -> Any:
    """Return how much each name looks made up by a program, 0 (a word) to 1, as an array; 0 where there is no label.

    What is looked at is the longest label before the public suffix. 0.99 is meant to be passed by 1 % of ordinary
    domains, 0.999 by 0.1 %; of 5,019 that it had never seen 0.8 % and 0.12 % did, and 70 % and 51 % of the names of 25
    families that it had never seen. Names made of words pass hardly ever: there behaviour tells (`dga_behaviour`).

    >>> scores = dga_score(["wikipedia.org", "xjw3qpkzt0v8h1.com"])
    >>> bool(scores[0] < 0.9), bool(scores[1] > 0.999)
    (True, True)
    """
    taken = parts(names)
    labels = [label_of(part) for part in taken]
    kept = [at for at, label in enumerate(labels) if label]
    out = np.zeros(len(labels))
    model = load()
    for begin in range(0, len(kept), CHUNK):
        mine = kept[begin : begin + CHUNK]
        columns = table([labels[at] for at in mine], [taken[at] for at in mine], model)
        out[mine] = as_share(decided(columns, model), model.limits)
    return out


def label_of(part: Parts) -> str:
    """Return the longest label before the public suffix; "" where there is none."""
    if part.registered is None:
        return ""
    own = part.registered[: len(part.registered) - len(part.suffix) - 1]
    return max([own, *part.sub.split(".")], key=len)


def table(labels: list[str], taken: list[Parts], model: Model) -> Any:
    """Return what the trees look at, a row a label."""
    other = min(model.suffixes.values(), default=1e-6)
    about = [
        [label.startswith("xn--") for label in labels],
        [part.kind == PRIVATE for part in taken],
        [np.log(model.suffixes.get(part.suffix, other)) for part in taken],
    ]
    return np.column_stack([measures(labels, model.usual, model.sounding), np.array(about, "float64").T])


def decided(columns: Any, model: Model) -> Any:
    """Return the sum of the trees' values for each row (log-odds)."""
    count, width = columns.shape
    flat, begin = np.ascontiguousarray(columns, "float64").ravel(), np.arange(count) * width
    inner = model.left >= 0
    itself = np.arange(len(inner))  # a leaf leads to itself, so that all rows go down alike
    left, right = np.where(inner, model.left, itself), np.where(inner, model.right, itself)
    total = np.full(count, model.base)
    for root in model.roots:
        at = np.full(count, root)
        while True:
            goes_left = flat.take(begin + model.feature.take(at)) <= model.threshold.take(at)
            down = np.where(goes_left, left.take(at), right.take(at))
            if np.array_equal(down, at):
                break
            at = down
        total += model.value.take(at)
    return total


def as_share(odds: Any, limits: tuple[float, float]) -> Any:
    """Return log-odds as a number of 0 to 1, in the same order, that is 0.99 and 0.999 at the two limits."""
    low, high = limits
    beyond = 1 - 10.0 ** -(2 + np.maximum(odds - low, 0) / max(high - low, 1e-9))
    return np.where(odds < low, 0.99 * np.exp(np.minimum(odds - low, 0) / 4), beyond)


@cache
def load() -> Model:
    """Return the table; read once."""
    return read(files("dnsnb.names").joinpath("generated.npz").read_bytes())


def read(table: bytes) -> Model:
    """Return a table as the trainer keeps it."""
    with np.load(BytesIO(table)) as kept:
        return Model(
            {order: _spread(kept, f"usual{order}") for order in (1, 2, 3, 4, 5)},
            {order: _spread(kept, f"sounding{order}") for order in (2, 3)},
            dict(zip(str(kept["suffixes"]).split(), kept["shares"].astype("float64").tolist(), strict=True)),
            kept["roots"].astype("int64"),
            kept["feature"].astype("int64"),
            kept["threshold"].astype("float64"),
            kept["left"].astype("int64"),
            kept["right"].astype("int64"),
            kept["value"].astype("float64"),
            float(kept["base"]),
            (float(kept["limits"][0]), float(kept["limits"][1])),
        )


def _spread(kept: Any, name: str) -> Any:
    """Return counters that were kept as places and counts."""
    order = int(name[-1])
    whole = np.zeros(K**order if order <= 3 else 1 << 18, "int64")
    whole[np.cumsum(kept[f"{name}_gaps"].astype("int64"))] = kept[f"{name}_counts"]
    return whole
