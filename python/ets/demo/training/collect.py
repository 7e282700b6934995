"""Solutions sampled from the trained policy, for the PRM's second stage.

Up to its first error a sampled solution is right, so each of its steps up to and with that error
may stand as a branch beside the true solution, whatever the wording of the steps before it.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from ets.demo.check import check_solution
from ets.demo.task import Problem, problem_stream
from ets.demo.training.model import Policy
from ets.demo.training.packing import PLAIN, Style, TreeBatch, pack_tree, stack_trees
from ets.demo.training.sample import LONGEST, sample_solutions

PROBLEMS, SAMPLES, CHUNK = 2016, 12, 24


def collect(
    policy: Policy,
    path: Path,
    seed: int,
    count: int = PROBLEMS,
    problems: Sequence[Problem] | None = None,
    limit: int = LONGEST,
) -> None:
    """Sample solutions of training problems into a JSON-lines file, a line for each problem.

    Solutions have at most `limit` tokens. Goes on where an interrupted run stopped: every chunk of
    problems has its own seed.
    """
    done = path.read_text().count("\n") // CHUNK if path.exists() else 0
    problems = _problems(seed) if problems is None else problems
    lines = path.read_text().splitlines(keepends=True)[: done * CHUNK] if done else []
    path.write_text("".join(lines))
    for chunk in range(done, count // CHUNK):
        texts = [p.text for p in problems[chunk * CHUNK : (chunk + 1) * CHUNK]]
        solutions = sample_solutions(policy, texts, SAMPLES, seed * 100_003 + chunk, limit=limit)
        with path.open("a") as file:
            file.writelines(json.dumps(row) + "\n" for row in solutions)
        print(f"collected {(chunk + 1) * CHUNK} of {count}", flush=True)


class Collection:
    """The collected solutions, served as batches of packed trees."""

    def __init__(
        self,
        path: Path,
        seed: int,
        style: Style = PLAIN,
        problems: Sequence[Problem] | None = None,
    ) -> None:
        self.seed = seed
        self.style = style
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        self.rows = list(zip(_problems(seed) if problems is None else problems, rows, strict=False))

    def batch(self, number: int, size: int) -> TreeBatch:
        """Make batch `number`: most branches come from the policy, some from the slips."""
        rng = random.Random(f"policy-trees-{self.seed}-{number}")
        trees = [
            pack_tree(rng, problem, branches(rng, problem, solutions, self.style), self.style)
            for problem, solutions in rng.sample(self.rows, size)
        ]
        return stack_trees(trees, self.style.length)


def branches(
    rng: random.Random, problem: Problem, solutions: list[list[str]], style: Style = PLAIN
) -> dict[int, list[list[str]]]:
    """Sort sampled steps by the depth at which they may branch off, in random order."""
    found: dict[int, list[list[str]]] = {k: [] for k in range(len(problem.steps))}
    for steps in solutions:
        verdicts = check_solution(problem, steps, style.check)
        right = verdicts.index(False) if False in verdicts else len(steps)
        starts = {right} if right < len(steps) else set()
        starts |= {rng.randrange(right)} if right else set()
        for k in starts:
            if k in found:
                found[k].append(steps[k : k + rng.choice((1, 1, 1, 2, 3))])
    for texts in found.values():
        rng.shuffle(texts)
    return found


def _problems(seed: int) -> list[Problem]:
    return list(islice(problem_stream(seed + 11, "train"), PROBLEMS))
