"""How one GPU would be divided, before anything is loaded: what fits, and what would help."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ets.doctor.policy import Load
from ets.doctor.report import Report
from ets.errors import EngineError, InputError, MissingExtraError
from ets.memory import Engine, MemoryPlan, PartPlan, plan_engines

_GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Engines:
    """The three engines of a search, by name and options."""

    policy: Engine
    prm: Engine
    embedder: Engine

    def plans(self, gpu_bytes: int, load: Load) -> tuple[MemoryPlan, ...]:
        """A plan for each GPU that they use."""
        return plan_engines(
            self.policy,
            self.prm,
            self.embedder,
            gpu_bytes=gpu_bytes,
            width=load.width,
            max_tokens=load.max_tokens,
        )

    def changed(
        self, *, policy: Mapping[str, Any] | None = None, prm: Mapping[str, Any] | None = None
    ) -> Engines:
        """The same with further options."""
        return Engines(_with(self.policy, policy), _with(self.prm, prm), self.embedder)


def examine_memory(engines: Engines, gpu_bytes: int, load: Load) -> list[Report]:
    """A report for each GPU that the engines use; none where none of them is on a GPU."""
    try:
        plans = engines.plans(gpu_bytes, load)
    except (EngineError, InputError, MissingExtraError) as error:
        report = Report("memory", f"a GPU of {gpu_bytes / _GIB:.4g} GiB")
        report.find("bad", " ".join(str(error).split()))
        return [report]
    return [_report(plan, engines, load) for plan in plans]


def _report(plan: MemoryPlan, engines: Engines, load: Load) -> Report:
    report = Report("memory", f"a GPU of {plan.gpu_bytes / _GIB:.4g} GiB")
    for part in plan.parts:
        report.facts[part.part] = _line(part)
    if plan.fits:
        free = f"{_gib(plan.free_bytes)}, for the driver and each process's own"
        report.facts["left free"] = free
    for part in plan.parts:
        for note in part.notes:
            report.find("note", f"{part.part}: {note}")
    if not plan.fits:
        held = sum(part.weight_bytes + part.overhead_bytes for part in plan.parts)
        contexts = " and ".join(
            f"of a context of {part.context:,} tokens in the {part.part}"
            for part in plan.parts
            if part.share is not None and part.solutions >= 1 and part.kv_tokens < part.context
        )
        lacking = contexts or f"of a solution of {load.max_tokens} tokens in each"
        report.find(
            "bad",
            f"it does not fit: weights and what is needed beside them come to {_gib(held)}, and "
            f"there is no room for the KV cache {lacking}",
            _what_helps(plan, engines, load),
        )
        return report
    caches = "its KV cache holds" if len(plan.parts) == 1 else "each KV cache holds"
    said = (
        f"{caches} {plan.solutions} solution{'s' * (plan.solutions > 1)} of {load.max_tokens} "
        "tokens at once that share no more than the prompt"
    )
    if plan.solutions >= load.width:
        at_once = "1 problem" if plan.problems == 1 else f"{plan.problems} problems"
        report.find("good", f"{said}: width {load.width} fits, {at_once} at a time")
    else:
        report.find(
            "note",
            f"{said}: width {load.width} fits only as far as solutions share steps or end early",
            _what_helps(plan, engines, load),
        )
    return report


def _line(part: PartPlan) -> str:
    shown = (
        f"{_gib(part.weight_bytes)} weights + {_gib(part.overhead_bytes)} activations and graphs "
    )
    if part.kv_bytes < 0:
        return f"{shown}= {_gib(part.weight_bytes + part.overhead_bytes)}"
    shown += (
        f"+ {_gib(part.kv_bytes)} KV cache ({part.kv_tokens:,} tokens) = {_gib(part.total_bytes)}"
    )
    return shown if part.share is None else f"{shown}; gpu_memory_utilization={part.share:.4f}"


def _what_helps(plan: MemoryPlan, engines: Engines, load: Load) -> str:
    """Changes that fit more, with what they would fit, as far as sizes can tell."""
    on_vllm = {part.part for part in plan.parts if part.share is not None}
    ways: list[tuple[str, Engines]] = []
    if "PRM" in on_vllm:
        half = {"quantization": "fp8"}
        ways.append(("quantization=fp8 for the PRM", engines.changed(prm=half)))
        if "policy" in on_vllm:
            ways.append(
                ("quantization=fp8 for both", engines.changed(policy=half, prm=half)),
            )
            ways.append(
                ("device_ids=[1] for the PRM, on a second GPU", _apart(engines)),
            )
    if on_vllm >= {"policy", "PRM"}:
        split = {"tensor_parallel_size": 2}
        ways.append(
            (
                "tensor_parallel_size=2 for both, on two GPUs",
                engines.changed(policy=split, prm=split),
            )
        )
    elif "policy" in on_vllm:
        split = {"tensor_parallel_size": 2}
        ways.append(("tensor_parallel_size=2, on two GPUs", engines.changed(policy=split)))
    found = []
    for what, changed in ways:
        plans = changed.plans(plan.gpu_bytes, load)
        most = min(other.solutions for other in plans)
        if all(other.fits for other in plans) and most > plan.solutions:
            found.append(f"{what} ({most} solution{'s' * (most > 1)})")
    if plan.fits:
        found.append("a smaller max_tokens; kv_budget='auto' keeps a search within the cache")
    elif any(part.solutions >= 1 and part.kv_tokens < part.context for part in plan.parts):
        found.append("a smaller max_model_len")
    elif not found:
        found.append("a smaller PRM or policy, or a larger GPU")
    return "; ".join(found)


def _apart(engines: Engines) -> Engines:
    return engines.changed(policy={"device_ids": [0]}, prm={"device_ids": [1]})


def _with(engine: Engine, options: Mapping[str, Any] | None) -> Engine:
    """The engine with options that win over those of the user, who may have said otherwise."""
    if options is None or not isinstance(engine.name, str):
        return engine
    named, mark, query = engine.name.partition("?")
    kept = [pair for pair in query.split("&") if pair.partition("=")[0] not in options]
    name = named + (mark + "&".join(kept) if mark and kept else "")
    return Engine(name, {**engine.options, **options})


def _gib(size: int) -> str:
    return f"{size / _GIB:.2f} GiB"
