"""Technitium DNS Server's text log: one line a query, UTC or local.

Response type is not in the text log; blocked, cached and forwarded can't be told apart there.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from dnsnb.formats import columns, times
from dnsnb.formats.feeding import Context
from dnsnb.formats.patterns import Line, PatternReader, split_list
from dnsnb.formats.sniff import Head

_LINE = (
    r"^\[(?P<when>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (?P<zone>UTC|Local)\] \[(?P<client>\[[^\]]+\]|[^\]\[]+?):"
    r"(?P<client_port>\d+)\] "
    r"\[(?P<transport>[A-Za-z]+)\] QNAME: (?P<qname>.*?); QTYPE: (?P<qtype>[^;]+); QCLASS: (?P<qclass>[^;]+)"
    r"(?:; TSIG [^;]*)*(?:; RCODE: (?P<rcode>[^;]+))?(?:; TSIG[^;]*)*(?:; ANSWER: \[(?P<data>.*?)\])?(?P<rest>;.*)?$"
)


def score(head: Head) -> int:
    """Three brackets and QNAME."""
    return int(
        97 * min(1.0, 1.5 * head.share(r"^\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d (?:UTC|Local)\] \[.*\] \[\w+\] QNAME: "))
    )


class Reader(PatternReader):
    """Parses blocks of one log."""

    nameless = None
    otherwise = "is no query"

    def __init__(self, context: Context) -> None:
        super().__init__(context, (Line(_LINE),))

    def meaning(self, raw: dict[str, Any], line: Line) -> dict[str, Any]:
        """Put the two clocks together; an answer's marks ([TRUNCATED], [ZONE TRANSFER]) are no data."""
        zone, data = raw.pop("zone"), raw.pop("data")
        raw["qname"] = raw["qname"].fill_null(".")
        raw.pop("rest", None)
        when = raw.pop("when")
        stamped = pc.binary_join_element_wise(when, pc.if_else(pc.equal(zone, "UTC"), "Z", ""), "")
        raw["time"] = times.iso(stamped, self.context.clock)
        data = pc.if_else(pc.is_in(data, pa.array(["TRUNCATED", "ZONE TRANSFER"])), None, data)
        answered = raw["rcode"].is_valid()
        raw["answers"] = pc.if_else(answered, split_list(data.fill_null("")), pa.scalar(None, pa.list_(pa.string())))
        raw["status"] = pc.if_else(answered, pa.scalar(None, pa.string()), "failed")
        raw["status"] = pc.coalesce(raw["status"], columns.mapped(raw["rcode"], columns.outcome).cast(pa.string()))
        return raw
