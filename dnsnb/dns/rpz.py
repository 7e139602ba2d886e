"""A response policy zone (draft-vixie-dnsop-dns-rpz) as rules: its triggers and actions.

No I/O. Triggers that need the delegation (nsdname, nsip) are refused with the reason: a forwarder doesn't see it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import NamedTuple

from dnsnb.dns.local import TYPES, Record, wire_rdata
from dnsnb.dns.names import BELOW, EXACT, name_tail
from dnsnb.dns.rules import ALLOW, ALLOW_IMPORTANT, BLOCK, BLOCK_IMPORTANT
from dnsnb.dns.special import Reply, Special
from dnsnb.errors import SettingError

NXDOMAIN, NODATA, DROP, TRUNCATE = Reply("nxdomain"), Reply("nodata"), Reply("drop"), Reply("truncate")

_ACTIONS = {"": NXDOMAIN, "*": NODATA, "rpz-drop": DROP, "rpz-tcp-only": TRUNCATE}
_UNSEEN = ("rpz-nsdname", "rpz-nsip")
_CLASSES = ("in", "ch", "hs")
MAX_RECORD = 4_096


class Trigger(NamedTuple):
    """One record of a zone, read: its `line`, its `text`, and exactly one of a name (`tail`), `network` or `client`."""

    line: int
    text: str
    level: int
    reply: Reply | None
    tail: bytes | None = None
    scope: int = EXACT
    network: str | None = None
    client: str | None = None


class Refused(NamedTuple):
    """A line that gives no rule, and why."""

    line: int
    text: str
    why: str


def read_zone(lines: Iterator[str], allow_list: bool = False) -> Iterator[Trigger | Refused | None]:
    """Yield what each record means; None for a line that is no trigger (comments, SOA, NS, directives).

    Names are relative to ``$ORIGIN`` or to the owner of the SOA.
    """
    origin = ""
    owner = ""
    for number, raw, line in _records(lines):
        if not line.strip():
            yield None
            continue
        if len(line) > MAX_RECORD:
            yield Refused(number, raw, f"longer than {MAX_RECORD:,} characters; is a parenthesis not closed?")
            continue
        words = line.split()
        if words[0].lower() == "$origin":
            origin = words[1].lower().rstrip(".") if len(words) > 1 else ""
            yield None
            continue
        if words[0].startswith("$"):
            yield None if words[0].lower() == "$ttl" else Refused(number, raw, f"the directive {words[0]} is not read")
            continue
        if not line[0].isspace():
            owner = words.pop(0).lower()
        while words and (words[0].lower() in _CLASSES or re.fullmatch(r"\d+[smhdw]?", words[0], re.IGNORECASE)):
            words.pop(0)
        if len(words) < 2 and not (words and words[0].upper() == "SOA"):
            yield Refused(number, raw, "not a record")
            continue
        rtype, data = words[0].upper(), line[line.find(words[0]) :].split(None, 1)[-1]
        if rtype == "SOA":
            origin = owner.rstrip(".") if owner not in ("@", "") else origin
            yield None
        elif rtype == "NS" and _relative(owner, origin) in ("", "@"):
            yield None
        else:
            yield _trigger(number, raw.strip(), _relative(owner, origin), rtype, data, allow_list)


def _trigger(line: int, text: str, name: str, rtype: str, data: str, allow_list: bool) -> Trigger | Refused | None:
    try:
        level, reply = _action(rtype, data, name)
        if allow_list:
            level, reply = ALLOW, None
        labels = name.split(".")
        if labels[-1] == "rpz-client-ip":
            # A client's trigger goes before any name's (RPZ 5.1).
            level = ALLOW_IMPORTANT if level == ALLOW else BLOCK_IMPORTANT
            return Trigger(line, text, level, reply, client=_network(labels[:-1]))
        if labels[-1] == "rpz-ip":
            return Trigger(line, text, level, reply, network=_network(labels[:-1]))
        if labels[-1] in _UNSEEN:
            raise ValueError(f"the trigger {labels[-1]} needs the delegation, which a forwarder doesn't see")
        if name in ("", "@"):
            return None
        scope = BELOW if name.startswith("*.") else EXACT
        return Trigger(line, text, level, reply, name_tail(name.removeprefix("*.")), scope)
    except ValueError as error:
        return Refused(line, text, error.why if isinstance(error, SettingError) else str(error))


def _action(rtype: str, data: str, owner: str) -> tuple[int, Reply | None]:
    if rtype == "CNAME":
        target = data.strip().lower().rstrip(".")
        if target in ("rpz-passthru", owner):
            return ALLOW, None
        known = _ACTIONS.get(target)
        if known is not None:
            return BLOCK, known
        if target.startswith("*."):
            raise ValueError("a wildcard target (CNAME *.name) is not given here")
        return BLOCK, Reply("records", ((5, None, name_tail(target) + b"\0"),))
    if rtype in ("DNAME", "SOA", "NS") or rtype not in TYPES:
        raise ValueError(f"{rtype} is no action of a policy zone")
    return BLOCK, Reply("records", (_record(rtype, data),))


def _record(rtype: str, data: str) -> tuple[int, int | None, bytes]:
    number, rdata = wire_rdata(Record("x", rtype, data.strip()))
    return number, None, rdata


def _network(labels: list[str]) -> str:
    """Read ``24.0.2.0.192`` or ``48.zz.2.2001`` (RPZ 4.3): prefix length, then the address backwards."""
    try:
        prefix, parts = int(labels[0]), labels[:0:-1]
        if len(parts) == 4 and "zz" not in parts:
            address = ".".join(parts)
        else:
            groups = ["" if part == "zz" else part for part in parts]
            address = ":".join(groups)
            if address.startswith(":"):
                address = ":" + address
            if address.endswith(":") and not address.endswith("::"):
                address += ":"
        return str(ipaddress.ip_network(f"{address}/{prefix}"))
    except (ValueError, IndexError):
        raise ValueError("not a prefix length and an address backwards, such as 24.0.2.0.192.rpz-ip") from None


def _relative(owner: str, origin: str) -> str:
    if not owner.endswith("."):
        return owner
    name = owner.rstrip(".")
    if name == origin:
        return "@"
    return name.removesuffix("." + origin) if origin else name


def _records(lines: Iterator[str]) -> Iterator[tuple[int, str, str]]:
    """Yield (number, text, record) for each line; "" but for the last line of a record in parentheses."""
    first, begun, record, opened = 0, "", "", 0
    for number, raw in enumerate(lines, 1):
        line, depth = _bare(raw) if any(mark in raw for mark in '();"') else (raw.rstrip(), 0)
        if not opened:
            first, begun, record = number, raw, line
        else:
            record += f" {line}"
        opened = max(0, opened + depth)
        if opened and len(record) <= MAX_RECORD:
            yield number, raw, ""
            continue
        opened = 0
        yield first, begun, record
    if opened:
        yield first, begun, "(" * (MAX_RECORD + 1)


def _bare(line: str) -> tuple[str, int]:
    """Return a line without its comment and parentheses, and how many of those it leaves open; quotes hide all."""
    out, quoted, depth = [], False, 0
    for char in line:
        if char == '"':
            quoted = not quoted
        elif char == ";" and not quoted:
            break
        elif char in "()" and not quoted:
            depth += 1 if char == "(" else -1
            char = " "
        out.append(char)
    return "".join(out).rstrip(), depth


def client_rule(trigger: Trigger) -> Special:
    """Return the rule of a client's trigger: it holds for every name that this network asks for."""
    return Special(trigger.text, trigger.level, clients=(trigger.client or "",), reply=trigger.reply)
