"""What a search costs, in the currency that someone has to pay it in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ets.bench.candidates import Candidate, Candidates, Floats
from ets.checks import check_choice, check_number
from ets.errors import InputError

Currency = Literal["tokens", "kv", "seconds"]
"""`tokens`: sampled, and those of the PRM by their weight. `kv`: KV tokens before selection, summed
over the steps. `seconds`: those in which a sample was in flight, those in which a scoring was, and
those of pruning and clustering."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """A currency. Raises `InputError` for an unknown one, or a weight that is none."""

    by: Currency = "tokens"
    prm_weight: float | Literal["measured"] = 1.0
    """Of `tokens`: what a token that the PRM reads or writes costs against one that the policy
    samples. By work it is the ratio of the models' parameters; `measured` makes it that of the
    seconds a token of the run; 0 counts sampled tokens alone."""

    def __post_init__(self) -> None:
        check_choice("by", self.by, Currency)
        if self.prm_weight != "measured":
            right = ">= 0, or measured"
            check_number("prm_weight", self.prm_weight, right, lambda x: x >= 0)

    @property
    def unit(self) -> str:
        """Behind a number."""
        return {"tokens": "tokens", "kv": "KV tokens", "seconds": "s"}[self.by]

    def settled(self, candidates: Candidates) -> Cost:
        """The same with a number as weight.

        # Errors
        `InputError` where it is to be measured and was not.
        """
        if self.prm_weight != "measured":
            return self
        return Cost(by=self.by, prm_weight=measured_weight(candidates))

    def of(self, candidate: Candidate) -> Floats | None:
        """float64[problems, seeds]; None where nobody knows: the seconds of fewer samples.

        # Errors
        `InputError` for seconds that the rows of the run do not have, and for a weight that is
        still to be measured.
        """
        spent = candidate.spent
        if self.by == "kv":
            return spent.kv
        if self.by == "tokens":
            if self.prm_weight == "measured":
                raise InputError("prm_weight must be a number here: Cost.settled makes it one")
            return spent.policy_tokens + self.prm_weight * spent.prm_tokens
        if spent.seconds is None and candidate.sampled is None:
            raise InputError(
                f"by seconds: rows of {candidate.label} do not say how long engines were busy; an "
                "older version wrote them"
            )
        return spent.seconds

    def check(self, candidates: Candidates) -> None:
        """`InputError` where the runs' seconds cannot be compared."""
        if self.by != "seconds" and self.prm_weight != "measured":
            return
        what = "by seconds" if self.by == "seconds" else "prm_weight=measured"
        if candidates.banked:
            raise InputError(
                f"{what}: samples or scorings of the run came from a bank, whose seconds say "
                "nothing of an engine; run it without one"
            )
        if len(candidates.machines) > 1:
            raise InputError(
                f"{what}: the runs were made on different machines "
                f"({'; '.join(candidates.machines)}); run them on one"
            )


def measured_weight(candidates: Candidates) -> float:
    """Seconds of the PRM a token by those of the policy a token, over all scored searches.

    # Errors
    `InputError` where no search was scored, or no seconds were measured.
    """
    sums = np.zeros(4)
    for one in candidates.each:
        spent = one.spent
        if one.scored and spent.prm_seconds is not None and spent.policy_seconds is not None:
            parts = spent.prm_seconds, spent.prm_tokens, spent.policy_seconds, spent.policy_tokens
            sums += [part.sum() for part in parts]
    if not sums.all():
        raise InputError("prm_weight=measured needs searches whose PRM read tokens, with seconds")
    prm_seconds, prm_tokens, policy_seconds, policy_tokens = sums.tolist()
    return float((prm_seconds / prm_tokens) / (policy_seconds / policy_tokens))
