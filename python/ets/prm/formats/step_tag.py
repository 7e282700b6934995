"""What the formats share whose steps end with the letters ки."""

from __future__ import annotations

from ets.errors import EngineError
from ets.prm.checkpoint import Checkpoint
from ets.prm.formats.base import PRMFormat
from ets.prm.formats.cut import encode_cut

STEP_TAG = "ки"


class StepTagFormat(PRMFormat):
    """Plain text: the problem, then `Step 1: ... ки`, a line break, `Step 2: ... ки` and so on.

    Without the space in front of it the tag is another token, which the model was never asked at.
    The text is encoded as a whole, with what the tokenizer puts in front of it.
    """

    def __init__(self, checkpoint: Checkpoint, *, after_problem: str) -> None:
        super().__init__(checkpoint)
        self._after_problem = after_problem
        encoded = checkpoint.tokenizer.encode(f"1 {STEP_TAG}", add_special_tokens=False)
        self.tag_id: int = encoded[-1]
        """Id of the step tag behind a space."""
        if checkpoint.tokenizer.decode([self.tag_id]).strip() != STEP_TAG:
            raise EngineError(
                f"{checkpoint.name!r} is no {self.name} PRM: its tokenizer has no token {STEP_TAG}"
            )

    def text(self, problem: str, steps: list[str]) -> str:
        """What the model reads."""
        return self._texts(problem, steps)[0]

    def _texts(self, problem: str, steps: list[str]) -> tuple[str, list[int]]:
        text = problem + self._after_problem
        cuts = [len(text)]
        for number, step in enumerate(steps, 1):
            text += ("\n" if number > 1 else "") + f"{_numbered(step, number)} {STEP_TAG}"
            cuts.append(len(text))
        return text, cuts

    def _encode(self, problem: str, steps: list[str]) -> list[tuple[int, ...]]:
        text, cuts = self._texts(problem, steps)
        parts = encode_cut(
            self.checkpoint.tokenizer,
            text,
            cuts,
            name=self.checkpoint.name,
            special_tokens=True,
        )
        for number, part in enumerate(parts[1:], 1):
            if not part or part[-1] != self.tag_id:
                raise EngineError(
                    f"the step tag {STEP_TAG} behind step {number} is no token of its own "
                    f"in the tokenizer of {self.checkpoint.name!r}"
                )
        return parts


def _numbered(step: str, number: int) -> str:
    """The step as it stands between its number and its tag, which a policy may have written."""
    step = step.removesuffix(STEP_TAG).rstrip()
    return step if step.startswith(f"Step {number}:") else f"Step {number}: {step}"
