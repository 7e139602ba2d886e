"""What is asked, rolled up: by registered domain, by what leaks out of the network, by what each name looks like.

A frame is reduced to (client, name) in its own engine; the public suffix list is asked once for each distinct name.
"""

from __future__ import annotations

from typing import Any, ClassVar

import narwhals as nw
import numpy as np
import pandas as pd

from dnsnb import names
from dnsnb.analysis.gathered import Gathered
from dnsnb.analysis.pairs import present, reduced
from dnsnb.analysis.result import Result, result

_NEEDS = ("client", "qname")
_TAKES = ("rcode", "status")
_SUMS = ("nx", "blocked")
#: last labels that mean something of their own (RFC 6761, 6762, 7686, 8375, 9476; ICANN on "internal"), and those that
#: routers and offices use without asking anybody
SPECIAL = {
    "local": "multicast DNS (RFC 6762)", "localhost": "this machine (RFC 6761)", "test": "laboratories (RFC 6761)",
    "invalid": "never exists (RFC 6761)", "example": "documents (RFC 6761)", "onion": "Tor (RFC 7686)",
    "alt": "other name systems (RFC 9476)", "internal": "private use (ICANN 2024)", "lan": "private use, unregistered",
    "home": "private use, unregistered", "corp": "private use, unregistered", "mail": "private use, unregistered",
    "localdomain": "private use, unregistered", "intranet": "private use, unregistered",
    "private": "private use, unregistered", "workgroup": "private use, unregistered",
    "domain": "private use, unregistered",
    "fritz.box": "a router's own", "home.arpa": "homes (RFC 8375)",
}  # fmt: skip


def domains(frame: Any, n: int | None = 20, *, private: bool = True) -> Result:
    """Return the `n` registered domains (eTLD+1, RFC 9499) that are asked for most; None: all.

    `kind` is where the public suffix stands ("icann", "private", "unknown"), `queries`, `share` of all with a name
    (0-1), distinct `clients` and `names`, `nx_share` and `blocked_share` of its queries. With `private` False what
    hosts for others (github.io) is one domain. Names without a registered domain (public suffixes, single labels, the
    root) are counted in the share's whole alone; see `leaks`.

    >>> from dnsnb import simulate
    >>> domains(simulate.frame(hours=0.5), n=3).columns.tolist()[:4]
    ['domain', 'kind', 'queries', 'share']
    """
    return _domains(by_name(frame), {"n": n, "private": private})


def leaks(frame: Any, n: int | None = 20) -> Result:
    """Return what leaves, or would leave, the network though no public server knows it, by last label.

    `why` says what the label is: for special use (RFC 6761 and its kin), a single label, or not in the public suffix
    list. With `queries`, distinct `clients` and `names`, `nx_share`, and the `example` asked for most.

    >>> import pandas as pd
    >>> frame = pd.DataFrame({"client": ["a", "a", "b"], "qname": ["nas.lan", "wpad", "www.example.com"]})
    >>> leaks(frame)[["top", "why", "example"]].values.tolist()
    [['lan', 'private use, unregistered', 'nas.lan'], ['wpad', 'single label', 'wpad']]
    """
    return _leaks(by_name(frame), {"n": n})


def name_features(frame: Any, n: int | None = None) -> Result:
    """Return what each distinct name says by itself, the most asked first: `qname`, `queries`, `clients`, then letters.

    `etld1`, `suffix_kind`, `sub` (before the registered domain), `length`, `labels`, `longest_label`, `sub_bytes`,
    `entropy` (Shannon's, bits a character, of `sub` or of the whole name), `distinct` characters, `digits` and `vowels`
    (shares), `idn`.

    >>> import pandas as pd
    >>> frame = pd.DataFrame({"client": ["a"], "qname": ["x7f3.cdn.example.com"]})
    >>> name_features(frame)[["etld1", "labels", "digits"]].round(2).values.tolist()
    [['example.com', 4, 0.29]]
    """
    return _name_features(by_name(frame), {"n": n})


class ByName:
    """What the twins of the three keep: counts by client and name, exact up to `limit` pairs; the rarest go first."""

    analysis: ClassVar[str]
    needs = _NEEDS
    takes = _TAKES
    _last: ClassVar[Any]

    def __init__(self, *, limit: int = 500_000, **params: Any) -> None:
        self.params = {**params, "limit": limit}
        self._shown = params
        self._groups = Gathered(_NEEDS, _SUMS, limit=limit)

    @property
    def dropped(self) -> int:
        """Rows of pairs that the limit pushed out."""
        return self._groups.dropped

    def add(self, rows: pd.DataFrame) -> None:
        """Take a batch."""
        self._groups.add(by_name(rows))

    def absorb(self, other: Any) -> None:
        """Take what another has gathered."""
        self._groups.absorb(other._groups)

    def result(self) -> Result:
        """Return what the batch analysis would."""
        return type(self)._last(self._groups.table(), self._shown)


def by_name(frame: Any) -> pd.DataFrame:
    have = present(frame, *_TAKES)
    truths = {
        "nx": nw.col("rcode").cast(nw.String).fill_null("") == "NXDOMAIN" if "rcode" in have else nw.lit(False),
        "blocked": nw.col("status").cast(nw.String).fill_null("") == "blocked" if "status" in have else nw.lit(False),
    }
    sums = {name: truth.cast(nw.Int64) for name, truth in truths.items()}
    return reduced(frame, _NEEDS, sums, {}, (*_NEEDS, *have))


