"""Why a search has no answer, or votes of only a few solutions, and which option to raise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ets.tree.trajectory import Cut

_LIMITS: dict[Cut, tuple[str, str]] = {
    "max_tokens": ("max_tokens", "raise max_tokens"),
    "max_depth": ("max_depth", "raise max_depth"),
    "context": (
        "the policy's context",
        "raise the policy's max_model_len (vllm), max_length, or its server's context",
    ),
    "prm_context": (
        "the PRM's context",
        "raise the PRM's max_model_len (vllm) or max_length, take a PRM that reads more, or lower "
        "max_tokens",
    ),
    "refused": (
        "a refusal of the model or a content filter",
        "change the problem, system_prompt, or the model",
    ),
}
"""What each limit is called, and what to do about it."""
_ENDS = {
    "token_budget": "the budget's tokens were used up: raise budget.tokens",
    "time_budget": "the budget's seconds were used up: raise budget.seconds",
    "prm_budget": "the budget's PRM calls were used up: raise budget.prm_calls",
    "kv_budget": "not one candidate fitted into kv_budget: raise kv_budget",
    "engine_lost": "an engine answers no more",
    "none_kept": "the strategy kept no candidate",
    "no_candidates": "no candidate was left",
}


def most_cut(cuts: Sequence[Cut | None]) -> Cut | None:
    """The limit that cut the most solutions, if more than half of all were cut; else None."""
    found = Counter(cut for cut in cuts if cut is not None)
    if 2 * found.total() <= len(cuts):
        return None
    return found.most_common(1)[0][0]


def advice(cut: Cut) -> str:
    """Which limit it was, and what to do."""
    name, mend = _LIMITS[cut]
    return f"by {name}: {mend}"


def shortfall(
    cuts: Sequence[Cut | None], answers: Sequence[str | None], end: str | None
) -> str | None:
    """One line about a search that came to no answer, or of whose solutions most were cut.

    `cuts` and `answers` are of the completed trajectories, `end` is why the search ended. None
    where there is nothing to say.
    """
    answered = any(answer is not None for answer in answers)
    worst = most_cut(cuts)
    if answered and worst is None:
        return None
    if not cuts:
        why = _ENDS.get(str(end), f"the search ended ({end})")
        return f"no solution was completed: {why}"
    cut = sum(c is not None for c in cuts)
    if worst is not None:
        said = f"{cut} of {len(cuts)} solutions were cut, {'most ' if _mixed(cuts) else ''}"
        said += advice(worst)
        return said if answered or cut == len(cuts) else f"{said}; the others hold no answer"
    return f"none of the {len(cuts) - cut} solutions that ended by themselves holds an answer"


def _mixed(cuts: Sequence[Cut | None]) -> bool:
    return len({cut for cut in cuts if cut is not None}) > 1
