"""What the numbers in a Pi-hole FTL database mean: its codes and its tables of names, as columns of events.

Pure but for the tables of names, which are read whole.
"""

from __future__ import annotations

import sqlite3
from typing import Any

import numpy as np
import pyarrow as pa

from dnsnb.formats import columns, sqlitefile
from dnsnb.formats.columns import build
from dnsnb.formats.report import ImportReport
from dnsnb.formats.times import MISSING

Ints = np.ndarray[Any, np.dtype[np.int64]]
TYPES = (
    None,
    "A",
    "AAAA",
    "ANY",
    "SRV",
    "SOA",
    "PTR",
    "TXT",
    "NAPTR",
    "MX",
    "DS",
    "RRSIG",
    "DNSKEY",
    "NS",
    None,
    "SVCB",
    "HTTPS",
)
STATUSES = (
    ("unknown", "unknown"),
    ("blocked", "gravity"),
    ("forwarded", "forwarded"),
    ("cached", "cache"),
    ("blocked", "regex"),
    ("blocked", "denylist"),
    ("blocked", "external IP"),
    ("blocked", "external NULL"),
    ("blocked", "external NXRA"),
    ("blocked", "gravity CNAME"),
    ("blocked", "regex CNAME"),
    ("blocked", "denylist CNAME"),
    ("forwarded", "retried"),
    ("forwarded", "retried DNSSEC"),
    ("unknown", "in progress"),
    ("blocked", "database busy"),
    ("blocked", "special domain"),
    ("stale", "cache stale"),
    ("blocked", "external EDE15"),
)
RCODES = (
    None,
    "NOERROR",
    "NXDOMAIN",
    "NOERROR",
    "NOERROR",
    "NOERROR",
    "NOERROR",
    "SERVFAIL",
    "REFUSED",
    "NOTIMP",
    None,
    "NOERROR",
    None,
    "NOERROR",
)
NOBODY = -(1 << 62)
"""The number of no name."""
_AD = 1


class Numbered:
    """Names by number: `taken` gives them as plain text, `coded` as a category."""

    def __init__(self, rows: list[tuple[Any, ...]]) -> None:
        good = [(i, None if v is None else str(v)) for i, v in rows if isinstance(i, int)]
        good.sort(key=lambda row: row[0])
        self.keys = np.array([i for i, _ in good], np.int64)
        self.names = pa.array([v for _, v in good], pa.string())
        self._direct: Any = None
        if good and self.keys[0] >= 0 and self.keys[-1] < 4 * len(good) + 65_536:
            self._direct = np.full(int(self.keys[-1]) + 2, -1, np.int32)
            self._direct[self.keys] = np.arange(len(good))

    def renamed(self, names: pa.Array) -> Numbered:
        """Return the same numbers with other names."""
        other = Numbered([])
        other.keys, other.names, other._direct = self.keys, names, self._direct
        return other

    def places(self, numbers: Any) -> pa.Array:
        if self._direct is not None:
            found = self._direct[
                np.where(numbers < 0, len(self._direct) - 1, np.minimum(numbers, len(self._direct) - 1))
            ]
        elif len(self.keys):
            found = np.minimum(np.searchsorted(self.keys, numbers), len(self.keys) - 1)
            found = np.where(self.keys[found] == numbers, found, -1)
        else:
            found = np.full(len(numbers), -1)
        return pa.array(found, pa.int32(), mask=found < 0)

    def taken(self, numbers: Any) -> pa.Array:
        return self.names.take(self.places(numbers))

    def coded(self, numbers: Any) -> pa.DictionaryArray:
        return pa.DictionaryArray.from_arrays(self.places(numbers), self.names)


class Names:
    """The tables that turn numbers into names, spelled once for all rows."""

    def __init__(self, connection: sqlite3.Connection, report: ImportReport) -> None:
        def fetched(table: str, names: str) -> list[tuple[Any, ...]]:
            def damaged(_: int) -> None:
                report.note(f"the table {table} is damaged: some rows lack the names that it held")

            try:
                return list(sqlitefile.by_id(connection, table, f"id, {names}", None, damaged))
            except sqlite3.Error as error:
                if "no such" not in str(error):  # versions that lack it have nothing in it
                    report.note(f"the table {table} can't be read: rows lack the names that it held ({error})")
                return []

        self.domain_raw = Numbered(fetched("domain_by_id", "domain"))
        spelled, strange = columns.names(self.domain_raw.names, escapes=False)
        self.domain = self.domain_raw.renamed(spelled)
        self.strange = None if strange is None else self.domain_raw.renamed(strange)
        clients = fetched("client_by_id", "ip, name")
        self.client_raw = Numbered([(i, ip) for i, ip, _ in clients])
        self.client = self.client_raw.renamed(columns.plain(self.client_raw.names, columns.address))
        self.client_name = Numbered([(i, name or None) for i, _, name in clients])
        self.forward = Numbered(fetched("forward_by_id", "forward"))
        self.info = Numbered(
            [(i, f"list {c}" if t == 2 else str(c)) for i, t, c in fetched("addinfo_by_id", "type, content")]
        )


