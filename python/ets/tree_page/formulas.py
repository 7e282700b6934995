"""The formulas in texts that models write: where they stand, each converted once."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator

from ets.tree_page.mathml import MOST_LETTERS, Convert, MathML, mathml

_TOKEN = re.compile(
    r"\\(?:begin|end)\{[A-Za-z]+\*?\}|\\boxed ?\{|\\.|\$\$|\$|[{}]|\n[ \t]*\n", re.DOTALL
)
_CLOSING = {r"\(": r"\)", r"\[": r"\]", "$$": "$$"}
_ENVIRONMENT = re.compile(r"(?:equation|align|gather|multline|aligned|gathered|split)\*?")
"""Those that are formulas without any sign around them."""
_PROSE = re.compile(r"(?<![A-Za-z\\])[A-Za-z]{2,}[,;]?\s+[A-Za-z]{2,}")
_TEXT = re.compile(r"\\(?:text|mbox|mathrm|textbf|operatorname)\w*\s*\{[^{}]*\}|\\[A-Za-z]+")
_WRITTEN_AS = re.compile(r"[\\^]|_\{")
"""What makes an answer's text a formula."""
_MOST_LETTERS = 1_000_000
"""Of all formulas of a page together; those beyond it stay as they were written."""


def formula_spans(text: str) -> Iterator[tuple[int, int, str, bool]]:
    r"""Begin, end, LaTeX, and whether it stands on lines of its own, of each formula in a text.

    `\(x\)`, `\[x\]`, `$$x$$`, `\boxed{x}`, `\begin{align}x\end{align}` and the like, and `$x$` as
    Pandoc reads it: no space inside its signs, no digit behind the second, and no sentence between
    them, so that sums of money are none. What is not closed is none. Linear in the text.
    """
    tokens = _Tokens(text)
    at = 0
    while at < len(tokens.found):
        last = tokens.closing(at)
        begin = tokens.found[at].start()
        if last is None or (end := tokens.found[last].end()) - begin > MOST_LETTERS + 4:
            at += 1
            continue
        kind = tokens.found[at][0]
        inside = text[tokens.found[at].end() : tokens.found[last].start()]
        latex = text[begin:end] if kind.startswith(("\\begin", "\\boxed")) else inside
        if latex.strip():
            yield begin, end, latex, kind in ("$$", r"\[") or kind.startswith("\\begin")
        at = last + 1


class _Tokens:
    """What may begin or end a formula in a text, and which belongs to which."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.found = list(_TOKEN.finditer(text))
        self._places: dict[str, list[int]] = {}
        self._braces: dict[int, int] = {}
        opened: list[int] = []
        for at, token in enumerate(self.found):
            kind = token[0]
            if kind.endswith("{"):
                opened.append(at)
            elif kind == "}" and opened:
                self._braces[opened.pop()] = at
            self._places.setdefault("\n" if kind[0] == "\n" else kind, []).append(at)

    def closing(self, at: int) -> int | None:
        """The number of the token that ends the formula which token `at` begins; None without."""
        kind = self.found[at][0]
        if kind in _CLOSING:
            return self._following(_CLOSING[kind], at)
        if kind == "$":
            last = self._following("$", at)
            return last if last is not None and self._inline(at, last) else None
        if kind.startswith(r"\boxed"):
            return self._braces.get(at)
        if kind.startswith(r"\begin") and _ENVIRONMENT.fullmatch(kind[7:-1]):
            return self._following(rf"\end{{{kind[7:-1]}}}", at)
        return None

    def _following(self, kind: str, at: int) -> int | None:
        places = self._places.get(kind, [])
        place = bisect_right(places, at)
        return places[place] if place < len(places) else None

    def _inline(self, at: int, last: int) -> bool:
        """Whether a formula stands between two single signs."""
        for kind in ("\n", "$$"):
            between = self._following(kind, at)
            if between is not None and between < last:
                return False
        begin, end = self.found[at].end(), self.found[last].start()
        inside = self._text[begin:end]
        return (
            bool(inside)
            and not inside[0].isspace()
            and not inside[-1].isspace()
            and not self._text[end + 1 : end + 2].isdigit()
            and _PROSE.search(_TEXT.sub(" ", inside)) is None
        )


class Formulas:
    """The table of a page's formulas; texts refer to it by number."""

    def __init__(self, convert: Convert = mathml) -> None:
        self._convert = convert
        self._numbers: dict[tuple[str, bool], int | None] = {}
        self._new: list[MathML] = []
        self._count = 0
        self._letters = 0

    def new(self) -> list[MathML]:
        """Those that came since this was asked last, in the order of their numbers."""
        found, self._new = self._new, []
        return found

    def spans(self, text: str | None) -> list[int] | None:
        """Begin, end and number of each formula, one behind the other; None where there is none.

        Begin and end as JavaScript counts, in units of UTF-16.
        """
        if not text or ("$" not in text and "\\" not in text):
            return None
        wide = max(text) > "\uffff"
        found: list[int] = []
        for begin, end, latex, display in formula_spans(text):
            if (number := self._number(latex, display)) is not None:
                found += (
                    [_units(text, begin), _units(text, end), number]
                    if wide
                    else [begin, end, number]
                )
        return found or None

    def answer(self, answer: str) -> int | None:
        """The number of an answer that is written as a formula, without signs around it."""
        return self._number(answer, False) if _WRITTEN_AS.search(answer) else None

    def _number(self, latex: str, display: bool) -> int | None:
        key = (latex, display)
        if key not in self._numbers:
            self._letters += len(latex)
            made = self._convert(latex, display=display) if self._letters <= _MOST_LETTERS else None
            self._numbers[key] = None if made is None else self._count
            if made is not None:
                self._count += 1
                self._new.append(made)
        return self._numbers[key]


def _units(text: str, end: int) -> int:
    return len(text[:end].encode("utf-16-le", "surrogatepass")) // 2
