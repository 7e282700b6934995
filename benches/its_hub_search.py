"""its-hub's searches, set up as its documentation advises, on the engines of a bench."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Sequence
from typing import Literal

from its_hub import OpenAICompatibleLanguageModel, StepGeneration
from its_hub.core.algorithms.beam_search import BeamSearch
from its_hub.core.algorithms.particle_gibbs import ParticleFiltering

from ets.answer import Aggregation, extract_answer
from ets.engines.protocols import PRM
from policy_server import PolicyServer
from shared_prm import DELIMITER, SharedPRM

Kind = Literal["particle filtering", "beam search"]

BEAM_WIDTH = 4
"""As in its-hub's documentation and in its own benchmark."""


class ItsHubSearch:
    """Answers problems with `ParticleFiltering` or `BeamSearch`.

    `width` becomes its-hub's budget: the particles, or the candidates of a level of the beam
    search. Its client sends no seeds, so that no two runs are alike.
    """

    def __init__(
        self,
        server: PolicyServer,
        prm: PRM,
        *,
        width: int,
        max_step_tokens: int,
        max_depth: int,
        how: Aggregation,
    ) -> None:
        # One warning a level: this version's step generation calls a method that it deprecates.
        warnings.filterwarnings("ignore", message="agenerate.. is deprecated")
        self._prm = prm
        self._width = width
        self._how: Aggregation = how
        self._steps = StepGeneration(
            max_steps=max_depth - 1,  # it allows one more
            step_token=DELIMITER,
            stop_token="The answer is",
            temperature=1.0,
        )
        # All requests of a level at once, which is its default.
        self._lm = OpenAICompatibleLanguageModel(
            endpoint=server.url,
            api_key="none",
            model_name=server.model,
            max_completion_tokens=max_step_tokens,
        )

    async def answers(
        self, kind: Kind, problems: Sequence[str], *, at_once: int
    ) -> list[str | BaseException | None]:
        """The answer to each problem, or the error that ended its search.

        its-hub has nothing for several problems; `ainfer` may be called as often as one likes.
        """
        room = asyncio.Semaphore(at_once)

        async def one(problem: str) -> str | None:
            async with room:
                return await self._answer(kind, problem)

        return await asyncio.gather(*map(one, problems), return_exceptions=True)

    async def _answer(self, kind: Kind, problem: str) -> str | None:
        prm = SharedPRM(self._prm, self._how)
        search = (
            ParticleFiltering(self._steps, prm)
            if kind == "particle filtering"
            else BeamSearch(self._steps, prm, beam_width=BEAM_WIDTH)
        )
        selected = await search.ainfer(self._lm, problem, budget=self._width)
        return extract_answer(str(selected["content"]))