def rolled(groups: pd.DataFrame, key: str) -> pd.DataFrame:
    """Return groups by a column: queries, clients (null is none), names, and the shares."""
    named = groups.assign(asker=groups["client"].where(groups["client"] != ""))
    found = named.groupby(key, sort=True, as_index=False).agg(
        queries=("count", "sum"), clients=("asker", "nunique"), names=("qname", "nunique"),
        nx=("nx", "sum"), blocked=("blocked", "sum"),
    )  # fmt: skip
    found = found.astype(dict.fromkeys(("queries", "clients", "names", "nx", "blocked"), "int64"))
    for name in ("nx", "blocked"):
        found[f"{name}_share"] = (found[name] / found["queries"].clip(lower=1)).astype("float64")
    return found.sort_values(["queries", key], ascending=[False, True], ignore_index=True)


def taken_apart(groups: pd.DataFrame, private: bool = True) -> tuple[np.ndarray[Any, Any], list[names.Parts]]:
    codes, distinct = pd.factorize(groups["qname"], sort=False)
    return codes, names.parts(list(distinct), private=private)


def _domains(groups: pd.DataFrame, params: dict[str, Any]) -> Result:
    codes, apart = taken_apart(groups, params["private"])
    known = {p.registered: p.kind for p in apart if p.registered is not None}
    column = np.array([p.registered for p in apart] + [None], dtype="object")[codes]
    total = int(groups["count"].sum())
    found = rolled(groups.assign(domain=column)[pd.notna(column)], "domain")
    found.insert(1, "kind", pd.Series([known[d] for d in found["domain"]], dtype="str"))
    found.insert(3, "share", (found["queries"] / max(total, 1)).astype("float64"))
    found["domain"] = found["domain"].astype("str")
    n, count = params["n"], len(found)
    best = found.drop(columns=["nx", "blocked"]).head(count if n is None else n)
    read_as = f"the registered domains asked for most, of {count:,}; share is of {total:,} queries"
    return result(best, "domains", read_as, {"kind": "bars", "name": "domain", "value": "queries"}, **params)


def _leaks(groups: pd.DataFrame, params: dict[str, Any]) -> Result:
    codes, apart = taken_apart(groups)
    _, distinct = pd.factorize(groups["qname"], sort=False)
    tops = [_leaking(name, part) for name, part in zip(distinct, apart, strict=True)]
    column = np.array([top for top, _ in tops] + [None], dtype="object")[codes]
    leaking = groups.assign(top=column)[pd.notna(column)]
    found = rolled(leaking, "top").drop(columns=["blocked", "blocked_share", "nx"])
    why = dict(tops)
    found.insert(1, "why", pd.Series([why[top] for top in found["top"]], dtype="str"))
    first = leaking.groupby(["top", "qname"], as_index=False)["count"].sum()
    first = first.sort_values(["count", "qname"], ascending=[False, True]).drop_duplicates("top").set_index("top")
    found["example"] = pd.Series([first["qname"][top] for top in found["top"]], dtype="str")
    found["top"] = found["top"].astype("str")
    best = found.head(len(found) if params["n"] is None else params["n"])
    asked = int(found["queries"].sum())
    read_as = f"{asked:,} queries for names that no public server knows, by their last label"
    return result(best, "leaks", read_as, {"kind": "bars", "name": "top", "value": "queries"}, **params)


def _leaking(name: str, part: names.Parts) -> tuple[str | None, str]:
    for ending in (".".join(name.rsplit(".", 2)[-2:]), name.rpartition(".")[2]):
        if ending in SPECIAL:
            return ending, SPECIAL[ending]
    if name and name != "." and part.kind == "unknown":
        return part.suffix, "not in the public suffix list" if part.registered else "single label"
    return None, ""


def _name_features(groups: pd.DataFrame, params: dict[str, Any]) -> Result:
    found = rolled(groups, "qname")[["qname", "queries", "clients"]]
    found = found.head(len(found) if params["n"] is None else params["n"])
    letters = names.features(found["qname"]).drop(columns=["suffix"])
    table = pd.concat([found.reset_index(drop=True).astype({"qname": "str"}), letters], axis=1)
    table["suffix_kind"] = table["suffix_kind"].astype("str")
    for name in table.columns:
        if table[name].dtype == "int32":
            table[name] = table[name].astype("int64")
    read_as = "a row a distinct name, the most asked first; entropy is in bits a character of what stands before etld1"
    return result(table, "name_features", read_as, {"kind": "bars", "name": "qname", "value": "queries"}, **params)


class Domains(ByName):
    """The incremental twin of `domains`."""

    analysis = "domains"
    _last = staticmethod(_domains)

    def __init__(self, n: int | None = 20, *, private: bool = True, limit: int = 500_000) -> None:
        super().__init__(limit=limit, n=n, private=private)


class NameFeatures(ByName):
    """The incremental twin of `name_features`."""

    analysis = "name_features"
    _last = staticmethod(_name_features)

    def __init__(self, n: int | None = None, *, limit: int = 500_000) -> None:
        super().__init__(limit=limit, n=n)


class Leaks(ByName):
    """The incremental twin of `leaks`."""

    analysis = "leaks"
    _last = staticmethod(_leaks)

    def __init__(self, n: int | None = 20, *, limit: int = 500_000) -> None:
        super().__init__(limit=limit, n=n)
