"""BIND 9: query, response, RPZ, query-error and security lines, with any print-time, category and severity.

Names come with RFC 1035 escapes and the asker's case. Query lines are cut by numpy, the rare ones by RE2.
"""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dnsnb.dns import wire
from dnsnb.formats import columns, times
from dnsnb.formats.columns import KIND, NOTE, QUERY, RESPONSE
from dnsnb.formats.feeding import Context
from dnsnb.formats.join import Joiner
from dnsnb.formats.lines import NONE, Block, extract
from dnsnb.formats.sniff import Head
from dnsnb.formats.times import UTC

_LINE = re.compile(
    r"client (?:@0x[0-9a-f]+ )?[0-9a-fA-F.:%\w]+#\d+(?:/key \S+)?(?: \(.*?\))?: (?:view [^:]+: )?"
    r"(?:query: \S+ \S+ \S+|response: |(?:disabled )?rpz |query failed|query (?:\(cache\) )?'|zone transfer '|bad "
    r"zone transfer|query '|error)"
)
_CLIENT = r"client (?:@0x[0-9a-f]+ )?(?P<client>[^ #]+)#(?P<port>\d+)(?:/key \S+)?(?: \([^ ]*\))?: (?:view [^:]+: )?"
_NOTES = (
    (
        "rpz",
        _CLIENT
        + r"(?P<off>disabled )?rpz (?P<trigger>[A-Z-]+) (?P<policy>[A-Za-z-]+) rewrite (?P<name>.+?)/(?P<type>[^/ "
        r"]+)/(?P<class>[^/ ]+) via (?P<rule>\S+)",
    ),
    (
        "failed",
        _CLIENT
        + r"(?:query: )?query failed \((?P<policy>[^)]+)\) for (?P<name>.+?)/(?P<class>[^/ ]+)/(?P<type>[^/ ]+) at",
    ),
    (
        "denied",
        _CLIENT
        + r"(?P<policy>query|zone transfer|update)(?: \(cache\))? '(?P<name>.+?)/(?P<type>[^/' ]+)/(?P<class>[^/' "
        r"]+)' denied",
    ),
)


def score(head: Head) -> int:
    """Most lines have a client, a port and one of BIND's verbs."""
    share = head.share(_LINE)
    return int(97 * min(1.0, share * 1.6)) if share > 0.2 else 0


