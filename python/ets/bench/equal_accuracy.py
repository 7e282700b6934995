"""The paper's claim: how much less KV than REBASE at the same accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ets.bench.grid import BASELINE
from ets.bench.statistics import Interval
from ets.bench.summary import Line
from ets.errors import InputError

LOSS = 0.002
"""Accuracy that may be lost against REBASE: the paper's 0.2 points."""
_ROUNDING = 1e-12
"""Two problems of a thousand are 0.2 points, whatever floating point makes of it."""


@dataclass(frozen=True, slots=True)
class EqualAccuracy:
    """The least KV of a strategy at one width whose accuracy is within a loss of REBASE's.

    The setting is chosen and measured on the same problems, which flatters it where many were
    tried; `ets tune` chooses on problems of their own.
    """

    strategy: str
    width: int
    loss: float
    """The share of the problems that may be lost."""
    settings: int
    """How many were tried."""
    line: Line | None
    """The setting with the least KV among those within the loss; None where none is."""

    @property
    def accuracy_is_borne(self) -> bool:
        """Whether the whole interval of the difference in accuracy lies within the loss, and is not
        empty for want of problems."""
        against = None if self.line is None else self.line.against
        if against is None or against.low < -self.loss - _ROUNDING:
            return False
        return not self.too_few

    @property
    def too_few(self) -> bool:
        """Whether equal accuracy only seems borne, since so few problems could not show a loss.

        A bootstrap of differences of which none is a loss has nothing to draw a loss from, however
        few they are: its interval ends at 0. Then the exact bound counts that n problems without a
        loss put on the share that would be lost: 95% of the time less than 1 - 0.05^(1/n).
        """
        line = self.line
        if line is None or line.against is None or line.against.low != 0:
            return False
        most: float = 1 - 0.05 ** (1 / line.problems)
        return most > self.loss

    @property
    def reduction_is_borne(self) -> bool:
        """Whether the whole interval of the KV reduction lies above 1."""
        ratio = self.reduction
        return ratio is not None and ratio.low > 1.0

    @property
    def reduction(self) -> Interval | None:
        """REBASE's KV before selection divided by this setting's."""
        return None if self.line is None else self.line.kv_ratio


def at_equal_accuracy(lines: Sequence[Line], *, loss: float = LOSS) -> list[EqualAccuracy]:
    """For each strategy and width that REBASE was run at: its least KV within `loss`.

    Independent samples count by the run's own vote, the first of their lines.

    # Errors
    `InputError` for a loss outside of [0, 1].
    """
    check_loss(loss)
    groups: dict[tuple[str, int], list[Line]] = {}
    seen = set()
    for line in lines:
        if line.cell in seen or line.cell.name == BASELINE or line.against is None:
            continue
        seen.add(line.cell)
        groups.setdefault((line.cell.name, line.cell.width), []).append(line)
    return [
        EqualAccuracy(name, width, loss, len(found), least_kv(found, loss))
        for (name, width), found in groups.items()
    ]


def least_kv(lines: Sequence[Line], loss: float) -> Line | None:
    """The line with the largest KV reduction among those whose accuracy is within `loss` of
    REBASE's; of equals the one with the smaller price. None where none is within it."""
    near = [line for line in lines if line.against and line.against.value >= -loss - _ROUNDING]
    return max(near, key=_strength, default=None)


def check_loss(loss: float) -> None:
    """`InputError` for a loss that is no share of the problems."""
    if not 0 <= loss <= 1:
        raise InputError(f"loss must lie in [0, 1], a share of the problems, got {loss}")


def describe(claim: EqualAccuracy) -> str:
    """The claim in one line, with what the intervals allow to say."""
    head = f"{claim.strategy}, width {claim.width}: "
    loss = f"{100 * claim.loss:g} points of REBASE"
    line, ratio = claim.line, claim.reduction
    if line is None or line.against is None or ratio is None:
        tried = (
            "its setting is not" if claim.settings == 1 else f"none of {claim.settings} settings is"
        )
        return f"{head}{tried} within {loss}"
    against = line.against
    figures = (
        f"{ratio.value:.2f}x ({ratio.low:.2f} to {ratio.high:.2f}) less KV at "
        f"{100 * against.value:+.1f} points ({100 * against.low:+.1f} to {100 * against.high:+.1f})"
    )
    few = f" ({line.problems} problems are too few to show a loss)" if claim.too_few else ""
    return f"{head}{figures}; {verdict(claim)}{few}"


def verdict(claim: EqualAccuracy) -> str:
    """What the intervals allow to say of a claim that has a setting."""
    if claim.accuracy_is_borne and claim.reduction_is_borne:
        return "the intervals bear both"
    if claim.reduction_is_borne:
        return "the saving is borne, equal accuracy is not"
    if claim.accuracy_is_borne:
        return "equal accuracy is borne, a saving is not"
    return "neither a saving nor equal accuracy is borne"


def _strength(line: Line) -> tuple[float, float]:
    ratio = 0.0 if line.kv_ratio is None else line.kv_ratio.value
    return (ratio, -float(dict(line.cell.options).get("lambda_b", 0.0)))
