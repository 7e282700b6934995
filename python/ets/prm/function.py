"""A function as a PRM."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable

from ets.engines.values import checked_reward
from ets.loop.workers import Threads
from ets.step import Prefix, Score

_MOST = 256
"""Calls at once: a function waits for a server as a rule, and a thread that waits costs little."""


class FunctionPRM:
    """Calls `function(problem, steps) -> reward in [0, 1]` for the last of `steps`.

    The steps' texts are passed without the delimiter around them. A plain function runs in threads,
    up to 256 at once, so it must bear that; an asynchronous one is awaited on the search's own
    event loop, so it must not block.
    """

    def __init__(
        self,
        function: Callable[[str, list[str]], float] | Callable[[str, list[str]], Awaitable[float]],
    ) -> None:
        self._function = function
        self.__name__ = str(getattr(function, "__name__", type(function).__name__))
        self._threads = Threads("ets-function-prm", _MOST)
        self._awaited = inspect.iscoroutinefunction(function)

    async def score(self, prefix: Prefix) -> Score:
        """The function's verdict."""
        steps = [step.text.strip() for step in prefix.steps]
        if self._awaited:
            reward = self._function(prefix.problem, steps)
        else:
            reward = await self._threads.run(self._function, prefix.problem, steps)
        if inspect.isawaitable(reward):  # also of a plain function that returns a coroutine
            reward = await reward
        return Score(checked_reward(reward, self))

    async def aclose(self) -> None:
        """Begin no more calls; those that run are not waited for."""
        self._threads.close()
