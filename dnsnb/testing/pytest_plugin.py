"""The pytest plug-in: the fixture `dns_server` and the marker with its settings. Loads nothing until a test asks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from dnsnb.testing.local_dns import LocalDNS


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known, also under --strict-markers."""
    config.addinivalue_line(
        "markers", "dns_server(**settings): settings of dnsnb for the fixture dns_server, such as block_mode='nxdomain'"
    )


@pytest.fixture
def dns_server(request: pytest.FixtureRequest) -> Iterator[LocalDNS]:
    """A DNS server of the test's own on loopback: unknown names are NXDOMAIN, and nothing leaves the machine."""
    from dnsnb.testing.local_dns import LocalDNS

    settings: dict[str, object] = {}
    for marker in reversed(list(request.node.iter_markers("dns_server"))):
        if marker.args:
            raise pytest.UsageError("dns_server: settings go by name, such as @pytest.mark.dns_server(cache_entries=1)")
        settings |= marker.kwargs
    with LocalDNS(**settings) as server:
        yield server
