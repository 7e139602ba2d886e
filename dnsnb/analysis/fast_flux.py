"""Names that hide their host behind ever new addresses all over the map: fast flux, by Holz's score."""

from __future__ import annotations

import bisect
import ipaddress
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd

from dnsnb.analysis.answered import Address, addresses, by_answer, leads_inside
from dnsnb.analysis.pairs import IGNORED, as_time, several, with_domains
from dnsnb.analysis.result import Result, result
from dnsnb.errors import SettingError

#: Holz et al., Measuring and Detecting Fast-Flux Service Networks (NDSS 2008): f = 1.32 nA + 18.54 nASN
OF_ADDRESS, OF_NETWORK, THRESHOLD = 1.32, 18.54, 142.38
#: by design like fast flux: volunteers' clocks all over the world
FLUX_LIKE = (*IGNORED, "pool.ntp.org")
COLUMNS = (
    "domain", "qname", "verdict", "score", "flux", "addresses", "networks", "prefixes", "ttl_s", "answers", "clients",
    "client", "queries", "first", "last",
)  # fmt: skip


class Networks:
    """An offline table of networks: `of(address)` gives the number of its autonomous system (AS), None if unknown."""

    def __init__(self, rows: Iterable[tuple[Any, Any, Any]]) -> None:
        self._starts: dict[int, list[int]] = {4: [], 6: []}
        self._ends: dict[int, list[tuple[int, int]]] = {4: [], 6: []}
        found: dict[int, list[tuple[int, int, int]]] = {4: [], 6: []}
        for number, (begin, end, asn) in enumerate(rows):
            try:
                first, last = ipaddress.ip_address(str(begin)), ipaddress.ip_address(str(end))
                if first.version != last.version or int(last) < int(first):
                    raise ValueError("the range ends before it begins")
                found[first.version].append((int(first), int(last), int(str(asn).upper().removeprefix("AS"))))
            except ValueError as error:
                raise SettingError(
                    f"asn[{number}]", (begin, end, asn), f"wants addresses and an AS number: {error}"
                ) from None
        for version, ranges in found.items():
            ranges.sort()
            self._starts[version] = [first for first, _, _ in ranges]
            self._ends[version] = [(last, asn) for _, last, asn in ranges]

    def of(self, address: Address) -> int | None:
        """Return the AS that an address belongs to; 0 in a table means nobody's."""
        place = bisect.bisect_right(self._starts[address.version], int(address)) - 1
        if place < 0:
            return None
        last, asn = self._ends[address.version][place]
        return asn if int(address) <= last and asn else None


def networks(asn: Any) -> Networks:
    """Return a table of networks: a frame with `network` (CIDR) and `asn`, or `start`, `end` and `asn`; or a file.

    Files are CSV or TSV, with those names as the header, or without one: start, end, AS number, and what more there is
    (as iptoasn.com gives them). Raises SettingError.
    """
    if isinstance(asn, Networks):
        return asn
    if isinstance(asn, str | os.PathLike):
        asn = _read(asn)
    if not isinstance(asn, pd.DataFrame):
        raise SettingError("asn", asn, "must be a frame or a file of networks and AS numbers")
    if {"network", "asn"} <= set(asn.columns):
        ranges = []
        for number, (text, who) in enumerate(zip(asn["network"], asn["asn"], strict=True)):
            try:
                network = ipaddress.ip_network(str(text), strict=False)
            except ValueError as error:
                raise SettingError(f"asn[{number}]", text, f"is no network: {error}") from None
            ranges.append((network[0], network[-1], who))
        return Networks(ranges)
    if {"start", "end", "asn"} <= set(asn.columns):
        return Networks(asn[["start", "end", "asn"]].itertuples(index=False, name=None))
    raise SettingError("asn", list(asn.columns), "wants the columns network and asn, or start, end and asn")


