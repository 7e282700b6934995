"""Arithmetic word problems, each in one of three splits."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass

from ets.demo.chain import Step, draw_chain
from ets.demo.wording import problem_text

MIN_STEPS, MAX_STEPS = 3, 8


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem's text and the true steps of its solution."""

    text: str
    start: int
    steps: tuple[Step, ...]

    @property
    def answer(self) -> int:
        """The value after the last step."""
        return self.steps[-1].result

    @property
    def key(self) -> str:
        """A digest of the text, which names the problem and decides its split."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:16]

    @property
    def split(self) -> str:
        """`train` (90%), `dev` or `test`: a function of the text, so that none is in two."""
        bucket = int(self.key, 16) % 20
        return {0: "dev", 1: "test"}.get(bucket, "train")


def make_problem(rng: random.Random, n_steps: int, split: str) -> Problem:
    """Draw a problem of exactly `n_steps` steps that belongs to `split`."""
    while True:
        start = rng.randint(4, 40)
        steps = draw_chain(rng, start, n_steps)
        problem = Problem(problem_text(rng, start, steps), start, steps)
        if problem.split == split:
            return problem


def problem_stream(seed: int, split: str, n_steps: int | None = None) -> Iterator[Problem]:
    """Yield distinct problems of a split for ever, the lengths in turn unless one is given."""
    rng = random.Random(f"{split}-{seed}")
    seen: set[str] = set()
    length = MIN_STEPS
    while True:
        problem = make_problem(rng, n_steps or length, split)
        if problem.text in seen:
            continue
        seen.add(problem.text)
        yield problem
        length = MIN_STEPS if length == MAX_STEPS else length + 1
