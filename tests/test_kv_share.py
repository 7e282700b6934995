"""Shares of an engine's KV cache: what a tree may keep, and how much runs at once."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

import ets
from ets.engines.kv_space import HasKVSpace, KVSpace
from ets.rollout.kv_ledger import KVLedger
from ets.rollout.kv_shares import KVShares
from ets.rollout.site import LocalSite
from ets.step import Prefix, Step
from ets.tree_search.search import Child, TreeSearch
from scripted_engines import ScriptedPolicy
from scripted_search import PROBLEMS, outcome, search

PROMPT, MAX_TOKENS = 5, 60


class CachedPolicy(ScriptedPolicy):
    """A scripted policy with a KV cache, which notes the most samples that one problem had."""

    def __init__(self, tokens: int, block_size: int = 4) -> None:
        super().__init__()
        self.space = KVSpace(tokens=tokens, block_size=block_size)
        self.at_once: dict[str, int] = {}
        self.most_of_one = 0
        self.most_problems = 0

    async def kv_space(self) -> KVSpace:
        return self.space

    async def sample(self, prefix: Prefix, *, seed: int, max_tokens: int) -> Step:
        self.at_once[prefix.problem] = self.at_once.get(prefix.problem, 0) + 1
        self.most_of_one = max(self.most_of_one, self.at_once[prefix.problem])
        self.most_problems = max(self.most_problems, sum(n > 0 for n in self.at_once.values()))
        try:
            return await super().sample(prefix, seed=seed, max_tokens=max_tokens)
        finally:
            self.at_once[prefix.problem] -= 1


def auto(policy: CachedPolicy, strategy: Any = None, **options: Any) -> ets.Search:
    options = {"kv_budget": "auto", "max_tokens": MAX_TOKENS, **options}
    return search(strategy or ets.ETS(width=16), policy=policy, **options)


def kept_and_budget(result: ets.SearchResult) -> list[tuple[int, int]]:
    """KV tokens kept and the most that they were allowed to be, of each step after the root's."""
    steps = []
    for step in result.kv[1:]:
        assert step.kv_budget is not None
        steps.append((step.kv_after, step.kv_budget))
    return steps


# -- the budget of a tree --------------------------------------------------------------------------


@pytest.mark.parametrize("tokens", [200, 300, 500])
def test_a_tree_alone_keeps_no_more_than_the_cache_holds(tokens: int) -> None:
    strategy = ets.ETS(width=16, lambda_b=0.0)  # which keeps all that the budget lets it
    with auto(CachedPolicy(tokens), strategy) as s, search(strategy, max_tokens=MAX_TOKENS) as free:
        bound, unbound = s.solve("p"), free.solve("p")
    for kept, budget in kept_and_budget(bound):
        assert kept <= budget <= max(tokens, PROMPT + MAX_TOKENS)
    if tokens == 200:
        assert bound.kv.after.peak < unbound.kv.after.peak, "the budget was never in the way"
    assert bound.trajectories


def test_a_cache_with_room_for_all_changes_nothing() -> None:
    with auto(CachedPolicy(10**6)) as s, search(ets.ETS(width=16), max_tokens=MAX_TOKENS) as free:
        for problem in PROBLEMS[:4]:
            bound, unbound = s.solve(problem), free.solve(problem)
            assert bound.trajectories == unbound.trajectories
            assert bound.tree.nodes.reward == unbound.tree.nodes.reward


def test_problems_in_flight_share_the_cache() -> None:
    policy = CachedPolicy(1200)
    with auto(policy) as s:
        results = list(s.map(PROBLEMS, concurrency=4))
    steps = [step for result in results for step in kept_and_budget(result)]
    assert max(budget for _, budget in steps) <= 1200
    assert min(budget for _, budget in steps) <= 1200 // 4
    assert all(kept <= budget for kept, budget in steps)


