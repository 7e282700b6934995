"""The prompt of a policy that is not loaded yet: what its tokenizer and options alone say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from ets.checkpoint.source import Source
from ets.engines.name import EngineName
from ets.policy.base import PolicyOptions
from ets.policy.prompt import PolicyPrompt


def named_prompt(name: str, options: Mapping[str, Any]) -> PolicyPrompt | None:
    """The prompt of the policy that a name stands for, its context left aside.

    None for a name that is none, and for a model whose tokenizer only its server knows.

    # Errors
    `InputError` or `ValueError` for a bad option, `EngineError` for a checkpoint that cannot be
    read, `MissingExtraError` without transformers.
    """
    engine = EngineName.parse("policy", name, options)
    if engine.backend == "chat":  # whose options are others, and whose server makes the prompt
        return None
    names = {field.name for field in fields(PolicyOptions)}
    prompting = PolicyOptions(**{k: v for k, v in engine.options.items() if k in names})
    if engine.backend == "demo" and not engine.path:
        from ets import demo
        from ets.engines.bundled.checkpoint import BundledCheckpoint
        from ets.policy.bundled import bundled_prompt

        return bundled_prompt(BundledCheckpoint(demo.policy_path()), prompting)
    source = _source(engine)
    if source is None:
        return None
    return PolicyPrompt.load(source, prompting)


def _source(engine: EngineName) -> Source | None:
    match engine.backend:
        case "transformers" | "vllm" if engine.path:
            return Source.of(engine.path, engine.options)
        case "openai" if tokenizer := engine.options.get("tokenizer"):
            return Source.of(str(tokenizer))
    return None
