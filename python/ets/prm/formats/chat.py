"""What the formats share that read a chat model's answer to a question about a step."""

from __future__ import annotations

from ets.errors import EngineError
from ets.prm.checkpoint import Checkpoint

_DATE = "26 Jul 2024"
"""Llama templates print today's date; a prompt must not change with the calendar."""


def chat_text(checkpoint: Checkpoint, messages: list[dict[str, str]]) -> str:
    """The messages in the checkpoint's chat template, up to where the model's answer begins.

    # Errors
    `EngineError` if there is no template, or it refuses the messages.
    """
    from jinja2 import TemplateError

    tokenizer = checkpoint.tokenizer
    if not tokenizer.chat_template:
        raise EngineError(f"the tokenizer of {checkpoint.name!r} has no chat template")
    try:
        text = tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=False, date_string=_DATE
        )
    except TemplateError as error:
        raise EngineError(
            f"the chat template of {checkpoint.name!r} refuses the PRM's messages: {error}"
        ) from error
    return str(text)


def word_ids(checkpoint: Checkpoint, words: tuple[str, ...]) -> tuple[int, ...]:
    """The ids of those words that are one token each, as the first of an answer.

    # Errors
    `EngineError` if none of them is.
    """
    tokenizer = checkpoint.tokenizer
    found: dict[int, None] = {}
    for word in words:
        ids = tokenizer.encode(word, add_special_tokens=False)
        if len(ids) == 1 and ids[0] != tokenizer.unk_token_id:
            found[ids[0]] = None
    if not found:
        raise EngineError(
            f"none of {', '.join(words)} is a token of {checkpoint.name!r}: it cannot be asked"
        )
    return tuple(found)
