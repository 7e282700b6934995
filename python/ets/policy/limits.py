"""How far a search goes, by what was asked for, what the policy is, and what the engines read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from ets.engines.context_need import context_need
from ets.engines.whole_answers import writes_whole_answers
from ets.errors import InputError
from ets.policy.step_rule import StepRule
from ets.policy.thinking import MAX_DEPTH, MAX_STEP_TOKENS, MAX_TOKENS, Thinking
from ets.shown.log import Log

T = TypeVar("T")
PRMThinking = Literal["read", "skip"]
_LOG = Log(__name__)
PLAIN = (256, 1024, 25)
THINKING = (MAX_STEP_TOKENS, MAX_TOKENS, MAX_DEPTH)
"""Tokens of a step and of a solution, and steps, for policies of either kind."""


@dataclass(frozen=True, slots=True)
class Limits:
    """A search's limits, all settled."""

    max_step_tokens: int
    max_tokens: int
    max_depth: int
    reads_thoughts: bool
    """Whether the PRM is given the policy's thoughts to read."""

    @classmethod
    def settle(
        cls,
        policy: object,
        prm: object,
        *,
        max_step_tokens: int | None,
        max_tokens: int | None,
        max_depth: int | None,
        prm_thinking: PRMThinking | None,
    ) -> Limits:
        """What is None follows from the policy, and a context that is known limits `max_tokens`.

        Steps of a number of tokens have that many: `max_step_tokens` is no less, and the usual
        depth no less than it takes to write `max_tokens`. Whole answers are one step each, and
        their thoughts are not read unless that is asked for. A line is logged where a context
        lowers `max_tokens`, and where a PRM is not given thoughts that it could not read to their
        end.

        # Errors
        `InputError` for a `max_step_tokens` that is less than the tokens of the policy's steps.
        """
        thinks, whole = thinking_of(policy) is not None, writes_whole_answers(policy)
        usual = THINKING if thinks else PLAIN
        given = (max_step_tokens, max_tokens, max_depth)
        steps, tokens, depth = (
            default if value is None else value for value, default in zip(given, usual, strict=True)
        )
        if (counted := _tokens_of_steps(policy)) is not None:
            if max_step_tokens is not None and max_step_tokens < counted:
                raise InputError(
                    f"max_step_tokens must be at least {counted}, the tokens of a step by the "
                    f"policy's step='tokens:{counted}', or left out; got {max_step_tokens}"
                )
            steps = counted
            depth = depth if max_depth is not None else max(depth, -(-tokens // counted))
        tokens = _within("policy", policy, tokens)
        most = context_of(prm)
        reads = prm_thinking == "read" if whole else prm_thinking != "skip"
        if thinks and prm_thinking is None and most is not None and most < tokens:
            reads = False
            _LOG.warning(
                "the PRM reads at most %d tokens and thoughts may have %d: it is given what "
                "follows them only (prm_thinking='read' gives it all)",
                most,
                tokens,
            )
        if reads:
            tokens = _within("PRM", prm, tokens)
        if whole:  # an answer is one step, as long as a solution may be unless told otherwise
            return cls(min(max_step_tokens or tokens, tokens), tokens, 1, reads)
        return cls(steps, tokens, depth, reads)


def thinking_of(policy: object) -> Thinking | None:
    """How a policy thinks; None where it does not, or does not say."""
    found = getattr(getattr(policy, "prompt", None), "thinking", None)
    return found if isinstance(found, Thinking) else None


def _tokens_of_steps(policy: object) -> int | None:
    """How many tokens a policy's steps have, where its option `step` counts them."""
    rule = getattr(getattr(policy, "prompt", None), "rule", None)
    return rule.tokens if isinstance(rule, StepRule) else None


def usual_max_tokens(policy: object) -> int:
    """Tokens of a solution that a search allows a policy unless told otherwise."""
    return (PLAIN if thinking_of(policy) is None else THINKING)[1]


def context_of(engine: object) -> int | None:
    """Tokens of prompt and solution that a policy or PRM of ours reads; None where not known."""
    texts = getattr(engine, "prompt", None) or getattr(engine, "format", None)
    if texts is None and writes_whole_answers(engine):
        texts = engine
    length = getattr(texts, "max_length", None)
    return length if isinstance(length, int) else None


def narrowest(engines: Sequence[T]) -> T:
    """The one that reads least, where that is known; the first of several such."""
    contexts = [context_of(engine) for engine in engines]
    return min(zip(engines, contexts, strict=True), key=lambda each: each[1] or math.inf)[0]


def _within(who: Literal["policy", "PRM"], engine: object, tokens: int) -> int:
    context = context_of(engine)
    if context is None or context >= tokens:
        return tokens
    _LOG.warning(
        "max_tokens is %d, but the %s reads at most %d tokens, its prompt included: what is longer "
        "is cut there%s",
        tokens,
        who,
        context,
        _what_would_help(who, engine, tokens),
    )
    return context


def _what_would_help(who: Literal["policy", "PRM"], engine: object, tokens: int) -> str:
    """Of an engine of ours on vLLM, which was started with less than its checkpoint reads."""
    started = getattr(engine, "engine", None)
    length = getattr(started, "max_model_len", None)
    most = getattr(started, "checkpoint_len", None)
    if not isinstance(length, int) or not isinstance(most, int) or most <= length:
        return ""
    wanted = min(most, context_need(who, tokens).tokens)
    return f"; load it with max_model_len={wanted} (its checkpoint reads {most})"
