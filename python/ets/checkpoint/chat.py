"""A chat template's text around contents that the template does not get to see.

    pieces = render_chat(tokenizer, [Message("user", ["Solve: ", Content(problem)])], name="m")

gives the pieces for `ContentEncoder.encode`: what the template wrote, and the contents where it put
them. In place of a content the template sees a mark with the content's white space on either side,
so it strips what it would strip, and nothing that a content says can change what it does.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ets.checkpoint.pieces import Content, Piece, text_of
from ets.errors import EngineError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

DATE = "26 Jul 2024"
"""Llama templates print today's date; a prompt must not change with the calendar."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message of a chat: strings of our own, which the template sees, and contents."""

    role: Literal["system", "user", "assistant"]
    pieces: Sequence[str | Content]
    required: bool = True
    """Whether it is an error if the template leaves it out."""


def render_chat(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Message],
    *,
    name: str,
    chat_template: str | None = None,
    continue_final: bool = False,
    fold_system: bool = False,
    switches: Mapping[str, Any] | None = None,
) -> list[Piece]:
    """The messages in a chat template, up to where the model goes on.

    That is behind the template's generation prompt, or, with `continue_final`, behind the last
    message. `fold_system`: for templates that refuse a system role, as Gemma's does, or leave it
    out, a system message becomes the beginning of the user message behind it, with a blank line
    between them.
    `switches` are what the template takes besides, such as `enable_thinking`.

    # Errors
    `EngineError` of one line if there is no template, if it refuses the messages, and if it leaves
    out a content or a part of a message, such as what stands before `</think>`.
    """
    if not (chat_template or tokenizer.chat_template):
        raise EngineError(f"the tokenizer of {name!r} has no chat template")
    options = {
        "chat_template": chat_template,
        "add_generation_prompt": not continue_final,
        "tokenize": False,
        "date_string": DATE,
        **(switches or {}),
    }
    try:
        try:
            return _render(tokenizer, messages, name, options)
        except (_RefusalError, _LeftOutError):
            first = [message.role for message in messages[:2]]
            if not fold_system or first != ["system", "user"]:
                raise
            return _render(tokenizer, _folded(messages), name, options)
    except _RefusalError as error:
        roles = ", ".join(message.role for message in messages)
        raise EngineError(
            f"the chat template of {name!r} refuses the messages ({roles}): {error}"
        ) from error


def cuts_thoughts(
    tokenizer: PreTrainedTokenizerBase,
    tags: tuple[str, str],
    *,
    name: str,
    chat_template: str | None = None,
) -> bool:
    """Whether the template leaves out what an earlier reply has up to the closing one of two tags.

    Those of models that think do: they were trained without the thoughts of earlier turns.
    """
    thought, answer = (f"ets{secrets.token_hex(8)}x" for _ in range(2))
    said = [
        {"role": "user", "content": "1"},
        {"role": "assistant", "content": f"{tags[0]}{thought}{tags[1]}{answer}"},
        {"role": "user", "content": "2"},
    ]
    options = {
        **{"chat_template": chat_template, "add_generation_prompt": True},
        **{"tokenize": False, "date_string": DATE},
    }
    try:
        text = _apply(tokenizer, said, name, options)
    except (_RefusalError, EngineError):  # it cannot hold what would be cut
        return False
    return answer in text and thought not in text


class _RefusalError(Exception):
    """What the template itself said."""


class _LeftOutError(EngineError):
    """It leaves out the text of a message."""


def _folded(messages: Sequence[Message]) -> list[Message]:
    first, second, *rest = messages
    return [Message(second.role, [*first.pieces, "\n\n", *second.pieces]), *rest]


def _render(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Message],
    name: str,
    options: dict[str, Any],
) -> list[Piece]:
    secret = secrets.token_hex(8)
    hidden: list[str] = []

    def mark(text: str) -> str:
        hidden.append(text)
        return f"ets{secret}n{len(hidden) - 1}x"

    said: list[dict[str, str]] = []
    for message in messages:
        text = "".join(
            piece if isinstance(piece, str) else _with_space(piece.text, mark)
            for piece in message.pieces
        )
        said.append({"role": message.role, "content": text})
    shown = len(hidden)
    if not options["add_generation_prompt"]:
        said[-1]["content"] += mark("")  # an end that no template trims
    text = _apply(tokenizer, said, name, options)
    if len(hidden) > shown:
        text, end, _ = text.partition(f"ets{secret}n{shown}x")
        if not end:
            raise EngineError(
                f"the chat template of {name!r} leaves out the {messages[-1].role}'s last message, "
                "which cannot be continued: continue_final_message must be False"
            )
    parts = re.split(f"ets{secret}n([0-9]+)x", text)
    numbers = [int(number) for number in parts[1::2]]
    there = set(numbers)
    for number in range(shown):
        if number not in there:
            raise _LeftOutError(
                f"the chat template of {name!r} leaves out a message's text: "
                f"{hidden[number][:60]!r}"
            )
    _check_whole(tokenizer, messages, text, name, options)
    pieces: list[Piece] = [parts[0]]
    for number, behind in zip(numbers, parts[2::2], strict=True):
        pieces += [Content(hidden[number]), behind]
    return pieces


def _with_space(text: str, mark: Any) -> str:
    core = text.strip()
    if not core:
        return text
    lead = len(text) - len(text.lstrip())
    return text[:lead] + str(mark(core)) + text[lead + len(core) :]


def _apply(
    tokenizer: PreTrainedTokenizerBase,
    said: list[dict[str, str]],
    name: str,
    options: dict[str, Any],
) -> str:
    try:
        text = tokenizer.apply_chat_template(said, **options)
    except _refusals() as error:
        raise _RefusalError(" ".join(str(error).split()) or type(error).__name__) from error
    if not isinstance(text, str):
        raise EngineError(f"the chat template of {name!r} made no text")
    return text


def _refusals() -> tuple[type[Exception], ...]:
    """What a template raises; without Jinja it is no template of Jinja's."""
    usual = (TypeError, KeyError, AttributeError)
    try:
        from jinja2 import TemplateError
    except ImportError:
        return usual
    return (TemplateError, *usual)


def _check_whole(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Message],
    text: str,
    name: str,
    options: dict[str, Any],
) -> None:
    """Whether the messages that are all our own came out with both ends."""
    for at, message in enumerate(messages):
        own = text_of(message.pieces).strip()
        mixed = any(isinstance(piece, Content) for piece in message.pieces)
        if mixed or own in text or not message.required:
            continue
        # Some templates take words out on purpose (`/no_think`): only the ends must be there.
        ends = [f"ets{secrets.token_hex(8)}x" for _ in range(2)]
        said = [{"role": m.role, "content": text_of(m.pieces)} for m in messages]
        said[at]["content"] = f"{ends[0]}{own}{ends[1]}"
        probe = _apply(tokenizer, said, name, options)
        if not all(end in probe for end in ends):
            raise EngineError(
                f"the chat template of {name!r} leaves out a part of the {message.role}'s message "
                f"{own[:60]!r}"
            )
