"""dnsmasq and Pi-hole text logs: `log-queries` plain, `extra` (serial and client) and `proto`, in a file or by syslog.

One query is one to many lines; runs of answer lines are folded here, the join pairs them. Names may hold blanks.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from dnsnb.formats import columns, times
from dnsnb.formats.columns import HINT, NOTE, QUERY
from dnsnb.formats.dnsmasq_answers import Lines, Said, fold, only, table_of, verdicts, zeros
from dnsnb.formats.feeding import Context
from dnsnb.formats.join import Joiner
from dnsnb.formats.lines import NONE, Block
from dnsnb.formats.sniff import Head
from dnsnb.formats.wrappers import months

_HEAD = r"^(?:<\d+>)?\S{3,4} [ \d]\d \d\d:\d\d:\d\d (?:\S+ )?(?:dnsmasq|pihole-FTL)\S*: "
_VERB = (
    r"(?:(?:UDP |TCP )?\d+ (?:\S+/\d+ )?)?(?:query\[|forwarded |reply |cached |config |auth |gravity blocked |DHCP "
    r"|validation |dnssec-query|"
    r"regex |exactly |special domain|Pi-hole |/\S+ |blocked upstream|rejected |Apple |cached-stale )"
)

#: How a line begins -> (what it is, status it tells). The longest match wins.
_ANSWERS = {
    b"reply": "forwarded", b"cached": "cached", b"cached-stale": "stale", b"config": "local", b"auth": "local",
    b"DHCP": "local", b"gravity blocked": "blocked", b"regex denied": "blocked", b"exactly denied": "blocked",
    b"regex blacklisted": "blocked", b"exactly blacklisted": "blocked", b"black": "blocked",
    b"special domain": "blocked", b"Pi-hole hostname": "local", b"Apple iCloud Private Relay domain": "blocked",
    b"blocked upstream": "blocked", b"/": "local",
}  # fmt: skip


def score(head: Head) -> int:
    """dnsmasq's name after a stamp, and one of its verbs."""
    named = head.share(_HEAD)
    if named > 0.5:
        return 97 if head.share(_HEAD + _VERB) > 0 else 60
    if head.share(r"^dnsmasq(?:\[\d+\])?: " + _VERB) > 0.3:
        return 96  # on the console
    return 55 if head.share("^" + _VERB + r".*(?: from | to | is )") > 0.7 else 0


