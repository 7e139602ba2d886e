"""SVCB and HTTPS data (RFC 9460) as one line of text. No I/O; knows wire only."""

from __future__ import annotations

import ipaddress

from dnsnb.dns import wire
from dnsnb.errors import WireError

_KEYS = ("mandatory", "alpn", "no-default-alpn", "port", "ipv4hint", "ech", "ipv6hint", "dohpath", "ohttp")


def svcb_text(rdata: bytes) -> str:
    """Return SVCB data in presentation form: ``1 . alpn=h2,h3 ipv4hint=192.0.2.1``; raises WireError or IndexError."""
    message = bytes(12) + rdata
    target, at = wire.read_name(message, 14)
    parts = [str(int.from_bytes(rdata[:2])), wire.name_to_text(target)]
    while at < len(message):
        if at + 4 > len(message):
            raise WireError("a parameter is cut off")
        key, size = int.from_bytes(message[at : at + 2]), int.from_bytes(message[at + 2 : at + 4])
        value = message[at + 4 : at + 4 + size]
        if len(value) != size:
            raise WireError("a parameter is cut off")
        name = _KEYS[key] if key < len(_KEYS) else f"key{key}"
        shown = _value(key, value)
        parts.append(f"{name}={shown}" if shown else name)
        at += 4 + size
    return " ".join(parts)


def _value(key: int, value: bytes) -> str:
    if key == 0:
        numbers = [int.from_bytes(value[n : n + 2]) for n in range(0, len(value), 2)]
        return ",".join(_KEYS[n] if n < len(_KEYS) else f"key{n}" for n in numbers)
    if key == 1:
        names, at = [], 0
        while at < len(value):
            names.append(_plain(value[at + 1 : at + 1 + value[at]]))
            at += 1 + value[at]
        return ",".join(names)
    if key == 3:
        return str(int.from_bytes(value))
    if key in (4, 6):
        step = 4 if key == 4 else 16
        return ",".join(str(ipaddress.ip_address(value[n : n + step])) for n in range(0, len(value), step))
    if key == 5:
        import base64

        return base64.b64encode(value).decode()
    return _plain(value)


def _plain(value: bytes) -> str:
    return "".join(chr(c) if 33 <= c <= 126 and c not in (34, 92, 44) else f"\\{c:03d}" for c in value)
