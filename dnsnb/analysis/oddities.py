"""Questions that ordinary programs don't ask: rare types, addresses as names, private reverse names, no recursion."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import narwhals as nw
import pandas as pd

from dnsnb.analysis.native import collected, columns_of, lazy
from dnsnb.analysis.result import Result, result

#: what is odd -> the document that says so
WHY = {
    "any": "RFC 8482", "null": "RFC 1035", "transfer": "RFC 5936", "meta type": "RFC 6895", "unknown type": "RFC 6895",
    "address as name": "RFC 1035", "private reverse": "RFC 6303", "other class": "RFC 4892", "no recursion": "RFC 1035",
    "sweep": "RFC 1035",
}  # fmt: skip
_TYPES = {"ANY": "any", "*": "any", "NULL": "null", "AXFR": "transfer", "IXFR": "transfer"}
_META = frozenset(("MAILA", "MAILB", "TSIG", "TKEY", "OPT", "NXNAME"))
_ADDRESS = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}")
#: reverse zones that no public server knows: private (RFC 1918, 4193), link-local, shared (RFC 6598), this host
_PRIVATE = re.compile(
    r"(?:^|\.)(?:(?:10|127|254\.169|168\.192|(?:1[6-9]|2\d|3[01])\.172|(?:6[4-9]|[7-9]\d|1[01]\d|12[0-7])\.100)"
    r"\.in-addr|(?:[cd]\.f|[89ab]\.e\.f)\.ip6)\.arpa$"
)


def odd_queries(frame: Any, sweep: int = 20) -> Result:
    """Return odd questions by what is odd and `client`: `count`, distinct `names`, an `example`, `forwarded`, `why`.

    "any", "null", "transfer" and "meta type" are by type; "unknown type" has no name (TYPE65280); "address as name"
    asks for the address of one; "private reverse" for a name of private address space, which leaks where `forwarded`
    (rows that an upstream was asked) is not 0; "other class" is not IN; "no recursion" had no RD, and is a "sweep" (one
    looks into caches) from `sweep` names of a client on. A question may be odd twice. Uses the columns client, qclass,
    flags and status where they are.

    >>> from dnsnb import simulate
    >>> odd_queries(simulate.frame(hours=0.2)).columns.tolist()
    ['what', 'client', 'count', 'names', 'example', 'forwarded', 'why']
    """
    if sweep < 1:
        raise ValueError(f"sweep: {sweep!r}: must be at least 1")
    have = columns_of(frame)
    keys = ["qname", "qtype", *(name for name in ("client", "qclass", "flags") if name in have)]
    rows = lazy(frame, *keys, *(["status"] if "status" in have else []))
    sent = nw.lit(0)
    if "status" in have:
        sent = nw.when(nw.col("status").is_in(["forwarded", "failed"])).then(1).otherwise(0)
    rows = rows.with_columns(sent.alias("forwarded"))
    groups = collected(rows.group_by(*keys).agg(nw.len().alias("asked"), nw.col("forwarded").sum()))
    for name in ("client", "qclass", "flags"):
        if name not in groups:
            groups[name] = pd.Series([None] * len(groups), dtype="str")
    found: list[tuple[Any, ...]] = []
    for row in groups.itertuples(index=False):
        found.extend((what, row.client, row.asked, row.qname, row.forwarded) for what in _odd(row))
    odd = pd.DataFrame(found, columns=["what", "client", "count", "qname", "forwarded"])
    odd = odd.astype({"what": "str", "client": "str", "qname": "str", "count": "int64", "forwarded": "int64"})
    table = odd.groupby(["what", "client"], as_index=False, dropna=False).agg(
        count=("count", "sum"), names=("qname", "nunique"), example=("qname", "min"), forwarded=("forwarded", "sum")
    )
    table.loc[(table["what"] == "no recursion") & (table["names"] >= sweep), "what"] = "sweep"
    table = table.sort_values(["what", "count", "client"], ascending=[True, False, True], ignore_index=True)
    table["why"] = table["what"].map(WHY).astype("str")
    read_as = "questions that ordinary programs don't ask; private reverse names leak where they were forwarded"
    chart = {"kind": "bars", "name": ["what", "client"], "value": "count"}
    return result(table, "odd_queries", read_as, chart, sweep=sweep)


def _odd(row: Any) -> Iterator[str]:
    qtype = row.qtype if isinstance(row.qtype, str) else ""
    qname = row.qname if isinstance(row.qname, str) else ""
    if qtype in _TYPES:
        yield _TYPES[qtype]
    elif qtype in _META:
        yield "meta type"
    elif qtype.startswith("TYPE"):
        number = qtype[4:]
        yield "meta type" if number.isdecimal() and 128 <= int(number) <= 255 else "unknown type"
    if qtype in ("A", "AAAA") and (_ADDRESS.fullmatch(qname) or ":" in qname):
        yield "address as name"
    if qtype == "PTR" and _PRIVATE.search(qname):
        yield "private reverse"
    if isinstance(row.qclass, str) and row.qclass != "IN":
        yield "other class"
    if isinstance(row.flags, str) and "rd" not in row.flags.split():
        yield "no recursion"
