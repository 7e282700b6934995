"""An embedder on vLLM, in this process."""

from __future__ import annotations

import asyncio
from os import PathLike
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ets.checkpoint.source import Source
from ets.checkpoint.tokenizer import load_tokenizer
from ets.checks import check_choice, path_text
from ets.engines.context_need import EMBEDDING
from ets.engines.vllm.engine import VLLMEngine, rendered
from ets.errors import EngineError
from ets.pickled import Unpicklable

Vector = NDArray[np.float32]
Pooling: TypeAlias = Literal["mean", "last", "cls"]


class VLLMEmbedder(Unpicklable):
    """Embeds texts with a model on vLLM, one request a text; vLLM batches what is in flight.

    Parameters
    ----------
    path
        A checkpoint folder or a hub name, of an embedding model or of any language model.
    pooling
        What a text's vector is made of: the `mean` of its tokens' hidden states, the `last` one or
        the first (`cls`). None for what the checkpoint states, as sentence-transformers models do,
        and `last` where it states nothing.
    engine_options
        As those of `VLLMPolicy`; on a GPU it takes 5% of the memory unless told otherwise.

    A text that is longer than the model reads, or than 8,192 tokens unless `max_model_len` says
    otherwise, is cut off there, as sentence-transformers does.

    # Errors
    `MissingExtraError` without vLLM, `EngineError` if the model cannot be loaded (what shows only
    when the engine starts is raised by the first `embed`), `InputError` for an unknown option.
    """

    def __init__(
        self, path: str | PathLike[str], *, pooling: Pooling | None = None, **engine_options: Any
    ) -> None:
        if pooling is not None:
            check_choice("pooling", pooling, Pooling)
        self._name = path_text("path", path)
        stated = {} if pooling is None else {"seq_pooling_type": pooling.upper()}
        self.engine = VLLMEngine(
            self._name,
            defaults={
                "gpu_memory_utilization": 0.05,
                "runner": "pooling",
                "convert": "embed",
                "pooler_config": {"task": "embed", **stated},
                # Steps are embedded without what stands before them, and encoders have no KV cache.
                "enable_prefix_caching": False,
                "skip_tokenizer_init": True,
            },
            options=engine_options,
            need=EMBEDDING,
        )
        self._tokenizer = load_tokenizer(Source.of(self._name, engine_options))

    async def ready(self) -> None:
        """Wait until the engine has started."""
        await self.engine.ready()

    async def until_lost(self) -> str:
        """Wait until the engine has died, and say how."""
        return await self.engine.until_lost()

    async def embed(self, text: str) -> Vector:
        """The text's vector: float32, of length 1.

        # Errors
        `EngineError` if the engine fails or gives no vector.
        """
        ids = await asyncio.to_thread(
            self._tokenizer.encode, text, truncation=True, max_length=self.engine.max_model_len
        )
        prompt = rendered(ids)
        params = _params()
        reply = await self.engine.run(
            lambda llm, request_id: llm.encode(prompt, params, request_id=request_id)
        )
        vector: Vector = reply.output.outputs.data.float().numpy()
        if vector.ndim != 1 or not np.isfinite(vector).all() or not np.any(vector):
            raise EngineError(f"embedder {self._name!r} gave no vector for {text!r}")
        return vector

    async def aclose(self) -> None:
        """End the engine; calls that still wait get an `EngineError`."""
        await self.engine.aclose()


def _params() -> Any:
    from vllm.pooling_params import PoolingParams

    return PoolingParams(task="embed")
