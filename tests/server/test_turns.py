"""Only so many a turn of the loop, in order; what waits is let through, what was cancelled costs nobody a place."""

from __future__ import annotations

import asyncio

from dnsnb.server.turns import Turns


async def turns_of(turns: Turns, callers: int, cancelled: tuple[int, ...] = ()) -> list[int]:
    """Return the turn of the loop in which each caller was let through (-1: never), counted from the first."""
    turn = [0]
    passed = [-1] * callers

    async def call(number: int) -> None:
        await turns.mine()
        passed[number] = turn[0]

    tasks = [asyncio.ensure_future(call(number)) for number in range(callers)]
    while not all(task.done() for task in tasks):
        await asyncio.sleep(0)
        turn[0] += 1
        for number in cancelled:
            tasks[number].cancel()
    return passed


async def test_at_most_so_many_a_turn_and_in_order() -> None:
    passed = await turns_of(Turns(3), 10)
    assert passed == sorted(passed)
    assert max(passed.count(turn) for turn in passed) == 3
    assert passed[:3] == [0, 0, 0]
    assert passed[-1] >= 3


async def test_places_come_back() -> None:
    turns = Turns(2)
    for _ in range(3):
        assert sorted(await turns_of(turns, 4))[:2] == [0, 0]
        await asyncio.sleep(0)
        await asyncio.sleep(0)


async def test_who_is_cancelled_takes_no_place() -> None:
    passed = await turns_of(Turns(1), 5, cancelled=(2, 3))
    assert passed[2:4] == [-1, -1]
    assert passed[4] == passed[1] + 1
