"""Who may run beside what is kept."""

from __future__ import annotations

import asyncio
import random

from ets.rollout.kv_admission import KVAdmission


def test_one_may_always_run() -> None:
    room = KVAdmission(10)
    room.keep(100)

    async def run() -> None:
        async with room.take(50):
            pass

    asyncio.run(asyncio.wait_for(run(), 5))


def test_first_come_first_served() -> None:
    """A small sample does not slip past a large one that waits."""
    order: list[str] = []

    async def main() -> None:
        room = KVAdmission(10)

        async def sample(name: str, tokens: int) -> None:
            async with room.take(tokens):
                order.append(name)
                await asyncio.sleep(0.02)

        await asyncio.gather(sample("a", 6), sample("large", 8), sample("small", 2))

    asyncio.run(main())
    assert order == ["a", "large", "small"]


def test_what_is_kept_no_longer_lets_the_next_in() -> None:
    async def main() -> None:
        room = KVAdmission(10)
        room.keep(6)
        async with room.take(4):
            entered = asyncio.Event()

            async def next_one() -> None:
                async with room.take(4):
                    entered.set()

            task = asyncio.create_task(next_one())
            await asyncio.sleep(0.02)
            assert not entered.is_set()
            room.keep(-5)
            await asyncio.wait_for(task, 5)

    asyncio.run(main())


def test_never_more_than_fits_whatever_is_cancelled() -> None:
    draw = random.Random(3)
    room, running, most = KVAdmission(30), 0, 0

    async def sample(tokens: int) -> None:
        nonlocal running, most
        async with room.take(tokens):
            running += tokens
            most = max(most, running)
            try:
                await asyncio.sleep(draw.random() / 100)
            finally:
                running -= tokens

    async def main() -> None:
        tasks = [asyncio.create_task(sample(draw.randint(1, 12))) for _ in range(300)]
        while not all(task.done() for task in tasks):
            draw.choice(tasks).cancel()
            await asyncio.sleep(draw.random() / 500)
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert any(result is None for result in done)
        assert any(isinstance(result, asyncio.CancelledError) for result in done)

    asyncio.run(asyncio.wait_for(main(), 30))
    assert running == 0
    assert 20 < most <= 30
    asyncio.run(asyncio.wait_for(sample(30), 5))
