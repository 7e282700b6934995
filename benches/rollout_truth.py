"""A PRM that asks the policy how a solution would end: rollouts, a checker of answers, a blur.

It says what a PRM of a stated quality would do for a search on a real model, where nobody can check
steps. It is no PRM to use: it writes several times the tokens of the search that it judges.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from hashlib import blake2b
from statistics import NormalDist

import numpy as np

from ets.answer import extract_answer, same_answer
from ets.engines import Policy
from ets.step import Prefix, Score


class RolloutTruth:
    """Rewards a step by how `rollouts` solutions that go on from it ended, blurred.

    With `v` the share of them that come to the expected answer the signal is from
    N((v - 1/2) d, 1), where `d = sqrt(2) Phi^-1(auroc)`: steps of value 1 and 0 are told apart with
    probability `auroc`. The reward is the chance of value 1 that the signal leaves of both. What
    ends a solution is checked itself. Noise and rollouts follow from problem and steps: all
    searches see the same rewards, and none goes on by a rollout's samples.
    """

    def __init__(
        self,
        policy: Policy,
        expected: Mapping[str, str],
        *,
        auroc: float,
        rollouts: int,
        max_tokens: int,
    ) -> None:
        self._policy, self._expected = policy, expected
        self._apart = math.sqrt(2) * NormalDist().inv_cdf(auroc)
        self._rollouts, self._max_tokens = rollouts, max_tokens
        self.values: dict[tuple[str, ...], float] = {}
        """By problem and steps, of all that were scored: the share of right ends."""
        self.tokens = 0
        """Written by rollouts, those of a bank included."""

    async def score(self, prefix: Prefix) -> Score:
        """The blurred share of right ends."""
        texts = (prefix.problem, *(step.text for step in prefix.steps))
        digest = blake2b(digest_size=8)
        for text in texts:
            digest.update(len(text).to_bytes(8, "little") + text.encode())
        draws = np.random.default_rng(int.from_bytes(digest.digest(), "little"))
        seeds = draws.integers(1 << 62, size=self._rollouts).tolist()
        if prefix.steps and prefix.steps[-1].finished:
            value = float(self._right(prefix))
        else:
            ends = await asyncio.gather(*(self._end(prefix, seed) for seed in seeds))
            value = sum(ends) / len(ends)
        self.values[texts] = value
        signal = draws.standard_normal() + self._apart * (value - 0.5)
        return Score(1 / (1 + math.exp(-self._apart * signal)))

    async def _end(self, prefix: Prefix, seed: int) -> bool:
        """Whether a solution that goes on from here comes to the expected answer."""
        draws = np.random.default_rng(seed)
        room = self._max_tokens - sum(step.tokens for step in prefix.steps)
        while room > 0 and (not prefix.steps or prefix.steps[-1].goes_on):
            step = await self._policy.sample(
                prefix, seed=int(draws.integers(1 << 62)), max_tokens=room
            )
            self.tokens += step.tokens
            room -= max(1, step.tokens)
            prefix = prefix.extend(step)
        return self._right(prefix)

    def _right(self, prefix: Prefix) -> bool:
        answer = extract_answer("".join(step.text for step in prefix.steps))
        return answer is not None and same_answer(answer, self._expected[prefix.problem])

    async def aclose(self) -> None:
        """The policy is its owner's to close."""
