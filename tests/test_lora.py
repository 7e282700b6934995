"""LoRA adapters, against weights into which the test merged them by hand."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from checkpoints import make_llama_policy
from ets.engines.protocols import Policy
from ets.errors import EngineError
from ets.policy import load_policy
from ets.policy.lora import Adapter

PROBLEM = "Tom has 3 apples and buys 4 pears. How many?"
RANK, ALPHA = 4, 16


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_llama_policy(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def lora(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter of two projections whose every weight comes from a seed."""
    folder = tmp_path_factory.mktemp("lora")
    config = LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=["q_proj", "down_proj"])
    get_peft_model(AutoModelForCausalLM.from_pretrained(base), config).save_pretrained(folder)
    weights = load_file(folder / "adapter_model.safetensors")
    draw = torch.Generator().manual_seed(1)
    weights = {k: torch.randn(w.shape, generator=draw) * 0.2 for k, w in sorted(weights.items())}
    save_file(weights, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.fixture(scope="module")
def merged(base: Path, lora: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The base with `B A alpha / r` added to each adapted weight."""
    folder = tmp_path_factory.mktemp("merged")
    shutil.copytree(base, folder, dirs_exist_ok=True)
    weights = load_file(folder / "model.safetensors")
    adapter = load_file(lora / "adapter_model.safetensors")
    downs = [name for name in adapter if name.endswith("lora_A.weight")]
    assert len(downs) == 4
    for name in downs:
        up = adapter[name.replace("lora_A", "lora_B")]
        target = name.removeprefix("base_model.model.").replace(".lora_A", "")
        weights[target] += up @ adapter[name] * ALPHA / RANK
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def greedy(policy: Policy) -> list[tuple[int, ...]]:
    """Three greedy steps after one another."""

    async def steps() -> list[tuple[int, ...]]:
        prefix = policy.start(PROBLEM)
        found = []
        for _ in range(3):
            step = await policy.sample(prefix, seed=0, max_tokens=24)
            prefix = prefix.extend(step)
            found.append(step.token_ids)
        await policy.aclose()
        return found

    return asyncio.run(steps())


def on_transformers(path: Path, **options: Any) -> list[tuple[int, ...]]:
    return greedy(load_policy(f"transformers:{path}", temperature=0.0, **options))


def test_transformers_merges_an_adapter(base: Path, lora: Path, merged: Path) -> None:
    expected = on_transformers(merged)
    assert expected != on_transformers(base)
    assert on_transformers(base, lora=lora) == expected


@pytest.mark.slow
@pytest.mark.vllm
def test_vllm_serves_an_adapter(base: Path, lora: Path, merged: Path) -> None:
    with_adapter = greedy(load_policy(f"vllm:{base}?lora={lora}", temperature=0.0))
    assert with_adapter == on_transformers(merged)


@pytest.mark.rare
@pytest.mark.vllm
def test_vllm_names_an_adapter_that_does_not_fit(base: Path, lora: Path, tmp_path: Path) -> None:
    weights = load_file(lora / "adapter_model.safetensors")
    shutil.copytree(lora, tmp_path, dirs_exist_ok=True)
    wider = {k: torch.cat([w, w]) if "lora_B" in k else w for k, w in weights.items()}
    save_file(wider, tmp_path / "adapter_model.safetensors", metadata={"format": "pt"})
    policy = load_policy(f"vllm:{base}", lora=tmp_path)
    with pytest.raises(EngineError, match="did not start"):
        asyncio.run(policy.sample(policy.start(PROBLEM), seed=0, max_tokens=4))
    asyncio.run(policy.aclose())


@pytest.mark.parametrize("kind", ["extra", "lacking", "wider"])
def test_an_adapter_that_does_not_fit(base: Path, lora: Path, tmp_path: Path, kind: str) -> None:
    shutil.copytree(lora, tmp_path, dirs_exist_ok=True)
    weights = load_file(lora / "adapter_model.safetensors")
    name = min(weights)
    if kind == "extra":
        weights[name.replace("layers.0", "layers.7")] = weights[name].clone()
    elif kind == "lacking":
        del weights[name]
    else:
        weights[name] = torch.cat([weights[name], weights[name]], dim=-1)
    save_file(weights, tmp_path / "adapter_model.safetensors", metadata={"format": "pt"})
    with pytest.raises(EngineError, match="does not fit its model") as error:
        load_policy(f"transformers:{base}", lora=tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("backend", ["transformers", "vllm"])
def test_what_is_no_adapter(base: Path, tmp_path: Path, backend: str) -> None:
    if backend == "vllm":
        pytest.importorskip("vllm")
    with pytest.raises(EngineError, match=r"is no LoRA adapter: it needs a readable adapter_conf"):
        load_policy(f"{backend}:{base}", lora=base)
    (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": "IA3"}))
    with pytest.raises(EngineError, match="is no LoRA adapter"):
        Adapter.read(tmp_path)


@pytest.mark.parametrize(("rank", "asked"), [(1, 1), (4, 8), (64, 64), (100, 128), (999, 999)])
def test_a_vllm_engine_is_given_room_for_the_rank(rank: int, asked: int) -> None:
    assert Adapter("x", rank).engine_options["max_lora_rank"] == asked
