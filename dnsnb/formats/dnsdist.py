"""dnsdist LogAction and LogResponseAction text: a packet and its answer, both stamped with the time of the query.

Latency is not in it: the answer's line carries the query's time.
"""

from __future__ import annotations

from typing import Any

import pyarrow.compute as pc

from dnsnb.formats import columns, times
from dnsnb.formats.columns import QUERY, RESPONSE
from dnsnb.formats.feeding import Context
from dnsnb.formats.join import Joiner
from dnsnb.formats.patterns import Line, PatternReader
from dnsnb.formats.sniff import Head

_STAMP = r"^(?:\[(?P<seconds>\d+)(?:\.(?P<nanos>\d{1,9}))?\] )?"
_CLIENT = r"(?P<client>\[[^\]]+\]|[0-9.]+|[0-9a-fA-F:]+):(?P<client_port>\d+)"
_LINES = (
    Line(
        _STAMP + "Packet from " + _CLIENT + r" for (?P<qname>\S+) (?P<qtype>\S+) with id (?P<dns_id>\d+)",
        QUERY,
        "query",
    ),
    Line(
        _STAMP
        + "Answer to "
        + _CLIENT
        + r" for (?P<qname>\S+) (?P<qtype>\S+) \((?P<rcode>[^)]*)\) with id (?P<dns_id>\d+)",
        RESPONSE,
        "response",
    ),
)


def score(head: Head) -> int:
    """Its two sentences."""
    return int(97 * head.share(r"^(?:\[\d+(?:\.\d+)?\] )?(?:Packet from|Answer to) \S+:\d+ for \S+ \S+ .*with id \d+"))


class Reader(PatternReader):
    """Parses blocks of one log."""

    nameless = None
    otherwise = "no packet and no answer"

    def __init__(self, context: Context) -> None:
        super().__init__(
            context,
            _LINES,
            Joiner(
                ("client", "client_port", "dns_id", "qname", "qtype"),
                30.0,
                latency=False,
                by_time=True,
                hold="dns_id" if context.several else None,  # questions in one file, answers in another
            ),
        )

    def meaning(self, raw: dict[str, Any], line: Line) -> dict[str, Any]:
        """Put seconds and nanoseconds together: they are printed as two whole numbers, without leading zeros."""
        seconds, nanos = raw.pop("seconds"), pc.utf8_lpad(raw.pop("nanos").fill_null("0"), 9, "0")
        if seconds.null_count < len(seconds):
            raw["time"] = times.epoch(pc.binary_join_element_wise(seconds, nanos, "."))
        if line.kind == RESPONSE:
            raw["status"] = columns.mapped(raw["rcode"], columns.outcome)
        return raw
