"""A policy behind an OpenAI-compatible server."""

from __future__ import annotations

import os
from typing import Any

from ets.checks import check_int, integer, path_text
from ets.dialogue import Dialogue
from ets.engines.server.connection import Connection
from ets.engines.server.model_card import ModelCard
from ets.engines.server.on_server import OnServer
from ets.errors import ContextError, EngineError, InputError
from ets.policy.base import PolicyOptions, prompt_options
from ets.policy.completion import Completion
from ets.policy.completion_stream import CompletionStream
from ets.policy.id_step import IdSteps
from ets.policy.prompt import PolicyPrompt
from ets.policy.step_reader import read_step
from ets.policy.text_step import TextSteps
from ets.step import Prefix, Step

_SEEDS = 1 << 63
"""Servers take seeds below this."""


class OpenAIPolicy(OnServer):
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
    patience
        Seconds that a server which has gone, restarts or loads its model is waited for. The logger
        `ets` says when that begins. At the start only one that loads is.
    options
        The fields of `PolicyOptions`, which say how the model is prompted and sampled.

    On vLLM and llama.cpp, token ids go end to end as in `VLLMPolicy`: the prompt is sent as ids, so
    the server's tokenizer does not matter to it, and a step is made of the ids that were sampled.
    Both say what ended a step. Where `step` is `sentences` or a pattern, no server knows of it: an
    answer is streamed, and its connection closed as soon as the step's end shows.

    Other servers (SGLang, Ollama) get and give text, and what that costs is:

    - The ids of a step are our encoding of its text, not those that were sampled. KV tokens counted
      on them are an estimate, a step may have more of them than `max_tokens`, and where two steps
      meet, the server may tokenize their joint text otherwise than it sampled it.
    - Servers strip the text that ended a step. One that says which it was (SGLang) gets it put
      back. One that does not may have met the delimiter, another stop text or the end of the
      sequence: the delimiter is put back and the solution goes on, unless the step is empty or
      gives an answer.

    A llama.cpp too old to give ids is sent ids, and its answers are read as texts.

    A server without `/v1/completions` cannot continue an answer in its middle, so it cannot serve.

    The server is asked for its models here, which blocks for half a minute at most, and for
    `patience` where it loads. One object
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
        patience: float = 300.0,
        **options: Any,
    ) -> None:
        if tokenizer is not None:
            tokenizer = path_text("tokenizer", tokenizer)
        if max_length is not None:
            check_int("max_length", max_length, 1, 1 << 30)
        prompting = prompt_options(OpenAIPolicy, "an openai policy", options)
        self._connection = Connection(
            url,
            user="policy",
            api_key=api_key,
            timeout=timeout,
            max_retries=max_retries,
            max_in_flight=max_in_flight,
            patience=patience,
        )
        self._model = model
        self._server = ModelCard.ask(self._connection, model)
        self._prompt = _load_prompt(
            self._server, tokenizer, prompting, max_length=self._server.context(max_length)
        )
        self._steps = (
            IdSteps(self._prompt, self._server)
            if self._server.kind in ("vllm", "llama.cpp")
            else TextSteps(self._prompt, self._server)
        )

    @property
    def prompt(self) -> PolicyPrompt:
        """How this policy turns problems into ids and ids into steps."""
        return self._prompt

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

        Where the model's context ends first, the step ends there, as `context`; where it is full
        already, the step is empty and the server is not asked. A cancelled call closes its
        connection, which aborts the request in the server.

        # Errors
        `InputError` for a bad seed or `max_tokens`, `EngineLostError` if the server has gone and
        stays away, `EngineError` for whatever it refuses.
        """
        if not 0 <= integer("seed", seed, None) < _SEEDS:
            raise InputError(f"seed must lie in [0, 2**63), got {seed}")
        room = self._prompt.room(prefix, max_tokens)
        if room == 0:
            return read_step(self._prompt, (), prefix, max_tokens)
        asked = self._steps.request(prefix, seed)
        body = {"model": self._model, "n": 1, "max_tokens": room, **asked}
        try:
            answer = await self._answer(body, prefix, max_tokens)
        except ContextError:  # shorter than the checkpoint's, and the server did not say so before
            return Step("", (), "context", prompt_tokens=len(prefix.token_ids))
        completion = Completion.read(answer, url=self._server.url)
        return self._steps.step(completion, prefix, max_tokens)

    async def _answer(self, body: dict[str, Any], prefix: Prefix, max_tokens: int) -> str:
        """The server's, whole, or as far as the step goes whose end only we see."""
        path, problem, ranks = "/completions", prefix.posed, self._server.ranks
        if not self._prompt.rule.follows_text:
            return await self._connection.post(
                path, body, problem=problem, ranks=ranks, explain=_refusal
            )
        stream = await self._connection.stream(
            path,
            body,
            problem=problem,
            ranks=ranks,
            explain=_refusal,
            reader=lambda: CompletionStream(self._prompt, prefix, max_tokens),
        )
        return stream.answer()


def _refusal(status: int, said: str) -> str | None:
    if status == 500 and "Context size has been exceeded" in said:
        return (
            f"answers /completions with 500, {said!r}: llama.cpp's slots share one context; start "
            "it with --no-kv-unified, fewer slots (-np) or more context (-c), or lower "
            "max_in_flight"
        )
    if status != 404:
        return None
    return (
        "cannot continue a text in the middle of an answer: its /completions answers 404, "
        f"{said!r}; servers such as vLLM, SGLang and llama.cpp can"
    )


def _load_prompt(
    server: ModelCard,
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
