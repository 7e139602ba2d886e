"""One line of an adblock list as a rule on names: AdGuard's DNS filtering syntax, and Pi-hole's options of expressions.

No I/O. A line that is for browsers raises ValueError with the reason. Knows names, special, local, rules.
"""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple

from dnsnb.dns.local import Record, wire_rdata
from dnsnb.dns.names import BOTH, EXACT, name_tail
from dnsnb.dns.rules import ALLOW, ALLOW_IMPORTANT, BLOCK, BLOCK_IMPORTANT
from dnsnb.dns.special import Reply, Special, canonical, split_modifiers
from dnsnb.dns.wire import name_to_text, qtype_number
from dnsnb.errors import SettingError

_HOST = re.compile(r"[\w.-]+", re.ASCII)
_GLOB = re.compile(r"\|{0,2}[\w.*:-]+[\^|]?", re.ASCII)
_BROWSER = frozenset(
    {
        "third-party", "3p", "first-party", "1p", "script", "image", "stylesheet", "css", "object", "xmlhttprequest",
        "xhr", "subdocument", "frame", "font", "media", "websocket", "ping", "popup", "popunder", "other", "document",
        "doc", "domain", "from", "to", "generichide", "elemhide", "ehide", "ghide", "specifichide", "shide", "csp",
        "redirect", "redirect-rule", "removeparam", "replace", "removeheader", "header", "cookie", "jsinject",
        "urlblock", "content", "extension", "stealth", "match-case", "method", "permissions", "urltransform", "app",
        "network", "inline-script", "inline-font", "strict1p", "strict3p", "empty", "mp4", "genericblock",
        "jsonprune", "hls", "referrerpolicy", "uritransform", "cname", "badresource", "webrtc", "object-subrequest",
        "all",
    }
)  # fmt: skip
_RCODES = {"NXDOMAIN": "nxdomain", "REFUSED": "refused", "SERVFAIL": "refused", "NOERROR": "nodata"}


class PlainName(NamedTuple):
    """A rule that is nothing but a name."""

    tail: bytes
    level: int
    scope: int


class Network(NamedTuple):
    """A rule on the addresses in an answer: `network` as ``192.0.2.0/24``."""

    network: str
    rule: Special


def parse(text: str, level: int = BLOCK) -> PlainName | Network | Special:
    """Return what a line means in a list of `level` (`BLOCK`, or `ALLOW` for an allow list)."""
    if re.search(r"#[@?$%]*#|\$\$|\$@\$", text):
        raise ValueError("hides elements of pages: a rule for browsers")
    allow = text.startswith("@@")
    pattern, modifiers = split_modifiers(text.removeprefix("@@"))
    level = ALLOW if allow else level
    if not modifiers:
        host = pattern[2:-1] if pattern.startswith("||") and pattern.endswith("^") else ""
        if host and _HOST.fullmatch(host) and not _is_network(host):
            return PlainName(name_tail(host), level, BOTH)
    fields = _modifiers(modifiers, text)
    if fields.pop("important", False):
        level = ALLOW_IMPORTANT if level == ALLOW else BLOCK_IMPORTANT
    bad = bool(fields.pop("badfilter", False))
    rewrite = fields.pop("dnsrewrite", None)
    reply, against = None, False
    if rewrite is not None:
        reply = _rewrite(str(rewrite)) if rewrite else None
        against = allow
        if reply is None and not allow:
            raise ValueError("$dnsrewrite without an answer is for exceptions (@@) only")
    rule = Special(text, level, reply=reply, against_rewrite=against, **fields)  # type: ignore[arg-type]
    if bad:
        rule = _replace(rule, disables=(level, canonical(text)))
    return _anchored(rule, pattern, plain=not modifiers or [m.lower() for m in modifiers] == ["important"])


def _anchored(rule: Special, pattern: str, plain: bool) -> PlainName | Network | Special:
    if pattern.startswith("/") and pattern.endswith("/") and len(pattern) > 2:
        return _replace(rule, regex=pattern[1:-1])
    body = re.sub(r"^(\|\|)?(?:https?|wss?)?:?//", r"\1", pattern) if "//" in pattern else pattern
    body = body.removesuffix("*") if body.endswith("^*") else body
    body = body[:-2] + "^" if body.endswith(".^") else body
    host = body.lstrip("|").rstrip("^|")
    if _is_network(host):
        return Network(str(ipaddress.ip_network(host, strict=False)), rule)
    if not host or host == "*":
        if rule.types or rule.clients or rule.not_types or rule.not_clients or rule.except_below:
            return rule
        raise ValueError("matches every name; to let nothing but the whitelist resolve, set allow_only")
    if "/" in host or "?" in host or "=" in host or "&" in host:
        raise ValueError("has a path: DNS sees names only")
    if not host.isascii():
        host = _ascii(host)
        body = body[: len(body) - len(body.lstrip("|"))] + host + ("^" if body.endswith("^") else "")
    if not _GLOB.fullmatch(body):
        bad = next((c for c in host if not re.fullmatch(r"[\w.*-]", c, re.ASCII)), host)
        raise ValueError(f"{bad!r} can't stand in a name")
    if "*" not in host and (body.endswith("^") or not body.startswith("|")) and not host.startswith((".", "-")):
        # ||name^ is the name and all below; |name^ the name alone; a bare name the same as in a list of names.
        exact = body.startswith("|") and not body.startswith("||")
        if (body.startswith("|") or "." in host) and not host.endswith((".", "-")):
            tail = name_tail(host)
            scope = EXACT if exact else BOTH
            return PlainName(tail, rule.level, scope) if plain else _replace(rule, tail=tail, scope=scope)
    if body.startswith("||*.") and body.endswith("^") and "*" not in host[2:]:
        tail = name_tail(host[2:])
        return PlainName(tail, rule.level, 2) if plain else _replace(rule, tail=tail, scope=2)
    if len(host.strip("*.")) < 2:
        raise ValueError("matches nearly every name")
    return _replace(rule, glob=body.lower())


