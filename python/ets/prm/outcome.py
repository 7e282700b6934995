"""Rewards that are known at the end only: outcome reward models, tests, checkers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ets.checks import check_number
from ets.engines.protocols import PRM
from ets.engines.values import awaitable, checked_score
from ets.errors import InputError
from ets.pickled import Unpicklable
from ets.prm.function import FunctionPRM
from ets.step import Prefix, Score

Verify = Callable[[str, list[str]], float]


class OutcomePRM(Unpicklable):
    """Asks an outcome's judge about finished solutions only, and says by rule what others get.

    Costs of both are added up. `aclose` ends both.

    # Errors
    `InputError` for a bad value, or judges that are none.

    Parameters
    ----------
    outcome
        Who judges a finished solution: a PRM's object, such as an outcome reward model that is
        loaded by `load_prm`, or a function `f(problem, steps) -> reward in [0, 1]`, such as a unit
        test. It is asked where the policy ended the solution, never where a limit cut it.
    steps
        A PRM that scores each step; without one every step that ends nothing is worth `between`.
    between
        That reward, where there is no PRM for steps.
    weight
        Of the outcome in the reward of a finished solution: `weight * outcome + (1 - weight) *
        step`, the step's being that of `steps`, and of no account without one.
    """

    def __init__(
        self,
        outcome: PRM | Verify,
        *,
        steps: PRM | Verify | None = None,
        between: float = 0.5,
        weight: float = 1.0,
    ) -> None:
        check_rule(between=between, weight=weight)
        self._outcome = _judge("outcome", outcome)
        self._steps = None if steps is None else _judge("steps", steps)
        self._between = float(between)
        self._weight = float(weight)

    async def score(self, prefix: Prefix) -> Score:
        """The reward of the last step, by the rule."""
        finished = bool(prefix.steps) and prefix.steps[-1].finished
        if not finished:
            return Score(self._between) if self._steps is None else await _ask(self._steps, prefix)
        if self._steps is None:
            return await _ask(self._outcome, prefix)
        step, end = await asyncio.gather(_ask(self._steps, prefix), _ask(self._outcome, prefix))
        return Score(
            self._weight * end.reward + (1 - self._weight) * step.reward,
            prompt_tokens=step.prompt_tokens + end.prompt_tokens,
            cached_tokens=step.cached_tokens + end.cached_tokens,
            preemptions=step.preemptions + end.preemptions,
            written_tokens=step.written_tokens + end.written_tokens,
        )

    async def aclose(self) -> None:
        """End both judges."""
        for judge in (self._outcome, self._steps):
            if judge is not None:
                await judge.aclose()


def check_rule(**shares: object) -> None:
    """Refuse what is no share.

    # Errors
    `InputError` that names it.
    """
    for name, value in shares.items():
        check_number(name, value, "in [0, 1]", lambda number: 0 <= number <= 1)


def _judge(name: str, given: PRM | Verify) -> PRM:
    if isinstance(given, PRM) and not isinstance(given, type):
        return given
    if callable(given) and not isinstance(given, type):
        return FunctionPRM(given)
    raise InputError(
        f"{name} must be a function f(problem, steps) or an object with score and aclose, got "
        f"{type(given).__name__}; ets.prm.load_prm makes one of a name"
    )


async def _ask(judge: PRM, prefix: Prefix) -> Score:
    return checked_score(await awaitable(judge.score(prefix), judge, "score"), judge)
