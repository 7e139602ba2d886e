"""What dnsmasq's answer lines say: runs of them folded into answers, and lines that name their question in another way.

Addresses stand for the names of their reverse lookups, "error" for any name; no I/O.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dnsnb.formats import columns
from dnsnb.formats.columns import KIND, NOTE, RESPONSE
from dnsnb.formats.feeding import Context
from dnsnb.formats.lines import Block, extract

_RCODES = ("NXDOMAIN", "SERVFAIL", "REFUSED", "FORMERR", "NOTIMP")
_ADDRESS = r"^(?:\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}|[0-9a-fA-F]*:[0-9a-fA-F:.]+)$"
_NULL = ("0.0.0.0", "::")
_OPEN = 10_000_000
"""How long an error may come after what it is about was forwarded, in µs: dnsmasq gives up then."""

#: Extended errors in dnsmasq's own words, by their code.
_EDE = {text: code for code, text in enumerate((
    "other", "unsupported DNSKEY algorithm", "unsupported DS digest", "stale answer", "forged", "DNSSEC indeterminate",
    "DNSSEC bogus", "DNSSEC signature expired", "DNSSEC sig not yet valid", "DNSKEY missing", "RRSIG missing",
    "no zone key bit set", "NSEC(3) missing", "cached error", "not ready", "blocked", "censored", "filtered",
    "prohibited", "stale NXDOMAIN", "not authoritative", "not supported", "no reachable authority", "network error",
    "invalid data", "signature expired before valid", "too early", "unsupported NSEC3 iterations value",
    "uanble to conform to policy", "synthesized",
))}  # fmt: skip


_NONE = np.zeros(0, np.int64), pa.array([], pa.string())


class Said:
    """What the other lines of a block say, where an answer's line does not say enough."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.asked: tuple[Any, pa.Array] = _NONE
        self.answered = pa.array([], pa.bool_())
        self.errors: tuple[set[Any], set[Any]] = set(), set()
        self.numbers, self.names = _NONE
        self.serials = pa.nulls(0, pa.int64())
        self._names: set[str] | None = None

    def questions(self, numbers: Any, names: pa.Array, types: pa.DictionaryArray, serials: pa.Array) -> None:
        """Take the lines that ask; answers to ANY are not logged, so nothing waits for them, nor for a numbered one."""
        self.asked = numbers, names
        self.answered = pc.and_(pc.not_equal(types.cast(pa.string()), "ANY").fill_null(True), serials.is_null())

    def forwarded(self, numbers: Any, names: pa.Array, serials: pa.Array) -> None:
        """Take the lines that tell what was forwarded."""
        self.numbers, self.names, self.serials = numbers, names, serials

    def was_asked(self, name: str) -> bool:
        """Whether a question of the block has this name."""
        if self._names is None:
            self._names = set(self.asked[1].to_pylist())
        return name in self._names

    def failed(self, answers: list[tuple[int, Any, Any, int]], error: list[bool]) -> list[Any]:
        """Return the names of answers (line, name, family, time), errors with that of the only question that waits.

        Where several wait, nothing tells which it was: None.
        """
        questions = zip(self.asked[0].tolist(), self.asked[1].to_pylist(), self.answered.to_pylist(), strict=True)
        events = [(line, name, -1) for line, name, answered in questions if answered]
        events += [(answer[0], answer[1], i) for i, answer in enumerate(answers)]
        out: list[Any] = []
        waiting: dict[Any, list[int]] = {}  # name -> how many wait, and since when
        now, before = answers[0][3], (0, None, None)
        for line, name, place in sorted(events, key=lambda event: event[0]):
            if place < 0:
                waiting[name] = [waiting.get(name, [0])[0] + 1, now]
                continue
            now, family = answers[place][3], answers[place][2]
            if error[place]:
                alone = [n for n, (_, since) in waiting.items() if now - since <= _OPEN]
                name = alone[0] if len(alone) == 1 else None
            goes_on = before == (line - 1, name, family) and not error[place]
            before = (line, name, family)
            if name in waiting and not goes_on:
                waiting[name][0] -= 1
                if not waiting[name][0]:
                    del waiting[name]
            out.append(name)
        return out

    def serials_of(self, numbers: Any, names: list[str], serials: pa.Array) -> tuple[pa.Array, Any]:
        """Return the serials of lines that have none, by what was forwarded last under their names; and for which lines
        that is known, or not needed."""
        if self.serials.null_count == len(self.serials):
            return serials, np.ones(len(names), bool)
        out = serials.to_pylist()
        places: dict[str, list[tuple[int, Any]]] = {}
        for number, name, serial in zip(
            self.numbers.tolist(), self.names.to_pylist(), self.serials.to_pylist(), strict=True
        ):
            places.setdefault(name, []).append((number, serial))
        for i, (number, name) in enumerate(zip(numbers.tolist(), names, strict=True)):
            if out[i] is None:
                out[i] = next((s for n, s in reversed(places.get(name, [])) if n < number), None)
        return pa.array(out, serials.type), np.array([s is not None for s in out])


