"""Expressions: LaTeX and plain notation read by one small grammar.

    sum      = product (("+" | "-") product)*
    product  = power (("*" | "/" | nothing) power)*
    power    = "-" power | postfix ("^" power)?
    postfix  = atom ("!" | degree sign | "%")*
    atom     = number | letter | constant | fraction | root | function power? argument | bracket

What the grammar does not cover to its last sign is not read at all.
"""

from __future__ import annotations

import re

from ets.answer.numbers import DIGITS, plain_digits
from ets.answer.values import UnreadError, Value, binary, called, choose, log, postfix, root

_MAX_LENGTH = 300
_MAX_DEPTH = 24
_MAX_RUN = 60

_TOKEN = re.compile(
    rf" *(?:(?P<number>{DIGITS}(?:[eE][+-]?\d{{1,3}}(?![\w(]))?)"
    r"|(?P<command>\\[A-Za-z]+|\\[{}|!])"
    r"|(?P<word>arcsin|arccos|arctan|asin|acos|atan|sinh|cosh|tanh|sin|cos|tan|cot|sec|csc|log|ln"
    r"|exp|sqrt|cbrt|abs|floor|ceil|pi(?![a-z])|infinity|inf(?![a-z]))|(?P<letter>[A-Za-z](?:_(?:\{\w+\}|\w))?)"
    r"|(?P<sign>\*\*|[-+*/^(){}\[\]|!%_°]))"
)
_FUNCTIONS = {
    "sin": "sin", "cos": "cos", "tan": "tan", "cot": "cot", "sec": "sec", "csc": "csc",
    "arcsin": "asin", "arccos": "acos", "arctan": "atan", "asin": "asin", "acos": "acos",
    "atan": "atan", "sinh": "sinh", "cosh": "cosh", "tanh": "tanh", "ln": "ln", "exp": "exp",
    "log": "log", "abs": "fabs", "cbrt": "cbrt", "floor": "floor", "ceil": "ceil",
}  # fmt: skip
_FENCES = {
    "lvert": (("\\rvert", "\\vert"), "fabs"), "vert": (("\\rvert", "\\vert"), "fabs"),
    "lfloor": (("\\rfloor",), "floor"), "lceil": (("\\rceil",), "ceil"),
}  # fmt: skip
_NO_ATOMS = ("cdot", "times", "div", "}", "rvert", "vert", "rfloor", "rceil")
_VECTORS = ("vec", "hat", "overrightarrow")
_NAMING = (*_VECTORS, "bar", "tilde", "dot", "ddot", "angle", "triangle", "mathcal")
"""What makes a name of the letters behind it."""
_GREEK = frozenset((
    "alpha", "beta", "gamma", "delta", "epsilon", "varepsilon", "zeta", "eta", "theta",
    "vartheta", "kappa", "lambda", "mu", "nu", "xi", "rho", "sigma", "tau", "phi", "varphi",
    "chi", "psi", "omega", "Gamma", "Delta", "Theta", "Lambda", "Sigma", "Phi", "Psi", "Omega",
    "ell", "hbar",
))  # fmt: skip


