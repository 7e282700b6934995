"""Answers: find one in a solution, pool equal ones, vote."""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from ets.equality import normalise, same_answer
from ets.errors import InputError

VoteMethod = Literal["weighted", "majority", "best"]
Aggregation = Literal["last", "min", "prod", "mean"]


@dataclass(frozen=True, slots=True)
class Vote:
    """What one answer got."""

    answer: str
    """The answer as the first trajectory wrote it."""
    weight: float
    """Sum of scores (weighted), number of votes (majority) or highest score (best)."""
    count: int
    """How many trajectories gave it."""


def vote(
    answers: Sequence[str | None], scores: Sequence[float], method: VoteMethod = "weighted"
) -> list[Vote]:
    """Pool the trajectories' answers, the best first; ties in order of first appearance.

    Mathematically equal answers pool under the first of them. A trajectory without an answer
    (None) does not vote.

    Raises `InputError` for an unknown method, lengths that differ, or a score that is not finite.
    """
    if method not in get_args(VoteMethod):
        raise InputError(f"method must be one of {get_args(VoteMethod)}, got {method!r}")
    if len(answers) != len(scores):
        raise InputError(f"{len(answers)} answers but {len(scores)} scores")
    for i, score in enumerate(scores):
        if not math.isfinite(score):
            raise InputError(f"scores[{i}] must be finite, got {score}")

    pools: dict[str, list[float]] = {}
    for first, score in zip(pool(answers), scores, strict=True):
        if first is not None:
            pools.setdefault(first, []).append(float(score))

    votes = [Vote(answer, _weight(got, method), len(got)) for answer, got in pools.items()]
    return sorted(votes, key=lambda v: -v.weight)  # stable: ties stay in order of appearance


def pool(answers: Sequence[str | None]) -> list[str | None]:
    """For each answer, the first one that equals it mathematically, under which it pools."""
    firsts: dict[str, None] = {}  # in order of appearance
    pool_of: dict[str, str] = {}  # normalised answer -> its pool, so that repeats cost one look-up
    found: list[str | None] = []
    for answer in answers:
        if answer is None:
            found.append(None)
            continue
        key = normalise(answer)
        if key not in pool_of:
            pool_of[key] = next((first for first in firsts if same_answer(first, answer)), answer)
            firsts.setdefault(pool_of[key])
        found.append(pool_of[key])
    return found


def _weight(scores: Sequence[float], method: VoteMethod) -> float:
    if method == "weighted":
        return math.fsum(scores)
    return float(len(scores)) if method == "majority" else max(scores)


def aggregate(rewards: Sequence[float], how: Aggregation = "last") -> float:
    """A trajectory's score from its steps' rewards.

    Raises `InputError` for an unknown `how` or no rewards.
    """
    if how not in get_args(Aggregation):
        raise InputError(f"how must be one of {get_args(Aggregation)}, got {how!r}")
    if not rewards:
        raise InputError("rewards must not be empty")
    if how == "last":
        return float(rewards[-1])
    if how == "min":
        return float(min(rewards))
    if how == "prod":
        return math.prod(float(r) for r in rewards)
    return math.fsum(rewards) / len(rewards)


def extract_answer(text: str, pattern: str | re.Pattern[str] | None = None) -> str | None:
    r"""The final answer that a solution gives, or None.

    With a pattern: group 1 (or the whole) of its last match. Without: the content of the last
    `\boxed{...}` or `\fbox{...}`; else what follows the last "the answer is"; else what follows the
    last `####`; else the last number in the text. Linear in the length of the text.
    """
    if pattern is not None:
        return _by_pattern(text, pattern)
    return _boxed(text) or _after(_MARKER, text) or _after(_HASHES, text) or _last_number(text)


def _by_pattern(text: str, pattern: str | re.Pattern[str]) -> str | None:
    try:
        last = _last_match(re.compile(pattern), text)
    except re.error as error:
        raise InputError(f"pattern is not a regular expression: {error}: {pattern!r}") from error
    if last is None:
        return None
    found = last[1] if last.re.groups and last[1] is not None else last[0]
    return found.strip() or None


