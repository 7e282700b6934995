"""A server of the OpenAI protocol that answers by script, and a policy that asks it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import ets
from conftest import DEMO
from ets import demo
from ets.step import Step
from scripted_http import Reply, Script, ScriptedServer, scripted_server

pytest.importorskip("openai", reason="openai is not installed (the extra 'openai' brings it)")
pytest.importorskip("torch", reason="torch is not installed (the extra 'torch' brings it)")


from ets.policy.openai import OpenAIPolicy

FOLDER = str(DEMO / "policy")
PROBLEM = str(demo.problems()[2]["problem"])
SENTENCE = "So Tom has 3 apples.\n\n"


def card(**more: Any) -> dict[str, Any]:
    return {"id": "m", "owned_by": "vllm", "root": FOLDER, "max_model_len": 512, **more}


def always(reply: Reply | None) -> Script:
    async def script(body: dict[str, Any]) -> Reply | None:
        return reply

    return script


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
    models = always(Reply({"object": "list", "data": list(cards) or [card()]}))
    scripts: dict[str, Script] = {"/v1/models": models}
    if completions is not None:
        scripts["/v1/completions"] = completions
    with scripted_server(scripts) as server:
        yield server, OpenAIPolicy("m", server.url, **options)


def run(policy: OpenAIPolicy, work: Callable[[], Awaitable[Any]]) -> Any:
    async def then_close() -> Any:
        try:
            return await work()
        finally:
            await policy.aclose()

    return asyncio.run(then_close())


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


def in_turn(*replies: Reply | None) -> Script:
    left = list(replies)

    async def script(body: dict[str, Any]) -> Reply | None:
        return left.pop(0) if len(left) > 1 else left[0]

    return script


OK = choice(SENTENCE, token_ids=encode(SENTENCE), stop_reason="\n\n")
BUSY = Reply({"error": {"message": "too many requests"}}, status=429)
DOWN = Reply({"error": {"message": "out of\nmemory"}}, status=500)
