"""The bundled pair on numpy alone against the same checkpoints on `transformers`."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

import ets
from conftest import DEMO
from ets import demo
from ets.engines.bundled.blas import ONE_THREAD
from ets.engines.bundled.checkpoint import BundledCheckpoint, read_safetensors
from ets.engines.bundled.kv_rows import BundledKVRows, draw
from ets.engines.bundled.transformer import Transformer
from ets.engines.local.kv_rows import Tokens
from ets.engines.local.options import LocalOptions
from ets.errors import EngineError, InputError
from ets.policy import load_policy
from ets.policy.bundled import BundledPolicy
from ets.prm import load_prm
from ets.prm.bundled import BundledPRM

LIMITS = LocalOptions(max_batch=4, prefill_tokens=64, cache_tokens=1000, max_length=None)
NO_TORCH = "torch is not installed (the extra 'torch' brings it)"
REWARD = 4e-6
"""How far rewards may lie apart: `transformers` has angles in float32, in float64 models too, and
torch's cosine of them is not the nearest float32 in one number of twenty; numpy's here is."""


async def solutions(policy: Any, prm: Any, problems: range) -> list[list[tuple[Any, ...]]]:
    """One solution of each of these problems: text, ids, finish and reward of its steps."""

    async def one(number: int, problem: str) -> list[tuple[Any, ...]]:
        prefix = policy.start(problem)
        steps: list[tuple[Any, ...]] = []
        while not (steps and prefix.steps[-1].finished) and len(steps) < 12:
            step = await policy.sample(prefix, seed=1000 * number + len(steps), max_tokens=128)
            prefix = prefix.extend(step)
            score = await prm.score(prefix)
            steps.append((step.text, step.token_ids, step.finish, score.reward))
        return steps

    texts = [str(problem["problem"]) for problem in demo.problems()]
    return await asyncio.gather(*(one(i, texts[i]) for i in problems))


@pytest.mark.parametrize(
    ("options", "problems"),
    [
        ({}, range(20)),
        *(
            pytest.param({}, range(first, first + 96), marks=pytest.mark.rare)
            for first in range(20, 500, 96)
        ),
        pytest.param({"temperature": 0.0}, range(20, 50), marks=pytest.mark.slow),
        pytest.param({"top_p": 0.8, "temperature": 1.3}, range(50, 80), marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_steps_and_rewards_are_those_of_transformers(
    options: dict[str, Any], problems: range
) -> None:
    pytest.importorskip("torch", reason=NO_TORCH)

    async def both() -> tuple[Any, Any]:
        found = []
        for backend in ("numpy", "transformers"):
            policy = load_policy("demo", backend=backend, **options)
            prm = load_prm("demo", backend=backend)
            found.append(await solutions(policy, prm, problems))
            await policy.aclose()
            await prm.aclose()
        return found[0], found[1]

    ours, theirs = asyncio.run(both())
    assert len(ours) == len(problems)
    for mine, other in zip(ours, theirs, strict=True):
        assert [step[:3] for step in mine] == [step[:3] for step in other]
        for step, same in zip(mine, other, strict=True):
            assert step[3] == pytest.approx(same[3], abs=REWARD, rel=0)


def test_rewards_differ_by_the_rounding_of_cosines_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch", reason=NO_TORCH)

    def rounded_once(name: str) -> Any:
        function = getattr(torch.Tensor, name)
        return lambda angles: function(angles.double()).to(angles.dtype)

    for name in ("cos", "sin"):
        monkeypatch.setattr(torch.Tensor, name, rounded_once(name))

    async def both() -> list[Any]:
        found = []
        for backend in ("numpy", "transformers"):
            policy, prm = load_policy("demo"), load_prm("demo", backend=backend)
            found.append(await solutions(policy, prm, range(60)))
            await policy.aclose()
            await prm.aclose()
        return found

    ours, theirs = asyncio.run(both())
    assert len(ours) == 60
    for mine, other in zip(ours, theirs, strict=True):
        assert [step[:3] for step in mine] == [step[:3] for step in other]
        for step, same in zip(mine, other, strict=True):
            assert step[3] == pytest.approx(same[3], abs=1e-12, rel=0)


def test_embeddings_are_those_of_transformers() -> None:
    pytest.importorskip("torch", reason=NO_TORCH)
    texts = ["Tom has 12 + 35 = 47 apples.\n\n", "The answer is 7.", "?"]

    async def embed(backend: str) -> list[Any]:
        policy: Any = load_policy("demo", backend=backend)
        embedder = policy.embedder(max_batch=2)
        found = await asyncio.gather(*map(embedder.embed, texts))
        await embedder.aclose()
        await policy.aclose()
        return list(found)

    ours, theirs = asyncio.run(embed("numpy")), asyncio.run(embed("transformers"))
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.dtype == np.float32
        np.testing.assert_allclose(mine, other, rtol=1e-3, atol=1e-5)


def rows_of(checkpoint: str, *, lm: bool) -> BundledKVRows:
    read = BundledCheckpoint(DEMO / checkpoint)
    model = Transformer(read.config, read.tensors, np.float64)
    return BundledKVRows(model, lm=lm, limits=LIMITS)


@pytest.mark.parametrize(("checkpoint", "lm"), [("policy", True), ("prm", False)])
def test_what_is_cached_equals_what_is_computed(checkpoint: str, lm: bool) -> None:
    ids, cuts = tuple(range(5, 95)), (7, 19, 70)
    cached, fresh = rows_of(checkpoint, lm=lm), rows_of(checkpoint, lm=lm)
    for stop in (*cuts, len(ids)):
        known = tuple(cut for cut in cuts if cut < stop)
        cached.extend([Tokens(ids[: stop - 1], (*known, stop - 1))], first=0)
        together, found = cached.extend(
            [Tokens(ids[:stop], (*known, stop - 1, stop)), Tokens((9, 8, 7), (3,))], first=1
        )
        assert found[0] == stop - 1
        alone, none = fresh.extend([Tokens(ids[:stop], ())], first=0)
        assert none == [0]
        if not lm:  # which gives the logits of one-token rows
            np.testing.assert_allclose(together[0], alone[0], rtol=1e-9, atol=1e-9)
        else:
            one, _ = cached.extend([Tokens(ids[:stop], (*known, stop - 1))], first=1)
            np.testing.assert_allclose(one[0], alone[0], rtol=1e-9, atol=1e-9)


def test_draws_follow_the_distribution_and_refuse_no_numbers() -> None:
    logits = np.log(np.array([[0.2, 0.5, 0.3]])).repeat(5, axis=0)
    at = [0.0, 0.19, 0.21, 0.71, 1 - 1e-16]
    assert draw(logits, at, temperature=1.0, top_p=1.0) == [0, 0, 1, 2, 2]
    assert draw(logits, at, temperature=0.0, top_p=1.0) == [1] * 5
    assert draw(logits, at, temperature=1.0, top_p=0.6) == [1, 1, 1, 2, 2]
    with pytest.raises(ValueError, match="not numbers"):
        draw(np.array([[np.nan, 1.0]]), [0.5], temperature=0.0, top_p=1.0)


def test_numpy_has_its_threads_back_after_the_last_computation() -> None:
    def threads() -> list[int]:
        return [
            lib["num_threads"]
            for lib in threadpool_info()
            if lib["user_api"] == "blas" and "numpy" in lib["filepath"]
        ]

    inside, go = threading.Event(), threading.Event()

    def other() -> None:
        with ONE_THREAD.running():
            inside.set()
            go.wait(60)

    worker = threading.Thread(target=other)
    with threadpool_limits(2, user_api="blas"):
        if set(threads()) != {2}:
            pytest.skip("this numpy has no BLAS whose threads can be set")
        with ONE_THREAD.running():
            worker.start()
            assert inside.wait(60)
            assert set(threads()) == {1}
        assert set(threads()) == {1}, "the other one still computes"
        go.set()
        worker.join(60)
        assert set(threads()) == {2}


WITHOUT = """
import sys

