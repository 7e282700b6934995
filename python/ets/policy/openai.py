"""A policy behind an OpenAI-compatible server."""

from __future__ import annotations

import os
from dataclasses import fields
from typing import Any

from ets.checks import check_int
from ets.connection import Connection
from ets.errors import EngineError, InputError
from ets.policy.base import PolicyOptions
from ets.policy.completion import Completion
from ets.policy.prompt import PolicyPrompt
from ets.policy.text_step import TextSteps
from ets.server import Server
from ets.step import Prefix, Step

_SEEDS = 1 << 63
"""Servers take seeds below this."""


class OpenAIPolicy:
    """Samples steps from a model that a server offers at `/v1/completions`, one request per step.

    Parameters
    ----------
    model
        The name that the server gives the model.
    url
        The base of its API, such as `http://127.0.0.1:8000/v1`.
    tokenizer
        Folder or hub name of the model's checkpoint, of which tokenizer and config are read; by
        default what the server says it serves, if that can be read here.
    api_key
        By default what `OPENAI_API_KEY` holds in the environment, or `EMPTY`.
    timeout
        Seconds that one try of a request may wait for its answer, the server's queue included.
    max_retries
        Further tries, with growing pauses, after a 429, a 5xx, a timeout or a lost connection.
    max_in_flight
        Requests at once; more wait here.
    max_length
        Lowers the context length that server and checkpoint state.
    options
        The fields of `PolicyOptions`, which say how the model is prompted and sampled.

    On vLLM, token ids go end to end as in `VLLMPolicy`: the prompt is sent as ids, so the server's
    tokenizer does not matter to it, and a step is made of the ids that were sampled.

    Other servers (SGLang, llama.cpp) get and give text, and what that costs is:

    - The ids of a step are our encoding of its text, not those that were sampled. KV tokens counted
      on them are an estimate, a step may have more of them than `max_tokens`, and where two steps
      meet, the server may tokenize their joint text otherwise than it sampled it.
    - Servers strip the text that ended a step. One that says which it was (SGLang) gets it put
      back. One that does not (llama.cpp) may have met the delimiter, another stop text or the end
      of the sequence: the delimiter is put back and the solution goes on, unless the step is empty
      or holds an answer marker.

    A server without `/v1/completions` cannot continue an answer in its middle, so it cannot serve.

    The server is asked for its models here, which blocks for half a minute at most. One object
    serves several event loops, one after the other or at once; `aclose` ends it for all of them.

    # Errors
    `MissingExtraError` without the openai client or transformers, `InputError` for a bad URL, an
    unknown option or a bad value, `EngineError` if the server does not answer, does not have the
    model, or the tokenizer cannot be loaded.
    """

    def __init__(
        self,
        model: str,
        url: str,
        *,
        tokenizer: str | os.PathLike[str] | None = None,
        api_key: str | None = None,
        timeout: float = 600.0,
        max_retries: int = 3,
        max_in_flight: int = 256,
        max_length: int | None = None,
        **options: Any,
    ) -> None:
        if not model:
            raise InputError("model must be the name of a model that the server has, got ''")
        if max_length is not None:
            check_int("max_length", max_length, 1, 1 << 30)
        prompting = _prompt_options(options)
        self._connection = Connection(
            url,
            user="policy",
            api_key=api_key,
            timeout=timeout,
            max_retries=max_retries,
            max_in_flight=max_in_flight,
        )
        self._model = model
        self._server = Server.read(self._connection.get("/models"), model=model, url=url)
        limits = [n for n in (max_length, self._server.max_length) if n is not None]
        self._prompt = _load_prompt(
            self._server, tokenizer, prompting, max_length=min(limits, default=None)
        )
        self._texts = TextSteps(self._prompt, self._server.kind)
        if self._server.kind == "vllm":
            _ = self._prompt.engine_stops  # reads the vocabulary here, not amid a search

    @property
    def prompt(self) -> PolicyPrompt:
        """How this policy turns problems into ids and ids into steps."""
        return self._prompt

    @property
    def server(self) -> Server:
        """What the server said of itself."""
        return self._server

    def start(self, problem: str) -> Prefix:
        """The empty solution of a problem: its prompt as token ids.

        # Errors
        `InputError` if the problem is empty, or its prompt fills the context.
        """
        return self._prompt.start(problem)

    async def sample(self, prefix: Prefix, *, seed: int, max_tokens: int) -> Step:
        """One continuation of `prefix` by one step of at most `max_tokens` tokens.

        Where the model's context ends first, the step ends there, as `end`; where it is full
        already, the step is empty and the server is not asked. A cancelled call closes its
        connection, which aborts the request in the server.

        # Errors
        `InputError` for a bad seed or `max_tokens`, `EngineError` if the server fails.
        """
        if not 0 <= seed < _SEEDS:
            raise InputError(f"seed must lie in [0, 2**63), got {seed}")
        room = self._prompt.room(prefix, max_tokens)
        if room == 0:
            return self._prompt.read((), prefix=prefix, max_tokens=max_tokens)
        write = self._ids_request if self._server.kind == "vllm" else self._texts.request
        body = {"model": self._model, "n": 1, "max_tokens": room, **write(prefix, seed)}
        answer = await self._connection.post("/completions", body, explain=_refusal)
        completion = Completion.read(answer, url=self._server.url)
        if self._server.kind == "vllm":
            return self._step_of_ids(completion, prefix, max_tokens)
        return self._texts.step(completion, prefix, max_tokens)

    async def aclose(self) -> None:
        """Close the connections; calls that still wait get an `EngineError`."""
        await self._connection.aclose()

    def _ids_request(self, prefix: Prefix, seed: int) -> dict[str, Any]:
        options, stops = self._prompt.options, self._prompt.stops(prefix)
        return {
            "prompt": list(prefix.token_ids),
            "return_token_ids": True,
            "seed": seed,
            "temperature": options.temperature,
            "top_p": options.top_p,
            # A server takes from the checkpoint's generation config what a request leaves open.
            "top_k": 0,
            "min_p": 0.0,
            "repetition_penalty": 1.0,
            "stop": list(stops.texts),
            "include_stop_str_in_output": True,
            "stop_token_ids": list(stops.ids),
            # As our own tokenizer decodes a step, so that both see the same stop texts.
            "skip_special_tokens": not self._prompt.keeps_special_tokens,
            "spaces_between_special_tokens": False,
        }

    def _step_of_ids(self, completion: Completion, prefix: Prefix, max_tokens: int) -> Step:
        url, sent = self._server.url, len(prefix.token_ids)
        if completion.token_ids is None:
            raise EngineError(
                f"the vLLM server at {url} returned no token ids: one that knows return_token_ids "
                "is needed"
            )
        if completion.prompt_tokens not in (None, sent):
            raise EngineError(
                f"the vLLM server at {url} read {completion.prompt_tokens} prompt tokens of the "
                f"{sent} that were sent"
            )
        step = self._prompt.read(
            completion.token_ids,
            prefix=prefix,
            max_tokens=max_tokens,
            prompt_tokens=sent,
            cached_tokens=completion.cached_tokens,
        )
        stop = completion.stopped_by
        # Decoders drop the space in front of a text's first token.
        if isinstance(stop, str) and stop.lstrip(" ") not in step.text:
            raise EngineError(
                f"the vLLM server at {url} stopped at {stop!r}, which is not in {step.text!r}: its "
                "tokenizer is not ours; give the model's as tokenizer, here and to the server"
            )
        return step


