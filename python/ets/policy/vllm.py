"""A policy on vLLM, in this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from ets.certainty import Certainty
from ets.checkpoint.source import SOURCE_OPTIONS, Source
from ets.checks import check_positive, integer, path_text
from ets.dialogue import Dialogue
from ets.engines.context_need import context_need, prompt_room
from ets.engines.kv_space import KVSpace
from ets.engines.vllm.engine import VLLMEngine, rendered
from ets.errors import InputError
from ets.pickled import Unpicklable
from ets.policy.base import PolicyOptions
from ets.policy.limits import usual_max_tokens
from ets.policy.lora import Adapter
from ets.policy.prompt import PolicyPrompt
from ets.policy.step_reader import StepWatch, read_step
from ets.step import Prefix, Step

if TYPE_CHECKING:
    from ets.embed.vllm import VLLMEmbedder

_SEEDS = 1 << 63
"""vLLM takes seeds below this."""
_USUAL_LOGPROBS = 20
"""What vLLM lets requests ask for unless told otherwise."""
_ALSO_FOR_EMBEDDING = (
    "device_ids",
    "dtype",
    "enforce_eager",
    "hf_overrides",
    "max_model_len",
    "quantization",
    "tensor_parallel_size",
    *SOURCE_OPTIONS,
)
"""Options of a policy's engine that its embedder's engine has too."""


class VLLMPolicy(Unpicklable):
    """Samples steps from a causal LM on vLLM, one engine request per step, token ids end to end.

    Parameters
    ----------
    path
        A checkpoint folder or a hub name.
    lora
        Folder or hub name of a LoRA adapter that all requests use.
    max_tokens
        Tokens of the longest solution that is to be written, by default what a `Search` allows such
        a policy. With room for the prompt they are the context that the engine is started with,
        unless `max_model_len` is given or the checkpoint reads less.
    options
        The fields of `PolicyOptions`, which say how the model is prompted and sampled, and any
        option of vLLM's engine (`max_model_len`, `gpu_memory_utilization`,
        `tensor_parallel_size`, ...), which wins over what is chosen here: prefix caching; on a GPU
        45% of its memory, so that a PRM fits beside the policy; on a CPU a
        context of at most 4096 tokens and 1 GiB of KV cache (`VLLM_CPU_KVCACHE_SPACE` in the
        environment raises it).

    The same prefix and seed give the same step as long as the engine computes the same logits.
    Those depend in their last bits on what else is in the batch, so a seed that is replayed amid
    other requests can give another step.

    # Errors
    `MissingExtraError` without vLLM, `EngineError` if the model or the adapter cannot be loaded
    (what shows only when the engine starts is raised by the first `sample`), `InputError` for an
    unknown option.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        lora: str | PathLike[str] | None = None,
        max_tokens: int | None = None,
        **options: Any,
    ) -> None:
        if max_tokens is not None:
            check_positive(max_tokens=max_tokens)
        names = {field.name for field in fields(PolicyOptions)}
        self._name = path_text("path", path)
        self._options = dict(options)
        prompting = PolicyOptions(**{k: v for k, v in options.items() if k in names})
        adapter = None if lora is None else Adapter.read(lora)
        self._lora = None if adapter is None else adapter.request()
        self._prompt = PolicyPrompt.load(Source.of(self._name, options), prompting)
        self.engine = VLLMEngine(
            self._name,
            defaults={
                "gpu_memory_utilization": 0.45,
                "runner": "generate",
                "max_logprobs": max(prompting.top_logprobs, _USUAL_LOGPROBS),
                **({} if adapter is None else adapter.engine_options),
            },
            options={k: v for k, v in options.items() if k not in names},
            need=context_need(
                "policy",
                max_tokens or usual_max_tokens(self),
                prompt_tokens=prompt_room(self._prompt.own_tokens),
            ),
            lora=self._lora,
        )
        self._prompt.max_length = min(self._prompt.max_length, self.engine.max_model_len)
        _ = self._prompt.engine_stops  # reads the vocabulary while the engine starts

    @property
    def prompt(self) -> PolicyPrompt:
        """How this policy turns problems into ids and ids into steps."""
        return self._prompt

    async def ready(self) -> None:
        """Wait until the engine has started."""
        await self.engine.ready()

    async def until_lost(self) -> str:
        """Wait until the engine has died, and say how."""
        return await self.engine.until_lost()

    async def kv_space(self) -> KVSpace:
        """The KV cache of the policy's engine, once it has started."""
        return await self.engine.kv_space()

    def start(self, problem: str) -> Prefix:
        """The empty solution of a problem: its prompt as token ids.

        # Errors
        `InputError` if the problem is empty, or its prompt fills the context.
        """
        return self._prompt.start(problem)

    def start_dialogue(self, dialogue: Dialogue) -> Prefix:
        """The same of a problem that ends a dialogue."""
        return self._prompt.start_dialogue(dialogue)

    def reread(self, prefix: Prefix, text: str) -> Step:
        """The step behind `prefix` that has this text: what a saved tree keeps of it."""
        return self.prompt.reread(prefix, text)

    async def sample(self, prefix: Prefix, *, seed: int, max_tokens: int) -> Step:
        """One continuation of `prefix` by one step of at most `max_tokens` tokens.

        Where the model's context ends first, the step ends there, as `end`; where it is full
        already, the step is empty and the engine is not asked.

        # Errors
        `InputError` for a bad seed or `max_tokens`, `EngineError` if the engine fails.
        """
        if not 0 <= integer("seed", seed, None) < _SEEDS:
            raise InputError(f"seed must lie in [0, 2**63), got {seed}")
        return await self.sample_on(None, prefix, seed, max_tokens)

    def ranks(self) -> list[VLLMRank]:
        """Its data-parallel engines, each with a KV cache of its own; none where there is one."""
        count = self.engine.data_parallel_size
        return [VLLMRank(self, rank) for rank in range(count)] if count > 1 else []

    async def sample_on(self, rank: int | None, prefix: Prefix, seed: int, max_tokens: int) -> Step:
        """`sample`, on the engine of a data-parallel rank; None leaves the choice to vLLM."""
        room = self._prompt.room(prefix, max_tokens)
        if room == 0:
            return read_step(self._prompt, (), prefix, max_tokens)
        params = self._sampling(prefix, seed, room)
        prompt = rendered(prefix.token_ids)
        reply = await self.engine.run(
            lambda llm, request_id: llm.generate(
                prompt,
                params,
                request_id=request_id,
                lora_request=self._lora,
                data_parallel_rank=rank,
            ),
            enough=self._watch(prefix, max_tokens),
        )
        written = reply.output.outputs[0]
        step = read_step(
            self._prompt,
            written.token_ids,
            prefix,
            max_tokens,
            prompt_tokens=len(prefix.token_ids),
            cached_tokens=reply.output.num_cached_tokens or 0,
            certainty=self._certainty(written),
        )
        return replace(step, preemptions=reply.preemptions)

    def embedder(self, **options: Any) -> VLLMEmbedder:
        """An embedder of this policy's checkpoint, on an engine of its own.

        An engine that generates gives no hidden states, so the weights are loaded a second time,
        with the policy's `dtype`, `tensor_parallel_size` and the like, and without its `lora`.
        `options` win over those.

        # Errors
        `InputError` for an unknown option.
        """
        from ets.embed.vllm import VLLMEmbedder

        same = {key: self._options[key] for key in _ALSO_FOR_EMBEDDING if key in self._options}
        return VLLMEmbedder(self._name, **{"pooling": "mean", **same, **options})

    async def forget_prefixes(self) -> None:
        """Empty the engine's prefix cache; for measurements.

        # Errors
        `EngineError` if requests are running.
        """
        await self.engine.forget_prefixes()

    async def aclose(self) -> None:
        """End the engine; calls that still wait get an `EngineError`."""
        await self.engine.aclose()

    def _watch(self, prefix: Prefix, max_tokens: int) -> Callable[[Any], bool] | None:
        """What looks at the outputs of a step whose end the engine does not know."""
        if not self._prompt.rule.follows_text:
            return None
        watch = StepWatch(self._prompt, prefix, max_tokens)
        return lambda output: watch.sees(output.outputs[0].token_ids)

    def _certainty(self, written: Any) -> Certainty | None:
        if written.logprobs is None:
            return None
        # Of each token: the one that was sampled, then the likeliest, in rows of one length.
        rows = np.array(written.logprobs.logprobs).reshape(len(written.logprobs), -1)
        return Certainty.of(rows[:, 0], rows[:, 1:], self.engine.vocabulary)

    def _sampling(self, prefix: Prefix, seed: int, max_tokens: int) -> Any:
        from vllm.sampling_params import RequestOutputKind, SamplingParams

        options, stops = self._prompt.options, self._prompt.stops(prefix)
        watched = self._prompt.rule.follows_text
        return SamplingParams(
            n=1,
            seed=seed,
            temperature=options.temperature,
            top_p=options.top_p,
            max_tokens=max_tokens,
            logprobs=options.top_logprobs or None,
            flat_logprobs=True,  # numbers, not an object for each
            stop_token_ids=list(stops.ids),
            stop=list(stops.texts),
            # Text is made in this process, of every token; it is for finding stop texts only.
            detokenize=bool(stops.texts),
            include_stop_str_in_output=True,
            # As our own tokenizer decodes a step, so that both see the same stop texts.
            skip_special_tokens=not self._prompt.keeps_special_tokens,
            spaces_between_special_tokens=False,
            output_kind=RequestOutputKind.CUMULATIVE if watched else RequestOutputKind.FINAL_ONLY,
            skip_clone=True,  # nobody else holds it
        )


