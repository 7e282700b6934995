"""From the messages of a request to what is searched."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ets.dialogue import Dialogue, Posed
from ets.errors import InputError
from ets.serve.chat import ChatMessage
from ets.serve.refusal import Refusal


def problem_of(messages: Sequence[ChatMessage], most: int, field: str) -> Posed:
    """The dialogue that ends in the problem, the user's message; of that alone its text.

    A developer message is what a system message was before.

    # Errors
    `Refusal` 400 that names the message.
    """
    if len(messages) > most:
        raise Refusal(
            400,
            f"{field} must be at most {most}, got {len(messages)}",
            param=field,
            code="above_limit",
        )
    given = [
        {
            "role": "system" if message.role == "developer" else message.role,
            "content": message.text,
        }
        for message in messages
    ]
    try:
        dialogue = Dialogue.of(field, given)
    except InputError as error:
        named = re.match(r"[\w\[\].]+", str(error))
        where = field if named is None else named[0]
        raise Refusal(400, str(error), param=where, code="invalid_value") from error
    return dialogue if dialogue.before else dialogue.problem
