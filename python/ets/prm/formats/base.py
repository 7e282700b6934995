"""What a PRM format must say: what the model reads, and where and how its verdict is read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from ets.dialogue import Role, Turn
from ets.errors import ContextError
from ets.loop.workers import Threads
from ets.prm.checkpoint import Checkpoint
from ets.prm.formats.kept_parts import KeptParts, Parts, Section
from ets.step import Prefix

if TYPE_CHECKING:
    import torch

_AT_ONCE = 2048
"""Characters that are tokenised on the caller's event loop: 2 ms of it."""


class PRMFormat(ABC):
    """How one family of PRMs is prompted and read.

    The ids of a solution end where the verdict on its last step stands, so that what a longer
    solution begins with is computed already. Steps are read with the white space around them
    stripped, unless the format says otherwise; those without text are left out: such a step scores
    as the solution before it.

    Problem, steps and what was said before are text: whatever they say, no control token and no
    tag comes of it.

    What is read is made of sections whose ids do not depend on each other, where the format has
    places at which any text may be cut; so each is tokenised once.

    A subclass takes its options as keyword arguments after the checkpoint.

    Safe to use from several threads.
    """

    name: ClassVar[str]
    """What `format=` calls it."""
    models: ClassVar[str]
    """The PRMs that are read so, for error messages and docs."""
    classes_of_two: ClassVar[bool] = False
    """Whether the model itself ends in a softmax over (bad, good)."""
    keeps_space: ClassVar[bool] = False
    """Whether steps are read with the white space around them, blank ones included."""
    reads_before: ClassVar[tuple[Role, ...]] = ()
    """Whose messages are read, where the problem ends a dialogue; of others the problem alone."""
    not_on_vllm: ClassVar[str | None] = None
    """Why vLLM cannot run these models, and what can; None where it does."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self.max_length = checkpoint.max_length
        """Tokens that the model can read."""
        self._kept = KeptParts(self._encode_section)
        self._threads = Threads("ets-prm-text", 1)

    @classmethod
    @abstractmethod
    def recognises(cls, checkpoint: Checkpoint) -> bool:
        """Whether config and name say that a checkpoint is read so."""

    @abstractmethod
    def head(self) -> torch.nn.Module:
        """What makes a reward of the last hidden state, one of `ets.prm.heads`, in float32.

        # Errors
        `EngineError` if the checkpoint lacks the weights that it takes.
        """

    @property
    @abstractmethod
    def head_weights(self) -> frozenset[str]:
        """The names of the tensors beside the backbone's."""

    def ids(self, prefix: Prefix) -> tuple[int, ...] | None:
        """What the PRM reads; its verdict on the last step stands at the last id.

        None if no step holds any text: there is nothing to judge, the reward is 0.

        # Errors
        `ContextError` if the solution is longer than the model's context.
        """
        return joined(self.parts(prefix))

    @property
    def own_tokens(self) -> int:
        """Tokens of what is read beside problem and steps: system message, examples, turns."""
        return sum(map(len, self._encode("1", ["1"], ())))

    def parts(self, prefix: Prefix) -> Parts | None:
        """The same, cut at the places up to which other solutions may begin alike."""
        steps = self._texts(prefix)
        if not steps:
            return None
        parts = self._encode(prefix.problem, steps, self._before(prefix))
        length = sum(map(len, parts))
        if length > self.max_length:
            raise ContextError(
                f"a solution of {length} tokens is too long for {self.checkpoint.name!r}, "
                f"which reads at most {self.max_length} tokens"
            )
        return parts

    async def read(self, prefix: Prefix) -> Parts | None:
        """As `parts`; what takes longer to tokenise is not done on the caller's event loop."""
        steps = self._texts(prefix)
        sections = self._sections(prefix.problem, steps, self._before(prefix)) if steps else []
        if self._kept.missing(sections) > _AT_ONCE:
            return await self._threads.run(self.parts, prefix)
        return self.parts(prefix)

    def _texts(self, prefix: Prefix) -> list[str]:
        """The steps as they are read; none if there is nothing to judge."""
        stripped = [text for step in prefix.steps if (text := step.text.strip())]
        return [step.text for step in prefix.steps] if stripped and self.keeps_space else stripped

    def _before(self, prefix: Prefix) -> tuple[Turn, ...]:
        """What is read of what was said before the problem."""
        return tuple(turn for turn in prefix.before if turn.role in self.reads_before)

    def _encode(self, problem: str, steps: list[str], before: tuple[Turn, ...]) -> Parts:
        """The parts for steps of which one at least holds text."""
        parts = []
        for section in self._sections(problem, steps, before):
            kept = self._kept.of(section)
            if kept is None:
                return self._encode_whole(problem, steps)
            parts += kept
        return parts

    @abstractmethod
    def _sections(self, problem: str, steps: list[str], before: tuple[Turn, ...]) -> list[Section]:
        """What is tokenised apart; one section, where nothing may be."""

    @abstractmethod
    def _encode_section(self, section: Section) -> Parts | None:
        """Its parts; None if this one must not be cut off from the others."""

    def _encode_whole(self, problem: str, steps: list[str]) -> Parts:
        """The parts, tokenised as one text; for formats whose sections may be None."""
        raise NotImplementedError


def joined(parts: Parts | None) -> tuple[int, ...] | None:
    """The ids of parts."""
    return None if parts is None else tuple(token for part in parts for token in part)
