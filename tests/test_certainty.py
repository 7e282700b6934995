"""How certain a policy was: the four numbers, where they come from, and where they are kept."""

from __future__ import annotations

import asyncio
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tokenizers import Tokenizer

import ets
from certainty_cases import PROBLEM, plain_measures, wrong_places
from ets import demo
from ets.bench.bank import SampleBank
from ets.bench.banked import BankedPolicy
from ets.certainty import Certainty
from ets.engines import Prefix, Step
from ets.engines.values import checked_step
from ets.policy import load_policy
from ets.rollout.saved_tree import prefix_of

LOGITS = arrays(np.float64, (3, 12), elements=st.floats(-30, 30))


def log_softmax(logits: np.ndarray) -> np.ndarray:
    raised = logits - logits.max(axis=-1, keepdims=True)
    found: np.ndarray = raised - np.log(np.exp(raised).sum(axis=-1, keepdims=True))
    return found


@given(LOGITS, st.lists(st.integers(0, 11), min_size=3, max_size=3), st.integers(1, 12))
def test_the_numbers_are_those_of_a_plain_computation(
    logits: np.ndarray, tokens: list[int], top: int
) -> None:
    logs = log_softmax(logits)
    likeliest = np.sort(logs, axis=1)[:, ::-1][:, :top]
    certain = Certainty.of(logs[range(3), tokens], likeliest, 12)
    assert len(certain) == 3
    for at, token in enumerate(tokens):
        for measure, value in plain_measures(logs[at], token, top).items():
            assert certain.of_tokens(measure)[at] == pytest.approx(value, rel=1e-5, abs=1e-5)


@given(LOGITS)
def test_with_the_whole_vocabulary_nothing_is_guessed(logits: np.ndarray) -> None:
    logs = log_softmax(logits)
    certain = Certainty.of(logs[:, 0], logs, 12)
    entropy = -(np.exp(logs) * logs).sum(axis=1)
    assert certain.of_tokens("entropy") == pytest.approx(entropy, rel=1e-5, abs=1e-5)
    far = -np.log(12) - logs.mean(axis=1)
    assert certain.of_tokens("self_certainty") == pytest.approx(far, rel=1e-5, abs=1e-5)


@given(LOGITS, st.integers(1, 11))
def test_what_is_not_known_only_lowers_self_certainty(logits: np.ndarray, top: int) -> None:
    """The rule for the rest is a bound: a distribution with this top k is at least so certain."""
    logs = log_softmax(logits)
    known = Certainty.of(logs[:, 0], np.sort(logs, axis=1)[:, ::-1][:, :top], 12)
    whole = Certainty.of(logs[:, 0], logs, 12)
    below = whole.of_tokens("self_certainty") - known.of_tokens("self_certainty")
    assert below.min() > -1e-4


def test_rows_may_have_fewer_and_impossible_tokens_count_as_such() -> None:
    certain = Certainty.of([-0.5, -9999.0], [[-0.5, -1.0, -2.0], [-0.1, -np.inf]], 50)
    assert certain.of_tokens("logprob").tolist() == [-0.5, -100.0]
    assert certain.of_tokens("confidence") == pytest.approx([3.5 / 3, 100.1 / 2])
    assert len(certain.first(1)) == 1
    assert certain.first(1).then(Certainty(certain.packed[16:])) == certain


@pytest.mark.parametrize(
    ("given_", "said"),
    [
        (([-1.0], [], 9), r"top must have a row for each of the 1 tokens sampled, got 0"),
        (([-1.0], [[]], 9), r"top\[0\] must hold 1 to 9 log-probabilities, got 0"),
        (([-1.0], [[-1.0, -2.0]], 1), r"top\[0\] must hold 1 to 1 log-probabilities, got 2"),
        (([float("nan")], [[-1.0]], 9), "must be numbers, got nan"),
        (([-1.0], [[-1.0]], 0), "vocabulary must be at least 1, got 0"),
    ],
)
def test_what_is_none_is_refused(
    given_: tuple[list[float], list[list[float]], int], said: str
) -> None:
    with pytest.raises(ets.InputError, match=said):
        Certainty.of(*given_)


def test_a_damaged_one_is_refused() -> None:
    with pytest.raises(ets.InputError, match="packed must be the bytes of float32"):
        Certainty(b"123")
    with pytest.raises(ets.InputError, match=r"must hold finite numbers, got \[nan.* for token 1"):
        Certainty(np.array([[0.0] * 4, [np.nan] * 4], dtype="<f4").tobytes())
    with pytest.raises(ets.EngineError, match=r"gave Step\.certainty 0\.5; it must be an ets"):
        checked_step(Step("a", (1,), "end", certainty=0.5), object())  # type: ignore[arg-type]


# --- on the bundled policy ------------------------------------------------------------------------


