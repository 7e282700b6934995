"""Fewer of a search's independent samples: held against searches of that width, and by hand."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ets
from ets.answer import VoteMethod, same_answer, vote
from ets.bench.grid import Cell
from ets.bench.independent import narrower, narrower_widths, winner_is_right
from ets.bench.measure import measure
from ets.problems.problem import Problem
from scripted_engines import ScriptedPolicy, ScriptedPRM

WIDE = 12


def rows_of(width: int, problem: str) -> dict[str, Any]:
    """The row of a search over scripted engines, of which every sample follows from its seed."""
    search = ets.Search(ScriptedPolicy(), ScriptedPRM(), ets.BestOfN(width=width), max_tokens=400)
    with search:
        result = search.solve(problem)
    return measure(cell_of(width), 0, Problem(problem, "1", problem), result)


def cell_of(width: int, **more: Any) -> Cell:
    return Cell("best-of-n", (("width", width), *more.items()))


@pytest.mark.parametrize("problem", ["one", "two", "three"])
def test_the_first_samples_are_the_narrower_search(problem: str) -> None:
    """To the last figure, whatever the order in which samples came back."""
    wide = rows_of(WIDE, problem)
    whole = narrower(wide, WIDE, "weighted")
    assert whole.policy_tokens == wide["usage"]["policy_tokens"]
    assert whole.kv == wide["kv"]["before"]["sum"]
    for width in (1, 3, 6, 7):
        alone = rows_of(width, problem)
        first = {**wide, "samples": wide["samples"]}
        keep = [i for i, number in enumerate(wide["samples"]["number"]) if number < width]
        for name in ("classes", "hits", "scores", "tokens"):
            first[name] = [wide[name][i] for i in keep]
        first["samples"] = {
            key: [value[i] for i in keep] if isinstance(value, list) else value
            for key, value in wide["samples"].items()
        }
        for how in get_args(VoteMethod):
            made = narrower(first, width, how)
            assert made.right == alone["right"][how]
            assert made.policy_tokens == alone["usage"]["policy_tokens"]
            assert made.kv == alone["kv"]["before"]["sum"]


def test_the_mean_of_the_groups() -> None:
    row = {
        "classes": [0, 1, 0, -1, 1, 1, 0],
        "hits": [True, False, True, False, False, False, True],
        "scores": [0.2, 0.9, 0.3, 0.5, 0.1, 0.4, 0.5],
        "tokens": [1, 2, 4, 8, 16, 32, 64],
        "samples": {
            "prompt_tokens": 100,
            "number": [6, 0, 1, 2, 3, 4, 5],
            "steps": [1, 1, 2, 3, 3, 4, 4],
            "kv": [0, 0, 3, 5, 9, 20, 40],
        },
    }
    # Samples 0 to 2 are at the places 1, 2, 3; 3 to 5 at 4, 5, 6; the seventh is left over.
    made = narrower(row, 3, "majority")
    assert made.right == 0.0  # a tie, which goes to the wrong one that came first; then 2 against 1
    assert made.policy_tokens == ((2 + 4 + 8) + (16 + 32 + 64)) / 2
    assert made.kv == ((0 + 3 + 5 + 100 * 3) + (9 + 20 + 40 + 100 * 4)) / 2
    assert narrower(row, 3, "best").right == 0.5
    assert narrower(row, 3, "weighted").right == 0.0, "0.5 against 0.5, and the wrong one was first"
    assert narrower(row, 1, "majority").right == pytest.approx(3 / 7)


ANSWERS = st.sampled_from(["1", "2", "3", None])
SCORES = st.integers(0, 8).map(lambda eighths: eighths / 8)


@given(st.lists(st.tuples(ANSWERS, SCORES), min_size=1, max_size=12), st.data())
def test_votes_are_those_of_the_answers(
    solutions: list[tuple[str | None, float]], data: st.DataObject
) -> None:
    answers, scores = [a for a, _ in solutions], [s for _, s in solutions]
    firsts = list(dict.fromkeys(answer for answer in answers if answer is not None))
    row = {
        "classes": [-1 if a is None else firsts.index(a) for a in answers],
        "hits": [a == "1" for a in answers],
        "scores": scores,
    }
    group = sorted(data.draw(st.sets(st.sampled_from(range(len(answers))), min_size=1)))
    for how in get_args(VoteMethod):
        votes = vote([answers[i] for i in group], [scores[i] for i in group], how)
        right = bool(votes) and same_answer(votes[0].answer, "1")
        assert winner_is_right(row, group, how) == right


def test_of_what_no_narrower_search_is_known() -> None:
    row = rows_of(4, "one")
    assert narrower_widths(cell_of(4), [row], [3, 4, 9]) == [1, 2, 3]
    assert narrower_widths(cell_of(4), [], [2]) == []
    assert narrower_widths(cell_of(4, stop=0.9), [row], [2]) == [], "it might have stopped early"
    assert narrower_widths(Cell("rebase", (("width", 4),)), [row], [2]) == []
    older = {key: value for key, value in row.items() if key != "samples"}
    assert narrower_widths(cell_of(4), [row, older], [2]) == []
    short = {**row, "classes": row["classes"][:3]}
    assert narrower_widths(cell_of(4), [row, short], [2]) == []