def _refusal(status: int, said: str) -> str | None:
    if status != 404:
        return None
    return (
        "cannot continue a text in the middle of an answer: its /completions answers 404, "
        f"{said!r}; servers such as vLLM, SGLang and llama.cpp can"
    )


def _prompt_options(options: dict[str, Any]) -> PolicyOptions:
    known = [field.name for field in fields(PolicyOptions)]
    if unknown := sorted(set(options) - set(known)):
        raise InputError(
            f"unknown option {unknown[0]!r} of an openai policy; its options are tokenizer, "
            f"api_key, timeout, max_retries, max_in_flight, max_length, {', '.join(known)}"
        )
    return PolicyOptions(**options)


def _load_prompt(
    server: Server,
    tokenizer: str | os.PathLike[str] | None,
    options: PolicyOptions,
    *,
    max_length: int | None,
) -> PolicyPrompt:
    if tokenizer is not None:
        return PolicyPrompt.load(os.fspath(tokenizer), options, max_length=max_length)
    wanted = "give tokenizer, the folder or hub name of its checkpoint"
    if server.root is None:
        raise EngineError(
            f"the server at {server.url} does not say what tokenizer {server.model!r} has: {wanted}"
        )
    try:
        return PolicyPrompt.load(server.root, options, max_length=max_length)
    except EngineError as error:
        raise EngineError(
            f"the tokenizer of {server.model!r} at {server.url} cannot be read here: {wanted} "
            f"({error})"
        ) from error
