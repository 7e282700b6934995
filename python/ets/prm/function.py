"""A plain function as a PRM."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ets.engine_values import checked_reward
from ets.step import Prefix, Score


class FunctionPRM:
    """Calls `function(problem, steps) -> reward in [0, 1]` for the last of `steps`, in a thread.

    The steps' texts are passed without the delimiter around them.
    """

    def __init__(self, function: Callable[[str, list[str]], float]) -> None:
        self._function = function

    async def score(self, prefix: Prefix) -> Score:
        """The function's verdict."""
        steps = [step.text.strip() for step in prefix.steps]
        given = await asyncio.to_thread(self._function, prefix.problem, steps)
        return Score(checked_reward(given, self))

    async def aclose(self) -> None:
        """Nothing to free."""
