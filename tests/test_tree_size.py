"""Large and deep searches: the work of a step, of saving and of a page does not grow with depth."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from ets import _core
from ets.answer.tally import Tally
from ets.search import SearchResult
from ets.strategy import ETS, REBASE, BestOfN
from ets.tree.events import Scored
from ets.tree.frontier import Frontier
from ets.tree.nodes import Nodes
from ets.tree_page import reasons
from ets.tree_page.page import tree_page
from ets.tree_search.asks import OpenStep
from ets.tree_search.search import Child, TreeSearch

DEPTH = 10_000  # ten times Python's limit of recursion


class Watched:
    """A tree that says what was summed over all of it."""

    def __init__(self, tree: _core.Tree) -> None:
        self.tree = tree
        self.sums = 0

    def extend(self, parents: Any, tokens: Any) -> Any:
        return self.tree.extend(parents, tokens)

    def contracted(self, leaves: Any) -> Any:
        return self.tree.contracted(leaves)

    def kv_tokens(self, leaves: Any) -> int:
        self.sums += 1
        return self.tree.kv_tokens(leaves)


def grow(search: TreeSearch) -> Iterator[None]:
    """Step by step to the end; rewards are equal, so that nothing is pruned."""
    while asks := search.ask():
        search.tell([Child(ask.node, 3, 0.5, text="x") for ask in asks for _ in ask.indices])
        yield


def deep(width: int, depth: int) -> TreeSearch:
    search = TreeSearch(BestOfN(width=width), 50, max_tokens=10**9, max_depth=depth)
    for _ in grow(search):
        pass
    return search


@pytest.fixture(scope="module")
def chain() -> TreeSearch:
    return deep(1, DEPTH)


def test_a_step_looks_at_no_more_nodes_however_deep_it_is() -> None:
    search = TreeSearch(REBASE(width=4), 50, max_tokens=10**9, max_depth=400)
    watched = Watched(search.tree)
    search.tree = watched  # type: ignore[assignment]
    sizes = [len(search._frontier) for _ in grow(search)]
    # Four runs below the root; where they have more than 64 nodes, each is one.
    assert sizes[:-1] == [1 + 4 * depth for depth in range(1, 65)] + [5] * (399 - 64)
    assert watched.sums == 0
    kept = [step.kv_after for step in search.kv]
    assert kept == [50, *(50 + 4 * 3 * depth for depth in range(1, 400))]


def test_a_frontier_holds_what_the_tree_holds_where_paths_part_and_end() -> None:
    rng = np.random.default_rng(0)
    tree = _core.Tree(50)
    frontier, nodes = Frontier(tree, [0]), [0]
    for _ in range(200):
        chosen = rng.choice(nodes, size=int(rng.integers(1, len(nodes) + 1)), replace=False)
        parents = np.sort(rng.choice(chosen, size=int(rng.integers(1, 9))))
        tokens = rng.integers(0, 40, size=len(parents))
        nodes = tree.extend(parents, tokens).tolist()
        frontier = frontier.grow(nodes, parents.tolist(), tokens.tolist())
        for _ in range(3):
            some = rng.random(len(nodes)) < 0.5
            assert frontier.kv_tokens(some) == tree.kv_tokens(np.array(nodes)[some])
        assert len(frontier) <= 2 * 64 * len(nodes)


def test_what_is_missing_is_counted_as_it_is_told() -> None:
    """Summed over the step at each call, telling one child after another would be quadratic."""
    open_step = OpenStep()
    for node in range(20):
        open_step.want(node, 1, 0, 3)
    open_step.want(5, 1, 3, 2)
    open_step.want(5, 1, 4, 2)  # a saved search may say so
    told = 0
    for ask in open_step.asks[:-1]:
        for _ in ask.indices:
            open_step.take(open_step.check([Child(ask.node, 1, 0.5)], lambda *_: False))
            told += 1
            assert open_step.missing == 20 * 3 + 3 - told
            assert open_step.missing == sum(map(len, open_step._untold.values()))


def test_saving_copies_no_entry_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """`asdict` did, and took 35 s for a million nodes."""
    search = deep(3, 50)

    def refused(value: object, memo: object = None) -> object:
        raise AssertionError(f"copied {value!r}")

    monkeypatch.setattr(copy, "deepcopy", refused)
    saved = search.to_dict()
    scored = next(event for event in search.events if isinstance(event, Scored))
    assert any(event.get("nodes") is scored.nodes for event in saved["events"])
    assert TreeSearch.from_json(search.to_json()) == search


def test_a_path_is_walked_for_its_trajectory_only(monkeypatch: pytest.MonkeyPatch) -> None:
    walked = []
    path = Nodes.path

    def counted(self: Nodes, node: int) -> tuple[int, ...]:
        walked.append(node)
        return path(self, node)

    monkeypatch.setattr(Nodes, "path", counted)
    search = deep(3, 200)
    assert walked == [done.node for done in search.trajectories]
    TreeSearch.from_json(search.to_json())
    assert len(walked) == 2 * len(search.trajectories)


def test_the_page_selects_in_no_whole_tree() -> None:
    search = TreeSearch(ETS(width=4, lambda_d=0.0), 50, max_tokens=10**9, max_depth=300)
    for _ in grow(search):
        pass
    # Which has no `select`.
    search.tree = Watched(search.tree)  # type: ignore[assignment]
    assert len(reasons.verdicts(search)) == len(search.nodes)
    assert search.tree.sums == 0  # type: ignore[attr-defined]


def test_the_page_sums_over_no_path(chain: TreeSearch) -> None:
    loaded = TreeSearch.from_dict(chain.to_dict(), strategy=REBASE(width=1))
    watched = Watched(loaded.tree)
    loaded.tree = watched  # type: ignore[assignment]
    shares = [verdict.share for verdict in reasons.verdicts(loaded)]
    assert shares[:-1] == [1] * DEPTH
    assert watched.sums == 0


def test_a_path_deeper_than_recursion_goes_everywhere(chain: TreeSearch) -> None:
    assert chain.depth == DEPTH
    text = chain.to_json()
    assert TreeSearch.from_json(text).to_json() == text
    assert pickle.loads(pickle.dumps(chain)) == copy.deepcopy(chain) == chain
    result = SearchResult.of(chain, problem="q")
    assert len(result.trajectories[0].rewards) == DEPTH
    assert result.to_dict()["trajectories"][0]["text"] == "x" * DEPTH
    assert pickle.loads(pickle.dumps(result)) == result
    assert len(tree_page(chain, Tally().count(chain.trajectories))) > DEPTH
    assert chain.tree.path(DEPTH) == list(range(DEPTH + 1))
