"""A cached answer as one line of text and back, on the wall clock, so that it can outlive the process. No I/O.

What comes back is checked: a damaged entry is None, never a wrong answer by accident or an error later.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from typing import Any

from dnsnb.dns.cache import Entry
from dnsnb.dns.message import Answer
from dnsnb.dns.wire import Question

VERSION = 1
MAX_BODY = 65_535
TTL_LIMIT = 0x7FFFFFFF  # RFC 2181 8


def dump_entry(question: Question, entry: Entry, now: float, wall: float) -> bytes:
    """Return an entry as JSON; `now` and `wall` (s) are the same moment on the cache's clock and on the wall clock."""
    answer = entry.answer
    kept = [
        VERSION,
        round(wall + entry.stored - now, 3),
        round(wall + entry.expires - now, 3),
        [_text(question.qname), question.qtype, question.qclass, question.do, question.cd],
        answer.rcode,
        _text(answer.body),
        [answer.ancount, answer.nscount, answer.arcount],
        answer.ttls,
        answer.ttl,
        answer.keep,
        answer.ad,
        [_text(name) for name in answer.names],
        [_text(address) for address in answer.addresses],
        answer.ede,
        answer.ede_text,
        answer.upstream,
        _text(answer.qname),
        answer.qtype,
    ]
    return json.dumps(kept, separators=(",", ":")).encode()


def load_entry(data: bytes, now: float, wall: float) -> tuple[Question, Entry] | None:
    """Return a kept question and entry on the cache's clock, or None when it can't be read."""
    try:
        return _load(json.loads(data), now, wall)
    except (ValueError, TypeError, KeyError, IndexError, RecursionError):
        return None


def _load(kept: list[Any], now: float, wall: float) -> tuple[Question, Entry]:
    (version, stored, expires, asked, rcode, body, counts, ttls, ttl, keep, ad, names, addresses, ede, ede_text,
     upstream, qname, qtype) = kept  # fmt: skip
    if version != VERSION:
        raise ValueError("another version")
    raw = b64decode(body, validate=True)
    pairs = tuple((_number(offset, len(raw) - 4), _number(seconds, TTL_LIMIT)) for offset, seconds in ttls)
    if len(raw) > MAX_BODY or len(counts) != 3:
        raise ValueError("not an answer's body")
    question = Question(
        _name(asked[0]), _number(asked[1], 65535), _number(asked[2], 65535), bool(asked[3]), bool(asked[4])
    )
    answer = Answer(
        _number(rcode, 4095),
        raw,
        qname=_name(qname),
        qtype=_number(qtype, 65535),
        counts=tuple(_number(n, 65535) for n in counts),  # type: ignore[arg-type]
        ttls=pairs,
        ttl=None if ttl is None else _number(ttl, TTL_LIMIT),
        keep=_number(keep, TTL_LIMIT),
        ad=bool(ad),
        names=tuple(map(_name, names)),
        addresses=tuple(b64decode(a, validate=True) for a in addresses),
        ede=None if ede is None else _number(ede, 65535),
        ede_text=str(ede_text)[:500],
        upstream=None if upstream is None else str(upstream),
    )
    # the wall clock may have been set back: an answer is never kept for longer than it was to be
    end = min(float(expires) - wall, answer.keep)
    begin = end - (float(expires) - float(stored))
    return question, Entry(answer, now + begin, now + end)


def _text(data: bytes) -> str:
    return b64encode(data).decode()


def _name(text: str) -> bytes:
    """Return a wire name: labels that end exactly at the root."""
    name = b64decode(text, validate=True)
    at = 0
    while at < len(name) and name[at]:
        if name[at] > 63:
            raise ValueError("not a name")
        at += name[at] + 1
    if at != len(name) - 1 or len(name) > 255:
        raise ValueError("not a name")
    return name


def _number(value: Any, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise ValueError("not a number in bounds")
    return value
