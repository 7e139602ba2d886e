"""Public names that point inside, and those that first pointed outside: DNS rebinding (Jackson et al., CCS 2007)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from dnsnb.analysis.answered import addresses, by_answer, leads_inside, names_nobody
from dnsnb.analysis.native import window_us
from dnsnb.analysis.pairs import IGNORED, as_time, several, with_domains
from dnsnb.analysis.result import Result, result

#: names that are not public: RFC 6761, 6762, 7686, 8375, 9476; and what routers call their network
PRIVATE_NAMES = (
    *IGNORED, "localhost", "lan", "home", "internal", "intranet", "private", "corp", "onion", "alt",
    "home.arpa",
)  # fmt: skip
COLUMNS = (
    "client", "domain", "qname", "verdict", "score", "reasons", "outside", "inside", "ttl_s", "switched_after_s",
    "queries", "first", "last",
)  # fmt: skip


def rebinding(frame: Any, *, n: int | None = 20, within: str = "1h", ignore: Iterable[str] = PRIVATE_NAMES) -> Result:
    """Return the public names that were answered with an address of the inside, by client, the surest first.

    The inside is what of RFC 6890's table leads there: private, shared, loopback and link-local addresses. 0.0.0.0 and
    :: are the answers of blocked names, and left out; IPv4 and IPv6 are looked at apart. `verdict` is "rebinding" where
    the same name had pointed outside at most `within` before (`switched_after_s`, from the last answer outside to the
    first inside; score 1 where that is no more than its TTL and a minute), "mixed" where one answer holds both, and
    "inside" where it never pointed anywhere else, which is the habit of companies and of some devices too. `ignore`
    are names that may.

    >>> from dnsnb import simulate
    >>> hour = simulate.frame(hours=1, rate=0.2, infected=[simulate.Rebinding(start=1800)])
    >>> rebinding(hour)[["qname", "verdict", "outside", "inside"]].to_dict("records")
    [{'qname': 'r7.open-stage.example', 'verdict': 'rebinding', 'outside': '203.0.113.80', 'inside': '192.168.1.1'}]
    """
    ignore = several(ignore)
    limit = window_us(within, "within")
    groups = by_answer(frame, ("A", "AAAA"))
    # by family: that a name has a local IPv6 address beside a public IPv4 one is no turn
    parts = []
    for version in (4, 6):
        found = [
            [a for a in addresses(text) if a.version == version and not names_nobody(a)] for text in groups["answers"]
        ]
        of = groups.assign(version=version)
        of["in"] = [next((str(a) for a in some if leads_inside(a)), None) for some in found]
        of["out"] = [next((str(a) for a in some if not leads_inside(a)), None) for some in found]
        suspects = of.loc[of["in"].notna(), ["client", "qname"]].drop_duplicates()
        parts.append(of[of["in"].notna() | of["out"].notna()].merge(suspects, on=["client", "qname"]))
    looked = with_domains(pd.concat(parts, ignore_index=True), ignore)
    rows = [_row(of, limit) for _, of in looked.groupby(["client", "qname", "version"], sort=True)]
    params = {"n": n, "within": within, "ignore": ignore}
    names = list(COLUMNS)
    table = pd.DataFrame(rows, columns=names)
    table = table.sort_values(["score", "queries", "qname", "client"], ascending=[False, False, True, True])
    switched = int(table["verdict"].eq("rebinding").sum())
    table = table.head(len(table) if n is None else n).reset_index(drop=True)
    for name in ("client", "domain", "qname", "verdict", "reasons", "outside", "inside"):
        table[name] = table[name].astype("str")
    table["client"] = table["client"].where(table["client"] != "", None)
    for name in ("score", "ttl_s", "switched_after_s"):
        table[name] = table[name].astype("float64")
    for name in ("first", "last"):
        table[name] = as_time(table[name])
    turned = "1 name" if switched == 1 else f"{switched} names"
    read_as = f"{turned} turned from outside to inside; {len(rows) - switched} more point inside"
    chart = {"kind": "bars", "name": ["client", "qname"], "value": "score"}
    return result(table.astype({"queries": "int64"}), "rebinding", read_as, chart, **params)


def _row(of: pd.DataFrame, limit: int) -> tuple[Any, ...]:
    client, qname, domain = of[["client", "qname", "domain"]].iloc[0]
    inside, outside = of[of["in"].notna()], of[of["out"].notna() & of["in"].isna()]
    mixed = bool((of["in"].notna() & of["out"].notna()).any())
    began = float(inside["first"].min())
    before = outside[outside["first"] <= began]
    # the same answers may have come again after the turn: then the turn is where the first of them came
    last = before["last"].where(before["last"] <= began, before["first"])
    after = (began - float(last.max())) / 1e6 if len(before) else np.nan
    ttl = float(before["ttl"].max()) if len(before) else float(inside["ttl"].max())
    verdict, score = ("mixed", 0.7) if mixed else ("inside", 0.3)
    if after * 1e6 <= limit:
        at_once = after <= (0.0 if np.isnan(ttl) else ttl) + 60
        verdict, score = "rebinding", 1.0 if at_once else 0.8
    here, there = str(inside["in"].iloc[0]), before["out"].iloc[-1] if len(before) else of["out"].dropna().min()
    there = None if there is None or there != there else there
    said = f"{qname} -> {here}"
    if verdict == "rebinding":
        said = f"{qname} was {there}, and {here} {after:,.0f} s later" + (
            "" if np.isnan(ttl) else f" (TTL {ttl:,.0f} s)"
        )
    elif mixed:
        said = f"{qname} -> {there} and {here} in one answer"
    return (
        client, domain, qname, verdict, score, said, there, here, ttl, after, int(of["count"].sum()), of["first"].min(),
        of["last"].max(),
    )  # fmt: skip
