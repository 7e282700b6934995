"""What a vLLM engine is started with, and what its configuration says once it has started.

The names of vLLM's options are used here, in `ets.policy.vllm` and in `ets.prm.vllm` only.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import sys
from collections.abc import Mapping
from typing import Any

from ets.checkpoint.source import Source
from ets.checkpoint.tokenizer import load_config
from ets.checks import check_flag, check_number, integer
from ets.engines.context_need import ContextNeed
from ets.engines.kv_space import KVSpace
from ets.engines.vllm.start_environment import STARTS, in_process_worker
from ets.errors import EngineError, InputError
from ets.extras import TESTED, needs
from ets.shown.log import Log

_LOG = Log("ets.vllm")
_CPU_CONTEXT = 4096
_CPU_KV_BYTES = 1 << 30


def on_cpu() -> bool:
    """Import vLLM, with the environment it wants, and ask it what it runs on."""
    if not STARTS.users("VLLM_LOGGING_LEVEL"):
        # It speaks before vLLM has read its logging level.
        logging.getLogger("vllm.triton_utils.importing").setLevel(logging.ERROR)
    with needs("vllm", "vllm"), STARTS.running(cpu=False):
        from vllm.platforms import current_platform
    return bool(current_platform.is_cpu())


def configure(
    model: str, options: dict[str, Any], *, cpu: bool, need: ContextNeed | None = None
) -> Any:
    """vLLM's configuration of one engine; every mistake in `options` shows here.

    `need` limits the context where `options` do not say `max_model_len`.
    """
    if "vllm.engine.arg_utils" not in sys.modules:
        _LOG.info("vllm:%s: importing vLLM", model)
    # The first is for the PRM, which would otherwise import it while a thread imports the rest of
    # vLLM: two threads in modules that import each other can see half of one.
    with needs("vllm", "vllm"):
        import vllm.pooling_params  # noqa: F401
        from vllm.engine.arg_utils import AsyncEngineArgs
    from huggingface_hub import is_offline_mode
    from vllm.usage.usage_lib import UsageContext

    known = {field.name: field.type for field in dataclasses.fields(AsyncEngineArgs)}
    if unknown := sorted(set(options) - set(known)):
        raise InputError(f"unknown option {unknown[0]!r} for the vLLM engine of {model!r}")
    for name, value in options.items():
        check_kind(name, value, known[name])
    source = Source.of(model, options)
    stated = getattr(load_config(source).get_text_config(), "max_position_embeddings", None)
    if options.get("max_model_len") is None:
        options = {**options, "max_model_len": _context(model, stated, need, cpu=cpu)}
    always: dict[str, Any] = {
        "enable_prefix_caching": True,
        "disable_log_stats": True,
        "use_tqdm_on_load": False,
    }
    if cpu:
        always |= _cpu_defaults(options)
    # Offline, vLLM looks for models in the usual cache only.
    path = (source.folder() if is_offline_mode() else None) or source.path
    options = {**always, **options, "model": path}
    # Without one vLLM takes 128 requests and 2048 tokens at once, on whatever GPU.
    usage = UsageContext.LLM_CLASS
    with STARTS.running(cpu=cpu):
        try:
            if cpu and options.get("distributed_executor_backend") == "uni":
                with in_process_worker():
                    config = AsyncEngineArgs(**options).create_engine_config(usage)
            else:
                config = AsyncEngineArgs(**options).create_engine_config(usage)
        except (ValueError, TypeError, OSError, RuntimeError, NotImplementedError) as error:
            raise EngineError(
                f"vLLM cannot serve {model!r}: {gist(error)} "
                f"(vLLM {_version()}, tested up to {TESTED['vllm']})"
            ) from error
    if not STARTS.users("VLLM_LOGGING_LEVEL"):
        # It prints a trace for an engine that ends, where our error is enough. Not set before now,
        # since every configuration resets the levels.
        logging.getLogger("vllm.v1.engine.async_llm").setLevel(logging.CRITICAL)
    return config


def check_kind(name: str, value: object, kind: object) -> None:
    """Refuse a value that is no `kind` where that is bool, int or float, with `InputError`: vLLM
    takes the text "no" for yes. Other kinds, and None, are vLLM's to judge.
    """
    if value is None:
        return
    if kind is bool:
        check_flag(name, value)
    elif kind is int:
        integer(name, value, None)
    elif kind is float:
        check_number(name, value, "within the floats", lambda number: True)


def kv_space(config: Any) -> KVSpace:
    """The KV cache of a started engine, from its configuration.

    Of the blocks one is never handed out: it stands in for blocks that hold nothing. Where kinds
    of layers with caches of their own share the blocks, a token takes up several; vLLM then states
    fewer tokens than its blocks hold, and that is the answer. Engines that split the requests
    among them (`data_parallel_size`) count together.

    # Errors
    `EngineError` if the engine has no KV cache.
    """
    cache = config.cache_config
    engines = config.parallel_config.data_parallel_size
    blocks = (cache.num_gpu_blocks or 0) // engines
    size = cache.block_size
    if blocks < 2:
        model = config.model_config.model
        raise EngineError(f"the vLLM engine of {model!r} has no KV cache: {blocks} blocks")
    tokens = (blocks - 1) * size
    context = config.model_config.max_model_len
    if_alike = int(blocks / -(-context // size) * context)
    stated = cache.kv_cache_size_tokens
    if stated is not None and stated < if_alike:
        tokens = min(tokens, stated)
    return KVSpace(tokens=tokens * engines, block_size=size)


def _context(model: str, stated: int | None, need: ContextNeed | None, *, cpu: bool) -> int | None:
    """The context that is chosen here; None for the checkpoint's own, which vLLM knows best."""
    limits = [] if need is None else [(need.tokens, need.why)]
    if cpu:
        limits.append((_CPU_CONTEXT, "the most that is taken on a CPU unless told otherwise"))
    tokens, why = min(limits, default=(stated, ""))
    if tokens is None or (stated is not None and stated <= tokens):
        return None
    _LOG.info(
        "vllm:%s: max_model_len %s (%s); the checkpoint has %s",
        model,
        f"{tokens:,}",
        why,
        "no limit" if stated is None else f"{stated:,}",
    )
    return tokens


