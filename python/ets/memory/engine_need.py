"""What an engine needs on a GPU, from its name and options: weights, overhead, KV of a solution.

What an engine takes beside weights and KV cache shows only when it runs, so it is assumed here, on
the high side. Tokens that are read at once (`max_num_batched_tokens`) take up four hidden states
and three feed-forward ones each, in half precision; a policy's samples (`max_num_seqs`) the
vocabulary three times in float32; CUDA graphs and what libraries allocate 1 GiB. No run of ours has
measured it. For Llama-3.1-8B at 8,192 tokens and 256 samples it comes to 1.4 GiB of activations;
what vLLM logs of its own profiling ("PyTorch activation peak memory takes"), in logs that people
have made public, lies anywhere between 0.22 and 2.02 GiB, of other versions, models and options.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ets.checkpoint.source import Source
from ets.engines.context_need import EMBEDDING, PROMPT_TOKENS, Part, context_need, solution_tokens
from ets.engines.name import EngineName
from ets.errors import InputError
from ets.memory.model_size import ModelSize, model_size

_GIB = 1 << 30
_FIXED = _GIB
_LARGE = 70 * _GIB
"""From here on vLLM reads 16,384 tokens and 1,024 samples at once, below 8,192 and 256."""
_CACHE_TOKENS, _PREFILL_TOKENS, _ROWS = 32768, 8192, 64
"""The defaults of the transformers backends."""
_BLOCK = 16


@dataclass(frozen=True, slots=True)
class EngineNeed:
    """What one engine needs on each of its GPUs. Bytes."""

    part: Part
    name: str
    weight_bytes: int
    overhead_bytes: int
    kv_bytes: int
    """One token in its KV cache."""
    prompt_tokens: int
    """Shared by all solutions of a problem."""
    solution_tokens: int
    """What one solution adds, in whole blocks."""
    context: int = 0
    """The longest request, which vLLM's cache has to hold or it does not start."""
    kv_fixed: int | None = None
    """The bytes of its KV cache where they do not follow from a share of the GPU."""
    share: float | None = None
    """The share of the GPU that the user gives it."""
    divides: bool = True
    """Whether it takes a share of the GPU (vLLM) or just what it needs (transformers)."""
    devices: frozenset[int] = frozenset({0})
    """The GPUs that it runs on."""
    notes: tuple[str, ...] = ()

    @property
    def fixed_bytes(self) -> int:
        """What it takes where its cache is of fixed size."""
        return self.weight_bytes + self.overhead_bytes + (self.kv_fixed or 0)


def needs_of(
    part: Part,
    name: object,
    options: Mapping[str, Any],
    *,
    gpu_bytes: int,
    max_tokens: int,
    prompt_tokens: int = PROMPT_TOKENS,
) -> EngineNeed | None:
    """What the engine of a name needs; None for one that is not on a GPU of this process.

    A policy's solution takes `max_tokens`; a PRM's an eighth more, for step tags and turns; neither
    more than its context leaves. The context is the option `max_model_len`, else what
    `ets.engines.context_need` says of the option `max_tokens` or of the argument. With several GPUs
    (`tensor_parallel_size`, `pipeline_parallel_size`) it is what one of them holds.

    # Errors
    `InputError` for a name that is none, `EngineError` for a checkpoint whose size cannot be told.
    """
    if not isinstance(name, str):
        return None
    engine = EngineName.parse(part.lower(), name, options)
    if engine.backend == "vllm" and engine.path:
        return _vllm(part, engine, gpu_bytes, max_tokens, prompt_tokens)
    on_gpu = str(engine.options.get("device") or "cuda").startswith("cuda")
    if engine.backend in ("transformers", "sentence-transformers") and engine.path and on_gpu:
        return _transformers(part, engine, max_tokens, prompt_tokens)
    return None


