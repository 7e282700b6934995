"""What a stream shows: nothing that is ever taken back, and all of it in the end."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import ets
from ets.rollout.result import SearchResult
from scripted import World, play

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")
from ets.serve.certain import Certainty, certain_of, certain_text, shown_part
from ets.serve.solutions import chosen

STRATEGIES = (
    ets.ETS(width=6),
    ets.ETS(width=6, lambda_d=0.0),
    ets.REBASE(width=5),
    ets.BeamSearch(width=4),
    ets.DVTS(width=4),
    ets.BestOfN(width=3),
    ets.ParticleFilter(width=4),
    ets.MPTS(width=6),
)
SEARCHES = {
    "strategy": st.sampled_from(STRATEGIES),
    "seed": st.integers(0, 10**6),
    "groups": st.integers(1, 3),
    "finish": st.sampled_from((0.05, 0.3)),
    "end": st.none() | st.integers(1, 6),
}


def searched(strategy: Any, seed: int, groups: int, finish: float, end: int | None) -> SearchResult:
    """Few texts, so that steps often are equal; with `end` a budget ends it after so many steps."""
    world = World(seed=seed, groups=groups, wordings=1, finish=finish)
    tree = ets.TreeSearch(strategy, prompt_tokens=5, max_depth=8)
    for _ in range(end or 0):
        asks = tree.ask()
        tree.tell([world.child(tree, ask.node, i) for ask in asks for i in ask.indices])
    if end is not None:
        tree.stop("token_budget")
    return SearchResult.of(play(tree, world))


@given(**SEARCHES)
@settings(max_examples=150, deadline=None)
def test_what_was_certain_stays_the_beginning_of_every_solution(**given: Any) -> None:
    result = searched(**given)
    certainty = Certainty()
    for event in result.tree.events:
        before = certainty.text
        assert certainty.take(event, result.tree.nodes) == (certainty.text != before)
        assert certainty.text.startswith(before)
    assert certain_of(result.tree.events, result.tree.nodes) == certainty.text
    for solution in result.trajectories:
        assert solution.text.startswith(certainty.text)
    (first, *_) = chosen(result, certainty.text, 1, ())
    assert first.text.startswith(certainty.text)


@given(stops=st.lists(st.sampled_from(("0.01", ".0", "1.01.0", "\n")), max_size=3), **SEARCHES)
@settings(max_examples=100, deadline=None)
def test_the_joined_stream_is_the_whole_answer(stops: list[str], **given: Any) -> None:
    result = searched(**given)
    certainty, shown = Certainty(), ""
    for event in result.tree.events:
        certainty.take(event, result.tree.nodes)
        part = shown_part(certainty.text, stops, over=False)
        assert part.startswith(shown)
        shown = part
    (whole, *_) = chosen(result, certain_of(result.tree.events, result.tree.nodes), 1, stops)
    assert whole.text.startswith(shown)


def test_certain_is_more_than_nothing_and_less_than_all() -> None:
    sizes = []
    for seed in range(40):
        result = searched(ets.REBASE(width=5), seed, 2, 0.3, None)
        certain = certain_of(result.tree.events, result.tree.nodes)
        sizes.append((len(certain), max(len(s.text) for s in result.trajectories)))
    assert any(certain for certain, _ in sizes)
    assert any(certain < whole for certain, whole in sizes)


@given(seed=st.integers(0, 1000), data=st.data())
@settings(max_examples=60, deadline=None)
def test_it_is_the_longest_run_of_steps_that_all_paths_share(seed: int, data: Any) -> None:
    tree = searched(ets.REBASE(width=4), seed, 2, 0.2, None).tree
    live = data.draw(st.sets(st.integers(1, len(tree.nodes) - 1), min_size=1, max_size=4))
    paths = []
    for node in live:
        path: list[str] = []
        while node:
            path.insert(0, tree.nodes.text[node] or "")
            node = tree.nodes.parent[node]
        paths.append(path)
    shared = []
    for texts in zip(*paths, strict=False):
        if len(set(texts)) > 1:
            break
        shared.append(texts[0])
    assert certain_text(tree.nodes, sorted(live)) == "".join(shared)


def test_nothing_is_certain_of_no_path() -> None:
    tree = searched(ets.REBASE(width=4), 0, 2, 0.2, None).tree
    assert certain_text(tree.nodes, []) == ""
    assert certain_text(tree.nodes, [0]) == ""


@given(text=st.text("ab", max_size=12), stops=st.lists(st.text("ab", min_size=1, max_size=4)))
@example(text="aab", stops=["aab", "a"])
@example(text="abb", stops=["b", "abb"])
def test_a_stop_is_never_shown_however_the_text_comes(text: str, stops: list[str]) -> None:
    whole = shown_part(text, stops, over=True)
    assert whole == min((text.partition(stop)[0] for stop in stops), key=len, default=text)
    shown = ""
    for end in range(len(text) + 1):
        part = shown_part(text[:end], stops, over=False)
        assert part.startswith(shown)
        assert whole.startswith(part)
        shown = part


def test_the_best_answers_come_first_and_each_once() -> None:
    texts = ["The answer is 1.", "The answer is 2.", "So the answer is 1.", "The answer is 3."]
    rewards = [0.2, 0.9, 0.9, 0.1]
    tree = ets.TreeSearch(ets.BestOfN(width=4), prompt_tokens=3)
    from ets.tree_search.search import Child

    (ask, *_) = tree.ask()
    tree.tell(
        Child(parent=0, tokens=7, reward=reward, finished=True, text=text, index=at)
        for at, (text, reward) in enumerate(zip(texts, rewards, strict=True))
    )
    result = SearchResult.of(tree)
    assert [s.text for s in chosen(result, "", 5, ())] == [texts[2], texts[1], texts[3]]
    assert [s.finish for s in chosen(result, "", 2, ["answer"])] == ["stop", "stop"]
    assert [s.text for s in chosen(result, "", 2, ["answer"])] == ["So the ", "The "]
    assert ask.node == 0
