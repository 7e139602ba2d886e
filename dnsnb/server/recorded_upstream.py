"""An upstream that answers from a file: a query log in JSON lines, as exported, for work without a network."""

from __future__ import annotations

import asyncio
import ipaddress
import json
from pathlib import Path
from typing import Any

from dnsnb.dns import wire
from dnsnb.dns.local import Record, wire_rdata
from dnsnb.dns.message import make_answer, render
from dnsnb.dns.reserved import soa
from dnsnb.dns.upstream import Done
from dnsnb.dns.wire import Question, qtype_number, read_query, text_to_name
from dnsnb.errors import SettingError, WireError

MAX_ANSWERS = 1_000_000
MAX_FILE = 512 << 20
TTL = 300  # where the log has none
_RCODES = {text: number for number, text in wire.RCODES.items()}
_TOLD = frozenset({"forwarded", "cached", "stale"})

Known = tuple[int, int, tuple[str, ...]]


class RecordedUpstream:
    """Answers what the log has an upstream's answer to, the newest one; all else is refused with the reason."""

    def __init__(self, name: str, path: Path, setting: str = "upstreams") -> None:
        self.name = name
        self._loop = asyncio.get_running_loop()
        self._known: dict[tuple[bytes, int], Known] = {}
        try:
            if not path.is_file() or path.stat().st_size > MAX_FILE:
                why = f"is no file of at most {MAX_FILE >> 20} MB" if path.exists() else "can't be read: there is none"
                raise SettingError(setting, name, why)
            with path.open(encoding="utf-8") as lines:
                for number, line in enumerate(lines, 1):
                    self._take(line, number, setting)
        except SettingError:
            raise
        except (OSError, ValueError) as error:
            raise SettingError(setting, name, f"can't be read: {getattr(error, 'strerror', None) or error}") from None
        if not self._known:
            raise SettingError(
                setting, name, "has no answers; export a query log as jsonl (status forwarded or cached)"
            )

    def _take(self, line: str, number: int, setting: str) -> None:
        if not line.strip() or len(self._known) >= MAX_ANSWERS:
            return
        try:
            row = json.loads(line)
            if row.get("status", "forwarded") not in _TOLD:
                return
            key = text_to_name(row["qname"]), qtype_number(row["qtype"])
            rcode = _RCODES[row.get("rcode") or "NOERROR"]
            self._known[key] = rcode, int(row.get("ttl") or TTL), tuple(map(str, row.get("answers") or ()))
        except (ValueError, TypeError, KeyError, AttributeError, WireError) as error:
            why = f"line {number} is no row of a log with qname, qtype, rcode and answers ({error})"
            raise SettingError(setting, self.name, why) from None

    def send(self, query: bytes, done: Done, deadline: float) -> None:
        """Answer from what was read."""
        asked = read_query(query)
        question = asked.question
        known = self._known.get((question.qname, question.qtype))
        if known is None:
            self._loop.call_soon(done, None, f"{self.name}: not in the recording")
            return
        rcode, ttl, texts = known
        rrs = _records(question, ttl, texts)
        nothing = () if rrs else (soa(question.qname, ttl),)
        answer = make_answer(question, rcode, rrs, nothing)
        self._loop.call_soon(done, render(asked, answer, transport="tcp"), "")

    def close(self) -> None:
        """Nothing is open."""


def _records(question: Question, ttl: int, texts: tuple[str, ...]) -> list[tuple[bytes, int, int, int, bytes]]:
    """Return records for data in the order of an answer: what is no address, where one was asked for, is an alias."""
    owner, found = question.qname, []
    for text in texts:
        rtype = question.qtype
        if rtype in (wire.A, wire.AAAA) and not _is_address(text):
            rtype = wire.CNAME
        try:
            if rtype == wire.CNAME:
                rdata = text_to_name(text)
            else:
                rdata = wire_rdata(Record("recorded.invalid", wire.qtype_text(rtype), text))[1]
        except (SettingError, WireError):
            continue
        found.append((owner, rtype, wire.IN, ttl, rdata))
        if rtype == wire.CNAME:
            owner = rdata
    return found


def _is_address(text: Any) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
