"""The cycle collector of a process that is a server's own."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator

import pytest

from dnsnb.server import own_process


class Knot:
    """Something that only the collector can free."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()
    gc.enable()


async def test_cycles_end_young(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_process, "YOUNG", 50)
    gc.disable()  # as the process does while it imports
    own_process.calm_collector()
    ended = weakref.ref(Knot())
    kept: list[list[int]] = [[] for _ in range(200)]
    assert kept
    assert ended() is None


async def test_cycles_that_grew_old_end_with_a_look_at_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_process, "MANY", 0)
    monkeypatch.setattr(own_process, "LOOK_SECONDS", 0.001)
    own_process.calm_collector()
    knot = Knot()
    gc.collect(0)  # it grows old
    ended = asyncio.Event()
    weakref.finalize(knot, ended.set)
    del knot
    gc.collect(0)
    async with asyncio.timeout(10):
        await ended.wait()


async def test_everything_is_left_alone_while_little_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_process, "LOOK_SECONDS", 0.001)
    own_process.calm_collector()
    looks: list[int] = []
    enough = asyncio.Event()

    def count() -> tuple[int, int, int]:
        looks.append(1)
        if len(looks) == 3:
            enough.set()
        return (0, own_process.MANY // own_process.YOUNG - 1, 0)

    monkeypatch.setattr(gc, "get_count", count)
    monkeypatch.setattr(gc, "collect", lambda: pytest.fail("it looked at everything"))
    async with asyncio.timeout(10):
        await enough.wait()
