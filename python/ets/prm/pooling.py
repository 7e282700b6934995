"""A PRM of any known format behind a vLLM server."""

from __future__ import annotations

import os
from typing import Any

from ets.checks import check_int, path_text
from ets.engines.server.connection import Connection
from ets.engines.server.model_card import ModelCard
from ets.engines.server.on_server import OnServer
from ets.errors import EngineError, InputError
from ets.prm.checkpoint import Checkpoint
from ets.prm.formats import PRMFormat, format_options, joined, load_format
from ets.prm.pooling_answer import Pooled, reading_of
from ets.shown.redaction import redacted
from ets.step import Prefix, Score

_OPTIONS = (
    *("checkpoint", "format", "api_key", "timeout", "max_retries", "max_in_flight"),
    *("max_length", "patience"),
)


class PoolingPRM(OnServer):
    """Scores steps with a PRM that a vLLM server offers at `/pooling`, one request per solution.

    Parameters
    ----------
    model
        The name that the server gives the model.
    url
        The base of its API, such as `http://127.0.0.1:8000/v1`; `/pooling` lies beside it.
    checkpoint
        Folder or hub name of the model's checkpoint, of which config and tokenizer are read and,
        but for the format `qwen`, the weights of the head; by default what the server says it
        serves, if that can be read here.
    format
        How the PRM is read, a name of `ets.prm.formats.FORMATS`; by default what its config and
        name say.
    api_key, timeout, max_retries, max_in_flight, patience
        As those of `ets.policy.openai.OpenAIPolicy`.
    max_length
        Lowers the context length that server and checkpoint state.
    options
        What the format takes, such as the `system_prompt` of `qwen`.

    Token ids are sent, never text: the server's tokenizer does not matter.

    A model that vLLM knows as a PRM (the format `qwen`) is served with `--runner pooling`. It
    returns (bad, good), softmax applied, for each step tag, or for each token if the server was
    started with `tok_pooling_type` `ALL`; any other number of rows is an error. vLLM takes 151651
    for the step tag, that of Qwen2.5-Math-PRM, unless its `--pooler-config` names another. Such a
    request cannot tell the server to read its prefix cache, so every solution is read in full.

    Any other is served with `--runner pooling --convert embed`. It returns the hidden state at the
    last token, not normalised, and the head is applied here in float32. For these the server reads
    its prefix cache, but does not say how much came from there: `Score.cached_tokens` is 0.

    A step without text scores as the solution before it, and 0 if nothing has been written.

    The server is asked for its models here, which blocks for half a minute at most, and for
    `patience` where it loads. One object
    serves several event loops, one after the other or at once; `aclose` ends it for all of them.

    # Errors
    `MissingExtraError` without the openai client, transformers or, but for the format `qwen`,
    torch; `InputError` for a bad URL, an unknown option or a bad value; `EngineError` if the server
    does not answer, does not have the model, or the checkpoint cannot be read or is of no known
    format.
    """

    def __init__(
        self,
        model: str,
        url: str,
        *,
        checkpoint: str | os.PathLike[str] | None = None,
        format: str | None = None,  # noqa: A002  what users call it
        api_key: str | None = None,
        timeout: float = 600.0,
        max_retries: int = 3,
        max_in_flight: int = 256,
        max_length: int | None = None,
        patience: float = 300.0,
        **options: Any,
    ) -> None:
        if checkpoint is not None:
            checkpoint = path_text("checkpoint", checkpoint)
        if max_length is not None:
            check_int("max_length", max_length, 1, 1 << 30)
        self._connection = Connection(
            url,
            user="PRM",
            api_key=api_key,
            timeout=timeout,
            max_retries=max_retries,
            max_in_flight=max_in_flight,
            patience=patience,
        )
        if not url.rstrip("/").endswith("/v1"):
            raise InputError(
                "url must end in /v1, beside which /pooling lies, such as "
                f"http://127.0.0.1:8000/v1, got {redacted(url)!r}"
            )
        self._model = model
        self._server = ModelCard.ask(self._connection, model)
        self._format = load_format(
            _readable(self._server, checkpoint),
            format,
            options,
            max_length=self._server.context(max_length),
        )
        if options:
            known = ", ".join((*_OPTIONS, *format_options(type(self._format))))
            raise InputError(
                f"unknown option {min(options)!r} of a pooling PRM of the format "
                f"{self._format.name}; its options are {known}"
            )
        if why := self._format.not_on_vllm:
            raise EngineError(f"the PRM {model!r} ({self._format.name}) cannot run: {why}")
        self._reading = reading_of(self._format, where=f"the PRM {model!r} on the server at {url}")

    @property
    def format(self) -> PRMFormat:
        """How this PRM turns solutions into ids, and where it is read."""
        return self._format

    async def score(self, prefix: Prefix) -> Score:
        """The reward in [0, 1] of `prefix`'s last step, given everything before it.

        A cancelled call closes its connection, which aborts the request in the server.

        # Errors
        `ContextError` if the solution is longer than the model's context, `EngineLostError` if the
        server has gone and stays away, `EngineError` if it refuses, or returns no reward.
        """
        ids = joined(await self._format.read(prefix))
        if ids is None:
            return Score(0.0)
        body = {
            "model": self._model,
            "input": list(ids),
            "encoding_format": "float",
            **self._reading.request,
        }
        answer = await self._connection.post(
            "/pooling", body, problem=prefix.posed, beside=True, explain=self._refusal
        )
        pooled = Pooled.read(answer, url=self._server.url)
        if pooled.prompt_tokens not in (None, len(ids)):
            raise EngineError(
                f"the server at {self._server.url} read {pooled.prompt_tokens} tokens of the "
                f"{len(ids)} that were sent"
            )
        return Score(
            self._reading.reward(pooled.values, ids),
            prompt_tokens=len(ids),
            cached_tokens=pooled.cached_tokens,
        )

    def _refusal(self, status: int, said: str) -> str | None:
        needed = f"vLLM has to be started with {self._reading.start}"
        if status in (404, 501):
            return f"has no /pooling ({status}, {said!r}): {needed}"
        if status == 400 and "task" in said.lower():
            return f"refuses /pooling with 400, {said!r}: {needed}"
        return None


def _readable(server: ModelCard, checkpoint: str | os.PathLike[str] | None) -> str:
    """The name of the checkpoint, which can be read here."""
    if checkpoint is not None:
        return os.fspath(checkpoint)
    wanted = "give checkpoint, its folder or hub name"
    if server.root is None:
        raise EngineError(
            f"the server at {server.url} does not say what checkpoint {server.model!r} is: {wanted}"
        )
    try:
        _ = Checkpoint(server.root).config
    except EngineError as error:
        raise EngineError(
            f"the checkpoint of {server.model!r} at {server.url} cannot be read here: {wanted} "
            f"({error})"
        ) from error
    return server.root
