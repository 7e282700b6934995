"""Greedy steps by each rule: those of an engine, and those that a plain computation is cut into."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from tokenizers import Tokenizer

from ets import demo
from ets.engines.protocols import Policy
from ets.step import Step
from plain_demo import plain_greedy
from split_texts import naive_pattern, naive_sentence

PROBLEMS = [str(row["problem"]) for row in demo.problems()[:3]]
RULES = (
    "tokens:7",
    "tokens:64",
    "sentences",
    r"regex:= \d+",
    r"regex:(?=so|The)",
    r"regex:\.(?=\s)",
)
Cut = tuple[str, tuple[int, ...]]


@cache
def plain_ids(problem: str) -> tuple[int, ...]:
    """The whole greedy solution, which no rule has a part in."""
    return tuple(token for step in plain_greedy(problem, steps=40, tokens=200) for token in step)


def cut(ids: tuple[int, ...], rule: str, decode: Callable[[list[int]], str]) -> list[Cut]:
    """A solution's steps by a rule, found in its text."""
    found: list[Cut] = []
    kind, _, what = rule.partition(":")
    before, left = "", list(ids)
    while left:
        text = decode(left)
        if kind == "tokens":
            count = int(what)
        else:
            is_pattern = kind == "regex"
            end = naive_pattern(what, text) if is_pattern else naive_sentence(before, text)
            counts = (k for k in range(1, len(left)) if end and len(decode(left[:k])) >= end)
            count = next(counts, len(left))
        step = left[:count]
        found.append((decode(step), tuple(step)))
        before, left = before + decode(step), left[count:]
    return found


def plain_cut(problem: str, rule: str) -> list[Cut]:
    tokenizer = Tokenizer.from_file(f"{demo.policy_path()}/tokenizer.json")
    return cut(plain_ids(problem), rule, tokenizer.decode)


async def written(policy: Policy, problem: str, *, max_tokens: int = 256) -> list[Step]:
    """A solution's steps, one after the other."""
    prefix = policy.start(problem)
    steps: list[Step] = []
    while True:
        step = await policy.sample(prefix, seed=len(steps), max_tokens=max_tokens)
        steps.append(step)
        if step.finished or len(steps) > 200:
            return steps
        assert step.finish == "step"
        prefix = prefix.extend(step)


def cuts_of(steps: list[Step]) -> list[Cut]:
    """Without one that found the solution at its end already."""
    return [(step.text, step.token_ids) for step in steps if step.token_ids]


def options(rule: str) -> dict[str, Any]:
    return {"temperature": 0.0, "answer_markers": (), "step": rule}
