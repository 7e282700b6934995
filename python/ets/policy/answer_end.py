"""Whether a step ends its solution: an answer marker with an answer behind it.

A marker alone says little. `#### Step 1` is a heading, `whether the answer is correct` a thought,
`\\boxed{}` an instruction repeated. So a marker counts only where an answer stands behind it that
`ets.answer.extract_answer` would take, and that looks like one: a solution that is ended early is
lost, one that is not goes on to its end of sequence.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ets.answer import extract_answer, reads_as_answer

ANSWER_MARKERS = ("The answer is", "the answer is", "\\boxed{", "####")
"""What a policy without a chat template is looked at for."""
BOX_MARKERS = ("\\boxed{",)
"""With a chat template: such a model ends its sequence by itself, and a box is meant."""

_HEDGE = re.compile(
    r"\b(?:whether|if|unless|until|once|when|suppose|assume|assuming|maybe|perhaps)\b[^.!?\n]*$",
    re.IGNORECASE,
)
_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{")
_BARE_BOX = re.compile(r"\\(?:boxed|fbox)[ \t]+([^\s$\\{}]+)(.?)", re.DOTALL)
_EMPTY = re.compile(
    r"\\(?:boxed|fbox|text|mathrm|mathbf|textbf|hspace|phantom)\b|\\(?:[lcv]?dots|q?quad|underline)\b"
    r"|\\[,;:! ]|[\s{}~$_.?*\u2026]+"
)
"""What may stand in a box that holds nothing yet."""
_PLACEHOLDERS = ("answer", "youranswer", "finalanswer", "theanswer", "yourfinalanswer")
_LAST_LINE = re.compile(r"####(?!#)[ \t]*(\S.*)")


def holds_answer(text: str, markers: Sequence[str], *, cut: bool = False) -> bool:
    """Whether a step's text holds one of `markers` with its answer.

    - A box (`\\boxed{`, for which `\\fbox{` and `\\boxed 7` stand too) must hold something.
    - `####` must begin the last line, and a short answer be the rest of it.
    - Behind `the answer is` a number, mathematics, an option, or a word that is an answer must
      follow, in a sentence that neither asks nor hedges.
    - Any other marker that ends in an opening brace needs its closing one and something between,
      and any other at all a letter or digit after it.

    In a step that is `cut` at its token limit white space must follow the answer: `The answer is 1`
    may be the first half of 12, and the next step will write the rest.
    """
    return any(
        _holds(text, marker, cut)
        and (marker not in ANSWER_MARKERS or extract_answer(text) is not None)
        for marker in markers
    )


def _holds(text: str, marker: str, cut: bool) -> bool:
    if marker == "\\boxed{":
        return any(_filled(text[m.end() :]) for m in _BOX.finditer(text)) or any(
            _says_something(m[1]) and not (cut and m[2] == "") for m in _BARE_BOX.finditer(text)
        )
    if marker == "####":
        return _last_line(text, cut)
    for match in re.finditer(re.escape(marker), text):
        before, rest = text[: match.start()], text[match.end() :]
        if marker.endswith("{"):
            found = _filled(rest)
        elif marker.lower().endswith("answer is"):
            found = reads_as_answer(rest) and _HEDGE.search(before) is None
        else:
            found = re.match(r"\W*\w", rest) is not None
        if found and not (cut and not marker.endswith("{") and not re.match(r"\W*\w\S*\s", rest)):
            return True
    return False


def _last_line(text: str, cut: bool) -> bool:
    if cut and text[-1:].strip():
        return False
    lines = text.strip().splitlines()
    match = _LAST_LINE.fullmatch(lines[-1].strip()) if lines else None
    return match is not None and reads_as_answer(match[1], whole=True)


def _filled(text: str) -> bool:
    """Whether the brace opened just before `text` is closed in it, around something."""
    depth = 1
    for at, char in enumerate(text):
        depth += (char == "{") - (char == "}")
        if depth == 0:
            return _says_something(text[:at])
    return False


def _says_something(content: str) -> bool:
    bare = _EMPTY.sub("", content)
    return re.search(r"\w", bare) is not None and bare.lower() not in _PLACEHOLDERS
