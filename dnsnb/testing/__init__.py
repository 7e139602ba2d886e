"""A DNS server for somebody else's tests: it answers what a test says, and knows what was asked.

`LocalDNS` is the server; `pytest_plugin` makes it the fixture `dns_server` wherever dnsnb is installed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dnsnb.testing.local_dns import LocalDNS as LocalDNS

__all__ = ["LocalDNS"]


def __getattr__(name: str) -> Any:
    if name == "LocalDNS":  # loaded when a test asks for it: pytest imports the plug-in in every run
        from dnsnb.testing.local_dns import LocalDNS

        return LocalDNS
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
