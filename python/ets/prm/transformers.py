"""A PRM of any known format that runs in this process on `transformers`."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING, Any

from ets.checkpoint.source import Source
from ets.checks import check_flag, keyword_names, path_text
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
from ets.errors import EngineError, InputError
from ets.extras import needs
from ets.prm.formats import PRMFormat, format_options, load_format
from ets.prm.local import LocalPRM

if TYPE_CHECKING:
    import torch


class TransformersPRM(LocalPRM):
    """Scores steps with a checkpoint of a known format: a backbone, and a head read at one token.

    Only the tokens that its recent calls have not seen are computed.

    Parameters
    ----------
    path
        A checkpoint folder or a hub name.
    device, dtype
        By default a GPU in bfloat16 where there is one, else the CPU in float32.
    max_batch, prefill_tokens
        Solutions, and tokens with padding, in one pass.
    cache_tokens
        Tokens of recent solutions whose keys and values are kept between calls; 0 for none.
    max_length
        Lowers the context length that the checkpoint states.
    revision
        A branch, a tag or a commit of a checkpoint on the hub.
    trust_remote_code
        Whether code that comes with the checkpoint may run, for models that transformers does not
        know.
    incremental
        False reads every solution from its first token, for comparison. May be changed at any time.
    format
        How the PRM is read, a name of `ets.prm.formats.FORMATS`; by default what its config and
        name say.
    options
        What the format takes, such as the `system_prompt` of `qwen`.

    A step without text scores as the solution before it, and 0 if nothing has been written.

    # Errors
    `MissingExtraError` without torch, `EngineError` if the model cannot be loaded or is of no known
    format, or not of the one that was asked for, `InputError` for a bad option.
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
        incremental: bool = True,
        format: str | None = None,  # noqa: A002  what users call it
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
        check_flag("incremental", incremental)
        picked = pick_device(device)
        precision = pick_dtype(dtype, picked)
        source = Source.of(name, {"revision": revision, "trust_remote_code": trust_remote_code})
        form = load_format(source, format, options, max_length=max_length)
        if options:
            known = (*keyword_names(type(self)), *format_options(type(form)))
            raise InputError(
                f"unknown option {min(options)!r} of a transformers PRM of the format "
                f"{form.name}; its options are {', '.join(known)}"
            )
        from ets.engines.local.torch_kv_rows import TorchKVRows

        with one_start(cpu=picked.type == "cpu"):
            self._head = form.head().to(picked, precision)
            backbone = _load_backbone(form, picked, precision)
        rows = TorchKVRows(
            backbone,
            max_length=form.max_length,
            limits=limits,
            name=name,
        )
        super().__init__(
            rows,
            form,
            limits=limits,
            incremental=incremental,
            name=name,
        )

    def _rewards(self, states: torch.Tensor) -> list[float]:
        rewards: list[float] = self._head(states).tolist()
        return rewards


def _load_backbone(form: PRMFormat, device: torch.device, dtype: torch.dtype) -> Any:
    """The model without its head, every weight accounted for."""
    with needs("transformers", "torch"):
        from transformers import CONFIG_MAPPING, AutoModel

    source = form.checkpoint.source
    name = source.name
    # Where transformers has a class only heads need code of their own, and ours is here.
    known = form.checkpoint.config.model_type in CONFIG_MAPPING
    try:
        with one_load(source):
            loaded: Any = AutoModel.from_pretrained(
                source.path,
                dtype=dtype,
                attn_implementation="sdpa",
                output_loading_info=True,
                trust_remote_code=source.trust_remote_code and not known,
                **source.where("config.json"),
            )
    except Exception as error:
        raise EngineError(f"cannot load the PRM {name!r}: {one_line(error)}") from error
    model, report = loaded
    check_loaded(model, dtype, f"the PRM {name!r}")
    lacking = sorted(report["missing_keys"])
    beyond = sorted(set(report["unexpected_keys"]) - form.head_weights)
    for what, keys in (("lack", lacking), ("hold more than a model of its kind has:", beyond)):
        if keys:
            raise EngineError(
                f"cannot load the PRM {name!r}: its weights {what} {keys[0]} ({len(keys)} in all)"
            )
    return model.to(device).eval()
