"""What labels are made of, as numbers: how usual their runs of letters are, and their shape. numpy over all at once.

Used alike by the trainer (tests/training) and by the score (names/generated): a model is worth nothing with others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789-"
K = len(LETTERS) + 2  # and what stands before the first letter (and for every other), and behind the last
END = K - 1
LONGEST = 63
ORDERS = (1, 2, 3, 4, 5)
HASHED = 1 << 18  # runs of four and five letters share so many counters
VOWELS = "aeiou"
RARE = "qxzjvw"

_CODE = np.zeros(256, np.int64)
for _at, _letter in enumerate(LETTERS):
    _CODE[ord(_letter)] = _at + 1
_CODE[2] = END
#: 1 vowel, 2 consonant, 3 digit, 4 hyphen; 0 an end
_KIND = np.zeros(K, np.int64)
for _at, _letter in enumerate(LETTERS):
    _KIND[_at + 1] = 1 if _letter in VOWELS else 3 if _letter.isdigit() else 4 if _letter == "-" else 2


class Coded:
    """Labels as one array of letters' numbers, with an end on both sides of each."""

    def __init__(self, labels: Sequence[str]) -> None:
        cut = [label[:LONGEST].lower() for label in labels]
        text = "".join(f"\x01{label}\x02" for label in cut).encode("latin-1", "replace")
        self.count = len(cut)
        self.letters = _CODE[np.frombuffer(text, np.uint8)]
        spans = np.fromiter((len(label) + 2 for label in cut), np.int64, self.count)
        self.row = np.repeat(np.arange(self.count), spans)
        self.length = np.maximum(spans - 2, 1)

    def runs(self, order: int) -> tuple[Any, Any]:
        """Return every run of `order` letters as a number, and the label it is from."""
        size = max(len(self.letters) - order + 1, 0)
        key = np.zeros(size, np.int64)
        for at in range(order):
            key = key * K + self.letters[at : size + at]
        inside = self.row[:size] == self.row[order - 1 :][:size]
        return key[inside], self.row[:size][inside]

    def mean(self, row: Any, values: Any) -> Any:
        """Return the mean of the values of each label."""
        number = np.maximum(np.bincount(row, minlength=self.count), 1)
        return np.bincount(row, weights=values, minlength=self.count) / number

    def least(self, row: Any, values: Any) -> Any:
        """Return the least of the values of each label, at most 0."""
        found = np.zeros(self.count)
        np.minimum.at(found, row, values)
        return found


def place(key: Any, order: int) -> Any:
    """Return where a run's counter stands."""
    return key if order <= 3 else ((key * np.int64(0x9E3779B1)) >> 7) & (HASHED - 1)


def counted(labels: Sequence[str], orders: Sequence[int] = ORDERS) -> dict[int, Any]:
    """Return the counts of all runs of the labels, by order."""
    coded = Coded(labels)
    return {
        order: np.bincount(place(coded.runs(order)[0], order), minlength=K**order if order <= 3 else HASHED)
        for order in orders
    }


def measures(labels: Sequence[str], usual: Mapping[int, Any], sounding: Mapping[int, Any]) -> Any:
    """Return the numbers that a score is made of, a row a label, by counts of usual labels and of mere sounds."""
    coded = Coded(labels)
    return np.column_stack([*_usual(coded, usual), *_shape(coded), *_sounding(coded, sounding)])


def _likelihood(counts: Mapping[int, Any], key: Any, order: int) -> Any:
    run = counts[order][place(key, order)]
    begun = counts[order - 1][place(key // K, order - 1)]
    return np.log((run + 0.3) / (begun + 0.3 * K)), run


def _usual(coded: Coded, counts: Mapping[int, Any]) -> list[Any]:
    out = []
    for order in ORDERS[1:]:
        key, row = coded.runs(order)
        likely, run = _likelihood(counts, key, order)
        mean = coded.mean(row, likely)
        out += [mean, coded.mean(row, np.log1p(run)), coded.mean(row, run <= 1), coded.least(row, likely)]
        if order == 3:
            out.append(np.sqrt(np.maximum(coded.mean(row, likely * likely) - mean * mean, 0)))
        if order >= 4:
            out += [coded.mean(row, run >= 8), coded.mean(row, run >= 60)]
    return out


def _sounding(coded: Coded, counts: Mapping[int, Any]) -> list[Any]:
    key, row = coded.runs(3)
    likely, _ = _likelihood(counts, key, 3)
    return [coded.mean(row, likely), coded.least(row, likely)]


def _shape(coded: Coded) -> list[Any]:
    count, length, row = coded.count, coded.length, coded.row
    kind = _KIND[coded.letters]
    out: list[Any] = [length, np.log(length)]
    out += [np.bincount(row, weights=kind == k, minlength=count) / length for k in (1, 2, 3, 4)]
    start = np.flatnonzero(np.concatenate([[True], kind[1:] != kind[:-1]])) if len(kind) else np.zeros(0, np.int64)
    lasting = np.diff(np.concatenate([start, [len(kind)]]))
    for k in (1, 2, 3):
        longest = np.zeros(count)
        of_kind = kind[start] == k
        np.maximum.at(longest, row[start[of_kind]], lasting[of_kind])
        out.append(longest)
    here, there, at = kind[:-1], kind[1:], row[:-1]
    word_here, word_there = (here == 1) | (here == 2), (there == 1) | (there == 2)
    changes = ((here == 3) & word_there) | ((there == 3) & word_here)
    swings = ((here == 1) & (there == 2)) | ((here == 2) & (there == 1))
    twice = coded.letters[1:] == coded.letters[:-1]
    letters = np.bincount(row * K + coded.letters, minlength=count * K).reshape(count, K)[:, 1:END]
    distinct = (letters > 0).sum(axis=1)
    share = letters / length[:, None]
    bits = -(share * np.log2(np.where(share > 0, share, 1))).sum(axis=1)
    columns = {letter: number for number, letter in enumerate(LETTERS)}
    last_letter = np.where(letters[:, :26] > 0, np.arange(26), 0).max(axis=1)
    out += [np.bincount(at, weights=w, minlength=count) / length for w in (changes, swings, twice)]
    out += [distinct, distinct / length, bits, share.max(axis=1), share[:, 1:26:2].sum(axis=1), last_letter]
    for some in ("abcdef0123456789", RARE, "y"):
        out.append(share[:, [columns[letter] for letter in some]].sum(axis=1))
    return out
