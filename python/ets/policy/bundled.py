"""The bundled policy on numpy alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from ets.checks import check_choice
from ets.engines.bundled.checkpoint import BundledCheckpoint
from ets.engines.bundled.kv_rows import BundledKVRows
from ets.engines.bundled.transformer import Transformer
from ets.engines.local.options import LocalOptions
from ets.policy.base import PolicyOptions, prompt_options
from ets.policy.local import LocalPolicy
from ets.policy.prompt import PolicyPrompt

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from ets.embed.hidden_state import HiddenStateEmbedder

Precision = Literal["float32", "float64"]


class BundledPolicy(LocalPolicy):
    """Samples steps from the bundled language model, in this process, without torch.

    `TransformersPolicy` gives the same steps (`policy="demo?backend=transformers"`), as far as the
    rounding of float32 does not tell them apart.

    Parameters
    ----------
    path
        The checkpoint's folder.
    dtype
        `float32` or `float64`.
    max_batch
        Steps that are sampled at once; more wait.
    prefill_tokens
        Prompt tokens, padding included, in one pass.
    cache_tokens
        Tokens of recent prefixes whose keys and values are kept between calls; 0 for none.
    max_length
        Lowers the context length that the checkpoint states.
    options
        The fields of `PolicyOptions`; of chat templates it knows its own only.

    # Errors
    `EngineError` if the checkpoint is of another form, `InputError` for a bad option.
    """

    def __init__(
        self,
        path: Path,
        *,
        dtype: Precision = "float32",
        max_batch: int = 64,
        prefill_tokens: int = 8192,
        cache_tokens: int = 32768,
        max_length: int | None = None,
        **options: Any,
    ) -> None:
        check_choice("dtype", dtype, Precision)
        limits = LocalOptions(
            max_batch=max_batch,
            prefill_tokens=prefill_tokens,
            cache_tokens=cache_tokens,
            max_length=max_length,
        )
        said = prompt_options(
            BundledPolicy, "the bundled policy (demo?backend=transformers has more)", options
        )
        checkpoint = BundledCheckpoint(path)
        self._transformer = Transformer(checkpoint.config, checkpoint.tensors, getattr(np, dtype))
        super().__init__(
            BundledKVRows(self._transformer, lm=True, limits=limits),
            bundled_prompt(checkpoint, said, max_length=max_length),
            limits=limits,
            name=checkpoint.name,
        )

    def embedder(self, **options: Any) -> HiddenStateEmbedder:
        """An embedder that uses the weights of this policy's model.

        # Errors
        `InputError` for an option other than `max_batch`.
        """
        return self._embedder_of(self._transformer.means, "the bundled policy", options)


def bundled_prompt(
    checkpoint: BundledCheckpoint, options: PolicyOptions, *, max_length: int | None = None
) -> PolicyPrompt:
    """How the bundled policy turns problems into ids and ids into steps."""
    limit = checkpoint.max_length
    return PolicyPrompt(
        # The part of its interface that prompts use.
        cast("PreTrainedTokenizerBase", checkpoint.tokenizer),
        options,
        end_ids=checkpoint.end_ids,
        max_length=min(limit, max_length or limit),
        name=checkpoint.name,
    )
