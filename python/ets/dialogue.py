"""What a search is given: a problem's text, or a dialogue whose last turn is the problem."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from ets.checks import check_choice, check_text, shown
from ets.errors import InputError
from ets.pickled import Record

Role = Literal["system", "user", "assistant"]
Messages: TypeAlias = Sequence[Mapping[str, Any]]
"""Messages in OpenAI's form: each a `role` and a `content` of text."""


@dataclass(frozen=True, slots=True)
class Turn(Record):
    """One message of a dialogue."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Dialogue(Record):
    """A problem that a user poses at the end of a dialogue."""

    before: tuple[Turn, ...]
    """What was said before, the first first; only that one may be a system message."""
    problem: str
    """The last message, a user's."""

    @classmethod
    def of(cls, name: str, messages: object) -> Dialogue:
        """Messages, checked; `name` is what errors call them.

        Each has a `role` (`system`, `user`, `assistant`) and a `content` of text. Other fields are
        refused, unless they are null or an empty list and so say nothing.

        # Errors
        `InputError` for anything else, for an empty list, a system message behind the first
        message, and a last message that is not a user's or is empty.
        """
        if not isinstance(messages, Sequence) or isinstance(messages, str | bytes | bytearray):
            raise InputError(f"{name} must be a list of messages, got {shown(messages)}")
        if not messages:
            raise InputError(f"{name} must not be empty: the last message is the problem")
        turns = tuple(_turn(f"{name}[{at}]", message) for at, message in enumerate(messages))
        for at, turn in enumerate(turns[1:], 1):
            if turn.role == "system":
                raise InputError(
                    f"{name}[{at}].role must not be 'system': only the first message's may be"
                )
        *before, last = turns
        where = f"{name}[{len(before)}]"
        if last.role != "user":
            raise InputError(
                f"{where}.role must be 'user', as the last message is the problem, got "
                f"{last.role!r}"
            )
        if not last.content.strip():
            raise InputError(f"{where}.content must not be empty: it is the problem")
        return cls(tuple(before), last.content)

    @property
    def turns(self) -> tuple[Turn, ...]:
        """All of it."""
        return (*self.before, Turn("user", self.problem))

    @property
    def messages(self) -> list[dict[str, str]]:
        """The same in OpenAI's form."""
        return [{"role": turn.role, "content": turn.content} for turn in self.turns]


Posed: TypeAlias = str | Dialogue
"""What a search is given."""


def posed(name: str, given: object) -> Posed:
    """A problem's text, or the dialogue of a list of messages; `name` is what errors call it.

    # Errors
    `InputError` for what is neither, and as those of `Dialogue.of`.
    """
    if isinstance(given, Dialogue):  # which anybody can have made
        return Dialogue.of(name, given.messages)
    if isinstance(given, Sequence) and not isinstance(given, str | bytes | bytearray):
        if given and isinstance(given[0], str):
            raise InputError(
                f"{name} must be a text or a list of messages, got {shown(given)}; ets.Search.map "
                "takes several problems"
            )
        return Dialogue.of(name, given)
    alone = ", even of one" if isinstance(given, Mapping) else ""
    check_text(name, given, f" or a list of messages{alone}")
    return str(given)


def transcript(posed: Posed) -> str:
    """All of it as text for people; of a problem alone its text."""
    if isinstance(posed, str) or not posed.before:
        return parted(posed)[1]
    return "\n\n".join(f"{turn.role.capitalize()}: {turn.content}" for turn in posed.turns)


def parted(posed: Posed) -> tuple[tuple[Turn, ...], str]:
    """What was said before a problem, and the problem's text."""
    return ((), posed) if isinstance(posed, str) else (posed.before, posed.problem)


def mapped(posed: Posed, change: Callable[[str], str]) -> Posed:
    """The same with every text changed."""
    if isinstance(posed, str):
        return change(posed)
    before = tuple(Turn(turn.role, change(turn.content)) for turn in posed.before)
    return Dialogue(before, change(posed.problem))


def _turn(name: str, message: object) -> Turn:
    if not isinstance(message, Mapping):
        raise InputError(f"{name} must be a message with role and content, got {shown(message)}")
    for field, value in message.items():
        says_nothing = value is None or (isinstance(value, list) and not value)
        if field not in ("role", "content") and not says_nothing:
            raise InputError(
                f"{name}.{str(field)[:40]} cannot be taken, got {shown(value)}: a message is a "
                "role and a text"
            )
    role: Any = message.get("role")
    content: Any = message.get("content")
    check_choice(f"{name}.role", role, Role)
    if isinstance(content, list | tuple):
        kinds = [part.get("type") if isinstance(part, Mapping) else part for part in content]
        raise InputError(
            f"{name}.content must be a text, got parts of the types {shown(kinds)}: images, files "
            "and the like cannot be taken, and texts must be joined"
        )
    check_text(f"{name}.content", content)
    return Turn(role, content)
