"""A run of log rows as arrays, one for each column: made from a batch, joined, cut, and shown as a DataFrame.

Pure; knows the schema alone. Numbers are kept as NumPy arrays just as pandas wants them, text as Arrow arrays.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from dnsnb import schema

if TYPE_CHECKING:
    import pandas as pd

_KINDS = {column.name: column.kind for column in schema.COLUMNS}
_NO_TIME = -(1 << 63)  # NumPy's "not a time"
_TEXTS = ("str", "list")
_MAPPED = 262_144  # bytes


class Words:
    """The words of a category column, numbered in the order in which they came; a number never changes.

    So frames of one source share their categories, and a batch costs only its new words.
    """

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self._dtype: tuple[int, Any] | None = None

    def encode(self, values: Sequence[Any]) -> Any:
        """Return the number of each value in the narrowest type, -1 for null."""
        import numpy as np
        import pyarrow as pa

        if isinstance(values, list) and values.count(values[0]) == len(values):  # most columns of most batches
            if values[0] is None:
                return np.full(len(values), -1, "int8")
            if isinstance(values[0], str):
                return np.full(len(values), self._number(values[0]), self._width())
        coded = _arrow(values, pa.string()).dictionary_encode()
        words = [-1 if word is None else self._number(word) for word in coded.dictionary.to_pylist()]
        table = np.array([*words, -1], self._width())
        return table[coded.indices.fill_null(len(words)).to_numpy(zero_copy_only=False)]

    def dtype(self) -> pd.CategoricalDtype:
        """Return the words as a pandas type, the same object until there are more."""
        import pandas as pd

        if self._dtype is None or self._dtype[0] != len(self.numbers):
            words = list(self.numbers)
            self._dtype = (len(words), pd.CategoricalDtype(pd.Index(words, dtype="str")))
        return self._dtype[1]

    def without_unused(self, columns: Iterable[Any]) -> tuple[Words, Any] | None:
        """Return new words without those that no column has, and the new number of each old one (the last is -1).

        None when that would forget less than half of them.
        """
        import numpy as np

        used = np.zeros(len(self.numbers) + 1, bool)
        for numbers in columns:
            if numbers is not None:
                used[numbers] = True
        used[-1] = False
        if used.sum() * 2 > len(self.numbers):
            return None
        fewer = Words()
        for word, keep in zip(self.numbers, used.tolist(), strict=False):
            if keep:
                fewer._number(word)
        return fewer, np.where(used, np.cumsum(used) - 1, -1).astype(width(len(fewer.numbers)))

    def _number(self, word: str) -> int:
        return self.numbers.setdefault(word, len(self.numbers))

    def _width(self) -> str:
        return width(len(self.numbers))


def width(words: int) -> str:
    """Return the NumPy type that pandas uses for the numbers of so many words."""
    return "int8" if words < 128 else "int16" if words < 32768 else "int32"


class Piece:
    """Some rows: `columns` has an array for each column that is not all null. Arrays are never written to.

    `str` and `list` columns are Arrow arrays; integers a pair of values and mask (None: nothing is null); times are
    int64 µs; categories numbers of `Words`.
    """

    __slots__ = ("columns", "rows", "shared")

    def __init__(self, rows: int, columns: dict[str, Any], shared: bool = False) -> None:
        self.rows = rows
        self.columns = columns
        self.shared = shared  # its numbers lie in the memory of a frame that was given out

    def cut(self, start: int) -> Piece:
        """Return the rows from number `start` on, without a copy."""

        def tail(name: str, found: Any) -> Any:
            if isinstance(found, tuple):
                values, mask = found
                return values[start:], None if mask is None else mask[start:]
            return found.slice(start) if _KINDS[name] in _TEXTS else found[start:]

        return Piece(self.rows - start, {n: tail(n, found) for n, found in self.columns.items()}, self.shared)

    def own(self) -> Piece:
        """Return the same rows in memory of its own."""
        return join([self, Piece(0, {})]) if self.shared else self


def piece_of(columns: schema.Columns, rows: int, words: dict[str, Words]) -> Piece:
    """Return a batch as a piece, without columns that the schema lacks. Raises what Arrow raises of a wrong value."""
    found: dict[str, Any] = {}
    for name, kind in _KINDS.items():
        values = columns.get(name)
        if values is not None:
            made = words[name].encode(values) if kind == "category" else _read(kind, values)
            if made is not None:
                found[name] = made
    return Piece(rows, found)


def join(pieces: Sequence[Piece]) -> Piece:
    """Return pieces as one, in memory of its own."""
    if len(pieces) == 1:
        return pieces[0]
    names = [name for name in _KINDS if any(name in piece.columns for piece in pieces)]
    return Piece(
        sum(piece.rows for piece in pieces),
        {n: _joined_text(n, pieces) if _KINDS[n] in _TEXTS else joined_numbers(n, pieces, masked=False) for n in names},
    )


def joined_numbers(name: str, pieces: Sequence[Piece], masked: bool = True) -> Any:
    """Return a column of numbers of all pieces: one new array, or a pair with its mask for integers.

    Unless it is to be `masked`, a column without nulls has None for a mask: three octets a row for the usual log.
    """
    import numpy as np

    kind = _KINDS[name]
    rows = sum(piece.rows for piece in pieces)
    if kind.startswith("int"):
        whole = not masked and all(piece.columns.get(name, (0, True))[1] is None for piece in pieces)
        values, mask = _room(rows, kind), None if whole else _room(rows, "bool")
        for start, piece in _places(pieces):
            part = slice(start, start + piece.rows)
            given, nulls = piece.columns.get(name) or (0, True)
            values[part] = given
            if mask is not None:
                mask[part] = False if nulls is None else nulls
        return values, mask
    null, dtype = {"time": (_NO_TIME, "int64"), "float32": (np.nan, "float32")}.get(kind, (-1, ""))
    if kind == "category":
        dtypes = [piece.columns[name].dtype for piece in pieces if name in piece.columns]
        dtype = max(dtypes, key=lambda d: d.itemsize).name if dtypes else "int8"
    out = _room(rows, dtype)
    for start, piece in _places(pieces):
        out[start : start + piece.rows] = piece.columns.get(name, null)
    return out


def frame_of(pieces: Sequence[Piece], words: dict[str, Words]) -> pd.DataFrame:
    """Return pieces as a DataFrame with the documented dtypes, and leave their numbers in its memory alone.

    Numbers are copied once, column by column, so that no two copies of all are held; text is shared.
    """
    import pandas as pd

    for piece in pieces:
        piece.shared = True
    return pd.DataFrame({name: _series(name, pieces, words) for name in _KINDS}, copy=False)


def _series(name: str, pieces: Sequence[Piece], words: dict[str, Words]) -> Any:
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    kind = _KINDS[name]
    if kind in _TEXTS:
        given = [p.columns[name] if name in p.columns else _nulls(kind, p.rows) for p in pieces]
        chunks = pa.chunked_array(given, _arrow_type(kind))
        if kind == "list":
            return pd.array(chunks, dtype=pd.ArrowDtype(chunks.type))
        return pd.array(chunks, dtype=pd.StringDtype("pyarrow", na_value=np.nan))
    made: Any
    block: Any = joined_numbers(name, pieces)
    if kind == "category":
        block = block.astype(width(len(words[name].numbers)), copy=False)
        made = pd.Categorical.from_codes(block, dtype=words[name].dtype(), validate=False)
    elif kind == "time":
        made = pd.DatetimeIndex(block.view("M8[us]")).tz_localize("UTC")
        block = made.asi8
    elif kind == "float32":
        made = block
    else:
        made = pd.arrays.IntegerArray(*block)
    for start, piece in _places(pieces):
        if name in piece.columns:
            part = slice(start, start + piece.rows)
            piece.columns[name] = (block[0][part], block[1][part]) if isinstance(block, tuple) else block[part]
    return made


def _room(rows: int, dtype: str) -> Any:
    """Return an array to be filled. A large one is mapped: the heap would keep its place for long after it is gone."""
    import mmap

    import numpy as np

    wanted = np.dtype(dtype)
    size = rows * wanted.itemsize
    if size < _MAPPED:
        return np.empty(rows, wanted)
    private = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_ANONYMOUS") else {}
    return np.frombuffer(mmap.mmap(-1, size, **private), wanted, rows)


def _places(pieces: Sequence[Piece]) -> list[tuple[int, Piece]]:
    found = []
    start = 0
    for piece in pieces:
        found.append((start, piece))
        start += piece.rows
    return found


def _joined_text(name: str, pieces: Sequence[Piece]) -> Any:
    import pyarrow as pa

    kind = _KINDS[name]
    parts = [p.columns[name] if name in p.columns else _nulls(kind, p.rows) for p in pieces]
    return pa.concat_arrays(parts, memory_pool=pa.system_memory_pool())  # the default one keeps what is freed


_NULLS: dict[str, Any] = {}


def _nulls(kind: str, rows: int) -> Any:
    """Return so many nulls; all of a kind lie in the same memory, for most rows lack most of the schema."""
    import pyarrow as pa

    found = _NULLS.get(kind)
    if found is None or len(found) < rows:
        found = _NULLS[kind] = pa.nulls(max(rows, 65_536), _arrow_type(kind))
    return found.slice(0, rows)


def _arrow_type(kind: str) -> Any:
    import pyarrow as pa

    return {"str": pa.large_string(), "list": pa.list_(pa.string())}[kind]  # what pandas would else convert to


def _arrow(values: Any, kind: Any) -> Any:
    import pyarrow as pa

    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if isinstance(values, pa.Array):
        return values if values.type == kind else values.cast(kind)
    return pa.array(values, kind)


def _read(kind: str, values: Any) -> Any:
    """Return a batch's column as a piece keeps it; None when it is all null."""
    import numpy as np
    import pyarrow as pa

    if kind in _TEXTS:
        found = _arrow(values, _arrow_type(kind))
        return found if found.null_count < len(found) else None
    types = {"time": pa.int64(), "float32": pa.float32(), "int16": pa.int16(), "int32": pa.int32(), "int64": pa.int64()}
    found = _arrow(values, types[kind])
    if found.null_count == len(found):
        return None
    if kind == "float32":
        return found.to_numpy(zero_copy_only=False)
    if not found.null_count:
        plain = found.to_numpy()
        return plain if kind == "time" else (plain, None)
    filled = found.fill_null(_NO_TIME if kind == "time" else 0).to_numpy()
    return filled if kind == "time" else (filled, np.asarray(found.is_null().to_numpy(zero_copy_only=False)))
