"""What would another policy have done to this traffic? The log, decided again by other lists."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from dnsnb.analysis.native import collected, lazy
from dnsnb.analysis.result import Result, result
from dnsnb.dns.policy import Policy
from dnsnb.dns.wire import qtype_number, text_to_name
from dnsnb.errors import WireError

List = str | Path | Iterable[str]


def replay(frame: Any, *, blacklist: List = (), whitelist: List = (), allow_only: bool = False) -> Result:
    """Return the frame's rows with `replayed` ("blocked", "passed") and `change` beside them.

    `blacklist` and `whitelist` are names, or a file (a path) in any list format. `change` is "newly blocked",
    "unblocked" or null; `replayed_list` and `replayed_rule` say what would have decided. Columns: qname, qtype, client,
    status and these. Rows of local names, and those that can't be read as a name, keep their fate.

    >>> from dnsnb import simulate
    >>> frame = simulate.frame(hours=0.2, blocked=())
    >>> replayed = replay(frame, blacklist=simulate.ADS)
    >>> bool((replayed["change"] == "newly blocked").any())
    True
    """
    policy = Policy(allow_only=allow_only)
    for name, given, kind in (("blacklist", blacklist, "block"), ("whitelist", whitelist, "allow")):
        _fill(policy, name, given, kind)
    plain = collected(lazy(frame, "qname", "qtype", "client", "status"))
    decided: dict[tuple[Any, Any, Any], tuple[str, str | None, str | None]] = {}
    fates = []
    for key in zip(plain["qname"], plain["qtype"], plain["client"], strict=True):
        fate = decided.get(key)
        if fate is None:
            fate = decided[key] = _decide(policy, *key)
        fates.append(fate)
    replayed = pd.array([f[0] for f in fates], dtype="str")
    was = plain["status"].eq("blocked").to_numpy(copy=True)
    now = pd.Series(replayed).eq("blocked").to_numpy(copy=True)
    local = plain["status"].isin(["local", "refused", "limited"]).to_numpy()
    now[local] = was[local]
    change = pd.Series([None] * len(plain), dtype="str")
    change[now & ~was] = "newly blocked"
    change[was & ~now] = "unblocked"
    plain["replayed"] = pd.Categorical(["blocked" if n else "passed" for n in now], categories=["passed", "blocked"])
    plain["replayed_list"] = pd.array([f[1] if n else None for f, n in zip(fates, now, strict=True)], dtype="str")
    plain["replayed_rule"] = pd.array([f[2] if n else None for f, n in zip(fates, now, strict=True)], dtype="str")
    plain["change"] = change.to_numpy()
    read_as = (
        f"of {len(plain):,} queries {int((now & ~was).sum()):,} would be newly blocked, "
        f"{int((was & ~now).sum()):,} no longer; {int((now & was).sum()):,} stay blocked"
    )
    return result(plain, "replay", read_as, None, allow_only=allow_only)


def _fill(policy: Policy, name: str, given: List, kind: str) -> None:
    if isinstance(given, str | Path):
        policy.load(name, Path(given).read_bytes(), kind)
    else:
        policy.edit(name, add=list(given))


def _decide(policy: Policy, qname: Any, qtype: Any, client: Any) -> tuple[str, str | None, str | None]:
    if not isinstance(qname, str):
        return "passed", None, None
    try:
        wire = text_to_name(qname)
        number = qtype_number(qtype) if isinstance(qtype, str) else 1
    except WireError:
        return "passed", None, None
    verdict = policy.decide(client if isinstance(client, str) else "", wire, number)
    return ("blocked" if verdict.action == "block" else "passed"), verdict.list, verdict.rule
