"""Steps that are not paragraphs, on the engines of this process and behind scripted servers."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

import ets
from conftest import DEMO
from ets.policy import load_policy
from ets.step import Prefix, Step
from step_cases import PROBLEMS, RULES, cuts_of, options, plain_cut, written

HOSTILE = r"regex:(a|\w|\s|.)*(\w|\d|\s|.)*%(?!%)"


def solutions(name: str, problems: list[str], **more: Any) -> list[list[Step]]:
    async def all_of_them() -> list[list[Step]]:
        policy = load_policy(name, **more)
        try:
            return await asyncio.gather(*(written(policy, problem) for problem in problems))
        finally:
            await policy.aclose()

    return asyncio.run(all_of_them())


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("backend", ["numpy", "transformers"])
def test_steps_are_those_of_a_plain_computation(backend: str, rule: str) -> None:
    name = "demo" if backend == "numpy" else f"transformers:{DEMO / 'policy'}"
    found = solutions(name, PROBLEMS, **options(rule))
    assert [cuts_of(steps) for steps in found] == [plain_cut(p, rule) for p in PROBLEMS]
    for steps in found:
        assert [step.finish for step in steps[:-1]] == ["step"] * (len(steps) - 1)
        # At most the token in whose light a sentence's end is seen: a space or a word.
        looks_ahead = rule == "sentences" or "(?=" in rule
        assert {step.dropped_tokens for step in steps} <= ({0, 1} if looks_ahead else {0})


def test_a_seed_gives_its_step_again_alone_and_amid_others() -> None:
    async def sample(rule: str) -> None:
        policy = load_policy("demo", step=rule)
        root = policy.start(PROBLEMS[0])

        async def one(seed: int) -> Step:
            return await policy.sample(root, seed=seed, max_tokens=64)

        together = await asyncio.gather(*(one(seed) for seed in range(12)))
        alone = [await one(seed) for seed in range(12)]
        assert [s.token_ids for s in together] == [s.token_ids for s in alone]
        assert [s.dropped_tokens for s in together] == [s.dropped_tokens for s in alone]
        # What was dropped was computed, and is no part of what is kept for the next step.
        child = root.extend(alone[0])
        more = await policy.sample(child, seed=3, max_tokens=64)
        assert more.prompt_tokens == len(child.token_ids)
        await policy.aclose()

    for rule in ("sentences", "tokens:9", r"regex:\d(?= )"):
        asyncio.run(sample(rule))


def test_what_is_cached_behind_a_dropped_token_changes_no_step() -> None:
    """A tree on a warm cache is the tree on a cold one."""

    async def grow(policy: Any, *, forgets: bool) -> list[tuple[int, ...]]:
        prefix: Prefix = policy.start(PROBLEMS[1])
        ids = []
        for seed in range(8):
            if forgets:
                await policy.forget_prefixes()
            step = await policy.sample(prefix, seed=seed, max_tokens=64)
            ids.append(step.token_ids)
            prefix = prefix.extend(step)
        return ids

    async def both() -> None:
        policy = load_policy("demo", step="sentences", answer_markers=(), dtype="float64")
        assert await grow(policy, forgets=False) == await grow(policy, forgets=True)
        await policy.aclose()

    asyncio.run(both())


@pytest.mark.parametrize("rule", ["tokens:16", "sentences", r"regex:\d\.(?=\s)"])
def test_a_search_answers_whatever_ends_its_steps(rule: str) -> None:
    with ets.Search(policy_options={"step": rule}, strategy=ets.REBASE(width=8)) as search:
        result = search.solve(PROBLEMS[2])
    assert result.answer is not None
    assert not any(one.cut for one in result.trajectories)
    texts = [text for one in result.tree.trajectories for text in one.texts[:-1] if text]
    if rule == "sentences":
        assert all(text.strip().endswith(".") for text in texts)
        assert 0 < result.usage.policy_dropped_tokens <= result.usage.policy_calls
    elif rule.startswith("tokens"):
        assert result.usage.policy_dropped_tokens == 0


def test_a_pattern_that_is_given_up_ends_the_search_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ets.policy.step_pattern._SECONDS", 0.0)
    with (
        ets.Search(policy_options={"step": HOSTILE}) as search,
        pytest.raises(ets.EngineError, match="was given up: the pattern") as caught,
    ):
        search.solve(PROBLEMS[0])
    assert "\n" not in str(caught.value)


def test_files_and_names_take_the_option(tmp_path: Path) -> None:
    path = tmp_path / "search.toml"
    path.write_text(
        '[policy_options]\nstep = "tokens:20"\n[strategy]\nname = "rebase"\nwidth = 2\n'
    )
    named = "demo?step=tokens:20"
    with (
        ets.Search.from_toml(path) as one,
        ets.Search(policy=named, strategy=ets.REBASE(width=2)) as other,
    ):
        assert one.solve(PROBLEMS[0]).tree.to_json() == other.solve(PROBLEMS[0]).tree.to_json()
    with (
        pytest.raises(ets.InputError, match="max_step_tokens must be at least 20, the tokens"),
        ets.Search(policy=named, max_step_tokens=10) as search,
    ):
        search.solve(PROBLEMS[0])
