"""The final answer that a solution gives."""

from __future__ import annotations

import re
from collections import deque

from ets.answer.boxes import boxed, boxes
from ets.answer.clause import MATH, PROSE, behind, clause, is_between_prices, told, unwrap_math
from ets.answer.fold import fold, plain_signs
from ets.answer.matcher import Matcher
from ets.answer.numbers import NUMBER, read_number
from ets.answer.single import choice_letter
from ets.answer.structured import structured_answer
from ets.answer.thoughts import behind_thoughts
from ets.errors import InputError

_matcher = Matcher()
"""One process for all patterns of users; it is started by the first."""


def extract_answer(text: str, pattern: str | re.Pattern[str] | None = None) -> str | None:
    r"""The final answer that a solution gives, or None.

    With a pattern: group 1 (or the whole) of its last match. Without: of a text that is a JSON
    object or calls of tools what `ets.answer.structured` makes of it; else the content of the last
    `\boxed{...}` or `\fbox{...}`; else what follows the last "the answer is"; else what follows the
    last `####` that a short answer follows; else the last number or expression that is no label of
    something (`step 3`). Thoughts (`<think>...</think>`) are not read, and a text whose thoughts or
    whose only box does not end has no answer. Linear in the length of the text.
    """
    said = behind_thoughts(text)
    if said is None:
        return None
    if pattern is not None:
        return _by_pattern(said, pattern)
    if (structured := structured_answer(said)) is not None:
        return structured or None
    found, is_open = boxes(said)
    if (content := boxed(said)) is not None:
        return _from_box(content)
    if is_open and not found:
        opened = said.rfind("\\boxed")
        if opened >= 0 and said[opened:].count("{") > said[opened:].count("}"):
            return None  # cut off: what stands before it are numbers on the way
    tagged = _last_match(_ANSWER_TAG, said)
    if tagged is not None:
        inner = tagged[1].strip()
        if (answer := _after_marker(inner) or behind(inner)) is not None:
            return answer
    return _after_marker(said) or _after_hashes(said) or _chosen(said) or _last_expression(said)


def _by_pattern(text: str, pattern: str | re.Pattern[str]) -> str | None:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise InputError(f"pattern is not a regular expression: {error}: {pattern!r}") from error
    found = _matcher.last_match(compiled, text)
    return None if found is None else found.strip() or None