def _cpu_defaults(options: Mapping[str, Any]) -> dict[str, Any]:
    """What vLLM needs on a CPU so that seeds, the prefix cache and two engines work."""
    context = options["max_model_len"]
    defaults: dict[str, Any] = {
        "dtype": "float32",  # without AVX512-BF16, bf16 takes several times as long
        "enforce_eager": True,
        "block_size": 32,  # 16 fails; the default of 128 makes prefix hits rare
        # A request with a seed kills the engine when its prefill comes in chunks.
        "enable_chunked_prefill": False,
        "max_num_batched_tokens": max(context, _CPU_CONTEXT) if context else _CPU_CONTEXT,
    }
    if all(
        options.get(name, 1) == 1 for name in ("tensor_parallel_size", "pipeline_parallel_size")
    ):
        # One process less; with several workers vLLM would wait for the others for ever.
        defaults["distributed_executor_backend"] = "uni"
    if not os.environ.get("VLLM_CPU_KVCACHE_SPACE"):
        defaults["kv_cache_memory_bytes"] = _CPU_KV_BYTES  # the default is half the memory
    return defaults


def gist(error: BaseException) -> str:
    """The part of an error that says most, on one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # Validation errors of pydantic put the number of errors first and the reason third.
    if lines and "validation error" in lines[0] and len(lines) > 1:
        lines = lines[1:]
    if not lines:
        return type(error).__name__
    return lines[0].removeprefix("Value error, ").partition(" [type=")[0]


def _version() -> str:
    import vllm

    return str(getattr(vllm, "__version__", "of unknown version"))
