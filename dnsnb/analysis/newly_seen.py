"""Registered domains that were never asked for before: when first, how long ago, and by whom."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd

from dnsnb.analysis.gathered import Gathered
from dnsnb.analysis.native import window_us
from dnsnb.analysis.pairs import IGNORED, as_time, reduced, several, with_domains
from dnsnb.analysis.result import Result, result
from dnsnb.analysis.seenstore import put_seen, read_seen

_NEEDS = ("client", "qname", "time")
COLUMNS = ("domain", "first_seen", "age_h", "last_seen", "queries", "clients", "first_client")


def newly_seen(
    frame: Any,
    store: Any = None,
    within: str = "1D",
    *,
    n: int | None = None,
    remember: bool = True,
    ignore: Iterable[str] = IGNORED,
) -> Result:
    """Return the registered domains first seen in the last `within` before the frame's end, the newest first.

    `store` is what was seen before: the path of a file (.sqlite, .db, .parquet) that the frame's domains are added to
    unless `remember` is false, or a frame of `domain`, `first`, `last` (µs since the epoch). `age_h` is in hours, from
    the first observation to the frame's end. Without a store, or where it knows of less than `within`, all that is in
    the frame may be new: `read_as` then says since when anything is known. Raises SettingError.

    >>> from dnsnb import simulate
    >>> day = simulate.frame(hours=3, rate=0.2)
    >>> bool(newly_seen(day, within="30min")["age_h"].le(0.5).all())
    True
    """
    params: dict[str, Any] = {"within": within, "n": n, "ignore": several(ignore)}
    window_us(within, "within")
    known = read_seen(store)
    groups = _reduced(frame, params["ignore"])
    found = _judged(groups, known, params)
    if remember and store is not None and not isinstance(store, pd.DataFrame) and len(groups):
        seen = groups.groupby("domain", as_index=False, sort=True).agg(first=("first", "min"), last=("last", "max"))
        put_seen(store, seen.astype({"first": "int64", "last": "int64"}))
    return found


class NewlySeen:
    """The incremental twin of `newly_seen`: the same while there are at most `pairs` pairs of client and domain.

    Beyond that those go that were first seen longest ago. The store is read once, and never written.
    """

    analysis = "newly_seen"
    needs = _NEEDS
    takes: tuple[str, ...] = ()

    def __init__(
        self,
        store: Any = None,
        within: str = "1D",
        *,
        n: int | None = None,
        ignore: Iterable[str] = IGNORED,
        pairs: int = 500_000,
    ) -> None:
        window_us(within, "within")
        self.params: dict[str, Any] = {"within": within, "n": n, "ignore": several(ignore), "pairs": pairs}
        self._known = read_seen(store)
        self._pairs = Gathered(
            ("client", "domain"),
            (),
            ("first",),
            ("last",),
            limit=pairs,
            worth=lambda table: table["first"],
            reduce=partial(_reduced, ignore=self.params["ignore"]),
        )

    @property
    def dropped(self) -> int:
        return self._pairs.dropped

    def add(self, rows: pd.DataFrame) -> None:
        self._pairs.feed(rows)

    def absorb(self, other: NewlySeen) -> None:
        self._pairs.absorb(other._pairs)

    def result(self) -> Result:
        params = {k: v for k, v in self.params.items() if k != "pairs"}
        return _judged(self._pairs.table(), self._known, params)


def _reduced(frame: Any, ignore: tuple[str, ...]) -> pd.DataFrame:
    found = reduced(frame, ("client", "qname"), {}, {}, _NEEDS, times=True, where=~nw.col("time").is_null())
    gathered = Gathered(("client", "domain"), (), ("first",), ("last",))
    gathered.add(with_domains(found, ignore))
    return gathered.table()


def _judged(pairs: pd.DataFrame, known: pd.DataFrame, params: dict[str, Any]) -> Result:
    within, n = params["within"], params["n"]
    pairs = pairs.sort_values(["domain", "first", "client"], ignore_index=True)
    by_domain = pairs.groupby("domain", as_index=False, sort=True)
    found = by_domain.agg(
        first=("first", "min"), last=("last", "max"), queries=("count", "sum"), first_client=("client", "first")
    )
    own = pairs.assign(named=(pairs["client"] != "").astype("int64")).groupby("domain", sort=True)["named"].sum()
    found["clients"] = own.to_numpy(dtype="int64")
    before = dict(zip(known["domain"], known["first"], strict=True))
    found["first"] = np.minimum(found["first"], [before.get(d, np.inf) for d in found["domain"]])
    end = float(found["last"].max()) if len(found) else 0.0
    # only what is known from before `within` makes anything new
    start = min([*found["first"].tolist(), *known["first"].tolist()], default=0.0)
    limit = end - window_us(within, "within")
    new = found[found["first"] > limit]
    new = new.sort_values(["first", "domain"], ascending=[False, True])
    new = new.head(len(new) if n is None else n).reset_index(drop=True)
    new["age_h"] = ((end - new["first"]) / 3.6e9).astype("float64").round(3)
    new["first_seen"], new["last_seen"] = as_time(new["first"]), as_time(new["last"])
    for name in ("domain", "first_client"):
        new[name] = new[name].astype("str")
    new["first_client"] = new["first_client"].where(new["first_client"] != "", None)
    read_as = f"{len(new):,} of {len(found):,} domains were first seen in the last {within}"
    if len(found) and start > limit:
        read_as += f"; nothing is known from before {as_time([start]).iloc[0]:%Y-%m-%d %H:%M}, so all are new"
    return result(
        new[list(COLUMNS)], "newly_seen", read_as, {"kind": "bars", "name": "domain", "value": "queries"}, **params
    )
