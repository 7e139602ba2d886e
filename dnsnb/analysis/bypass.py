"""Clients that look names up elsewhere: names of encrypted resolvers, canaries, relays, and clients that fell silent.

Decides by what is in the log alone: who goes round a resolver by address leaves nothing but silence in it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd

from dnsnb.analysis.native import collected, columns_of, lazy, with_windows
from dnsnb.analysis.result import Result, result

HOUR_US = 3_600_000_000
#: resolvers over TLS, HTTPS or QUIC that anybody may use, each with all below it
PROVIDERS = (
    "adguard-dns.com", "adguard-dns.io", "basic.rethinkdns.com", "chrome.cloudflare-dns.com", "cloudflare-dns.com",
    "controld.com", "dns-unfiltered.adguard.com", "dns.adguard.com", "dns.alidns.com", "dns.digitale-gesellschaft.ch",
    "dns.google", "dns.mullvad.net", "dns.nextdns.io", "dns.quad9.net", "dns.sb", "dns.switch.ch", "dns.twnic.tw",
    "dns.umbrella.com", "dns0.eu", "dns10.quad9.net", "dns11.quad9.net", "dns9.quad9.net", "dnsforge.de",
    "doh.360.cn", "doh.applied-privacy.net", "doh.cleanbrowsing.org", "doh.dns.apple.com",
    "doh.familyshield.opendns.com", "doh.la.ahadns.net", "doh.li", "doh.libredns.gr", "doh.mullvad.net",
    "doh.opendns.com", "doh.pub", "doh.tiar.app", "doh.xfinity.com", "dot.pub", "dot1.applied-privacy.net",
    "dot.libredns.gr", "family-filter-dns.cleanbrowsing.org", "freedns.controld.com", "odvr.nic.cz",
    "one.one.one.one", "ordns.he.net",
    "private.canadianshield.cira.ca", "public.dns.iij.jp", "security-filter-dns.cleanbrowsing.org",
    "sky.rethinkdns.com", "unicast.uncensoreddns.org", "anycast.uncensoreddns.org", "wikimedia-dns.org",
)  # fmt: skip
#: NXDOMAIN for these keeps Firefox and Apple's Private Relay on the network's own resolver
CANARIES = ("use-application-dns.net",)
RELAYS = ("mask.icloud.com", "mask-h2.icloud.com", "mask.apple-dns.net", "mask-api.icloud.com")
#: discovery of a resolver's encrypted door (RFC 9462)
DISCOVERY = ("_dns.resolver.arpa",)


def bypass(
    frame: Any, providers: Iterable[str] = (), resolvers: Iterable[str] = (), silent_hours: float = 6, least: float = 20
) -> Result:
    """Return signs that clients resolve elsewhere: `what`, `client`, `name`, `queries`, `refused`, `first`, `last`.

    "canary", "relay" and "discovery" ask for well-known names, "provider" for a public encrypted resolver's
    (`providers` adds more): `refused` of those queries got NXDOMAIN, REFUSED or were blocked, so that the client stays.
    "silent" is a client that asked nothing for the log's last `silent_hours` or longer, though its earlier rate (over
    the hours from its first query to its last, of which it was active in half at least) let expect `least` queries or
    more; `expected` says how many. "other resolver" are rows whose `server` (in captures), or else
    `upstream`, is not among `resolvers`, if those are given.

    >>> import pandas as pd
    >>> row = {"qname": "dns.google", "client": "10.0.0.9", "time": pd.Timestamp("2026-01-01", tz="UTC")}
    >>> bypass(pd.DataFrame([row]))[["what", "client", "name"]].values.tolist()
    [['provider', '10.0.0.9', 'dns.google']]
    """
    own = [_cleaned(resolver) for resolver in resolvers]
    have = columns_of(frame)
    signs = tuple(name for name in ("rcode", "status") if name in have)
    asked = "server" if "server" in have else "upstream"
    rows = lazy(frame, "time", "client", "qname", *signs, *([asked] if own else []))
    rows = with_windows(rows.filter(~nw.col("time").is_null()), 1, "at")
    tables = [_named(rows, signs, tuple(_cleaned(name) for name in providers)), _silent(rows, silent_hours, least)]
    if own:
        tables.append(_elsewhere(rows, asked, own))
    columns = ["what", "client", "name", "queries", "refused", "expected", "first", "last"]
    table = pd.concat([t.reindex(columns=columns) for t in tables if len(t)] or [pd.DataFrame(columns=columns)])
    table = table.astype({"what": "str", "client": "str", "name": "str", "queries": "int64", "expected": "float64"})
    table["refused"] = table["refused"].astype("Int64")
    for name in ("first", "last"):
        table[name] = pd.to_datetime(table[name].astype("Int64"), unit="us", utc=True).dt.as_unit("us")
    table = table.sort_values(["what", "queries", "client", "name"], ascending=[True, False, True, True])
    read_as = "signs that clients look names up elsewhere; where all queries were refused the client stays"
    chart = {"kind": "bars", "name": ["what", "client", "name"], "value": "queries"}
    return result(
        table.reset_index(drop=True), "bypass", read_as, chart, silent_hours=silent_hours, least=least, resolvers=own
    )


def _named(rows: Any, signs: Sequence[str], more: tuple[str, ...]) -> pd.DataFrame:
    refused = nw.lit(0)
    if "rcode" in signs:
        refused = nw.when(nw.col("rcode").is_in(["NXDOMAIN", "REFUSED"])).then(1).otherwise(refused)
    if "status" in signs:
        refused = nw.when(nw.col("status").is_in(["blocked", "refused"])).then(1).otherwise(refused)
    rows = rows.filter(~nw.col("qname").is_null()).with_columns(refused.alias("refused"))
    names = collected(rows.select("qname").unique())["qname"].tolist()
    whats = {name: what for name in names if (what := _what(name, more))}
    if not whats:
        return pd.DataFrame()
    rows = rows.filter(nw.col("qname").is_in(list(whats)))
    found = collected(
        rows.group_by("client", "qname").agg(
            nw.len().alias("queries"), nw.col("refused").sum(), nw.col("at").min().alias("first"),
            nw.col("at").max().alias("last"),
        )
    )  # fmt: skip
    found["what"] = [whats[name] for name in found["qname"]]
    return found.rename(columns={"qname": "name"})


def _what(name: str, more: tuple[str, ...]) -> str | None:
    for what, known in (("canary", CANARIES), ("relay", RELAYS), ("discovery", DISCOVERY)):
        if name.endswith(known) and any(name == k or name.endswith(f".{k}") for k in known):
            return what
    tail = name
    while tail:
        if tail in _KNOWN or tail in more:
            return "provider"
        tail = tail.partition(".")[2]
    return None


_KNOWN = frozenset(PROVIDERS)


def _silent(rows: Any, silent_hours: float, least: float) -> pd.DataFrame:
    """Return clients whose rate let expect more than the nothing that came since their last query."""
    rows = rows.filter(~nw.col("client").is_null()).with_columns((nw.col("at") // HOUR_US).alias("hour"))
    hours = collected(
        rows.group_by("client", "hour").agg(
            nw.len().alias("count"), nw.col("at").min().alias("first"), nw.col("at").max().alias("last")
        )
    )
    if hours.empty:
        return pd.DataFrame()
    end = int(hours["last"].max())
    found = hours.groupby("client", as_index=False).agg(
        queries=("count", "sum"), active=("hour", "size"), first=("first", "min"), last=("last", "max"),
        begin=("hour", "min"), final=("hour", "max"),
    )  # fmt: skip
    span = found["final"] - found["begin"] + 1
    quiet = (end - found["last"]) / HOUR_US
    found["expected"] = found["queries"] / span * quiet
    steady = found["active"] >= np.ceil(span / 2)
    found = found[(quiet >= silent_hours) & steady & (found["expected"] >= least)]
    names = [f"nothing for {math.floor(h)} h" for h in quiet.loc[found.index]]
    return found.assign(what="silent", name=pd.Series(names, found.index, "str"), refused=None)


def _elsewhere(rows: Any, asked: str, resolvers: list[str]) -> pd.DataFrame:
    """Return rows that went to, or were answered by, somebody else, by client and address."""
    rows = rows.filter(~nw.col(asked).is_null()).with_columns(nw.col(asked).cast(nw.String).alias("name"))
    found = collected(
        rows.group_by("client", "name").agg(
            nw.len().alias("queries"), nw.col("at").min().alias("first"), nw.col("at").max().alias("last")
        )
    )
    found = found[[_cleaned(name) not in resolvers for name in found["name"]]]
    return found.assign(what="other resolver")


def _cleaned(name: str) -> str:
    return name.strip().rstrip(".").lower()
