"""The share of a GPU that each engine is started with, where the user does not say."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ets.engine_name import EngineName
from ets.errors import EngineError, InputError, MissingExtraError
from ets.memory.engine_need import PROMPT_TOKENS, EngineNeed, Part, needs_of
from ets.memory.memory_plan import MemoryPlan, plan_memory

_SHARE = "gpu_memory_utilization"
_NOT_ITS = (_SHARE, "kv_cache_memory_bytes")
"""What an embedder does not take over from its policy."""
_PARTS: tuple[Part, ...] = ("policy", "PRM", "embedder")


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine as a search is given it; one that is no name, or None, has no part in a plan."""

    name: object = None
    options: Mapping[str, Any] = field(default_factory=dict)


def plan_engines(
    policy: Engine,
    prm: Engine,
    embedder: Engine,
    *,
    gpu_bytes: int,
    width: int,
    max_tokens: int,
    prompt_tokens: int = PROMPT_TOKENS,
) -> tuple[MemoryPlan, ...]:
    """A plan for each GPU, or group of GPUs, that engines share; none where none is on a GPU.

    `max_tokens` are those of a solution without its prompt, `gpu_bytes` the size of each GPU. The
    embedder `policy` is a second copy of a policy on vLLM.

    # Errors
    `InputError` for a name that is none, `EngineError` for a checkpoint whose size cannot be told.
    """
    if isinstance(embedder.name, str) and embedder.name.partition("?")[0] == "policy":
        embedder = _second_copy(policy, embedder)
    needs = []
    for part, engine in zip(_PARTS, (policy, prm, embedder), strict=True):
        need = needs_of(
            part,
            engine.name,
            engine.options,
            gpu_bytes=gpu_bytes,
            max_tokens=max_tokens,
            prompt_tokens=prompt_tokens,
        )
        if need is not None:
            needs.append(need)
    return tuple(
        plan_memory(group, gpu_bytes=gpu_bytes, width=width, max_tokens=max_tokens)
        for group in _sharing(needs)
    )


def shares(
    policy: Engine,
    prm: Engine,
    embedder: Engine,
    *,
    gpu_bytes: int,
    width: int,
    max_tokens: int,
) -> dict[str, float]:
    """`gpu_memory_utilization` of each part that runs on vLLM.

    # Errors
    As `plan_engines`.
    """
    found: dict[str, float] = {}
    for plan in plan_engines(
        policy, prm, embedder, gpu_bytes=gpu_bytes, width=width, max_tokens=max_tokens
    ):
        found |= plan.shares
    return found


def with_shares(
    policy: Engine, prm: Engine, embedder: Engine, *, width: int, max_tokens: int
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """The options of the three engines, with a share where vLLM is to run on a GPU.

    What the user says stays. Nothing changes without a GPU, or where a size cannot be told: the
    engine that is loaded next says what is wrong with its checkpoint. Engines that do not seem to
    fit are started all the same, after a `UserWarning`.
    """
    engines = (policy, prm, embedder)
    options = dict(policy.options), dict(prm.options), dict(embedder.options)
    if not any(map(_is_vllm, engines)):
        return options
    try:
        size = gpu_bytes()
        if size is None:
            return options
        plans = plan_engines(*engines, gpu_bytes=size, width=width, max_tokens=max_tokens)
    except (EngineError, InputError, MissingExtraError):
        return options
    for plan in plans:
        if not plan.fits:
            warnings.warn(
                f"{' and '.join(part.name for part in plan.parts)} do not seem to fit on one GPU "
                f"of {size / 2**30:.1f} GiB; `ets doctor --gpu-memory` says what would",
                UserWarning,
                stacklevel=3,
            )
        for part in plan.parts:
            if part.chosen:
                options[_PARTS.index(part.part)][_SHARE] = part.share
    return options


def shared_options(
    said: Mapping[str, Any], *, width: int, embeds: bool
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """`with_shares` of the arguments of a `Search`, in plain values; `embeds`: with an embedder."""
    return with_shares(
        Engine(said.get("policy", "demo"), said.get("policy_options", {})),
        Engine(said.get("prm", "demo"), said.get("prm_options", {})),
        Engine(
            said.get("embedder", "lexical") if embeds else None, said.get("embedder_options", {})
        ),
        width=width,
        max_tokens=said.get("max_tokens", 1024),
    )


def gpu_bytes() -> int | None:
    """The memory of the first GPU that vLLM would use, asked of the driver; None without one.

    # Errors
    `MissingExtraError` without vLLM.
    """
    from ets.vllm_options import on_cpu

    if on_cpu():
        return None
    from vllm.platforms import current_platform

    try:
        return int(current_platform.get_device_total_memory())
    except (RuntimeError, NotImplementedError):
        return None


def _is_vllm(engine: Engine) -> bool:
    return isinstance(engine.name, str) and engine.name.startswith("vllm:")


def _second_copy(policy: Engine, embedder: Engine) -> Engine:
    """The embedder `policy`: on vLLM the policy's weights anew, else the very same."""
    if not _is_vllm(policy):
        return Engine()
    named = EngineName.parse("policy", str(policy.name), policy.options)
    more = EngineName.parse("embedder", str(embedder.name), embedder.options).options
    same = {key: value for key, value in named.options.items() if key not in _NOT_ITS}
    return Engine(f"vllm:{named.path}", {**same, **more})


def _sharing(needs: list[EngineNeed]) -> list[list[EngineNeed]]:
    """Groups of engines that have a GPU in common."""
    groups: list[list[EngineNeed]] = []
    for need in needs:
        touching = [g for g in groups if any(need.devices & other.devices for other in g)]
        groups = [g for g in groups if g not in touching]
        groups.append([*(other for g in touching for other in g), need])
    return groups
