"""From what a search is given to its root."""

from __future__ import annotations

from dataclasses import replace

from ets.dialogue import Posed
from ets.engines.protocols import Policy, TakesDialogues
from ets.errors import InputError
from ets.loop.engine_call import name_of
from ets.step import Prefix


def start(policy: Policy, posed: Posed) -> Prefix:
    """The empty solution of a text, or of a dialogue where the policy takes those.

    # Errors
    `InputError` where it does not, and as those of the policy.
    """
    if isinstance(posed, str):
        return policy.start(posed)
    if not posed.before:
        return policy.start(posed.problem)
    if not isinstance(policy, TakesDialogues):
        raise InputError(
            f"policy must have start_dialogue(dialogue) to take {len(posed.before)} messages "
            f"before the problem, got {name_of(policy)}; give it the last message alone"
        )
    root = policy.start_dialogue(posed)
    return replace(root, before=posed.before) if isinstance(root, Prefix) else root
