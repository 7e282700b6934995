"""The context that vLLM engines start with: prompt and solution, not all that a model reads."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from checkpoints import make_tokenizer
from ets.engines.context_need import EMBEDDING, context_need, prompt_room
from ets.errors import InputError
from ets.memory import Engine, EngineNeed, needs_of, plan_engines, plan_memory, planned_tokens
from ets.memory.engine_shares import with_shares
from ets.policy.limits import Limits
from ets.policy.named_prompt import named_prompt
from ets.prm.formats import load_format
from ets.step import Prefix, Step
from model_configs import BY_NAME
from prm_cases import CASES, Case
from thinking_model import TEMPLATES

GIB = 1 << 30
LLAMA, LLAMA_PRM = "Llama-3.1-8B-Instruct", "Llama3.1-8B-PRM-Deepseek-Data"
QWEN_PRM = "Qwen2.5-Math-PRM-7B"
NONE = Engine()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("contexts")
    for name in (LLAMA, LLAMA_PRM, QWEN_PRM):
        BY_NAME[name].write(made)
    return made


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The config of a model with a context of 131,072, and a tokenizer without a template."""
    made = BY_NAME[LLAMA].write(tmp_path_factory.mktemp("plain"))
    make_tokenizer(made)
    return made


@pytest.fixture(scope="module")
def thinks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a template that lets the model think."""
    made = BY_NAME[LLAMA].write(tmp_path_factory.mktemp("thinks"))
    tokenizer = make_tokenizer(made)
    tokenizer.chat_template = TEMPLATES["opened"]
    tokenizer.save_pretrained(str(made))
    return made


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ets.memory.engine_shares.gpu_bytes", lambda: None)


def need(folder: Path, name: str, part: Any = "policy", tokens: int = 1024, **options: Any) -> int:
    found = needs_of(part, f"vllm:{folder / name}", options, gpu_bytes=40 * GIB, max_tokens=tokens)
    assert found is not None
    return found.context


@pytest.mark.parametrize(
    ("part", "max_tokens", "room", "tokens"),
    [
        ("policy", 1024, 512, 1536),
        ("PRM", 1024, 512, 1664),
        ("policy", 32768, 512, 33280),
        ("policy", 1000, 513, 1536),
        ("policy", 1025, 512, 1600),
    ],
)
def test_prompt_and_solution_in_whole_units(
    part: Any, max_tokens: int, room: int, tokens: int
) -> None:
    assert context_need(part, max_tokens, prompt_tokens=room).tokens == tokens


def test_a_long_system_prompt_has_room(plain: Path) -> None:
    assert prompt_room(20) == 512
    assert prompt_room(900) == 1156
    prompt = named_prompt(f"vllm:{plain}", {"system_prompt": "apples " * 700})
    assert prompt is not None
    assert prompt.own_tokens > 700


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.format)
def test_what_a_prm_reads_beside_the_steps(tmp_path: Path, case: Case) -> None:
    folder = tmp_path / case.folder
    folder.mkdir()
    case.make(folder)
    options = {"format": case.format, **case.options}
    form = load_format(str(folder), options.pop("format"), options)
    ids = form.ids(Prefix("1", 0, (), (Step("1", (1,), "step"),)))
    assert ids is not None
    assert form.own_tokens == len(ids)
    form.max_length = 1
    assert form.own_tokens == len(ids), "a context that is too short shows later"


def test_a_checkpoint_of_131072_tokens_gets_what_is_needed(folder: Path) -> None:
    assert need(folder, LLAMA) == 1536
    assert need(folder, LLAMA_PRM, "PRM") == 1664
    assert need(folder, LLAMA, tokens=200_000) == 131072
    assert need(folder, QWEN_PRM, "PRM", tokens=32768) == 4096, "the checkpoint's own is less"
    assert need(folder, LLAMA, max_model_len=16384) == 16384
    assert need(folder, LLAMA, max_tokens=8000) == context_need("policy", 8000).tokens
    assert need(folder, LLAMA, "embedder") == EMBEDDING.tokens
    with pytest.raises(InputError, match="max_tokens must be an integer of at least 1, got 0"):
        need(folder, LLAMA, max_tokens=0)


def test_thinking_is_told_before_the_policy_is_loaded(
    plain: Path, thinks: Path, folder: Path, no_gpu: None
) -> None:
    prm = Engine(f"vllm:{folder / LLAMA_PRM}")
    for path, tokens in ((plain, 1024), (thinks, 32768)):
        policy = Engine(f"vllm:{path}")
        assert planned_tokens(policy, None) == tokens
        assert planned_tokens(policy, 77) == 77
        told = with_shares(policy, prm, NONE, width=8, max_tokens=None)
        assert told == ({"max_tokens": tokens}, {"max_tokens": tokens}, {})
    off = Engine(f"vllm:{thinks}", {"thinking": False})
    assert planned_tokens(off, None) == 1024


def test_what_the_user_says_of_an_engine_stays(plain: Path, folder: Path, no_gpu: None) -> None:
    policy = Engine(f"vllm:{plain}?max_tokens=99")
    prm = Engine(f"vllm:{folder / LLAMA_PRM}", {"max_tokens": 98})
    assert with_shares(policy, prm, NONE, width=8, max_tokens=512) == ({}, {"max_tokens": 98}, {})


def test_a_policy_elsewhere_tells_the_prm_what_it_can(
    thinks: Path, folder: Path, no_gpu: None
) -> None:
    prm = Engine(f"vllm:{folder / LLAMA_PRM}")

    def told(policy: Engine) -> Any:
        of_policy, of_prm, _ = with_shares(policy, prm, NONE, width=8, max_tokens=None)
        assert of_policy == policy.options, "it is not on vLLM in this process"
        return of_prm["max_tokens"]

    url = "openai:m@http://nowhere/v1"
    assert told(Engine(f"transformers:{thinks}")) == 32768
    assert told(Engine(url)) == 32768, "it may think"
    assert told(Engine(url, {"tokenizer": str(thinks), "thinking": False})) == 1024
    assert told(Engine(object())) == 1024
    assert told(Engine("demo")) == 1024


def test_a_plan_gives_each_cache_a_context(folder: Path) -> None:
    """Divided evenly, one with a long context would not start though there is room."""
    policy = Engine(f"vllm:{folder / LLAMA}", {"max_model_len": 22000})
    prm = Engine(f"vllm:{folder / QWEN_PRM}")
    (plan,) = plan_engines(policy, prm, NONE, gpu_bytes=40 * GIB, width=8, max_tokens=512)
    writer, judge = plan.parts
    assert plan.fits
    assert 22000 <= writer.kv_tokens < 22100
    assert judge.kv_tokens > judge.context
    long = Engine(f"vllm:{folder / LLAMA}", {"max_model_len": 131072})
    (plan,) = plan_engines(long, prm, NONE, gpu_bytes=40 * GIB, width=8, max_tokens=512)
    assert not plan.fits


def test_a_cache_of_less_than_a_context_does_not_fit() -> None:
    def plan(context: int) -> bool:
        engine = EngineNeed(
            part="policy", name="vllm:x", weight_bytes=0, overhead_bytes=0, kv_bytes=1 << 20,
            prompt_tokens=16, solution_tokens=16, context=context, kv_fixed=64 << 20,
        )  # fmt: skip
        return plan_memory([engine], gpu_bytes=GIB, width=1, max_tokens=16).fits

    assert plan(64)
    assert not plan(65)


def test_a_search_that_wants_more_says_how_to_load_the_engine(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def settled(most: int) -> Limits:
        policy = SimpleNamespace(
            prompt=SimpleNamespace(max_length=1536),
            engine=SimpleNamespace(max_model_len=1536, checkpoint_len=most),
        )
        return Limits.settle(
            policy, None, max_step_tokens=None, max_tokens=8000, max_depth=None, prm_thinking=None
        )

    assert settled(131072).max_tokens == 1536
    (line,) = caplog.messages
    assert line == (
        "max_tokens is 8000, but the policy reads at most 1536 tokens, its prompt included: what "
        "is longer is cut there; load it with max_model_len=8512 (its checkpoint reads 131072)"
    )
    caplog.clear()
    settled(1536)
    assert caplog.messages[0].endswith("is cut there"), "it reads no more"


@pytest.mark.vllm
def test_vllm_is_configured_so(plain: Path, caplog: pytest.LogCaptureFixture) -> None:
    from ets.engines.vllm.options import configure, on_cpu

    on_cpu()

    def context(cpu: bool, tokens: int = 1024, **options: Any) -> int:
        asked = {"runner": "generate", "skip_tokenizer_init": True, "block_size": 32, **options}
        config = configure(str(plain), asked, cpu=cpu, need=context_need("policy", tokens))
        return int(config.model_config.max_model_len)

    with caplog.at_level(logging.INFO, logger="ets"):
        assert context(True) == 1536
    # Others come beside it: that vLLM is imported, and vLLM's own where its loggers propagate.
    ours = [record.message for record in caplog.records if record.name.startswith("ets")]
    (line,) = [message for message in ours if "max_model_len" in message]
    assert line == (
        f"vllm:{plain}: max_model_len 1,536 (512 for the prompt, 1,024 for max_tokens); "
        "the checkpoint has 131,072"
    )
    assert context(True, 32768) == 4096
    assert context(True, 32768, max_model_len=5000) == 5000
    assert context(False, 32768) == 33280
    assert context(False, 200_000) == 131072
