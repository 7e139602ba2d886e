"""CoreDNS `log` plugin: common and combined formats, and any template of its placeholders (`template=`).

The plugin writes no time of its own: it comes from the daemon's stamp, from a wrapper, or not at all.
"""

from __future__ import annotations

import re
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from dnsnb.errors import SettingError
from dnsnb.formats import columns
from dnsnb.formats.feeding import Context
from dnsnb.formats.patterns import Line, PatternReader
from dnsnb.formats.sniff import Head

_STAMP = r"(?:(?P<time_iso>\d{4}[-/]\d\d[-/]\d\d[T ]\S+) )?"
COMMON = (
    '{remote}:{port} - {>id} "{type} {class} {name} {proto} {size} {>do} {>bufsize}" {rcode} {>rflags} {rsize} '
    "{duration}"
)

_PLACES = {
    "remote": r"(?P<client>\[[^\]]*\]|[^\s:\[\]]+|[0-9a-fA-F:]+)",
    "port": r"(?P<client_port>\d+)",
    ">id": r"(?P<dns_id>\d+|-)",
    "type": r"(?P<qtype>\S+)",
    "class": r"(?P<qclass>\S+)",
    "name": r"(?P<qname>(?:[^\s\\]|\\.)+)",
    "proto": r"(?P<transport>\S+)",
    "size": r"(?P<query_bytes>\d+|-)",
    ">do": r"(?P<dnssec>true|false|-)",
    ">bufsize": r"(?P<bufsize>\d+|-)",
    "rcode": r"(?P<rcode>\S+)",
    ">rflags": r"(?P<rflags>\S+)",
    "rsize": r"(?P<response_bytes>\d+|-)",
    "duration": r"(?P<latency_go>\S+)",
    ">opcode": r"\d+|-",
    "local": r"(?P<server>\S+?)",
    "when": r"(?P<time_iso>\S+)",
    "/forward/upstream": r"(?P<upstream>\S*)",
}
_ANY = r"^" + _STAMP + r'\[INFO\] \S+:\d+ - \d+ "\S+ \S+ (?:[^\s\\]|\\.)+ \w+ \d+ (?:true|false|-) '


def score(head: Head) -> int:
    """The quoted question after an address and an ID."""
    return int(96 * min(1.0, head.share(_ANY) * 1.6))


class Reader(PatternReader):
    """Parses blocks of one log."""

    otherwise = "is no query log line"

    def __init__(self, context: Context) -> None:
        template = context.template
        patterns = [pattern_of(template)] if template else [pattern_of(COMMON)]
        super().__init__(context, tuple(Line(p) for p in patterns))

    def meaning(self, raw: dict[str, Any], line: Line) -> dict[str, Any]:
        """Turn CoreDNS's flags into dig's; a response code of "-" means that nobody answered."""
        flags = raw.pop("rflags", None)
        dnssec = raw.pop("dnssec", None)
        raw.pop("bufsize", None)
        if flags is not None:
            raw["flags"] = columns.mapped(flags, lambda f: f.replace(",", " ") or None)
        if dnssec is not None:
            raw["query_flags"] = columns.mapped(dnssec, lambda d: "do" if d == "true" else None)
        if "rcode" in raw:
            raw["status"] = columns.mapped(
                raw["rcode"].fill_null("-"),
                lambda r: {"-": "failed", "SERVFAIL": "failed", "REFUSED": "refused"}.get(r, "unknown"),
            )
            if "latency_ms" in raw:
                raw["latency_ms"] = pc.if_else(
                    raw["rcode"].is_valid(), raw["latency_ms"], pa.scalar(None, pa.float32())
                )
        return raw


def pattern_of(template: str) -> str:
    """Return a CoreDNS log format as a regular expression; raises SettingError for a placeholder that we don't know."""
    template = template.replace("{common}", COMMON).replace("{combined}", COMMON + ' "{>opcode}"')
    out, at = [], 0
    seen: set[str] = set()
    for match in re.finditer(r"\{([>/]?[A-Za-z][\w/.-]*)\}", template):
        out.append(re.escape(template[at : match.start()]))
        name = match[1]
        if name not in _PLACES and not name.startswith("/"):
            raise SettingError(
                "template",
                "{" + name + "}",
                f"no placeholder of CoreDNS's log plugin that we know; known: {', '.join(_PLACES)}",
            )
        place = _PLACES.get(name, r"\S*")
        out.append(re.sub(r"\(\?P<\w+>", "(?:", place) if name in seen else place)
        seen.add(name)
        at = match.end()
    out.append(re.escape(template[at:]))
    body = "".join(out).replace(r"\ ", " ").replace(r"\"", '"')
    return "^" + (_STAMP if "{when}" not in template else "") + r"(?:\[INFO\] )?" + body + r'(?: "\d+")?\s*$'
