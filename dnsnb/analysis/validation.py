"""DNSSEC as the log shows it: what was validated, what was bogus, and why (RFC 4035, RFC 8914)."""

from __future__ import annotations

from typing import Any

import narwhals as nw
import pandas as pd

from dnsnb.analysis.native import collected, columns_of, lazy
from dnsnb.analysis.result import Result, result

#: extended errors that speak of DNSSEC: the verdict, and the reason in RFC 8914's words
EDE = {
    1: ("insecure", "unsupported DNSKEY algorithm"), 2: ("insecure", "unsupported DS digest type"),
    5: ("indeterminate", "DNSSEC indeterminate"), 6: ("bogus", "DNSSEC bogus"), 7: ("bogus", "signature expired"),
    8: ("bogus", "signature not yet valid"), 9: ("bogus", "DNSKEY missing"), 10: ("bogus", "RRSIGs missing"),
    11: ("bogus", "no zone key bit set"), 12: ("bogus", "NSEC missing"),
    27: ("insecure", "unsupported NSEC3 iterations value"),
}  # fmt: skip


def dnssec(frame: Any) -> Result:
    """Return how answers stood with DNSSEC: `validation`, `reason`, `count`, `share`, `names`, `clients`, `example`.

    `validation` is "secure" (the answer had AD), "bogus" or "indeterminate" (by the extended error, or a SERVFAIL of a
    name that was answered when asked with CD), "insecure" (answered without AD), "unchecked" (a good answer to a
    question with CD), "failed" (SERVFAIL that may have any cause) or "unanswered". Blocked and local answers are left
    out. Wants `flags` or `ede`; a log that has neither says nothing of DNSSEC.

    >>> from dnsnb import simulate
    >>> dnssec(simulate.frame(hours=0.2))["validation"].iloc[0]
    'insecure'
    """
    have = columns_of(frame)
    optional = [name for name in ("ede", "client", "status") if name in have]
    rows = lazy(frame, "qname", "qtype", "rcode", "flags", *optional)
    if "status" in optional:
        passed = nw.col("status").is_in(["blocked", "local", "refused", "limited"])
        rows = rows.with_columns(nw.when(passed).then(1).otherwise(0).alias("passed")).filter(nw.col("passed") == 0)
    keys = ["qname", "qtype", "rcode", "flags", *(name for name in optional if name != "status")]
    groups = collected(rows.group_by(*keys).agg(nw.len().alias("count")))
    for name in ("ede", "client"):
        if name not in groups:
            groups[name] = pd.Series([None] * len(groups), dtype="Int64" if name == "ede" else "str")
    flags = [set(f.split()) if isinstance(f, str) else None for f in groups["flags"]]
    questions = list(zip(groups["qname"], groups["qtype"], strict=True))
    proved = {
        question
        for question, bits, rcode in zip(questions, flags, groups["rcode"], strict=True)
        if bits and "cd" in bits and rcode == "NOERROR"
    }
    judged = [
        _judged(bits, rcode, None if pd.isna(ede) else int(ede), question in proved)
        for bits, rcode, ede, question in zip(flags, groups["rcode"], groups["ede"], questions, strict=True)
    ]
    groups["validation"] = pd.Series([verdict for verdict, _ in judged], dtype="str")
    groups["reason"] = pd.Series([reason for _, reason in judged], dtype="str")
    found = groups.groupby(["validation", "reason"], as_index=False).agg(
        count=("count", "sum"), names=("qname", "nunique"), clients=("client", "nunique"), example=("qname", "min")
    )
    found = found.sort_values(["count", "validation", "reason"], ascending=[False, True, True], ignore_index=True)
    found.insert(3, "share", found["count"] / max(int(found["count"].sum()), 1))
    bogus = int(found.loc[found["validation"] == "bogus", "count"].sum())
    read_as = f"how answers stood with DNSSEC; {bogus:,} were bogus; share is of all that were looked up"
    chart = {"kind": "bars", "name": ["validation", "reason"], "value": "count"}
    return result(found, "dnssec", read_as, chart)


def _judged(flags: set[str] | None, rcode: Any, ede: int | None, proved: bool) -> tuple[str, str]:
    if ede in EDE:
        return EDE[ede]
    if not isinstance(rcode, str):
        return "unanswered", ""
    if rcode == "SERVFAIL":
        return ("bogus", "answered with CD") if proved and not (flags and "cd" in flags) else ("failed", "")
    if flags is None:
        return "unknown", "no flags"
    if "ad" in flags:
        return "secure", ""
    return ("unchecked", "asked with CD") if "cd" in flags else ("insecure", "")
