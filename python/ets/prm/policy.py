"""The policy as its own PRM: how certain it was of what it wrote."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ets.certainty import Certainty, Measure
from ets.checks import check_choice, check_positive
from ets.engines.name import EngineName, each_server
from ets.errors import EngineError, InputError
from ets.step import Prefix, Score

Name = Literal["logprob", "entropy", "confidence", "self-certainty", "lowest-group"]
Of = Literal["step", "path"]
Scale = Literal["rank", "map"]
_TOP = 20
"""Likeliest tokens of which log-probabilities are asked for: DeepConf's number, and the most that
servers on vLLM give unless told otherwise."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """A verdict: of what numbers, and how their mean becomes a reward in [0, 1]."""

    measure: Measure
    to_reward: Callable[[float], float]


def _share(nats: float) -> float:
    """0 nats are 0, and ten are a half: the more the better, without an end."""
    return nats / (nats + 10.0)


_KINDS: dict[str, _Kind] = {
    "logprob": _Kind("logprob", np.exp),
    "entropy": _Kind("entropy", lambda nats: float(np.exp(-nats))),
    "confidence": _Kind("confidence", _share),
    "self-certainty": _Kind("self_certainty", _share),
    "lowest-group": _Kind("confidence", _share),
}


class PolicyPRM:
    """Scores a step by the log-probabilities that came with its sample: no second model.

    Parameters
    ----------
    score
        `logprob`: the mean log-probability of the tokens; `entropy`: the mean entropy, the less the
        better; `confidence` and `self-certainty`: their means (`ets.certainty.Certainty` defines
        all four); `lowest-group`: DeepConf's lowest group confidence, the least mean `confidence`
        of any `group` tokens in a row.
    of
        `step`: of the tokens of the last step; `path`: of all steps so far.
    group
        Tokens of a group; what has fewer is one group. DeepConf takes 2048 of answers of 10^4.
    scale
        How a verdict becomes a reward in [0, 1]. `rank`: by its rank among one problem's
        continuations of the same step, (those below + half of its equals, itself included) / all of
        them. `map`: exp of the mean log-probability, exp of minus the entropy, x / (x + 10) of the
        others.

    A step without a token scores as the solution before it, and 0 if nothing has been written. It
    needs no engine and asks for none; `Score.prompt_tokens` is 0.

    # Errors
    `InputError` for an unknown name or a group below 1; `EngineError` from `score` for a step
    without `Step.certainty`.
    """

    def __init__(
        self,
        *,
        score: Name = "logprob",
        of: Of = "step",
        group: int = 64,
        scale: Scale = "rank",
    ) -> None:
        check_choice("score", score, Name)
        check_choice("of", of, Of)
        check_choice("scale", scale, Scale)
        check_positive(group=group)
        self._name, self._kind = score, _KINDS[score]
        self._of = of
        self._group = group
        self._scale = scale

    async def score(self, prefix: Prefix) -> Score:
        """The verdict through the map, whatever the scale."""
        return Score(self.verdict([(step.certainty, step.tokens) for step in prefix.steps]))

    def verdict(self, steps: Sequence[tuple[Certainty | None, int]]) -> float:
        """The same of what is known of a path: how certain the policy was, and the tokens.

        # Errors
        `EngineError` for a step that has tokens and no numbers.
        """
        parts = [part for at, step in enumerate(steps) if len(part := self._values(at, *step))]
        if not parts:
            return 0.0
        values = parts[-1] if self._of == "step" else np.concatenate(parts)
        mean = _lowest(values, self._group) if self._name == "lowest-group" else values.mean()
        return min(1.0, max(0.0, float(self._kind.to_reward(float(mean)))))

    @property
    def judges_by_rank(self) -> bool:
        """Whether a reward depends on the continuations beside it."""
        return self._scale == "rank"

    def judge_step(self, rewards: Sequence[float]) -> Sequence[float]:
        """By rank, where that is the scale."""
        return ranks(rewards) if self.judges_by_rank else rewards

    async def aclose(self) -> None:
        """Nothing: the policy is not this one's."""

    def _values(self, at: int, certainty: Certainty | None, tokens: int) -> NDArray[np.float64]:
        if certainty is not None:
            return certainty.of_tokens(self._kind.measure).astype(np.float64)
        if tokens:
            raise EngineError(
                f"the PRM policy?score={self._name} needs the policy's log-probabilities, and step "
                f"{at} came without (Step.certainty): load the policy with top_logprobs={_TOP}"
            )
        return np.zeros(0)


def ranks(rewards: Sequence[float]) -> list[float]:
    """Of each among all: the share of those below, equals and itself counted half."""
    values = np.asarray(rewards, dtype=np.float64)
    ordered = np.sort(values)
    below = np.searchsorted(ordered, values, side="left")
    upto = np.searchsorted(ordered, values, side="right")
    return [float(rank) for rank in (below + upto) / (2 * max(1, len(values)))]


def _lowest(values: NDArray[np.float64], group: int) -> float:
    """The least mean of `group` numbers in a row, or of all where there are fewer."""
    group = min(group, len(values))
    sums = np.concatenate([[0.0], np.cumsum(values)])
    return float((sums[group:] - sums[:-group]).min() / group)


def asks_policy(prm: object) -> bool:
    """Whether a PRM, by name, is the policy itself."""
    return isinstance(prm, str) and prm.partition("?")[0] == "policy"


def reads_certainty(prm: object) -> bool:
    """Whether a PRM, by name, is the policy itself, or holds it: what it says of a solution
    follows from more than its text."""
    return any(backend == "policy" for backend, _ in _names_in(prm))


def is_of_policy(prm: object) -> bool:
    """Whether a PRM, by name, asks the search's own policy for anything."""
    return any(
        backend == "policy" or (backend, path) == ("generative", "policy")
        for backend, path in _names_in(prm)
    )


def _names_in(prm: object) -> list[tuple[str, str]]:
    """Backend and path of a PRM's name and of the names in it."""
    if not isinstance(prm, str):
        return []
    try:
        name = EngineName.parse("prm", prm, {})
    except InputError:  # which whoever loads it says
        return []
    inner = (name.path, name.options.get("steps")) if name.backend == "outcome" else ()
    return [(name.backend, name.path), *(found for one in inner for found in _names_in(one))]


def with_logprobs(policy: object, options: Mapping[str, Any], prm: object) -> dict[str, Any]:
    """A policy's options, with log-probabilities where its PRM is the policy itself.

    # Errors
    `InputError` for a policy of ours that was told, or loaded, to give none.
    """
    if not is_of_policy(prm):
        return dict(options)
    if isinstance(policy, str):
        said = EngineName.parse("policy", each_server(policy)[0], options).options
        given = said.get("top_logprobs")
        if given is None:
            return {**options, "top_logprobs": _TOP}
    else:
        loaded = getattr(getattr(policy, "prompt", policy), "options", None)
        given = getattr(loaded, "top_logprobs", None)  # of an object of one's own not known
    if given == 0:
        raise InputError(
            "top_logprobs must be at least 1 where the PRM is the policy itself, got 0; "
            f"{_TOP} is usual"
        )
    return dict(options)
