"""What models weigh and cache, and how a GPU is divided: against counts by other means."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import VLLMPair
from ets.errors import EngineError, InputError
from ets.loop.thread import LoopThread
from ets.memory import (
    Engine,
    EngineNeed,
    model_size,
    needs_of,
    plan_engines,
    plan_memory,
    shares,
    with_shares,
)
from model_configs import BY_NAME, MODELS, Facts

GIB = 1 << 30
NONE = Engine()


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("configs")
    for facts in MODELS:
        facts.write(made)
    return made


def engine(folder: Path, name: str, backend: str = "vllm", **options: Any) -> Engine:
    return Engine(f"{backend}:{folder / name}", options)


@pytest.mark.parametrize("facts", MODELS, ids=lambda facts: facts.name)
def test_a_model_weighs_what_it_states(folder: Path, facts: Facts) -> None:
    size = model_size(str(folder / facts.name), writes=facts.writes)
    assert size.parameters == facts.plain_count()
    if facts.parameters is not None:
        assert size.parameters == facts.parameters
    assert size.weight_bytes == 2 * size.parameters
    assert size.kv_bytes == 2 * 2 * facts.layers * facts.kv_heads * facts.head_dim
    assert size.context == facts.context
    assert size.notes == ()
    full = model_size(str(folder / facts.name), writes=facts.writes, dtype="float32")
    assert (full.weight_bytes, full.kv_bytes) == (2 * size.weight_bytes, 2 * size.kv_bytes)


def test_a_prm_is_counted_without_the_language_head(folder: Path) -> None:
    facts = BY_NAME["math-shepherd-mistral-7b-prm"]
    kept = model_size(str(folder / facts.name), writes=False)
    assert kept.parameters == facts.plain_count() - facts.vocabulary * facts.hidden


def test_a_checkpoint_that_was_made_weighs_what_it_holds(tmp_path: Path) -> None:
    from safetensors import safe_open

    from checkpoints import make_llama_policy, make_qwen2_prm

    for folder, writes in (
        (make_llama_policy(tmp_path / "policy"), True),
        (make_qwen2_prm(tmp_path / "prm"), False),
    ):
        with safe_open(folder / "model.safetensors", framework="pt") as file:
            stored = {key: file.get_slice(key).get_shape() for key in file.keys()}  # noqa: SIM118
        count = 0
        for key, shape in stored.items():
            product = 1
            for length in shape:
                product *= length
            count += product if writes or key != "lm_head.weight" else 0
        assert model_size(str(folder), writes=writes).parameters == count


def write(folder: Path, config: dict[str, Any]) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    return str(folder)


MOE = {
    "architectures": ["Qwen3MoeForCausalLM"],
    "model_type": "qwen3_moe",
    "num_hidden_layers": 3,
    "hidden_size": 128,
    "intermediate_size": 384,
    "moe_intermediate_size": 96,
    "num_experts": 8,
    "num_experts_per_tok": 2,
    "decoder_sparse_step": 1,
    "mlp_only_layers": [],
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "vocab_size": 1000,
    "tie_word_embeddings": False,
}


def test_experts_are_all_counted_and_those_in_use_are_active(tmp_path: Path) -> None:
    size = model_size(write(tmp_path, MOE), writes=True)
    attention = 2 * 128 * 4 * 32 + 2 * 128 * 2 * 32 + 2 * 32
    experts = 8 * 3 * 128 * 96 + 8 * 128
    assert size.parameters == 3 * (attention + experts + 2 * 128) + 2 * 1000 * 128 + 128
    assert size.widest == 3 * 2 * 96


@pytest.mark.parametrize(
    ("stated", "bits"),
    [
        ({"quant_method": "awq", "bits": 4, "group_size": 128}, 4 + 20 / 128),
        ({"quant_method": "gptq", "bits": 8, "group_size": 64}, 8 + 20 / 64),
        ({"quant_method": "fp8"}, 8),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, 4.5),
    ],
)
def test_quantised_weights_count_by_their_bits(
    tmp_path: Path, stated: dict[str, Any], bits: float
) -> None:
    facts = BY_NAME["Qwen2.5-Math-7B-Instruct"]
    name = write(tmp_path, {**facts.config(), "quantization_config": stated})
    size = model_size(name, writes=True)
    embeddings = 2 * facts.vocabulary * facts.hidden
    small = facts.hidden + facts.layers * (2 * facts.hidden + 36 * 128)  # norms, biases
    matrices = facts.plain_count() - embeddings - small
    assert size.weight_bytes == int(matrices * bits / 8) + 2 * (embeddings + small)
    assert size.parameters == facts.plain_count()
    assert "counted as" in size.notes[0]


def test_a_quantisation_that_is_not_known_is_an_upper_bound_and_says_so(tmp_path: Path) -> None:
    facts = BY_NAME["Llama-3.2-1B-Instruct"]
    name = write(tmp_path, {**facts.config(), "quantization_config": {"quant_method": "new"}})
    size = model_size(name, writes=True)
    assert size.weight_bytes == 2 * facts.plain_count()
    assert "upper bound" in size.notes[0]


def test_what_is_stored_wins_where_weights_are_quantised(tmp_path: Path) -> None:
    facts = BY_NAME["Llama-3.2-1B-Instruct"]
    stated = {"quant_method": "awq", "bits": 4, "group_size": 128}
    name = write(tmp_path, {**facts.config(), "quantization_config": stated})
    index = {"metadata": {"total_size": 1_040_000_000}, "weight_map": {}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert model_size(name, writes=True).weight_bytes == 1_040_000_000


def test_layers_with_a_window_or_without_keys(tmp_path: Path) -> None:
    facts = BY_NAME["Qwen2.5-Math-1.5B-Instruct"]
    kinds = ["sliding_attention", "full_attention"] * 14
    config = {**facts.config(), "use_sliding_window": True, "sliding_window": 512}
    size = model_size(write(tmp_path / "a", {**config, "layer_types": kinds}), writes=True)
    assert size.kv_bytes == 4 * 28 * 2 * 128
    assert "upper bound" in size.notes[0]
    hybrid = {
        "architectures": ["Qwen3NextForCausalLM"],
        "model_type": "qwen3_next",
        "num_hidden_layers": 4,
        "layer_types": ["linear_attention"] * 3 + ["full_attention"],
        "hidden_size": 64,
        "intermediate_size": 64,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 32,
        "vocab_size": 100,
        "num_experts": 2,
        "moe_intermediate_size": 32,
        "shared_expert_intermediate_size": 32,
        "num_experts_per_tok": 1,
    }
    size = model_size(write(tmp_path / "b", hybrid), writes=True)
    assert size.kv_bytes == 4 * 1 * 1 * 32
    assert "3 of 4 layers keep a state" in size.notes[0]


def test_latent_attention_keeps_one_vector(tmp_path: Path) -> None:
    config = {
        "architectures": ["DeepseekV3ForCausalLM"],
        "model_type": "deepseek_v3",
        "num_hidden_layers": 2,
        "hidden_size": 64,
        "intermediate_size": 64,
        "moe_intermediate_size": 32,
        "n_routed_experts": 4,
        "num_experts_per_tok": 2,
        "n_group": 1,
        "topk_group": 1,
        "first_k_dense_replace": 1,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "q_lora_rank": 32,
        "kv_lora_rank": 48,
        "qk_rope_head_dim": 16,
        "qk_nope_head_dim": 16,
        "v_head_dim": 16,
        "vocab_size": 100,
    }
    assert model_size(write(tmp_path, config), writes=True).kv_bytes == 2 * 2 * (48 + 16)


def test_a_config_that_nobody_knows(tmp_path: Path) -> None:
    name = write(tmp_path, {"model_type": "unheard_of", "architectures": ["UnheardOf"]})
    with pytest.raises(EngineError, match="unheard_of"):
        model_size(name, writes=True)
    with pytest.raises(EngineError, match="no checkpoint folder"):
        model_size(str(tmp_path / "absent"), writes=True)


POLICIES = [facts.name for facts in MODELS if facts.writes and "PRM" not in facts.name][:9]
PRMS = [name for name in BY_NAME if "PRM" in name or "shepherd" in name if "Skywork" not in name]


@pytest.mark.parametrize("gib", [24, 40, 80])
@pytest.mark.parametrize("prm", PRMS)
@pytest.mark.parametrize("policy", POLICIES)
def test_the_plan_adds_up_on_the_named_pairs(folder: Path, policy: str, prm: str, gib: int) -> None:
    (plan,) = plan_engines(
        engine(folder, policy), engine(folder, prm), NONE, gpu_bytes=gib * GIB, width=64,
        max_tokens=2048,
    )  # fmt: skip
    assert sum(part.total_bytes for part in plan.parts) + plan.free_bytes == gib * GIB
    writer, judge = plan.parts
    for part, name in ((writer, policy), (judge, prm)):
        size = model_size(str(folder / name), writes=part.part == "policy")
        assert part.weight_bytes == size.weight_bytes
        assert part.share == pytest.approx(part.total_bytes / plan.gpu_bytes, abs=1e-4)
        if plan.fits:
            assert part.kv_tokens == part.kv_bytes // size.kv_bytes
    if not plan.fits:
        assert gib == 24 or (gib == 40 and "8B" in policy + prm), "these fit"
        return
    # Both caches hold the same number of solutions: nothing is wasted in one for want in the other.
    assert abs(writer.solutions - judge.solutions) <= 1
    assert plan.free_bytes <= 0.1 * plan.gpu_bytes + GIB


def test_the_pair_of_the_readme_fits_a_4090_and_fills_an_a100(folder: Path) -> None:
    """With 0.45 each the PRM did not fit 24 GB; on 40 GB the policy's cache was ten times it."""
    pair = (
        engine(folder, "Qwen2.5-Math-1.5B-Instruct"),
        engine(folder, "Qwen2.5-Math-PRM-7B"),
        NONE,
    )
    assert model_size(str(folder / "Qwen2.5-Math-PRM-7B"), writes=False).weight_bytes > 0.45 * (
        24 * GIB
    )
    (small,) = plan_engines(*pair, gpu_bytes=24 * GIB, width=16, max_tokens=1024)
    assert small.fits
    assert small.solutions >= 16
    (large,) = plan_engines(*pair, gpu_bytes=40 * GIB, width=64, max_tokens=2048)
    assert large.solutions >= 64
    writer, judge = large.parts
    assert 1 < judge.kv_tokens / writer.kv_tokens < 1.3


