r"""Boxes: which `\boxed{...}` of a text holds its answer, and what around it belongs to that."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ets.answer.reading import read

_TOKEN = re.compile(r"\\(?:boxed|fbox)\s*\{|\\.|[{}]", re.DOTALL)
_BARE = re.compile(
    r"\\(?:boxed|fbox)(?:[ \t]+|(?=\d))((?:[-+]?(?:\d|\.\d)[^\s${}\\]*)"
    r"|[-+]?\\[a-zA-Z]+(?:\{[^{}]*\})+|\$[^$\n]+\$)"
)
_NOTHING = re.compile(
    r"(?:\\(?:text|mathrm|mathbf|textbf)\s*\{\s*\}|\\(?:hspace|[hv]?phantom)\*?\s*\{[^{}]*\}|\\(?:[lcv]?dots|q?quad)\b"
    r"|\\[,;:! ]|\.{2,}|\u2026|\?+|_{2,}|(?:\\_)+|\\(?:square|Box)|\s)*"
)
_PLACEHOLDER = re.compile(
    r"(?:\\text\s*\{)?\s*[(\[<]?(?:(?:insert|put|write) )?(?:(?:your|the) )?(?:final )?"
    r"(?:answer|result|number)(?: here)?[)\]>]?\s*\}?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Box:
    """Where a box and its content begin and end."""

    begin: int
    content: int
    stop: int
    end: int


def boxes(text: str) -> tuple[list[Box], bool]:
    """The outermost boxes that close around something, and whether one is left open at the end.

    Linear: each opening and closing brace is looked at once.
    """
    found: list[Box] = []
    inner: dict[int, Box] = {}
    stack: list[tuple[int, int] | None] = []  # of each open brace, the box that it opens
    for token in _TOKEN.finditer(text):
        sign = token[0]
        if len(sign) > 2:
            stack.append((token.start(), token.end()))
        elif sign == "{":
            stack.append(None)
        elif sign == "}" and stack and (opened := stack.pop()) is not None:
            box = Box(opened[0], opened[1], token.start(), token.end())
            while found and found[-1].begin > box.begin:
                found.pop()
            inner[box.begin] = box
            found.append(box)
    filled = [peeled for box in found if (peeled := _peel(text, box, inner)) is not None]
    return filled, any(opened is not None for opened in stack)


def _peel(text: str, box: Box, inner: dict[int, Box]) -> Box | None:
    """The box with the content of the innermost of boxes in boxes; None if that is nothing."""
    begin, stop = box.content, box.stop
    while True:
        while begin < stop and text[begin].isspace():
            begin += 1
        while begin < stop and text[stop - 1].isspace():
            stop -= 1
        nested = inner.get(begin)
        if nested is None or nested.end != stop:
            break
        begin, stop = nested.content, nested.stop
    if begin == stop or (stop - begin < 80 and _says_nothing(text[begin:stop])):
        return None
    return Box(box.begin, begin, stop, box.end)


def _says_nothing(content: str) -> bool:
    return bool(_NOTHING.fullmatch(content) or _PLACEHOLDER.fullmatch(content))


def bare_box(text: str) -> str | None:
    r"""What the last box without braces holds, where that is mathematics: `\boxed 12`."""
    found = _BARE.findall(text)
    return found[-1].rstrip(".,;:") if found else None


_JOIN = re.compile(
    r"(?:[ \t$]|\\[()\[\],;! ]|\\q?quad\b|\\text\s*\{\s*(?:and|or)?\s*\}|,|;|&|\band\b|\bor\b"
    r"|\\?[a-zA-Z](?:_\{?\w\}?)?[ \t]*=)*"
)
_JOINER = re.compile(r"[,;&]|\band\b|\bor\b")
_LONGEST_JOIN = 40


def boxed(text: str) -> str | None:
    """What the last box says, with the sign, factor or fraction that stands around it.

    Boxes that a comma, `and` or `or` joins in one sentence are one list.
    """
    found, _ = boxes(text)
    if not found:
        return bare_box(text)
    joined = [found[-1]]
    for box in reversed(found[:-1]):
        between = (
            text[box.end : joined[0].begin] if joined[0].begin - box.end <= _LONGEST_JOIN else "."
        )
        if not (_JOIN.fullmatch(between) and _JOINER.search(between)):
            break
        joined.insert(0, box)
    if len(joined) > 1:
        contents = [text[box.content : box.stop].strip() for box in joined]
        # The same in two forms is one answer, in the later of them.
        return ", ".join({read(content).key or content: content for content in contents}.values())
    return _around(text, found)


_REACH = 200
_SIGN_BEFORE = re.compile(r"(?:^|=\s*|:\s*|[A-Za-z]{2}\s+)-\s?$")
_SPAN_BEGIN = re.compile(r"\$|\\\(|\\\[|\n")
_SPAN_END = re.compile(r"\$|\\\)|\\\]|\n")
_RELATION = re.compile(
    r"\\(?:in|approx|equiv|sim|le|ge|leq|geq|Rightarrow|implies|to|text|mbox|quad|qquad)(?![a-zA-Z])|\\\\"
    r"|[=<>&,;:]"
)
_NUM = r"(?:\d[\d.]*|\\pi(?![a-z])|\0)"
_LEFT = re.compile(
    rf"\s*(?:[-+]|\\[pm]{{2}}(?![a-z]))?\s*(?:{_NUM}\s*(?:/|\\cdot|\\times)?\s*|\\[dt]?frac\s*(?:\{{{_NUM}\}}\s*)?\{{\s*"
    rf"|\\sqrt\s*\{{\s*|\(\s*)*"
)
_RIGHT = re.compile(
    rf"(?:\}}|\)|\{{\s*{_NUM}\s*\}}|\^\s*(?:\{{-?\d+\}}|\d)|/\s*{_NUM}|\\pi(?![a-z])|\\sqrt\s*\{{\d+\}}|!|\s)*"
)


def _around(text: str, found: list[Box]) -> str:
    last = found[-1]
    content = text[last.content : last.stop]
    left_from = max(0, last.begin - _REACH)
    left = text[left_from : last.begin]
    right = text[last.end : last.end + _REACH]
    opened = list(_SPAN_BEGIN.finditer(left))
    closed = _SPAN_END.search(right)
    in_span = bool(opened) and closed is not None and "\n" not in (opened[-1][0], closed[0])
    begin = opened[-1].end() if opened else 0
    right = right[: closed.start()] if closed is not None else right
    if not in_span:
        return ("-" if _SIGN_BEFORE.search(left) else "") + content
    siblings = [box for box in found[:-1] if box.begin >= left_from + begin]
    pieces, at = [], left_from + begin
    for box in siblings:
        pieces += [text[at : box.begin], "\0"]
        at = box.end
    left = "".join([*pieces, text[at : last.begin]])
    relations = list(_RELATION.finditer(left))
    left = left[relations[-1].end() :] if relations else left
    relation = _RELATION.search(right)
    right = right[: relation.start()] if relation is not None else right
    right = right.rstrip().rstrip(".").rstrip()
    if not (left.strip() or right.strip()) or not (
        _LEFT.fullmatch(left) and _RIGHT.fullmatch(right)
    ):
        return content
    whole = (
        f"{left}{{{content}}}{right}"
        if _raised(right) and len(content) > 1
        else left + content + right
    )
    if whole.count("{") != whole.count("}") or whole.count("(") != whole.count(")"):
        return content
    fill = iter(text[box.content : box.stop] for box in siblings[-left.count("\0") :])
    return re.sub("\0", lambda _: next(fill, ""), whole).strip()


def _raised(right: str) -> bool:
    return right.lstrip().startswith("^")
