"""The problem on which the doctor tries a pair, with a right and a wrong solution.

Its words are among those that the bundled pair knows.
"""

from __future__ import annotations

from ets.step import Prefix, Step

PROBLEM = (
    "Mia has 20 marbles. Eva has 2 more marbles than Mia. Eva buys 2 bags of 3 marbles. "
    "How many marbles does Eva have now?"
)
RIGHT = (
    "As Mia has 20 marbles, Eva has 2 more than Mia: 20 + 2 = 22.",
    "There are 2 bags of 3 marbles. 3 * 2 = 6 more.",
    "Eva has 22 marbles and gets 6 more: 22 + 6 = 28. The answer is 28.",
)
WRONG = (
    RIGHT[0],
    "There are 2 bags of 3 marbles. 3 + 2 = 5 more.",
    "Eva has 22 marbles and gets 5 more: 22 + 5 = 27. The answer is 27.",
)
SAME = "She buys 2 bags with 3 marbles each: 3 * 2 = 6 marbles."
"""The second step of `RIGHT` in other words."""
FIRST_WRONG = 1
"""The index of the first step that is wrong in `WRONG`."""


def solution(steps: tuple[str, ...], *, problem: str = PROBLEM) -> Prefix:
    """Steps as a PRM gets them; there are no ids, which PRMs do not read."""
    parts = tuple(Step(f"{text}\n\n", (), "step") for text in steps)
    return Prefix(problem, 0, (), parts)