def table(
    raw: dict[str, Any],
    spelled: dict[str, Any],
    number: Any,
    micros: Any,
    kind: Any,
    status: Any,
    answer: Any,
    took: Any,
    dnssec: Any,
    listed: Any,
    ede: Any,
) -> pa.Table:
    """Return events; `raw` is spelled as everywhere (columns.py), `spelled` is so already."""
    count = len(number)
    raw |= {
        "time": micros,
        "qtype": _types(kind),
        "status": _words([s for s, _ in STATUSES], status, "unknown"),
        "reason": _words([r for _, r in STATUSES], status, None),
        "rcode": _words(list(RCODES), answer, None),
        "latency_ms": pa.array((took / 1000.0).astype(np.float32), mask=took < 0),
        "flags": pa.DictionaryArray.from_arrays(
            pa.array(np.zeros(count, np.int32), mask=dnssec != _AD), pa.array(["qr ad"])
        ),
        "ede": np.where(ede >= 0, ede, -1),
        "id": pa.array(number),
        "event": "query",
    }
    if (listed >= 0).any():
        blocked = _pick([s == "blocked" for s, _ in STATUSES], status, False)
        lists = columns.mapped(pa.array(listed, mask=(listed < 0) | ~blocked), lambda n: f"list {n}")
        raw["list"] = lists
    built = build({k: v for k, v in raw.items() if v is not None}, count, escapes=False)
    for name, values in spelled.items():
        if values is not None:
            built = built.append_column(name, values)
    return built


def _pick(values: list[Any], codes: Any, other: Any) -> Any:
    return np.array([*values, other])[np.where((codes >= 0) & (codes < len(values)), codes, len(values))]


def _words(values: list[Any], codes: Any, other: Any) -> pa.DictionaryArray:
    table = [*values, other]
    distinct = [v for v in dict.fromkeys(table) if v is not None]
    remap = np.array([distinct.index(v) if v is not None else -1 for v in table])
    found = remap[np.where((codes >= 0) & (codes < len(values)), codes, len(values))]
    return pa.DictionaryArray.from_arrays(
        pa.array(np.maximum(found, 0), pa.int32(), mask=found < 0), pa.array(distinct, pa.string())
    )


def _types(kind: Any) -> pa.DictionaryArray:
    distinct, codes = _distinct(kind)
    texts = [
        columns.qtype(str(k - 100)) if k > 100 else (TYPES[k] if 0 <= k < len(TYPES) else None)
        for k in distinct.tolist()
    ]
    return columns.mapped(
        pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), pa.array(texts, pa.string())), str
    )


def _distinct(numbers: Any) -> tuple[Any, Any]:
    """Return the distinct numbers and the place of each; counted rather than sorted where they are small."""
    if not len(numbers) or numbers.min() < 0 or numbers.max() >= 1 << 17:
        distinct, codes = np.unique(numbers, return_inverse=True)
        return distinct, codes
    there = np.bincount(numbers) > 0
    return np.flatnonzero(there), (np.cumsum(there) - 1)[numbers]


def times(seconds: Any) -> Any:
    """Return seconds since the epoch as µs; `times.MISSING` for what is none."""
    return _micros(seconds, 1e10, MISSING)


def spans(seconds: Any) -> Any:
    """Return a span in seconds as µs; -1 for what is none."""
    micros = _micros(seconds, 4e3, np.int64(-1))
    return np.where(micros < 0, -1, micros)


def _micros(seconds: Any, limit: float, none: Any) -> Any:
    good = np.abs(seconds) < limit
    return np.where(good, np.rint(np.where(good, seconds, 0.0) * 1e6).astype(np.int64), none)


def texts(rows: list[tuple[Any, ...]], tables: Names | None) -> pa.Table:
    ids, stamps, kinds, statuses, domains, clients, forwards, infos, answers, took, dnssec, listed, ede = zip(
        *rows, strict=True
    )

    def text(values: tuple[Any, ...], named_by: Numbered | None) -> pa.Array:
        """Privacy settings and old versions leave text in columns that else hold the number of a text."""
        out = [v.decode("utf-8", "replace") if isinstance(v, bytes) else None if v is None else str(v) for v in values]
        if named_by is not None:
            numbers = [i for i, v in enumerate(values) if isinstance(v, int)]
            named = named_by.taken(np.array([values[i] for i in numbers], np.int64)).to_pylist()
            for i, name in zip(numbers, named, strict=True):
                out[i] = name
        return pa.array(out, pa.string())

    def whole(values: tuple[Any, ...], other: int) -> Any:
        fits = [isinstance(v, int) or (isinstance(v, float) and abs(v) < 1 << 40) for v in values]
        return np.array([int(v) if fit else other for v, fit in zip(values, fits, strict=True)], np.int64)

    def seconds(values: tuple[Any, ...]) -> Any:
        return np.array([v if isinstance(v, (int, float)) else np.nan for v in values], np.float64)

    raw: dict[str, Any] = {
        "client": text(clients, tables.client_raw if tables else None),
        "client_name": None
        if tables is None
        else text(tuple(c if isinstance(c, int) else None for c in clients), tables.client_name),
        "qname": text(domains, tables.domain_raw if tables else None),
        "upstream": text(forwards, tables.forward if tables else None).dictionary_encode(),
        "rule": text(infos, tables.info if tables else None),
    }
    return table(
        raw,
        {},
        whole(ids, 0),
        times(seconds(stamps)),
        whole(kinds, 0),
        whole(statuses, 0),
        whole(answers, 31),
        spans(seconds(took)),
        whole(dnssec, 0),
        whole(listed, -1),
        whole(ede, -1),
    )
