"""What the tables of answers are held against."""

from __future__ import annotations

from ets.answer import extract_answer, same_answer


def check_equal(a: str, b: str) -> None:
    assert same_answer(a, b), f"{a!r} and {b!r} are told apart"
    assert same_answer(b, a), f"{b!r} and {a!r} are told apart"


def check_different(a: str, b: str) -> None:
    assert not same_answer(a, b), f"{a!r} and {b!r} are taken for equal"
    assert not same_answer(b, a), f"{b!r} and {a!r} are taken for equal"


def check_extracted(solution: str, answer: str | None) -> None:
    """`answer` in any dress, or none where there is none."""
    found = extract_answer(solution)
    if found is None or answer is None:
        assert found is answer, f"found {found!r}, not {answer!r}"
    else:
        assert same_answer(found, answer), f"found {found!r}, not {answer!r}"
