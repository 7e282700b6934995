"""Formulas in texts: where they stand, what they become, and what stays as it was written."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ets.tree_page.formulas import Formulas, formula_spans
from ets.tree_page.mathml import MathML, mathml, remembering


def found(text: str) -> list[str]:
    return [text[begin:end] for begin, end, _, _ in formula_spans(text)]


def elements(tree: MathML) -> list[MathML]:
    return [tree, *(e for part in tree if isinstance(part, list) for e in elements(part))]


def words(tree: MathML) -> str:
    return "".join(
        part if isinstance(part, str) else words(part) if isinstance(part, list) else ""
        for part in tree[1:]
    )


# -- where they stand ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "formulas"),
    [
        ("so $x^2$ and $y$.", ["$x^2$", "$y$"]),
        (r"\(a\), \[b\] and $$c$$", [r"\(a\)", r"\[b\]", "$$c$$"]),
        ("\\[\nx = 1 \\\\[2pt]\ny\n\\]", ["\\[\nx = 1 \\\\[2pt]\ny\n\\]"]),
        (r"thus \boxed{\frac{1}{2}}.", [r"\boxed{\frac{1}{2}}"]),
        (r"\boxed{a\}b}", [r"\boxed{a\}b}"]),
        (r"\begin{align*}x&=1\end{align*}", [r"\begin{align*}x&=1\end{align*}"]),
        (r"$\text{two words} = 3$", [r"$\text{two words} = 3$"]),
        ("$n$-th and $k$th", ["$n$", "$k$"]),
        (r"\$5 and $x$", ["$x$"]),
        ("a $5 bill and $x = 3$", ["$x = 3$"]),
    ],
)
def test_formulas_are_found(text: str, formulas: list[str]) -> None:
    assert found(text) == formulas


@pytest.mark.parametrize(
    "text",
    [
        "costs $5 and $7",
        "from $5-$7",
        "($5/$10)",
        "$12.50 a unit, so 3 units cost $37.50",
        "$5 apples and 3$ pears",
        "he has $ 5 $ left",
        r"it costs \$5 and \$7",
        "$x\n\ny$",
        "$x$$",
        r"\(open",
        r"\[open \)",
        r"\boxed{open",
        r"\begin{align}x\end{gather}",
        r"\begin{itemize}x\end{itemize}",
        r"\\(x\\)",
        "$$$$",
        "",
    ],
)
def test_money_and_what_is_open_are_no_formulas(text: str) -> None:
    assert found(text) == []


@given(st.text(alphabet="$\\()[]{}a 5\nbegin", max_size=60))
def test_spans_lie_side_by_side(text: str) -> None:
    at = 0
    for begin, end, _, _ in formula_spans(text):
        assert at <= begin < end <= len(text)
        at = end


def test_places_are_counted_as_a_browser_counts() -> None:
    text = "\U0001d400 \U0001f600 is $x$ \ud83d $y$"
    units = text.encode("utf-16-le", "surrogatepass")
    found = Formulas().spans(text)
    assert found is not None
    begin, end, _, begin2, end2, _ = found
    assert units[2 * begin : 2 * end].decode("utf-16-le") == "$x$"
    assert units[2 * begin2 : 2 * end2].decode("utf-16-le") == "$y$"


def test_a_formula_is_converted_once() -> None:
    formulas = Formulas()
    assert formulas.spans("$x$ and $y$ and $x$") == [0, 3, 0, 8, 11, 1, 16, 19, 0]
    assert len(formulas.new()) == 2
    assert formulas.spans(r"$y$ and \(z\)") == [0, 3, 1, 8, 13, 2]
    assert len(formulas.new()) == 1
    assert formulas.spans("no formula") is None


def test_pages_share_what_was_converted() -> None:
    convert = remembering()
    for _ in range(2):
        assert Formulas(convert).spans(r"$x$ and \[x\] and $\foo$") == [0, 3, 0, 8, 13, 1]
    assert convert.cache_info().misses == 3  # type: ignore[attr-defined]
    assert convert.cache_info().hits == 3  # type: ignore[attr-defined]


def test_answers_without_signs() -> None:
    formulas = Formulas()
    assert [formulas.answer(a) for a in ("5", "x", "Ann", r"\frac{1}{2}", "x^2")] == [
        None, None, None, 0, 1,
    ]  # fmt: skip


# -- what they become ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("latex", "said"),
    [
        (r"\frac{-b\pm\sqrt{b^2-4ac}}{2a}", "−b±b2−4ac2a"),
        (r"5% = 0.05", "5%=0.05"),
        (r"5\% = 0.05", "5%=0.05"),
        (r"10{,}000", "10,000"),
        (r"\begin{aligned}x&=1\\y&=2\end{aligned}", "x=1y=2"),
        (r"\begin{cases}1&x>0\\0&\text{else}\end{cases}", "{1x>00else"),
        (r"\text{</script><b>&amp;}", None),
        (r"\text{</script><b>}", "</script><b>"),
        (r"x \neq y", "x≠y"),
    ],
)
def test_what_a_formula_says(latex: str, said: str | None) -> None:
    tree = mathml(latex, display=False)
    assert (None if tree is None else words(tree)) == said


def test_environments_that_the_converter_lacks_are_tables() -> None:
    tree = mathml(r"\begin{aligned}x&=1\\y&=2\end{aligned}", display=True)
    assert tree is not None
    assert [e[0] for e in elements(tree)].count("mtd") == 4


@pytest.mark.parametrize(
    ("latex", "drawn"),
    [
        (r"\boxed{42}", ["mrow", {"class": "boxed"}, ["mrow", ["mn", "42"]]]),
        (r"\cancel{4}", ["mrow", {"class": "struck"}, ["mrow", ["mn", "4"]]]),
        (r"\overline{4}", ["mrow", {"class": "over"}, ["mrow", ["mn", "4"]]]),
        (r"\underline{4}", ["mrow", {"class": "under"}, ["mrow", ["mn", "4"]]]),
    ],
)
def test_lines_are_such_that_browsers_draw_them(latex: str, drawn: MathML) -> None:
    tree = mathml(latex, display=False)
    assert tree is not None
    assert drawn in elements(tree)


def test_a_fence_that_is_none_takes_no_room() -> None:
    tree = mathml(r"\left.\frac{1}{2}\right|_0^1", display=True)
    assert tree is not None
    assert all(words(e) for e in elements(tree) if e[0] == "mo")


@pytest.mark.parametrize(
    "latex",
    [
        "",
        r"\foo{x}",
        "a & b",
        r"\frac{1}{",
        r"\left( x",
        "x^",
        "x^2^3",
        r"\def\a{\b\b}\def\b{\c\c}\a",
        r"\newcommand{\a}{x}\a",
        r"\begin{matrix}1",
        "{" * 500 + "x" + "}" * 500,
        r"\sqrt" * 300 + "x",
        "x^{" * 200 + "y" + "}" * 200,
        "x" * 5000,
        r"\left(" * 60 + "x" + r"\right)" * 60,
    ],
)
def test_what_is_not_understood_to_its_end_stays_as_it_is(latex: str) -> None:
    assert mathml(latex, display=False) is None


@pytest.mark.parametrize(
    "latex",
    [
        r"\href{javascript:alert(1)}{x}",
        r"\style{position:fixed;inset:0}{x}",
        r"\class{boxed struck}{x}",
        r"\color{white}x\textcolor{#fff}{y}\colorbox{red}{z}",
        r"\hspace{999em}x\kern-500em y\raise99em{z}\rule{900em}{900em}",
        r"\hspace{1e9em}\hspace{5.0%}x",
    ],
)
def test_attributes_are_of_few_kinds(latex: str) -> None:
    """Nothing of a link, a style or a class of its own, nor so large that it lies over the page."""
    tree = mathml(latex, display=False)
    for element in elements(tree or ["math"]):
        if len(element) > 1 and isinstance(element[1], dict):
            assert set(element[1]) <= {
                *("class", "display", "width", "height", "depth", "lspace", "voffset"),
                *("stretchy", "mathvariant", "scriptlevel", "displaystyle"),
            }
            assert element[1].get("class", "boxed") == "boxed"
            assert "99" not in json.dumps(element[1])


COMMANDS = st.sampled_from(
    [
        *(r"\frac", r"\sqrt", r"\left(", r"\right)", r"\text{a", r"\verb|x|", r"\hspace", r"\not"),
        *(r"\begin{matrix}", r"\end{matrix}", r"\boxed", r"\sum", r"\limits", r"\overline", r"\\"),
        *(r"\binom", r"\genfrac", r"\color", r"\substack", r"\tag{1}", r"\mathbb", r"\sideset"),
        *(r"\begin{array}{c|c}", r"\end{array}", r"\hline", r"\xrightarrow", r"\bra", r"\pmod"),
        *(r"\phantom", r"\skew", *"{}^_&x1[]'"),
    ]
)


@given(st.lists(COMMANDS, max_size=25).map(" ".join) | st.text(max_size=40))
def test_any_text_is_a_formula_or_none(latex: str) -> None:
    tree: Any = mathml(latex, display=True)
    if tree is not None:
        assert tree[0] == "math"
        assert json.loads(json.dumps(tree)) == tree