def _last_match(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    matches = deque(pattern.finditer(text), maxlen=1)
    return matches[0] if matches else None


_ANSWER_TAG = re.compile(r"<answer>\s*([^<]*(?:<(?!/?answer>)[^<]*)*)</answer>")
_MARKER = re.compile(
    r"\b(?:the[ \t]+(?:(?:final|correct|right|best|required|desired)[ \t]+)?"
    r"(?:answer|option|choice)[ \t]+(?:is|would be|will be|must be|comes to)\b"
    r"|(?:final|correct)[ \t]+answer[ \t]+is\b"
    r"|(?:final[ \t]+)?answer[ \t]*:|\b(?:die[ \t]+)?Antwort[ \t]+ist\b|r[e\u00e9]ponse[ \t]+est\b"
    r"|respuesta[ \t]+es\b)"
    r"|(?:\u7b54\u6848|\u7b54\u3048|\uc815\ub2f5|\u041e\u0442\u0432\u0435\u0442)[ \t]*"
    r"(?:\u662f|\u4e3a|\u306f|\uc740|:|\uff1a)+"
    r"|^[ \t]*(?:#+[ \t]*|\*\*)(?:the[ \t]+)?(?:final[ \t]+)?answer[ \t]*"
    r"(?:\*\*)?[ \t]*:?[ \t]*(?:\*\*)?[ \t]*$",
    re.IGNORECASE | re.MULTILINE,
)
_HASHES = re.compile(r"^[ \t]*####(?!#)[ \t]*(\S[^\n]*)$", re.MULTILINE)
_HASHES_INLINE = re.compile(r"####(?!#)[ \t]*(\S[^\n#]*)")


def _from_box(content: str) -> str | None:
    if (marker := _last_match(_MARKER, content)) is not None and marker.end() < len(content):
        inner = content[marker.end() :].lstrip(" :}")
        return behind(inner) or unwrap_math(content)
    content = unwrap_math(content)
    if len(content) < 200:
        folded = fold(content)
        letter = choice_letter(folded)
        if letter is not None and len(re.sub(r"\W", "", folded)) > 1:
            return letter
        if "\\text" in content and (number := told(folded)) is not None:
            return number
    return content or None


def _after_marker(text: str) -> str | None:
    last = _last_match(_MARKER, text)
    return None if last is None else behind(text[last.end() :])


_CHOSEN = re.compile(
    r"(?:\b(?:option|choice|answer)[ \t]+\(?([A-J])\)?|\(([A-J])\))[ \t]+is[ \t]+(?:the[ \t]+)?"
    r"(?:correct|right|best|answer)|\bI(?:'d|[ \t]+would)?[ \t]+(?:choose|pick|select)[ \t]+"
    r"(?:option[ \t]+)?(?:\(([A-J])\)|([A-J])\b)"
    r"|\u6545?\u9009[\u62e9\uff1a: \t]*[(\uff08]?([A-J\uff21-\uff2a])"
)


def _chosen(text: str) -> str | None:
    """The letter of an option that a text says is the right one."""
    last = _last_match(_CHOSEN, text)
    return None if last is None else plain_signs(next(group for group in last.groups() if group))


def _after_hashes(text: str) -> str | None:
    for pattern in (_HASHES, _HASHES_INLINE):
        short = [m for m in pattern.finditer(text) if len(m[1]) < 200 and is_short(m[1])]
        if short:
            return clause(short[-1][1])
    return None


_BARE_WORD = re.compile(r"\(?[A-Z]\)?\.?|yes|no|true|false|none|even|odd", re.IGNORECASE)
_LATEX = re.compile(r"[-+]?\$?[\d\\({\[].*")


def is_short(line: str) -> bool:
    """Whether a line is a short answer and nothing else: a number, mathematics, a choice."""
    line = line.replace("**", "").strip().strip("\"'`").strip()
    if _SHORT.fullmatch(line) or _BARE_WORD.fullmatch(line.rstrip(".")):
        return True
    return (
        bool(_LATEX.fullmatch(line))
        and ": " not in line
        and not _PROSE_WORD.search(re.sub(r"\\[a-zA-Z]+", "", line))
    )


_PROSE_WORD = re.compile(r"[a-zA-Z]{3,}")
_SIGNS = r"[-+\u2212]?(?:US)?(?:\\?[$\u20ac\u00a3\u00a5] ?)?[-+\u2212]?"
_SHORT = re.compile(
    rf"{_SIGNS}(?:{NUMBER.pattern.replace('?P<', '?P<n_')})\$?(?-i:(?: ?[a-z]+){{0,2}})\.?",
    re.IGNORECASE,
)


# --- the last expression --------------------------------------------------------------------------

_BRACES = r"\{(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*\}"
_TERM = (
    rf"(?:\\[dtc]?frac ?{_BRACES} ?{_BRACES}|\\sqrt(?:\[\d+\])? ?{_BRACES}|\\pi(?![a-z])|\bpi\b"
    r"|(?<![a-z])sqrt ?(?:\([^()\n]{1,40}\)|\d+))"
)
_PLAIN_NUMBER = NUMBER.pattern.replace("?P<", "?P<q_")
_EXPRESSION = re.compile(
    r"(?<![\w:.])\d+:\d+(?::\d+)*(?![\w:])(?: ?[ap]\.?m\b\.?)?|"
    rf"(?P<sign>(?<![\w)\]}}.])-)?(?:USD )?"
    rf"(?:(?<![A-Za-z\d^_.])(?P<number>{_PLAIN_NUMBER})(?: ?(?:x|\*|\\times|\\cdot) ?10(?=\^))?"
    rf"(?:\^(?:\{{-?\d+\}}|\d+))?)?(?: ?(?:(?<=\d)(?:\*|\\cdot) ?)?{_TERM}(?:\^\d)?)*"
    rf"(?:(?<=[\d}}])/(?=\\)(?:{_TERM}))?",
    re.IGNORECASE,
)
_LABEL = re.compile(
    r"(?:\b(?:steps?|eqn?s?\.?|equations?|fig(?:ure)?s?\.?|cases?|parts?|notes?|refs?\.?|pages?|sections?"
    r"|problems?|questions?|examples?|lines?|tables?|methods?|chapters?|theorem|lemma|rules?|item|version)"
    r"[ \t]*[#(]?|(?:^|\n)[ \t]*(?:[-*][ \t]*)?|\[)$",
    re.IGNORECASE,
)
_LABELLED = re.compile(r"[ \t]+(?:steps?|methods?|tries|attempts?|references?)\b", re.IGNORECASE)
_ENUMERATOR = re.compile(r"[.):][ \t]")
_BOLD = re.compile(r"\*\*([^*\n]{1,60})\*\*")
_ASIDE = re.compile(r"(?<=\d)((?: [a-z]+){0,2}) \([^()\n]*\)(?=\.?\s*$)")
"""A bracket behind the last number: how it was found, or in other words."""


_LOOKED_AT = 20_000
"""Of a longer text only the end: what stands further from it concludes nothing."""


def _last_expression(text: str) -> str | None:
    """The last number or expression that is no label, before what is only said in passing."""
    text = text[-_LOOKED_AT:]
    bold = _last_match(_BOLD, text)
    if bold is not None and "=" not in text[bold.end() :] and is_short(bold[1].rstrip(":")):
        return clause(bold[1])
    text = plain_signs(text)
    text = re.sub(r"(?<=\d),\\!\s?(?=\d{3})", ",", text)
    text = _ASIDE.sub(r"\1", text)
    span = _last_span(text)
    text = re.sub(r"\\?\$ ?(?=\.?\d)", "USD ", text)
    found = [m for m in _EXPRESSION.finditer(text) if m[0].strip() not in ("", "-", "USD")]
    last = next((match for match in reversed(found) if not _is_label(text, match)), None)
    if span is not None and (last is None or span[1] >= _inked(text[: last.end()]) - 1):
        return span[0]
    last = last or (found[-1] if found else None)
    if last is None:
        return None
    whole = last[0].replace("USD ", "").strip()
    number = read_number(whole)
    return number[0].plain if number is not None and number[1] == len(whole) else whole


def _is_label(text: str, match: re.Match[str]) -> bool:
    before = text[max(0, match.start() - 24) : match.start()]
    label = _LABEL.search(before)
    behind_it = text[match.end() : match.end() + 16]
    if label is not None:
        if label[0].strip() in ("", "-", "*"):  # the number begins its line: 1. First, ...
            at_start = match.start() - len(before) == 0 or "\n" in label[0]
            return at_start and _ENUMERATOR.match(behind_it) is not None
        if label[0] == "[":
            return behind_it.startswith("]")
        return True
    return _LABELLED.match(behind_it) is not None


_STYLED = re.compile(r"\\[a-zA-Z]+\s*\{[a-zA-Z ]*\}")
_WORDS = re.compile(r"(?<![\\a-zA-Z{])[a-zA-Z]{2,}")


def _last_span(text: str) -> tuple[str, int] | None:
    """The last mathematics set apart in which there is a number, and where it ends."""
    last = None
    for match in MATH.finditer(text):
        inner = next(group for group in match.groups() if group is not None)
        is_mathematics = re.search(r"\d|\\pi|\\sqrt", inner) and not is_between_prices(inner)
        if is_mathematics and _WORDS.search(_STYLED.sub("", inner)) is None:
            last = (match, inner)
    if last is None:
        return None
    inner = unwrap_math(last[1].rpartition("=")[2].strip()) or unwrap_math(last[1])
    return inner, _inked(text[: last[0].end()])


def _inked(text: str) -> int:
    """How many signs stand in a text, whatever was made of its spaces and prices."""
    return len(re.sub(r"[\s$.\\]|USD ", "", text))


# --- is it one? -----------------------------------------------------------------------------------

_WORD = re.compile(
    r"(?:yes|no|true|false|none|even|odd|zero|one|two|three|four|five|six|seven|eight|nine|ten"
    r"|eleven|twelve|infinite|infinity|undefined|impossible)\b",
    re.IGNORECASE,
)
_OPTION = re.compile(r"\([A-Z]\)|[A-Z](?:[.,:;)]|$)|[B-HJ-Z]\s")
_NAMES = re.compile(r"[A-Z][\w'-]*(?: [A-Z][\w'-]*){0,3}[.!]?")
_FORMULA = re.compile(r"[^\s\w]*\w?[^\s\w]*[\d\\^=+*/]|[^\W\d_](?:\([^\s)]*\))? ?=")
"""The beginning of an expression: a digit, a command or an operator behind one letter at most."""
_OPEN_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{\s*\}?|[{}]")
_QUESTION = re.compile(r"[^.!\n]*\?")
_FENCE = re.compile(r"\\[\[(]|\$\$|`{3,}\w*|\\begin\{\w+\*?\}")


def reads_as_answer(text: str, *, whole: bool = False) -> bool:
    """Whether what follows an answer marker begins with an answer, as `extract_answer` takes one.

    A number, mathematics, an option such as (B), a name, or one of a few words (`yes`, `even`,
    `seven`): not the rest of a thought, as `not simply 12` or `correct` are, and not a question.
    With `whole` the text must be a short answer and nothing else.
    """
    lines = (ln for ln in text.lstrip(" \t:*").splitlines() if ln.strip(" *\"'`"))
    line = next((ln for ln in lines if not _FENCE.fullmatch(ln.strip())), "")
    line = line.replace("**", "").strip().strip("\"'`").strip()
    if not line or (not whole and _QUESTION.match(line)):
        return False
    if (span := MATH.match(line)) is not None:
        inner = next(group for group in span.groups() if group is not None)
        if not PROSE.search(inner):
            return not whole or not line[span.end() :].strip(" .")
    if line.startswith(("\\boxed", "\\fbox")):
        return re.search(r"\w", _OPEN_BOX.sub("", boxed(line) or "")) is not None
    if whole:
        return is_short(line)
    line = _OPEN_BOX.sub("", line)
    return (
        any(form.match(line) is not None for form in (_OPTION, _FORMULA, _WORD))
        or _NAMES.fullmatch(line) is not None
    )
