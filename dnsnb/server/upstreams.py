"""Opens upstreams by their settings; the sockets are in the modules beside. Knows the system's own resolvers."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from dnsnb.dns.upstream import UpstreamSpec, parse_upstream
from dnsnb.errors import SettingError
from dnsnb.server.https_upstream import HttpsUpstream
from dnsnb.server.recorded_upstream import RecordedUpstream
from dnsnb.server.stream_upstream import StreamUpstream, client_context
from dnsnb.server.udp_upstream import UdpUpstream


def system_resolvers(path: Path = Path("/etc/resolv.conf")) -> list[str]:
    """Return the system's resolvers; raises SettingError where there are none to be found."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        why = f"the system's resolvers are not known ({error.strerror}); name upstreams, such as 1.1.1.1"
        raise SettingError("upstreams", "system", why) from None
    found = [parts[1] for line in lines if len(parts := line.split()) >= 2 and parts[0] == "nameserver"]
    if not found:
        raise SettingError("upstreams", "system", "the system names no resolvers; name upstreams, such as 1.1.1.1")
    return found


def open_upstreams(
    texts: Iterable[str], *, tls: Callable[[], ssl.SSLContext] = client_context, setting: str = "upstreams"
) -> list[Any]:
    """Return opened upstreams for settings; in the loop's thread. All are checked before the first is opened."""
    specs = [parse_upstream(text, f"{setting}[{n}]") for n, text in enumerate(texts)] or [
        UpstreamSpec("system", "system")
    ]
    found: list[Any] = []
    for spec in specs:
        if spec.scheme == "system":
            found += [open_upstream(parse_upstream(a), tls) for a in system_resolvers()]
        else:
            found.append(open_upstream(spec, tls))
    return found


def open_upstream(spec: UpstreamSpec, tls: Callable[[], ssl.SSLContext] = client_context) -> Any:
    """Return one opened upstream."""
    addresses = spec.addresses or (spec.host,)
    if spec.scheme == "recorded":
        return RecordedUpstream(spec.text, Path(spec.path))
    if spec.scheme == "https":
        return HttpsUpstream(spec.text, spec, tls(), tls())
    if spec.scheme == "tls":
        return StreamUpstream(spec.text, addresses, spec.port, tls=tls(), server_name=spec.server_name)
    if spec.scheme == "tcp":
        return StreamUpstream(spec.text, addresses, spec.port)
    return UdpUpstream(spec.text, spec.host, spec.port)
