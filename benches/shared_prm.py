"""The PRM of `ets.Search` behind its-hub's interface, so that both ask one engine."""

from __future__ import annotations

import asyncio

from its_hub.api import AbstractProcessRewardModel

from ets.answer import Aggregation, aggregate
from ets.engines.protocols import PRM
from ets.step import Prefix, Step

DELIMITER = "\n\n"


class SharedPRM(AbstractProcessRewardModel):  # type: ignore[misc]  # its-hub has no types
    """Scores of partial solutions for one of its-hub's searches of one problem.

    Kinder to its-hub than its own `LocalVllmProcessRewardModel`, which reads every solution from
    its first token and holds up a thread for it: here only what is new is read, all solutions of a
    level at once, and the scores of earlier steps are remembered.
    """

    def __init__(self, prm: PRM, how: Aggregation) -> None:
        self._prm = prm
        self._how: Aggregation = how
        self._known: dict[tuple[str, ...], float] = {}

    async def ascore(self, prompt: str, steps: list[str]) -> list[float]:
        """A score for each solution (its-hub calls them steps) of the problem `prompt`."""
        return await asyncio.gather(*(self._score(prompt, text) for text in steps))

    def score(self, prompt: str, steps: list[str]) -> list[float]:
        """Not offered: the engine lives on the loop of the bench, and no search of its-hub asks."""
        raise NotImplementedError

    async def _score(self, problem: str, text: str) -> float:
        steps = tuple(text.split(DELIMITER))
        # The last step is asked for even where it is known: so does every search of `ets`.
        await self._ask(problem, steps)
        for end in range(1, len(steps)):
            if steps[:end] not in self._known:
                await self._ask(problem, steps[:end])
        rewards = [self._known[steps[:end]] for end in range(1, len(steps) + 1)]
        return aggregate(rewards, self._how)

    async def _ask(self, problem: str, steps: tuple[str, ...]) -> None:
        written = tuple(Step(text=step, token_ids=(), finish="step") for step in steps)
        # A PRM reads texts with its own tokenizer; the policy's ids are of no use to it.
        prefix = Prefix(problem=problem, prompt_tokens=0, token_ids=(), steps=written)
        self._known[steps] = (await self._prm.score(prefix)).reward
