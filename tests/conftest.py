"""What every test shares: the asyncio backend and the place of the sample logs."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest

# how long an example may take says nothing on a machine that others use too; EXAMPLES=1000 looks harder
hypothesis.settings.register_profile("dnsnb", deadline=None, max_examples=int(os.environ.get("EXAMPLES", "25")))
hypothesis.settings.load_profile("dnsnb")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Browser tests come last: Playwright's open browser keeps a loop in the main thread, where others want theirs."""
    items.sort(key=lambda item: item.get_closest_marker("browser") is not None)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """We run on asyncio alone: aiohttp knows no other loop."""
    return "asyncio"


SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real sample logs; tests that want it are skipped where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the shared sample logs are not here")
    return SHARED_DATA
