"""The rows of KV of the transformers backend: what is cached equals what is computed."""

from __future__ import annotations

from typing import Any

import pytest

from conftest import DEMO
from ets.engines.local.torch_loading import check_loaded
from ets.errors import EngineError

pytest.importorskip("torch", reason="torch is not installed (the extra 'torch' brings it)")

import torch
from transformers import AutoModel, AutoModelForCausalLM

from ets.engines.local.kv_rows import Tokens
from ets.engines.local.options import LocalOptions
from ets.engines.local.torch_kv_rows import TorchKVRows

IDS = tuple(range(5, 35))
CUTS = (7, 19)
LIMITS = LocalOptions(max_batch=4, prefill_tokens=64, cache_tokens=1000, max_length=None)


def lm(**options: Any) -> Any:
    return AutoModelForCausalLM.from_pretrained(DEMO / "policy", dtype=torch.float64, **options)


def backbone() -> Any:
    return AutoModel.from_pretrained(DEMO / "prm", dtype=torch.float64)


class Wrapped:
    """A model with a forward of its own."""

    def __init__(self, model: Any, *, passes: bool = True) -> None:
        self._model = model
        self._passes = passes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def __call__(self, **inputs: Any) -> Any:
        return self.forward(**inputs)


class Renamed(Wrapped):
    """One that calls the cache otherwise, as transformers has, and will again."""

    def forward(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        position_ids: Any = None,
        cache: Any = None,
        **more: Any,
    ) -> Any:
        return self._model(
            input_ids=input_ids,
            attention_mask=attention_mask if self._passes else None,
            position_ids=position_ids,
            past_key_values=cache if self._passes else None,
            **more,
        )


class Nameless(Wrapped):
    """One that takes whatever it is given."""

    def forward(self, input_ids: Any = None, position_ids: Any = None, **more: Any) -> Any:
        return self._model(input_ids=input_ids, position_ids=position_ids)


def rows_of(model: Any) -> TorchKVRows:
    return TorchKVRows(model, max_length=64, limits=LIMITS, name="m")


@pytest.mark.parametrize("model", [lm(), backbone(), Renamed(lm()), Renamed(backbone())])
@torch.inference_mode()
def test_what_is_cached_equals_what_is_computed(model: Any) -> None:
    cached, fresh = rows_of(model), rows_of(model)
    for stop in (*CUTS, len(IDS)):
        known = tuple(cut for cut in CUTS if cut < stop)
        # A causal LM gives the logits of one-token rows.
        cached.extend([Tokens(IDS[: stop - 1], (*known, stop - 1))], first=0)
        row = cached.forward([IDS[stop - 1 : stop]], [stop - 1], first=0)
        fresh.forward([IDS[: stop - 1]], [0], first=0)
        alone = fresh.forward([IDS[stop - 1 : stop]], [stop - 1], first=0)
        output = model._model if isinstance(model, Renamed) else model
        plain = output(input_ids=torch.tensor([IDS[:stop]]))[0][:, -1]
        torch.testing.assert_close(row, plain)
        torch.testing.assert_close(alone, plain)
    assert cached.prefixes.find(IDS, CUTS)[-1].ids == IDS[CUTS[0] : CUTS[1]]


def test_a_model_that_names_no_cache_is_refused() -> None:
    with pytest.raises(EngineError, match=r"'m' cannot run .* takes no attention_mask"):
        rows_of(Nameless(lm()))

    class Maskless(Wrapped):
        def forward(self, attention_mask: Any = None, position_ids: Any = None, **more: Any) -> Any:
            raise AssertionError

    with pytest.raises(EngineError, match=r"'m' cannot run .* takes no cache"):
        rows_of(Maskless(lm()))


@torch.inference_mode()
def test_a_model_that_drops_the_cache_is_refused() -> None:
    model = rows_of(Renamed(lm(), passes=False))
    with pytest.raises(EngineError, match=r"'m' cannot run .* 0 of its \d+ layers use the cache"):
        model.forward([IDS], [0], first=0)


def test_a_model_that_was_not_loaded_as_asked_is_refused() -> None:
    check_loaded(lm(attn_implementation="sdpa"), torch.float64, "it")
    with pytest.raises(EngineError, match=r"dtype is torch\.float64, not torch\.float32 as asked"):
        check_loaded(lm(), torch.float32, "it")
    with pytest.raises(EngineError, match="attention is eager, not sdpa as asked"):
        check_loaded(lm(attn_implementation="eager"), torch.float64, "it")
