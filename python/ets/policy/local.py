"""What the policies have in common whose model runs in this process."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ets.checks import checked_count, integer
from ets.dialogue import Dialogue
from ets.engines.kv_space import KVSpace, cache_space
from ets.engines.local.batcher import Batcher
from ets.engines.local.kv_rows import KVRows
from ets.engines.local.options import LocalOptions
from ets.errors import InputError
from ets.pickled import Unpicklable
from ets.policy.decoder import Decoder, Request
from ets.policy.prompt import PolicyPrompt
from ets.step import Prefix, Step

if TYPE_CHECKING:
    from ets.embed.hidden_state import HiddenStateEmbedder


class LocalPolicy(Unpicklable):
    """Samples steps with a model over rows of KV, batched over everything in flight.

    A step depends on its prefix and seed only, not on what else is in the batch, as far as the
    rounding of matrix products does not.
    """

    def __init__(
        self,
        rows: KVRows,
        prompt: PolicyPrompt,
        *,
        limits: LocalOptions,
        name: str,
    ) -> None:
        self._prompt = prompt
        self._cache_tokens = limits.cache_tokens
        self._name = name
        self._rows = rows
        decoder = Decoder(rows, prompt, prefill_tokens=limits.prefill_tokens, name=name)
        self._batcher: Batcher[Request, Step] = Batcher(decoder.run, name=f"policy {name!r}")

    @property
    def prompt(self) -> PolicyPrompt:
        """How this policy turns problems into ids and ids into steps."""
        return self._prompt

    async def kv_space(self) -> KVSpace:
        """The tokens whose keys and values are kept between calls: `cache_tokens`.

        # Errors
        `InputError` if that is 0.
        """
        return cache_space(self._cache_tokens, self._name)

    def start(self, problem: str) -> Prefix:
        """The empty solution of a problem: its prompt as token ids."""
        return self._prompt.start(problem)

    def start_dialogue(self, dialogue: Dialogue) -> Prefix:
        """The same of a problem that ends a dialogue."""
        return self._prompt.start_dialogue(dialogue)

    def reread(self, prefix: Prefix, text: str) -> Step:
        """The step behind `prefix` that has this text: what a saved tree keeps of it."""
        return self.prompt.reread(prefix, text)

    async def sample(self, prefix: Prefix, *, seed: int, max_tokens: int) -> Step:
        """One continuation of `prefix` by one step of at most `max_tokens` tokens.

        Where the model's context ends first, the step ends there, as `end`.
        """
        max_tokens = checked_count("max_tokens", max_tokens)
        seed = integer("seed", seed, 0)
        return await self._batcher.submit(Request(prefix, seed, max_tokens))

    def _embedder_of(
        self,
        means: Callable[[list[list[int]]], NDArray[np.float32]],
        policy: str,
        options: dict[str, Any],
    ) -> HiddenStateEmbedder:
        """An embedder of the mean states that `means` gives; `policy` is for error messages."""
        from ets.embed.hidden_state import HiddenStateEmbedder

        if unknown := sorted(set(options) - {"max_batch"}):
            raise InputError(
                f"unknown option {unknown[0]!r} of the embedder of {policy}; it has max_batch"
            )
        return HiddenStateEmbedder(
            means,
            self._prompt.tokenizer,
            max_length=self._prompt.max_length,
            name=self._name,
            **options,
        )

    async def forget_prefixes(self) -> None:
        """Have every prefix computed anew, once no request is running; for measurements."""
        self._rows.forget_prefixes()

    async def aclose(self) -> None:
        """Stop the worker; calls that still wait get an `EngineError`."""
        await self._batcher.aclose()
