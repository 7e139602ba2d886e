"""Windows DNS Server debug log: packets in and out, in any of the date orders that its locales write.

``Rcv Q`` and ``Snd R Q`` are the client's side, ``Snd Q`` and ``Rcv R Q`` the server's own questions. A date that
could be read two
ways is settled by the rest of the file; where that says nothing the log is refused until `template` tells the order.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dnsnb.dns import wire
from dnsnb.errors import LogFormatError, SettingError
from dnsnb.formats import columns, times
from dnsnb.formats.columns import KIND, QUERY, RESPONSE
from dnsnb.formats.feeding import Context
from dnsnb.formats.join import Joiner
from dnsnb.formats.lines import Block, extract
from dnsnb.formats.patterns import Line, PatternReader
from dnsnb.formats.sniff import Head

_DATE = (
    r"(?P<d1>\d{1,4})(?P<sep>[/.-]) ?(?P<d2>\d{1,2})[/.-] ?(?P<d3>\d{1,4})\.? (?P<h>\d{1,2})[:.](?P<n>\d\d)[:.]"
    r"(?P<s>\d\d)[ \x{A0}\x{202F}]?(?P<half>(?i:[ap]\.?[ \x{A0}\x{202F}]?m\.?))?"
)
_LINE = (
    r"^"
    + _DATE
    + r" +[0-9A-Fa-f]+ +PACKET +[0-9A-Fa-f]* *(?P<transport>UDP|TCP) +(?P<way>Rcv|Snd) (?P<peer>[0-9A-Fa-f.:%]+) +"
    r"(?P<xid>[0-9a-fA-F]{4}) (?P<qr>[R ]) (?P<op>[A-Z?]) \[(?P<hex>[0-9a-fA-F]{4}) (?P<marks>[A-Z ]*?) *"
    r"(?P<rcode>[A-Z0-9]+)\] +(?P<qtype>\S+) +(?P<qname>\(\d+\).*\(0\)|\(0\)|[^(\s]\S*)\s*$"
)
_HOLD = 64 << 20
ORDERS = ("mdy", "dmy", "ymd")


def score(head: Head) -> int:
    """The header's sentence, or PACKET lines."""
    if head.share(r"\bPACKET +[0-9A-Fa-f]* *(?:UDP|TCP) +(?:Rcv|Snd) ") > 0:
        return 97  # with details, 40 lines stand between two packets
    return 80 if any("DNS Server log file creation" in line for line in head.lines[:20]) else 0


