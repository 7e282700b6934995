"""How much a vLLM engine works on at once, on GPUs that are not here: its configuration alone."""

from __future__ import annotations

from typing import Any

import pytest

from ets import demo
from ets.engines.vllm.options import configure, on_cpu

pytestmark = pytest.mark.vllm

GPUS = {
    "NVIDIA H100 80GB HBM3": (80, 1024, 16384),
    "NVIDIA H200": (141, 1024, 16384),
    "NVIDIA A100-SXM4-40GB": (40, 256, 8192),
    "NVIDIA A100-SXM4-80GB": (80, 256, 8192),
    "NVIDIA GeForce RTX 4090": (24, 256, 8192),
}
"""GiB, and what vLLM 0.32's `LLM` takes there: requests and tokens at once."""


def config(monkeypatch: pytest.MonkeyPatch, gpu: str, **options: Any) -> Any:
    """What `ets` would start vLLM with on such a GPU."""
    on_cpu()
    from vllm.platforms import current_platform

    kind = type(current_platform)
    size = GPUS[gpu][0] << 30
    monkeypatch.setattr(kind, "get_device_total_memory", classmethod(lambda *_: size))
    monkeypatch.setattr(kind, "get_device_name", classmethod(lambda *_: gpu))
    monkeypatch.setattr(kind, "is_cpu", lambda _: False)
    asked = {"runner": "generate", "block_size": 32, "max_model_len": 512, **options}
    return configure(str(demo.policy_path()), asked, cpu=False).scheduler_config


@pytest.mark.parametrize("gpu", GPUS)
def test_an_engine_takes_as_much_at_once_as_vllm_itself(
    monkeypatch: pytest.MonkeyPatch, gpu: str
) -> None:
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.usage.usage_lib import UsageContext

    found = config(monkeypatch, gpu)
    tokens, requests = AsyncEngineArgs.get_batch_defaults(1)
    assert found.max_num_seqs == requests[UsageContext.LLM_CLASS] == GPUS[gpu][1]
    assert found.max_num_batched_tokens == tokens[UsageContext.LLM_CLASS] == GPUS[gpu][2]


def test_what_the_user_says_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    found = config(monkeypatch, "NVIDIA H100 80GB HBM3", max_num_seqs=48)
    assert found.max_num_seqs == 48
    assert found.max_num_batched_tokens == 16384
