"""A scripted chat server, and a policy that asks it: for the unit tests of `ChatPolicy` alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import ets
from ets.step import Step
from scripted_http import Reply, Script, ScriptedServer, one_endpoint, run

pytest.importorskip("openai", reason="openai is not installed (the extra 'openai' brings it)")

from ets.policy.chat import ChatPolicy

PATH = "/v1/chat/completions"
PROBLEM = "Tom has 3 apples and buys 4 more. How many apples does he have?"
CARD = {"id": "m", "owned_by": "someone"}
USAGE = {
    "prompt_tokens": 21,
    "completion_tokens": 9,
    "prompt_tokens_details": {"cached_tokens": 16},
}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


def said(
    content: str | None = "The answer is 7.", finish: str | None = "stop", **more: Any
) -> Reply:
    """A chat completion; `message` holds further fields of the message, else fields of the choice.

    `usage=None` leaves the usage out.
    """
    message = {"role": "assistant", "content": content, **more.pop("message", {})}
    usage = more.pop("usage", USAGE)
    choice = {"index": 0, "message": message, "finish_reason": finish, **more}
    return Reply({"choices": [choice], **({} if usage is None else {"usage": usage})})


def called(name: str, arguments: str, *, key: str = "call_1") -> dict[str, Any]:
    """A call of a tool, as the API gives it."""
    return {"id": key, "type": "function", "function": {"name": name, "arguments": arguments}}


def refused(message: str, status: int = 400) -> Reply:
    return Reply({"error": {"message": message}}, status=status)


@contextmanager
def chatting(
    script: Script | None, *cards: dict[str, Any], **options: Any
) -> Iterator[tuple[ScriptedServer, ChatPolicy]]:
    """A scripted server and a policy on it; who uses the policy closes it."""
    with one_endpoint(PATH, script, *cards or [CARD]) as server:
        yield server, ChatPolicy("m", server.url, **options)


def sample(policy: ChatPolicy, *, max_tokens: int = 64, seed: int = 5) -> Step:
    root = policy.start(PROBLEM)
    step = run(policy, lambda: policy.sample(root, seed=seed, max_tokens=max_tokens))
    assert isinstance(step, Step)
    return step


def failure(policy: ChatPolicy) -> str:
    with pytest.raises(ets.EngineError) as caught:
        sample(policy)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def searched(policy: Any, width: int = 4, prm: Any = "none", **options: Any) -> ets.SearchResult:
    with ets.Search(policy=policy, prm=prm, strategy=ets.BestOfN(width=width), **options) as search:
        return search.solve(PROBLEM)
