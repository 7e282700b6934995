"""The share of a GPU and the length of solutions that engines on vLLM are started with."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ets.engines.context_need import PROMPT_TOKENS, Part, prompt_room
from ets.engines.name import EngineName
from ets.errors import EngineError, InputError, MissingExtraError
from ets.memory.engine_need import EngineNeed, needs_of
from ets.memory.memory_plan import MemoryPlan, plan_memory
from ets.policy.limits import PLAIN, THINKING, usual_max_tokens
from ets.policy.named_prompt import named_prompt
from ets.policy.prompt import PolicyPrompt
from ets.shown.redaction import redacted_repr

_SHARE = "gpu_memory_utilization"
_NOT_ITS = (_SHARE, "kv_cache_memory_bytes")
"""What an embedder does not take over from its policy."""
_HOLD_A_NAME = ("generative:", "outcome:")
_PARTS: tuple[Part, ...] = ("policy", "PRM", "embedder")


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine as a search is given it; one that is no name, or None, has no part in a plan."""

    name: object = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return redacted_repr(self)


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
    policy: Engine, prm: Engine, embedder: Engine, *, width: int, max_tokens: int | None
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """The options of the three engines, with what vLLM is to be started with.

    Policy and PRM are told the length of the solutions, which decides their contexts; on a GPU each
    engine gets its share. What the user says stays. Nothing changes without vLLM, and no share is
    set where a size cannot be told: the engine that is loaded next says what is wrong with its
    checkpoint. Engines that do not seem to fit are started all the same, after a `UserWarning`.
    """
    options = dict(policy.options), dict(prm.options), dict(embedder.options)
    prm = _behind(prm)
    if not any(map(_is_vllm, (policy, prm, embedder))):
        return options
    prompt = _prompt_of(policy)
    # Not known of a policy on a server: then what any policy may need.
    longest = max_tokens or _usual_tokens(policy, prompt) or THINKING[1]
    # Other policies do not set space aside for the longest solution.
    planned = longest if max_tokens or _is_vllm(policy) else PLAIN[1]
    try:
        for who, engine, chosen in zip(_PARTS[:2], (policy, prm), options[:2], strict=True):
            if _is_vllm(engine) and "max_tokens" not in _all_options(who, engine):
                chosen["max_tokens"] = longest
        size = gpu_bytes()
        if size is None:
            return options
        plans = plan_engines(
            Engine(policy.name, options[0]),
            Engine(prm.name, options[1]),
            embedder,
            gpu_bytes=size,
            width=width,
            max_tokens=planned,
            prompt_tokens=PROMPT_TOKENS if prompt is None else prompt_room(prompt.own_tokens),
        )
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
        max_tokens=said.get("max_tokens"),
    )


def planned_tokens(policy: Engine, max_tokens: int | None) -> int:
    """Tokens of a solution: what was asked for, or what a search allows such a policy.

    That of a policy which cannot be told before it is loaded is taken as one that does not think.
    """
    return max_tokens or _usual_tokens(policy, _prompt_of(policy)) or PLAIN[1]


def _prompt_of(policy: Engine) -> PolicyPrompt | None:
    """The prompt of a policy, loaded or not; None where it cannot be told."""
    if not isinstance(policy.name, str):
        found = getattr(policy.name, "prompt", None)
        return found if isinstance(found, PolicyPrompt) else None
    try:
        prompt = named_prompt(policy.name, policy.options)
        if prompt is not None:
            _ = prompt.own_tokens  # a template that refuses is told of when the policy is loaded
    except (EngineError, MissingExtraError, ValueError, TypeError):
        return None
    return prompt


def _usual_tokens(policy: Engine, prompt: PolicyPrompt | None) -> int | None:
    if prompt is not None:
        return (PLAIN if prompt.thinking is None else THINKING)[1]
    return None if isinstance(policy.name, str) else usual_max_tokens(policy.name)


def gpu_bytes() -> int | None:
    """The memory of the first GPU that vLLM would use, asked of the driver; None without one.

    # Errors
    `MissingExtraError` without vLLM.
    """
    from ets.engines.vllm.options import on_cpu

    if on_cpu():
        return None
    from vllm.platforms import current_platform

    try:
        return int(current_platform.get_device_total_memory())
    except (RuntimeError, NotImplementedError):
        return None


def _behind(prm: Engine) -> Engine:
    """The engine of a PRM whose name holds another's: `generative:vllm:PATH`."""
    if not isinstance(prm.name, str) or not prm.name.startswith(_HOLD_A_NAME):
        return prm
    return Engine(prm.name.partition(":")[2], prm.options)


def _is_vllm(engine: Engine) -> bool:
    return isinstance(engine.name, str) and engine.name.startswith("vllm:")


def _all_options(part: Part, engine: Engine) -> Mapping[str, Any]:
    return EngineName.parse(part.lower(), str(engine.name), engine.options).options


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
