"""What EDNS Client Subnet gives away: the prefixes of clients that questions carry (RFC 7871)."""

from __future__ import annotations

from typing import Any

import narwhals as nw
import pandas as pd

from dnsnb.analysis.native import collected, columns_of, lazy
from dnsnb.analysis.result import Result, result


def ecs(frame: Any, n: int = 50) -> Result:
    """Return the client subnets in questions: `subnet`, `bits`, `whole`, `queries`, `share`, `names`, `clients`.

    `bits` is the length of the prefix, `whole` says that it is a whole address, `share` is of all rows (0-1). Wants the
    column `ecs`, which readers add where a source has it (BIND, AdGuard, Cloudflare …): dnsnb's own log has none, and
    raises MissingColumnError.

    >>> import pandas as pd
    >>> ecs(pd.DataFrame({"qname": ["a.test"], "ecs": ["192.0.2.0/24/0"]}))[["subnet", "bits"]].values.tolist()
    [['192.0.2.0/24', 24]]
    """
    if n < 1:
        raise ValueError(f"n: {n!r}: must be at least 1")
    key = ["ecs", "qname", *(["client"] if "client" in columns_of(frame) else [])]
    rows = lazy(frame, *key)
    total = int(collected(rows.select(nw.len().alias("n")))["n"].iloc[0])
    rows = rows.filter(~nw.col("ecs").is_null())
    groups = collected(rows.group_by(*key).agg(nw.len().alias("queries")))
    if "client" not in groups:
        groups["client"] = pd.Series([None] * len(groups), dtype="str")
    parts = [_subnet(text) for text in groups["ecs"]]
    groups["subnet"] = pd.Series([subnet for subnet, _ in parts], dtype="str")
    groups["bits"] = pd.Series([bits for _, bits in parts], dtype="Int64")
    found = groups.groupby(["subnet", "bits"], as_index=False, dropna=False).agg(
        queries=("queries", "sum"), names=("qname", "nunique"), clients=("client", "nunique")
    )
    found["share"] = found["queries"] / max(total, 1)
    longest = pd.Series([128 if ":" in subnet else 32 for subnet in found["subnet"]], dtype="int64")
    found["whole"] = (found["bits"] == longest).fillna(value=False).astype("bool")
    found = found[["subnet", "bits", "whole", "queries", "share", "names", "clients"]]
    found = found.sort_values(["queries", "subnet"], ascending=[False, True], ignore_index=True).head(n)
    read_as = f"client subnets that questions carried; {int(found['whole'].sum()):,} of those shown are whole addresses"
    return result(found, "ecs", read_as, {"kind": "bars", "name": "subnet", "value": "queries"}, n=n)


def _subnet(text: str) -> tuple[str, int | None]:
    """Return the subnet and its length of "address/source[/scope]"; a text without a length stands as it is."""
    address, _, rest = text.partition("/")
    bits = rest.partition("/")[0]
    return (f"{address}/{bits}", int(bits)) if bits.isdecimal() and len(bits) < 4 else (address, None)