ENGINES = st.builds(
    EngineNeed,
    part=st.sampled_from(["policy", "PRM", "embedder"]),
    name=st.just("vllm:x"),
    weight_bytes=st.integers(0, 100 * GIB),
    overhead_bytes=st.integers(1, 4 * GIB),
    kv_bytes=st.integers(1, 1 << 20),
    prompt_tokens=st.integers(0, 4096),
    solution_tokens=st.integers(1, 1 << 16),
    kv_fixed=st.none() | st.integers(0, 20 * GIB),
    share=st.none() | st.floats(0.01, 1.0),
    divides=st.booleans(),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(ENGINES, max_size=3), st.integers(GIB, 200 * GIB), st.integers(1, 4096))
def test_any_plan_adds_up_to_the_card(needs: list[EngineNeed], gpu: int, width: int) -> None:
    plan = plan_memory(needs, gpu_bytes=gpu, width=width, max_tokens=100)
    assert sum(part.total_bytes for part in plan.parts) + plan.free_bytes == gpu
    chosen = [part for part in plan.parts if part.chosen]
    by_us = [
        part
        for part, need in zip(plan.parts, needs, strict=True)
        if need.divides and need.share is None and need.kv_fixed is None
    ]
    assert sum(part.share or 0 for part in by_us) <= 0.92 + 1e-9
    for part, need in zip(plan.parts, needs, strict=True):
        if need.share is not None and need.divides:
            assert part.share == pytest.approx(need.share, abs=1e-4)
            assert part not in chosen
        if plan.fits and part.share is not None:
            assert part.kv_bytes >= need.kv_bytes * (need.prompt_tokens + need.solution_tokens)
    if plan.fits:
        assert sum(part.share or 0 for part in plan.parts) <= 1 + 1e-9
        even = [part.solutions for part in by_us]
        if even and min(n.solution_tokens * n.kv_bytes for n in needs) * 10 > gpu // 10_000:
            smallest = min(
                need.solution_tokens * need.kv_bytes
                for part, need in zip(plan.parts, needs, strict=True)
                if part in by_us
            )
            # What rounding a share down loses, in solutions of the cheapest engine.
            assert max(even) - min(even) <= 1 + gpu / 10_000 / smallest