def test_a_given_budget_holds_whatever_the_concurrency() -> None:
    outcomes = []
    for concurrency in (1, 6):
        with search(ets.ETS(width=16), kv_budget=80, max_tokens=MAX_TOKENS) as s:
            results = list(s.map(PROBLEMS, concurrency=concurrency))
        assert all(step.kv_after <= 80 for result in results for step in result.kv)
        outcomes.append([outcome(result) for result in results])
    assert outcomes[0] == outcomes[1]


# -- how much runs at once -------------------------------------------------------------------------


def test_samples_that_have_no_room_wait() -> None:
    policy = CachedPolicy(2 * (PROMPT + MAX_TOKENS))
    with auto(policy) as s:
        result = s.solve("p")
    # Before the first step is known, a sample is taken to be as long as max_step_tokens, 12.
    assert 1 <= policy.most_of_one < 16
    assert len(result.tree.nodes.levels[1]) == 16


def test_no_more_problems_than_leave_room_for_two_trajectories_each() -> None:
    policy = CachedPolicy(4 * MAX_TOKENS)
    with auto(policy) as s:
        list(s.map(PROBLEMS, concurrency=12))
    assert policy.most_problems <= 2


def test_concurrency_auto_follows_what_problems_need() -> None:
    policy = CachedPolicy(2000)
    many = [f"problem {i}" for i in range(40)]
    with search(ets.ETS(width=16), policy=policy, max_tokens=200) as s:
        alone = [outcome(s.solve(problem)) for problem in many]
        assert [outcome(r) for r in s.map(many, concurrency="auto")] == alone
    # The 5 that max_tokens alone promises, until the first has shown how little it needs.
    assert 5 < policy.most_problems < 40


def test_samples_run_in_the_room_that_all_trees_leave() -> None:
    """The second tree's samples may take what the first does not use of its share."""
    shares = KVShares(KVLedger(KVSpace(1000, 10)), max_tokens=100, max_step_tokens=20)
    trees = [TreeSearch(ets.ETS(width=40, lambda_d=0.0), prompt_tokens=50) for _ in range(2)]
    gates = [shares.share().gate(tree) for tree in trees]

    async def entered() -> int:
        running = 0

        async def sample() -> None:
            nonlocal running
            async with gates[1]():
                running += 1
                await asyncio.sleep(60)

        samples = [asyncio.create_task(sample()) for _ in range(40)]
        await asyncio.sleep(0.05)
        for task in samples:
            task.cancel()
        await asyncio.gather(*samples, return_exceptions=True)
        return running

    # 900 tokens beside two prompts; each sample may take 20 and nearly a block, so three blocks.
    assert asyncio.run(entered()) == 30
    assert asyncio.run(entered()) == 30, "cancelled samples gave their room back"


def test_shares_count_those_in_flight() -> None:
    shares = KVShares(KVLedger(KVSpace(1000, 10)), max_tokens=100, max_step_tokens=20)
    first, second = shares.share(), shares.share()
    assert (shares.tokens, shares.most_problems) == (500, 5)
    tree = TreeSearch(ets.ETS(width=8, lambda_d=0.0), prompt_tokens=50)
    (ask,) = tree.ask()
    children = [Child(parent=0, tokens=30, reward=0.5, index=i) for i in ask.indices]
    # 8 samples of 30 and a block are 320, of which half of the share is kept free.
    tree.tell(children)
    tree.remaining = 8  # none of them has ended
    assert first.tokens(tree) == 250
    assert shares.problems_at_once() == 5
    second.leave(tree)  # half way, which says nothing of its need
    assert (shares.tokens, shares.problems_at_once()) == (1000, 5)
    tree.stop("enough")
    first.leave(tree)
    # It needed 50 + 8 * 30 tokens before a selection, and a block for each of the 8.
    assert shares.problems_at_once() == 1000 // 370


def test_a_problem_that_needs_more_than_there_is_runs_alone() -> None:
    ledger = KVLedger(KVSpace(1000, 10))
    shares = KVShares(ledger, max_tokens=100, max_step_tokens=20)
    ledger.enter()
    ledger.leave(1001)
    assert shares.problems_at_once() == 1


