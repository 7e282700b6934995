"""A policy behind a server of which only chats can be had: whole answers, one request each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from ets.checks import check_int, check_text, integer, keyword_names
from ets.dialogue import Dialogue, Posed
from ets.engines.server.connection import Connection
from ets.engines.server.model_card import ModelCard
from ets.engines.server.on_server import OnServer
from ets.errors import ContextError, EngineError, InputError
from ets.policy.chat_answer import ChatAnswer
from ets.policy.chat_options import ChatOptions, TokenLimit
from ets.policy.server_logprobs import certainty_of
from ets.shown.log import Log
from ets.step import Finish, Prefix, Step

_LOG = Log("ets")
_SEEDS = 1 << 63
_PATH = "/chat/completions"
_OTHER_LIMIT: TokenLimit = "max_completion_tokens"
_HELP = {
    "temperature": "temperature=null leaves it out",
    "top_p": "top_p=null leaves it out",
    "seed": "seed_bits=31 sends small ones, seed_bits=0 none",
    "logprobs": "it cannot serve the PRM policy, which reads them",
    "top_logprobs": "top_logprobs lowers the number, and the PRM policy needs some",
    "tools": "it, or its model, calls none",
    "response_format": "it, or its model, has no such output",
}
"""What to do where a server refuses a field."""


class ChatPolicy(OnServer):
    """Samples whole answers from a model that a server offers at `/v1/chat/completions`.

    Parameters
    ----------
    model
        The name that the server gives the model.
    url
        The base of its API, such as `https://api.example.com/v1`.
    api_key, timeout, max_retries, max_in_flight, patience
        As those of `ets.policy.openai.OpenAIPolicy`.
    headers
        Further headers of all requests, for gateways.
    max_length
        Tokens of prompt and answer together, where the server does not say, or to lower it.
    options
        The fields of `ets.policy.chat_options.ChatOptions`.

    A chat server writes an answer from its beginning and cannot go on in its middle, so an answer
    is one step, and `ets.BestOfN` is the only strategy of ours that takes this policy, with any of
    the votes. Each sample is a request with a seed of its own. A trained PRM reads an answer in the
    steps that `delimiter` parts, and is asked once, for the last one.

    No tokenizer is needed. Tokens are those that the server's `usage` counts, what the model
    thought included. A tree counts those of the answers alone, since a server says how long a
    prompt was only when it has answered; `usage` of the result has the prompts' tokens.

    The text of an answer is the message's. What it thought in a field of its own
    (`reasoning_content`, `reasoning`) stands in front, between `<think>` and `</think>`, and is
    part of no answer. Calls of tools stand on the last line, as the JSON list that the server gave.
    An answer that is a call or a JSON object votes in one form for equal ones
    (`ets.answer.structured`). A refusal, and what a content filter held back, ends as `refused`: it
    does not vote.

    A server that has no list of models, or not this one in it, is asked all the same, and the
    logger `ets` says so. One that refuses the limit of tokens because the prompt leaves less room
    is asked once more without a limit; one that wants `max_completion_tokens` is sent that from
    then on.

    # Errors
    `MissingExtraError` without the openai client, `InputError` for a bad URL, an unknown option or
    a bad value, `EngineLostError` if the server cannot be reached.
    """

    def __init__(
        self,
        model: str,
        url: str,
        *,
        api_key: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = 600.0,
        max_retries: int = 3,
        max_in_flight: int = 256,
        max_length: int | None = None,
        patience: float = 300.0,
        **options: Any,
    ) -> None:
        if max_length is not None:
            check_int("max_length", max_length, 1, 1 << 30)
        self._options = _chat_options(options)
        self._connection = Connection(
            url,
            user="policy",
            api_key=api_key,
            timeout=timeout,
            max_retries=max_retries,
            max_in_flight=max_in_flight,
            patience=patience,
            headers=headers,
        )
        self._model = model
        self._server = ModelCard.of_any(self._connection, model)
        self._max_length = self._server.context(max_length)
        self._limit: TokenLimit = self._options.token_limit or "max_tokens"
        self._counts = True

    @property
    def whole_answers(self) -> bool:
        """True: nothing can follow a step."""
        return True

    @property
    def delimiter(self) -> str:
        """The text at which a PRM is given an answer in steps."""
        return self._options.delimiter

    @property
    def options(self) -> ChatOptions:
        """How the server is asked."""
        return self._options

    @property
    def max_length(self) -> int | None:
        """Tokens of prompt and answer together; None where that is not known."""
        return self._max_length

    def start(self, problem: str) -> Prefix:
        """The empty solution of a problem, of which the server alone knows the tokens.

        # Errors
        `InputError` if the problem is empty.
        """
        check_text("problem", problem)
        if not problem.strip():
            raise InputError("problem must not be empty")
        return Prefix(problem=problem, prompt_tokens=0, token_ids=())

    def start_dialogue(self, dialogue: Dialogue) -> Prefix:
        """The same of a problem that ends a dialogue, which is sent as it is."""
        return Prefix(dialogue.problem, prompt_tokens=0, token_ids=(), before=dialogue.before)

    async def sample(self, prefix: Prefix, *, seed: int, max_tokens: int) -> Step:
        """One answer of at most `max_tokens` tokens.

        A cancelled call closes its connection, which aborts the request in servers that notice.

        # Errors
        `InputError` for a bad seed or `max_tokens`, or a solution that is begun already;
        `ContextError` where the prompt leaves no room, `EngineLostError` if the server has gone and
        stays away, `EngineError` for whatever else it refuses.
        """
        if not 0 <= integer("seed", seed, None) < _SEEDS:
            raise InputError(f"seed must lie in [0, 2**63), got {seed}")
        if prefix.steps:
            raise InputError(
                f"prefix must have no steps, got {len(prefix.steps)}: a chat server cannot "
                "continue a text"
            )
        answer = await self.ask(prefix.posed, max_tokens=max_tokens, seed=seed)
        return self._step(answer, max_tokens)

    async def ask(
        self, posed: Posed, *, max_tokens: int, seed: int | None = None, **more: Any
    ) -> ChatAnswer:
        """The server's answer to a problem, with further fields of the request.

        # Errors
        As those of `sample`.
        """
        max_tokens = integer("max_tokens", max_tokens, 1)
        body = {
            "model": self._model,
            "messages": self._options.messages(posed),
            **self._options.request(self._server.kind),
            **({} if seed is None else self._options.seed(seed, self._server.kind)),
            **more,
        }
        try:
            return await self._post(posed, body, max_tokens)
        except ContextError:
            # The prompt and so many tokens are too much together: as many as there is room for.
            return await self._post(posed, body, None)

    async def _post(self, posed: Posed, body: dict[str, Any], limit: int | None) -> ChatAnswer:
        name = self._limit
        try:
            answer = await self._connection.post(
                _PATH,
                body if limit is None else {**body, name: limit},
                problem=posed,
                ranks=self._server.ranks,
                explain=_refusal,
            )
        except ContextError:
            raise
        except EngineError as error:
            told = self._options.token_limit is None and name != _OTHER_LIMIT
            if limit is None or not told or _OTHER_LIMIT not in str(error):
                raise
            self._limit = _OTHER_LIMIT
            return await self._post(posed, body, limit)
        return ChatAnswer.read(answer, url=self._server.url)

    def _step(self, answer: ChatAnswer, max_tokens: int) -> Step:
        """An answer as the step that it is."""
        if answer.written_tokens is None and self._counts:
            self._counts = False
            _LOG.warning(
                "the server at %s does not count its tokens (usage): they count as 0 here, and a "
                "budget of tokens never ends",
                self._server.url,
            )
        if self._options.top_logprobs and answer.tool_calls and answer.logprobs is None:
            raise EngineError(
                f"the server at {self._server.url} gives no log-probabilities with calls of tools: "
                "the PRM policy cannot weigh them; prm='none' votes without"
            )
        written = answer.written_tokens or 0
        finish: Finish = answer.finish
        if finish == "length" and answer.written_tokens is not None and written < max_tokens - 1:
            finish = "context"  # a limit of the server's own; some count one token less
        return Step(
            answer.text,
            (),
            finish,
            prompt_tokens=answer.prompt_tokens,
            cached_tokens=answer.cached_tokens,
            thinking=answer.thinking,
            certainty=None
            if finish == "refused"
            else certainty_of(
                answer.logprobs,
                self._options.top_logprobs,
                self._options.vocabulary,
                self._server,
                tokens=min(1, written),
            ),
            written_tokens=written,
        )


def _chat_options(options: dict[str, Any]) -> ChatOptions:
    known = [field.name for field in fields(ChatOptions)]
    if unknown := sorted(set(options) - set(known)):
        own = keyword_names(ChatPolicy)
        raise InputError(
            f"unknown option {unknown[0]!r} of a chat policy; its options are "
            f"{', '.join((*own, *known))}"
        )
    return ChatOptions(**options)


def _refusal(status: int, said: str) -> str | None:
    if status not in (400, 422):
        return None
    named = [name for name in _HELP if re.search(rf"\b{name}\b", said)]
    if not named:
        return None
    return f"refuses {named[0]}: {said!r}; {_HELP[named[0]]}"
