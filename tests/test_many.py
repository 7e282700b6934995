"""Many problems side by side: none is lost, whichever is slow."""

from __future__ import annotations

import asyncio

import pytest

from ets.search.many import in_flight


async def results(problems: int, limit: int, slow: int) -> list[int]:
    """What comes of the problems, of which one ends after all others that can begin beside it."""
    ended: set[int] = set()
    changed = asyncio.Condition()
    ahead = min(problems, slow + 4 * limit) if limit > 1 else slow + 1

    async def solve(index: int, problem: str) -> int:
        async with changed:
            if index == slow:
                await changed.wait_for(lambda: len(ended) >= ahead - 1)
            ended.add(index)
            changed.notify_all()
        return index

    texts = (f"problem {i}" for i in range(problems))
    return [one async for one in in_flight(iter(texts), solve, lambda: limit, ordered=True)]


@pytest.mark.parametrize("limit", [1, 2, 3, 8])
@pytest.mark.parametrize("slow", [0, 1, 5])
def test_a_slow_problem_keeps_none_behind_it_from_being_solved(limit: int, slow: int) -> None:
    """All that may run ahead of it has ended when it does; then there is room for the others."""
    found = asyncio.run(asyncio.wait_for(results(40, limit, slow), 60))
    assert found == list(range(40))
