"""The loop of the published codes: one problem at a time, one level at a time, no overlap.

All samples of a level are awaited before the first of them is scored, all scores before the
strategy decides, and the PRM reads whole solutions (`VLLMPRM(incremental=False)`). It drives the
same `TreeSearch` with the same seeds, so that it asks for the same samples as `ets.Search` does;
what differs is the order of the work. It is kinder than the published codes in one point: token
ids are kept, not made anew from text.
"""

from __future__ import annotations

import asyncio
from typing import Any

import ets
from ets.answer import aggregate, extract_answer, vote
from ets.rollout.usage import Usage
from ets.strategy import Strategy
from ets.tree.seeds import problem_seed


async def solve(
    policy: Any,
    prm: Any,
    embedder: Any,
    strategy: Strategy,
    problem: str,
    *,
    seed: int = 0,
    max_step_tokens: int = 256,
    max_tokens: int = 1024,
    max_depth: int = 25,
) -> tuple[str | None, ets.TreeSearch, Usage]:
    """The answer to one problem, its tree, and what it took."""
    root = policy.start(problem)
    tree = ets.TreeSearch(
        strategy,
        prompt_tokens=root.prompt_tokens,
        seed=problem_seed(seed, problem),
        max_tokens=max_tokens,
        max_depth=max_depth,
    )
    usage, prefixes = Usage(), {0: root}
    while asks := tree.ask():
        wanted = [
            (ask.node, index, s)
            for ask in asks
            for index, s in zip(ask.indices, ask.seeds, strict=True)
        ]
        counters = usage.at(tree.depth + 1)
        steps = await asyncio.gather(
            *(policy.sample(prefixes[n], seed=s, max_tokens=max_step_tokens) for n, _, s in wanted)
        )
        children = [prefixes[n].extend(step) for (n, _, _), step in zip(wanted, steps, strict=True)]
        scores = await asyncio.gather(*(prm.score(child) for child in children))
        told = []
        for (node, index, _), step, score in zip(wanted, steps, scores, strict=True):
            counters.add_step(step)
            counters.add_score(score)
            tokens = len(step.token_ids)
            embedding = None
            if tree.needs_embedding(node, tokens, step.finished):
                embedding = await embedder.embed(step.text)
            told.append(
                ets.Child(
                    parent=node,
                    index=index,
                    tokens=tokens,
                    reward=min(1.0, max(0.0, round(score.reward, 6))),
                    finished=step.finished,
                    text=step.text,
                    embedding=embedding,
                )
            )
        tree.tell(told)
        prefixes = dict(zip(tree.nodes.levels[-1], children, strict=False))
    votes = vote(
        [extract_answer("".join(t or "" for t in done.texts)) for done in tree.trajectories],
        [aggregate(done.rewards, "last") for done in tree.trajectories],
        "weighted",
    )
    return (votes[0].answer if votes else None), tree, usage
