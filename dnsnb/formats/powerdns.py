"""PowerDNS: Recursor trace lines (up to 4.7), its structured log (4.8 on), and the authoritative server's.

What the Recursor's packet cache answers, only the structured log names: the older one is not the traffic.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from dnsnb.formats import columns, times
from dnsnb.formats.columns import QUERY, RESPONSE
from dnsnb.formats.feeding import Context
from dnsnb.formats.join import Joiner
from dnsnb.formats.lines import Block
from dnsnb.formats.patterns import Line, PatternReader
from dnsnb.formats.sniff import Head

_STAMP = (
    r"^(?:(?P<time_syslog>[^\s\d]{3,5} +\d+ \d\d:\d\d:\d\d) )?(?:\S+ )?(?:pdns\S*?(?:\[\d+\])?: "
    r")?(?:[A-Z][a-z]{2} \d\d \d\d:\d\d:\d\d )?"
)
_FROM = r"(?P<client>\[[^\]]+\]|[0-9.]+|[0-9a-fA-F:]+):(?P<client_port>\d+)"
_WANTS = (
    r"Remote (?:\S+<-)?(?P<client>\S+) wants '(?P<qname>.*)\|(?P<qtype>[^'|]+)', do = (?P<do>\d), "
    r"bufsize = \d+(?: \(\d+\))?(?:: (?P<reason>.*))?$"
)
_LINES = (
    Line(
        _STAMP
        + r"\d+ \[(?P<thread>\d+/\d+)\] (?P<way>TCP )?question for '(?P<qname>.*)\|(?P<qtype>[^'|]+)' from "
        + _FROM,
        QUERY,
        "question",
    ),
    Line(
        _STAMP + r"\d+ \[(?P<thread>\d+/\d+)\] answer to question '(?P<qname>.*)\|(?P<qtype>[^'|]+)': \d+ answers, \d+ "
        r"additional, "
        r"took (?P<packets>\d+) packets, .*?(?P<latency_ms>[\d.]+) tot ms, .*rcode=(?P<rcode>-?\d+)",
        RESPONSE,
        "answer",
    ),
    Line(
        _STAMP + r"\d+ \[(?P<thread>\d+/\d+)\] answer to question '(?P<qname>.*)\|(?P<qtype>[^'|]+)': .*"
        r"rcode=(?P<rcode>-?\d+)",
        RESPONSE,
        "answer",
    ),
    Line(r'^.*?msg="Question" .*?subsystem="syncres".*$', QUERY, "structured-question"),
    Line(r'^.*?msg="Answer" .*?subsystem="syncres".*$', RESPONSE, "structured-answer"),
    Line(r'^.*?msg="Question answered from packet cache" .*? qname=".*$', RESPONSE, "structured-cached"),
    Line(_STAMP + r"TCP " + _WANTS, QUERY, "wants", {"transport": "tcp"}),
    Line(_STAMP + _WANTS, QUERY, "wants", {"transport": "udp"}),
)


def score(head: Head) -> int:
    """Sentences of the Recursor or the authoritative server."""
    if (
        head.share(
            r"\d+ \[\d+/\d+\] (?:(?:TCP )?question for|answer to question) '|msg=\"(?:Question|Answer)\" "
            r".*subsystem=\"syncres\"|Remote \S+ wants '"
        )
        > 0.02
    ):
        return 93
    return 40 if head.share(r"pdns_recursor|pdns_server|subsystem=\"") > 0.5 else 0


class Reader(PatternReader):
    """Parses blocks of one text log."""

    nameless = None
    otherwise = "says nothing about a client's query"

    def __init__(self, context: Context) -> None:
        super().__init__(context, _LINES, Joiner(("thread", "qname", "qtype"), 30.0))

    def _leave(self, left: Block) -> None:
        nameless = pc.match_substring(left.lines().fill_null(""), " question answered from packet cache ")
        mask = nameless.to_numpy(zero_copy_only=False)
        self.context.skip("answered from the packet cache, without its name", left, mask)
        super()._leave(left.keep(~mask))

    def meaning(self, raw: dict[str, Any], line: Line) -> dict[str, Any]:
        """Take structured pairs apart; tell cached from forwarded by the packets that an answer took."""
        packets = raw.pop("packets", None)
        do = raw.pop("do", None)
        if line.event == "question":
            raw["transport"] = columns.mapped(raw.pop("way").fill_null("UDP"), str)
        if line.kind == RESPONSE:
            raw["rcode"] = columns.mapped(raw["rcode"], told)
        if packets is not None:
            raw["status"] = _status(packets, raw["rcode"])
        if line.event == "structured-cached":
            raw["status"] = "cached"
        elif line.event in ("question", "answer"):
            self.context.report.note("the Recursor's log leaves out what its packet cache answers")
        if do is not None:
            raw["query_flags"] = columns.mapped(do, lambda d: "do" if d == "1" else None)
            raw["status"] = columns.mapped(raw["reason"].fill_null(""), lambda r: "cached" if "HIT" in r else "local")
        return raw

    def converted(self, groups: pa.StructArray, block: Any) -> dict[str, Any]:
        """As any pattern's; structured lines are taken apart key by key."""
        raw = super().converted(groups, block)
        if groups.type.num_fields == 0:
            texts = block.lines()

            def key(name: str) -> pa.Array:
                found = pc.extract_regex(texts, pattern=rf' {name}="(?P<v>(?:[^"\\]|\\.)*)"').field("v")
                plain = pc.replace_substring_regex(found, pattern=r"\\(.)", replacement=r"\1")
                return pc.if_else(pc.equal(plain, ""), pa.scalar(None, pa.string()), plain)

            raw["time"] = times.epoch(key("ts"))
            raw["qname"], raw["qtype"], raw["rcode"], raw["transport"] = (
                key("qname"),
                key("qtype"),
                key("rcode"),
                key("proto"),
            )
            remote = pc.extract_regex(key("remote").fill_null(""), pattern=r"^\[?(?P<a>.*?)\]?:(?P<p>\d+)$")
            raw["client"], raw["client_port"] = remote.field("a"), remote.field("p")
            # each thread counts for itself: only with the asker a number tells a question from others
            raw["thread"] = pc.binary_join_element_wise(key("mtid").fill_null(""), key("remote").fill_null(""), " ")
            raw["ecs"] = key("ecs")
            raw["latency_ms"] = columns.numbers(key("totms").fill_null(""), pa.float32())
            out = key("outqueries")
            raw["status"] = _status(out, raw["rcode"]) if out.null_count < len(out) else pa.nulls(len(out), pa.string())
        return raw


def told(rcode: str) -> str:
    """Return what the asker was told: where resolving itself gave up (-1) that is SERVFAIL."""
    return "2" if rcode.startswith("-") else rcode


def _status(packets: pa.Array, rcode: pa.Array) -> pa.Array:
    asked = pc.not_equal(packets.fill_null("0"), "0")
    failed = pc.is_in(rcode.fill_null("0"), pa.array(["2", "-1"]))
    return pc.if_else(failed, "failed", pc.if_else(asked, "forwarded", "cached"))
