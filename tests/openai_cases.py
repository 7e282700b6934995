"""A server of the OpenAI protocol that answers by script, and a policy that asks it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import ets
from conftest import DEMO
from ets import demo
from ets.step import Step
from scripted_http import Reply, Script, ScriptedServer, one_endpoint, run

pytest.importorskip("openai", reason="openai is not installed (the extra 'openai' brings it)")
pytest.importorskip("torch", reason="torch is not installed (the extra 'torch' brings it)")


from ets.policy.openai import OpenAIPolicy

FOLDER = str(DEMO / "policy")
PROBLEM = str(demo.problems()[2]["problem"])
SENTENCE = "So Tom has 3 apples.\n\n"


def card(**more: Any) -> dict[str, Any]:
    return {"id": "m", "owned_by": "vllm", "root": FOLDER, "max_model_len": 512, **more}


def choice(text: str = "", finish: str | None = "stop", **more: Any) -> Reply:
    usage = {"prompt_tokens_details": {"cached_tokens": 7}}
    return Reply(
        {"choices": [{"text": text, "finish_reason": finish, **more}], "usage": usage},
    )


@contextmanager
def serving(
    completions: Script | None, *cards: dict[str, Any], **options: Any
) -> Iterator[tuple[ScriptedServer, OpenAIPolicy]]:
    """A scripted server and a policy on it; each test closes the policy's loops by itself."""
    with one_endpoint("/v1/completions", completions, *cards or [card()]) as server:
        yield server, OpenAIPolicy("m", server.url, **options)


def sample(policy: OpenAIPolicy, *, max_tokens: int = 32, seed: int = 5) -> Step:
    root = policy.start(PROBLEM)
    step = run(policy, lambda: policy.sample(root, seed=seed, max_tokens=max_tokens))
    assert isinstance(step, Step)
    return step


def failure(policy: OpenAIPolicy) -> str:
    with pytest.raises(ets.EngineError) as caught:
        sample(policy)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def encode(text: str) -> list[int]:
    from ets.checkpoint.tokenizer import load_tokenizer

    return list(load_tokenizer(FOLDER).encode(text, add_special_tokens=False))


SGLANG = card(owned_by="sglang")
LLAMA = {"id": "m", "owned_by": "llamacpp"}
PLAIN = {"id": "m", "owned_by": "someone"}


OK = choice(SENTENCE, token_ids=encode(SENTENCE), stop_reason="\n\n")
