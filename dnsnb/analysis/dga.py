"""Which domains look as if a program had made them up, by their letters alone; `dga_behaviour` is the other way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from dnsnb.analysis.domains import by_name, rolled, taken_apart
from dnsnb.analysis.pairs import IGNORED
from dnsnb.analysis.result import Result, result
from dnsnb.names.generated import dga_score, label_of


def dga(frame: Any, n: int | None = 50, *, least: float = 0.99) -> Result:
    """Return the registered domains that look most made up, the surest first: `domain`, `label`, `score`, `verdict`.

    `score` (0-1) is that of the longest label before the public suffix, the greatest of the domain's names: 0.99 is
    passed by at most 1 % of ordinary domains, 0.999 by 0.1 %; `verdict` is "made up" from `least` on. With `queries`,
    `clients`, `names`, `nx_share`, and an `example`; of equal scores those first that don't exist. Multicast names and
    search suffixes are left out. Names put together of words are hardly seen (gozi, nymaim, suppobox: at most 20 %);
    content networks have made-up labels by right: look at `nx_share` and `clients` too.

    >>> import pandas as pd
    >>> frame = pd.DataFrame({"client": ["a"] * 2, "qname": ["www.wikipedia.org", "xjw3qpkzt0v8h1.com"]})
    >>> dga(frame)[["domain", "verdict"]].values.tolist()
    [['xjw3qpkzt0v8h1.com', 'made up'], ['wikipedia.org', '']]
    """
    if not 0 < least < 1:
        raise ValueError(f"least: {least!r}: must be between 0 and 1")
    groups = by_name(frame)
    codes, apart = taken_apart(groups)
    _, distinct = pd.factorize(groups["qname"], sort=False)
    scores = np.append(dga_score(list(distinct)), np.nan)
    domain = np.array([p.registered for p in apart] + [None], dtype="object")[codes]
    label = np.array([*map(label_of, apart), None], dtype="object")[codes]
    kept = np.array([p.registered is not None and p.suffix.rpartition(".")[2] not in IGNORED for p in apart] + [False])[
        codes
    ]
    found = groups.assign(domain=domain, label=label, score=scores[codes])[kept]
    best = found.sort_values(["score", "count", "qname"], ascending=[False, False, True]).drop_duplicates("domain")
    told = best.set_index("domain")[["label", "score", "qname"]].rename(columns={"qname": "example"})
    table = rolled(found, "domain").drop(columns=["nx", "blocked", "blocked_share"])
    table = table.join(told, on="domain")
    table["score"] = table["score"].astype("float64").round(4)
    table["verdict"] = np.where(table["score"] >= least, "made up", "")
    order = ["score", "nx_share", "queries", "domain"]
    table = table.sort_values(order, ascending=[False, False, False, True], ignore_index=True)
    columns = ["domain", "label", "score", "verdict", "queries", "clients", "names", "nx_share", "example"]
    table = table[columns].astype(dict.fromkeys(("domain", "label", "verdict", "example"), "str"))
    sure = int(table["verdict"].eq("made up").sum())
    read_as = f"{sure:,} of {len(table):,} domains look made up by a program; up to 1 % of ordinary ones do too"
    shown = table.head(len(table) if n is None else n)
    return result(shown, "dga", read_as, {"kind": "bars", "name": "domain", "value": "score"}, n=n, least=least)
