"""Steps over servers that take and give token ids."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ets.engines.server.model_card import ModelCard
from ets.errors import EngineError
from ets.policy.completion import Completion
from ets.policy.prompt import PolicyPrompt
from ets.policy.server_logprobs import certainty_of
from ets.policy.step_reader import read_step
from ets.policy.text_step import TextSteps
from ets.step import Prefix, Step

_LLAMA_SEEDS = (1 << 32) - 1
"""llama.cpp takes seeds below this; this one stands for none."""


class IdSteps:
    """Writes requests for the next step as ids, and reads steps from the ids that were sampled."""

    def __init__(self, prompt: PolicyPrompt, server: ModelCard) -> None:
        self._prompt = prompt
        self._server = server
        self._name = "vLLM" if server.kind == "vllm" else server.kind
        self._texts = TextSteps(prompt, server)
        if server.kind == "vllm":
            _ = prompt.engine_stops  # reads the vocabulary here, not amid a search

    def request(self, prefix: Prefix, seed: int) -> dict[str, Any]:
        """What to ask for, beside the model and the number of tokens."""
        options = self._prompt.options
        return {
            "prompt": list(prefix.token_ids),
            "seed": seed if self._server.kind == "vllm" else seed % _LLAMA_SEEDS,
            "temperature": options.temperature,
            "top_p": options.top_p,
            # A server takes from the checkpoint's generation config, or from its own command line,
            # what a request leaves open.
            "top_k": 0,
            **self._logprobs(options.top_logprobs),
            "min_p": 0.0,
            **(self._for_vllm(prefix) if self._server.kind == "vllm" else self._for_llama(prefix)),
        }

    def step(self, completion: Completion, prefix: Prefix, max_tokens: int) -> Step:
        """The step that sampled ids make; of a llama.cpp that gives none, the step of its text.

        # Errors
        `EngineError` if ids are missing, or another tokenizer than ours made or reads them.
        """
        if completion.token_ids is None:
            if self._server.kind == "llama.cpp":  # one that does not know return_tokens
                return self._texts.step(completion, prefix, max_tokens)
            raise EngineError(
                f"the vLLM server at {self._server.url} returned no token ids: one that knows "
                "return_token_ids is needed"
            )
        sent = len(prefix.token_ids)
        if completion.prompt_tokens not in (None, sent):
            raise EngineError(
                f"the {self._name} server at {self._server.url} read {completion.prompt_tokens} "
                f"prompt tokens of the {sent} that were sent"
            )
        ids = completion.token_ids
        if self._server.kind == "llama.cpp":
            ids = self._without_end(completion, ids)
        step = read_step(
            self._prompt,
            ids,
            prefix,
            max_tokens,
            prompt_tokens=sent,
            cached_tokens=completion.cached_tokens,
            certainty=certainty_of(
                completion.logprobs,
                self._prompt.options.top_logprobs,
                len(self._prompt.tokenizer),
                self._server,
                tokens=len(ids),
            ),
        )
        self._check_stop(completion, step)
        room = self._prompt.room(prefix, max_tokens)
        if completion.finish == "length" and step.finish == "end" and len(ids) < room:
            # By a limit of the server's own, which the next request meets again if it is the last.
            return replace(step, finish="length" if ids else "context")
        return step

    def _logprobs(self, top: int) -> dict[str, Any]:
        if not top:
            return {}
        # Else vLLM takes all tokens that read the same for one.
        named = {"return_tokens_as_token_ids": True} if self._server.kind == "vllm" else {}
        return {"logprobs": top, **named}

    def _for_vllm(self, prefix: Prefix) -> dict[str, Any]:
        stops = self._prompt.stops(prefix)
        return {
            "repetition_penalty": 1.0,
            "return_token_ids": True,
            "stop": list(stops.texts),
            "include_stop_str_in_output": True,
            "stop_token_ids": list(stops.ids),
            # As our own tokenizer decodes a step, so that both see the same stop texts.
            "skip_special_tokens": not self._prompt.keeps_special_tokens,
            "spaces_between_special_tokens": False,
        }

    def _for_llama(self, prefix: Prefix) -> dict[str, Any]:
        return {
            "repeat_penalty": 1.0,
            "return_tokens": True,
            "verbose": True,  # or it gives neither the ids nor what ended the text
            "stop": list(self._prompt.texts_that_stop(prefix)),
        }

    def _without_end(self, completion: Completion, ids: tuple[int, ...]) -> tuple[int, ...]:
        """The ids without that which ended the sequence: llama.cpp knows more such ids than we."""
        by_end = completion.says_stop and completion.finish == "stop"
        if by_end and completion.stopped_by is None and self._makes(completion.text, ids[:-1]):
            return ids[:-1]
        if self._makes(completion.text, ids):
            return ids
        raise EngineError(
            f"the llama.cpp server at {self._server.url} wrote {completion.text[:60]!r}, and its "
            f"ids read {self._prompt.decode(ids)[:60]!r} here: its tokenizer is not ours; give the "
            "model's as tokenizer"
        )

    def _makes(self, text: str, ids: tuple[int, ...]) -> bool:
        """Whether a server's text is the start of what ids decode to, as far as can be told."""
        # A character that is cut in its middle reads otherwise from decoder to decoder, and some
        # decoders drop the space in front of a text's first token.
        known = text.partition("\ufffd")[0].lstrip(" ")
        if self._prompt.decode(ids).lstrip(" ").startswith(known):
            return True
        # It writes special tokens if started with --special, and keeps the tags of thoughts or not.
        decode = self._prompt.tokenizer.decode
        texts = (
            str(decode(list(ids), skip_special_tokens=skip, clean_up_tokenization_spaces=False))
            for skip in (False, True)
        )
        return any(text.lstrip(" ").startswith(known) for text in texts)

    def _check_stop(self, completion: Completion, step: Step) -> None:
        stop = completion.stopped_by
        # Decoders drop the space in front of a text's first token.
        if isinstance(stop, str) and stop.lstrip(" ") not in step.text:
            raise EngineError(
                f"the {self._name} server at {self._server.url} stopped at {stop!r}, which is not "
                f"in {step.text!r}: its tokenizer is not ours; give the model's as tokenizer, here "
                "and to the server"
            )
