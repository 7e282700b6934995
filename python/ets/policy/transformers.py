"""A policy that runs in this process on `transformers`, batched over everything in flight."""

from __future__ import annotations

from functools import partial
from os import PathLike
from typing import TYPE_CHECKING, Any

from ets.checkpoint.source import Source
from ets.checkpoint.tokenizer import load_config
from ets.checks import path_text
from ets.engines.device_start import one_start
from ets.engines.local.options import LocalOptions
from ets.engines.local.torch_loading import (
    check_loaded,
    need_torch,
    one_line,
    one_load,
    pick_device,
    pick_dtype,
)
from ets.errors import EngineError
from ets.extras import needs
from ets.policy.base import prompt_options
from ets.policy.local import LocalPolicy
from ets.policy.lora import Adapter
from ets.policy.prompt import PolicyPrompt

if TYPE_CHECKING:
    import torch

    from ets.embed.hidden_state import HiddenStateEmbedder


class TransformersPolicy(LocalPolicy):
    """Samples steps from a causal LM of `transformers`.

    Parameters
    ----------
    path
        A checkpoint folder or a hub name.
    device, dtype
        By default a GPU in bfloat16 where there is one, else the CPU in float32.
    max_batch
        Steps that are sampled at once; more wait.
    prefill_tokens
        Prompt tokens, padding included, in one pass.
    cache_tokens
        Tokens of recent prefixes whose keys and values are kept between calls; 0 for none.
    max_length
        Lowers the context length that the checkpoint states.
    revision
        A branch, a tag or a commit of a checkpoint on the hub.
    trust_remote_code
        Whether code that comes with the checkpoint may run, for models that transformers does not
        know.
    lora
        Folder or hub name of a LoRA adapter, which is merged into the weights; needs `peft`.
    options
        The fields of `PolicyOptions`, which say how the model is prompted and sampled.

    A step depends on its prefix and seed only, not on what else is in the batch, as far as the
    rounding of matrix products does not: `dtype="float64"` makes even that negligible.

    # Errors
    `MissingExtraError` without torch, `EngineError` if the model or the adapter cannot be loaded,
    `InputError` for a bad option.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype | None = None,
        max_batch: int = 64,
        prefill_tokens: int = 8192,
        cache_tokens: int = 32768,
        max_length: int | None = None,
        revision: str | None = None,
        trust_remote_code: bool = False,
        lora: str | PathLike[str] | None = None,
        **options: Any,
    ) -> None:
        need_torch()
        limits = LocalOptions(
            max_batch=max_batch,
            prefill_tokens=prefill_tokens,
            cache_tokens=cache_tokens,
            max_length=max_length,
        )
        name = path_text("path", path)
        said = prompt_options(TransformersPolicy, "a transformers policy", options)
        picked = pick_device(device)
        precision = pick_dtype(dtype, picked)
        source = Source.of(name, {"revision": revision, "trust_remote_code": trust_remote_code})
        prompt = PolicyPrompt.load(source, said, max_length=max_length)

        from ets.engines.local.torch_kv_rows import TorchKVRows

        adapter = None if lora is None else Adapter.read(lora)
        with one_start(cpu=picked.type == "cpu"):
            self._model = _load_model(source, adapter, picked, precision)
        rows = TorchKVRows(
            self._model,
            max_length=prompt.max_length,
            limits=limits,
            name=name,
        )
        super().__init__(rows, prompt, limits=limits, name=name)

    def embedder(self, **options: Any) -> HiddenStateEmbedder:
        """An embedder that uses the weights of this policy's model.

        # Errors
        `InputError` for an option other than `max_batch`.
        """
        from ets.embed.hidden_state import torch_means

        return self._embedder_of(
            partial(torch_means, self._model), "a transformers policy", options
        )


def _load_model(
    source: Source, adapter: Adapter | None, device: torch.device, dtype: torch.dtype
) -> Any:
    with needs("transformers", "torch"):
        from transformers import AutoModelForCausalLM

    try:
        with one_load(source):
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                source.path,
                dtype=dtype,
                attn_implementation="sdpa",
                output_loading_info=True,
                trust_remote_code=source.trust_remote_code,
                **source.where("config.json"),
            )
    except Exception as error:
        raise EngineError(f"cannot load the policy {source.name!r}: {one_line(error)}") from error
    model, report = loaded
    check_loaded(model, dtype, f"the policy {source.name!r}")
    # What is missing was made up at random: a PRM, say, has no language model's head.
    if missing := sorted(report["missing_keys"]):
        stated = list(load_config(source).architectures or ())
        raise EngineError(
            f"cannot load the policy {source.name!r}: its weights lack {missing[0]} "
            f"({len(missing)} missing); its config states {stated}"
        )
    return (model if adapter is None else adapter.merged(model)).to(device).eval()