class Reader:
    """Parses blocks of one log."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.joiner = Joiner(("serial", "asked", "family"), 30.0, latency=False, loose="family", shared=True)

    def prepare(self, block: Block) -> Any:
        """Read the clock, which must see lines in order; return the job that gives a block's events."""
        when, block, at = self._prefix(block)
        return partial(self._events, block, when, at) if len(block) else None

    def _events(self, block: Block, when: Any, at: Any) -> pa.Table | None:
        serial, client, port, proto, at = self._extra(block, at)
        bracket = block.has(b"query[", at)
        dnssec = block.has(b"dnssec-query[", at)
        forward = block.has(b"forwarded ", at)
        parts: list[pa.Table] = []
        base = {"time": when, "serial": serial, "client": client, "client_port": port, "transport": proto}
        said = Said(self.context)
        if bracket.any():
            parts.append(self._queries(block, at, bracket, base, said))
        if forward.any():
            parts.append(self._forwards(block, at, forward, base, said))
        rest = ~(bracket | forward | dnssec)
        known = dnssec.copy()
        self.context.skip("the resolver's own DNSSEC questions", block, dnssec)
        if rest.any():
            tables, mask = self._answers(block, at, rest, base, said)
            known |= mask
            parts += tables
        noise = rest & ~known
        if noise.any():
            told, mask = verdicts(block, at, noise, base, said)
            noise &= ~mask
            parts += told
        self.context.skip("says nothing about a query", block, noise)
        found = [p for p in parts if len(p)]
        if not found:
            return None
        table = pa.concat_tables(found, promote_options="permissive").combine_chunks()
        numbers = table.column("id").to_numpy()
        return table.take(pa.array(np.argsort(numbers, kind="stable")))

    def _prefix(self, block: Block) -> tuple[Any, Block, Any]:
        """Return each line's time, the lines that have a program (or stand alone), and where what it says begins."""
        start = block.starts
        angle = block.has(b"<", start)
        if angle.any():
            start = np.where(angle, np.minimum(block.next(62, start) + 1, block.ends), start)
        colon = block.has(b":", start + 9) & block.has(b":", start + 12) & (start + 16 < block.ends)
        wide = (
            ~colon & block.has(b":", start + 10) & block.has(b":", start + 13) & (start + 17 < block.ends)
        )  # a 4-octet month
        stamped = colon | wide
        month_end = start + np.where(wide, 4, 3)
        month = np.full(len(block), -1)
        if stamped.any():
            month = months(block.text(start, month_end).fill_null(""))
            if block.stamps is not None:  # the wrapper may have taken the stamp away: then this is something else
                stamped &= month > 0
        named = block.has(b"dnsmasq", start)  # on the console there is no time
        body = block.find(b": ", np.where(stamped, start + 15, start), block.ends)
        stamped &= body < NONE
        named &= body < NONE
        at = np.where(stamped | named, body + 2, start)
        if block.stamps is None and stamped.any():
            good = stamped | named
            self.context.skip("no time and program at its start", block, ~good)
            if not good.all():
                block, start, at = block.keep(good), start[good], at[good]
                month, month_end, stamped = month[good], month_end[good], stamped[good]
            if not len(block):
                return None, block, start
        when = np.full(len(block), times.MISSING) if block.stamps is None else block.stamps
        if stamped.any():
            n, day = block.number, month_end + 1
            second = n(day + 3, 2) * 3600 + n(day + 6, 2) * 60 + n(day + 9, 2)
            told = self.context.clock.yearless(np.where(stamped, month, -1), n(day, 2), second)
            when = np.where(told == times.MISSING, when, told)
        if (when == times.MISSING).any():
            self.context.report.note("some lines carry no time")
        return when, block, at

    def _extra(self, block: Block, at: Any) -> tuple[Any, Any, Any, Any, Any]:
        """Return serial, client, port and transport of `log-queries=extra` lines, and where each line's verb begins."""
        count = len(block)
        proto = np.zeros(count, np.int8)
        for code, word in ((1, b"UDP "), (2, b"TCP ")):
            hit = block.has(word, at)
            if hit.any():
                proto[hit] = code
                at = np.where(hit, at + 4, at)
        first = block.bytes[np.clip(at, 0, block.size)]
        numbered = (first >= 48) & (first <= 57)
        none = pa.nulls(count, pa.string())
        transport = pa.DictionaryArray.from_arrays(
            pa.array(proto, mask=proto == 0).cast(pa.int32()), pa.array(["", "udp", "tcp"])
        )
        if not numbered.any():
            return pa.nulls(count, pa.int64()), none, np.full(count, -1), transport, at
        blank = block.next(32, at)
        serial = np.where(numbered, block.digits(at, 10), -1)
        numbered &= (serial >= 0) & (blank < block.ends)
        at = np.where(numbered, blank + 1, at)
        slash = block.next(47, at)
        blank = block.next(32, at)
        asked = numbered & (slash < blank) & (slash > at) & (blank < block.ends)
        port = np.where(asked, block.digits(slash + 1), -1)
        asked &= port >= 0
        client = block.text(np.where(asked, at, 0), np.where(asked, slash, 0))
        at = np.where(asked, blank + 1, at)
        return pa.array(serial, mask=~numbered), client, port, transport, at

    def _queries(self, block: Block, at: Any, mask: Any, base: dict[str, Any], said: Said) -> pa.Table:
        part, at, base = only(block, at, mask, base)
        close = part.next(93, at)
        name = close + 2
        from_ = _last(part, b" from ", name)
        good = (close < part.ends) & (from_ >= name)
        self.context.skip("a query line that is cut off", part, ~good)
        part, at, base = only(part, at, good, base)
        close, name, from_ = close[good], name[good], from_[good]
        types = columns.mapped(part.text(at + 6, close), columns.qtype)
        families = np.array([{"A": 4, "AAAA": 6}.get(t, 0) for t in types.dictionary.to_pylist()] or [0], np.int8)
        names = part.text(name, from_)
        said.questions(part.numbers, names, types, base["serial"])
        raw = {
            **base,
            "qname": names,
            "qtype": types,
            "family": pa.array(families[types.indices.fill_null(0).to_numpy(zero_copy_only=False)]),
            "client": part.text(from_ + 6, part.ends),
            "id": pa.array(part.numbers),
            "event": "query",
        }
        return table_of(raw, len(part), QUERY)

    def _forwards(self, block: Block, at: Any, mask: Any, base: dict[str, Any], said: Said) -> pa.Table:
        part, at, base = only(block, at, mask, base)
        to = _last(part, b" to ", at)
        good = to > at
        self.context.skip("a line that is cut off", part, ~good)
        part, at, base = only(part, at, good, base)
        to = to[good]
        said.forwarded(part.numbers, part.text(at + 10, to), base["serial"])
        raw = {
            **base,
            "client": None,
            "client_port": None,
            "transport": None,
            "qname": part.text(at + 10, to),
            "upstream": columns.mapped(part.text(to + 4, part.ends), str),
            "status": "forwarded",
            "family": zeros(part),
            "id": pa.array(part.numbers),
            "event": "forwarded",
        }
        return table_of(raw, len(part), HINT)

    def _answers(
        self, block: Block, at: Any, rest: Any, base: dict[str, Any], said: Said
    ) -> tuple[list[pa.Table], Any]:
        ends = block.ends
        known = np.zeros(len(block), bool)
        status = np.zeros(len(block), np.int8)
        name = at.copy()
        words = sorted(_ANSWERS, key=len)
        for code, word in enumerate(words):
            hit = rest & block.has(word if word == b"/" else word + b" ", at)
            if word == b"/":
                name = np.where(hit, block.next(32, at) + 1, name)
            else:
                name = np.where(hit, at + len(word) + 1, name)
            known |= hit
            status[hit] = code
        chain = known & block.has(b"(CNAME) ", name)
        name = np.where(chain, name + 8, name)  # Pi-hole: the name is blocked for what it is an alias of
        by = block.has(b"with ", name) & known & (status == words.index(b"blocked upstream"))
        if by.any():  # "blocked upstream with NULL address NAME is …": the name is the last word before " is "
            name = np.where(by, block.last(32, np.where(by, block.find(b" is ", name, ends), name)) + 1, name)
        name = np.where(known & block.has(b"is truncated", name), name - 1, name)  # "reply is truncated" has none
        is_ = block.find(b" is ", name, ends)
        bare = known & (is_ == NONE) & block.has(b" is", ends - 3)
        is_ = np.where(bare, ends - 3, is_)
        good = known & (is_ < NONE) & (is_ >= name)
        duplicate = good & block.has(b"query is duplicate", name)
        good &= ~duplicate
        found = []
        if duplicate.any():
            part, _, own = only(block, name, duplicate, base)
            raw = {
                **own,
                "qname": None,
                "reason": "duplicate of a query in flight",
                "status": "forwarded",
                "family": zeros(part),
            }
            raw |= {"id": pa.array(part.numbers), "event": "duplicate"}
            found.append(table_of(raw, len(part), NOTE))
        if good.any():
            part, name, own = only(block, name, good, base)
            data = part.text(np.minimum(is_[good] + 4, part.ends), part.ends).fill_null("")
            names = part.text(name, is_[good])
            lines = Lines(part, names, data, at[good], status[good], [_ANSWERS[w] for w in words])
            found.append(fold(lines, own, said))
        return found, good | duplicate


def _last(block: Block, word: bytes, at: Any) -> Any:
    """Return the last place of a word that ends before the last blank-free field of each line; -1 where there is
    none."""
    blank = block.last(32, block.ends)
    where = blank - len(word) + 1
    return np.where((where >= at) & block.has(word, where), where, -1)