class Lines:
    """Answer lines: names, data, where the verb begins, and which of `statuses` each tells."""

    def __init__(
        self, block: Block, name: pa.Array, data: pa.Array, verb: Any, status: Any, statuses: list[str]
    ) -> None:
        self.block, self.name, self.data, self.verb, self.status, self.statuses = (
            block,
            name,
            data,
            verb,
            status,
            statuses,
        )


def fold(lines: Lines, base: dict[str, Any], said: Said) -> pa.Table:
    """Return answer lines, each run of them (an answer and what its CNAMEs lead to) folded into one event.

    A cached CNAME that the next line asks on for is no answer yet and is left out.
    """
    events = said.context.events
    lines, base = _named(lines, base, said)
    if not len(lines.name):
        return pa.table({})
    count, status, numbers = len(lines.name), lines.status, lines.block.numbers
    codes = columns._coded(lines.data)
    texts = codes.dictionary.to_pylist()
    di = codes.indices.to_numpy(zero_copy_only=False)
    what = [meaning(t) for t in texts]
    is_cname = np.array([t == "<CNAME>" for t in texts])[di]
    # of a type whose data dnsmasq does not print, all records look the same
    alike = np.array([t.startswith("<") and t != "<CNAME>" for t in texts])[di]
    done = np.array([lines.statuses.index(s) for s in lines.statuses])[status]
    names = columns._coded(lines.name).indices.fill_null(-1).to_numpy(zero_copy_only=False)
    serial = base["serial"].fill_null(-1).to_numpy(zero_copy_only=False)
    family = np.array([w[2] for w in what], np.int8)[di]
    final = np.array([w[0] is None for w in what])[di]
    head = np.ones(count, bool)
    unfinished = is_cname & np.isin(numbers + 1, said.numbers) & (done == lines.statuses.index("cached"))
    if not events and count > 1:
        numbered = serial[1:] >= 0
        goes_on = ((names[1:] == names[:-1]) & ((di[1:] != di[:-1]) | alike[1:])) | is_cname[:-1]
        goes_on &= ~final[:-1] & (done[1:] == done[:-1])
        goes_on &= (family[:-1] == 0) | (family[1:] == 0) | (family[:-1] == family[1:])
        head[1:] = (serial[1:] != serial[:-1]) | (~numbered & ~goes_on) | unfinished[:-1]
    starts = np.flatnonzero(head)
    said.context.report.aside("lines that go on with an answer", count - len(starts))
    shown = pa.array([w[0] for w in what], pa.string()).take(codes.indices)
    onward = np.append(is_cname[:-1] & ~head[1:], False)
    if onward.any():  # what a CNAME points to is the name of the next line
        following = lines.name.take(pa.array(np.minimum(np.arange(1, count + 1), count - 1)))
        shown = pc.if_else(pa.array(onward), columns.names(following, None, False)[0], shown)
    keep = shown.is_valid().to_numpy(zero_copy_only=False)
    offsets = np.concatenate([[0], np.cumsum(np.add.reduceat(keep, starts))]).astype(np.int32)
    answers = pa.ListArray.from_arrays(pa.array(offsets), shown.filter(pa.array(keep)))
    ranks = pa.array([None, "NOERROR", *_RCODES])
    rank = {r: i for i, r in enumerate(ranks.to_pylist())}
    worst = np.maximum.reduceat(np.array([rank[w[1]] for w in what])[di], starts)
    pick = pa.array(starts)
    said_of = [*lines.statuses, "failed", "refused", "blocked"]
    local = done[starts] == lines.statuses.index("local")
    null = local & np.array([t in _NULL for t in texts])[di[starts]]
    code = np.select(
        [(worst == rank["SERVFAIL"]) & ~local, (worst == rank["REFUSED"]) & local, null],
        range(len(lines.statuses), len(said_of)),
        status[starts],
    )
    raw: dict[str, Any] = {
        "time": base["time"][starts],
        "serial": base["serial"].take(pick),
        "client": base["client"].take(pick),
        "client_port": base["client_port"][starts],
        "qname": lines.name.take(pick),
        "answers": answers,
        "rcode": ranks.take(pa.array(worst)),
        "status": pa.array(said_of).take(pa.array(code)),
        "family": pa.array(np.maximum.reduceat(family, starts)),
        "id": pa.array(numbers[starts]),
        "event": "answer",
    }
    if any(w[3] is not None for w in what):
        raw["ede"] = pa.array([w[3] for w in what], pa.int16()).take(pa.array(di[starts]))
    blocked = np.array([s == "blocked" for s in said_of])[code]
    if blocked.any():
        end = _name_start(lines.block, lines.verb)[starts] - 1
        raw["reason"] = lines.block.text(np.where(blocked, lines.verb[starts], 0), np.where(blocked, end, 0))
        raw["list"] = raw["reason"]
    table = table_of(raw, len(starts), RESPONSE)
    if events:
        return table
    whole = ~unfinished[np.append(starts[1:], count) - 1]
    said.context.report.aside("aliases that are asked on for", int((~whole).sum()))
    return table.filter(pa.array(whole))


