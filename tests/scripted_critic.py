"""A critic that says what a test wants; its tokens are characters. No model runs here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ets.certainty import Certainty
from ets.dialogue import Dialogue
from ets.step import Prefix, Step


class CharacterPrompt:
    """Ids are characters."""

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(map(chr, ids))


def ids_of(text: str) -> tuple[int, ...]:
    return tuple(map(ord, text))


@dataclass
class ScriptedCritic:
    """Writes `say(asked, seed)` up to `delimiter`; each character has the log-probability -0.5.

    `behind` is said to what it is made to ask.
    """

    say: Callable[[Dialogue, int], str]
    delimiter: str = "Verdict:"
    behind: str = " Yes."
    certain: bool = True
    prompt: CharacterPrompt = field(default_factory=CharacterPrompt)
    asked: list[Dialogue] = field(default_factory=list)
    made: list[str] = field(default_factory=list)
    limits: list[int] = field(default_factory=list)
    running: int = 0
    closed: int = 0
    wait: asyncio.Event | None = None

    def start(self, problem: str) -> Prefix:
        return self.start_dialogue(Dialogue((), problem))

    def start_dialogue(self, dialogue: Dialogue) -> Prefix:
        self.asked.append(dialogue)
        text = "".join(turn.content for turn in dialogue.turns)
        return Prefix(dialogue.problem, len(text), ids_of(text))

    def reread(self, prefix: Prefix, text: str) -> Step:
        self.made.append(text)
        return Step(text, ids_of(text), "step")

    async def sample(self, prefix: Prefix, *, seed: int, max_tokens: int) -> Step:
        self.limits.append(max_tokens)
        self.running += 1
        try:
            if self.wait is not None:
                await self.wait.wait()
        finally:
            self.running -= 1
        written = "".join(step.text for step in prefix.steps)
        if written.endswith(self.delimiter):
            text = self.behind[:max_tokens]
        else:
            whole = self.say(self.asked[-1], seed)
            stop = whole.find(self.delimiter)
            text = whole[: stop + len(self.delimiter)] if stop >= 0 else whole
            text = text[:max_tokens]
        finish = "step" if text.endswith(self.delimiter) else "end"
        if len(text) == max_tokens:
            finish = "length"
        certainty = Certainty.of([-0.5] * len(text), [[-0.5]] * len(text), 256)
        return Step(
            text,
            ids_of(text),
            finish,  # type: ignore[arg-type]
            prompt_tokens=len(prefix.token_ids),
            cached_tokens=1,
            certainty=certainty if self.certain else None,
        )

    async def aclose(self) -> None:
        self.closed += 1
