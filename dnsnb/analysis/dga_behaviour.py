"""Clients that walk through names which nobody has registered: a domain generation algorithm (DGA), by what it does."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd

from dnsnb.analysis.native import window_us
from dnsnb.analysis.pairs import IGNORED, as_time, present, ramp, reduced, several, with_domains
from dnsnb.analysis.result import Result, result

_NEEDS = ("client", "qname", "rcode", "time")
COLUMNS = (
    "client", "window", "verdict", "score", "reasons", "nx_domains", "nx_names", "nx_queries", "answered_domains",
    "nx_share", "entropy", "shared_with", "example", "first", "last",
)  # fmt: skip


def dga_behaviour(
    frame: Any, every: str = "1h", *, n: int | None = 20, fewest: int = 15, ignore: Iterable[str] = IGNORED
) -> Result:
    """Return clients by window of `every` with the most registered domains that don't exist, the surest first.

    Counted are distinct registered domains answered NXDOMAIN (`nx_domains`) of which no name was answered otherwise in
    the log, so that search suffixes and typing errors below real domains don't count; single labels (browsers' probes),
    blocked names and `ignore` neither. `nx_share` is of all domains asked in the window; `entropy` the mean of their
    labels, bits a character; `shared_with` the other clients that asked half of the same (Antonakakis et al., USENIX
    Security 2012: those have the same malware). `verdict` is "dga" from `fewest` domains, a score of 0.5 and a
    `nx_share` of 0.05 on.

    >>> from dnsnb import simulate
    >>> day = simulate.frame(hours=1, rate=0.1, threats=False, infected=[simulate.Dga(start=1200)])
    >>> dga_behaviour(day)[["client", "verdict", "nx_domains"]].head(1).to_dict("records")
    [{'client': '127.0.2.12', 'verdict': 'dga', 'nx_domains': 120}]
    """
    ignore = several(ignore)
    step = window_us(every)
    if fewest < 2:
        raise ValueError(f"fewest: {fewest!r}: must be at least 2: one name that isn't there is no walk")
    where = ~nw.col("time").is_null() & ~nw.col("rcode").is_null()
    have = present(frame, "status")
    if have:
        where &= nw.col("status").cast(nw.String).fill_null("") != "blocked"
    sums = {"nx": (nw.col("rcode").cast(nw.String).fill_null("") == "NXDOMAIN").cast(nw.Int64)}
    groups = reduced(
        frame,
        ("client", "qname", "window"),
        sums,
        {},
        (*_NEEDS, *have),
        window=("window", step),
        times=True,
        where=where,
    )
    groups = with_domains(groups, ignore)
    params = {"every": every, "n": n, "fewest": fewest, "ignore": ignore}
    return _judged(groups, step, params)


def _judged(groups: pd.DataFrame, step: int, params: dict[str, Any]) -> Result:
    n, fewest = params["n"], params["fewest"]
    real = set(groups.loc[groups["nx"] < groups["count"], "domain"])
    groups["missing"] = ~groups["domain"].isin(real)
    keys = ["client", "window"]
    everything = groups.groupby(keys, sort=True)["domain"].nunique().rename("asked")
    missing = groups[groups["missing"]].sort_values([*keys, "first", "qname"])
    walks = missing.groupby(keys, sort=True).agg(
        nx_domains=("domain", "nunique"), nx_names=("qname", "nunique"), nx_queries=("nx", "sum"),
        example=("qname", "first"),
        first=("first", "min"), last=("last", "max"),
    )  # fmt: skip
    walks = walks.join(everything).reset_index()
    walks["answered_domains"] = walks["asked"] - walks["nx_domains"]
    walks["nx_share"] = walks["nx_domains"] / walks["asked"].clip(lower=1)
    labels = missing.drop_duplicates([*keys, "domain"])
    labels = labels.assign(entropy=label_entropy(labels["domain"].str.split(".").str[0].tolist()))
    walks["entropy"] = labels.groupby(keys, sort=True)["entropy"].mean().to_numpy(dtype="float64")
    walks["score"] = (
        0.6 * ramp(np.log10(walks["nx_domains"].clip(lower=1)), np.log10(5), np.log10(50))
        + 0.2 * ramp(walks["entropy"], 2.4, 3.1) + 0.2 * ramp(walks["nx_share"], 0.02, 0.3)
    ).round(3) if len(walks) else pd.Series(dtype="float64")  # fmt: skip
    # a resolver for many has its share of dead names too
    sure = (walks["nx_domains"] >= fewest) & (walks["score"] >= 0.5) & (walks["nx_share"] >= 0.05)
    walks["verdict"] = pd.Series(np.where(sure, "dga", ""), dtype="str")
    of = {key: set(names) for key, names in missing[missing["client"].notna()].groupby(keys, sort=True)["domain"]}
    walks["shared_with"] = _shared(of, list(zip(walks["client"], walks["window"], strict=True)), fewest)
    clients = walks.loc[sure, "client"].nunique()
    best = walks.assign(sure=sure).sort_values(
        ["sure", "score", "nx_domains", "client", "window"], ascending=[False, False, False, True, True]
    )
    best = best.head(len(best) if n is None else n).reset_index(drop=True)
    best["window"] = as_time(best["window"] * step)
    for name in ("first", "last"):
        best[name] = as_time(best[name])
    best["reasons"] = pd.Series([_reasons(row) for row in best.to_dict("records")], dtype="str")
    for name in ("client", "example"):
        best[name] = best[name].astype("str")
    best["client"] = best["client"].where(best["client"] != "", None)
    many = "1 client asks" if clients == 1 else f"{clients} clients ask"
    read_as = f"{many} for one unregistered domain after another; nx_domains in each {params['every']}"
    chart = {"kind": "bars", "name": ["client", "window"], "value": "nx_domains"}
    return result(best[list(COLUMNS)], "dga_behaviour", read_as, chart, **params)


def _shared(of: dict[Any, set[str]], walks: list[tuple[str, int]], fewest: int) -> list[int]:
    """Return for each walk how many other clients asked half of the same domains in the same window."""
    askers: dict[tuple[int, str], list[str]] = defaultdict(list)
    for (client, window), names in of.items():
        for name in names:
            askers[window, name].append(client)
    found = []
    for client, window in walks:
        mine = of.get((client, window), set())
        if len(mine) < fewest:
            found.append(0)
            continue
        others = Counter(other for name in mine for other in askers[window, name] if other != client)
        found.append(sum(2 * count >= len(mine) for count in others.values()))
    return found


def label_entropy(labels: list[str]) -> Any:
    """Return the Shannon entropy of each label, bits a character."""
    text = [label.encode("utf-8", "replace") for label in labels]
    lengths = np.fromiter(map(len, text), dtype="int64", count=len(text))
    keys = np.repeat(np.arange(len(text)) * 256, lengths) + np.frombuffer(b"".join(text), dtype="uint8")
    places, counts = np.unique(keys, return_counts=True)
    share = counts / np.maximum(lengths, 1)[places // 256]
    return 0.0 - np.bincount(places // 256, weights=share * np.log2(share), minlength=len(text))


def _reasons(row: dict[Any, Any]) -> str:
    said = [f"{row['nx_domains']:,} domains that don't exist, such as {row['example']}"]
    said.append(f"{row['nx_share']:.0%} of what it asked for")
    if row["entropy"] >= 2.8:
        said.append(f"{row['entropy']:.1f} bits a character")
    if row["shared_with"]:
        said.append(f"{row['shared_with']} other clients asked for the same")
    return "; ".join(said)