def _named(lines: Lines, base: dict[str, Any], said: Said) -> tuple[Lines, dict[str, Any]]:
    """Return answer lines with the names that were asked for; an error of which that can't be told is left out."""
    doubtful = pc.match_substring(lines.data, " is ")
    if pc.any(doubtful).as_py():  # within the name or within the data? the question knows
        names, data = lines.name.to_pylist(), lines.data.to_pylist()
        for i in np.flatnonzero(doubtful.to_numpy(zero_copy_only=False)).tolist():
            text = f"{names[i] or ''} is {data[i]}"
            cuts = [m.start() for m in re.finditer(" (?=is )", text)]
            cut = next((c for c in cuts if said.was_asked(text[:c])), cuts[0])
            names[i], data[i] = text[:cut] or None, text[cut + 4 :]
        lines.name, lines.data = pa.array(names, pa.string()), pa.array(data, pa.string())
    turned = pc.match_substring_regex(lines.name, _ADDRESS).fill_null(False)
    if pc.any(turned).as_py():
        names = [n if said.was_asked(n) else _reverse(n) for n in lines.name.filter(turned).to_pylist()]
        lines.name = pc.replace_with_mask(lines.name, turned, pa.array(names, pa.string()))
    nameless = pc.or_kleene(pc.equal(lines.name, "error"), pc.equal(lines.data, "truncated")).fill_null(False)
    if not pc.any(nameless).as_py() or said.was_asked("error"):
        return lines, base
    numbers, serials = lines.block.numbers, base["serial"]
    said.errors = (
        set(serials.filter(nameless).to_pylist()),
        set(numbers[nameless.to_numpy(zero_copy_only=False)].tolist()),
    )
    lines.name = pc.if_else(nameless, pa.scalar(None, pa.string()), lines.name)
    open_ = pc.and_(nameless, serials.is_null()).to_numpy(zero_copy_only=False)
    if not open_.any():
        return lines, base
    families = [_shown(text)[2] for text in lines.data.to_pylist()]
    told = zip(numbers.tolist(), lines.name.to_pylist(), families, base["time"].tolist(), strict=True)
    lines.name = pa.array(said.failed(list(told), open_.tolist()), pa.string())
    lost = open_ & lines.name.is_null().to_numpy(zero_copy_only=False)
    if said.context.events or not lost.any():
        return lines, base
    said.context.skip("an answer that does not say what was asked", lines.block, lost)
    block, verb, base = only(lines.block, lines.verb, ~lost, base)
    kept = pa.array(~lost)
    return Lines(
        block, lines.name.filter(kept), lines.data.filter(kept), verb, lines.status[~lost], lines.statuses
    ), base


def _reverse(text: str) -> str:
    """Return the name of an address's reverse lookup: answers to it show the address."""
    try:
        return ipaddress.ip_address(text).reverse_pointer
    except ValueError:
        return text