class Reader:
    """Parses blocks of one log."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.joiner = Joiner(("client", "client_port", "qname", "qtype"), 30.0, lazy=True, twice=("denied", "failed"))

    def prepare(self, block: Block) -> Any:
        """Return the job that gives a block's events; in a zone with a doubled hour, where order matters, the events
        themselves."""
        return partial(self.parse, block) if self.context.clock.zone is UTC else self.parse(block)

    def parse(self, block: Block) -> pa.Table | None:
        """Return the events of a block."""
        client = block.find(b"client ", block.starts, block.ends)
        known = client < NONE
        self.context.skip("not about a client", block, ~known)
        if not known.all():
            block, client = block.keep(known), client[known]
        if not len(block):
            return None
        when = self._time(block, client)
        at = client + 7
        at = np.where(block.has(b"@0x", at), block.next(32, at) + 1, at)
        hash_ = block.next(35, at)
        hash_ = np.where(hash_ < block.ends, hash_, block.ends)
        query = block.find(b" query: ", hash_, block.ends)
        answer = block.find(b" response: ", hash_, block.ends)
        failed = block.has(b"query failed", query + 8)
        is_query = (query < NONE) & (answer == NONE) & ~failed
        is_answer = answer < NONE
        parts = []
        if is_query.any():
            parts.append(
                self._queries(
                    block.keep(is_query), when[is_query], at[is_query], hash_[is_query], query[is_query] + 8, 8
                )
            )
        if is_answer.any():
            parts.append(
                self._queries(
                    block.keep(is_answer), when[is_answer], at[is_answer], hash_[is_answer], answer[is_answer] + 11, 11
                )
            )
        rest = ~(is_query | is_answer)
        if rest.any():
            parts.append(self._notes(block.keep(rest), when[rest]))
        found = [p for p in parts if p is not None and len(p)]
        if not found:
            return None
        if len(found) == 1:
            return found[0]
        table = pa.concat_tables(found, promote_options="permissive").combine_chunks()
        return table.take(pc.sort_indices(table.column("id")))

    def _queries(self, block: Block, when: Any, at: Any, hash_: Any, name: Any, width: int) -> pa.Table | None:
        ends = block.ends
        s1 = block.next(32, name)
        s2 = block.next(32, s1 + 1)
        s3 = block.next(32, s2 + 1)
        response = width == 11
        good = (s1 < ends) & (s2 < ends) & (name < ends)
        self.context.skip("a query line that is cut off", block, ~good)
        if not good.all():
            block, ends = block.keep(good), ends[good]
            when, at, hash_, name, s1, s2, s3 = (x[good] for x in (when, at, hash_, name, s1, s2, s3))
        if not len(block):
            return None
        s3 = np.minimum(s3, ends)
        raw: dict[str, Any] = {
            "time": when,
            "client": block.text(at, hash_),
            "client_port": block.digits(hash_ + 1),
            "qname": block.text(name, s1),
            "qclass": block.text(s1 + 1, s2),
            "qtype": block.text(s2 + 1, s3),
            "id": pa.array(block.numbers),
            "event": "response" if response else "query",
        }
        flags = s3
        if response:
            s4 = np.minimum(block.next(32, s3 + 1), ends)
            raw["rcode"] = block.text(s3 + 1, s4)
            raw["status"] = columns.mapped(raw["rcode"], columns.outcome)
            flags = np.minimum(block.next(32, s4 + 1, 2), ends)
        after = np.minimum(block.next(32, flags + 1), ends)
        marks = columns._coded(block.text(flags + 1, after))
        raw["transport"] = columns.mapped(marks, lambda f: "tcp" if "T" in f else "udp")
        raw["query_flags"] = columns.mapped(marks, _query_flags)
        open_ = after + 1
        close = block.next(41, open_)
        dest = block.has(b"(", open_) & (close < ends)
        raw["server"] = block.text(np.where(dest, open_ + 1, ends), np.where(dest, close, ends))
        ecs = block.has(b"[ECS ", close + 2) & (close + 7 < ends)
        if ecs.any():
            raw["ecs"] = block.text(np.where(ecs, close + 7, ends), np.where(ecs, block.next(93, close), ends))
        table = columns.build(raw, len(block))
        return table.append_column(KIND, columns.constant(RESPONSE if response else QUERY, len(block), pa.int8()))

    def _notes(self, block: Block, when: Any) -> pa.Table | None:
        parts = []
        left = np.ones(len(block), bool)
        lines = block.lines()
        for event, pattern in _NOTES:
            mask, groups = extract(lines, pattern)
            mask &= left
            if not mask.any():
                continue
            left &= ~mask
            groups = extract(lines.filter(pa.array(mask)), pattern)[1]
            parts.append(_note(event, groups, when[mask], block.numbers[mask]))
        self.context.skip("no query, response, RPZ, error or denial", block, left)
        if len(parts) < 2:
            return parts[0] if parts else None
        table = pa.concat_tables(parts, promote_options="permissive").combine_chunks()
        return table.take(pc.sort_indices(table.column("id")))

    def _time(self, block: Block, client: Any) -> Any:
        start = block.starts
        iso = block.has(b"-", start + 4) & block.has(b":", start + 13) & (start + 19 <= client)
        word = block.has(b"-", start + 2) & block.has(b"-", start + 6) & (start + 20 <= client)
        out = np.full(len(block), times.MISSING) if block.stamps is None else block.stamps.copy()
        if iso.any():
            out[iso] = self._iso(block, start[iso])
        if word.any():
            out[word] = self._word(block, start[word])
        if (out == times.MISSING).any():
            self.context.report.note("some lines carry no time")
        return out

    def _clock(self, block: Block, at: Any) -> Any:
        n = block.number
        micro = n(at, 2) * times.HOUR + n(at + 3, 2) * 60_000_000 + n(at + 6, 2) * 1_000_000
        return micro + np.where(block.has(b".", at + 8), np.maximum(n(at + 9, 3), 0) * 1000, 0)

    def _iso(self, block: Block, at: Any) -> Any:
        n = block.number
        year, month, day = n(at, 4), n(at + 5, 2), n(at + 8, 2)
        good = times.valid_date(year, month, day)
        naive = np.where(
            good, times.days_from_civil(year, month, day) * times.DAY + self._clock(block, at + 11), times.MISSING
        )
        end = at + np.where(block.has(b".", at + 19), 23, 19)
        zulu = block.has(b"Z", end)
        sign = block.bytes[end]
        zoned = (sign == 43) | (sign == 45)
        shift = (n(end + 1, 2) * 60 + n(end + 3 + block.has(b":", end + 3), 2)) * 60_000_000
        out = np.where(zoned & good, naive - np.where(sign == 43, shift, -shift), naive)
        bare = good & ~zulu & ~zoned
        if bare.any():
            out[bare] = self.context.clock.local(naive[bare])
        return out

    def _word(self, block: Block, at: Any) -> Any:
        n = block.number
        day, year = n(at, 2), n(at + 7, 4)
        letters = block.text(at + 3, at + 6).dictionary_encode()
        table = np.array([times.MONTHS.get((t or "").lower(), -1) for t in letters.dictionary.to_pylist()] or [-1])
        month = table[letters.indices.fill_null(0).to_numpy(zero_copy_only=False)]
        good = times.valid_date(year, month, day)
        naive = np.where(
            good, times.days_from_civil(year, month, day) * times.DAY + self._clock(block, at + 12), times.MISSING
        )
        return self.context.clock.local(naive)


def _query_flags(text: str) -> str:
    plain = re.sub(r"\(\d+\)", "", text)
    words = [w for mark, w in (("+", "rd"), ("C", "cd"), ("D", "do")) if mark in plain]
    return " ".join(words)


RPZ_RCODE = {"NXDOMAIN": "NXDOMAIN", "NODATA": "NOERROR"}


_TOLD = frozenset(wire.RCODES.values())
_TRIGGER = re.compile(r"\.rpz-(?:ip|client-ip|nsip|nsdname)\.", re.IGNORECASE)


def zone_of(rule: str | None, name: str | None) -> str | None:
    """Return the policy zone that a rule's owner name is of: what stands behind its trigger, or the name asked for."""
    trigger = _TRIGGER.search(rule or "")
    if rule is not None and trigger is not None:
        return rule[trigger.end() :]
    if rule is None or name is None or not rule.lower().startswith(name.lower() + "."):
        return None
    return rule[len(name) + 1 :]