@settings(max_examples=200, deadline=None)
@given(st.lists(ENGINES, min_size=1, max_size=3), st.integers(GIB, 100 * GIB))
def test_a_larger_card_never_holds_less(needs: list[EngineNeed], gpu: int) -> None:
    shared = [need for need in needs if need.share is None]
    small = plan_memory(shared, gpu_bytes=gpu, width=8, max_tokens=100)
    large = plan_memory(shared, gpu_bytes=2 * gpu, width=8, max_tokens=100)
    assert not small.fits or large.fits
    assert not small.fits or large.solutions >= small.solutions


def test_what_the_user_says_stays(folder: Path) -> None:
    policy = engine(folder, "Qwen2.5-Math-1.5B-Instruct", gpu_memory_utilization=0.3)
    prm = engine(folder, "Qwen2.5-Math-PRM-7B")
    (plan,) = plan_engines(policy, prm, NONE, gpu_bytes=40 * GIB, width=8, max_tokens=512)
    assert [part.chosen for part in plan.parts] == [False, True]
    assert plan.shares["policy"] == 0.3
    assert plan.shares["PRM"] == pytest.approx(0.92 - 0.3 - 0.5 / 40, abs=1e-3)
    fixed = engine(folder, "Qwen2.5-Math-1.5B-Instruct", kv_cache_memory_bytes=3 * GIB)
    (plan,) = plan_engines(fixed, prm, NONE, gpu_bytes=40 * GIB, width=8, max_tokens=512)
    assert plan.parts[0].kv_bytes == 3 * GIB
    with pytest.raises(InputError, match=r"gpu_memory_utilization must lie in \(0, 1\], got 1.5"):
        plan_engines(
            engine(folder, "Qwen3-8B", gpu_memory_utilization=1.5), prm, NONE,
            gpu_bytes=GIB, width=1, max_tokens=1,
        )  # fmt: skip


