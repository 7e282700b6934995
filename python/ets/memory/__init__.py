"""How one GPU is divided between a policy, a PRM and an embedder, from their configs alone."""

from __future__ import annotations

from ets.memory.engine_need import EngineNeed, needs_of
from ets.memory.engine_shares import (
    Engine,
    gpu_bytes,
    plan_engines,
    planned_tokens,
    shared_options,
    shares,
    with_shares,
)
from ets.memory.memory_plan import MemoryPlan, PartPlan, plan_memory
from ets.memory.model_size import ModelSize, model_size

__all__ = [
    "Engine",
    "EngineNeed",
    "MemoryPlan",
    "ModelSize",
    "PartPlan",
    "gpu_bytes",
    "model_size",
    "needs_of",
    "plan_engines",
    "plan_memory",
    "planned_tokens",
    "shared_options",
    "shares",
    "with_shares",
]
