"""The samples of one step as they come back."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Generic, TypeVar

from ets.errors import EngineError, EngineLostError
from ets.loop.call import cancel

T = TypeVar("T")


class Arrivals(Generic[T]):
    """Runs the samples of a step side by side, and decides when enough of them are back.

    A step costs time in proportion to its samples, whatever the order in which they come back.

    Parameters
    ----------
    samples
        What to call and await, in the order in which they count. Calls, not coroutines: one that is
        cancelled before it begins then leaves nothing that was never awaited.
    start_order
        Positions in `samples`, in the order in which they are to start.
    enough
        How many results close the step; the samples that are not back then are given up.
    spend
        Called with each result in the order of `samples`, as soon as all before it are known; True
        says that the step ends with it.
    silence
        Seconds in which not one result comes, and after which the engines count as lost; None: they
        are waited for.
    """

    def __init__(
        self,
        samples: Sequence[Callable[[], Awaitable[T]]],
        start_order: Iterable[int],
        *,
        enough: int,
        spend: Callable[[T], bool],
        silence: float | None = None,
    ) -> None:
        self.lost: EngineLostError | None = None
        """Why the step ended before its samples were back, if an engine was lost."""
        self._enough = enough
        self._spend = spend
        self._silence = silence
        self._results: dict[int, T] = {}
        self._counted = 0
        self._end = len(samples)
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._given_up = False
        self._tasks: list[asyncio.Task[None]] = []
        for position in start_order:
            self._tasks.append(asyncio.create_task(self._run(position, samples[position])))

    async def wait(self, seconds: float = math.inf) -> dict[int, T]:
        """The results by position, in order, once the step is over or the time is.

        The first failure of a sample is raised, but for a lost engine's: that is kept in `lost`,
        and what came before it counts. Whatever happens, no sample runs any more when this returns,
        but for those that do not end when they are cancelled.

        # Errors
        `EngineError` for such samples, where nothing else is raised.
        """
        try:
            await self._until_over(seconds)
        except EngineLostError as error:
            self.lost = error
        finally:
            self._given_up = True
            self._over.cancel()
            ended = await cancel(self._tasks)
        if not ended:
            raise EngineError(
                "a sample does not end when it is cancelled: its policy, PRM or embedder swallows "
                "asyncio.CancelledError; it is left running"
            )
        return {at: self._results[at] for at in sorted(self._results) if at < self._end}

    async def _until_over(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while True:
            before = len(self._results)
            left = max(0.0, end - time.monotonic())
            silence = math.inf if self._silence is None else self._silence
            timeout = min(left, silence)
            done, _ = await asyncio.wait(
                [self._over], timeout=None if timeout == math.inf else timeout
            )
            if done:
                self._over.result()
                return
            if left <= silence:
                return
            if len(self._results) == before:
                raise EngineLostError(
                    f"no sample came back in {silence:g} s (engine_timeout), "
                    f"{len(self._tasks) - before} are waited for"
                )

    async def _run(self, position: int, sample: Callable[[], Awaitable[T]]) -> None:
        try:
            result = await sample()
        except asyncio.CancelledError:
            if self._given_up:
                raise
            if not self._over.done():
                self._over.set_exception(
                    EngineError("a policy, PRM or embedder raised CancelledError by itself")
                )
        except Exception as error:  # noqa: BLE001 - whatever it is, `wait` raises it
            if not self._over.done():
                self._over.set_exception(error)
        else:
            if not self._over.done():
                self._arrived(position, result)

    def _arrived(self, position: int, result: T) -> None:
        self._results[position] = result
        spent = False
        while not spent and self._counted in self._results:
            spent = self._spend(self._results[self._counted])
            self._counted += 1
        if spent:
            self._end = self._counted
        if spent or len(self._results) >= self._enough:
            self._over.set_result(None)