def test_gpus_of_their_own(folder: Path) -> None:
    policy = engine(folder, "Qwen3-8B", device_ids=[0])
    prm = engine(folder, "Qwen2.5-Math-PRM-7B", device_ids=[1])
    plans = plan_engines(policy, prm, NONE, gpu_bytes=24 * GIB, width=8, max_tokens=512)
    assert [[part.part for part in plan.parts] for plan in plans] == [["policy"], ["PRM"]]
    for plan in plans:
        assert plan.shares == pytest.approx({plan.parts[0].part: 0.92}, abs=1e-4)


def test_an_engine_over_two_gpus_holds_half_on_each(folder: Path) -> None:
    whole = needs_of("policy", f"vllm:{folder}/Qwen3-8B", {}, gpu_bytes=GIB, max_tokens=64)
    half = needs_of(
        "policy", f"vllm:{folder}/Qwen3-8B?tensor_parallel_size=2", {}, gpu_bytes=GIB, max_tokens=64
    )
    many = needs_of(
        "policy", f"vllm:{folder}/Qwen3-8B", {"tensor_parallel_size": 16}, gpu_bytes=GIB,
        max_tokens=64,
    )  # fmt: skip
    assert whole is not None
    assert half is not None
    assert many is not None
    assert (half.weight_bytes, half.kv_bytes) == (whole.weight_bytes // 2, whole.kv_bytes // 2)
    assert half.devices == {0, 1}
    assert many.kv_bytes == whole.kv_bytes // 8, "there are 8 key heads to divide"


def test_a_transformers_prm_is_left_room_for(folder: Path) -> None:
    policy = engine(folder, "Qwen2.5-Math-1.5B-Instruct")
    prm = engine(folder, "Skywork-o1-Open-PRM-Qwen-2.5-7B", "transformers")
    (plan,) = plan_engines(policy, prm, NONE, gpu_bytes=40 * GIB, width=8, max_tokens=512)
    assert set(plan.shares) == {"policy"}
    assert plan.parts[1].total_bytes > 14 * GIB
    assert plan.shares["policy"] * 40 * GIB + plan.parts[1].total_bytes < 40 * GIB
    elsewhere = engine(folder, "Skywork-o1-Open-PRM-Qwen-2.5-7B", "transformers", device="cpu")
    (plan,) = plan_engines(policy, elsewhere, NONE, gpu_bytes=40 * GIB, width=8, max_tokens=512)
    assert plan.shares == pytest.approx({"policy": 0.92}, abs=1e-4)


def test_an_embedder_of_the_policys_model_is_a_second_copy(folder: Path) -> None:
    policy = Engine(f"vllm:{folder}/Qwen2.5-Math-1.5B-Instruct?gpu_memory_utilization=0.4")
    (plan,) = plan_engines(
        policy, NONE, Engine("policy"), gpu_bytes=24 * GIB, width=8, max_tokens=512
    )
    writer, embedder = plan.parts
    assert embedder.weight_bytes == writer.weight_bytes, "the head is tied"
    assert (writer.chosen, embedder.chosen) == (False, True)
    assert embedder.share == pytest.approx(embedder.total_bytes / (24 * GIB), abs=1e-4)
    same = Engine(f"transformers:{folder}/Qwen3-8B")
    (plan,) = plan_engines(same, NONE, Engine("policy"), gpu_bytes=GIB, width=1, max_tokens=9)
    assert len(plan.parts) == 1


@pytest.mark.parametrize("name", ["demo", "none", "lexical", "openai:m@http://x/v1", None, object])
def test_engines_elsewhere_take_no_part(name: object) -> None:
    assert needs_of("policy", name, {}, gpu_bytes=GIB, max_tokens=9) is None


def test_shares_by_part(folder: Path) -> None:
    found = shares(
        engine(folder, "Qwen2.5-Math-1.5B-Instruct"),
        engine(folder, "Qwen2.5-Math-PRM-7B"),
        Engine("lexical"),
        gpu_bytes=24 * GIB,
        width=64,
        max_tokens=1024,
    )
    assert set(found) == {"policy", "PRM"}
    assert found["PRM"] > 0.6
    assert found["policy"] < 0.3


def test_options_get_shares_on_a_gpu_only(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import ets.memory.engine_shares as module

    policy = engine(folder, "Qwen2.5-Math-1.5B-Instruct", temperature=0.7)
    prm = engine(folder, "Qwen2.5-Math-PRM-7B", gpu_memory_utilization=0.6)
    monkeypatch.setattr(module, "gpu_bytes", lambda: None)
    told = {"max_tokens": 512}
    without = with_shares(policy, prm, NONE, width=8, max_tokens=512)
    assert without == ({"temperature": 0.7, **told}, {"gpu_memory_utilization": 0.6, **told}, {})
    monkeypatch.setattr(module, "gpu_bytes", lambda: 40 * GIB)
    of_policy, of_prm, _ = with_shares(policy, prm, NONE, width=8, max_tokens=512)
    assert of_policy["temperature"] == 0.7
    assert of_policy["gpu_memory_utilization"] == pytest.approx(0.92 - 0.6 - 0.5 / 40, abs=1e-3)
    assert of_prm == {"gpu_memory_utilization": 0.6, **told}
    in_name = Engine(f"{prm.name}?gpu_memory_utilization=0.6")
    _, of_prm, _ = with_shares(policy, in_name, NONE, width=8, max_tokens=512)
    assert of_prm == told, "given twice is an error"
    absent = Engine("vllm:/absent/checkpoint")
    assert with_shares(absent, prm, NONE, width=8, max_tokens=512)[0] == told
    monkeypatch.setattr(module, "gpu_bytes", lambda: 12 * GIB)
    with pytest.warns(UserWarning, match="do not seem to fit on one GPU of 12.0 GiB"):
        with_shares(policy, Engine(prm.name), NONE, width=8, max_tokens=512)


@pytest.mark.vllm
@pytest.mark.rare
def test_vllm_reads_the_same_cache_from_the_configs(folder: Path) -> None:
    from ets.engines.vllm.options import configure, on_cpu

    # One of an architecture: vLLM looks into each in a process of its own.
    for facts in {(facts.kind, facts.architecture): facts for facts in MODELS}.values():
        if facts.architecture == "Qwen2ForPrmModel":  # vLLM has no class for it
            continue
        options = {"skip_tokenizer_init": True, "max_model_len": 2048, "enforce_eager": True}
        config = configure(str(folder / facts.name), options, cpu=on_cpu())
        model, parallel = config.model_config, config.parallel_config
        theirs = (
            2 * 2 * model.get_num_layers(parallel) * model.get_total_num_kv_heads()
        ) * model.get_head_size()
        assert model_size(str(folder / facts.name), writes=facts.writes).kv_bytes == theirs


@pytest.mark.vllm
def test_a_started_engine_has_the_tokens_that_its_bytes_hold(
    vllm_pair: VLLMPair, engine_loop: LoopThread
) -> None:
    for engine, path, writes in (
        (vllm_pair.policy, vllm_pair.policy_path, True),
        (vllm_pair.prm, vllm_pair.prm_path, False),
    ):
        space = engine_loop.run(engine.kv_space)
        a_token = model_size(str(path), writes=writes, dtype="float32").kv_bytes
        blocks = space.blocks + 1  # one is never handed out
        assert blocks == (1 << 30) // (a_token * space.block_size)


def test_the_page_has_the_figures_of_the_computation(folder: Path) -> None:
    page = (Path(__file__).parents[1] / "docs" / "memory.md").read_text("utf-8")
    rows = re.findall(r"^\| (\S+) \| (\S+) \| (.*) \| (.*) \| (.*) \|$", page, re.M)
    rows = [row for row in rows if row[0] in BY_NAME]
    assert len(rows) == 8
    for policy, prm, *cells in rows:
        for gib, cell in zip((24, 40, 80), cells, strict=True):
            (plan,) = plan_engines(
                engine(folder, policy), engine(folder, prm), NONE, gpu_bytes=gib * GIB, width=64,
                max_tokens=1024,
            )  # fmt: skip
            said = [f"{plan.shares[part]:.2f}" for part in ("policy", "PRM")]
            holds = f"{plan.solutions} ({said[0]} + {said[1]})"
            assert cell == (holds if plan.fits else "does not fit")