class VLLMRank:
    """One of the engines of a `VLLMPolicy` with `data_parallel_size` above 1.

    vLLM itself gives a request to whichever rank has the shortest queue, where the KV cache holds
    nothing of its tree. `ets.Search` takes each rank as a replica, on which a problem stays.
    """

    def __init__(self, policy: VLLMPolicy, rank: int) -> None:
        self._policy = policy
        self.rank = rank
        """Of the engine, >= 0."""

    @property
    def prompt(self) -> PolicyPrompt:
        """How this policy turns problems into ids and ids into steps."""
        return self._policy.prompt

    async def ready(self) -> None:
        """Wait until the engines have started."""
        await self._policy.ready()

    async def until_lost(self) -> str:
        """As `VLLMPolicy.until_lost`: one that dies takes all ranks along."""
        return await self._policy.until_lost()

    async def kv_space(self) -> KVSpace:
        """The KV cache of this rank, once the engines have started."""
        whole = await self._policy.kv_space()
        return replace(whole, tokens=whole.tokens // self._policy.engine.data_parallel_size)

    def start(self, problem: str) -> Prefix:
        """As `VLLMPolicy.start`."""
        return self._policy.start(problem)

    def start_dialogue(self, dialogue: Dialogue) -> Prefix:
        """As `VLLMPolicy.start_dialogue`."""
        return self._policy.start_dialogue(dialogue)

    def reread(self, prefix: Prefix, text: str) -> Step:
        """As `VLLMPolicy.reread`."""
        return self._policy.reread(prefix, text)

    async def sample(self, prefix: Prefix, *, seed: int, max_tokens: int) -> Step:
        """As `VLLMPolicy.sample`, on this rank."""
        return await self._policy.sample_on(self.rank, prefix, seed, max_tokens)

    async def aclose(self) -> None:
        """Nothing: the policy, whose rank this is, ends all of them."""
