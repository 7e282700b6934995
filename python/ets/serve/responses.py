"""`/v1/responses`: its request, its answer, its events."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ets.rollout.result import SearchResult
from ets.serve.chat import CachedTokens, ChatMessage, Empty, TextFormat
from ets.serve.extension import Found, TokensOut, Wishes
from ets.serve.solutions import Chosen


class InputText(BaseModel):
    """A part of a message; there are none but texts."""

    model_config = ConfigDict(extra="forbid", strict=True)

    type: Literal["input_text", "output_text"]
    text: str
    annotations: Empty | None = None
    logprobs: Empty | None = None


class InputMessage(BaseModel):
    """A message, also one of an earlier answer as it was given."""

    model_config = ConfigDict(extra="forbid", strict=True)

    role: Literal["system", "developer", "user", "assistant"]
    content: str | Annotated[list[InputText], Field(min_length=1)]
    type: Literal["message"] = "message"
    id: str | None = None
    status: Literal["in_progress", "completed", "incomplete"] | None = None

    @property
    def chat(self) -> ChatMessage:
        """The same for a chat."""
        parts = self.content
        text = parts if isinstance(parts, str) else "".join(part.text for part in parts)
        return ChatMessage(role=self.role, content=text)


class TextOptions(BaseModel):
    """How the text is to be."""

    model_config = ConfigDict(extra="forbid", strict=True)

    format: TextFormat | None = None


class ResponsesRequest(BaseModel):
    """A problem, as a text or at the end of its messages, and how to search it.

    OpenAI's other fields are taken with the value that says nothing, and refused with any other.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    input: Annotated[str, Field(min_length=1)] | Annotated[list[InputMessage], Field(min_length=1)]
    instructions: str | None = None
    """A system message before the others."""
    model: str | None = None
    max_output_tokens: Annotated[int, Field(ge=1, le=2**32)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    stream: bool | None = None
    user: str | None = None
    """Whom the client asks for; `/v1/searches` tells it."""
    ets: Wishes = Field(default_factory=Wishes)
    background: Literal[False] | None = None
    include: Empty | None = None
    parallel_tool_calls: bool | None = None
    service_tier: Literal["auto", "default"] | None = None
    store: Literal[False] | None = None
    text: TextOptions | None = None
    tool_choice: Literal["none", "auto"] | None = None
    tools: Empty | None = None
    top_logprobs: Literal[0] | None = None
    truncation: Literal["disabled"] | None = None

    @property
    def messages(self) -> list[ChatMessage]:
        """As those of a chat."""
        given = self.input
        system = (
            []
            if self.instructions is None
            else [ChatMessage(role="system", content=self.instructions)]
        )
        if isinstance(given, str):
            return [*system, ChatMessage(role="user", content=given)]
        return [*system, *(message.chat for message in given)]


class ReasoningTokens(BaseModel):
    """Of the output; none is counted apart."""

    reasoning_tokens: int = 0


class ResponsesUsage(TokensOut):
    """As OpenAI counts; beside it the whole search's."""

    input_tokens: int
    input_tokens_details: CachedTokens
    output_tokens: int
    output_tokens_details: ReasoningTokens = ReasoningTokens()
    total_tokens: int

    @classmethod
    def counted(cls, result: SearchResult, solution: Chosen) -> ResponsesUsage:
        """Of a result and what is shown of it."""
        prompt = result.tree.prompt_tokens
        return cls(
            **TokensOut.of(result).model_dump(),
            input_tokens=prompt,
            # Of a prompt that is counted once: what samples share of it is in the search's counts.
            input_tokens_details=CachedTokens(cached_tokens=0),
            output_tokens=solution.tokens,
            total_tokens=prompt + solution.tokens,
        )


class OutputText(BaseModel):
    """A solution's text."""

    type: Literal["output_text"] = "output_text"
    text: str
    annotations: list[Any] = []


class OutputMessage(BaseModel):
    """A solution."""

    id: str
    type: Literal["message"] = "message"
    role: Literal["assistant"] = "assistant"
    status: Literal["in_progress", "completed", "incomplete"]
    content: list[OutputText]


class Incomplete(BaseModel):
    """Why a solution was cut."""

    reason: Literal["max_output_tokens"] = "max_output_tokens"


class ResponsesAnswer(BaseModel):
    """The winning solution, what it cost, and what the search found."""

    id: str
    object: Literal["response"] = "response"
    created_at: int
    status: Literal["in_progress", "completed", "incomplete"]
    model: str
    output: list[OutputMessage]
    usage: ResponsesUsage | None = None
    ets: Found | None = None
    error: None = None
    incomplete_details: Incomplete | None = None
    instructions: str | None = None
    max_output_tokens: int | None = None
    metadata: dict[str, str] = {}
    parallel_tool_calls: bool = False
    temperature: float | None = None
    tool_choice: Literal["none"] = "none"
    tools: list[Any] = []
    top_p: float | None = None