def test_transformers_share_what_they_keep_between_calls(pair_paths: tuple[Path, Path]) -> None:
    from ets.policy.transformers import TransformersPolicy

    policy = TransformersPolicy(pair_paths[0], cache_tokens=1500)
    assert isinstance(policy, HasKVSpace)
    assert asyncio.run(policy.kv_space()) == KVSpace(tokens=1500, block_size=1)
    with ets.Search(
        policy,
        lambda problem, steps: 1 / (1 + len(steps[-1])),
        ets.ETS(width=16),
        kv_budget="auto",
        max_step_tokens=24,
        max_tokens=120,
        max_depth=6,
    ) as s:
        problems = ["Tom has 3 apples and buys 4 more.", "Ann gives 2 of her 9 pears to Tom."]
        results = list(s.map(problems, concurrency=2))
    asyncio.run(policy.aclose())
    for result in results:
        pairs = kept_and_budget(result)
        assert pairs
        assert all(kept <= budget <= 1500 for kept, budget in pairs)


def test_transformers_without_a_cache_have_none_to_share(pair_paths: tuple[Path, Path]) -> None:
    from ets.policy.transformers import TransformersPolicy

    policy = TransformersPolicy(pair_paths[0], cache_tokens=0)
    with (
        search(ets.ETS(width=4), policy=policy, kv_budget="auto") as s,
        pytest.raises(ets.InputError, match="cache_tokens must be at least 1, got 0"),
    ):
        s.solve("Tom has 3 apples.")
    asyncio.run(policy.aclose())


# -- what is refused -------------------------------------------------------------------------------


def test_auto_needs_a_policy_with_a_known_cache() -> None:
    with search(ets.ETS(width=8), kv_budget="auto") as s:
        with pytest.raises(ets.InputError, match="'auto' needs a policy whose KV cache is known"):
            s.solve("p")
        with pytest.raises(ets.InputError, match="got ScriptedPolicy; give numbers"):
            list(s.map(PROBLEMS, concurrency="auto"))


@pytest.mark.parametrize("kv_budget", [100, "auto"])
@pytest.mark.parametrize("strategy", [ets.REBASE(width=8), ets.BestOfN(width=8)], ids=repr)
def test_a_strategy_that_does_not_prune_to_a_budget_is_refused(
    kv_budget: Any, strategy: Any
) -> None:
    with pytest.raises(ets.InputError, match="kv_budget goes with a strategy that prunes to it"):
        search(strategy, policy=CachedPolicy(1000), kv_budget=kv_budget)


@pytest.mark.parametrize("kv_budget", [0, -1, 1.5, True, "all"])
def test_wrong_budgets(kv_budget: Any) -> None:
    with pytest.raises(ets.InputError, match=r"kv_budget must be an integer .* or None, got"):
        search(ets.ETS(width=8), kv_budget=kv_budget)


def test_a_cancelled_problem_gives_its_share_back() -> None:
    class Stuck(CachedPolicy):
        async def sample(self, prefix: Prefix, *, seed: int, max_tokens: int) -> Step:
            if prefix.problem == "stuck":
                started.set()
                await asyncio.sleep(600)
            return await super().sample(prefix, seed=seed, max_tokens=max_tokens)

    def wait_for_its_end() -> None:
        with pytest.raises(RuntimeError, match="closed during a call"):
            list(stream)

    started = threading.Event()
    with auto(Stuck(1000)) as s:
        stream = s.stream("stuck")
        waiting = threading.Thread(target=wait_for_its_end, daemon=True)
        waiting.start()
        assert started.wait(20)
        site = s.replicas[0].site
        assert isinstance(site, LocalSite)
        shares = s._loop.run(site.kv.shares)
        assert shares.tokens == 1000
        s._loop.run(_cancel_others)
        waiting.join(20)
        s.solve("p")
        assert shares._in_flight == 0


async def _cancel_others() -> None:
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()


def test_a_tree_that_was_searched_asks_no_share_any_more() -> None:
    with search(ets.ETS(width=16), policy=CachedPolicy(1000), kv_budget="auto") as s:
        tree = s.solve("p").tree
    assert tree._kv_limit is None
    assert tree.kv_budget == tree.kv[-1].kv_budget
