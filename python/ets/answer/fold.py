"""One way of writing: what styles, widths and spacing add to an answer is taken off it."""

from __future__ import annotations

import re
import unicodedata

MAX_FOLDED = 30_000
"""Longer answers stay as they are: they are compared as text."""

_SIGNS = {
    "\u2212": "-", "\u2013": "-", "\u2014": "-", "\u2010": "-", "\u2011": "-", "\ufe63": "-",
    "\u00d7": "\\times ", "\u00b7": "\\cdot ", "\u22c5": "\\cdot ", "\u2219": "\\cdot ",
    "\u2022": "\\cdot ", "\u00f7": "/", "\u2044": "/", "\u2215": "/",
    "\u221a": "\\sqrt ", "\u221e": "\\infty ", "\u03c0": "\\pi ", "\u00b1": "\\pm ",
    "\u2264": "\\le ", "\u2265": "\\ge ", "\u2260": "\\ne ", "\u2248": "\\approx ",
    "\u222a": "\\cup ", "\u2229": "\\cap ", "\u2208": "\\in ", "\u2205": "\\emptyset ",
    "\u211d": "\\mathbb{R}", "\u2124": "\\mathbb{Z}", "\u2115": "\\mathbb{N}",
    "\u211a": "\\mathbb{Q}", "\u2102": "\\mathbb{C}", "\u03b8": "\\theta ", "\u03b1": "\\alpha ",
    "\u03b2": "\\beta ", "\u03b3": "\\gamma ", "\u03bb": "\\lambda ", "\u03bc": "\\mu ",
    "\u03c3": "\\sigma ", "\u03c6": "\\phi ", "\u03c9": "\\omega ", "\u03c1": "\\rho ",
    "\u3002": ".", "\u3001": ",", "\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"',
    "\u2032": "'", "\u00ba": "\u00b0", "\u2061": "", "\u2062": "", "\u200b": "", "\ufeff": "",
}  # fmt: skip
_SUPERSCRIPT = re.compile("[\u207a\u207b\u2070\u00b9\u00b2\u00b3\u2074-\u2079\u207f]+")
_SUBSCRIPT = re.compile("[\u2080-\u2089]+")
_ROOT = re.compile(r"\\sqrt (\d+|[A-Za-z])")


def plain_signs(text: str) -> str:
    """Full-width, superscript and mathematical characters as ASCII and LaTeX write them."""
    if text.isascii():
        return text
    text = _SUPERSCRIPT.sub(lambda m: f"^{{{unicodedata.normalize('NFKC', m[0])}}}", text)
    text = _SUBSCRIPT.sub(lambda m: f"_{{{unicodedata.normalize('NFKC', m[0])}}}", text)
    found: list[str] = []
    for sign in text:
        if sign.isascii():
            found.append(sign)
        elif sign in _SIGNS:
            found.append(_SIGNS[sign])
        elif unicodedata.decomposition(sign).startswith("<fraction>"):
            # 1\u00bd is a mixed number, not eleven halves
            whole = " " if found and found[-1].isdigit() else ""
            found.append(whole + unicodedata.normalize("NFKC", sign).replace("\u2044", "/"))
        else:
            folded = unicodedata.normalize("NFKC", sign)
            if folded.isdecimal() and len(folded) == 1:
                folded = str(unicodedata.decimal(folded))
            found.append(folded)
    text = "".join(_SIGNS.get(sign, sign) for sign in "".join(found))
    return _ROOT.sub(r"\\sqrt{\1}", text)


_STYLES = (
    "text|textbf|textit|textrm|texttt|textsf|textnormal|textup|textsc|textsl|mathrm|mathbf|mathit|mathsf|mathtt|mbox|hbox"
    "|bold|boldsymbol|bm|bf|rm|it|emph|underline|operatorname\\*?|boxed|fbox|ensuremath|displaystyle"
    "|pmb|mathnormal"
)
_DRESSING = re.compile(
    r"\\(?:h|v)?phantom\s*\{[^{}]*\}|\\hspace\*?\s*\{[^{}]*\}|\\(?:text)?color\s*\{\w+\}"
    r"|\\(?:tiny|small|normalsize|large|Large|LARGE|huge|Huge|displaystyle|rm|quad)(?![a-zA-Z])"
)
"""What takes room or gives a colour, and says nothing."""
_OVER = re.compile(r"(?<![\\\w])\{ ?([^{}]*?) ?\\over(?![a-z]) ?([^{}]*?) ?\}")
_DOTTED = re.compile(r"(?<=[\d.])\\dot ?\{?(\d)\}?(?:(\d*)\\dot ?\{?(\d)\}?)?")
_BAR = re.compile(r"(?<=[\d.])\\(?:bar|widebar) ?(?:(\d)|\{ ?(\d+) ?\})")
_MACRON = re.compile("((?:\\d\u0305)+)")
_BARE_STYLE = re.compile(
    r"\\(?:left|right|displaystyle|textstyle|scriptstyle|limits|[bB]igg?[lr]?|bf|rm|it|boldsymbol"
    r"|mathbf|nolimits|middle)(?![a-zA-Z])"
)
_TAG = re.compile(
    r"</?(?:b|i|u|em|strong|code|span|p|sup|sub|mark|big|small|answer|br)\s*/?>", re.I
)
_THIN = re.compile(r"(?<!\\)\\[,;:!> ]|\\q?quad\b|~|\\(?=\n)")
_GROUPED = re.compile(r"(?<=\d),\s*\\!\s*(?=\d)|(?<=\d)\{,\}\s*(?=\d)")
_DEGREES = re.compile(r"\^\s*\{?\s*(?:\\circ|\\degree)\s*\}?|\\degree\b|\\textdegree\b")
_BARE_FRAC = re.compile(r"\\frac\s*(?:(\d)|\{([^{}]*)\})\s*(?:(\d)|\{([^{}]*)\})")
_BARE_ROOT = re.compile(r"\\sqrt\s*(\d|[a-zA-Z])")
ENVIRONMENT = re.compile(r"\\(?:begin|end)\{(?:equation|align|aligned|gather|gathered|split)\*?\}")
_PRICE = re.compile(r"(?<![A-Za-z])(?:US|USD)?[ ]?\\?\$[ ]?(?=[\d.])|US\$[ ]?(?=[\d.])")