def fast_flux(
    frame: Any, asn: Any = None, *, n: int | None = 20, most_ttl_s: int = 1800, ignore: Iterable[str] = FLUX_LIKE
) -> Result:
    """Return the names with the most addresses in the most networks, by Holz's `flux` = 1.32 nA + 18.54 nASN.

    `asn` is a table of networks (see `networks`); without one no data can tell the AS, and `networks` counts /16 (IPv6:
    /32) prefixes in their place, of which a content network has many too. `verdict` is "fast flux" (without a table:
    "candidate") where `flux` is above 142.38 and the TTL at most `most_ttl_s`; `score` is flux / (flux + 142.38).
    `answers` are distinct answers.

    >>> from dnsnb import simulate
    >>> day = simulate.frame(hours=2, rate=0.1, infected=[simulate.FastFlux(every=30)])
    >>> table = pd.DataFrame({"network": [f"198.18.{n}.0/24" for n in range(60)], "asn": range(64500, 64560)})
    >>> fast_flux(day, table)[["qname", "verdict", "addresses", "networks"]].head(1).to_dict("records")
    [{'qname': 'cheap-pills.swift-shell.example', 'verdict': 'fast flux', 'addresses': 60, 'networks': 60}]
    """
    ignore = several(ignore)
    table = None if asn is None else networks(asn)
    groups = with_domains(by_answer(frame, ("A", "AAAA")), ignore)
    rows = []
    for qname, of in groupby(
        groups.sort_values(["qname", "client"]).itertuples(index=False), key=lambda row: row.qname
    ):
        asked = list(of)
        every = {a for text in {row.answers for row in asked} for a in addresses(text) if not leads_inside(a)}
        if len(every) > 1:
            rows.append((asked[0].domain, qname, "", *_measured(every, table), *_asked(asked)))
    found = pd.DataFrame(rows, columns=list(COLUMNS))
    short = found["ttl_s"].isna() | (found["ttl_s"] <= most_ttl_s)
    found["verdict"] = np.where(
        (found["flux"].astype("float64") > THRESHOLD) & short, "fast flux" if table is not None else "candidate", ""
    )
    flagged = int(found["verdict"].ne("").sum())
    found = found.sort_values(["verdict", "flux", "qname"], ascending=[False, False, True])
    found = found.head(len(found) if n is None else n).reset_index(drop=True)
    for name in ("domain", "qname", "verdict", "client"):
        found[name] = found[name].astype("str")
    found["client"] = found["client"].where(found["client"] != "", None)
    for name in ("score", "flux", "ttl_s"):
        found[name] = found[name].astype("float64").round(3)
    for name in ("first", "last"):
        found[name] = as_time(found[name])
    whole = ("addresses", "networks", "prefixes", "answers", "clients", "queries")
    found = found.astype(dict.fromkeys(whole, "int64"))
    by = "AS by the given table" if table is not None else "/16 prefixes: no table of AS was given"
    read_as = f"{flagged} of {len(rows):,} names with several addresses look like fast flux (networks are {by})"
    params = {"n": n, "asn": asn is not None, "most_ttl_s": most_ttl_s, "ignore": ignore}
    chart = {"kind": "bars", "name": "qname", "value": "flux"}
    return result(found, "fast_flux", read_as, chart, **params)


def _measured(every: set[Address], table: Networks | None) -> tuple[float, float, int, int, int]:
    prefixes = {_prefix(a) for a in every}
    places = prefixes if table is None else {table.of(a) for a in every} - {None}
    flux = OF_ADDRESS * len(every) + OF_NETWORK * len(places)
    return flux / (flux + THRESHOLD), flux, len(every), len(places), len(prefixes)


def _asked(rows: list[Any]) -> tuple[Any, ...]:
    """Return the median TTL, distinct answers, clients, who asked most, questions, first and last time."""
    counts: Counter[str] = Counter()
    for row in rows:
        counts[row.client] += row.count
    ttls = [row.ttl for row in rows if row.ttl == row.ttl]
    return (
        float(np.median(ttls)) if ttls else np.nan, len({row.answers for row in rows}), len(counts.keys() - {""}),
        min(counts, key=lambda client: (-counts[client], client)), counts.total(), min(row.first for row in rows),
        max(row.last for row in rows),
    )  # fmt: skip


def _prefix(address: Address) -> int:
    return int(address) >> (16 if address.version == 4 else 96)


def _read(path: Any) -> pd.DataFrame:
    try:
        with open(os.fspath(path), encoding="utf-8", errors="replace") as file:
            head: Sequence[str] = file.readline().strip().split("\t")
        mark = "\t" if len(head) > 1 else ","
        head = [name.strip().strip('"').lower() for name in mark.join(head).split(mark)]
        if "asn" in head:
            return pd.read_csv(path, sep=mark, dtype="str").rename(columns=str.lower)
        return pd.read_csv(
            path, sep=mark, dtype="str", header=None, usecols=[0, 1, 2], names=["start", "end", "asn"],
            on_bad_lines="skip",
        )  # fmt: skip
    except (OSError, ValueError) as error:
        raise SettingError("asn", str(path), f"can't be read as a table of networks: {error}") from None
