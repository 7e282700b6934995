"""What the formats share whose steps end with the letters ки."""

from __future__ import annotations

from ets.checkpoint.content_encoder import ContentEncoder
from ets.checkpoint.pieces import Content, Piece, Tag, text_of
from ets.dialogue import Turn
from ets.errors import EngineError
from ets.prm.checkpoint import Checkpoint
from ets.prm.formats.base import PRMFormat
from ets.prm.formats.kept_parts import Parts, Section

STEP_TAG = "ки"


class StepTagFormat(PRMFormat):
    """Plain text: the problem, then `Step 1: ... ки`, a line break, `Step 2: ... ки` and so on.

    Without the space in front of it the tag is another token, which the model was never asked at.
    The text is encoded as a whole, with what the tokenizer puts in front of it. Where a problem or
    a step writes the tag, it is encoded as its two letters.

    Where no token of the vocabulary reaches over a line break, as in all of Llama 2's and Mistral's
    kind, the text is cut in front of the steps' and each step encoded once.
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
        self._encoder = ContentEncoder(
            checkpoint.tokenizer, name=checkpoint.name, forbidden=(self.tag_id,)
        )

    def text(self, problem: str, steps: list[str]) -> str:
        """What the model reads."""
        return text_of(self._pieces(problem, steps)[0])

    def _sections(self, problem: str, steps: list[str], before: tuple[Turn, ...]) -> list[Section]:
        if not self._encoder.line_breaks_cut:
            return [(1, problem, *steps)]
        later = ((number, step) for number, step in enumerate(steps[1:], 2))
        return [(1, problem, steps[0]), *later]

    def _encode_section(self, section: Section) -> Parts | None:
        first, *texts = section
        if first == 1:
            problem, *steps = map(str, texts)
            if len(steps) > 1:  # the whole
                return self._encode_whole(problem, steps)
            pieces, cuts = self._pieces(problem, steps)
            encoded = self._encoder.encode_apart(pieces, special_tokens=True)
            return None if encoded is None else encoded.parts(cuts)
        encoded = self._encoder.encode_apart(self._step(int(first), str(texts[0])), behind="\n")
        return None if encoded is None else [encoded.ids]

    def _encode_whole(self, problem: str, steps: list[str]) -> Parts:
        pieces, cuts = self._pieces(problem, steps)
        return self._encoder.encode(pieces, special_tokens=True).parts(cuts)

    def _pieces(self, problem: str, steps: list[str]) -> tuple[list[Piece], list[int]]:
        pieces: list[Piece] = [Content(problem), self._after_problem]
        cuts = [len(text_of(pieces))]
        for number, step in enumerate(steps, 1):
            added = self._step(number, step)
            pieces += added
            cuts.append(cuts[-1] + len(text_of(added)))
        return pieces, cuts

    def _step(self, number: int, step: str) -> list[Piece]:
        said = step.removesuffix(STEP_TAG).rstrip()  # which a policy may have written
        label = f"Step {number}:"
        pieces: list[Piece] = ["\n" if number > 1 else ""]
        if not said.startswith(label):
            pieces.append(f"{label} ")
        return [*pieces, Content(said), Tag(f" {STEP_TAG}", self.tag_id)]
