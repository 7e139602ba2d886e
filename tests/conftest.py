"""What every test shares: the asyncio backend and the place of the sample logs."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest

# how long an example may take says nothing on a machine that others use too; EXAMPLES=1000 looks harder
hypothesis.settings.register_profile("dnsnb", deadline=None, max_examples=int(os.environ.get("EXAMPLES", "25")))
hypothesis.settings.load_profile("dnsnb")


#: Rooms whose tests drive a browser or a kernel and watch the time: they have the machine to themselves, at the end.
ALONE = ("browser", "notebook", "test_notebooks.py", "test_readme.py")


_LATE = pytest.StashKey[int]()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Say which tests share a process (`make test` has two), and leave to the end what wants the machine.

    Browser tests come last of all: Playwright's open browser keeps a loop in the main thread, where others want theirs.
    """
    here = Path(__file__).parent
    for item in items:
        place = item.path.relative_to(here) if item.path.is_relative_to(here) else item.path
        browser = item.get_closest_marker("browser") is not None
        alone = browser or place.parts[0] in ALONE
        item.add_marker(pytest.mark.xdist_group("alone" if alone else str(place)))
        item.stash[_LATE] = browser + alone
    items.sort(key=lambda item: item.stash[_LATE])


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
