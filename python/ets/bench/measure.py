"""What is kept of one finished search: a row."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, get_args

from ets.answer import VoteMethod, same_answer, vote
from ets.bench.grid import INDEPENDENT, Cell
from ets.problems.problem import Problem
from ets.rollout.result import SearchResult
from ets.rollout.usage import TOTALS
from ets.shown.redaction import redacted_text
from ets.tree_search.search import TreeSearch


def measure(cell: Cell, seed: int, problem: Problem, result: SearchResult) -> dict[str, Any]:
    """The row of a search, JSON-able: all that a report needs, and none of the texts.

    `right` says of each way to vote whether its winner is the expected answer. `classes`, `hits`
    and `scores` are of the completed trajectories, in the order in which they were completed, or of
    whatever else voted (`SearchResult.ballots`): which of them gave the same answer (-1: none),
    whether it is right, and the score it votes with. Of a problem that was searched `until` its
    answer was certain, `searches` is how often, and `chance` the error of the test.
    `samples`, of independent ones of one tree, says in the same order which sample each is, how
    many steps it has, and the KV tokens that it alone held, summed over the steps: fewer samples
    are known by it.
    """
    answers = [answer for answer, _ in result.ballots]
    scores = [score for _, score in result.ballots]
    expected = problem.expected or ""
    votes = {how: vote(answers, scores, how) for how in get_args(VoteMethod)}
    # As `vote` makes its pools: equality is not transitive, so the order counts.
    firsts = sorted((pool.answer for pool in votes["majority"]), key=answers.index)
    right = [same_answer(answer, expected) for answer in firsts]
    classes = [_class_of(answer, firsts) for answer in answers]
    kv, trees = result.kv, result.trees
    row = {
        "cell": cell.label,
        "seed": seed,
        "id": problem.key,
        "expected": problem.expected,
        "answer": result.answer,
        "right": {
            how: bool(pools) and right[_class_of(pools[0].answer, firsts)]
            for how, pools in votes.items()
        },
        "classes": classes,
        "hits": [k >= 0 and right[k] for k in classes],
        "scores": [round(score, 6) for score in scores],
        "cuts": [solution.cut for solution in result.trajectories],
        "tokens": [solution.tokens for solution in result.trajectories],
        "kv": {name: asdict(getattr(kv, name)) for name in ("before", "after", "rebase")},
        "usage": {name: getattr(result.usage, name) for name in TOTALS},
        "steps": len(kv),
        "end": result.end,
        "note": None if result.note is None else redacted_text(result.note),
        "seconds": result.usage.seconds,
        "policy_seconds": result.usage.policy_seconds,
        "prm_seconds": result.usage.prm_seconds,
        "cluster_seconds": sum(t.cluster_us for tree in trees for t in tree.timings) / 1e6,
        "select_seconds": sum(t.select_us for tree in trees for t in tree.timings) / 1e6,
        **_repeated(result),
    }
    alone = cell.name == INDEPENDENT and not result.searches
    alone = alone and len(result.tree.trajectories) == len(answers)
    return {**row, "samples": _samples(result.tree)} if alone else row


def _samples(tree: TreeSearch) -> dict[str, Any]:
    nodes, paths = tree.nodes, [trajectory.path for trajectory in tree.trajectories]
    return {
        "prompt_tokens": tree.prompt_tokens,
        "number": [nodes.index[path[0]] for path in paths],
        "steps": [len(path) for path in paths],
        # Whose last step is complete is a candidate no more.
        "kv": [sum(nodes.total[node] for node in path[:-1]) for path in paths],
    }


def _repeated(result: SearchResult) -> dict[str, Any]:
    if not result.searches:
        return {}
    chance = None if result.certainty is None else result.certainty.chance
    return {"searches": len(result.searches), "chance": chance}


def _class_of(answer: str | None, firsts: list[str]) -> int:
    """The pool of an answer: the first that equals it, as `vote` has it."""
    if answer is None:
        return -1
    if answer in firsts:
        return firsts.index(answer)
    return next(k for k, first in enumerate(firsts) if same_answer(first, answer))
