"""Questions by name and answer, with the addresses in them: what is looked at where the answers tell.

Reduced in the frame's own engine. Knows which addresses lead inside by dns/rebind.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd

from dnsnb.analysis.native import collected, lazy
from dnsnb.analysis.pairs import as_microseconds, present
from dnsnb.analysis.questions import SEPARATOR, with_answer_text
from dnsnb.dns.rebind import is_inside

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def by_answer(frame: Any, types: tuple[str, ...]) -> pd.DataFrame:
    """Return `client`, `qname`, `answers` (one text), `ttl`, `count`, `first`, `last` (µs) of questions of these types.

    Where there is no time, `first` and `last` are NaN; where there is no TTL, it is. Local and blocked answers are left
    out, for they are this server's own.
    """
    needs = ("client", "qname", "qtype", "answers")
    have = present(frame, "time", "ttl", "status")
    rows = lazy(with_answer_text(frame), *needs, *have)
    rows = rows.filter(~nw.col("qname").is_null() & ~nw.col("answers").is_null())
    rows = rows.filter(nw.col("qtype").cast(nw.String).fill_null("").is_in(list(types)))
    if "status" in have:
        rows = rows.filter(~nw.col("status").cast(nw.String).fill_null("").is_in(["local", "blocked"]))
    ttl = nw.col("ttl").cast(nw.Float64) if "ttl" in have else nw.lit(None).cast(nw.Float64)
    rows = rows.with_columns(nw.col("client").cast(nw.String).fill_null(""), ttl.alias("ttl"))
    timed = "time" in have
    bounds = (nw.col("time").min().alias("first"), nw.col("time").max().alias("last")) if timed else ()
    groups = rows.group_by("client", "qname", "answers")
    found = collected(groups.agg(nw.len().alias("count"), nw.col("ttl").max(), *bounds))
    for name in ("first", "last"):
        found[name] = as_microseconds(found[name]) if timed else np.nan
    found = found.astype({"count": "int64", "ttl": "float64"})
    for name in ("client", "qname", "answers"):
        found[name] = found[name].astype("object")
    return found.sort_values(["client", "qname", "first", "answers"], ignore_index=True)


@lru_cache(maxsize=65_536)
def addresses(answers: str) -> tuple[Address, ...]:
    """Return the addresses among the answers of a row, as text joined by `questions.SEPARATOR`."""
    found = []
    for text in answers.split(SEPARATOR):
        try:
            found.append(ipaddress.ip_address(text))
        except ValueError:  # a name, a text, anything
            continue
    return tuple(found)


def leads_inside(address: Address) -> bool:
    """Whether an address is of the space of RFC 6890 that lies inside: private, shared, loopback, link-local.

    0.0.0.0/8 and :: are not: they are what blocked names are answered with.
    """
    return is_inside(address.packed) and not names_nobody(address)


def names_nobody(address: Address) -> bool:
    """Whether an address can be nobody's: 0.0.0.0/8 and ::."""
    return address.packed[0] == 0 and (address.version == 4 or address.is_unspecified)