class Reader(PatternReader):
    """Parses blocks of one log."""

    otherwise = "details and other lines"
    independent = False  # the first block settles the order of dates

    def __init__(self, context: Context) -> None:
        super().__init__(
            context,
            (Line(_LINE),),
            Joiner(("side", "client", "server", "dns_id", "qname", "qtype"), 30.0, latency=False),  # whole seconds
        )
        self.order = context.template
        if self.order is not None and self.order not in ORDERS:
            raise SettingError("template", self.order, "for this format the order of its dates: 'mdy', 'dmy' or 'ymd'")
        self._held: list[Block] = []

    def parse(self, block: Block) -> pa.Table | None:
        """Return the events of a block; large blocks wait until one of them tells the order of dates."""
        if self.order is None:
            blocks = [*self._held, block]
            self.order = _order_of(blocks)
            more = block.size >= 1 << 20 and sum(b.size for b in blocks) < _HOLD
            if self.order is None and more:
                self._held = blocks
                return None
            self._held = []
            if self.order is not None:
                self.context.report.note(f"dates are read as {self.order}")
            tables = [t for b in blocks if (t := super(Reader, self).parse(b)) is not None]
            return pa.concat_tables(tables, promote_options="permissive") if tables else None
        return super().parse(block)

    def finish(self) -> pa.Table | None:
        """Return what still waits; raises LogFormatError when nothing told the order of dates."""
        held, self._held = self._held, []
        tables = [t for b in held if (t := super(Reader, self).parse(b)) is not None]
        return pa.concat_tables(tables, promote_options="permissive") if tables else None

    def _table(self, line: Line, groups: pa.StructArray, block: Block) -> pa.Table | None:
        way, qr = groups.field("way"), groups.field("qr")
        answer = pc.equal(qr, "R").to_numpy(zero_copy_only=False)
        client_side = pc.equal(way, "Rcv").to_numpy(zero_copy_only=False) != answer
        peer = groups.field("peer")
        hexed = columns._coded(groups.field("hex"))
        swapped = [((v := int(h, 16)) >> 8 | (v & 255) << 8) for h in hexed.dictionary.to_pylist()]
        flags = pa.DictionaryArray.from_arrays(
            hexed.indices, pa.array([" ".join(t for b, t in _BITS if f & b) or None for f in swapped], pa.string())
        ).cast(pa.string())
        none = pa.scalar(None, pa.string())
        side, replied = pa.array(client_side), pa.array(answer)
        raw: dict[str, Any] = {
            "time": self._time(groups),
            "client": pc.if_else(side, peer, none),
            "server": pc.if_else(side, none, peer),
            "upstream": columns.mapped(pc.if_else(side, none, peer), str),
            "transport": groups.field("transport"),
            "dns_id": columns.plain(groups.field("xid"), lambda x: int(x, 16), pa.int32()),
            "qname": columns.plain(groups.field("qname"), bracketed),
            "qtype": groups.field("qtype"),
            "rcode": pc.if_else(replied, groups.field("rcode"), none),
            "flags": pc.if_else(replied, flags, none),
            "query_flags": pc.if_else(replied, none, flags),
            "side": pc.if_else(side, "client", "upstream"),
            "status": columns.mapped(
                pc.if_else(replied, groups.field("rcode"), none), {"SERVFAIL": "failed", "REFUSED": "refused"}.get
            ),
            "id": pa.array(block.numbers),
            "event": pc.binary_join_element_wise(way, pc.if_else(replied, "response", "query"), " "),
        }
        table = columns.build(raw, len(block), lossy=r"^\(\d+\)")
        return table.append_column(KIND, pa.array(np.where(answer, RESPONSE, QUERY), pa.int8()))

    def _time(self, groups: pa.StructArray) -> Any:
        first, second, third, h, n, s = (
            times._digits(groups.field(k)).to_numpy(zero_copy_only=False) for k in ("d1", "d2", "d3", "h", "n", "s")
        )
        if self.order is None:
            raise LogFormatError(
                f"dates such as {first[0]}/{second[0]} could be day/month or month/day, and nothing in the file tells "
                "which; say template='mdy' or template='dmy'"
            )
        picked = {"mdy": (third, first, second), "dmy": (third, second, first), "ymd": (first, second, third)}[
            self.order
        ]
        year, month, day = picked
        year = np.where(year < 100, year + 2000, year)
        half = columns._coded(pc.ascii_lower(groups.field("half").fill_null("")))
        mark = np.array([t[:1] for t in half.dictionary.to_pylist()] or [""])[
            half.indices.to_numpy(zero_copy_only=False)
        ]
        hour = np.where(mark == "p", h % 12 + 12, np.where(mark == "a", h % 12, h))
        good = times.valid_date(year, month, day)
        naive = times.days_from_civil(year, month, day) * times.DAY + hour * times.HOUR + n * 60_000_000 + s * 1_000_000
        return self.context.clock.local(np.where(good, naive, times.MISSING))


_BITS = ((0x8000, "qr"), (0x0400, "aa"), (0x0200, "tc"), (0x0100, "rd"), (0x0080, "ra"), (0x0020, "ad"), (0x0010, "cd"))


def _order_of(blocks: list[Block]) -> str | None:
    """Return the order of the dates in some lines, or None when they do not tell."""
    found = [extract(b.lines().fill_null(""), "^" + _DATE)[1] for b in blocks]
    groups = pa.chunked_array([g for g in found if len(g)], type=found[0].type).combine_chunks()
    if not len(groups):
        return None
    first, second = (times._digits(groups.field(k)).to_numpy(zero_copy_only=False) for k in ("d1", "d2"))
    if (first > 31).any():
        return "ymd"
    if (first > 12).any():
        return "dmy"
    if (second > 12).any():
        return "mdy"
    if pc.any(pc.equal(groups.field("sep"), ".")).as_py():
        return "dmy"
    if pc.any(pc.not_equal(groups.field("half").fill_null(""), "")).as_py():
        return "mdy"
    turns = int((np.diff(first) == 1).sum()), int((np.diff(second) == 1).sum())
    if max(turns) > 0 and min(turns) == 0:  # midnight moves the day
        return "dmy" if turns[0] else "mdy"
    return None


def bracketed(text: str) -> str:
    """Return ``(3)www(6)google(3)com(0)`` (or ``.www.google.com.``) as a name; as it is where lengths do not fit."""
    if not text.startswith("("):
        return columns.unescaped(text.strip(".")) or "."
    octets = _OCTET.sub(lambda m: bytes([int(m[1], 16)]), text.encode())
    packed, at = b"", 0
    while (size := _SIZE.match(octets, at)) is not None and int(size[1]) < 64:
        packed += bytes([int(size[1])]) + octets[size.end() : size.end() + int(size[1])]
        at = size.end() + int(size[1])
        if size[1] == b"0" and at == len(octets):
            return wire.name_to_text(packed) if len(packed) < 256 else text
    return text


_SIZE = re.compile(rb"\((\d+)\)")
_OCTET = re.compile(rb"\\x([0-9a-f]{2})")
