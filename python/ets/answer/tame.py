"""Whether math-verify can be asked: parsing and simplifying a text must be sure to stay small."""

from __future__ import annotations

import math
import re

_MAX_LENGTH = 300
_MAX_DEPTH = 24
"""Answers with deeper brackets are compared as text: the parser recurses."""
_MAX_DIGITS = 60
"""A longer run of digits is compared as text: roots and logarithms factor integers."""
_MAX_NUMERIC_POWER = 10_000
"""The largest product of the exponents in an answer without variables."""
_MAX_SYMBOLIC_POWER = 100
"""The same with variables, where simplification expands and factors."""
_MAX_BRACKET_POWER = 12
"""The same where a bracket with variables is raised: (x + y + z)^k has about k^2 terms."""

_EXPONENT = re.compile(r"(?:\^|\*\*) ?")
_UNBOUNDED = re.compile(
    r"\\(?:sum|prod|int|iint|iiint|oint|lim|limsup|liminf|binom|[dt]binom|choose|zeta|Gamma)(?![a-zA-Z])"
    r"|!\s*!|[)}\]a-zA-Z]\s*!|\d{4}\s*!|(?<!\d)[2-9]\d{2}\s*!"
)
_VARIABLE = re.compile(r"(?<![\\a-zA-Z])[a-zA-Z](?![a-zA-Z])")


def is_tame(s: str) -> bool:
    """Whether parsing and simplifying an answer is sure to stay small, as far as its text shows."""
    if len(s) > _MAX_LENGTH or _depth(s) > _MAX_DEPTH or _UNBOUNDED.search(s):
        return False
    if re.search(rf"\d{{{_MAX_DIGITS},}}", s):
        return False
    single, bracketed = 1, 1
    for match in _EXPONENT.finditer(s):
        exponent = _operand(s, match.end())
        for inner in _EXPONENT.finditer(exponent):  # a tower: e^{x^2} may pass, 9^{9^9} may not
            if not exponent[: inner.start()].rstrip()[-1:].isalpha():
                return False
        if _EXPONENT.match(s, match.end() + len(exponent)) or "!" in exponent:
            return False
        raised = math.prod(max(1, int(literal[:9])) for literal in re.findall(r"\d+", exponent))
        if s[: match.start()].rstrip()[-1:] in (")", "}", "]"):
            bracketed *= raised  # brackets nest, so their exponents can multiply
        else:
            single = max(single, raised)
    if _VARIABLE.search(s):
        return single * bracketed <= _MAX_SYMBOLIC_POWER and bracketed <= _MAX_BRACKET_POWER
    return single * bracketed <= _MAX_NUMERIC_POWER


def _depth(s: str) -> int:
    depth = deepest = 0
    for c in s:
        if c in "([{":
            depth += 1
            deepest = max(deepest, depth)
        elif c in ")]}":
            depth -= 1
    return deepest


def _operand(s: str, start: int) -> str:
    """What an exponent sign raises to: a bracket with all in it, a number, or a single sign."""
    if s[start : start + 1] in ("{", "("):
        depth = 0
        for i in range(start, len(s)):
            depth += (s[i] in "{(") - (s[i] in "})")
            if depth == 0:
                return s[start : i + 1]
        return s[start:]
    match = re.compile(r"[-+]?(?:\d+|\\[a-zA-Z]+|.)?").match(s, start)
    return match[0] if match else ""