def verdicts(block: Block, at: Any, mask: Any, base: dict[str, Any], said: Said) -> tuple[list[pa.Table], Any]:
    """Return what dnsmasq withholds: answers that DNSSEC finds bogus, and those that point inside (rebinding)."""
    part, at, own = only(block, at, mask, base)
    hit, groups = extract(part.text(at, part.ends).fill_null(""), _VERDICT)
    known = np.zeros(len(block), bool)
    if not hit.any():
        return [], known
    known[np.flatnonzero(mask)[hit]] = True
    part, _, own = only(part, at, hit, own)
    bogus, inside = groups.field("bogus"), groups.field("inside")
    rebinding = pc.not_equal(inside, "")
    # a name that can't be printed stands here as it is, with control octets and all
    inside = pc.if_else(pc.match_substring_regex(inside, r"[^ -~]"), "<name unprintable>", inside)
    own["serial"], told = said.serials_of(part.numbers, inside.to_pylist(), own["serial"])
    serials, lines = said.errors  # a verdict that an error comes after is not the answer
    numbered = own["serial"].is_valid().to_numpy(zero_copy_only=False)
    later = np.array([s in serials for s in own["serial"].to_pylist()]) & numbered
    later |= np.array([n + 1 in lines for n in part.numbers.tolist()]) & ~numbered
    raw = {
        **own,
        "qname": pc.if_else(rebinding, inside, bogus),
        "rcode": pc.if_else(pa.array(later), None, pc.if_else(rebinding, "NOERROR", "SERVFAIL")),
        "status": pc.if_else(rebinding, "blocked", "failed"),
        "answers": pa.array([[]] * len(part), pa.list_(pa.string())),
        "reason": pc.if_else(
            rebinding,
            "possible DNS-rebind attack",
            pc.binary_join_element_wise("validation", groups.field("word"), " "),
        ),
        "ede": columns.plain(groups.field("ede"), _EDE.get, pa.int16()),
        "family": zeros(part),
        "id": pa.array(part.numbers),
        "event": "verdict",
    }
    table = table_of(raw, len(part), RESPONSE)
    kinds = pa.array(np.where(later, NOTE, RESPONSE), pa.int8())
    table = table.set_column(table.column_names.index(KIND), KIND, kinds)
    if not said.context.events:
        said.context.skip("a verdict that does not say what was asked", part, ~told)
        said.context.report.aside(
            "what validation found, told again by an error", int((told & later & ~numbered).sum())
        )
        table = table.filter(pa.array(told & (numbered | ~later)))
    return [table], known


_VERDICT = (
    r"^(?:validation (?P<bogus>.*) is (?P<word>BOGUS|ABANDONED)(?: \(EDE: (?P<ede>.*)\))?|"
    r"possible DNS-rebind attack detected: (?P<inside>.+))$"
)


def _name_start(part: Block, verb: Any) -> Any:
    end = part.find(b" is", verb, part.ends)
    return part.last(32, np.minimum(end, part.ends)) + 1


def meaning(text: str) -> tuple[str | None, str | None, int, int | None]:
    """Return (data to show, rcode, family 4, 6 or 0, extended error) of what stands after " is "."""
    told = _EXTRA.search(text) if text.endswith(")") else None
    shown, rcode, family = _shown(text[: told.start()].strip() if told else text.strip())
    return shown, rcode, family, _EDE.get(told["ede"]) if told and told["ede"] else None


_EXTRA = re.compile(r" \((?:DNSSEC signed|EDE: (?P<ede>.*))\)$")


def _shown(text: str) -> tuple[str | None, str | None, int]:
    if text.startswith("NODATA"):
        return None, "NOERROR", {"NODATA-IPv4": 4, "NODATA-IPv6": 6}.get(text, 0)
    first = text.split(" ", 1)[0]
    if first in _RCODES:
        return None, first, 0
    if text.startswith("not implemented"):
        return None, "NOTIMP", 0
    if text in ("duplicate", "truncated"):
        return None, None, 0
    if re.fullmatch(r"\d+\.\d+\.\d+\.\d+", text):
        return text, "NOERROR", 4
    if ":" in text and re.fullmatch(r"[0-9a-fA-F:.]+(?:%\w+)?", text):
        return columns.address(text), "NOERROR", 6
    return text, "NOERROR", 0


def zeros(block: Block) -> pa.Array:
    return pa.array(np.zeros(len(block), np.int8))


def table_of(raw: dict[str, Any], count: int, kind: int) -> pa.Table:
    own = {k: raw.pop(k) for k in ("serial", "family") if raw.get(k) is not None}
    table = columns.build(raw, count, escapes=False)
    # a serial alone says what belongs together; without one it is the name
    name = table.column("qname") if "qname" in table.column_names else pa.nulls(count, pa.string())
    own["asked"] = pc.if_else(own["serial"].is_null(), name, pa.scalar(None, pa.string()))
    own["family"] = pc.if_else(own["serial"].is_null(), own["family"], pa.scalar(0, pa.int8()))
    for name, values in own.items():
        table = table.append_column(name, values)
    return table.append_column(KIND, columns.constant(kind, count, pa.int8()))


def only(block: Block, at: Any, mask: Any, base: dict[str, Any]) -> tuple[Block, Any, dict[str, Any]]:
    if mask.all():
        return block, at, base
    chosen = pa.array(mask)
    cut = {
        k: v.filter(chosen) if isinstance(v, pa.Array) else v[mask] if v is not None else None for k, v in base.items()
    }
    return block.keep(mask), at[mask], cut
