"""Answers of our own that end in an alias to somebody else's name: what is to be asked, and how the two are joined.

No I/O; knows message, records. A stub follows no CNAME by itself: the chain must reach it whole (RFC 1034 4.3.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from dnsnb.dns import wire
from dnsnb.dns.message import Answer, make_answer
from dnsnb.dns.records import Record, plain_rdata, sections
from dnsnb.dns.rules import Verdict
from dnsnb.dns.wire import Question

RR = tuple[bytes, int, int, int, bytes]


class Alias(NamedTuple):
    """Our part of an answer: its `records`, the question that gives the rest, and how the whole is logged."""

    records: tuple[RR, ...]
    target: Question
    status: str
    verdict: Verdict
    ede: int | None = None


def alias_of(
    records: Sequence[RR], question: Question, status: str, verdict: Verdict, ede: int | None = None
) -> Alias | None:
    """Return what is left to ask when records end in a CNAME whose target isn't among them; None when nothing is."""
    if question.qtype in (wire.CNAME, wire.ANY) or not records:
        return None
    last = records[-1]
    target = last[4].lower()
    if last[1] != wire.CNAME or any(record[0] == target for record in records):
        return None
    return Alias(tuple(records), question._replace(qname=target), status, verdict, ede)


def joined(alias: Alias, question: Question, rest: Answer | None, age: int = 0) -> Answer:
    """Return our records with what the target's answer (`age` seconds old) adds; SERVFAIL and ours when it is None."""
    if rest is None:
        return make_answer(question, wire.SERVFAIL, alias.records, ede=22)
    message, answers, authority = sections(rest)

    def plain(section: list[Record]) -> list[RR]:
        return [(r.name, r.rtype, r.rclass, max(0, r.ttl - age), plain_rdata(message, r)) for r in section]

    negative = plain([r for r in authority if r.rtype == wire.SOA])
    return make_answer(question, rest.rcode, [*alias.records, *plain(answers)], negative, ede=alias.ede)
