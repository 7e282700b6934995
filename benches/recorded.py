"""Engines that answer at once with what real ones answered before."""

from __future__ import annotations

from ets.engines.protocols import PRM, Policy
from ets.step import Prefix, Score, Step


class Recording:
    """A policy and a PRM, and all that they answered."""

    def __init__(self, policy: Policy, prm: PRM) -> None:
        self._policy, self._prm = policy, prm
        self.roots: dict[str, Prefix] = {}
        self.steps: dict[tuple[tuple[int, ...], int], Step] = {}
        self.scores: dict[tuple[int, ...], Score] = {}

    def start(self, problem: str) -> Prefix:
        """As the policy's."""
        self.roots[problem] = self._policy.start(problem)
        return self.roots[problem]

    async def sample(self, prefix: Prefix, *, seed: int, max_tokens: int) -> Step:
        """As the policy's."""
        step = await self._policy.sample(prefix, seed=seed, max_tokens=max_tokens)
        self.steps[prefix.token_ids, seed] = step
        return step

    async def score(self, prefix: Prefix) -> Score:
        """As the PRM's."""
        score = await self._prm.score(prefix)
        self.scores[prefix.token_ids] = score
        return score

    async def aclose(self) -> None:
        """Nothing: the engines are closed by whoever started them."""


class Replay:
    """The policy and the PRM of a recording, without the engines."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording

    def start(self, problem: str) -> Prefix:
        """As recorded."""
        return self._recording.roots[problem]

    async def sample(self, prefix: Prefix, *, seed: int, max_tokens: int) -> Step:
        """As recorded."""
        return self._recording.steps[prefix.token_ids, seed]

    async def score(self, prefix: Prefix) -> Score:
        """As recorded."""
        return self._recording.scores[prefix.token_ids]

    async def aclose(self) -> None:
        """Nothing."""
