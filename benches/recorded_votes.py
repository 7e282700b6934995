"""Stopping rules and a shared budget on the votes of a run that is there: no model runs.

    ets bench RUN --strategies best-of-n --widths 64 --no-trees
    python benches/recorded_votes.py RUN [--orders 20]

The solutions of `best-of-n` are independent, so any order of those recorded is as good as the one
in which they were sampled: each problem's are shuffled `--orders` times, and each rule takes the
first of them. Right, tokens and votes are means over problems and orders.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import ets
from ets.answer import standing
from ets.bench.statistics import Interval, paired_bootstrap
from ets.search.shared import Bid, chosen
from fresh import lines
from kept_searches import Row


@dataclass(frozen=True, slots=True)
class Votes:
    """A problem's solutions in one order."""

    answers: list[str | None]
    right: frozenset[str]
    scores: list[float]
    tokens: list[int]

    def wins(self, n: int, *, weighted: bool) -> bool:
        """Whether the first `n` vote for a right answer."""
        total: dict[str, float] = {}
        for answer, score in zip(self.answers[:n], self.scores, strict=False):
            if answer is not None:
                total[answer] = total.get(answer, 0.0) + (score if weighted else 1.0)
        return bool(total) and max(total, key=lambda answer: total[answer]) in self.right

    def stands(self, n: int, error: float, *, weighted: bool) -> bool:
        """Whether the first `n` are certain."""
        weights = self.scores[:n] if weighted else None
        found = standing(self.answers[:n], weights, error=error)
        return found is not None and found.certain


Rule = Callable[[list[Votes]], list[int]]
"""How many votes each problem of one order has."""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--orders", type=int, default=20)
    given = parser.parse_args()
    rows = list(lines(given.run.parent, given.run.name))
    draw = np.random.default_rng(0)
    orders = [[shuffled(row, draw) for row in rows] for _ in range(given.orders)]
    most = min(len(row["classes"]) for row in rows)
    even = most // 4
    rules: dict[str, tuple[Rule, bool]] = {
        f"majority of {most}": (lambda votes: [most] * len(votes), False),
        f"majority of {even}": (lambda votes: [even] * len(votes), False),
        "majority until certain": (until(0.05, most), False),
        "the same at an error of 0.2": (until(0.2, most), False),
        f"majority, the tokens of {even} each shared": (sharing(even, most), False),
        f"weighted vote of {most}": (lambda votes: [most] * len(votes), True),
        f"weighted vote of {even}": (lambda votes: [even] * len(votes), True),
        "weighted until certain": (until(0.05, most, weighted=True), True),
    }
    found = {}
    for name, (rule, weighted) in rules.items():
        taken = [rule(votes) for votes in orders]
        found[name] = outcomes(orders, taken, weighted=weighted)
    bases = [found[f"majority of {n}"][0] for n in (most, even)]
    heads = "".join(f" points to a majority of {n} (95%) |" for n in (most, even))
    print(f"| rule | right |{heads} tokens | votes |\n{'| --- ' * 6}|")
    for name, (right, tokens, votes_taken) in found.items():
        more = "".join(f" {shown(paired_bootstrap(right, base))} |" for base in bases)
        print(
            f"| {name} | {right.mean():.1%} |{more} {tokens.mean():,.0f} | "
            f"{votes_taken.mean():.1f} |"
        )


def shown(points: Interval) -> str:
    """`+2.1 (-0.3 to +4.4)`."""
    return f"{100 * points.value:+.1f} ({100 * points.low:+.1f} to {100 * points.high:+.1f})"


def shuffled(row: Row, draw: np.random.Generator) -> Votes:
    """The solutions of a row in another order."""
    order = draw.permutation(len(row["classes"])).tolist()
    answers = [str(k) if k >= 0 else None for k in row["classes"]]
    right = {answer for answer, hit in zip(answers, row["hits"], strict=True) if hit and answer}
    return Votes(
        [answers[at] for at in order],
        frozenset(right),
        [row["scores"][at] for at in order],
        [row["tokens"][at] for at in order],
    )


def outcomes(
    orders: Sequence[list[Votes]], taken: Sequence[list[int]], *, weighted: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Right or not, tokens and votes, each float[problems, orders]."""
    right, tokens = [], []
    for votes, counts in zip(orders, taken, strict=True):
        pairs = [*zip(votes, counts, strict=True)]
        right.append([float(one.wins(n, weighted=weighted)) for one, n in pairs])
        tokens.append([float(sum(one.tokens[:n])) for one, n in pairs])
    return np.array(right).T, np.array(tokens).T, np.array(taken, dtype=np.float64).T


def until(error: float, most: int, *, weighted: bool = False) -> Rule:
    """As `ets.Certain` asks for them."""
    rule, strategy = ets.Certain(error=error), ets.BestOfN(width=most)

    def one(votes: Votes) -> int:
        asked = 0
        while (more := rule.next_votes(asked, strategy)) > 0:
            asked += more
            if votes.stands(asked, error, weighted=weighted):
                break
        return asked

    return lambda votes: [one(each) for each in votes]


def sharing(even: int, most: int) -> Rule:
    """As `ets.SharedBudget` hands them out, over the tokens of `even` votes for each."""
    rule, strategy = ets.Certain(), ets.BestOfN(width=most)

    def every(votes: list[Votes]) -> list[int]:
        budget = sum(sum(one.tokens[:even]) for one in votes)
        asked = [rule.next_votes(0, strategy)] * len(votes)

        def bid(one: Votes, n: int) -> Bid | None:
            more = rule.next_votes(n, strategy)
            if not more or one.stands(n, rule.error, weighted=False):
                return None
            counts = Counter(answer for answer in one.answers[:n] if answer is not None)
            return Bid([*counts.values()], more, sum(one.tokens[:n]) / n)

        while True:
            spent = sum(sum(one.tokens[:n]) for one, n in zip(votes, asked, strict=True))
            bids = [bid(one, n) for one, n in zip(votes, asked, strict=True)]
            take = chosen(bids, budget - spent)
            if not take:
                return asked
            for at in take:
                asked[at] += rule.next_votes(asked[at], strategy)

    return every


if __name__ == "__main__":
    main()
