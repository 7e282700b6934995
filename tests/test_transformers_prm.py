"""The transformers PRM against a plain computation that shares no code with it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import Qwen2Config, Qwen2Model

from checkpoints import make_llama_policy, make_qwen2_prm
from ets.engines.protocols import PRM
from ets.errors import EngineError, InputError
from ets.prm.transformers import TransformersPRM
from ets.step import Prefix, Score, Step

T = TypeVar("T")
SOLUTIONS = [
    ("Tom has 3 apples. How many?", ["Tom has 3 apples.\n\n", "The answer is 3.\n\n"]),
    ("Tom has 3 apples. How many?", ["Tom has 3 apples.\n\n", "Tom had 4 apples.\n\n"]),
    ("Tom has 3 apples. How many?", ["So Tom has 5 boxes and 5 pears.\n\n"]),
    ("Ann buys 7 pears. Zoë?", ["é 東京 🙂\n\n", "x\n\n", "  Ann has 7 left.\n\n", "So 7 \n\n"]),
    ("How?", [" and" * 90]),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_qwen2_prm(tmp_path_factory.mktemp("prm"))


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(coroutine, timeout=120))


def prefix_of(problem: str, texts: list[str]) -> Prefix:
    return Prefix(problem, 1, (1,), tuple(Step(text, (2,), "step") for text in texts))


PREFIXES = [prefix_of(*solution) for solution in SOLUTIONS]


def plain(folder: Path, problem: str, texts: list[str]) -> float:
    """The prompt built by hand, one full pass, the head from the file."""
    text = (
        "<|system|>Please reason step by step, and put your final answer within \\boxed{}.<|end|>"
        f"<|user|>{problem}<|end|><|assistant|>" + "".join(t.strip() + "<extra_0>" for t in texts)
    )
    ids = Tokenizer.from_file(str(folder / "tokenizer.json")).encode(text).ids
    weights: dict[str, torch.Tensor] = {}
    for file in folder.glob("*.safetensors"):
        weights.update(load_file(file))
    model = Qwen2Model(Qwen2Config.from_pretrained(folder)).eval()
    model.load_state_dict({k[6:]: w for k, w in weights.items() if k.startswith("model.")})
    with torch.no_grad():
        hidden = model(torch.tensor([ids])).last_hidden_state[0, -1]
        hidden = torch.relu(weights["score.0.weight"] @ hidden + weights["score.0.bias"])
        logits = weights["score.2.weight"] @ hidden + weights["score.2.bias"]
    return float(torch.softmax(logits, dim=0)[1])


async def scores(prm: TransformersPRM, prefixes: list[Prefix]) -> list[Score]:
    return await asyncio.gather(*map(prm.score, prefixes))


@pytest.mark.parametrize("shards", [1, 3])
def test_scores_equal_a_plain_computation(tmp_path: Path, shards: int) -> None:
    make_qwen2_prm(tmp_path, seed=shards, shards=shards)

    async def check() -> None:
        prm = TransformersPRM(tmp_path, device="cpu")
        assert isinstance(prm, PRM)
        together = [score.reward for score in await scores(prm, PREFIXES)]
        expected = [plain(tmp_path, *solution) for solution in SOLUTIONS]
        assert together == pytest.approx(expected, abs=1e-5)
        assert max(expected) - min(expected) > 0.05  # the scores do differ
        await prm.aclose()

    run(check())


def test_batch_single_incremental_and_full_agree(folder: Path) -> None:
    async def check() -> None:
        prm = TransformersPRM(folder, device="cpu", cache_tokens=0)
        single = [(await prm.score(prefix)).reward for prefix in PREFIXES]
        await prm.aclose()
        settings: list[dict[str, Any]] = [
            {}, {"max_batch": 2}, {"prefill_tokens": 1}, {"cache_tokens": 30}
        ]  # fmt: skip
        for options in settings:
            prm = TransformersPRM(folder, device="cpu", **options)
            for _ in range(2):  # the second time from the cache
                got = [score.reward for score in await scores(prm, PREFIXES)]
                assert got == pytest.approx(single, abs=1e-5)
            await prm.aclose()

    run(check())


def test_only_new_tokens_are_computed(folder: Path) -> None:
    async def check() -> None:
        prm = TransformersPRM(folder, device="cpu")
        problem, texts = SOLUTIONS[3]
        known = 0
        for k in range(1, len(texts) + 1):
            prefix = prefix_of(problem, texts[:k])
            score = await prm.score(prefix)
            assert score.prompt_tokens == len(prm.format.ids(prefix) or ())
            assert score.cached_tokens == known
            assert score.reward == pytest.approx(plain(folder, problem, texts[:k]), abs=1e-5)
            known = score.prompt_tokens
        await prm.forget_prefixes()
        anew = await prm.score(prefix)
        assert anew.cached_tokens == 0
        assert anew.reward == pytest.approx(score.reward, abs=1e-5)
        await prm.aclose()

    run(check())


def test_what_siblings_share_is_read_once(folder: Path) -> None:
    async def check() -> None:
        prm = TransformersPRM(folder, device="cpu")
        first, second, third = PREFIXES[:3]
        found = await scores(prm, [first, second, first, third])
        parts = prm.format.parts(first)
        assert parts is not None
        prompt, shared = len(parts[0]), len(parts[0]) + len(parts[1])
        assert [score.cached_tokens for score in found] == [
            0,
            shared,
            found[0].prompt_tokens,  # the same solution twice
            prompt,
        ]
        assert found[0].reward == found[2].reward
        await prm.aclose()

    run(check())


def test_steps_without_text(folder: Path) -> None:
    async def check() -> None:
        prm = TransformersPRM(folder, device="cpu")
        problem, texts = SOLUTIONS[0]
        score = await prm.score(prefix_of(problem, texts))
        padded = await prm.score(prefix_of(problem, [*texts, " \n\n", ""]))
        assert padded.reward == pytest.approx(score.reward, abs=1e-6)
        assert await prm.score(prefix_of(problem, ["\n\n"])) == Score(0.0)
        await prm.aclose()

    run(check())


def test_a_solution_too_long_for_the_model_fails_alone(folder: Path) -> None:
    async def check() -> None:
        prm = TransformersPRM(folder, device="cpu", max_length=100)
        results = await asyncio.gather(*map(prm.score, PREFIXES), return_exceptions=True)
        assert isinstance(results[2], Score)
        assert isinstance(results[4], EngineError)
        assert "at most 100 tokens" in str(results[4])
        await prm.aclose()

    run(check())


def edit(folder: Path, **changes: torch.Tensor | None) -> None:
    file = folder / "model.safetensors"
    weights = load_file(file)
    for name, tensor in changes.items():
        weights.pop(name, None)
        if tensor is not None:
            weights[name] = tensor
    save_file(weights, file)


def test_weights_that_lack_or_are_too_many(tmp_path: Path) -> None:
    make_qwen2_prm(tmp_path)
    edit(tmp_path, **{"score.2.bias": None})
    with pytest.raises(EngineError, match=r"score\.2\.bias"):
        TransformersPRM(tmp_path, device="cpu")
    edit(tmp_path, **{"score.2.bias": torch.zeros(2), "value.weight": torch.zeros(2)})
    with pytest.raises(EngineError, match=r"value\.weight"):
        TransformersPRM(tmp_path, device="cpu")
    edit(tmp_path, **{"value.weight": None, "score.2.bias": torch.zeros(3)})
    with pytest.raises(EngineError, match=r"score\.2\.bias"):
        TransformersPRM(tmp_path, device="cpu")
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(EngineError, match=r"no model\.safetensors"):
        TransformersPRM(tmp_path, device="cpu")


def test_a_reward_that_is_no_number_names_the_model(tmp_path: Path) -> None:
    make_qwen2_prm(tmp_path)
    edit(tmp_path, **{"score.2.bias": torch.tensor([0.0, float("nan")])})

    async def check() -> None:
        prm = TransformersPRM(tmp_path, device="cpu")
        with pytest.raises(EngineError, match=f"{tmp_path.name}.*nan"):
            await prm.score(PREFIXES[0])
        await prm.aclose()

    run(check())


def test_bad_options_and_a_policy_given_as_prm(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="known are"):
        TransformersPRM(make_llama_policy(tmp_path))
    with pytest.raises(InputError, match="prefill_tokens"):
        TransformersPRM(folder, prefill_tokens=0)
    with pytest.raises(InputError, match="cache_tokens"):
        TransformersPRM(folder, cache_tokens=-1)
    with pytest.raises(InputError, match=r"unknown option 'wings'.*device.*system_prompt"):
        TransformersPRM(folder, wings=2)


def test_cancelling_and_closing(folder: Path) -> None:
    async def check() -> None:
        prm = TransformersPRM(folder, device="cpu")
        expected = [score.reward for score in await scores(prm, PREFIXES)]
        tasks = [asyncio.create_task(prm.score(p)) for p in PREFIXES]
        await asyncio.sleep(0)
        tasks[0].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(results[0], asyncio.CancelledError)
        left = [r.reward for r in results[1:] if isinstance(r, Score)]
        assert left == pytest.approx(expected[1:], abs=1e-5)
        await prm.aclose()
        with pytest.raises(EngineError, match="closed"):
            await prm.score(PREFIXES[0])

    run(check())


def test_the_bundled_pair() -> None:
    from ets import demo
    from ets.policy.transformers import TransformersPolicy

    if not (demo.policy_path() / "model.safetensors").is_file():
        pytest.skip("the bundled policy is not trained yet (make train-demo)")
    if not (demo.prm_path() / "model.safetensors").is_file():
        pytest.skip("the bundled PRM is not trained yet (make train-demo)")

    async def check() -> None:
        policy = TransformersPolicy(demo.policy_path(), device="cpu")
        prm = TransformersPRM(demo.prm_path(), device="cpu")
        prefixes = [policy.start(p["problem"]) for p in demo.problems()[:3] for _ in range(4)]
        for depth in range(12):
            live = [i for i, p in enumerate(prefixes) if not (p.steps and p.steps[-1].finished)]
            steps = await asyncio.gather(
                *[policy.sample(prefixes[i], seed=i + 100 * depth, max_tokens=128) for i in live]
            )
            for i, step in zip(live, steps, strict=True):
                prefixes[i] = prefixes[i].extend(step)
            for i, score in zip(live, await scores(prm, [prefixes[i] for i in live]), strict=True):
                assert 0 <= score.reward <= 1
                assert prefixes[i].steps[-1].text
        answered = [p for p in prefixes if "The answer is" in p.steps[-1].text]
        assert len(answered) >= 10
        await policy.aclose()
        await prm.aclose()

    run(check())
