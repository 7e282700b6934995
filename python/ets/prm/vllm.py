"""A PRM of the Qwen2.5-Math-PRM form on vLLM, in this process."""

from __future__ import annotations

import inspect
import math
import warnings
from os import PathLike, fspath
from typing import Any

from ets.errors import EngineError
from ets.kv_space import KVSpace
from ets.prm.prompt import SYSTEM_PROMPT, QwenPRMPrompt
from ets.step import Prefix, Score
from ets.vllm_engine import VLLMEngine, rendered
from ets.vllm_options import TESTED_VERSION

_TASK = "token_classify"
_SKIP = "skip_reading_prefix_cache"
_ROUNDING = 0.02
"""How far the two probabilities of a row may be from summing to 1, in half precision."""


class VLLMPRM:
    """Scores steps with a `Qwen2ForProcessRewardModel` on vLLM, reading only what is new.

    The engine is asked for a row per token and told to take what it can from its prefix cache,
    which leaves the rows of the new tokens. The ids end with the step tag, so the last row is the
    verdict on the last step; vLLM has applied the softmax to it already.

    Parameters
    ----------
    path
        A checkpoint folder or a hub name.
    incremental
        False makes the engine read every solution from its first token, for comparison. So does,
        with a `UserWarning`, an engine that cannot do otherwise: one with
        `enable_prefix_caching=False`, or of a vLLM whose requests cannot ask for the cache. The
        attribute of this name says what is in force.
    system_prompt
        That of Qwen2.5-Math-PRM; None for no system message.
    engine_options
        As those of `VLLMPolicy`.

    A step without text scores as the solution before it, and 0 if nothing has been written.

    # Errors
    `MissingExtraError` without vLLM, `EngineError` if the model cannot be loaded or is of another
    form (what shows only when the engine starts is raised by the first `score`), `InputError` for
    an unknown option.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        incremental: bool = True,
        system_prompt: str | None = SYSTEM_PROMPT,
        **engine_options: Any,
    ) -> None:
        self._name = fspath(path)
        self._prompt = QwenPRMPrompt.load(self._name, system_prompt=system_prompt)
        self.engine = VLLMEngine(
            self._name,
            defaults={
                "gpu_memory_utilization": 0.45,
                "runner": "pooling",
                # The model's own pooling looks for step tags in all of a prompt's ids, but the
                # cache has left rows for the last of them only.
                "pooler_config": {"task": _TASK, "tok_pooling_type": "ALL"},
                # The engine never sees text, and the class that vLLM would pick for `qwen2` can
                # be the wrong one.
                "skip_tokenizer_init": True,
            },
            options=engine_options,
        )
        self._prompt.max_length = min(self._prompt.max_length, self.engine.max_model_len)
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
    def prompt(self) -> QwenPRMPrompt:
        """How this PRM turns solutions into ids."""
        return self._prompt

    async def ready(self) -> None:
        """Wait until the engine has started."""
        await self.engine.ready()

    async def kv_space(self) -> KVSpace:
        """The KV cache of the PRM's engine, once it has started."""
        return await self.engine.kv_space()

    async def score(self, prefix: Prefix) -> Score:
        """The reward in [0, 1] of `prefix`'s last step, given everything before it.

        # Errors
        `EngineError` if the solution is longer than the model's context, if the engine fails, or
        if it gives no probabilities.
        """
        ids = self._prompt.ids(prefix)
        if ids is None:
            return Score(0.0)
        params = self._pooling()
        prompt = rendered(ids)
        reply = await self.engine.run(
            lambda llm, request_id: llm.encode(prompt, params, request_id=request_id)
        )
        rows = reply.output.outputs.data
        return Score(
            self._reward(rows),
            prompt_tokens=len(ids),
            cached_tokens=len(ids) - len(rows),
            preemptions=reply.preemptions,
        )

    async def aclose(self) -> None:
        """End the engine; calls that still wait get an `EngineError`."""
        await self.engine.aclose()

    def _reward(self, rows: Any) -> float:
        """The second probability of the last row (`rows`: new tokens x 2)."""
        if rows.ndim != 2 or len(rows) == 0 or rows.shape[1] != 2:
            raise EngineError(
                f"the PRM {self._name!r} gave an output of shape {tuple(rows.shape)}, "
                "not one pair of probabilities per new token"
            )
        bad, good = (float(value) for value in rows[-1])
        if not math.isclose(bad + good, 1.0, abs_tol=_ROUNDING) or min(bad, good) < 0:
            raise EngineError(
                f"the PRM {self._name!r} gave ({bad:g}, {good:g}), which are no probabilities"
            )
        return min(good, 1.0)

    def _obstacle(self) -> str | None:
        """Why solutions cannot be read incrementally; None where they can."""
        if not self.engine.caches_prefixes:
            return "its engine has no prefix cache (enable_prefix_caching=False)"
        if not self._can_skip:
            return f"this vLLM's PoolingParams have no {_SKIP} (vLLM {TESTED_VERSION} has it)"
        return None

    def _pooling(self) -> Any:
        options = {_SKIP: not self.incremental} if self._can_skip else {}
        return _pooling_params()(task=_TASK, **options)


def _pooling_params() -> Any:
    """vLLM's class of what goes with a pooling request."""
    from vllm.pooling_params import PoolingParams

    return PoolingParams
