"""Passive DNS Common Output Format (draft-dulaunoy-dnsop-passive-dns-cof): one record set a line.

`time` is when it was first seen, `last` when last, `count` how often; zone-file times stand in where a sensor has none.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from dnsnb.formats import columns, times
from dnsnb.formats.rowtables import ObjectReader, Row
from dnsnb.formats.sniff import Head


def score(head: Head) -> int:
    """Its keys (also the dialect with `rrdata`)."""
    return max(
        head.keyed("rrname", "rrtype", "rdata"),
        head.keyed("rrname", "rrtype", "rrdata"),
        head.keyed("rrname", "rrtype", "time_first"),
    )


class Reader(ObjectReader):
    """Parses blocks of one export."""

    def row(self, item: dict[str, Any]) -> Row | None:
        """Return what a record set says."""
        data = item.get("rdata", item.get("rrdata"))
        values = data if isinstance(data, list) else [] if data is None else [data]
        first, last = (item.get(f"time_{k}", item.get(f"zone_time_{k}")) for k in ("first", "last"))
        named = str(item["rrtype"]).upper() in ("CNAME", "NS", "PTR", "2", "5", "12")
        iso = isinstance(first, str) and "-" in first
        return {
            "time_utc" if iso else "time_epoch": None if first is None else str(first),
            "seen": None if last is None else str(last),
            "qname": item["rrname"],
            "qtype": str(item["rrtype"]),
            "answers": [str(v).rstrip(".") if named else str(v) for v in values],
            "count": item.get("count"),
            "rcode": "NOERROR",
            "uid": item.get("sensor_id"),
            "server": item.get("origin"),
        }

    def parse(self, block: Any) -> pa.Table | None:
        """As any object reader's, with the time last seen."""
        table = super().parse(block)
        if table is None or "seen" not in table.column_names:
            return table
        seen = table.column("seen").combine_chunks()
        told = times.epoch(seen)
        told = np.where(told == times.MISSING, times.iso(seen, self.context.clock, assume_utc=True), told)
        return table.drop_columns(["seen"]).append_column("last", columns.stamps(told))