def glob_rule(name: str, level: int) -> Special:
    """Return the rule of a name with ``*`` inside, such as ``ads*.example.com``: the whole name must match."""
    if not _GLOB.fullmatch(name):
        raise ValueError("not a name or a pattern of one")
    if len(name.strip("*.")) < 2:
        raise ValueError("matches nearly every name")
    return Special(name, level, glob=f"|{name.rstrip('.').lower()}|")


def regex_rule(text: str, level: int) -> Special:
    """Return the rule of a bare expression, ``/…/`` or Pi-hole's ``…;querytype=A;invert;reply=nxdomain``."""
    if text.startswith("/") and text.endswith("/") and len(text) > 2:
        return Special(text, level, regex=text[1:-1])
    pattern, *options = text.split(";")
    rule = Special(text, level, regex=pattern)
    for option in options:
        key, _, value = option.strip().partition("=")
        key = key.lower()
        if key == "invert" and not value:
            rule = _replace(rule, invert=True)
        elif key == "querytype":
            negated = value.startswith("!")
            types = frozenset(_type(part) for part in value.removeprefix("!").split(","))
            rule = _replace(rule, not_types=types) if negated else _replace(rule, types=types)
        elif key == "reply" and level == BLOCK:
            word = value.upper()
            if word in ("NXDOMAIN", "NODATA", "REFUSED"):
                rule = _replace(rule, reply=Reply(word.lower()))
            elif word in ("IP", "NULL"):
                continue
            else:
                rule = _replace(rule, reply=_rewrite(value))
        else:
            raise ValueError(f"the option {option.strip()!r} is not one of querytype, invert, reply")
    return rule


def _modifiers(modifiers: list[str], text: str) -> dict[str, object]:
    fields: dict[str, object] = {}
    for modifier in modifiers:
        key, _, value = modifier.partition("=")
        key = key.strip().lower()
        if key in ("important", "badfilter"):
            fields[key] = True
        elif key == "dnsrewrite":
            fields[key] = value
        elif key == "dnstype":
            with_, without = _either(value, key)
            fields["types"] = frozenset(map(_type, with_))
            fields["not_types"] = frozenset(map(_type, without))
        elif key in ("client", "ctag"):
            with_, without = _either(value, key)
            fields["clients"], fields["not_clients"] = tuple(with_), tuple(without)
        elif key == "denyallow":
            fields["except_below"] = tuple(name_tail(name) for name in value.split("|") if name)
            if not fields["except_below"] or "~" in value or "*" in value:
                raise ValueError("$denyallow wants names parted by '|'")
        elif key.lstrip("~") in _BROWSER:
            raise ValueError(f"the modifier ${key} is for browsers: DNS doesn't see what it asks for")
        else:
            raise ValueError(f"the modifier ${key[:40]} is not known")
    return fields


def _either(value: str, key: str) -> tuple[list[str], list[str]]:
    """Part ``a|b`` and ``~c`` (quotes and backslashes taken off): (those with, those without)."""
    parts = [part.strip() for part in re.split(r"(?<!\\)\|", value) if part.strip()]
    if not parts:
        raise ValueError(f"${key} wants a value")
    plain = [part for part in parts if not part.startswith("~")]
    negated = [part[1:] for part in parts if part.startswith("~")]
    return [_unquoted(part) for part in plain], [_unquoted(part) for part in negated]


def _unquoted(text: str) -> str:
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        text = text[1:-1]
    return re.sub(r"\\(.)", r"\1", text)


def _type(word: str) -> int:
    return qtype_number(word)


def _rewrite(value: str) -> Reply:
    """Return the answer that ``$dnsrewrite=…`` gives."""
    parts = [part.strip() for part in value.split(";", 2)]
    if len(parts) == 1:
        word = parts[0]
        if word.upper() in _RCODES:
            return Reply(_RCODES[word.upper()])
        try:
            address = ipaddress.ip_address(word)
        except ValueError:
            return Reply("records", ((5, None, name_tail(word) + b"\0"),))
        return Reply("records", ((1 if address.version == 4 else 28, None, address.packed),))
    rcode = parts[0].upper() or "NOERROR"
    if rcode not in _RCODES:
        raise ValueError(f"{parts[0]!r} is not a response code that can be given")
    if rcode != "NOERROR" or len(parts) < 3 or not parts[1]:
        return Reply(_RCODES[rcode])
    try:
        number, rdata = wire_rdata(Record("x", parts[1].upper(), parts[2]))
    except SettingError as error:
        raise ValueError(f"{error.value!r} in $dnsrewrite: {error.why}") from None
    return Reply("records", ((number, None, rdata),))


def _ascii(host: str) -> str:
    """Return a host with its international labels as A-labels; stars stay."""
    return ".".join(part if part.isascii() else name_to_text(name_tail(part)) for part in host.split("."))


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def _replace(rule: Special, **changes: object) -> Special:
    from dataclasses import replace

    return replace(rule, **changes)  # type: ignore[arg-type]