def unstyled(s: str) -> str:
    """`s` without styles, each with its balanced braces: `\\textbf{\\frac{1}{2}}`, `**5**`."""
    s = _TAG.sub("", s)
    pieces: list[str] = []
    closing: list[bool] = []  # for each open brace, whether a style opened it
    at = 0
    for token in re.finditer(rf"\\(?:{_STYLES})\s*\{{|\\[\\{{}}]|[{{}}]", s):
        pieces.append(s[at : token.start()])
        at = token.end()
        sign = token[0]
        if len(sign) > 2:
            closing.append(True)
        elif sign == "{":
            closing.append(False)
            pieces.append(sign)
        elif sign == "}":
            if not (closing.pop() if closing else False):
                pieces.append(sign)
        else:
            pieces.append(sign)
    pieces.append(s[at:])
    return _BARE_STYLE.sub("", "".join(pieces))


_LOOSE = re.compile(r" ?([-+*/=^_,(){}<>|;\[\]]) ?")
_MARK = re.compile(r"(\*\*\*|\*\*|__|`+|\*|_)(.*)\1", re.DOTALL)


def fold(answer: str) -> str:
    """The answer as all its dresses write it: `fold(a) == fold(b)` says that they are one text."""
    s = answer.strip()
    if len(s) > MAX_FOLDED:
        return s
    s = plain_signs(s)
    s = _GROUPED.sub(",", s)
    s = _prices(s)
    s = re.sub(r"(?<!\\)\\[()\[\]]", "", s)
    s = re.sub(r"\\[dtc]frac", r"\\frac", s).replace("\\%", "%").replace("\\dbinom", "\\binom")
    s = _MACRON.sub(lambda m: f"\\overline{{{m[1].replace(chr(0x305), '')}}}", s)
    s = _DOTTED.sub(lambda m: f"\\overline{{{''.join(part or '' for part in m.groups())}}}", s)
    s = _BAR.sub(lambda m: f"\\overline{{{m[1] or m[2]}}}", s)
    s = _DRESSING.sub(" ", s)
    s = s.replace("\\tbinom", "\\binom").replace("\\lbrace", "\\{").replace("\\rbrace", "\\}")
    s = s.replace("\\leqslant", "\\le").replace("\\geqslant", "\\ge")
    s = re.sub(r"\\leq(?![a-zA-Z])", r"\\le", s)
    s = re.sub(r"\\geq(?![a-zA-Z])", r"\\ge", s)
    s = re.sub(r"\\neq(?![a-zA-Z])", r"\\ne", s)
    s = _DEGREES.sub("\u00b0", s)
    s = ENVIRONMENT.sub(" ", s)
    s = unstyled(s)
    while (mark := _MARK.fullmatch(s)) is not None and mark[2].strip():
        s = mark[2].strip()
    s = _THIN.sub(" ", s)
    s = s.replace("{:}", ":")
    s = _OVER.sub(r"\\frac{\1}{\2}", s)
    s = _BARE_FRAC.sub(_whole_frac, s)
    s = re.sub(r"(?<![\\\w]){ ?(\w+) ?\\choose ?(\w+) ?}", r"\\binom{\1}{\2}", s)
    s = re.sub(r"(?<=\d) ?[xX] ?(?=10(?:\^|\*\*))", r"\\cdot ", s)
    s = re.sub(r"\\overline ?\{ ?([A-Z]{2}) ?\}", r"\1", s)
    s = _BARE_ROOT.sub(r"\\sqrt{\1}", s)
    s = _LOOSE.sub(r"\1", " ".join(s.split())).strip()
    return _unquoted(s).rstrip(" ,;:") if s[-2:] == ".." else _without_stop(s)


def _without_stop(s: str) -> str:
    s = _unquoted(s).rstrip(" ,;:!" if not re.search(r"[\w)}]!$", s) else " ,;:")
    if s.endswith("."):
        s = _unquoted(s[:-1])
    return s


def _unquoted(s: str) -> str:
    """`s` without quotation marks around it; behind a digit they are feet and inches."""
    s = s.strip()
    if len(s) > 2 and s[0] == s[-1] and s[0] in "\"'":
        s = s[1:-1].strip()
    return s if re.search(r"\d\"$", s) else s.strip(' "')


def _whole_frac(match: re.Match[str]) -> str:
    above = match[1] if match[1] is not None else match[2]
    below = match[3] if match[3] is not None else match[4]
    return f"\\frac{{{above}}}{{{below}}}"


def _prices(s: str) -> str:
    """Dollar signs that are money as `USD`; those around mathematics go."""
    if "$" not in s:
        return s
    s = s.replace("\\$", "\0")
    if s.count("$") == 1:
        s = s.replace("$", "\0")
    s = s.replace("$", "")
    s = re.sub(r"\b(?:US|USD) ?\0", "\0", s)
    return re.sub(
        r" ?\0 ?",
        lambda m: (
            "USD "
            if m.end() < len(s)
            and m.string[m.end() :].lstrip()[:1] in "0123456789.-"
            and m.string[m.end() :].strip()
            else " USD "
        ),
        s,
    ).strip()
