"""The bundled PRM on numpy alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np

from ets.checks import check_choice, check_flag, check_text, keyword_names
from ets.engines.bundled.checkpoint import BundledCheckpoint
from ets.engines.bundled.kv_rows import BundledKVRows
from ets.engines.bundled.transformer import Floats, Transformer
from ets.engines.local.options import LocalOptions
from ets.errors import InputError
from ets.policy.bundled import Precision
from ets.prm.checkpoint import Checkpoint
from ets.prm.formats import format_options
from ets.prm.formats.qwen import QwenFormat
from ets.prm.local import LocalPRM


class BundledPRM(LocalPRM):
    """Scores steps with the bundled PRM, in this process, without torch.

    `TransformersPRM` (`prm="demo?backend=transformers"`) gives the same rewards to within 2e-6:
    torch rounds the cosine of one angle in twenty to the float32 beside the nearest.

    Parameters
    ----------
    path
        The checkpoint's folder.
    dtype
        `float32` or `float64`. In float32 the make-up of a batch shows in a reward's sixth decimal;
        a model this small can afford not to have it show at all.
    max_batch, prefill_tokens
        Solutions, and tokens with padding, in one pass.
    cache_tokens
        Tokens of recent solutions whose keys and values are kept between calls; 0 for none.
    max_length
        Lowers the context length that the checkpoint states.
    incremental
        False reads every solution from its first token, for comparison. May be changed at any time.
    options
        What the format `qwen` takes: `system_prompt`.

    # Errors
    `EngineError` if the checkpoint is of another form, `InputError` for a bad option.
    """

    def __init__(
        self,
        path: Path,
        *,
        dtype: Precision = "float64",
        max_batch: int = 64,
        prefill_tokens: int = 8192,
        cache_tokens: int = 32768,
        max_length: int | None = None,
        incremental: bool = True,
        **options: Any,
    ) -> None:
        check_choice("dtype", dtype, Precision)
        limits = LocalOptions(
            max_batch=max_batch,
            prefill_tokens=prefill_tokens,
            cache_tokens=cache_tokens,
            max_length=max_length,
        )
        check_flag("incremental", incremental)
        known = format_options(QwenFormat)
        if unknown := sorted(set(options) - set(known)):
            raise InputError(
                f"unknown option {unknown[0]!r} of the bundled PRM (demo?backend=transformers has "
                f"more); its options are {', '.join((*keyword_names(BundledPRM), *known))}"
            )
        for key, text in options.items():
            if text is not None:
                check_text(key, text, ", or None")
        checkpoint = BundledCheckpoint(path)
        # The part of its interface that the format uses, but for its head.
        form = QwenFormat(cast("Checkpoint", checkpoint), **options)
        if max_length is not None:
            form.max_length = min(form.max_length, max_length)
        precision = getattr(np, dtype)
        model = Transformer(checkpoint.config, checkpoint.tensors, precision)
        self._head = [
            checkpoint.tensors[f"score.{layer}.{part}"].astype(precision)
            for layer in (0, 2)
            for part in ("weight", "bias")
        ]
        super().__init__(
            BundledKVRows(model, lm=False, limits=limits),
            form,
            limits=limits,
            incremental=incremental,
            name=checkpoint.name,
        )

    def _rewards(self, states: Floats) -> list[float]:
        """As `ets.prm.heads.TwoClasses`: the second class of a softmax over two outputs."""
        first, first_bias, last, last_bias = self._head
        logits = (np.maximum(states @ first.T + first_bias, 0) @ last.T + last_bias).astype(float)
        chances = np.exp(logits - logits.max(axis=-1, keepdims=True))
        return [float(reward) for reward in chances[:, 1] / chances.sum(axis=-1)]
