"""Values of expressions: numbers of many digits, within bounds that keep them quick."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from mpmath.ctx_mp import MPContext

_MAX_SIZE = 1_000
"""The largest decimal exponent of a value: beyond it lie towers of powers."""
_MAX_FACTORIAL = 1_000

_STEPS = ("floor", "ceil")

Value: TypeAlias = "Callable[[MPContext, dict[str, Any]], Any]"
"""An expression's value in a context, for the values of its letters."""


class UnreadError(Exception):
    """The text is no expression of the grammar, or its value is out of bounds."""


def bounded(context: MPContext, value: Any) -> Any:
    """A value, if it is not too great."""
    if value and context.mag(value) > _MAX_SIZE * 3.33:
        raise UnreadError
    return value


def binary(sign: str, left: Value, right: Value) -> Value:
    """The sum, difference, product, quotient or power of two."""

    def value(c: MPContext, e: dict[str, Any]) -> Any:
        a, b = left(c, e), right(c, e)
        if sign == "+":
            return a + b
        if sign == "-":
            return a - b
        if sign == "*":
            return bounded(c, a * b)
        if sign == "/":
            return a / b
        return _power(c, a, b)

    return value


def _power(c: MPContext, a: Any, b: Any) -> Any:
    if a == 0:
        if c.mpmathify(b).real <= 0:
            raise UnreadError
        return c.mpf(0)
    if abs(b) * (abs(c.mag(a)) + 1) > _MAX_SIZE * 3.33:
        raise UnreadError
    return a**b


def root(c: MPContext, value: Any, degree: Any) -> Any:
    """A root, real where it can be."""
    if not c.isint(degree) or not 1 <= degree <= 100:
        raise UnreadError
    if not isinstance(value, c.mpc) and value < 0 and int(degree) % 2:
        return -c.root(-value, int(degree))
    return c.root(value, int(degree))


def postfix(sign: str, inner: Value) -> Value:
    """A factorial, a percentage or an angle in degrees."""

    def value(c: MPContext, e: dict[str, Any]) -> Any:
        got = inner(c, e)
        if sign == "%":
            return got / 100
        if sign == "°":
            return got * c.pi / 180
        if not c.isint(got) or not 0 <= got <= _MAX_FACTORIAL:
            raise UnreadError
        return bounded(c, c.factorial(got))

    return value


def choose(above: Value, below: Value) -> Value:
    """A binomial coefficient."""

    def value(c: MPContext, e: dict[str, Any]) -> Any:
        n, k = above(c, e), below(c, e)
        if not (c.isint(n) and c.isint(k) and 0 <= k <= n <= _MAX_FACTORIAL):
            raise UnreadError
        return bounded(c, c.binomial(n, k))

    return value


def log(inner: Value, base: Value | None) -> Value:
    """Without a base it is the natural one, as math-verify has it."""
    if base is None:
        return called("ln", inner)
    return lambda c, e: c.ln(inner(c, e)) / c.ln(base(c, e))


def called(name: str, inner: Value) -> Value:
    """A function of a value."""

    def value(c: MPContext, e: dict[str, Any]) -> Any:
        if name in _STEPS and set(e) - {"i"}:
            raise UnreadError  # six points say little about what is flat between its steps
        argument = inner(c, e)
        if argument and c.mag(argument) > 300:
            raise UnreadError
        if name == "exp" and abs(argument) > 2 * _MAX_SIZE:
            raise UnreadError
        return bounded(c, getattr(c, name)(argument))

    return value
