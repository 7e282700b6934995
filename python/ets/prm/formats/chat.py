"""What the formats share that read a chat model's answer to a question about a step."""

from __future__ import annotations

from ets.errors import EngineError
from ets.prm.checkpoint import Checkpoint


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
