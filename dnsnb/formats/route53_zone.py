"""Amazon Route 53 public hosted zones: the query log in CloudWatch, ten fields between blanks, UTC.

Who asks is a resolver; the server is an edge location. A log exported to S3 carries CloudWatch's own time in front.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from dnsnb.formats import columns
from dnsnb.formats.feeding import Context
from dnsnb.formats.patterns import Line, PatternReader
from dnsnb.formats.sniff import Head

_LINE = (
    r"^(?:\d{4}-\d\d-\d\dT\S+Z )?1\.\d+ (?P<time_utc>\d{4}-\d\d-\d\dT\S+Z) (?P<uid>Z[A-Z0-9]+) (?P<qname>\S+) "
    r"(?P<qtype>[A-Z0-9]+) (?P<rcode>[A-Za-z0-9]+) (?P<transport>UDP|TCP) (?P<server>\S+) (?P<client>\S+) "
    r"(?P<ecs>\S+)\s*$"
)


def score(head: Head) -> int:
    """A version, a time and a zone's ID."""
    return int(97 * min(1.0, 1.5 * head.share(_LINE)))


class Reader(PatternReader):
    """Parses blocks of one log."""

    otherwise = "is no query"

    def __init__(self, context: Context) -> None:
        super().__init__(context, (Line(_LINE),))

    def meaning(self, raw: dict[str, Any], line: Line) -> dict[str, Any]:
        """Say what an rcode means for the one who asked; a zone's answers are its own."""
        statuses = {"SERVFAIL": "failed", "REFUSED": "refused"}
        raw["status"] = columns.mapped(raw["rcode"], lambda r: statuses.get(r.upper(), "local"))
        raw["qclass"] = pa.array(["IN"] * len(raw["qname"]))
        return raw