def _note(event: str, groups: pa.StructArray, when: Any, numbers: Any) -> pa.Table:
    policy = groups.field("policy")
    name = groups.field("name")
    raw: dict[str, Any] = {
        "time": when,
        "client": groups.field("client"),
        "client_port": groups.field("port"),
        "qname": name,
        "qtype": groups.field("type"),
        "qclass": groups.field("class"),
        "id": pa.array(numbers),
        "event": event,
        "reason": pc.binary_join_element_wise(event, policy, " "),
    }
    if event == "rpz":
        rule, off = groups.field("rule"), groups.field("off")
        policies = [None if o else p for p, o in zip(policy.to_pylist(), off.to_pylist(), strict=True)]
        blocks = [p is not None and p.upper() != "PASSTHRU" for p in policies]
        raw["rule"] = rule
        raw["status"] = pa.array(["blocked" if b else None for b in blocks], pa.string())
        raw["rcode"] = pa.array([RPZ_RCODE.get((p or "").upper()) for p in policies], pa.string())
        raw["list"] = pa.array(
            [zone_of(r, n) for r, n in zip(rule.to_pylist(), name.to_pylist(), strict=True)],
            pa.string(),
        )
    elif event == "failed":
        # besides rcodes these are reasons of the server's own, such as "timed out": what is told then is SERVFAIL
        raw["rcode"] = columns.mapped(policy, lambda p: p if p in _TOLD else "SERVFAIL")
        raw["status"] = columns.mapped(policy, lambda p: "refused" if p == "REFUSED" else "failed")
    else:
        raw["rcode"], raw["status"] = "REFUSED", "refused"
    table = columns.build(raw, len(numbers))
    return table.append_column(KIND, columns.constant(NOTE, len(numbers), pa.int8()))
