"""How a generative PRM is asked, and where in what it writes its verdict stands.

`thinkprm` is that of launch/ThinkPRM-* (arXiv 2504.16828): the whole solution in one message, a
critique that starts with "Let's verify step by step:", and behind it "Is the solution correct?",
read at yes or no. `genprm` is that of GenPRM/GenPRM-* (arXiv 2504.00891) without its code: each
step is a turn, the critique of the steps before are the assistant's, and the verdict is the yes or
no of `\\boxed{Yes}`. `instruct` is ours, for any instruct model.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from ets.checks import check_flag, check_text, shown
from ets.dialogue import Dialogue, Posed, Turn
from ets.errors import InputError

_BOX = r"\\boxed\{{(?:\\text\{{)?\s*({yes}|{no})\b"
_WORD = r"\b({yes}|{no})\b"


@dataclass(frozen=True, slots=True, kw_only=True)
class CritiqueForm:
    """The texts around a critique, and the rule by which its verdict is read."""

    request: str
    """The user's message: `{problem}` and `{solution}` stand for those."""
    each: str = "Step {number}: {step}"
    """A step of the solution, numbered from 1; there is a line break between two."""
    turns: bool = False
    """Whether each step is a turn of its own, the first behind the problem and a line break, and
    the critiques of the steps before stand between them; `request` and `each` say nothing then."""
    system_prompt: str | None = None
    start: str = ""
    """What the critique is made to begin with; `{number}` is the last step's."""
    end: str = "Verdict:"
    """The text at which the critique is over."""
    ask: str = "Verdict:"
    """What a critique that does not hold it is made to go on with, on a line of its own; the
    verdict is looked for behind it. Empty: in the critique itself."""
    verdict: str = "word"
    """What it looks like: `word`, a yes or no; `box`, a `\\boxed{...}` of one; or a regular
    expression whose one group is a yes or no. Behind `ask` the first counts, else the last."""
    probability: bool = True
    """Whether it counts by the probability p that its tokens had: p for a yes, 1 - p for a no; else
    1 and 0."""
    yes: str = "yes"
    no: str = "no"

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in ("turns", "probability"):
                check_flag(field.name, value)
            elif field.name != "system_prompt" or value is not None:
                check_text(field.name, value)
        for name in ("end", "verdict", "yes", "no"):
            if not getattr(self, name):
                raise InputError(f"{name} must not be empty, got {shown(getattr(self, name))}")
        if not self.turns and not all(part in self.request for part in ("{problem}", "{solution}")):
            raise InputError(
                f"request must hold '{{problem}}' and '{{solution}}', got {shown(self.request)}"
            )
        if self.pattern.groups != 1:
            raise InputError(
                f"verdict must have one group, the yes or no, got {shown(self.verdict)}"
            )

    @property
    def pattern(self) -> re.Pattern[str]:
        """What a verdict looks like.

        # Errors
        `InputError` for a regular expression that is none.
        """
        words = {"yes": re.escape(self.yes), "no": re.escape(self.no)}
        known = {"word": _WORD, "box": _BOX}.get(self.verdict)
        try:
            return re.compile(known.format(**words) if known else self.verdict, re.IGNORECASE)
        except re.error as error:
            raise InputError(
                f"verdict must be word, box or a regular expression, got {shown(self.verdict)}: "
                f"{error}"
            ) from error

    def posed(self, problem: str, steps: Sequence[str], critiques: Sequence[str]) -> Posed:
        """What the critic is given: the last step in question, and `critiques` of those before."""
        before = [] if self.system_prompt is None else [Turn("system", self.system_prompt)]
        if not self.turns:
            numbered = (
                self.each.replace("{number}", str(at)).replace("{step}", step)
                for at, step in enumerate(steps, 1)
            )
            text = _filled(self.request, problem, "\n".join(numbered))
            return Dialogue(tuple(before), text)
        asked = [f"{problem}\n{steps[0]}", *steps[1:]]
        for question, critique in zip(asked[:-1], critiques, strict=True):
            before += [Turn("user", question), Turn("assistant", critique)]
        return Dialogue(tuple(before), asked[-1])

    def find(self, text: str) -> tuple[bool, int, int] | None:
        """The verdict of a critique: whether it is a yes, and where the word stands."""
        if self.ask and self.ask not in text:
            return None
        behind = text.rfind(self.ask) + len(self.ask) if self.ask else 0
        found = None
        for match in self.pattern.finditer(text, behind):
            word = (match.group(1) or "").strip().casefold()
            if word in (self.yes.casefold(), self.no.casefold()):
                found = word == self.yes.casefold(), match.start(1), match.end(1)
                if self.ask:
                    break
        return found


def _filled(template: str, problem: str, solution: str) -> str:
    """Both at once, so that what one of them says is not filled in again."""
    parts = re.split(r"(\{problem\}|\{solution\})", template)
    return "".join({"{problem}": problem, "{solution}": solution}.get(p, p) for p in parts)


FORMS: dict[str, CritiqueForm] = {
    "instruct": CritiqueForm(
        request=(
            "Check the last step of this solution.\n\nProblem: {problem}\n\n{solution}\n\nSay in a "
            "few sentences whether the last step is right: correct in itself, and a sound way on "
            'from the steps before it. End with a line "Verdict: Yes" or "Verdict: No".'
        ),
    ),
    "thinkprm": CritiqueForm(
        request=(
            "You are given a math problem and a proposed step-by-step solution:\n\n[Math Problem]"
            "\n\n{problem}\n\n[Solution]\n\n{solution}\n\nReview and critique each step in the "
            "proposed solution to determine whether each step is correct. If the solution is "
            "incomplete, only verify the provided steps."
        ),
        start="\nLet's verify step by step:",
        end="Is the solution correct?",
        ask="Is the solution correct?",
    ),
    "genprm": CritiqueForm(
        request="",
        turns=True,
        system_prompt=(
            "You are a math teacher. Your task is to review and critique the paragraphs in "
            "solution step by step."
        ),
        start="<analyze>\nLet's analyze the Paragraph {number} step by step: ",
        end="</output>",
        ask="",
        verdict="box",
    ),
}


def form_of(name: object, changes: dict[str, Any]) -> CritiqueForm:
    """A form by its name, with other texts where those are given.

    # Errors
    `InputError` for a form that is not known, and for bad texts.
    """
    if not isinstance(name, str) or name not in FORMS:
        raise InputError(f"form must be one of {sorted(FORMS)}, got {shown(name)}")
    return replace(FORMS[name], **changes)
