"""Everything that the detectors find in a log, as one list: who, what, how sure, and the evidence in a line."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd

from dnsnb.analysis.beacons import beacons
from dnsnb.analysis.bursts import bursts
from dnsnb.analysis.dga_behaviour import dga_behaviour
from dnsnb.analysis.fast_flux import FLUX_LIKE, fast_flux
from dnsnb.analysis.native import collected, lazy
from dnsnb.analysis.pairs import IGNORED, ramp, several, with_domains
from dnsnb.analysis.rebinding import PRIVATE_NAMES, rebinding
from dnsnb.analysis.result import Result, result
from dnsnb.analysis.tunnels import tunnels
from dnsnb.errors import MissingColumnError

COLUMNS = ("client", "domain", "what", "score", "evidence", "first", "last", "queries")
KINDS = ("tunnel", "beacon", "dga", "rebinding", "burst", "fast flux")
_EVERY = "1min"
_BURST = 100
#: of one kind; the surest come first
_MOST = 500
#: more clients than these that do the same are one finding
_APART = 3


def hunt(frame: Any, *, asn: Any = None, n: int | None = 50, ignore: Iterable[str] = ()) -> Result:
    """Return what `tunnels`, `beacons`, `dga_behaviour`, `rebinding`, `bursts` and `fast_flux` are sure of in one list.

    Each row says which `client` does `what` with which `domain` (null where there are many), how sure that is
    (`score`, 0-1, the surest first), the `evidence` in a line, its `first` and `last` time and number of `queries`.
    What more than three clients do alike is one row. `asn` is the table that fast flux needs (see `fast_flux`);
    `ignore` are domains that are left out by all. Detectors that can't run are named, with the reason, in
    `attrs["left_out"]`.

    >>> from dnsnb import simulate
    >>> day = simulate.hunt(hours=5, rate=0.05)
    >>> sorted(hunt(day, asn=pd.DataFrame(simulate.networks()))["what"])
    ['beacon', 'burst', 'dga', 'fast flux', 'rebinding', 'tunnel']
    """
    ignore = several(ignore)
    lazy(frame, "client", "qname")  # without them nobody can find anything
    finders: dict[str, Callable[[], pd.DataFrame]] = {
        "tunnel": lambda: _tunnels(frame, (*IGNORED, *ignore)),
        "beacon": lambda: _beacons(frame, (*IGNORED, *ignore)),
        "dga": lambda: _dga(frame, (*IGNORED, *ignore)),
        "rebinding": lambda: _rebinding(frame, (*PRIVATE_NAMES, *ignore)),
        "fast flux": lambda: _fast_flux(frame, asn, (*FLUX_LIKE, *ignore)),
    }
    if asn is None:
        del finders["fast flux"]
    parts, left_out = [], {} if asn is not None else {"fast flux": "no table of AS was given"}
    for what, find in finders.items():
        try:
            parts.append(find().assign(what=what))
        except MissingColumnError as error:
            left_out[what] = str(error)
    found = _one(parts)
    try:
        found = _one([found, _bursts(frame, found, ignore).assign(what="burst")])
    except (MissingColumnError, ValueError) as error:  # a log of years has too many minutes
        left_out["burst"] = str(error)
    found = _folded(found).sort_values(["score", "what", "domain", "client"], ascending=[False, True, True, True])
    total = len(found)
    best = found.head(total if n is None else n).reset_index(drop=True)
    counts = best["what"].value_counts()
    said = ", ".join(f"{counts[what]} {what}" for what in KINDS if what in counts) or "nothing"
    read_as = f"{said} found; the surest first" if len(best) else "nothing found"
    chart = {"kind": "bars", "name": ["what", "client", "domain"], "value": "score"}
    made = result(best, "hunt", read_as, chart, asn=asn is not None, n=n, ignore=ignore)
    made.attrs["left_out"] = left_out
    return made


def _one(parts: list[pd.DataFrame]) -> pd.DataFrame:
    parts = [part for part in parts if len(part)]
    if not parts:
        made = pd.DataFrame({name: pd.Series(dtype="str") for name in COLUMNS})
        for name in ("first", "last"):
            made[name] = pd.DatetimeIndex([], dtype="datetime64[us, UTC]")
        return made.astype({"score": "float64", "queries": "int64"})
    joined = pd.concat([part[list(COLUMNS)] for part in parts], ignore_index=True)
    joined["score"] = joined["score"].astype("float64").round(3)
    texts = dict.fromkeys(("client", "domain", "what", "evidence"), "str")
    return joined.astype({**texts, "queries": "int64"})


def _tunnels(frame: Any, ignore: tuple[str, ...]) -> pd.DataFrame:
    found = tunnels(frame, _MOST, ignore=ignore).query("verdict == 'tunnel'")
    return found.assign(evidence=found["reasons"])


def _beacons(frame: Any, ignore: tuple[str, ...]) -> pd.DataFrame:
    found = beacons(frame, _MOST, ignore=ignore).query("verdict == 'beacon'")
    rare = np.where(found["prevalence"] >= 0.5, 0.15, 0.0)  # as RITA's prevalence modifier
    said = [_clockwork(row) for row in found.to_dict("records")]
    score = (found["score"] + found["regularity"]) / 2 - rare
    return found.assign(score=score.clip(lower=0.05), evidence=said, queries=found["asks"])


def _clockwork(row: dict[Any, Any]) -> str:
    said = f"every {row['period_s']:,.0f} s ±{row['jitter']:.0%}"
    said += f", {row['regularity']:.0%} of {row['asks'] - 1:,} gaps alike"
    lost = f", {row['lost']:.0%} lost" if row["lost"] >= 0.05 else ""
    return f"{said}{lost}; RITA's score {row['score']:.3f}"


def _dga(frame: Any, ignore: tuple[str, ...]) -> pd.DataFrame:
    found = dga_behaviour(frame, n=None, ignore=ignore).query("verdict == 'dga'")
    # one row a client: its surest hour
    found = found.drop_duplicates("client")
    return found.assign(evidence=found["reasons"], domain=None, queries=found["nx_queries"])


def _rebinding(frame: Any, ignore: tuple[str, ...]) -> pd.DataFrame:
    found = rebinding(frame, n=None, ignore=ignore).query("verdict == 'rebinding'")
    return found.drop_duplicates(["client", "domain"]).assign(evidence=lambda rows: rows["reasons"])


def _fast_flux(frame: Any, asn: Any, ignore: tuple[str, ...]) -> pd.DataFrame:
    found = fast_flux(frame, asn, n=None, ignore=ignore).query("verdict == 'fast flux'")
    said = [
        f"{row['qname']}: {row['addresses']} addresses in {row['networks']} networks, TTL {row['ttl_s']:,.0f} s"
        + (f"; {row['clients']} clients" if row["clients"] > 1 else "")
        for row in found.to_dict("records")
    ]
    return found.assign(evidence=said).drop_duplicates("domain")


def _bursts(frame: Any, found: pd.DataFrame, ignore: tuple[str, ...]) -> pd.DataFrame:
    """Return runs of windows in which a client asked far more than usual, save those that another finding explains."""
    windows = bursts(frame, _EVERY, "client", n=None, fewest=_BURST).query("verdict == 'burst'")
    windows = windows[windows["client"].notna()].sort_values(["client", "time"])
    step = pd.Timedelta(_EVERY)
    apart = (windows["client"] != windows["client"].shift()) | (windows["time"].diff() > 3 * step)
    runs = windows.groupby(apart.cumsum(), sort=True).agg(
        client=("client", "first"), first=("time", "min"), last=("time", "max"), queries=("count", "sum"),
        usual=("expected", "sum"), z=("robust_z", "max"),
    )  # fmt: skip
    rows = []
    for run in runs.sort_values("z", ascending=False).head(20).to_dict("records"):
        client, first, end = run["client"], run["first"], run["last"] + step
        same = found[(found["client"] == client) & (found["first"] < end) & (found["last"] >= first)]
        if (same["what"].isin(["tunnel", "dga"])).any():
            continue
        domain, share = _asked_most(frame, client, first, end, ignore)
        if domain is None:
            continue
        said = f"{run['queries']:,} questions in {(end - first) / step:,.0f} min where {run['usual']:,.0f} are usual"
        score = 0.4 + 0.4 * float(ramp(np.log10(max(run["z"], 1.0)), np.log10(6), np.log10(600)))
        rows.append((client, domain, score, f"{said}; {share:.0%} for {domain}", first, end, run["queries"]))
    return pd.DataFrame(rows, columns=[name for name in COLUMNS if name != "what"])


def _asked_most(frame: Any, client: str, first: Any, end: Any, ignore: tuple[str, ...]) -> tuple[str | None, float]:
    """Return the registered domain that a client asked for most in a span of time, and its share of the questions."""
    span = (nw.col("time") >= nw.lit(first.to_pydatetime())) & (nw.col("time") < nw.lit(end.to_pydatetime()))
    rows = lazy(frame, "client", "qname", "time").filter(~nw.col("qname").is_null() & ~nw.col("time").is_null())
    rows = rows.filter((nw.col("client").cast(nw.String).fill_null("") == client) & span)
    names = collected(rows.group_by("qname").agg(nw.len().alias("count")))
    whole = int(names["count"].sum())
    names["qname"] = names["qname"].astype("object")
    counts = with_domains(names, (*IGNORED, *ignore)).groupby("domain")["count"].sum()
    if counts.empty:
        return None, 0.0
    best = min(counts.index, key=lambda domain: (-counts[domain], domain))
    return str(best), float(counts[best]) / max(whole, 1)


def _folded(found: pd.DataFrame) -> pd.DataFrame:
    """Make one row of what many clients do with one domain."""
    if found.empty:
        return found
    found = found.sort_values(["score", "client"], ascending=[False, True])
    size = found.groupby(["what", "domain"])["client"].transform("size")
    many = found[(size > _APART) & found["domain"].notna()]
    if many.empty:
        return found
    rows: list[dict[Any, Any]] = []
    for _, of in many.groupby(["what", "domain"], sort=True):
        best: dict[Any, Any] = of.iloc[0].to_dict()
        best["evidence"] += f"; and {len(of) - 1} more clients"
        best |= {"first": of["first"].min(), "last": of["last"].max(), "queries": int(of["queries"].sum())}
        rows.append(best)
    return pd.concat([found.drop(many.index), pd.DataFrame(rows).astype(found.dtypes.to_dict())], ignore_index=True)
