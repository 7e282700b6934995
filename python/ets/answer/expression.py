"""Expressions: LaTeX and plain notation read by one small grammar, and valued at a few points.

    sum      = product (("+" | "-") product)*
    product  = power (("*" | "/" | nothing) power)*
    power    = "-" power | postfix ("^" power)?
    postfix  = atom ("!" | degree sign | "%")*
    atom     = number | letter | constant | fraction | root | function power? argument | bracket

Two expressions whose values agree to sixty digits at every point are taken for equal. What the
grammar does not cover to its last sign is not read at all.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from typing import Any

from mpmath.ctx_mp import MPContext  # type: ignore[import-untyped]

from ets.answer.numbers import DIGITS

MAX_LENGTH = 300
_MAX_DEPTH = 24
_MAX_RUN = 60
_DIGITS_KEPT = 60
_PRECISION = 110
_POINTS = 6
_MAX_SIZE = 1_000
"""The largest decimal exponent of a value: beyond it lie towers of powers."""
_MAX_FACTORIAL = 1_000

_TOKEN = re.compile(
    rf" *(?:(?P<number>{DIGITS}(?:[eE][+-]?\d{{1,3}}(?![\w(]))?)|(?P<command>\\[A-Za-z]+|\\[{{}}|!])"
    r"|(?P<word>arcsin|arccos|arctan|asin|acos|atan|sinh|cosh|tanh|sin|cos|tan|cot|sec|csc|log|ln|exp"
    r"|sqrt|abs|pi(?![a-z])|infinity|inf(?![a-z]))|(?P<letter>[A-Za-z](?:_(?:\{\w+\}|\w))?)"
    r"|(?P<sign>\*\*|[-+*/^(){}\[\]|!%_°]))"
)
_FUNCTIONS = {
    "sin": "sin", "cos": "cos", "tan": "tan", "cot": "cot", "sec": "sec", "csc": "csc",
    "arcsin": "asin", "arccos": "acos", "arctan": "atan", "asin": "asin", "acos": "acos",
    "atan": "atan", "sinh": "sinh", "cosh": "cosh", "tanh": "tanh", "ln": "ln", "exp": "exp",
    "log": "log", "abs": "fabs",
}  # fmt: skip
_GREEK = frozenset(
    [
        "alpha",
        "beta",
        "gamma",
        "delta",
        "epsilon",
        "varepsilon",
        "zeta",
        "eta",
        "theta",
        "vartheta",
        "kappa",
        "lambda",
        "mu",
        "nu",
        "xi",
        "rho",
        "sigma",
        "tau",
        "phi",
        "varphi",
        "chi",
        "psi",
        "omega",
        "Gamma",
        "Delta",
        "Theta",
        "Lambda",
        "Sigma",
        "Phi",
        "Psi",
        "Omega",
        "ell",
        "hbar",
    ]
)
Value = Callable[[MPContext, dict[str, Any]], Any]


class _UnreadError(Exception):
    """The text is no expression of this grammar, or its value is out of bounds."""


@lru_cache(maxsize=16_384)
def fingerprint(s: str) -> tuple[str, ...] | None:
    """The values of a folded expression at a few points; None if it is not read or has none.

    Where an expression in real letters is not real, its value says nothing and is left out; so
    `\\sqrt{1/n}` and `1/\\sqrt{n}` agree. Equal fingerprints mean equal expressions, and since they
    are compared as text, that is transitive.
    """
    try:
        value, letters = _Reader(s).whole()
    except (_UnreadError, RecursionError):
        return None
    context = MPContext()
    context.dps = _PRECISION
    found = []
    points = range(_POINTS) if letters - {"i"} else range(1)
    for point in points:
        env = {letter: _point(context, letter, point) for letter in letters}
        env["i"] = context.mpc(0, 1)
        try:
            found.append(
                _shown(context, value(context, env), not letters - {"i"} or "i" in letters)
            )
        except (_UnreadError, ValueError, OverflowError, ZeroDivisionError, TypeError):
            found.append("")
    if not any(found):
        return None
    return ("1" if letters - {"i"} else "0", *found)


def constant(s: str) -> Any:
    """The real value of a folded expression without letters, as an mpf; None if it has none."""
    try:
        value, letters = _Reader(s).whole()
        if letters:
            return None
        context = MPContext()
        context.dps = _PRECISION
        got = context.mpmathify(value(context, {}))
    except (_UnreadError, RecursionError, ValueError, OverflowError, ZeroDivisionError, TypeError):
        return None
    return None if isinstance(got, context.mpc) and got.imag else context.mpf(got.real)


def _point(context: MPContext, letter: str, point: int) -> Any:
    """A number between 0.3 and 3.3 that depends on the letter alone, at odd points negative."""
    digest = hashlib.sha256(f"{letter} {point}".encode()).digest()
    size = context.mpf(int.from_bytes(digest[:16], "big")) / 2**128 * 3 + context.mpf(3) / 10
    return -size if point % 2 else size


def _shown(context: MPContext, value: Any, is_complex: bool) -> str:
    value = context.mpmathify(value)
    if context.isnan(value) or context.isinf(value):
        return ""
    real, imag = (value.real, value.imag) if isinstance(value, context.mpc) else (value, 0)
    size = max(abs(real), abs(imag))
    if size > context.mpf(10) ** (_PRECISION - _DIGITS_KEPT):
        raise _UnreadError  # more digits before the point than are kept
    tiny = size * context.mpf(10) ** (-_DIGITS_KEPT - 10)
    real, imag = (0 if abs(part) <= tiny else part for part in (real, imag))
    if imag and not is_complex:
        return ""
    # Not a tie in rounding, whatever round number the value is.
    shift = 1 + context.pi / 10**7
    parts = [context.nstr(context.mpf(part) * shift, _DIGITS_KEPT) for part in (real, imag)]
    return parts[0] if not imag else "+i".join(parts)


class _Reader:
    def __init__(self, s: str) -> None:
        if len(s) > MAX_LENGTH or re.search(rf"\d{{{_MAX_RUN},}}", s):
            raise _UnreadError
        self.tokens: list[str] = []
        self.kinds: list[str] = []
        at = 0
        s = s.rstrip()
        while at < len(s):
            match = _TOKEN.match(s, at)
            if match is None:
                raise _UnreadError
            kind = match.lastgroup or ""
            self.kinds.append(kind)
            self.tokens.append(match[kind])
            at = match.end()
        self.at = 0
        self.depth = 0
        self.letters: set[str] = set()

    def whole(self) -> tuple[Value, set[str]]:
        value = self.sum()
        if self.at != len(self.tokens):
            raise _UnreadError
        return value, self.letters

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def kind(self) -> str:
        return self.kinds[self.at] if self.at < len(self.kinds) else ""

    def take(self, *signs: str) -> str:
        sign = self.peek()
        if sign in signs and self.at < len(self.tokens):
            self.at += 1
            return sign
        return ""

    def need(self, sign: str) -> None:
        if not self.take(sign):
            raise _UnreadError

    def sum(self) -> Value:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise _UnreadError
        left = self.product()
        while sign := self.take("+", "-"):
            left = _binary(sign, left, self.product())
        self.depth -= 1
        return left

    def product(self) -> Value:
        left = self.power()
        while True:
            if sign := self.take("*", "/", "\\cdot", "\\times", "\\div"):
                left = _binary("/" if sign in ("/", "\\div") else "*", left, self.power())
            elif self.begins_atom():
                left = _binary("*", left, self.power())
            else:
                return left

    def begins_atom(self) -> bool:
        kind, sign = self.kind(), self.peek()
        if kind == "sign":
            return sign in ("(", "{", "[")
        if kind == "number" and self.at and self.kinds[self.at - 1] == "number":
            return False  # 3 5 is no product
        return kind in ("number", "letter", "word") or (
            kind == "command" and sign[1:] not in ("cdot", "times", "div") and sign != "\\}"
        )

    def power(self) -> Value:
        if self.take("-"):
            inner = self.power()
            return lambda c, e: -inner(c, e)
        if self.take("+"):
            return self.power()
        base = self.postfix()
        if self.take("^", "**"):
            return _binary("^", base, self.exponent())
        return base

    def exponent(self) -> Value:
        if self.kind() in ("number", "letter") or self.peek() in ("-", "+", "\\pi"):
            return self.power()
        if self.peek() == "{":
            return self.group()
        return self.power()

    def group(self) -> Value:
        """The argument of a command: braces with all in them, or a single sign."""
        if self.take("{"):
            value = self.sum()
            self.need("}")
            return value
        return self.atom()

    def postfix(self) -> Value:
        value = self.atom()
        while sign := self.take("!", "%", "°"):
            value = _postfix(sign, value)
        return value

    def atom(self) -> Value:
        kind, sign = self.kind(), self.peek()
        self.at += 1
        if kind == "number":
            return self.number(sign)
        if kind == "letter":
            return self.letter(sign)
        if kind in ("word", "command"):
            return self.named(sign.removeprefix("\\"), kind == "command")
        closing = {"(": ")", "{": "}", "[": "]"}.get(sign)
        if closing is not None:
            return self.bracket(sign, closing)
        if sign == "|":
            inner = self.sum()
            self.need("|")
            return lambda c, e: c.fabs(inner(c, e))
        raise _UnreadError

    def number(self, sign: str) -> Value:
        digits = re.sub(r"[, ']", "", sign)
        if re.fullmatch(r"[1-9]\d{0,2}(?:\.\d{3})+,\d+", sign):
            digits = sign.replace(".", "").replace(",", ".")
        if sign.isdigit() and self.peek() == "\\frac":  # a mixed number, if both parts are digits
            part = self.tokens[self.at + 1 : self.at + 7]
            if len(part) == 6 and part[0] == "{" and part[1].isdigit() and part[4].isdigit():
                below = self.atom()
                return lambda c, e: c.mpf(digits) + below(c, e)
        return lambda c, e: c.mpf(digits)

    def letter(self, sign: str) -> Value:
        if sign == "e":
            return lambda c, e: +c.e
        name = re.sub(r"[{}]", "", sign)
        self.letters.add(name)
        return lambda c, e: e[name]

    def bracket(self, sign: str, closing: str) -> Value:
        value = self.sum()
        if sign == "{" and self.take("\\choose"):
            below = self.sum()
            self.need(closing)
            return _choose(value, below)
        self.need(closing)
        return value

    def named(self, name: str, is_command: bool) -> Value:
        if name == "pi":
            return lambda c, e: +c.pi
        if name in ("frac", "binom"):
            above, below = self.group(), self.group()
            return _binary("/", above, below) if name == "frac" else _choose(above, below)
        if name == "sqrt":
            return self.root()
        if name == "overline" or name not in _FUNCTIONS:
            if is_command and name in _GREEK:
                self.letters.add(name)
                return lambda c, e: e[name]
            if is_command and name in ("lvert", "vert"):
                inner = self.sum()
                if not self.take("\\rvert", "\\vert"):
                    raise _UnreadError
                return lambda c, e: c.fabs(inner(c, e))
            raise _UnreadError
        return self.function(name)

    def root(self) -> Value:
        degree: Value | None = None
        if self.take("["):
            degree = self.sum()
            self.need("]")
        inner = self.bracket_or_group()
        if degree is None:
            return lambda c, e: c.sqrt(inner(c, e))
        return lambda c, e: _root(c, inner(c, e), degree(c, e))

    def bracket_or_group(self) -> Value:
        if self.peek() == "(":
            self.at += 1
            return self.bracket("(", ")")
        return self.group()

    def function(self, name: str) -> Value:
        base: Value | None = None
        power: Value | None = None
        inverse = False
        if name == "log" and self.take("_"):
            base = self.group()
        if self.take("^"):
            inverse = self.tokens[self.at : self.at + 4] in (["{", "-", "1", "}"],)
            power = self.group()
        if name == "log" and base is None and self.take("_"):
            base = self.group()
        inner = self.argument()
        if name == "log":
            value = _log(inner, base)
        else:
            value = _called(("a" + name) if inverse else _FUNCTIONS[name], inner)
        if power is None and self.take("^", "**"):
            power = self.exponent()  # sin(x)^2 is the square of the sine
        return value if power is None or inverse else _binary("^", value, power)

    def argument(self) -> Value:
        if self.peek() in ("(", "{", "["):
            return self.bracket_or_group() if self.peek() != "[" else self.atom()
        value = self.power()
        while self.begins_atom() and self.peek() not in ("(", "[", "{"):
            if self.peek().removeprefix("\\") in _FUNCTIONS:
                break
            value = _binary("*", value, self.power())
        return value


def _bounded(context: MPContext, value: Any) -> Any:
    if value and context.mag(value) > _MAX_SIZE * 3.33:
        raise _UnreadError
    return value


def _binary(sign: str, left: Value, right: Value) -> Value:
    def value(c: MPContext, e: dict[str, Any]) -> Any:
        a, b = left(c, e), right(c, e)
        if sign == "+":
            return a + b
        if sign == "-":
            return a - b
        if sign == "*":
            return _bounded(c, a * b)
        if sign == "/":
            return a / b
        return _power(c, a, b)

    return value


def _power(c: MPContext, a: Any, b: Any) -> Any:
    if a == 0:
        if c.mpmathify(b).real <= 0:
            raise _UnreadError
        return c.mpf(0)
    if abs(b) * (abs(c.mag(a)) + 1) > _MAX_SIZE * 3.33:
        raise _UnreadError
    return a**b


def _root(c: MPContext, value: Any, degree: Any) -> Any:
    if not c.isint(degree) or not 1 <= degree <= 100:
        raise _UnreadError
    if not isinstance(value, c.mpc) and value < 0 and int(degree) % 2:
        return -c.root(-value, int(degree))
    return c.root(value, int(degree))


def _postfix(sign: str, inner: Value) -> Value:
    def value(c: MPContext, e: dict[str, Any]) -> Any:
        got = inner(c, e)
        if sign == "%":
            return got / 100
        if sign == "°":
            return got * c.pi / 180
        if not c.isint(got) or not 0 <= got <= _MAX_FACTORIAL:
            raise _UnreadError
        return _bounded(c, c.factorial(got))

    return value


def _choose(above: Value, below: Value) -> Value:
    def value(c: MPContext, e: dict[str, Any]) -> Any:
        n, k = above(c, e), below(c, e)
        if not (c.isint(n) and c.isint(k) and 0 <= k <= n <= _MAX_FACTORIAL):
            raise _UnreadError
        return _bounded(c, c.binomial(n, k))

    return value


def _log(inner: Value, base: Value | None) -> Value:
    """Without a base it is the natural one, as math-verify has it."""
    if base is None:
        return _called("ln", inner)
    return lambda c, e: c.ln(inner(c, e)) / c.ln(base(c, e))


def _called(name: str, inner: Value) -> Value:
    def value(c: MPContext, e: dict[str, Any]) -> Any:
        argument = inner(c, e)
        if argument and c.mag(argument) > 300:
            raise _UnreadError
        if name == "exp" and abs(argument) > 2 * _MAX_SIZE:
            raise _UnreadError
        return _bounded(c, getattr(c, name)(argument))

    return value


def fingerprint_of(value: Fraction) -> tuple[str, ...] | None:
    """The fingerprint of an expression that is this number; None beyond the digits kept."""
    context = MPContext()
    context.dps = _PRECISION
    try:
        shown = _shown(context, context.mpf(value.numerator) / value.denominator, False)
    except _UnreadError:
        return None
    return ("0", shown)
