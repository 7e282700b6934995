"""`Search.resume`: a tree that was saved half way is searched on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

import ets
from ets.embed.lexical import LexicalEmbedder
from ets.policy import load_policy
from ets.tree_search import TreeSearch
from scripted_engines import ScriptedPolicy, ScriptedPRM

PROBLEM = "Tom has 3 apples. Tom finds 14 apples. Tom eats 2 apples. How many apples does Tom have?"


@pytest.fixture(scope="module")
def demo() -> Iterator[ets.Search]:
    with ets.Search(strategy=ets.ETS(width=12), seed=5) as search:
        yield search


def left_half_way(whole: TreeSearch, steps: int, more: int = 0) -> TreeSearch:
    """The search as it was after so many steps and `more` samples, read from its file."""
    half = TreeSearch(
        whole.strategy,
        whole.prompt_tokens,
        seed=whole.seed,
        max_tokens=whole.max_tokens,
        max_depth=whole.max_depth,
    )
    nodes = whole.nodes
    places = {(nodes.parent[v], nodes.index[v]): v for v in range(1, len(nodes))}
    embed = LexicalEmbedder().vector

    def child(parent: int, index: int) -> ets.Child:
        node = places[parent, index]
        text, tokens, finished = nodes.text[node] or "", nodes.tokens[node], nodes.finished[node]
        wanted = half.needs_embedding(parent, tokens, finished)
        return ets.Child(
            parent,
            tokens,
            nodes.reward[node],
            finished=finished,
            text=text,
            index=index,
            embedding=embed(text) if wanted else None,
        )

    for _ in range(steps):
        half.tell([child(ask.node, index) for ask in half.ask() for index in ask.indices])
    if more:
        asked = [(ask.node, index) for ask in half.ask() for index in ask.indices]
        assert more < len(asked)
        half.tell([child(*place) for place in asked[:more]])
    assert half.end is None
    return TreeSearch.from_json(half.to_json())


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_what_was_left_half_way_ends_as_if_nothing_had_happened(
    demo: ets.Search, steps: int
) -> None:
    whole = demo.solve(PROBLEM)
    result = demo.resume(left_half_way(whole.tree, steps), PROBLEM)
    assert result.tree.to_json() == whole.tree.to_json()
    assert result.votes == whole.votes
    left = sum(step.policy_calls for step in whole.usage.steps[steps:])
    assert result.usage.policy_calls == left > 0


@pytest.mark.parametrize("told", [1, 5])
def test_a_step_of_which_some_children_were_told_goes_on(demo: ets.Search, told: int) -> None:
    """Their token ids are nowhere: what follows them is sampled behind their texts."""
    whole = demo.solve(PROBLEM).tree
    saved = left_half_way(whole, 1, more=told)
    assert demo.resume(saved, PROBLEM).tree.to_json() == whole.to_json()


def test_a_search_that_is_over_is_voted_on(demo: ets.Search) -> None:
    whole = demo.solve(PROBLEM)
    again = demo.resume(TreeSearch.from_json(whole.tree.to_json()), PROBLEM)
    assert (again.answer, again.votes, again.usage.policy_calls) == (whole.answer, whole.votes, 0)


def test_resuming_from_a_coroutine(demo: ets.Search) -> None:
    whole = demo.solve(PROBLEM).tree
    result = asyncio.run(demo.aresume(left_half_way(whole, 1), PROBLEM))
    assert result.tree.to_json() == whole.to_json()


def test_a_step_is_read_as_the_policy_wrote_it() -> None:
    policy: Any = load_policy("demo")
    prefix = policy.start(PROBLEM)
    for seed in range(4):
        step = asyncio.run(policy.sample(prefix, seed=seed, max_tokens=64))
        if step.finish != "step":
            break
        assert policy.reread(prefix, step.text).token_ids == step.token_ids
        prefix = prefix.extend(step)
    assert len(prefix.steps) >= 2
    asyncio.run(policy.aclose())


# -- what is refused -------------------------------------------------------------------------------


def test_what_cannot_be_taken_up_is_one_line(demo: ets.Search) -> None:
    saved = left_half_way(demo.solve(PROBLEM).tree, 1)
    with pytest.raises(ets.InputError, match=r"tree must be of this problem and policy: its"):
        demo.resume(saved, "Ann has 3 pears and 2 plums. How many?")
    with pytest.raises(ets.InputError, match="tree must be a TreeSearch, got 'x'"):
        demo.resume("x", PROBLEM)  # type: ignore[arg-type]
    with (
        ets.Search(strategy=ets.REBASE(width=4)) as other,
        pytest.raises(ets.InputError, match="needs an embedder, and this search has none"),
    ):
        other.resume(saved, PROBLEM)


def test_a_policy_that_cannot_read_texts_is_named() -> None:
    with ets.Search(ScriptedPolicy(), ScriptedPRM(), ets.REBASE(width=4)) as search:
        tree = search.solve("p").tree
        half = TreeSearch(ets.REBASE(width=4), tree.prompt_tokens)
        half.tell(
            ets.Child(0, 3, 0.5, text="So.", index=i) for ask in half.ask() for i in ask.indices
        )
        with pytest.raises(ets.InputError, match=r"reread\(prefix, text\) .* got ScriptedPolicy"):
            search.resume(half, "p")
        bare = TreeSearch(ets.REBASE(width=4), tree.prompt_tokens)
        bare.tell(ets.Child(0, 3, 0.5, index=i) for ask in bare.ask() for i in ask.indices)
        with pytest.raises(ets.InputError, match=r"node \d has no text, so nothing can follow it"):
            search.resume(bare, "p")
