"""What a page shows problem by problem: who was right, with which answer, at what cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, get_args

from ets.answer import VoteMethod
from ets.bench.grid import Grid
from ets.bench.run_folder import Key, key_of
from ets.bench.summary import Row
from ets.problems.problem import Problem
from ets.report.labels import short_label

Outcome = Literal["right", "disagree", "wrong", "mixed"]
"""Of a problem: every search is right; the strategies are not right equally often; none is right;
all of them are right with the same share of the seeds."""


def problem_data(
    grid: Grid,
    rows: Sequence[Row],
    problems: Sequence[Problem],
    trees: Mapping[Key, str],
) -> dict[str, Any]:
    """JSON-able values for the script of the page: `cells`, and `problems` with their searches.

    `trees` are links to pages of trees, by search. Problems stand in the order of the data set;
    where an older run does not hold them, by their keys.
    """
    cells = {cell.label: number for number, cell in enumerate(grid.cells())}
    vote: VoteMethod = grid.search.get("vote", "weighted")
    texts = {problem.key: problem for problem in problems}
    of_problem = by_problem(rows, texts)
    return {
        "cells": [{"strategy": c.name, "label": short_label(c)} for c in grid.cells()],
        "seeds": len(grid.seeds),
        "problems": [
            {
                "id": str(key),
                "text": texts[key].text if key in texts else "",
                "expected": found[0]["expected"],
                "outcome": outcome(found, vote),
                "rows": [
                    _search(row, cells[row["cell"]], vote, trees.get(key_of(row)))
                    for row in sorted(found, key=lambda row: (cells[row["cell"]], row["seed"]))
                ],
            }
            for key, found in of_problem.items()
        ],
    }


def by_problem(rows: Iterable[Row], order: Iterable[Any]) -> dict[Any, list[Row]]:
    """The rows of each problem; those in `order` first, then the others by their keys."""
    found: dict[Any, list[Row]] = {}
    for row in rows:
        found.setdefault(row["id"], []).append(row)
    first = [key for key in order if key in found]
    others = sorted(found.keys() - set(first), key=lambda key: (isinstance(key, str), key))
    return {key: found[key] for key in [*first, *others]}


def outcome(rows: Sequence[Row], vote: VoteMethod) -> Outcome:
    """What became of a problem, by the run's vote."""
    by_cell: dict[str, list[bool]] = {}
    for row in rows:
        by_cell.setdefault(row["cell"], []).append(row["right"][vote])
    shares = {sum(right) / len(right) for right in by_cell.values()}
    if shares == {0.0}:
        return "wrong"
    if len(shares) > 1:
        return "disagree"
    return "right" if shares == {1.0} else "mixed"


def pools(row: Row, vote: VoteMethod) -> list[tuple[int, bool]]:
    """How many trajectories gave each answer and whether it is right; the winner's pool first.

    # Errors
    `ValueError` for a vote that there is not.
    """
    if vote not in get_args(VoteMethod):
        raise ValueError(f"vote must be one of {', '.join(get_args(VoteMethod))}, got {vote!r}")
    counts: dict[int, int] = {}
    weights: dict[int, float] = {}
    right: dict[int, bool] = {}
    for k, hit, score in zip(row["classes"], row["hits"], row["scores"], strict=True):
        if k >= 0:
            counts[k] = counts.get(k, 0) + 1
            right[k] = hit
            weight = {"majority": 1.0, "weighted": score, "best": 0.0}[vote]
            weights[k] = weights.get(k, 0.0) + weight
            if vote == "best":
                weights[k] = max(weights[k], score)
    # Sorting is stable: of equals the first that was seen, as the vote has it.
    order = sorted(counts, key=lambda k: -weights[k])
    return [(counts[k], right[k]) for k in order]


def _search(row: Row, cell: int, vote: VoteMethod, tree: str | None) -> dict[str, Any]:
    usage = row["usage"]
    found = pools(row, vote)
    return {
        "cell": cell,
        "seed": row["seed"],
        "right": row["right"][vote],
        "answer": row["answer"],
        "votes": [[count, right] for count, right in found],
        "none": len(row["classes"]) - sum(count for count, _ in found),
        "kv": row["kv"]["before"]["sum"],
        "policy": usage["policy_tokens"],
        "prm": usage["prm_tokens"] - usage["prm_cached_tokens"],
        "steps": row["steps"],
        "end": row["end"],
        "tree": tree,
    }
