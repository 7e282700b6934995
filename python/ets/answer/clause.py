"""The answer at the beginning of a clause: mathematics, an amount, a choice, words."""

from __future__ import annotations

import re

from ets.answer.fold import ENVIRONMENT, plain_signs
from ets.answer.numbers import Number
from ets.answer.single import read_amount
from ets.answer.units import Unit

MATH = re.compile(
    r"\$\$(.+?)\$\$|\$((?:[^$\n\\]|\\.)+)\$|\\\((.+?)\\\)|\\\[(.+?)\\\]"
    r"|\\begin\{(?:equation|align|aligned|gather)\*?\}(.+?)\\end\{(?:equation|align|aligned|gather)\*?\}",
    re.DOTALL,
)
PROSE = re.compile(r"(?<![\\a-zA-Z{])[a-zA-Z]{2,} ")
_FENCE = re.compile(r"\\[\[(]|\$\$|`{3,}\w*|\\begin\{\w+\*?\}|[-*_]{3,}")
"""A line that only opens what the next one holds: mathematics set apart, or a block of code."""
_TAG = re.compile(r"</?(?:b|i|u|em|strong|code|span|p|sup|sub|mark|big|answer)\s*>", re.IGNORECASE)
_EMPTY_BOX = re.compile(r"[$\s]*(?:\\\(\s*)?\\(?:boxed|fbox)(?![a-z])")
_FILLER = re.compile(
    r"(?:(?:therefore|thus|hence|so|then|now|just|also|indeed|about|around|almost|always|still|either"
    r"|(?-i:[a-z]{2,}ly)|equal(?:s)? to|equivalent to|going to be|as follows|as shown|of course|be"
    r"|(?:given|obtained|calculated) (?:by|as)|(?:found|seen) to be|in fact"
    r"|the (?:following|number|value)|(?:that )?there (?:is|are|was|were)|that"
    r"|not .{1,30}?,? but(?: rather)?)\b"
    r"|[:=~\u2248,]|\\approx\b|->|\u2192)[ \t:,]*(?=\S)",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(
    r"(?<!\bMr)(?<!\bMrs)(?<!\bMs)(?<!\bDr)(?<!\bSt)(?<!\bProf)(?<!\bJr)(?<!\bSr)(?<!\bNo)(?<!\bvs)[.!?](?=\s)"
)
_REASON = re.compile(
    r",? (?:because|since|as (?:we|it|the))\b|:\s+(?=[A-Za-z])| [-\u2013\u2014] (?=[^\W\d_]{2})"
)
_YES = re.compile(r"(yes|no|true|false)\b(?=[,.;:!]|$)", re.IGNORECASE)
_CHOICE = re.compile(
    r"(?:(?:option|choice) )?(?:\(([A-Z])\)(?=\s*[^\s.(,^+*/=-])|([A-Z])(?:[):]\s*|\.\s+)(?=\S)"
    r"|([B-HJ-Z]|A(?=,))(?=,? (?:because|since|as|which)\b|, (?!\d|[a-zA-Z]\b)| [-\u2013] )"
    r"|(?<=ption )\(?([A-Z])\)?|(?<=hoice )\(?([A-Z])\)?)"
)
_CLOCK = re.compile(
    r"\d{1,2}:\d{2}(?::\d{2})?(?: ?[ap]\.?m\b\.?)?|\d{1,2} ?[ap]\.?m\b\.?|\d+(?::\d+)+"
    r"|\d{4}[-/]\d{1,2}[-/]\d{1,2}|\d{1,2}/\d{1,2}/\d{4}",
    re.IGNORECASE,
)
_END = re.compile(
    r"\s*\$?(?:[.,;:!?]*\s*$|[.;!?](?:\s|$)|\s*\(|\[\d+\]|[^\w\s+*/^=<>\\%$(),-]+\s*$"
    r"|:\s+(?=[^\W\d_])|\s+[-\u2013\u2014]\s+(?=[^\W\d_]{2})|[,;]\s+(?!and\b|or\b|\d|\$)[^\W\d_]{2}"
    r"|,?\s+(?!and \d|or \d|to \d|and \$|pi\b|times \d|plus \d|minus \d|over \d|x \d)[^\W\d_]{2,})",
    re.IGNORECASE,
)
_SPELT = (
    (re.compile(r"(?<=\d) (?:times|multiplied by|x) (?=\d)"), "*"),
    (re.compile(r"(?<=\d) (?:plus) (?=\d)"), "+"),
    (re.compile(r"(?<=\d) (?:minus) (?=\d)"), "-"),
    (re.compile(r"(?<=\d) (?:over|divided by) (?=\d)"), "/"),
)
_JOIN = re.compile(r" ?, ?(?:and |or )?| (?:and|or|to) | ")
_BULLET = re.compile(r"^\s*(?:>|[-*+\u2022] )\s*")
_PRICE = re.compile(r"(?:\bUS[ ]?)?\\?\$ ?(?=\.?\d)")
_STOP = re.compile(r"\s*[.,;:!?]*\s*(?:$|(?<=[.;!?])\s)")
_LONGEST = 2_000
"""What of a line is looked at: no answer is longer."""


def behind(text: str) -> str | None:
    """The answer that begins a text, on its first line that says something, or None."""
    span = math_at_start(text.lstrip(" \t\r\n:*_#"))
    if span is not None:
        return span
    rest = text.lstrip(" \t:*")
    for n, line in enumerate(rest.splitlines()):
        if n:
            line = _BULLET.sub("", line)
        if not line.strip(" *_\"'`#>") or _FENCE.fullmatch(line.strip()):
            continue
        return clause(line)
    return None


def math_at_start(text: str) -> str | None:
    """The mathematics set apart that a text begins with, if more than prices stands in it."""
    match = MATH.match(text)
    if match is None:
        return None
    inner = next(group for group in match.groups() if group is not None)
    if (
        _EMPTY_BOX.match(inner)
        or PROSE.search(inner.replace("\\text", ""))
        or is_between_prices(inner)
    ):
        return None
    rest = text[match.end() :].split("\n", 1)[0]
    if re.match(r" ?(?:,|and|or) ?\$|\s+[^\W\d_]+ and \$|\s+(?:[^\W\d_]+ )\$", rest):
        return None  # $3$ and $4$; $2$ hours $30$ minutes
    inner = ENVIRONMENT.sub(" ", inner).strip()
    return unwrap_math(inner) or None


def is_between_prices(inner: str) -> bool:
    """Whether what stands between two dollar signs is no mathematics: `$5, $6`."""
    return (inner[-1:].isspace() and not inner[:1].isspace()) or inner.rstrip()[-1:] in (",", ";")


def clause(line: str) -> str | None:
    """The answer at the start of a line: mathematics, an amount without its unit, or words."""
    line = plain_signs(line[:_LONGEST])
    line = _TAG.sub("", line).replace("**", "").strip()
    line = re.sub(r"^__(.+?)__", r"\1", line)
    line = line.strip("\"'`").strip().removesuffix("\u043a\u0438").strip()
    if not line or _EMPTY_BOX.match(line):
        return None
    while (filler := _FILLER.match(line)) is not None:
        line = line[filler.end() :].lstrip()
    if not line:
        return None
    if (span := math_at_start(line)) is not None:
        return span
    if (choice := _CHOICE.match(line)) is not None:
        return next(letter for letter in choice.groups() if letter)
    if (word := _YES.match(line)) is not None:
        return word[1]
    if (time := _CLOCK.match(line)) is not None:
        return time[0].rstrip(".") if not re.search(r"[ap]\.m\.$", time[0]) else time[0]
    for spelt, sign in _SPELT:
        line = spelt.sub(sign, line)
    return _amounts(line) or told(line) or _phrase(line)


_TELLING = re.compile(r"(?:[A-Za-z][A-Za-z'-]*,? ){2,}(?=(?:USD |\$|\\\$|-)*[\d.])")
_NAMES_A_DAY = re.compile(
    r"\b(?:on|in|at|by|[A-Z][a-z]{2,}day|(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*"
    r"|number|step|day|room|year) $"
)


def _without_reason(line: str) -> str:
    reason = _REASON.search(line)
    return line[: reason.start()] if reason is not None and reason.start() > 0 else line


def told(line: str) -> str | None:
    """The only number of a sentence that tells it: `John has 12 apples left`."""
    sentence = _sentence(line.rstrip("."))
    telling = _TELLING.match(_without_reason(sentence))
    if telling is None or _NAMES_A_DAY.search(telling[0]):
        return None
    amounts = sentence[telling.end() :]
    found = _amounts(amounts)
    if found is None or _CLOCK.match(amounts):
        return None
    number = read_amount(_PRICE.sub("USD ", amounts))
    is_only = number is None or not re.search(r"\d", _PRICE.sub("USD ", amounts)[number[2] :])
    return found if is_only else None


def _amounts(line: str) -> str | None:
    """An amount or a row of them, if one begins the line and no expression goes on behind it."""
    priced = _PRICE.sub("USD ", line)
    if priced.count("$") == 1 and priced[-1:] != "$":
        priced = priced.replace("$", "")
    priced = priced.replace("$", "")
    parts: list[tuple[Number, Unit | None, int, int]] = []
    at = 0
    join = ""
    while (found := read_amount(priced, at)) is not None:
        if join == " " and (parts[-1][1] is None or found[1] is None):
            break
        parts.append((found[0], found[1], at, found[2]))
        if (match := _JOIN.match(priced, found[2])) is None:
            break
        join, at = match[0], match.end()
    if not parts:
        return None
    if len(parts) > 1 and not re.search(r"\d", _sentence(priced[parts[-1][3] :])):
        end = parts[-1][3]
        if _END.match(priced, end) and ("USD" not in priced or _STOP.match(priced, end)):
            return _row(priced, parts)
    number, _, _, end = parts[0]
    if _END.match(priced, end) is None:
        return None
    if priced[end : end + 1] == "!" and re.fullmatch(r"\d", number.plain):
        return number.plain + "!"  # a longer number is called out
    return number.plain


def _row(text: str, parts: list[tuple[Number, Unit | None, int, int]]) -> str:
    if all(
        unit is None or re.match(r"[-+]?(?:USD|[^\w\s])", text[begin:end])
        for _, unit, begin, end in parts
    ):
        pieces = [text[parts[0][2] : parts[-1][3]]]
        return re.sub(r"USD ", "", pieces[0])
    return text[: parts[-1][3]].replace("USD ", "$")


def _sentence(text: str) -> str:
    end = _SENTENCE_END.search(text)
    return text[: end.start()] if end else text


def _phrase(line: str) -> str | None:
    line = line if (end := _SENTENCE_END.search(line)) is None else line[: end.start()]
    line = _without_reason(line)
    sum_, equals, outcome = line.rpartition("=")
    if equals and re.search(r"\d", sum_) and not re.search(r"[A-Za-z<>]", sum_):
        return _amounts(outcome.strip()) or unwrap_math(outcome) or None
    return unwrap_math(line) or None


def unwrap_math(s: str) -> str:
    """`s` without the full stop and the `$` around it."""
    s = s.strip()
    if not s.endswith(("\\,", "\\;", "\\!", "\\:")) and not re.search(r"[\w)}]!$", s):
        s = s.rstrip(".,;:!?").strip()
    if len(s) > 2 and s[0] == s[-1] == "$" and "$" not in s[1:-1]:
        s = s[1:-1].strip().rstrip(".").strip()
    return s
