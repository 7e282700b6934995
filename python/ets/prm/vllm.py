"""A PRM of any known format on vLLM, in this process."""

from __future__ import annotations

import inspect
import warnings
from os import PathLike
from typing import Any

from ets.checkpoint.source import Source
from ets.checks import check_flag, check_positive, path_text, shown
from ets.engines.context_need import context_need, prompt_room
from ets.engines.kv_space import KVSpace
from ets.engines.vllm.engine import VLLMEngine, rendered
from ets.errors import EngineError, InputError
from ets.extras import TESTED
from ets.pickled import Unpicklable
from ets.policy.limits import PLAIN
from ets.prm.formats import PRMFormat, joined, load_format
from ets.prm.vllm_reading import reading_of
from ets.step import Prefix, Score

_SKIP = "skip_reading_prefix_cache"


class VLLMPRM(Unpicklable):
    """Scores steps with a PRM on vLLM, reading only what is new.

    A model that vLLM knows as a PRM (the format `qwen`) is asked for a row per token and told to
    take what it can from the prefix cache, which leaves the rows of the new tokens. The ids end
    with the step tag, so the last row is the verdict on the last step; vLLM has applied the softmax
    to it already. Of any other the engine gives the hidden state at the last token, and the head,
    a few rows of the checkpoint's weights, is applied here in float32.

    Parameters
    ----------
    path
        A checkpoint folder or a hub name.
    incremental
        False makes the engine read every solution from its first token, for comparison. So does,
        with a `UserWarning`, an engine that cannot do otherwise: one with
        `enable_prefix_caching=False`, or of a vLLM whose requests cannot ask for the cache. The
        attribute of this name says what is in force.
    format
        How the PRM is read, a name of `ets.prm.formats.FORMATS`; by default what its config and
        name say.
    max_tokens
        Tokens of the policy's longest solution, by default 1,024. With room for the prompt, and an
        eighth more for step tags and turns, they are the context that the engine is started with,
        unless `max_model_len` is given or the checkpoint reads less.
    options
        What the format takes, such as the `system_prompt` of `qwen`, and engine options as those of
        `VLLMPolicy`.

    A step without text scores as the solution before it, and 0 if nothing has been written.

    # Errors
    `MissingExtraError` without vLLM, `EngineError` if the model cannot be loaded or is of no known
    format (what shows only when the engine starts is raised by the first `score`), `InputError` for
    an unknown option.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        incremental: bool = True,
        format: str | None = None,  # noqa: A002  what users call it
        max_tokens: int | None = None,
        **options: Any,
    ) -> None:
        if max_tokens is not None:
            check_positive(max_tokens=max_tokens)
        check_flag("incremental", incremental)
        if (ranks := options.get("data_parallel_size", 1)) != 1:
            raise InputError(
                f"data_parallel_size must be 1 for a PRM, got {shown(ranks)}: vLLM lets nobody say "
                "which rank reads a solution, so its cache would rarely have the solution's "
                "beginning; give several PRMs, each on a GPU of its own (device_ids)"
            )
        self._name = path_text("path", path)
        self._format = load_format(Source.of(self._name, options), format, options)
        if why := self._format.not_on_vllm:
            raise EngineError(f"the PRM {self._name!r} ({self._format.name}) cannot run: {why}")
        self._reading = reading_of(self._format)
        self.engine = VLLMEngine(
            self._name,
            defaults={
                "gpu_memory_utilization": 0.45,
                "runner": "pooling",
                # The engine never sees text, and the class that vLLM would pick for `qwen2` can
                # be the wrong one.
                "skip_tokenizer_init": True,
                **self._reading.engine_options,
            },
            options=options,
            need=context_need(
                "PRM",
                max_tokens or PLAIN[1],
                prompt_tokens=prompt_room(self._format.own_tokens),
            ),
        )
        self._format.max_length = min(self._format.max_length, self.engine.max_model_len)
        self._can_skip = _SKIP in inspect.signature(_pooling_params()).parameters
        self.incremental = incremental
        if incremental and (why := self._obstacle()):
            self.incremental = False
            warnings.warn(
                f"the PRM {self._name!r} reads every solution from its first token: {why}",
                UserWarning,
                stacklevel=2,
            )

    @property
    def format(self) -> PRMFormat:
        """How this PRM turns solutions into ids, and where it is read."""
        return self._format

    async def ready(self) -> None:
        """Wait until the engine has started."""
        await self.engine.ready()

    async def until_lost(self) -> str:
        """Wait until the engine has died, and say how."""
        return await self.engine.until_lost()

    async def kv_space(self) -> KVSpace:
        """The KV cache of the PRM's engine, once it has started."""
        return await self.engine.kv_space()

    async def score(self, prefix: Prefix) -> Score:
        """The reward in [0, 1] of `prefix`'s last step, given everything before it.

        # Errors
        `EngineError` if the solution is longer than the model's context, if the engine fails, or
        if it gives no probabilities.
        """
        ids = joined(await self._format.read(prefix))
        if ids is None:
            return Score(0.0)
        params = self._pooling()
        prompt = rendered(ids)
        reply = await self.engine.run(
            lambda llm, request_id: llm.encode(prompt, params, request_id=request_id)
        )
        return Score(
            self._reading.reward(reply.output.outputs.data),
            prompt_tokens=len(ids),
            cached_tokens=self._reading.cached_tokens(reply.output, len(ids)),
            preemptions=reply.preemptions,
        )

    async def forget_prefixes(self) -> None:
        """Empty the engine's prefix cache; for measurements.

        # Errors
        `EngineError` if requests are running.
        """
        await self.engine.forget_prefixes()

    async def aclose(self) -> None:
        """End the engine; calls that still wait get an `EngineError`."""
        await self.engine.aclose()

    def _obstacle(self) -> str | None:
        """Why solutions cannot be read incrementally; None where they can."""
        if not self.engine.caches_prefixes:
            return "its engine has no prefix cache (enable_prefix_caching=False)"
        if not self._can_skip:
            return f"this vLLM's PoolingParams have no {_SKIP} (vLLM {TESTED['vllm']} has it)"
        return None

    def _pooling(self) -> Any:
        options = {_SKIP: not self.incremental} if self._can_skip else {}
        return _pooling_params()(**self._reading.request_options, **options)


def _pooling_params() -> Any:
    """vLLM's class of what goes with a pooling request."""
    from vllm.pooling_params import PoolingParams

    return PoolingParams