GONE = {"torch", "transformers", "tokenizers", "jinja2", "safetensors"}

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in GONE:
            raise ImportError(name)

sys.meta_path.insert(0, Missing())
import ets
from ets import demo

with ets.Search(strategy=ets.ETS(width=4), embedder="policy", seed=1) as search:
    result = search.solve(str(demo.problems()[0]["problem"]))
print(result.answer)
"""


def test_the_base_install_searches() -> None:
    """Neither torch nor anything that comes with it is imported."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    with ets.Search(strategy=ets.ETS(width=4), embedder="policy", seed=1) as search:
        result = search.solve(str(demo.problems()[0]["problem"]))
    assert done.stdout == f"{result.answer}\n"


@pytest.mark.parametrize("load", [load_policy, load_prm])
def test_options_are_checked(load: Any) -> None:
    with pytest.raises(InputError, match="backend=numpy or backend=transformers, got 'vllm'"):
        load("demo?backend=vllm")
    with pytest.raises(InputError, match="unknown option 'device' of the bundled"):
        load("demo?device=cpu")
    with pytest.raises(InputError, match="dtype must be"):
        load("demo?dtype=float16")
    with pytest.raises(InputError, match="max_batch must be a positive integer, got 0"):
        load("demo?max_batch=0")


def test_a_system_prompt_that_is_no_text_is_refused() -> None:
    with pytest.raises(InputError, match="system_prompt must be a text, or None, got 5"):
        load_prm("demo?system_prompt=5")


def test_checkpoints_of_another_form_are_refused(tmp_path: Path) -> None:
    config = json.loads((DEMO / "policy" / "config.json").read_text())
    tensors = read_safetensors(DEMO / "policy" / "model.safetensors")
    for change in ({"architectures": ["Qwen3ForCausalLM"]}, {"hidden_act": "gelu"}):
        with pytest.raises(EngineError, match="the bundled engine runs LlamaForCausalLM and"):
            Transformer({**config, **change}, tensors, np.float32)
    del tensors["model.layers.3.mlp.down_proj.weight"]
    with pytest.raises(EngineError, match=r"lack model\.layers\.3\.mlp\.down_proj\.weight"):
        Transformer(config, tensors, np.float32)
    for load in (BundledPolicy, BundledPRM):
        with pytest.raises(EngineError, match=r"cannot read (config|tokenizer)\.json of"):
            load(tmp_path)
    (tmp_path / "weights").write_bytes(b"\xff" * 40)
    with pytest.raises(EngineError, match="cannot read the weights"):
        read_safetensors(tmp_path / "weights")
