"""The transformers policy: equal to a plain loop, whatever the batch; hostile use."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from checkpoints import make_llama_policy, make_qwen2_prm
from ets import demo
from ets.engines.local.batcher import Batch, Batcher
from ets.engines.local.sampling import draw
from ets.engines.protocols import Policy
from ets.errors import EngineError, InputError, MissingExtraError
from ets.policy.transformers import TransformersPolicy
from ets.step import Prefix, Step
from models_page import hold_equal_steps
from plain_demo import plain_greedy

T = TypeVar("T")
PROBLEMS = ("Tom has 3 apples.", "Ann has 5 pears and buys 3 more. How many?", "How many?")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_llama_policy(tmp_path_factory.mktemp("policy"))


@pytest.fixture(scope="module")
def model(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(coroutine, timeout=120))


def naive(
    model: Any, policy: TransformersPolicy, prefix: Prefix, seed: int, max_tokens: int
) -> tuple[int, ...]:
    """One sequence, the whole of it computed for every token; no cache, no batch."""
    options, end = policy.prompt.options, policy.prompt.end_ids
    rng = np.random.Generator(np.random.PCG64(seed))
    ids: list[int] = []
    while len(ids) < max_tokens:
        with torch.no_grad():
            logits = model(torch.tensor([[*prefix.token_ids, *ids]])).logits[0, -1].double()
        if options.temperature == 0:
            token = int(logits.argmax())
        else:
            probs = torch.softmax(logits / options.temperature, dim=0).numpy()
            if options.top_p < 1:
                order = np.argsort(-probs, kind="stable")
                kept = np.searchsorted(np.cumsum(probs[order]), options.top_p) + 1
                probs[order[kept:]] = 0
            cdf = np.cumsum(probs)
            token = int(np.searchsorted(cdf, rng.random() * cdf[-1], side="right"))
        if token in end:
            break
        ids.append(token)
        if "\n\n" in policy.prompt.tokenizer.decode(ids):
            break
    return tuple(ids)


async def tree(policy: TransformersPolicy, concurrency: int) -> list[Step]:
    """Three problems, two levels, so many requests at once."""
    gate = asyncio.Semaphore(concurrency)

    async def one(prefix: Prefix, seed: int) -> Step:
        async with gate:
            return await policy.sample(prefix, seed=seed, max_tokens=24)

    roots = [policy.start(problem) for problem in PROBLEMS]
    firsts = await asyncio.gather(*[one(root, seed) for root in roots for seed in range(6)])
    kids = [
        root.extend(step)
        for i, root in enumerate(roots)
        for step in firsts[6 * i : 6 * i + 6]
        if not step.finished
    ]
    seconds = await asyncio.gather(*[one(kid, seed) for kid in kids for seed in range(2)])
    return [*firsts, *seconds]


@pytest.mark.parametrize(
    "options", [{}, {"temperature": 0.7, "top_p": 0.8}, {"temperature": 0.0}], ids=str
)
def test_samples_equal_a_plain_loop(folder: Path, model: Any, options: dict[str, Any]) -> None:
    async def check() -> None:
        policy = TransformersPolicy(folder, device="cpu", **options)
        assert isinstance(policy, Policy)
        roots = [policy.start(problem) for problem in PROBLEMS]
        asks = [(root, seed) for root in roots for seed in range(4)]
        steps = await asyncio.gather(
            *[policy.sample(root, seed=seed, max_tokens=24) for root, seed in asks]
        )
        for (root, seed), step in zip(asks, steps, strict=True):
            assert step.token_ids == naive(model, policy, root, seed, 24)
        kids = [root.extend(step) for (root, _), step in zip(asks, steps, strict=True)]
        kids = [kid for kid in kids if not kid.steps[-1].finished]
        nexts = await asyncio.gather(*[policy.sample(k, seed=9, max_tokens=16) for k in kids])
        for kid, step in zip(kids, nexts, strict=True):
            assert step.token_ids == naive(model, policy, kid, 9, 16)
            assert step.cached_tokens == step.prompt_tokens - 1  # the step's KV was kept
        await policy.aclose()

    run(check())


def test_greedy_steps_are_those_of_a_plain_computation() -> None:
    async def check() -> None:
        policy = TransformersPolicy(demo.policy_path(), device="cpu", temperature=0.0)
        for row in demo.problems()[:8]:
            prefix = policy.start(str(row["problem"]))
            for ids in plain_greedy(str(row["problem"]), steps=3, tokens=48):
                step = await policy.sample(prefix, seed=0, max_tokens=48)
                equal.append(step.token_ids == ids)
                prefix = prefix.extend(step)
        await policy.aclose()

    equal: list[bool] = []
    run(check())
    hold_equal_steps(equal, "bundled policy", "transformers")


def test_the_batch_does_not_change_a_step(folder: Path) -> None:
    async def steps(concurrency: int, **options: Any) -> list[tuple[int, ...]]:
        policy = TransformersPolicy(folder, device="cpu", **options)
        found = [step.token_ids for step in await tree(policy, concurrency)]
        await policy.aclose()
        return found

    expected = run(steps(1))
    assert len({*expected}) > len(expected) / 2
    for concurrency in (4, 32):
        assert run(steps(concurrency)) == expected
    assert run(steps(32, max_batch=3, prefill_tokens=16)) == expected
    assert run(steps(32, cache_tokens=0)) == expected
    assert run(steps(32, cache_tokens=20)) == expected


def test_many_may_load_at_once(folder: Path) -> None:
    """transformers patches its classes while it loads; a patch left behind fails later loads."""
    before = PreTrainedModel.tie_weights
    with ThreadPoolExecutor(8) as pool:
        loaded = list(pool.map(lambda _: TransformersPolicy(folder, device="cpu"), range(16)))
    assert PreTrainedModel.tie_weights is before

    async def close() -> None:
        for policy in loaded:
            await policy.aclose()

    run(close())


def test_what_was_computed_is_reported(folder: Path) -> None:
    async def check() -> None:
        policy = TransformersPolicy(folder, device="cpu")
        root = policy.start(PROBLEMS[1])
        n = root.prompt_tokens
        steps = await asyncio.gather(*[policy.sample(root, seed=s, max_tokens=8) for s in range(3)])
        assert [(s.prompt_tokens, s.cached_tokens) for s in steps] == [
            (n, 0),
            (n, n - 1),
            (n, n - 1),
        ]
        again = await policy.sample(root, seed=0, max_tokens=8)
        assert (again.token_ids, again.cached_tokens) == (steps[0].token_ids, n - 1)
        await policy.forget_prefixes()
        for known in (0, n - 1):
            again = await policy.sample(root, seed=0, max_tokens=8)
            assert (again.token_ids, again.cached_tokens) == (steps[0].token_ids, known)
        await policy.aclose()

    run(check())


def test_finish_reasons_and_ids(folder: Path) -> None:
    async def check() -> None:
        policy = TransformersPolicy(folder, device="cpu", temperature=1.5)
        root = policy.start(PROBLEMS[0])
        steps = await asyncio.gather(
            *[policy.sample(root, seed=s, max_tokens=30) for s in range(64)]
        )
        reasons = {step.finish for step in steps}
        assert reasons >= {"step", "end", "length"}
        for step in steps:
            assert step.text == policy.prompt.decode(step.token_ids)
            assert ("\n\n" in step.text) == (step.finish == "step")
            assert not set(step.token_ids) & policy.prompt.end_ids
            assert (len(step.token_ids) == 30) or step.finish != "length"
        await policy.aclose()

    run(check())


def test_answer_markers_end_the_solution(folder: Path) -> None:
    async def check() -> None:
        policy = TransformersPolicy(folder, device="cpu", answer_markers=("a", "e", "T"))
        root = policy.start(PROBLEMS[0])
        steps = await asyncio.gather(
            *[policy.sample(root, seed=s, max_tokens=30) for s in range(32)]
        )
        assert any(step.finish == "answer" for step in steps)
        await policy.aclose()

    run(check())


def test_the_end_of_the_context(folder: Path) -> None:
    async def check() -> None:
        policy = TransformersPolicy(folder, device="cpu", max_length=12)
        prefix = policy.start(PROBLEMS[0])
        for seed in range(50):
            step = await policy.sample(prefix, seed=seed, max_tokens=50)
            prefix = prefix.extend(step)
            assert len(prefix.token_ids) <= 12
            if len(prefix.token_ids) == 12:
                break
        full = await policy.sample(prefix, seed=0, max_tokens=50)
        assert (full.token_ids, full.finish) == ((), "context")
        with pytest.raises(InputError, match="at most 12 tokens"):
            policy.start(PROBLEMS[1])
        await policy.aclose()

    run(check())


def test_cancelled_calls_leave_the_others_alone(folder: Path) -> None:
    async def check() -> None:
        policy = TransformersPolicy(folder, device="cpu", max_batch=4)
        root = policy.start(PROBLEMS[0])
        expected = [await policy.sample(root, seed=s, max_tokens=60) for s in range(12)]
        tasks = [asyncio.create_task(policy.sample(root, seed=s, max_tokens=60)) for s in range(12)]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks[::2]:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        for i, result in enumerate(results):
            if i % 2:
                assert isinstance(result, Step)
                assert result.token_ids == expected[i].token_ids
        assert any(isinstance(result, asyncio.CancelledError) for result in results)
        after = await policy.sample(root, seed=0, max_tokens=60)
        assert after.token_ids == expected[0].token_ids
        await policy.aclose()

    run(check())


def test_closing_with_requests_in_flight(folder: Path) -> None:
    async def check() -> None:
        policy = TransformersPolicy(folder, device="cpu", max_batch=2)
        root = policy.start(PROBLEMS[0])
        tasks = [
            asyncio.create_task(policy.sample(root, seed=s, max_tokens=400)) for s in range(40)
        ]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        await policy.aclose()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(result, Step | EngineError) for result in results)
        assert any("closed" in str(r) for r in results if isinstance(r, EngineError))
        with pytest.raises(EngineError, match="closed"):
            await policy.sample(root, seed=0, max_tokens=4)

    run(check())


def test_a_model_of_nan_is_an_error_that_names_it(tmp_path: Path) -> None:
    make_llama_policy(tmp_path)
    broken = AutoModelForCausalLM.from_pretrained(tmp_path)
    with torch.no_grad():
        broken.model.norm.weight[:] = float("nan")
    broken.save_pretrained(tmp_path)

    async def check() -> None:
        policy = TransformersPolicy(tmp_path, device="cpu")
        with pytest.raises(EngineError, match=tmp_path.name):
            await policy.sample(policy.start(PROBLEMS[0]), seed=0, max_tokens=4)
        await policy.aclose()

    run(check())


def test_bad_options_are_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="unknown option 'wings'"):
        TransformersPolicy(folder, wings=2)
    with pytest.raises(InputError, match="dtype must be one of"):
        TransformersPolicy(folder, dtype="int8")
    with pytest.raises(InputError, match="device 'warp:9'"):
        TransformersPolicy(folder, device="warp:9")
    with pytest.raises(InputError, match="max_batch"):
        TransformersPolicy(folder, max_batch=0)
    with pytest.raises(ValueError, match="temperature"):
        TransformersPolicy(folder, temperature=-1.0)
    with pytest.raises(EngineError, match="no checkpoint folder"):
        TransformersPolicy("/nowhere/at/all")
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(MissingExtraError, match=r"ets-search\[torch\]"):
        TransformersPolicy(folder)


def test_a_prm_is_no_policy(tmp_path: Path) -> None:
    """Its weights are not those of a language model, which must not be made up in silence."""
    make_qwen2_prm(tmp_path)
    with pytest.raises(EngineError, match="Qwen2ForProcessRewardModel"):
        TransformersPolicy(tmp_path, device="cpu")


def test_a_token_is_drawn_by_its_number_and_top_p() -> None:
    logits = torch.tensor([[0.0, 1.0, 1.0, -1e9]])
    assert draw(logits, [0.99], temperature=0, top_p=1) == [1]
    assert draw(logits, [1 - 2**-53], temperature=1, top_p=1) == [2]
    assert draw(logits, [0.0], temperature=1, top_p=0.5) == [1]
    with pytest.raises(ValueError, match="not numbers"):
        draw(torch.tensor([[float("nan"), 0]]), [0.5], temperature=1, top_p=1)


def test_a_failing_batch_fails_its_own_callers_only() -> None:
    async def check() -> None:
        def double(batch: Batch[int, int]) -> None:
            tickets = batch.take(2)
            for ticket in tickets:
                if ticket.item < 0:
                    raise ZeroDivisionError("no")
                ticket.resolve(2 * ticket.item)

        batcher = Batcher(double, name="doubler")
        results = await asyncio.gather(
            *[batcher.submit(i) for i in (1, -1, 2, 3, -4, 5)], return_exceptions=True
        )
        assert results[0] == 2
        assert results[2:4] == [4, 6]
        for i in (1, 4, 5):  # 5 shared the batch of -4, which failed first
            assert isinstance(results[i], EngineError)
            assert "doubler failed: ZeroDivisionError: no" in str(results[i])
        await batcher.aclose()

    run(check())