class Reader:
    """Reads a folded text to its last sign, or not at all (`UnreadError`)."""

    def __init__(self, s: str) -> None:
        if len(s) > _MAX_LENGTH or re.search(rf"\d{{{_MAX_RUN},}}", s):
            raise UnreadError
        self.tokens: list[str] = []
        self.kinds: list[str] = []
        at = 0
        s = s.rstrip()
        while at < len(s):
            match = _TOKEN.match(s, at)
            if match is None:
                raise UnreadError
            kind = match.lastgroup or ""
            self.kinds.append(kind)
            self.tokens.append(match[kind])
            at = match.end()
        self.at = 0
        self.depth = 0
        self.letters: set[str] = set()

    def whole(self) -> tuple[Value, set[str]]:
        """The expression that the text is, and its letters."""
        value = self.sum()
        if self.at != len(self.tokens):
            raise UnreadError
        if "\\times" in self.tokens and any(letter.startswith(_VECTORS) for letter in self.letters):
            raise UnreadError  # a cross product does not commute
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
            raise UnreadError

    def sum(self) -> Value:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise UnreadError
        left = self.product()
        while sign := self.take("+", "-"):
            left = binary(sign, left, self.product())
        self.depth -= 1
        return left

    def product(self) -> Value:
        left = self.power()
        while True:
            if sign := self.take("*", "/", "\\cdot", "\\times", "\\div"):
                left = binary("/" if sign in ("/", "\\div") else "*", left, self.power())
            elif self.begins_atom():
                left = binary("*", left, self.power())
            else:
                return left

    def begins_atom(self) -> bool:
        kind, sign = self.kind(), self.peek()
        if kind == "sign":
            return sign in ("(", "{", "[")
        if kind == "number" and self.at and self.kinds[self.at - 1] == "number":
            return False  # 3 5 is no product
        return kind in ("number", "letter", "word") or (
            kind == "command" and sign[1:] not in _NO_ATOMS
        )

    def power(self) -> Value:
        if self.take("-"):
            inner = self.power()
            return lambda c, e: -inner(c, e)
        if self.take("+"):
            return self.power()
        base = self.postfix()
        if self.take("^", "**"):
            return binary("^", base, self.exponent())
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
            value = postfix(sign, value)
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
        raise UnreadError

    def number(self, sign: str) -> Value:
        digits = plain_digits(sign)
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

    def verbatim(self) -> str:
        """The signs of a group, or the letters that follow: what a decoration makes a name of."""
        begin = self.at
        if self.take("{"):
            depth = 1
            while depth:
                sign = self.peek()
                if not sign:
                    raise UnreadError
                depth += (sign == "{") - (sign == "}")
                self.at += 1
        else:
            while self.kind() == "letter" or (self.at == begin and self.kind() == "command"):
                self.at += 1
        if self.at == begin:
            raise UnreadError
        return "".join(self.tokens[begin : self.at])

    def bracket(self, sign: str, closing: str) -> Value:
        value = self.sum()
        if sign == "{" and self.take("\\choose"):
            below = self.sum()
            self.need(closing)
            return choose(value, below)
        self.need(closing)
        return value

    def named(self, name: str, is_command: bool) -> Value:
        if name == "pi":
            return lambda c, e: +c.pi
        if name in ("frac", "binom"):
            above, below = self.group(), self.group()
            return binary("/", above, below) if name == "frac" else choose(above, below)
        if name == "sqrt":
            return self.root()
        if is_command and name in _NAMING:
            return self.letter(f"{name} {self.verbatim()}")
        if name == "overline" or name not in _FUNCTIONS:
            if is_command and name in _GREEK:
                self.letters.add(name)
                return lambda c, e: e[name]
            if is_command and name in _FENCES:
                closing, function = _FENCES[name]
                inner = self.sum()
                if not self.take(*closing):
                    raise UnreadError
                return called(function, inner)
            raise UnreadError
        return self.function(name)

    def root(self) -> Value:
        degree: Value | None = None
        if self.take("["):
            degree = self.sum()
            self.need("]")
        inner = self.bracket_or_group()
        if degree is None:
            return lambda c, e: c.sqrt(inner(c, e))
        return lambda c, e: root(c, inner(c, e), degree(c, e))

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
            value = log(inner, base)
        else:
            value = called(("a" + name) if inverse else _FUNCTIONS[name], inner)
        if power is None and self.take("^", "**"):
            power = self.exponent()  # sin(x)^2 is the square of the sine
        return value if power is None or inverse else binary("^", value, power)

    def argument(self) -> Value:
        if self.peek() in ("(", "{", "["):
            return self.bracket_or_group() if self.peek() != "[" else self.atom()
        value = self.power()
        while self.begins_atom() and self.peek() not in ("(", "[", "{"):
            if self.peek().removeprefix("\\") in _FUNCTIONS:
                break
            value = binary("*", value, self.power())
        return value