def _last_match(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    matches = deque(pattern.finditer(text), maxlen=1)
    return matches[0] if matches else None


_BOX_TOKEN = re.compile(r"\\(?:boxed|fbox)\s*\{|\\.|[{}]", re.DOTALL)
_BARE_BOX = re.compile(r"\\boxed[ \t]+([^\s$\\{}]+)")
_WHOLE_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{(.*)\}", re.DOTALL)


def _boxed(text: str) -> str | None:
    """The content of the last box that closes; a box in a box counts as the outer one."""
    found: str | None = None
    open_braces: list[int | None] = []  # where a box's content starts; None for a plain brace
    for token in _BOX_TOKEN.finditer(text):
        sign = token[0]
        if sign.startswith("\\") and sign.endswith("{") and len(sign) > 2:
            open_braces.append(token.end())
        elif sign == "{":
            open_braces.append(None)
        elif sign == "}" and open_braces:
            begin = open_braces.pop()
            if begin is not None and text[begin : token.start()].strip():
                found = text[begin : token.start()].strip()
    if found is None:
        bare = _BARE_BOX.findall(text)
        return bare[-1] if bare else None
    while (inner := _WHOLE_BOX.fullmatch(found)) is not None and _closes_last(found):
        found = inner[1].strip()
    return _unwrap_math(found)


def _closes_last(s: str) -> bool:
    r"""Whether the first brace of `s` closes at its end: not in `\boxed{1} + \boxed{2}`."""
    depth = 0
    for token in re.finditer(r"\\[{}\\]|[{}]", s):
        depth += (token[0] == "{") - (token[0] == "}")
        if depth == 0 and token[0] == "}":
            return token.end() == len(s)
    return False


_MARKER = re.compile(
    r"\b(?:the[ \t]+(?:(?:final|correct)[ \t]+)?answer[ \t]+is|final[ \t]+answer[ \t]+is"
    r"|(?:final[ \t]+)?answer[ \t]*:)",
    re.IGNORECASE,
)
_HASHES = re.compile(r"####")


def _after(marker: re.Pattern[str], text: str) -> str | None:
    """The answer that follows the last marker, on its line or the next one that is not empty."""
    last = _last_match(marker, text)
    if last is None:
        return None
    for line in text[last.end() :].lstrip(" \t:*").splitlines():
        if (found := _clause(line)) is not None:
            return found
    return None


_DIGITS = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)"
_PLAIN = rf"(?:{_DIGITS}(?:\.\d+)?|\.\d+)(?:/{_DIGITS})?(?:\\?%)?"
_LEADING = re.compile(
    rf"(?P<sign>[-+\u2212]?)(?:\\?[$\u20ac\u00a3] ?)?(?P<number>{_PLAIN})"
    # nothing more follows, or a unit does; "3 and 4", "2x", "5 + 3", "10:30" are read as a whole
    r"(?=\$?(?:[.,;!?]?\s*$|[.;!?]\s|,?\s+(?!and\b|or\b|to\b)[^\W\d_]{2,}|\s*\())",
    re.IGNORECASE,
)
_MATH = re.compile(r"\$\$(.+?)\$\$|\$([^$]+)\$|\\\((.+?)\\\)|\\\[(.+?)\\\]")
_SENTENCE_END = re.compile(r"[.!?]\s")
_PROSE = re.compile(r"(?<![\\a-zA-Z{])[a-zA-Z]{2,} ")
_FENCE = re.compile(r"\\[\[(]|\$\$|`{3,}\w*|\\begin\{\w+\*?\}")
"""A line that only opens what the next one holds: mathematics set apart, or a block of code."""


def _clause(line: str) -> str | None:
    """The answer at the start of a line: mathematics, a number without its unit, or words."""
    if _FENCE.fullmatch(line.strip()):
        return None
    line = line.replace("**", "").strip().strip("\"'`").strip().removesuffix("\u043a\u0438").strip()
    if not line:
        return None
    if (math_span := _MATH.match(line)) is not None:
        inner = next(group for group in math_span.groups() if group is not None)
        if not _PROSE.search(inner):  # between two prices there is prose
            return _unwrap_math(inner)
    if (leading := _LEADING.match(line)) is not None:
        return _tidy_number(leading["sign"], leading["number"])
    end = _SENTENCE_END.search(line)
    clause = _unwrap_math(line[: end.start()] if end else line)
    return clause or None


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
_SHORT = re.compile(
    rf"[-+\u2212]?(?:\\?[$\u20ac\u00a3] ?)?{_PLAIN}\$?(?: [a-z]+){{0,2}}\.?|\(?[A-Z]\)?\.?"
)


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
    math_span = _MATH.match(line)
    if math_span is not None:
        inner = next(group for group in math_span.groups() if group is not None)
        if not _PROSE.search(inner):
            return not whole or not line[math_span.end() :].strip(" .")
    if line.startswith(("\\boxed", "\\fbox")):
        return re.search(r"\w", _OPEN_BOX.sub("", _boxed(line) or "")) is not None
    if whole:
        return _SHORT.fullmatch(line) is not None
    line = _OPEN_BOX.sub("", line)
    return (
        any(form.match(line) is not None for form in (_LEADING, _OPTION, _FORMULA, _WORD))
        or _NAMES.fullmatch(line) is not None
    )


def _unwrap_math(s: str) -> str:
    """`s` without the full stop and the `$` around it."""
    s = s.strip().rstrip(".,;:!?" if not s.endswith(("\\,", "\\;", "\\!", "\\:")) else "").strip()
    if len(s) > 2 and s[0] == s[-1] == "$" and "$" not in s[1:-1]:
        s = s[1:-1].strip().rstrip(".").strip()
    return s


_ANY_NUMBER = re.compile(
    r"(?P<frac>(?<![\w)\]}])-?\\[dt]?frac\{-?\d+\}\{\d+\}|\\[dt]?frac\{-?\d+\}\{\d+\})"
    # a minus is a sign only where nothing stands before it that it could be subtracted from
    rf"|(?P<sign>(?<![\w)\]}}.])[-\u2212])?(?:\\?[$\u20ac\u00a3])?(?P<number>{_PLAIN})"
)


def _last_number(text: str) -> str | None:
    last = _last_match(_ANY_NUMBER, text)
    if last is None:
        return None
    return last["frac"] or _tidy_number(last["sign"] or "", last["number"])


def _tidy_number(sign: str, number: str) -> str:
    """A number without thousands separators, currency and `+`."""
    number = number.replace(",", "").replace("\\%", "%")
    return ("-" if sign in ("-", "\u2212") and sign else "") + number
