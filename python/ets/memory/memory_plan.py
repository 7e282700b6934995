"""One GPU divided so that all its engines hold the same number of solutions.

Every figure is in bytes, and the parts, with what is left free, come to the card exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ets.checks import check_int
from ets.memory.engine_need import EngineNeed

GIB = 1 << 30
_UNITS = 10_000
"""Shares are told to vLLM with four decimals."""
_USED = 9_200
"""Of `_UNITS`: what vLLM takes of a GPU by default (`gpu_memory_utilization` 0.92)."""
_CONTEXT = GIB // 2
"""What a process holds on a GPU before it allocates anything; vLLM's share does not count it. One
fits into what vLLM leaves free, each further engine needs it beside that."""


@dataclass(frozen=True, slots=True)
class PartPlan:
    """What one engine gets. Bytes of one GPU."""

    part: str
    name: str
    weight_bytes: int
    overhead_bytes: int
    """Activations, CUDA graphs and the like: an assumption, see `ets.memory.engine_need`."""
    kv_bytes: int
    """Negative where weights and overhead alone are more than the part gets."""
    kv_tokens: int
    context: int
    """Tokens of its longest request."""
    solutions: int
    """Solutions of the planned length whose KV it holds at once; they share the prompt only."""
    share: float | None
    """`gpu_memory_utilization`; None for an engine that has no such option."""
    chosen: bool = False
    """Whether the share is the plan's, not the user's."""
    notes: tuple[str, ...] = ()

    @property
    def total_bytes(self) -> int:
        """Everything that the engine takes."""
        return self.weight_bytes + self.overhead_bytes + self.kv_bytes


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """One GPU: its engines, and what is left free."""

    gpu_bytes: int
    parts: tuple[PartPlan, ...]
    width: int
    """The width that is planned."""
    max_tokens: int
    """Tokens of a solution that are planned, without the prompt."""

    @property
    def free_bytes(self) -> int:
        """Left to the driver, to the processes' contexts and to chance."""
        return self.gpu_bytes - sum(part.total_bytes for part in self.parts)

    @property
    def solutions(self) -> int:
        """The largest width of which no engine has to drop a solution from its cache.

        That of a transformers backend says less: what it works on has space of its own.
        """
        searching = [part for part in self.parts if part.part != "embedder"]
        divided = [part for part in searching if part.share is not None]
        return min((part.solutions for part in divided or searching), default=0)

    @property
    def fits(self) -> bool:
        """Whether there is room for all weights, and in each cache for a solution and a context."""
        shared = [part for part in self.parts if part.share is not None]
        return (
            self.free_bytes >= 0
            and sum(part.share or 0.0 for part in shared) <= 1
            and all(part.solutions >= 1 and part.kv_tokens >= part.context for part in shared)
        )

    @property
    def shares(self) -> dict[str, float]:
        """`gpu_memory_utilization` by part, of those that take one."""
        return {part.part: part.share for part in self.parts if part.share is not None}

    @property
    def problems(self) -> int:
        """How many problems of the planned width fit at a time, each with its own prompt."""
        return self.solutions // self.width


def plan_memory(
    needs: Sequence[EngineNeed], *, gpu_bytes: int, width: int, max_tokens: int
) -> MemoryPlan:
    """Divide one GPU among the engines that are to run on it.

    Each gets its weights and its overhead. Of the rest, those whose cache is not set by the user
    get as much as the same number of solutions takes in each, and at least their context. Where the
    engines do not fit, they get shares in proportion to their weights and overhead, and the plan
    says that it does not fit.

    # Errors
    `InputError` if a number is not positive.
    """
    check_int("gpu_bytes", gpu_bytes, 1, 1 << 60)
    check_int("width", width, 1, 2**63 - 1)
    check_int("max_tokens", max_tokens, 1, 2**63 - 1)
    usable = gpu_bytes * _USED // _UNITS - _CONTEXT * max(0, len(needs) - 1)
    units = {i: _said(need, gpu_bytes) for i, need in enumerate(needs)}
    open_ones = [i for i, need in enumerate(needs) if need.divides and units[i] is None]
    taken = sum(
        need.fixed_bytes if (said := units[i]) is None else gpu_bytes * said // _UNITS
        for i, need in enumerate(needs)
        if i not in open_ones
    )
    room = _divided([needs[i] for i in open_ones], max(0, usable - taken), gpu_bytes)
    for i, size in zip(open_ones, room, strict=True):
        units[i] = size * _UNITS // gpu_bytes
    parts = tuple(_part(need, gpu_bytes, units[i]) for i, need in enumerate(needs))
    return MemoryPlan(gpu_bytes, parts, width, max_tokens)


def _said(need: EngineNeed, gpu_bytes: int) -> int | None:
    """The units of an engine whose share follows from what the user says."""
    if not need.divides:
        return None
    if need.share is not None:
        return int(need.share * _UNITS)
    if need.kv_fixed is not None:
        return min(_UNITS, -(-need.fixed_bytes * _UNITS // gpu_bytes))
    return None


def _divided(needs: Sequence[EngineNeed], room: int, gpu_bytes: int) -> list[int]:
    """The bytes of each, together at most `room`."""
    held = [need.weight_bytes + need.overhead_bytes for need in needs]
    empty = [
        mine + need.prompt_tokens * need.kv_bytes for mine, need in zip(held, needs, strict=True)
    ]
    each = [need.solution_tokens * need.kv_bytes for need in needs]
    least = [
        _whole_units(mine + need.context * need.kv_bytes, gpu_bytes)
        for mine, need in zip(held, needs, strict=True)
    ]
    if room < sum(map(max, least, map(sum, zip(empty, each, strict=True)))):
        return [room * part // sum(held) for part in held]
    found = list(least)
    # Those whose context is more than their part get just that, and the others divide the rest.
    evenly = list(range(len(needs)))
    while evenly:
        rest = room - sum(least[i] for i in range(len(needs)) if i not in evenly)
        rest -= sum(empty[i] for i in evenly)
        a_round = sum(each[i] for i in evenly)
        for i in evenly:
            found[i] = empty[i] + rest * each[i] // a_round
        short = [i for i in evenly if found[i] < least[i]]
        if not short:
            break
        for i in short:
            found[i] = least[i]
        evenly = [i for i in evenly if i not in short]
    return found


def _whole_units(size: int, gpu_bytes: int) -> int:
    """The least bytes that are a share of four decimals and not less than `size`."""
    units = -(-size * _UNITS // gpu_bytes)
    return -(-units * gpu_bytes // _UNITS)


def _part(need: EngineNeed, gpu_bytes: int, units: int | None) -> PartPlan:
    kv = need.kv_fixed or 0
    if units is not None and need.kv_fixed is None:
        kv = gpu_bytes * units // _UNITS - need.weight_bytes - need.overhead_bytes
    tokens = max(0, kv) // need.kv_bytes
    return PartPlan(
        part=need.part,
        name=need.name,
        weight_bytes=need.weight_bytes,
        overhead_bytes=need.overhead_bytes,
        kv_bytes=kv,
        kv_tokens=tokens,
        context=need.context,
        solutions=max(0, tokens - need.prompt_tokens) // need.solution_tokens,
        share=None if units is None else units / _UNITS,
        chosen=units is not None and need.share is None,
        notes=need.notes,
    )
