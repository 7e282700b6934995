"""A server's answer to one request at `/pooling`, and the reward that it stands for."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ets.engines.local.torch_loading import need_torch
from ets.errors import EngineError
from ets.prm.formats import PRMFormat
from ets.prm.vllm_reading import ROUNDING, LastState

_NORMAL = 5e-3
"""How far the length of a vector that was scaled to length 1 in half precision may be from it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pooled:
    """The parts of an answer that make a score."""

    values: NDArray[np.float64]
    """What was pooled; NaN where the server gives null."""
    prompt_tokens: int | None
    """Tokens that the server read; None where it does not say."""
    cached_tokens: int
    """Those from its prefix cache; 0 where it does not say."""

    @classmethod
    def read(cls, answer: str, *, url: str) -> Pooled:
        """Take an answer's body apart.

        # Errors
        `EngineError` if it is not one pooled output of numbers.
        """
        try:
            body = json.loads(answer)
            (item,) = body["data"]
            values = item["data"]
            if not isinstance(values, list):
                raise TypeError("data is no list")
            usage: dict[str, Any] = body.get("usage") or {}
            details: dict[str, Any] = usage.get("prompt_tokens_details") or {}
            return cls(
                values=np.array(values, dtype=np.float64),
                prompt_tokens=usage.get("prompt_tokens"),
                cached_tokens=details.get("cached_tokens") or 0,
            )
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise EngineError(
                f"the server at {url} answers /pooling with {answer[:60]!r}, not with one pooled "
                "output"
            ) from error


class Reading(Protocol):
    """One way of making a reward of what a server pools."""

    request: dict[str, Any]
    """What goes into a request beside the ids."""
    start: str
    """The options with which vLLM has to be started."""

    def reward(self, values: NDArray[np.float64], ids: tuple[int, ...]) -> float:
        """The reward in [0, 1] that an answer to these ids stands for; `EngineError` if none."""
        ...


def reading_of(form: PRMFormat, *, where: str) -> Reading:
    """The way that goes with a format; `where` begins its error messages."""
    return StepRows(form, where) if form.classes_of_two else LastVector(form, where)


class StepRows:
    """Of a model that vLLM knows as a PRM: (bad, good) for each step tag, or for each token.

    How many rows come is the only sign of where they were read, so every other number is refused.
    """

    def __init__(self, form: PRMFormat, where: str) -> None:
        self._where = where
        # Other defaults of the server's would give raw outputs.
        self.request: dict[str, Any] = {"task": "token_classify", "use_activation": True}
        self.start = "--runner pooling"

    def reward(self, values: NDArray[np.float64], ids: tuple[int, ...]) -> float:
        """The second probability of the last row (`values`: step tags or tokens x 2)."""
        tag = ids[-1]
        tags, rows = ids.count(tag), len(values)
        if rows not in (tags, len(ids)):
            raise EngineError(
                f"{self._where} returned {rows} rows for {tags} step tags in {len(ids)} tokens, "
                "where a row per tag or a row per token was due: vLLM has to be started with "
                f'{self.start} --pooler-config \'{{"tok_pooling_type": "STEP", "step_tag_id": '
                f"{tag}}}'"
            )
        if values.shape != (rows, 2):
            raise EngineError(
                f"{self._where} returned an output of shape {values.shape}, not one pair of "
                "probabilities per row"
            )
        _check_finite(values, self._where)
        off = np.abs(values.sum(axis=1) - 1) > ROUNDING
        if wrong := np.flatnonzero(off | (values.min(axis=1) < 0)).tolist():
            bad, good = values[wrong[0]]
            raise EngineError(
                f"{self._where} returned ({bad:g}, {good:g}), which are no probabilities but raw "
                "outputs: vLLM has to apply the softmax (use_activation)"
            )
        return min(float(values[-1, 1]), 1.0)


class LastVector:
    """Of any other model: the hidden state at the last token; the format's head is applied here."""

    def __init__(self, form: PRMFormat, where: str) -> None:
        need_torch()
        self._where = where
        self._size = int(form.checkpoint.config.get_text_config().hidden_size)
        self._state = LastState(form)
        self.request = self._state.request_options
        self.start = (
            '--runner pooling --convert embed --pooler-config \'{"seq_pooling_type": "LAST", '
            '"use_activation": false}\''
        )

    def reward(self, values: NDArray[np.float64], ids: tuple[int, ...]) -> float:
        """The head's verdict on the state (`values`: hidden size)."""
        import torch

        needed = f"vLLM has to be started with {self.start}"
        if values.shape != (self._size,):
            raise EngineError(
                f"{self._where} returned an output of shape {values.shape}, where the hidden state "
                f"of one token, ({self._size},), was due: {needed}"
            )
        _check_finite(values, self._where)
        if abs(float(np.linalg.norm(values)) - 1) < _NORMAL:
            raise EngineError(
                f"{self._where} returned a vector of length 1, so it normalises hidden states, of "
                f"which no reward can be made: {needed}"
            )
        return self._state.reward(torch.from_numpy(values))


def _check_finite(values: NDArray[np.float64], where: str) -> None:
    if not np.isfinite(values).all():
        raise EngineError(f"{where} returned values that are not finite, such as NaN")
