"""Where an answer marker ends a solution, and where it is the rest of a thought."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ets.answer import extract_answer
from ets.policy.answer_end import ANSWER_MARKERS, holds_answer

THOUGHTS = [
    "#### Step 1: Find the slope\n\n",
    "#### Case 1: $x>0$\n\n",
    "Let's check whether the answer is correct.\n\n",
    "So the answer is not simply 12, because order matters.\n\n",
    "We must put the final answer in \\boxed{}. \n\n",
    "Hmm, the user says to put it within \\boxed{}.\n\n",
    "Wait, maybe the answer is in the form a+b.\n\n",
    "I need the final answer within \\boxed{ }.\n\n",
    "### Step 1\n\n",
    "The answer is:\n\n",
    "**The answer is**\n\n",
    "#### 1. Find the slope\n\n",
    "#### 2 Solutions\n\n",
    "#### Conclusion\n\n",
    "Is the answer is 12?\n\n",
    "the answer is 12? Let me check\n\n",
    "maybe the answer is 12.\n\n",
    "whether the answer is 12 or 13\n\n",
    "put it in \\boxed{answer}\n\n",
    "in \\boxed{\\ldots}.\n\n",
    "\\boxed{...}",
    "the answer is between 1 and 5",
    "the answer is the sum of",
    "#### 3: x",
    "#### Step 3\n\n12 + 3 = 15\n\n",
    "the answer is of the form m/n",
    "The answer is a number",
    "the answer is I think",
    "If the answer is 7, then",
    "#### The answer\n\n",
    "we know the answer is a multiple of 3.",
    "#### Let x = 3\n\n",
    "\\boxed{\\text{your answer}}",
    "the answer is obviously 12",
    "\\boxed{12",
    "the answer was 3",
    "\\boxed{####}",
    "The answer is\\boxed{####}",
    "The answer is\\boxed{\\boxed{}}",
    "The answer is}\\boxed{",
    "The answer is:\n\\[\n",
]
ANSWERS = [
    "Thus, \\boxed{42}\n\n",
    "Thus \\boxed 42\n\n",
    "\\fbox{3}\n\n",
    "The final answer is $\\boxed{7}$. I hope it is correct.\n\n",
    "The answer is 12.\n\n",
    "the answer is $x+1$.",
    "The answer is -3",
    "The answer is $1,200.",
    "The answer is \\frac{1}{2}.",
    "The answer is (B).",
    "The answer is yes.",
    "The answer is B",
    "So the answer is 3x + 2.",
    "the answer is x = 5",
    "The answer is 12 apples.",
    "#### 18\n\n",
    "#### 18",
    "blah\n#### $1,234.50\n",
    "#### -7\n",
    "#### 12 apples\n",
    "The answer is: 12",
    "**The answer is** 12",
    "The answer is Monday.",
    "The answer is\n\n12",
    "The answer is even.",
    "The answer is 7%.",
    "The answer is 10:30.",
    "The answer is 3/4.",
    "The answer is **12**.",
    "The answer is f(x)=2x",
    "#### \\boxed{3}",
    "The answer is \\(x^2\\)",
    "The answer is New York.",
    "The answer is 5 + 3 = 8.",
    "\\boxed{\\frac{1}{2}}",
    "\\boxed{ ... \\boxed{3}",
    "The answer is:\n\\[\n18\n\\]",
]


@pytest.mark.parametrize("text", THOUGHTS)
def test_a_marker_without_an_answer_ends_nothing(text: str) -> None:
    assert not holds_answer(text, ANSWER_MARKERS)


@pytest.mark.parametrize("text", ANSWERS)
def test_an_answer_ends_the_solution_and_is_what_extraction_takes(text: str) -> None:
    assert holds_answer(text, ANSWER_MARKERS)
    assert extract_answer(text) is not None


@pytest.mark.parametrize(
    "text", ["The answer is 1", "#### 1", "Thus \\boxed 1", "the answer is -1"]
)
def test_a_step_cut_in_a_number_may_go_on(text: str) -> None:
    assert not holds_answer(text, ANSWER_MARKERS, cut=True)
    assert holds_answer(f"{text}2 \n", ANSWER_MARKERS, cut=True)


def test_markers_of_ones_own_need_a_letter_or_a_digit() -> None:
    assert holds_answer("RESULT: up", ("RESULT:",))
    assert not holds_answer("RESULT: !?", ("RESULT:",))
    assert holds_answer("ans{up}", ("ans{",))
    assert not holds_answer("ans{}", ("ans{",))
    assert not holds_answer("The answer is 12.", ("\\boxed{",))


AROUND = st.text(alphabet="The answ#.\\boxed{}$123 \n?ifA", max_size=30)


@given(
    st.tuples(AROUND, st.sampled_from(ANSWER_MARKERS), st.sampled_from(["", "{1", " 12"]), AROUND)
)
def test_what_ends_a_solution_has_an_answer(parts: tuple[str, ...]) -> None:
    text = "".join(parts)
    if holds_answer(text, ANSWER_MARKERS):
        assert extract_answer(text) is not None


@given(
    st.lists(
        st.sampled_from(["The answer is", "\\boxed{", "}", "####", " 12", "\n", " not", "."]),
        max_size=9,
    )
)
def test_pieces_of_answers_in_any_order(pieces: list[str]) -> None:
    text = "".join(pieces)
    if holds_answer(text, ANSWER_MARKERS):
        assert extract_answer(text) is not None