def sampled(name: str, top: int, count: int = 6) -> list[tuple[Prefix, Step]]:
    """Two steps behind each other, `count` times."""

    async def sample() -> list[tuple[Prefix, Step]]:
        policy = load_policy(name, top_logprobs=top)
        root = policy.start(PROBLEM)
        try:
            first = [await policy.sample(root, seed=i, max_tokens=64) for i in range(count)]
            children = [root.extend(step) for step in first]
            second = await asyncio.gather(
                *(policy.sample(child, seed=7, max_tokens=64) for child in children)
            )
        finally:
            await policy.aclose()
        return [*((root, step) for step in first), *zip(children, second, strict=True)]

    return asyncio.run(sample())


@pytest.mark.parametrize("top", [5, 20, 100_000])
@pytest.mark.parametrize("name", ["demo", "demo?backend=transformers"])
def test_a_step_carries_what_raw_logits_say(name: str, top: int) -> None:
    from plain_demo import plain_logprobs

    size = Tokenizer.from_file(f"{demo.policy_path()}/tokenizer.json").get_vocab_size()
    steps = [(prefix, step) for prefix, step in sampled(name, top) if step.token_ids]
    assert len(steps) == 12
    for prefix, step in steps:
        assert step.certainty is not None
        assert len(step.certainty) == len(step.token_ids)
        logs = plain_logprobs(list(prefix.token_ids), list(step.token_ids))
        assert logs.shape[1] >= size
        assert wrong_places(step.certainty, step.token_ids, logs, min(top, logs.shape[1])) == []


def test_numbers_come_only_where_they_are_asked_for() -> None:
    assert {step.certainty for _, step in sampled("demo", 0)} == {None}
    asked = [step.token_ids for _, step in sampled("demo", 3)]
    assert asked == [step.token_ids for _, step in sampled("demo", 0)], "asking changes the steps"


def test_a_tree_keeps_them_and_searches_on_with_them() -> None:
    with ets.Search(policy="demo", prm="policy?of=path", strategy=ets.REBASE(width=4)) as search:
        tree = search.solve(PROBLEM).tree
    kept = tree.nodes.certainty
    assert kept[0] is None
    lengths = [len(c) for c in kept[1:] if c is not None]
    assert len(lengths) == len(kept) - 1
    assert sum(lengths) == sum(tree.nodes.tokens[1:])
    for other in (ets.TreeSearch.from_json(tree.to_json()), pickle.loads(pickle.dumps(tree))):
        assert other.nodes.certainty == kept
        assert other == tree
    policy = load_policy("demo")
    try:
        leaf = tree.trajectories[0].node
        prefix = prefix_of(leaf, tree, {0: policy.start(PROBLEM)}, policy)
        path = tree.nodes.path(leaf)
        assert [step.certainty for step in prefix.steps] == [kept[node] for node in path]
    finally:
        asyncio.run(policy.aclose())


def test_a_tree_without_them_is_saved_as_before() -> None:
    with ets.Search(policy="demo", prm="none", strategy=ets.REBASE(width=2)) as search:
        tree = search.solve(PROBLEM).tree
    assert "certainty" not in tree.to_json()


def test_damage_in_a_saved_tree_is_told() -> None:
    with ets.Search(policy="demo", prm="policy", strategy=ets.REBASE(width=2)) as search:
        saved = search.solve(PROBLEM).tree.to_dict()
    saved["nodes"]["certainty"][1] = "AAAA"
    with pytest.raises(ets.InputError, match=r"nodes.certainty\[1\] must be packed numbers"):
        ets.TreeSearch.from_dict(saved)
    saved["nodes"]["certainty"] = [None]
    with pytest.raises(ets.InputError, match="damaged"):
        ets.TreeSearch.from_dict(saved)


def test_a_bank_keeps_them_with_the_step(tmp_path: Path) -> None:
    async def twice() -> list[Step]:
        policy = load_policy("demo", top_logprobs=20)
        with SampleBank(tmp_path / "bank") as bank:
            banked = BankedPolicy(policy, bank, b"model")
            root = banked.start(PROBLEM)
            steps = [await banked.sample(root, seed=1, max_tokens=64) for _ in range(2)]
            await banked.aclose()
        return steps

    first, second = asyncio.run(twice())
    assert (first.banked, second.banked) == (False, True)
    assert first.certainty == second.certainty is not None


def test_a_step_made_of_two_has_the_numbers_of_both() -> None:
    one, two = (Certainty.of([-x], [[-x]], 9) for x in (1.0, 2.0))
    first, second = Step("a", (1,), "step", certainty=one), Step("b", (2,), "end", certainty=two)
    assert first.then(second).certainty == one.then(two)
    assert first.then(Step("b", (2,), "end")).certainty is None
    assert pickle.loads(pickle.dumps(first)) == first
