"""From messages to what is searched."""

from __future__ import annotations

from collections.abc import Sequence

from ets.serve.chat import ChatMessage
from ets.serve.refusal import Refusal


def problem_of(messages: Sequence[ChatMessage], most: int, field: str) -> str:
    """The problem, which is the last message, the user's.

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
    at = len(messages) - 1
    for index, message in enumerate(messages[:-1]):
        raise Refusal(
            400,
            f"{field}[{index}] must not be there, a {message.role} message: the problem is one "
            "user message",
            param=f"{field}[{index}]",
            code="unsupported_value",
        )
    if messages[at].role != "user" or not messages[at].text.strip():
        raise Refusal(
            400,
            f"{field}[{at}] must be the user's, with a text: it is the problem",
            param=f"{field}[{at}]",
            code="invalid_value",
        )
    return messages[at].text
