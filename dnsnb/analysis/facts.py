"""The figures of a log at a glance, in one pass of its own engine, and its times in its own zone. Knows native only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import narwhals as nw
import pandas as pd

from dnsnb.analysis.native import collected, columns_of, lazy, opened

_STATUSES = ("blocked", "cached", "stale", "forwarded", "failed")


@dataclass(frozen=True)
class Facts:
    """What a log comes to. Shares are 0-1, waits in ms (upstreams' answers); None where a column is missing.

    `first` and `last` are in `zone`; `said` tells where that zone is from.
    """

    rows: int
    columns: tuple[str, ...]
    first: pd.Timestamp | None = None
    last: pd.Timestamp | None = None
    zone: str = "UTC"
    said: str = ""
    clients: int | None = None
    names: int | None = None
    sources: tuple[str, ...] = ()
    blocked: float | None = None
    from_memory: float | None = None
    failed: float | None = None
    nxdomain: float | None = None
    p50: float | None = None
    p95: float | None = None

    @property
    def seconds(self) -> float:
        """From the first query to the last."""
        return (self.last - self.first).total_seconds() if self.first is not None and self.last is not None else 0.0

    def span(self) -> str:
        """Return from when to when, with the zone, as people write it."""
        if self.first is None or self.last is None:
            return ""
        same = self.first.date() == self.last.date()
        first = f"{self.first:%Y-%m-%d %H:%M:%S}" + ("" if self.first.tzname() == self.last.tzname() else self._name(0))
        last = f"{self.last:%H:%M:%S}" if same else f"{self.last:%Y-%m-%d %H:%M:%S}"
        return f"{first} to {last}{self._name(1)}"

    def _name(self, which: int) -> str:
        stamp = (self.first, self.last)[which]
        name = stamp.tzname() if stamp is not None else ""
        return f" {name}" if self.zone in ("UTC", name) else f" {name} ({self.zone})"


def with_zone(frame: Any, tz: str | None = None) -> tuple[Any, str, str]:
    """Return any frame with times that name their zone, the zone to show them in, and where that is from.

    Times without a zone are taken as UTC; `tz` shows them in another zone. Raises ValueError for an unknown one.
    """
    found = opened(frame)
    kind = found.collect_schema().get("time")
    if not isinstance(kind, nw.Datetime):
        return frame, tz or "UTC", ""
    if kind.time_zone is None:
        frame = nw.to_native(found.with_columns(nw.col("time").dt.replace_time_zone("UTC")))
    zone, said = tz or kind.time_zone or "UTC", "as asked" if tz else "as in the log"
    if kind.time_zone is None and not tz:
        said = "the log names none; taken as UTC"
    zone = "UTC" if zone in ("Etc/UTC", "Zulu", "Etc/Zulu", "+00:00") else zone  # as DuckDB and Spark name it
    try:
        pd.Timestamp(0, unit="s", tz="UTC").tz_convert(zone)
    except Exception:  # pandas lets the exceptions of several libraries through
        raise ValueError(f"tz: {zone!r}: must be a zone such as 'Europe/Berlin' or 'UTC'") from None
    return frame, zone, said


def facts(frame: Any, zone: str = "UTC", said: str = "") -> Facts:
    """Return the figures of a log whose times name their zone (`with_zone`)."""
    have = columns_of(frame)
    needed = [n for n in ("time", "client", "qname", "status", "rcode", "latency_ms", "source") if n in have]
    if not needed:
        return Facts(int(opened(frame).select(nw.len()).collect().item()), have, zone=zone, said=said)
    rows = lazy(frame, *needed)
    ask = [nw.len().alias("rows")]
    if "time" in have:
        ask += [nw.col("time").min().alias("first"), nw.col("time").max().alias("last")]
    if "status" in have:
        ask += [(nw.col("status") == s).cast(nw.Int64).sum().alias(s) for s in _STATUSES]
    if "rcode" in have:
        ask += [(nw.col("rcode") == "NXDOMAIN").cast(nw.Int64).sum().alias("nx"), nw.col("rcode").count().alias("said")]
    found = collected(rows.select(*ask)).iloc[0]
    count = int(found["rows"])
    known: dict[str, Any] = {"rows": count, "columns": have, "zone": zone, "said": said}
    if "time" in have and not pd.isna(found["first"]):
        for name in ("first", "last"):
            stamp = pd.Timestamp(found[name])
            known[name] = (stamp.tz_localize("UTC") if stamp.tzinfo is None else stamp).tz_convert(zone)
    for name, key in (("client", "clients"), ("qname", "names")):
        if name in have:
            distinct = nw.col(name).n_unique().alias("n")  # no nulls
            known[key] = _whole(collected(rows.filter(~nw.col(name).is_null()).select(distinct))["n"].iloc[0])
    if "status" in have and count:
        n = {s: _whole(found[s]) for s in _STATUSES}
        if sum(n.values()):
            known["blocked"] = n["blocked"] / count
            asked = n["cached"] + n["forwarded"]
            known["from_memory"] = n["cached"] / asked if asked else None
            known["failed"] = n["failed"] / count
    if "rcode" in have and _whole(found["said"]):
        known["nxdomain"] = _whole(found["nx"]) / _whole(found["said"])
    if "latency_ms" in have and count:
        waits = rows.filter(~nw.col("latency_ms").is_null())
        if "status" in have:
            waits = waits.filter(nw.col("status").is_in(["forwarded", "unknown"]))
        quantiles = [nw.col("latency_ms").quantile(q, interpolation="linear").alias(f"p{q}") for q in (0.5, 0.95)]
        waited = collected(waits.select(*quantiles))
        for q, key in ((0.5, "p50"), (0.95, "p95")):
            value = waited[f"p{q}"].iloc[0] if len(waited) else None
            known[key] = None if value is None or pd.isna(value) else float(value)
    if "source" in have:
        sources = collected(rows.filter(~nw.col("source").is_null()).select("source").unique().sort("source").head(20))
        known["sources"] = tuple(map(str, sources["source"]))
    return Facts(**known)


def _whole(value: Any) -> int:
    """Return a count; sums over nothing are null on some engines."""
    return 0 if pd.isna(value) else int(value)
