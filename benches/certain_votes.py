"""Stopping rules for votes on simulated answers: how many votes they take, how often they err.

    python benches/certain_votes.py [--runs 1000] [--most 64]

No model: a problem is a distribution of answers, a vote a draw from it, and a rule errs where it
ends with another answer than the likeliest. Three rules: a fixed number of votes; the Beta rule of
Adaptive-Consistency (arXiv 2305.11860), which stops where P(theta > 1/2) >= 0.95 of the two leading
answers under a uniform prior; and `ets.answer.standing`, tested at every vote. `sure and wrong` are
the runs in which a rule said that it was certain, within the votes that it may take, and erred:
what `standing` bounds by its error.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ets.answer import standing

Stops = NDArray[np.bool_]
"""[leader's votes, the next one's votes]: whether a rule is certain; by the leader's place too."""
PLACES = 8
"""Orders of appearance that are told apart; later ones are never certain here."""


def zipf(n: int) -> NDArray[np.float64]:
    """Shares that fall as 1 / k."""
    weights = 1.0 / np.arange(1, n + 1)
    shares: NDArray[np.float64] = weights / weights.sum()
    return shares


PROBLEMS: dict[str, NDArray[np.float64]] = {
    "sure: 0.98, 0.02": np.array([0.98, 0.02]),
    "easy: 0.9, 0.1": np.array([0.9, 0.1]),
    "fair: 0.7, 0.2, 0.1": np.array([0.7, 0.2, 0.1]),
    "torn: 0.5, 0.35, 0.15": np.array([0.5, 0.35, 0.15]),
    "nearly tied: 0.51, 0.49": np.array([0.51, 0.49]),
    "ten, nearly tied": np.array([0.109, *[0.099] * 9]),
    "a heavy tail: 1/k, 200 answers": zipf(200),
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a rule came to on one problem."""

    votes: float
    wrong: float
    sure_and_wrong: float


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--most", type=int, default=64)
    given = parser.parse_args()
    most = given.most
    rules: dict[str, Callable[[NDArray[np.int64]], Outcome]] = {
        f"fixed, {most // 4}": lambda votes: fixed(votes, most // 4),
        f"fixed, {most}": lambda votes: fixed(votes, most),
        "Beta rule, 0.95": stopping([beta_stops(most)] * PLACES),
        "ets, error 0.05": stopping(ets_stops(most, 0.05)),
        "ets, error 0.2": stopping(ets_stops(most, 0.2)),
    }
    print(f"| answers | {' | '.join(rules)} |\n{'| --- ' * (len(rules) + 1)}|")
    for name, shares in PROBLEMS.items():
        draw = np.random.default_rng(0)
        votes = draw.choice(len(shares), size=(given.runs, most), p=shares)
        cells = [shown(rule(votes)) for rule in rules.values()]
        print(f"| {name} | {' | '.join(cells)} |")


def shown(outcome: Outcome) -> str:
    """`12.3 votes, 1.2% wrong, 0.4% sure and wrong`."""
    sure = f", {outcome.sure_and_wrong:.1%} sure and wrong" if outcome.sure_and_wrong >= 0 else ""
    return f"{outcome.votes:.1f} votes, {outcome.wrong:.1%} wrong{sure}"


def fixed(votes: NDArray[np.int64], n: int) -> Outcome:
    """The majority of the first `n` of [runs, most] votes, ties to the first to appear."""
    wrong = np.mean([leader(run[:n])[0] != 0 for run in votes])
    return Outcome(n, float(wrong), -1.0)


def leader(votes: NDArray[np.int64]) -> tuple[int, int]:
    """The answer with the most votes, of equals the first to appear, and its place."""
    seen: dict[int, int] = {}
    for vote in votes.tolist():
        seen[vote] = seen.get(vote, 0) + 1
    best = max(seen, key=lambda answer: seen[answer])
    return best, list(seen).index(best)


def stopping(tables: list[Stops]) -> Callable[[NDArray[np.int64]], Outcome]:
    """A rule that stops where a table, one for each place of the leader, is true."""

    def rule(votes: NDArray[np.int64]) -> Outcome:
        ends = [_end(run.tolist(), tables) for run in votes]
        return Outcome(
            float(np.mean([n for n, _, _ in ends])),
            float(np.mean([wrong for _, wrong, _ in ends])),
            float(np.mean([wrong and sure for _, wrong, sure in ends])),
        )

    return rule


def _end(run: list[int], tables: list[Stops]) -> tuple[int, bool, bool]:
    """Votes taken, whether the answer is wrong, whether the rule was certain."""
    counts: dict[int, int] = {}
    for n, vote in enumerate(run, start=1):
        counts[vote] = counts.get(vote, 0) + 1
        best = max(counts, key=lambda answer: counts[answer])
        place = list(counts).index(best)
        second = max((c for answer, c in counts.items() if answer != best), default=0)
        if place < PLACES and tables[place][counts[best], second]:
            return n, best != 0, True
    return len(run), best != 0, False


def beta_stops(most: int) -> Stops:
    """Where P(theta > 1/2) of Beta(a + 1, b + 1) is at least 0.95."""
    table = np.zeros((most + 1, most + 1), dtype=np.bool_)
    for a in range(most + 1):
        for b in range(min(a, most - a) + 1):
            n = a + b + 1
            table[a, b] = sum(math.comb(n, k) for k in range(a + 1)) >= 0.95 * 2**n
    return table


def ets_stops(most: int, error: float) -> list[Stops]:
    """Where `ets.answer.standing` is certain, for each place of the leader."""
    tables = []
    for place in range(PLACES):
        table = np.zeros((most + 1, most + 1), dtype=np.bool_)
        for a in range(1, most + 1):
            for b in range(min(a, most - a) + 1):
                others = [f"other {k}" for k in range(place)]
                if (place and b == 0) or a + b + max(0, place - 1) > most:
                    continue
                votes = [*others, *["leader"] * a, *["other 0"] * (b - bool(place))]
                found = standing(votes, error=error)
                table[a, b] = found is not None and found.certain and found.answer == "leader"
        tables.append(table)
    return tables


if __name__ == "__main__":
    main()
