"""A server's answer to one request at `/v1/chat/completions`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ets.answer.thoughts import PAIRS, behind_thoughts
from ets.errors import EngineError
from ets.policy.server_logprobs import ServerLogprobs

_FINISHES: dict[Any, Literal["end", "length", "refused"]] = {
    **dict.fromkeys(("stop", "stop_sequence", "eos", "eos_token", "end", "end_turn"), "end"),
    **dict.fromkeys(("tool_calls", "function_call", "tool_use"), "end"),
    **dict.fromkeys(("length", "max_tokens", "max_output_tokens"), "length"),
    **dict.fromkeys(("content_filter", "refusal", "safety"), "refused"),
}
_THOUGHTS = ("reasoning_content", "reasoning")
"""Where servers put what a model thought: DeepSeek, vLLM and SGLang; OpenRouter and newer vLLM."""
_OPEN, _CLOSE = PAIRS[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatAnswer:
    """The parts of an answer that make a step."""

    content: str
    """What was said; of a refusal its words."""
    thoughts: str
    """What stood in a field of its own."""
    tool_calls: tuple[Mapping[str, Any], ...]
    """As the server gave them."""
    finish: Literal["end", "length", "refused"]
    prompt_tokens: int
    cached_tokens: int
    """Prompt tokens from the server's prefix cache; 0 where the server does not say."""
    written_tokens: int | None
    """Those of the answer, thoughts included; None where the server does not say."""
    logprobs: ServerLogprobs | None
    """None where the server gives none."""

    @classmethod
    def read(cls, answer: str, *, url: str) -> ChatAnswer:
        """Take an answer's body apart.

        # Errors
        `EngineError` if it is no chat completion, or one that was broken off.
        """
        try:
            body = json.loads(answer)
            choice = body["choices"][0]
            message, said = choice["message"], choice["finish_reason"]
            content, thoughts = _texts(message.get("content"))
            thoughts += "".join(_text(message[name]) for name in _said_thoughts(message))
            refusal = _text(message.get("refusal") or "")
            calls = _calls(message)
            usage: dict[str, Any] = body.get("usage") or {}
            details: dict[str, Any] = usage.get("prompt_tokens_details") or {}
            prompt, cached = usage.get("prompt_tokens"), details.get("cached_tokens")
            written = usage.get("completion_tokens")
            counts = [_count(number) for number in (prompt, cached, written)]
            logprobs = ServerLogprobs.read(choice.get("logprobs"))
        except (
            ValueError,
            TypeError,
            KeyError,
            IndexError,
            AttributeError,
            RecursionError,
        ) as error:
            raise EngineError(
                f"the server at {url} answers /chat/completions with {answer[:60]!r}, not with a "
                "chat completion"
            ) from error
        finish = _FINISHES.get(said.lower() if isinstance(said, str) else said)
        if finish is None:
            raise EngineError(
                f"the server at {url} broke an answer off: its finish_reason is {said!r}, where "
                "'stop', 'length', 'tool_calls' or 'content_filter' was due"
            )
        if written is None and logprobs is not None:
            counts[2] = len(logprobs.sampled)
        return cls(
            content=content or refusal,
            thoughts=thoughts,
            tool_calls=calls,
            finish="refused" if refusal and not (content or calls) else finish,
            prompt_tokens=counts[0] or 0,
            cached_tokens=counts[1] or 0,
            written_tokens=counts[2],
            logprobs=logprobs,
        )

    @property
    def text(self) -> str:
        """All of it as a solution's text.

        Thoughts in a field of their own stand between `<think>` and `</think>` in front, calls of
        tools as the JSON list that the server gave on the last line.
        """
        parts = [self.content] if self.content else []
        if self.tool_calls:
            parts.append(json.dumps([*self.tool_calls], ensure_ascii=False))
        if self.thoughts:
            closed = f"\n{_CLOSE}" if parts or self.finish == "end" else ""
            parts.insert(0, f"{_OPEN}\n{self.thoughts.strip()}{closed}")
        return "\n\n".join(parts)

    @property
    def thinking(self) -> int:
        """The characters at the beginning of `text` that are thoughts, tags included: those of a
        field, or of a block in the text itself."""
        text = self.text
        behind = behind_thoughts(text)
        return len(text) if behind is None else len(text) - len(behind)


def _texts(content: object) -> tuple[str, str]:
    """What is said and thought in a message's content: a text, or parts of the API's newer form."""
    if content is None:
        return "", ""
    if isinstance(content, str):
        return content, ""
    if not isinstance(content, list):
        raise TypeError("content is no text")
    said, thought = "", ""
    for part in content:
        if part.get("type") == "thinking":
            thought += (
                part["thinking"]
                if isinstance(part["thinking"], str)
                else _texts(part["thinking"])[0]
            )
        else:
            said += _text(part["text"])
    return said, thought


def _said_thoughts(message: Mapping[str, Any]) -> tuple[str, ...]:
    """The first field that holds thoughts: some servers fill both, with the same."""
    return tuple(name for name in _THOUGHTS if message.get(name))[:1]


def _calls(message: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """The calls of tools, that of the API's older form too."""
    calls = message.get("tool_calls") or []
    if not calls and (old := message.get("function_call")):
        calls = [{"type": "function", "function": old}]
    if not isinstance(calls, list) or not all(isinstance(call, Mapping) for call in calls):
        raise TypeError("tool_calls are no list of objects")
    return tuple(calls)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("a field that must be a text is none")
    return value


def _count(value: object) -> int | None:
    """A number of tokens; None where nothing is said."""
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 32:
        raise ValueError("a count is none")
    return value
