"""Searches with the bundled pair through transformers, from problem to answer."""

from __future__ import annotations

from typing import Any

import pytest

import ets
from ets import demo
from ets.answer import same_answer
from ets.tree.events import Pruned

pytest.importorskip("torch", reason="torch is not installed (the extra 'torch' brings it)")

PROBLEMS = demo.problems()[:12]  # two of each number of steps
TEXTS = [str(problem["problem"]) for problem in PROBLEMS]


def trees(results: Any) -> list[str]:
    return [result.tree.to_json() for result in results]


@pytest.mark.parametrize("strategy", [ets.ETS(width=8), ets.REBASE(width=8)], ids=repr)
def test_the_same_seed_gives_the_same_search_whatever_the_concurrency(strategy: Any) -> None:
    """The policy in fp32, the PRM in float64: nothing of the batch's make-up is left."""
    with ets.Search(strategy=strategy, seed=1) as search:
        alone = trees(search.solve(text) for text in TEXTS[:4])
        for concurrency in (1, 4, 32):
            assert trees(search.map(TEXTS[:4], concurrency=concurrency)) == alone
    with ets.Search(strategy=strategy, seed=1) as anew:
        assert trees(anew.map(TEXTS[:4], concurrency=4)) == alone


def test_in_fp32_the_decisions_are_the_same_whatever_the_concurrency() -> None:
    """Rewards may differ by the rounding of matrix products, steps and answers may not."""
    with ets.Search(
        strategy=ets.REBASE(width=8), seed=2, prm_options={"dtype": "float32"}
    ) as search:
        alone = [search.solve(text) for text in TEXTS[:4]]
        together = list(search.map(TEXTS[:4], concurrency=4))
    for one, other in zip(alone, together, strict=True):
        assert one.tree.nodes.parent == other.tree.nodes.parent
        assert one.tree.nodes.text == other.tree.nodes.text
        assert one.tree.nodes.reward == pytest.approx(other.tree.nodes.reward, abs=1e-5)
        assert one.answer == other.answer


def test_search_with_the_bundled_pair_finds_right_answers() -> None:
    """A smoke test, not a measurement: docs/results.md has those."""
    with ets.Search(strategy=ets.ETS(width=16)) as search:
        results = list(search.map(TEXTS))
    right = [
        result.answer is not None and same_answer(result.answer, str(problem["answer"]))
        for problem, result in zip(PROBLEMS, results, strict=True)
    ]
    assert sum(right) >= 8, right
    for result in results:
        assert 0 < result.kv.after.sum <= result.kv.before.sum
        # Every policy prompt but its own step was in the cache or computed once.
        assert result.usage.policy_cached_tokens > 0.8 * result.usage.policy_prompt_tokens
        assert result.usage.prm_cached_tokens > 0.5 * result.usage.prm_tokens


def test_sentence_embeddings_cluster_a_search(minilm_path: str) -> None:
    with ets.Search(
        strategy=ets.ETS(width=8), embedder=f"sentence-transformers:{minilm_path}"
    ) as search:
        result = search.solve(TEXTS[2])
    clusters = [event.clusters for event in result.tree.events if isinstance(event, Pruned)]
    assert max(clusters) > 1
    assert result.answer is not None
