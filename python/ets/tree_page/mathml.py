"""One formula's LaTeX as MathML: a tree of known parts, or nothing."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

MathML = list[Any]
"""`[tag, attributes, child, ...]`: attributes are left out where there are none, a child is such a
list or a text. Nothing in it is markup, and every tag and attribute is one of those below."""

MOST_LETTERS = 2000
"""Of a formula."""
_MOST_DEPTH = 40
"""Of braces, and of elements: a browser lays a tree out by recursion."""
_MOST_ELEMENTS = 2000

_TAGS = re.compile(
    "math|mrow|mi|mn|mo|mtext|mspace|mfrac|msqrt|mroot|msub|msup|msubsup|munder|mover|munderover|"
    "mtable|mtr|mtd|mstyle|mpadded|mphantom|menclose|mmultiscripts|mprescripts|none"
)
_WORDS = re.compile(
    "true|false|prefix|infix|postfix|left|center|right|normal|bold|italic|bold-italic|script|"
    "double-struck|fraktur|monospace|sans-serif|block|inline"
)
_WORDED = re.compile(
    "stretchy|fence|form|accent|accentunder|movablelimits|largeop|symmetric|displaystyle|"
    "mathvariant|columnalign|display"
)
_MEASURED = re.compile(
    "linethickness|minsize|maxsize|width|height|depth|voffset|lspace|rspace|scriptlevel"
)
_LENGTH = re.compile(r"[+-]?(\d{0,3}(?:\.\d{0,6})?)(em|ex|px|pt|mu|)")
_MOST_LENGTH = {"em": 4.0, "ex": 8.0, "mu": 72.0, "": 4.0}
"""Of spaces and shifts: one more may put a formula over another part of the page."""

_LINE = "\u2015"
"""Above or below, as the converter writes it."""
_MACRO = re.compile(r"\\(?:\w*newcommand|\w*newenvironment|def|[egx]def|let|DeclareMathOperator)\b")
"""Definitions, by which a short text becomes an endless one."""
_DEEPER = re.compile(r"\\[{}]|\{|\}|\\left\b|\\right\b")
_ENTITY = re.compile(r"&#x([0-9A-Fa-f]{1,6});")
_UNKNOWN = re.compile(r"\\[A-Za-z]+|&")
_COMMENT = re.compile(r"(?<!\\)%")
_SAME = {
    "aligned": "align*",
    "alignedat": "align*",
    "split": "align*",
    "gathered": "gather*",
    "multline*": "gather*",
    "dcases": "cases",
}
"""Environments that the converter does not know, and those that look alike."""
_ENVIRONMENT = re.compile(r"(\\(?:begin|end)\s*\{)(" + "|".join(map(re.escape, _SAME)) + r")(\})")


class Convert(Protocol):
    """`mathml`, or one that remembers what it made."""

    def __call__(self, latex: str, *, display: bool) -> MathML | None:
        """As `mathml`."""
        ...


class _UnreadableError(Exception):
    """No formula that is known in all its parts."""


def mathml(latex: str, *, display: bool) -> MathML | None:
    """The formula as a tree; None where it is too long, too deep, or not understood to its end."""
    if not latex.strip() or len(latex) > MOST_LETTERS or _MACRO.search(latex) or _deep(latex):
        return None
    # Of what a model writes, a sign of per cent is hardly ever the beginning of a remark.
    text = _COMMENT.sub(r"\\%", _ENVIRONMENT.sub(lambda m: m[1] + _SAME[m[2]] + m[3], latex))
    try:
        # Here, since most texts have no formula, and its table of symbols takes a while to read.
        from latex2mathml.converter import convert_to_element

        return _Reading().read(convert_to_element(text, display="block" if display else "inline"))
    # Of wrong LaTeX it raises errors of its own, and IndexError, RecursionError and others.
    except Exception:  # noqa: BLE001
        return None


def remembering(most: int = 10_000) -> Convert:
    """A conversion for several pages, whose formulas are often the same; of so many it knows the
    result. Threads may share it."""
    return lru_cache(maxsize=most)(mathml)


def _deep(latex: str) -> bool:
    depth = 0
    for found in _DEEPER.finditer(latex):
        depth += {"{": 1, "}": -1, r"\left": 1, r"\right": -1}.get(found[0], 0)
        if depth > _MOST_DEPTH:
            return True
    return False


class _Reading:
    """Reads the elements of one formula, and counts them."""

    def __init__(self) -> None:
        self._count = 0

    def read(self, element: Element, depth: int = 0) -> MathML:
        self._count += 1
        tag = element.tag
        known = _TAGS.fullmatch(tag) is not None
        if depth > 2 * _MOST_DEPTH or self._count > _MOST_ELEMENTS or not known:
            raise _UnreadableError(tag)
        attributes = _attributes(element)
        if tag == "menclose":  # which browsers do not know
            tag = "mrow"
            box = element.get("notation") == "box"
            attributes = {"class": "boxed" if box else "struck"}
        made: MathML = [tag, attributes] if attributes else [tag]
        if element.text:
            made.append(_text(element.text))
        children = [self.read(child, depth + 1) for child in element]
        if tag in ("mover", "munder") and children[1:] and children[1][-1] == _LINE:
            # Drawn by the page's style: not every font has a line that stretches.
            return ["mrow", {"class": "over" if tag == "mover" else "under"}, children[0]]
        return made + (_tidied(children) if tag in ("math", "mrow") else children)


def _attributes(element: Element) -> dict[str, str]:
    kept = {}
    for name, value in element.items():
        length = _LENGTH.fullmatch(value)
        if (_WORDED.fullmatch(name) and _WORDS.fullmatch(value)) or (
            _MEASURED.fullmatch(name)
            and length is not None
            and float(length[1].strip(".") or 0) <= _MOST_LENGTH.get(length[2], 40.0)
        ):
            kept[name] = value
    return kept


def _text(text: str) -> str:
    """What an element says; the converter writes its own symbols as references."""
    if _UNKNOWN.search(_ENTITY.sub("", text)):
        raise _UnreadableError(text)
    return _ENTITY.sub(lambda found: chr(int(found[1], 16)), text)


def _tidied(parts: list[MathML]) -> list[MathML]:
    """The same without what browsers leave room for: a fence that is none, as of `\\left.`, and the
    comma in `10{,}000`, which is one number."""
    joined: list[MathML] = []
    for part in parts:
        if part[0] == "mo" and not isinstance(part[-1], str | list):
            continue
        comma = joined[-1] if joined else None
        if (
            part[0] == "mn"
            and comma == ["mrow", ["mo", ","]]
            and len(joined) > 1
            and joined[-2][0] == "mn"
        ):
            joined.pop()
            joined[-1] = ["mn", f"{joined[-1][-1]},{part[-1]}"]
        else:
            joined.append(part)
    return joined
