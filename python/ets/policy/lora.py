"""LoRA adapters: small weights on top of a policy's own, in the format of `peft`."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ets.checks import path_text
from ets.engines.local.torch_loading import one_line
from ets.errors import EngineError
from ets.extras import needs

_FILE = "adapter_config.json"
_VLLM_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)


@dataclass(frozen=True, slots=True)
class Adapter:
    """A LoRA adapter: a folder or a hub name, and the largest rank in it."""

    path: str
    rank: int

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Adapter:
        """Read what the adapter says of itself.

        # Errors
        `EngineError` if there is none, or if it is not a LoRA adapter.
        """
        with needs("transformers", "torch"):
            from transformers.utils import cached_file

        path = os.path.expanduser(path_text("lora", path))
        try:
            config = json.loads(Path(str(cached_file(path, _FILE))).read_text("utf-8"))
            kind, ranks = config["peft_type"], [config["r"], *config["rank_pattern"].values()]
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise EngineError(
                f"{path!r} is no LoRA adapter: it needs a readable {_FILE} ({one_line(error)})"
            ) from error
        if kind != "LORA":
            raise EngineError(f"{path!r} is no LoRA adapter: its {_FILE} states {kind!r}")
        return cls(path, max(ranks))

    @property
    def engine_options(self) -> dict[str, Any]:
        """What a vLLM engine needs to take it."""
        fits = (rank for rank in _VLLM_RANKS if rank >= self.rank)
        return {"enable_lora": True, "max_loras": 1, "max_lora_rank": next(fits, self.rank)}

    def request(self) -> Any:
        """What goes with each of its requests to vLLM."""
        from vllm.lora.request import LoRARequest

        return LoRARequest(lora_name=self.path, lora_int_id=1, lora_path=self.path)

    def merged(self, model: Any) -> Any:
        """A transformers model with the adapter added to its weights.

        # Errors
        `MissingExtraError` without `peft`, `EngineError` if the adapter does not fit the model.
        """
        with needs("peft", "lora"):
            from peft import PeftConfig, get_peft_model, set_peft_model_state_dict
            from peft.utils import load_peft_weights
        try:
            adapted = get_peft_model(model, PeftConfig.from_pretrained(self.path))
            loaded = set_peft_model_state_dict(
                adapted, load_peft_weights(self.path, device=str(model.device))
            )
            lacking = sorted(key for key in loaded.missing_keys if "lora_" in key)
            if lacking or loaded.unexpected_keys:
                key = min(lacking or loaded.unexpected_keys)
                raise ValueError(f"{'lacks' if lacking else 'has no place for'} {key}")
            return adapted.merge_and_unload()
        except Exception as error:
            raise EngineError(
                f"the LoRA adapter {self.path!r} does not fit its model: {one_line(error)}"
            ) from error
