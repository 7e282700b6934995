"""Policies: the models that write the steps."""

from __future__ import annotations

from typing import Any

from ets.checks import shown
from ets.engines.name import EngineName, bundled_backend, one_server
from ets.engines.protocols import Policy
from ets.errors import InputError
from ets.policy.base import PolicyOptions
from ets.policy.chat_options import ChatOptions
from ets.shown.redaction import redacted


def load_policy(policy: str | Policy, **options: Any) -> Policy:
    """The policy that a name stands for, or the object itself.

    Names: `demo` (the bundled one, on numpy alone, or on torch as `demo?backend=transformers`),
    `transformers:PATH`, `vllm:PATH`, and `openai:MODEL@URL` for a model on a server, or
    `chat:MODEL@URL` for one on a server that only chats. `options` go to the backend's constructor:
    the fields of `PolicyOptions` (of `ChatOptions` for `chat`) and the backend's own. They may also
    stand in the name: `vllm:PATH?top_p=0.9&max_model_len=4096`.

    Raises `InputError` for an unknown name or an option given twice, `MissingExtraError` where the
    backend's package is not installed, `EngineError` where the model cannot be loaded or its server
    not be reached.
    """
    if not isinstance(policy, str):
        if not isinstance(policy, Policy) or isinstance(policy, type):
            raise InputError(
                "policy must be a name or an object with start, sample and aclose, got "
                f"{shown(policy)}"
            )
        if options:
            raise InputError(
                f"policy_options go with a policy given by name, got {sorted(options)}"
            )
        return policy
    name = EngineName.parse("policy", one_server("policy", policy), options)
    path, options = name.path, name.options
    match name.backend:
        case "demo" if not path:
            from ets import demo

            if bundled_backend("policy", options) == "numpy":
                from ets.policy.bundled import BundledPolicy

                return BundledPolicy(demo.policy_path(), **options)
            from ets.policy.transformers import TransformersPolicy

            return TransformersPolicy(demo.policy_path(), **options)
        case "transformers" if path:
            from ets.policy.transformers import TransformersPolicy

            return TransformersPolicy(path, **options)
        case "vllm" if path:
            from ets.policy.vllm import VLLMPolicy

            return VLLMPolicy(path, **options)
        case "openai" if "@" in path:
            from ets.policy.openai import OpenAIPolicy

            model, url = name.on_server()
            return OpenAIPolicy(model, url, **options)
        case "chat" if "@" in path:
            from ets.policy.chat import ChatPolicy

            model, url = name.on_server()
            return ChatPolicy(model, url, **options)
    raise InputError(
        "policy must be demo, transformers:PATH, vllm:PATH, openai:MODEL@URL or chat:MODEL@URL, "
        f"got {shown(redacted(policy))}"
    )


__all__ = ["ChatOptions", "PolicyOptions", "load_policy"]
