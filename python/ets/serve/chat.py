"""`/v1/chat/completions`: its request, its answer, its chunks."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ets.rollout.result import SearchResult
from ets.serve.extension import Found, TokensOut, Wishes
from ets.serve.solutions import Chosen

Zero = Literal[0]
Empty = Annotated[list[Any], Field(max_length=0)]
Stop = Annotated[str, Field(min_length=1, max_length=256)]
MOST_SOLUTIONS = 128


class TextPart(BaseModel):
    """A part of a message; there are none but texts."""

    model_config = ConfigDict(extra="forbid", strict=True)

    type: Literal["text"]
    text: str


class ChatMessage(BaseModel):
    """A message. What an assistant's message brings beside its text must be empty, but for what it
    thought, which the templates of models that think leave out of earlier turns."""

    model_config = ConfigDict(extra="forbid", strict=True)

    role: Literal["system", "developer", "user", "assistant"]
    content: str | Annotated[list[TextPart], Field(min_length=1)]
    name: None = None
    refusal: None = None
    annotations: Empty | None = None
    audio: None = None
    function_call: None = None
    tool_calls: Empty | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None

    @property
    def text(self) -> str:
        """Its parts together."""
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text for part in self.content)


class StreamOptions(BaseModel):
    """What a stream tells beside the text."""

    model_config = ConfigDict(extra="forbid", strict=True)

    include_usage: bool | None = None
    include_obfuscation: Literal[False] | None = None


class TextFormat(BaseModel):
    """The only format there is."""

    model_config = ConfigDict(extra="forbid", strict=True)

    type: Literal["text"]


class ChatRequest(BaseModel):
    """A problem, at the end of its messages, and how to search it.

    OpenAI's other fields are taken with the value that says nothing, and refused with any other:
    nothing is dropped.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    model: str | None = None
    """A configuration, as `/v1/models` lists them; None: the default one."""
    n: Annotated[int, Field(ge=1, le=MOST_SOLUTIONS)] | None = None
    """The solutions of so many distinct answers, best first; fewer where there are no more."""
    max_tokens: Annotated[int, Field(ge=1, le=2**32)] | None = None
    """Of a solution."""
    max_completion_tokens: Annotated[int, Field(ge=1, le=2**32)] | None = None
    """The same."""
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    """That of the policy, which is set when the server starts."""
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    """The same."""
    stop: Stop | Annotated[list[Stop], Field(max_length=16)] | None = None
    """The solution is shown up to the first of these."""
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: str | None = None
    """Whom the client asks for; `/v1/searches` tells it."""
    ets: Wishes = Field(default_factory=Wishes)
    frequency_penalty: Zero | None = None
    presence_penalty: Zero | None = None
    logit_bias: Annotated[dict[str, Any], Field(max_length=0)] | None = None
    logprobs: Literal[False] | None = None
    top_logprobs: Zero | None = None
    modalities: Annotated[list[Literal["text"]], Field(min_length=1, max_length=1)] | None = None
    parallel_tool_calls: bool | None = None
    response_format: TextFormat | None = None
    service_tier: Literal["auto", "default"] | None = None
    store: Literal[False] | None = None
    tool_choice: Literal["none", "auto"] | None = None
    tools: Empty | None = None

    @property
    def stops(self) -> list[str]:
        """`stop` as a list."""
        return [self.stop] if isinstance(self.stop, str) else self.stop or []


class CachedTokens(BaseModel):
    """Of the prompt."""

    cached_tokens: int


class ChatUsage(TokensOut):
    """As OpenAI counts: the prompt once, and the solutions that are answered; beside it the whole
    search's."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int

    @classmethod
    def counted(cls, result: SearchResult, solutions: list[Chosen]) -> ChatUsage:
        """Of a result and what is shown of it."""
        prompt = result.tree.prompt_tokens
        shown = sum(solution.tokens for solution in solutions)
        return cls(
            **TokensOut.of(result).model_dump(),
            prompt_tokens=prompt,
            completion_tokens=shown,
            total_tokens=prompt + shown,
        )


class AssistantMessage(BaseModel):
    """A solution."""

    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None


class ChatChoice(BaseModel):
    """One of the solutions."""

    index: int
    message: AssistantMessage
    finish_reason: Literal["stop", "length"]
    logprobs: None = None


class ChatAnswer(BaseModel):
    """The solutions, what they cost, and what the search found."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[ChatChoice]
    usage: ChatUsage
    ets: Found


class Delta(BaseModel):
    """What a chunk adds to a message."""

    role: Literal["assistant"] | None = None
    content: str | None = None


class ChunkChoice(BaseModel):
    """What a chunk adds to a solution."""

    index: int
    delta: Delta
    finish_reason: Literal["stop", "length"] | None = None


class ChatChunk(BaseModel):
    """A part of a streamed answer."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: ChatUsage | None = None
    ets: Found | None = None
