"""From rows to (client, registered domain): what the detectors reduce a log to, in its own engine, before they judge.

Decides which names are looked at; knows the public suffix list through dnsnb.names.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd

from dnsnb.analysis.native import EPOCH, collected, columns_of, lazy, with_windows
from dnsnb.names import registered_domain

#: what is asked for by nobody's choice: addresses backwards, multicast names, search suffixes of no domain
IGNORED = ("arpa", "local", "localdomain")
#: octets of a question beside its name as text: header, the name's first and last octet, type and class
QUERY_OVERHEAD = 12 + 2 + 4
_HOUR = 3_600_000_000


def reduced(
    frame: Any,
    keys: tuple[str, ...],
    sums: dict[str, Any],
    least: dict[str, Any],
    needs: Iterable[str],
    *,
    window: tuple[str, int] | None = None,
    times: bool = False,
    where: Any = None,
) -> pd.DataFrame:
    """Return a frame's groups by `keys` with `count` and aggregates, reduced in the frame's own engine.

    Rows without a name are left out; a null client is "". `sums` and `least` are expressions by column of the result;
    `window` is a key made of the time, its name and length in µs; `times` adds `first` and `last`, µs since the epoch,
    NaN where no time is known; `where` is a condition.
    """
    rows = lazy(frame, *needs).filter(~nw.col("qname").is_null())
    if where is not None:
        rows = rows.filter(where)
    if window is not None:
        rows = with_windows(rows, window[1], window[0])
    values = [expression.alias(name) for name, expression in (sums | least).items()]
    rows = rows.with_columns(nw.col("client").cast(nw.String).fill_null(""), *values)
    bounds = (nw.col("time").min().alias("first"), nw.col("time").max().alias("last")) if times else ()
    found = collected(
        rows.group_by(*keys).agg(
            nw.len().alias("count"),
            *(nw.col(name).sum().alias(name) for name in sums),
            *(nw.col(name).min().alias(name) for name in least),
            *bounds,
        )
    )
    for name in ("count", *sums):
        found[name] = found[name].fillna(0).astype("int64")
    for name in least:
        found[name] = found[name].astype("float64")
    for name in ("first", "last") if times else ():
        found[name] = as_microseconds(found[name])
    for name in ("client", "qname", "domain"):
        if name in found:
            found[name] = found[name].astype("object")
    return found


def present(frame: Any, *names: str) -> list[str]:
    """Return those of the columns that the frame has."""
    have = set(columns_of(frame))
    return [name for name in names if name in have]


def newest_hours(frame: Any, most: int) -> tuple[Any, int]:
    """Return a condition for the newest hours of a frame that have at most `most` rows (one hour at least), or None
    when all have; and the number of rows that it leaves out."""
    rows = lazy(frame, "time").filter(~nw.col("time").is_null())
    hours = with_windows(rows, _HOUR, "hour")
    found = collected(hours.group_by("hour").agg(nw.len().alias("count"))).sort_values("hour", ascending=False)
    total = int(found["count"].sum())
    if total <= most:
        return None, 0
    kept = found[(found["count"].cumsum() <= most) | (np.arange(len(found)) == 0)]
    first = EPOCH + timedelta(microseconds=int(kept["hour"].min()) * _HOUR)
    where = ~nw.col("time").is_null() & (nw.col("time") >= nw.lit(first))
    return where, total - int(kept["count"].sum())


def with_domains(groups: pd.DataFrame, ignore: Iterable[str]) -> pd.DataFrame:
    """Return the groups with `domain`, the registered domain of `qname`; without names that have none, or are ignored.

    `ignore` are domains, with all below them.
    """
    codes, names = pd.factorize(groups["qname"], sort=False)
    domains = np.empty(len(names) + 1, dtype="object")
    domains[: len(names)] = list(registered_domain(list(names)))
    endings = tuple(f".{name.strip('.').lower()}" for name in ignore)
    if endings:
        for number, (name, domain) in enumerate(zip(names, domains[:-1], strict=True)):
            if domain is not None and f".{name}".endswith(endings):
                domains[number] = None
    found = groups.assign(domain=domains[codes])
    return found[found["domain"].notna()].reset_index(drop=True)


def several(ignore: Iterable[str]) -> tuple[str, ...]:
    """Return domains to leave out as a tuple; raises TypeError for one alone, which would be taken by its letters."""
    if isinstance(ignore, str):
        raise TypeError(f"ignore: {ignore!r}: must be several domains, such as [{ignore!r}]")
    return tuple(ignore)


def as_microseconds(times: pd.Series) -> pd.Series:
    """Return times (UTC) as microseconds since the epoch, NaN where there is none."""
    if not isinstance(times.dtype, pd.DatetimeTZDtype):  # what was null throughout has lost its type on the way
        return pd.Series(np.nan, index=times.index, dtype="float64")
    whole = times.dt.as_unit("us").astype("int64").astype("float64")
    return whole.where(times.notna())


def octets(column: str, have: Iterable[str]) -> Any:
    """Return an expression: a size, 0 where it isn't told."""
    return nw.col(column).fill_null(0).cast(nw.Int64) if column in have else nw.lit(0)


def unsized(column: str, have: Iterable[str]) -> Any:
    """Return an expression: 1 where a size isn't told, else 0."""
    return nw.col(column).is_null().cast(nw.Int64) if column in have else nw.lit(1)


def as_time(values: Any) -> Any:
    """Return microseconds since the epoch (NaN: not known) as times (UTC)."""
    return pd.to_datetime(pd.Series(values).astype("float64").round().astype("Int64"), unit="us", utc=True).dt.as_unit(
        "us"
    )


def ramp(values: Any, low: float, high: float) -> Any:
    """Return 0 up to `low`, 1 from `high`, and a straight line between."""
    return np.clip((np.asarray(values, dtype="float64") - low) / (high - low), 0.0, 1.0)
