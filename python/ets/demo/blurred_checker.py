"""The exact step checker as a PRM of chosen quality: its verdict, blurred by seeded noise.

It knows the true steps, so it is no model and says nothing about one. It answers how good a PRM
must be before search, and pruning, pay.
"""

from __future__ import annotations

import math
from hashlib import blake2b
from statistics import NormalDist

from ets.checks import check_int, check_number
from ets.demo.check import check_solution
from ets.demo.splits import SPLITS, split_problems
from ets.errors import InputError
from ets.step import Prefix, Score


class BlurredChecker:
    """Scores the steps of the bundled problems by the truth and noise.

    Right steps have a signal from N(d / 2, 1), wrong ones, and all after them, from N(-d / 2, 1),
    with `d = sqrt(2) * Phi^-1(auroc)`, so that a right and a wrong step drawn at random are told
    apart with probability `auroc`. The reward is the probability of being right, of two equally
    likely cases, that the signal leaves: `1 / (1 + exp(-d * signal))`. The noise follows from seed,
    problem and steps: all searches see the same rewards.

    Raises `InputError` for an `auroc` outside [0.5, 1] (1: the exact verdict) and a negative seed.
    """

    def __init__(self, *, auroc: float = 1.0, seed: int = 0) -> None:
        check_number("auroc", auroc, "in [0.5, 1]", lambda x: 0.5 <= x <= 1)
        check_int("seed", seed, 0, 2**63 - 1)
        self._apart = math.inf if auroc == 1 else math.sqrt(2) * NormalDist().inv_cdf(auroc)
        self._seed = seed
        self._problems = {p.text: p for split in SPLITS for p in split_problems(split)}

    async def score(self, prefix: Prefix) -> Score:
        """The blurred verdict on the last step.

        # Errors
        `InputError` for a problem that is not one of the bundled.
        """
        problem = self._problems.get(prefix.problem)
        if problem is None:
            raise InputError(
                "the PRM demo-checker knows the bundled problems only (data set demo), got "
                f"{prefix.problem[:60]!r}"
            )
        steps = [step.text.strip() for step in prefix.steps]
        right = check_solution(problem, steps)[-1]
        return Score(self._reward(right, [prefix.problem, *steps]))

    def _reward(self, right: bool, what: list[str]) -> float:
        if math.isinf(self._apart):
            return float(right)
        digest = blake2b(digest_size=8, key=self._seed.to_bytes(8, "little"))
        for text in what:
            digest.update(len(text).to_bytes(8, "little") + text.encode())
        uniform = (int.from_bytes(digest.digest(), "little") + 0.5) / 2**64
        signal = NormalDist().inv_cdf(min(uniform, 1 - 2**-53))
        signal += self._apart / 2 if right else -self._apart / 2
        return 1.0 / (1.0 + math.exp(-self._apart * signal))

    async def aclose(self) -> None:
        """Nothing to free."""