def _vllm(
    part: Part, engine: EngineName, gpu_bytes: int, max_tokens: int, prompt_tokens: int
) -> EngineNeed:
    options = engine.options
    tensor = _count(options, "tensor_parallel_size", 1)
    pipeline = _count(options, "pipeline_parallel_size", 1)
    size = model_size(
        Source.of(engine.path, options),
        writes=part == "policy",
        **{key: options.get(key) for key in ("dtype", "kv_cache_dtype", "quantization")},
    )
    large = gpu_bytes >= _LARGE
    batched = _count(options, "max_num_batched_tokens", 16384 if large else 8192)
    samples = _count(options, "max_num_seqs", 1024 if large else 256)
    kv_bytes = max(1, -(-size.kv_bytes // (min(tensor, size.kv_heads) * pipeline)))
    fixed = options.get("kv_cache_memory_bytes")
    if fixed is None and part == "embedder":
        fixed = EMBEDDING.tokens * kv_bytes
    share = options.get("gpu_memory_utilization")
    if share is not None and not (isinstance(share, int | float) and 0 < share <= 1):
        raise InputError(f"gpu_memory_utilization must lie in (0, 1], got {share!r}")
    context = _context(part, size, options, max_tokens, prompt_tokens)
    ids = options.get("device_ids")
    return EngineNeed(
        part=part,
        name=f"{engine.backend}:{engine.path}",
        weight_bytes=-(-size.weight_bytes // (tensor * pipeline)),
        overhead_bytes=_FIXED
        + _activations(size, batched, tensor)
        + (min(samples, batched) * size.vocabulary * 12 if part == "policy" else 0),
        kv_bytes=kv_bytes,
        prompt_tokens=0 if part == "embedder" else _blocks(prompt_tokens),
        solution_tokens=_solution(part, max_tokens, prompt_tokens, context),
        context=context,
        kv_fixed=None if fixed is None else int(fixed),
        share=None if share is None else float(share),
        devices=frozenset(map(int, ids)) if ids else frozenset(range(tensor * pipeline)),
        notes=size.notes,
    )


def _transformers(
    part: Part, engine: EngineName, max_tokens: int, prompt_tokens: int
) -> EngineNeed:
    options = engine.options
    writes = part == "policy"
    dtype = options.get("dtype")
    if dtype is None and engine.backend == "sentence-transformers":
        dtype = "float32"
    size = model_size(Source.of(engine.path, options), writes=writes, dtype=dtype)
    rows = _count(options, "max_batch", _ROWS)
    prefill = _count(options, "prefill_tokens", _PREFILL_TOKENS)
    kept = int(options.get("cache_tokens", _CACHE_TOKENS)) if part != "embedder" else 0
    # What runs has space of its own beside what is kept.
    running = rows * (prompt_tokens + max_tokens) if writes else prefill
    device = str(options.get("device") or "cuda:0").partition(":")[2]
    return EngineNeed(
        part=part,
        name=f"{engine.backend}:{engine.path}",
        weight_bytes=size.weight_bytes,
        overhead_bytes=_FIXED
        + _activations(size, prefill, 1)
        + running * size.kv_bytes * (part != "embedder")
        + (rows * size.vocabulary * 12 if writes else 0),
        kv_bytes=max(1, size.kv_bytes),
        prompt_tokens=prompt_tokens,
        solution_tokens=_solution(part, max_tokens, prompt_tokens, size.context),
        kv_fixed=kept * size.kv_bytes,
        divides=False,
        devices=frozenset({int(device) if device.isdecimal() else 0}),
        notes=size.notes,
    )


def _activations(size: ModelSize, tokens: int, tensor: int) -> int:
    return tokens * 2 * (4 * size.hidden + size.widest // tensor)


def _context(
    part: Part, size: ModelSize, options: Mapping[str, Any], max_tokens: int, prompt_tokens: int
) -> int:
    given = options.get("max_model_len")
    if isinstance(given, int) and given > 0:
        return given
    if part == "embedder":
        wanted = EMBEDDING.tokens
    else:
        tokens = _count(options, "max_tokens", max_tokens)
        wanted = context_need(part, tokens, prompt_tokens=prompt_tokens).tokens
    return min(size.context or wanted, wanted)


def _solution(part: Part, max_tokens: int, prompt_tokens: int, context: int | None) -> int:
    if part == "embedder":  # it reads steps, and keeps none of them
        return _BLOCK
    whole = solution_tokens(part, max_tokens)
    return _blocks(whole if context is None else max(1, min(whole, context - prompt_tokens)))


def _blocks(tokens: int) -> int:
    return -(-tokens // _BLOCK) * _BLOCK


def _count(options: Mapping[str, Any], name: str, default: int) -> int:
    value = options.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"{name} must be an integer of at least 1, got {value!r}")
    return value
