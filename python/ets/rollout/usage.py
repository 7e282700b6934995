"""What a search asked of its engines, step by step."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from ets.pickled import Record
from ets.step import Score, Step

TOTALS = (
    "policy_calls",
    "policy_tokens",
    "policy_prompt_tokens",
    "policy_cached_tokens",
    "policy_preemptions",
    "policy_overruns",
    "policy_dropped_tokens",
    "policy_banked",
    "prm_calls",
    "prm_tokens",
    "prm_cached_tokens",
    "prm_written_tokens",
    "prm_preemptions",
    "prm_banked",
)
"""The counters of `StepUsage`, which `Usage` has as sums over the steps."""


@dataclass(slots=True)
class StepUsage(Record):
    """What the children of one depth asked of the engines. Token counts are sums over requests."""

    depth: int
    """Of the children, >= 1."""
    policy_calls: int = 0
    policy_tokens: int = 0
    """Tokens sampled."""
    policy_prompt_tokens: int = 0
    policy_cached_tokens: int = 0
    """Of the prompt tokens, those the engine took from its prefix cache."""
    policy_preemptions: int = 0
    """Times that a sample lost its KV cache to others and was computed anew."""
    policy_overruns: int = 0
    """Samples in which the engine ran on behind the step's end."""
    policy_dropped_tokens: int = 0
    """The tokens that it sampled there, which are in none of the other counts."""
    policy_banked: int = 0
    """Of the samples, those that came from a sample bank."""
    prm_calls: int = 0
    prm_tokens: int = 0
    """Tokens the PRM was given to read."""
    prm_cached_tokens: int = 0
    """Of those, the tokens its engine took from its prefix cache."""
    prm_preemptions: int = 0
    """Times that a scoring lost its KV cache to others and was computed anew."""
    prm_banked: int = 0
    """Of the scorings, those that came from a sample bank."""
    prm_written_tokens: int = 0
    """Tokens that the PRM wrote, where it writes critiques."""

    _later: ClassVar[frozenset[str]] = frozenset({"prm_written_tokens"})

    def add_step(self, step: Step) -> None:
        """Count one sample."""
        self.policy_calls += 1
        self.policy_tokens += step.tokens
        self.policy_prompt_tokens += step.prompt_tokens
        self.policy_cached_tokens += step.cached_tokens
        self.policy_preemptions += step.preemptions
        self.policy_overruns += step.dropped_tokens > 0
        self.policy_dropped_tokens += step.dropped_tokens
        self.policy_banked += step.banked

    def add_score(self, score: Score) -> None:
        """Count one scoring."""
        self.prm_calls += 1
        self.prm_tokens += score.prompt_tokens
        self.prm_cached_tokens += score.cached_tokens
        self.prm_preemptions += score.preemptions
        self.prm_banked += score.banked
        self.prm_written_tokens += score.written_tokens

    @property
    def policy_computed_tokens(self) -> int:
        """Prompt tokens that the policy's engine had to compute; what preemptions repeat is not
        in it."""
        return self.policy_prompt_tokens - self.policy_cached_tokens

    @property
    def prm_computed_tokens(self) -> int:
        """Tokens that the PRM's engine had to compute; what preemptions repeat is not in it."""
        return self.prm_tokens - self.prm_cached_tokens


@dataclass(slots=True)
class Usage(Record):
    """What a search asked of its engines, by step; the totals are sums over the steps."""

    steps: list[StepUsage] = field(default_factory=list)
    """[depth - 1]: of the children at that depth."""
    given_up: int = 0
    """Continuations asked for that were aborted or thrown away, by a budget or as stragglers."""
    seconds: float = 0.0
    """Wall time of this problem, waiting for shared engines included; their start is not."""
    policy_seconds: float = 0.0
    """Of that, the time in which at least one sample was in flight."""
    prm_seconds: float = 0.0
    """The time in which at least one scoring was in flight; samples may have been, too."""
    replicas: list[str] = field(default_factory=list)
    """Where there are several: those that the problem was on, in order; more than one if it moved.
    """

    @classmethod
    def total(cls, several: Iterable[Usage]) -> Usage:
        """What several asked for together, by depth too; their seconds in sum."""
        usage = cls()
        for each in several:
            for name in ("given_up", "seconds", "policy_seconds", "prm_seconds"):
                setattr(usage, name, getattr(usage, name) + getattr(each, name))
            usage.replicas += [name for name in each.replicas if name not in usage.replicas]
            for step in each.steps:
                own = usage.at(step.depth)
                for name in TOTALS:
                    setattr(own, name, getattr(own, name) + getattr(step, name))
        return usage

    def at(self, depth: int) -> StepUsage:
        """The counters of the children at `depth`, >= 1."""
        if depth < 1:
            raise ValueError(f"depth must be at least 1, got {depth}")
        while len(self.steps) < depth:
            self.steps.append(StepUsage(len(self.steps) + 1))
        return self.steps[depth - 1]

    @property
    def policy_calls(self) -> int:
        """Steps that were sampled."""
        return sum(step.policy_calls for step in self.steps)

    @property
    def policy_tokens(self) -> int:
        """Tokens sampled."""
        return sum(step.policy_tokens for step in self.steps)

    @property
    def policy_prompt_tokens(self) -> int:
        """Tokens of the samples' prompts."""
        return sum(step.policy_prompt_tokens for step in self.steps)

    @property
    def policy_cached_tokens(self) -> int:
        """Of the prompt tokens, those the engine took from its prefix cache."""
        return sum(step.policy_cached_tokens for step in self.steps)

    @property
    def policy_preemptions(self) -> int:
        """Times that a sample lost its KV cache to others and was computed anew."""
        return sum(step.policy_preemptions for step in self.steps)

    @property
    def policy_overruns(self) -> int:
        """Samples in which the engine ran on behind the step's end."""
        return sum(step.policy_overruns for step in self.steps)

    @property
    def policy_dropped_tokens(self) -> int:
        """The tokens that it sampled there."""
        return sum(step.policy_dropped_tokens for step in self.steps)

    @property
    def policy_banked(self) -> int:
        """Of the samples, those that came from a sample bank."""
        return sum(step.policy_banked for step in self.steps)

    @property
    def prm_calls(self) -> int:
        """Steps that were scored."""
        return sum(step.prm_calls for step in self.steps)

    @property
    def prm_tokens(self) -> int:
        """Tokens the PRM was given to read."""
        return sum(step.prm_tokens for step in self.steps)

    @property
    def prm_cached_tokens(self) -> int:
        """Of those, the tokens its engine took from its prefix cache."""
        return sum(step.prm_cached_tokens for step in self.steps)

    @property
    def prm_written_tokens(self) -> int:
        """Tokens that the PRM wrote, where it writes critiques."""
        return sum(step.prm_written_tokens for step in self.steps)

    @property
    def prm_preemptions(self) -> int:
        """Times that a scoring lost its KV cache to others and was computed anew."""
        return sum(step.prm_preemptions for step in self.steps)

    @property
    def prm_banked(self) -> int:
        """Of the scorings, those that came from a sample bank."""
        return sum(step.prm_banked for step in self.steps)

    def to_dict(self) -> dict[str, Any]:
        """Totals, `given_up`, the seconds and `steps`, as JSON-able values."""
        totals = {name: getattr(self, name) for name in TOTALS}
        steps = [asdict(step) for step in self.steps]
        return {
            **totals,
            "given_up": self.given_up,
            "seconds": self.seconds,
            "policy_seconds": self.policy_seconds,
            "prm_seconds": self.prm_seconds,
            "replicas": list(self.replicas),
            "steps": steps,
        }
