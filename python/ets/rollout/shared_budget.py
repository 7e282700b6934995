"""What the searches of many problems may spend together."""

from __future__ import annotations

from dataclasses import dataclass

from ets.checks import MOST, check_int
from ets.pickled import Pickled


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedBudget(Pickled):
    """What all problems of one `ets.Search.map` may spend together, where it goes furthest.

    Each problem has its first votes, as `until` says. Then, round after round, a quarter of the
    problems that are not certain yet, those to which a token is worth most
    (`ets.answer.worth_of_votes` over the tokens of a vote), have `until.batch` more, until no
    problem's next votes, at what its votes cost so far, fit into what is left. What is left then
    may be a little below 0, as votes may cost more than those before them. Which problems are given
    more depends on the votes alone: the same seed gives the same results, however many run at once.

    Raises `InputError` for a field out of range.
    """

    tokens: int
    """Tokens that the policy samples, >= 1; the first votes of each problem are asked for even if
    they take more."""

    def __post_init__(self) -> None:
        check_int("budget.tokens", self.tokens, 1, MOST)
