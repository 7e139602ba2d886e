"""Every analysis of `OF_A_FRAME` on every kind of frame, with equal results, and on odd frames.

A new analysis falls under it by its name; what it needs beside the frame stands in `BESIDE`.
"""

from __future__ import annotations

import inspect
import sys
import traceback
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from frame_kinds import KINDS, as_kind, plain, rich_table

from dnsnb import analysis, schema
from dnsnb.analysis.accessor import DnsAccessor
from dnsnb.errors import DnsnbError, MissingColumnError

#: what an analysis is given beside the frame, by the kind of frame; those of two frames get the first half as the other
BESIDE: dict[str, dict[str, Any]] = {
    "cloaking": {"trackers": ["collector.example"]},
    "replay": {"blacklist": ["shop.example"]},
    "trackers": {"lists": {"ads": ["tracker.example"], "more": ["pixel.tracker.example", "dns.google"]}, "by": "list"},
}
#: parameters of the type "another frame"
OTHER_FRAME = ("b", "other", "before")

#: made of several others, which are tried by themselves: these on fewer kinds, for they take long
COMPOSED = ("compare", "hunt", "summary")
SINGLE = sorted(set(analysis.OF_A_FRAME) - set(COMPOSED))

RICH = rich_table()
HALF = RICH.slice(0, len(RICH) // 2)


_MADE: dict[tuple[int, str], tuple[pa.Table, Any]] = {}


def of_kind(table: pa.Table, kind: str) -> Any:
    """Return a table as a kind of frame, made once: no analysis changes what it is given."""
    if (id(table), kind) not in _MADE:
        _MADE[id(table), kind] = table, as_kind(table, kind)  # the table too, so that its id stays its own
    return _MADE[id(table), kind][1]


def asked(name: str, table: pa.Table, kind: str, other: pa.Table = HALF) -> Any:
    function = getattr(analysis, name)
    beside = dict(BESIDE.get(name, {}))
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name in OTHER_FRAME and parameter.default is inspect.Parameter.empty:
            beside[parameter.name] = of_kind(other, kind)
    return function(of_kind(table, kind), **beside)


def same(one: Any, other: Any) -> None:
    one, other = plain(one), plain(other)
    if isinstance(one, str) or isinstance(other, str):
        assert one == other
    else:
        pd.testing.assert_frame_equal(one, other, check_dtype=False, rtol=1e-6)


@cache
def of_the_rich_frame(name: str) -> Any:
    return asked(name, RICH, "pandas")


@pytest.mark.parametrize("name", analysis.OF_A_FRAME)
def test_every_kind_of_frame_gives_the_same(name: str) -> None:
    first = of_the_rich_frame(name)
    if isinstance(first, pd.DataFrame):
        assert isinstance(first, analysis.Result)
        assert len(first), f"{name} finds nothing in the rich frame: its test could not fail"
        assert first.attrs["analysis"] == name
        assert first.read_as
        assert "\n" not in first.read_as
        assert isinstance(first.attrs["params"], dict)
        assert first._repr_html_()
        if first.attrs["chart"]:
            assert str(first.chart()).startswith("<svg")
    for kind in KINDS[3 if name in COMPOSED else 1 :]:
        same(first, asked(name, RICH, kind))


#: frames of little or nothing, each tried on the libraries that differ most about it
ODD: dict[str, tuple[pa.Table, tuple[str, ...]]] = {
    "empty": (RICH.slice(0, 0), ("pandas", "duckdb")),
    "one": (RICH.slice(0, 1), ("polars",)),
    "null": (schema.to_arrow({"id": [1, 2, 3]}), ("arrow-backed", "duckdb")),
}


def raised_by_us(error: Exception) -> bool:
    """Whether an analysis says so itself, and not some library that stumbled."""
    return "dnsnb" in Path(traceback.extract_tb(error.__traceback__)[-1].filename).parts


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("name", analysis.OF_A_FRAME)
def test_odd_frames(name: str, odd: str) -> None:
    """Nothing, one row, rows of nothing: a result, the same on every library, or an error that says why."""
    table, kinds = ODD[odd]
    found: list[Any] = []
    for kind in kinds[: 1 if name in COMPOSED else 2]:
        try:
            found.append(asked(name, table, kind, table))
        except (DnsnbError, ValueError) as error:
            if not raised_by_us(error):
                raise
            found.append(f"{type(error).__name__}: {error}")
    for other in found[1:]:
        same(found[0], other)


def doubled() -> pa.Table:
    other = pa.array(["other"] * len(RICH)).dictionary_encode()
    return pa.concat_tables(
        [RICH, RICH.set_column(RICH.column_names.index("source"), "source", other)]
    ).unify_dictionaries()


DOUBLED = doubled()
SHUFFLED = DOUBLED.take(pa.array(pd.Series(range(len(DOUBLED))).sample(frac=1, random_state=7).to_numpy()))


@pytest.mark.parametrize("name", SINGLE)
def test_the_order_of_rows_does_not_matter(name: str) -> None:
    """Nor do equal times, nor the rows of several sources, whatever the library makes of them."""
    same(asked(name, DOUBLED, "polars"), asked(name, SHUFFLED, "duckdb"))


@pytest.mark.parametrize("name", analysis.OF_A_FRAME)
def test_a_missing_column_is_named(name: str) -> None:
    """From no column on: each error names the next one that is needed, until there is a result."""
    have = ["id"]
    for _ in RICH.column_names:
        try:
            found = asked(name, RICH.select(have), "polars", RICH.select(have))
        except MissingColumnError as error:
            missing = [c for c in RICH.column_names if f"no column {c!r}" in str(error)]
            assert len(missing) == 1, f"{error}: names no column of the schema"  # noqa: PT017
            assert missing[0] not in have, f"{error}: it is there"  # noqa: PT017
            have += missing
        else:
            assert found is not None
            assert len(have) > 1, f"{name} needs no column at all?"
            return
    pytest.fail(f"{name} has no result with all of {have}")


@pytest.mark.parametrize("name", analysis.OF_A_FRAME)
def test_every_analysis_shows_an_example(name: str) -> None:
    assert ">>> " in (getattr(analysis, name).__doc__ or ""), f"{name} has no example"


@pytest.mark.parametrize(
    ("wrong", "right"),
    [("tunnel", "tunnels"), ("nonexistent", "nxdomain"), ("what_if", "replay"), ("zzz", "there are")],
)
def test_a_name_that_no_analysis_has_is_told_what_was_meant(wrong: str, right: str) -> None:
    with pytest.raises(AttributeError, match=right):
        getattr(DnsAccessor(pd.DataFrame({"qname": ["a.test"]})), wrong)
    if wrong in ("tunnel", "zzz"):  # the others are modules of ours
        with pytest.raises(AttributeError, match=right):
            getattr(analysis, wrong)
