"""Expressions valued at a few points: those that agree there to sixty digits are equal."""

from __future__ import annotations

import hashlib
import threading
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ets.answer.grammar import Reader
from ets.answer.values import UnreadError

if TYPE_CHECKING:
    from mpmath.ctx_mp import MPContext

_DIGITS_KEPT = 60
_PRECISION = 110
_POINTS = 6


@lru_cache(maxsize=16_384)
def fingerprint(s: str) -> tuple[str, ...] | None:
    """The values of a folded expression at a few points; None if it is not read or has none.

    Where an expression in real letters is not real, its value says nothing and is left out; so
    `\\sqrt{1/n}` and `1/\\sqrt{n}` agree. Equal fingerprints mean equal expressions, and since they
    are compared as text, that is transitive.
    """
    try:
        value, letters = Reader(s).whole()
    except (UnreadError, RecursionError):
        return None
    context = _context()
    found = []
    points = range(_POINTS) if letters - {"i"} else range(1)
    for point in points:
        env = {letter: _point(context, letter, point) for letter in letters}
        env["i"] = context.mpc(0, 1)
        try:
            found.append(
                _shown(context, value(context, env), not letters - {"i"} or "i" in letters)
            )
        except (UnreadError, ValueError, OverflowError, ZeroDivisionError, TypeError):
            found.append("")
    if not any(found):
        return None
    return ("1" if letters - {"i"} else "0", *found)


@lru_cache(maxsize=16_384)
def relation_fingerprint(left: str, right: str, *, directed: bool) -> tuple[str, ...] | None:
    """What `left = right` has in common with its multiples, or `left < right` with the positive.

    The values of the difference at a few points, as multiples of the first; None where a side is
    not read, there is no letter, or the difference is nothing.
    """
    try:
        above, letters = Reader(left).whole()
        below, others = Reader(right).whole()
    except (UnreadError, RecursionError):
        return None
    if not (letters := letters | others) - {"i"}:
        return None
    context = _context()
    first: Any = None
    found = []
    for point in range(_POINTS):
        env = {letter: _point(context, letter, point) for letter in letters}
        env["i"] = context.mpc(0, 1)
        try:
            a, b = above(context, env), below(context, env)
            value = a - b
            if abs(value) <= (abs(a) + abs(b)) * context.mpf(10) ** (-_DIGITS_KEPT - 10):
                value = context.mpf(0)
            if isinstance(value, context.mpc) and value.imag and "i" not in letters:
                found.append("")
                continue
            if first is None and value:
                first = abs(value) if directed else value
            found.append(_shown(context, value / (first or 1), "i" in letters))
        except (UnreadError, ValueError, OverflowError, ZeroDivisionError, TypeError):
            found.append("")
    return None if first is None else tuple(found)


def constant(s: str) -> Any:
    """The real value of a folded expression without letters, as an mpf; None if it has none."""
    try:
        value, letters = Reader(s).whole()
        if letters:
            return None
        context = _context()
        got = context.mpmathify(value(context, {}))
    except (UnreadError, RecursionError, ValueError, OverflowError, ZeroDivisionError, TypeError):
        return None
    return None if isinstance(got, context.mpc) and got.imag else context.mpf(got.real)


class _OfThread(threading.local):
    """A context takes 2 ms to make, a vote asks for hundreds, and threads cannot share one, since
    functions raise its precision while they run."""

    context: MPContext | None = None


_OF_THREAD = _OfThread()


def _context() -> MPContext:
    if _OF_THREAD.context is None:
        from mpmath.ctx_mp import MPContext  # takes longer to import than all of ets.answer

        _OF_THREAD.context = MPContext()
    _OF_THREAD.context.dps = _PRECISION
    return _OF_THREAD.context


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
        raise UnreadError  # more digits before the point than are kept
    tiny = size * context.mpf(10) ** (-_DIGITS_KEPT - 10)
    real, imag = (0 if abs(part) <= tiny else part for part in (real, imag))
    if imag and not is_complex:
        return ""
    # Not a tie in rounding, whatever round number the value is.
    shift = 1 + context.pi / 10**7
    parts = [context.nstr(context.mpf(part) * shift, _DIGITS_KEPT) for part in (real, imag)]
    return parts[0] if not imag else "+i".join(parts)


def fingerprint_of(value: Fraction) -> tuple[str, ...] | None:
    """The fingerprint of an expression that is this number; None beyond the digits kept."""
    context = _context()
    try:
        shown = _shown(context, context.mpf(value.numerator) / value.denominator, False)
    except UnreadError:
        return None
    return ("0", shown)
