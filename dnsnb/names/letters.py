"""Letters and lengths of names: what tells made-up ones and carried data from words. numpy over all names at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from dnsnb.names.spelling import spelled
from dnsnb.names.suffixes import masked, parts

CHUNK = 1 << 12  # names at once: their counters stay in the processor's cache
_CLASS = np.zeros(256, np.uint8)
_CLASS[np.frombuffer(b"0123456789", np.uint8)] = 1
_CLASS[np.frombuffer(b"aeiouAEIOU", np.uint8)] = 2
# 64 counters: letters of both cases (base64 names keep theirs in some logs), digits, "-", and one for all others
_BIN = np.full(256, 63, np.uint8)
for _at, _octet in enumerate(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-"):
    _BIN[_octet] = _at
_CLOGC = np.array([0.0, *(c * np.log2(c) for c in range(1, 1024))])


def entropy(values: Iterable[str | bytes | None] | Any) -> Any:
    """Return Shannon's entropy of each text, dots left out, as an array, in bits a character; 0.0 for an empty one.

    Texts are taken as they are: upper case counts (`features` takes names, however they are spelled).

    >>> entropy(["aaaa", "abab", "abcd.efgh", ""]).tolist()
    [0.0, 1.0, 3.0, 0.0]
    """
    return _letters(_texts(values), more=False)[0]


def features(values: Iterable[str | bytes | None] | Any, *, private: bool = True) -> pd.DataFrame:
    """Return what each name says by itself, a row a name, in any spelling; analyses call it with distinct names.

    Columns: `etld1`, `suffix`, `suffix_kind` ("icann", "private", "unknown"), `sub` (what stands before `etld1`),
    `length` (characters), `labels`, `longest_label`, `sub_bytes`, and of the sub part (of the whole name where there
    is none) `entropy` (bits), `distinct` (characters), `digits` and `vowels` (shares, 0-1); `idn` (a label is an
    A-label).

    >>> features(["x7f3.cdn.example.com"])[["etld1", "sub", "labels", "longest_label"]].values.tolist()
    [['example.com', 'x7f3.cdn', 4, 7]]
    """
    listed = spelled(values)
    names = pa.array(listed, pa.large_string())
    taken = parts(listed, private=private)
    sub = pa.array([p.sub for p in taken], pa.large_string())
    letters = pa.array([p.sub or name for p, name in zip(taken, listed, strict=True)], pa.large_string())
    bits, distinct, digits, vowels = _letters(letters)
    root = pc.equal(names, ".")
    plain = list(map(masked, listed))  # an escaped dot parts no labels
    dots = pa.array([name.count(".") for name in plain], pa.int32())
    labels = pc.if_else(pc.or_(root, pc.equal(names, "")), 0, pc.add(dots, 1))
    longest = [max(map(len, name.split("."))) for name in plain]
    return pd.DataFrame(
        {
            "etld1": pd.array([p.registered for p in taken], dtype="str"),
            "suffix": pd.Categorical([p.suffix for p in taken]),
            "suffix_kind": pd.Categorical([p.kind for p in taken], categories=["icann", "private", "unknown"]),
            "sub": pd.array(sub.to_pylist(), dtype="str"),
            "length": pc.utf8_length(names).to_numpy(zero_copy_only=False).astype("int32"),
            "labels": labels.to_numpy(zero_copy_only=False).astype("int32"),
            "longest_label": np.array(longest, "int32"),
            "sub_bytes": pc.binary_length(sub).to_numpy(zero_copy_only=False).astype("int32"),
            "entropy": bits,
            "distinct": distinct,
            "digits": digits,
            "vowels": vowels,
            "idn": pc.or_(pc.starts_with(names, "xn--"), pc.match_substring(names, ".xn--")).to_numpy(
                zero_copy_only=False
            ),
        }
    )


def _texts(values: Any) -> pa.Array:
    """Return texts of any kind as one Arrow array, null as "" ."""
    if isinstance(values, str | bytes):
        raise TypeError(f"values: {values!r}: must be several texts, such as [{values!r}]")
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if not isinstance(values, pa.Array) or pa.types.is_binary(values.type):
        listed = values.to_pylist() if hasattr(values, "to_pylist") else list(values)
        values = pa.array([_as_text(v) for v in listed], pa.large_string())
    if isinstance(values, pa.DictionaryArray):
        values = values.dictionary_decode()
    return pc.fill_null(values.cast(pa.large_string()), "")


def _as_text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return value if isinstance(value, str) else ""


def _letters(names: pa.Array, more: bool = True) -> Any:
    """Return entropy, and if `more` distinct characters, share of digits and of vowels of each text, dots left out."""
    flat = pc.replace_substring(names, ".", "")
    count = len(flat)
    out = tuple(np.zeros(count, kind) for kind in ("float64", "int32", "float64", "float64"))
    raw = flat.buffers()[2] if count else None
    if raw is None:
        return out
    offsets = np.frombuffer(flat.buffers()[1], np.int64)[flat.offset : flat.offset + count + 1]
    octets = np.frombuffer(raw, np.uint8)
    for begin in range(0, count, CHUNK):
        end = min(begin + CHUNK, count)
        spans = offsets[begin : end + 1]
        mine = octets[spans[0] : spans[-1]]
        lengths = np.diff(spans)
        rows = np.repeat(np.arange(end - begin, dtype=np.int64), lengths)
        counts = np.bincount(rows * 64 + _BIN[mine], minlength=(end - begin) * 64).reshape(-1, 64)
        n = np.maximum(lengths, 1)
        bits = np.log2(n) - _CLOGC[np.minimum(counts, len(_CLOGC) - 1)].sum(axis=1) / n
        if not more:
            out[0][begin:end] = np.maximum(bits, 0)
            continue
        kinds = np.bincount(rows * 4 + _CLASS[mine], minlength=(end - begin) * 4).reshape(-1, 4)
        out[0][begin:end] = np.maximum(bits, 0)
        out[1][begin:end] = (counts > 0).sum(axis=1)
        out[2][begin:end] = kinds[:, 1] / n
        out[3][begin:end] = kinds[:, 2] / n
    return out
