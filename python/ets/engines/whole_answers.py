"""Policies that cannot continue a text: each of their samples is a whole answer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, runtime_checkable

from ets.checks import shown
from ets.errors import InputError
from ets.shown.redaction import redacted

_BACKENDS = ("chat",)
"""Backends all of whose policies do."""


@runtime_checkable
class WritesWholeAnswers(Protocol):
    """A policy that says whether it writes whole answers, each of them one step.

    Such a step needs no ids: its tokens may stand in `Step.written_tokens`. One that ends as
    `length` is cut there, since nothing can follow it. Only strategies that choose among no steps
    (`ets.BestOfN`) take such a policy.
    """

    @property
    def whole_answers(self) -> bool:
        """Whether nothing can follow a step."""
        ...

    @property
    def delimiter(self) -> str:
        """The text at which a PRM is given an answer in steps."""
        ...


def writes_whole_answers(policy: object) -> bool:
    """Whether a policy, or that of a name, writes whole answers."""
    if isinstance(policy, str):
        return policy.partition("?")[0].partition(":")[0] in _BACKENDS
    return isinstance(policy, WritesWholeAnswers) and policy.whole_answers is True


def check_steps(strategy: object, policies: Iterable[object]) -> None:
    """Refuse a strategy that chooses among steps, where a policy writes none.

    A strategy that does not says so by an attribute `needs_steps`, false.

    # Errors
    `InputError` of one line that names both, and says what goes.
    """
    if getattr(strategy, "needs_steps", True) is False:
        return
    for policy in policies:
        if writes_whole_answers(policy):
            name = repr(redacted(policy)) if isinstance(policy, str) else type(policy).__name__
            raise InputError(
                f"the policy {name} writes whole answers, since a chat server cannot continue a "
                f"text, so {shown(strategy)} has no steps to choose among; use ets.BestOfN, or "
                "openai:MODEL@URL on a server with /v1/completions"
            )
