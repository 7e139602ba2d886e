"""Send this very process's look-ups through a server: a notebook sees what its own cells ask for.

Replaces `socket.getaddrinfo` and its kin while it is open; knows the look-up alone.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Callable, Iterable
from typing import Any, Self

from dnsnb.errors import DnsnbError, SettingError
from dnsnb.notebook.lookup import look_up

_LOCK = threading.Lock()
_ORIGINAL: dict[str, Any] = {}
_OPEN: list[Capture] = []
_NAMES = ("getaddrinfo", "gethostbyname", "gethostbyname_ex")


class Capture:
    """While open, names that Python resolves in this process (requests, urllib, pandas …) are asked of `address`.

    The innermost open capture answers. Numeric addresses, `localhost`, this machine's own name, reverse look-ups and
    the names in `never` (where the server itself is reached) stay with the system.
    """

    def __init__(self, address: Callable[[], str], never: Iterable[str] = ()) -> None:
        self._address = address
        self._never = {name.rstrip(".").lower() for name in (*never, socket.gethostname(), "localhost")}

    def open(self) -> Self:
        """Begin."""
        with _LOCK:
            if not _OPEN:
                for name in _NAMES:
                    _ORIGINAL[name] = getattr(socket, name)
                socket.getaddrinfo = _getaddrinfo
                socket.gethostbyname = _gethostbyname
                socket.gethostbyname_ex = _gethostbyname_ex
            _OPEN.append(self)
        return self

    def close(self) -> None:
        """End; the last one gives the system's functions back."""
        with _LOCK:
            if self not in _OPEN:
                return
            _OPEN.remove(self)
            if not _OPEN:
                for name in _NAMES:
                    setattr(socket, name, _ORIGINAL[name])

    def addresses(self, host: str, family: int) -> list[str]:
        """Return the server's addresses for a name; raises socket.gaierror as the system would."""
        wanted = [q for q, f in (("AAAA", socket.AF_INET6), ("A", socket.AF_INET)) if family in (0, f)]
        found: list[str] = []
        failure: str | None = None
        for qtype in wanted:
            try:
                answer = look_up(self._address(), host, qtype)
            except SettingError:
                break  # no name that could be asked for
            except DnsnbError as error:
                failure = str(error)
                continue
            if answer.rcode not in ("NOERROR", "NXDOMAIN"):
                failure = answer.rcode
            found += answer.addresses
        if not found and failure:
            raise socket.gaierror(socket.EAI_AGAIN, f"{host}: {failure}")
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return found

    def leaves(self, name: str) -> bool:
        """Whether a name stays with the system."""
        plain = name.rstrip(".").lower()
        return plain in self._never or plain.endswith(".localhost")

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, *_: object) -> None:
        self.close()


def _ours(host: Any) -> tuple[Capture, str] | None:
    """The capture that answers for a host and the host as text; None when the system should."""
    if not host:
        return None
    try:
        text = host.decode("ascii") if isinstance(host, bytes | bytearray) else str(host)
    except UnicodeDecodeError:
        return None
    try:
        ipaddress.ip_address(text.partition("%")[0])
        return None
    except ValueError:
        pass
    if text.replace(".", "").isdigit():
        return None
    with _LOCK:
        return (_OPEN[-1], text) if _OPEN and not any(capture.leaves(text) for capture in _OPEN) else None


def _getaddrinfo(host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0) -> Any:  # noqa: A002
    ours = _ours(host)
    real = _ORIGINAL["getaddrinfo"]
    if ours is None or flags & socket.AI_NUMERICHOST or family not in (0, socket.AF_INET, socket.AF_INET6):
        return real(host, port, family, type, proto, flags)
    capture, name = ours
    kept = flags & ~(socket.AI_ADDRCONFIG | socket.AI_CANONNAME)
    infos = []
    if flags & socket.AI_ADDRCONFIG:
        family = _configured(family)
    for address in capture.addresses(name, family):
        infos += real(address, port, family, type, proto, kept | socket.AI_NUMERICHOST)
    if flags & socket.AI_CANONNAME and infos:
        first = infos[0]
        infos[0] = (*first[:3], name, first[4])
    return infos


def _configured(family: int) -> int:
    """Return the family that AI_ADDRCONFIG leaves of a wish: one that the machine has no way out by is left out."""
    if family != 0:
        return family
    ways = [
        one for one, there in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")) if _leads(one, there)
    ]
    return ways[0] if len(ways) == 1 else 0


def _leads(family: int, address: str) -> bool:
    """Whether there is a route (nothing is sent)."""
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((address, 53))
    except OSError:
        return False
    return True


def _gethostbyname(hostname: str) -> str:
    ours = _ours(hostname)
    if ours is None:
        return str(_ORIGINAL["gethostbyname"](hostname))
    return ours[0].addresses(ours[1], socket.AF_INET)[0]


def _gethostbyname_ex(hostname: str) -> Any:
    ours = _ours(hostname)
    if ours is None:
        return _ORIGINAL["gethostbyname_ex"](hostname)
    return hostname, [], ours[0].addresses(ours[1], socket.AF_INET)
