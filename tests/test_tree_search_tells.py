"""`TreeSearch`, told what is wrong: nothing changes, and one line says why."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ets.errors import InputError
from ets.strategy import (
    ETS,
    REBASE,
)
from ets.tree_search.search import Child, TreeSearch
from tree_search_cases import begin, good

HOSTILE: list[tuple[list[Any], str]] = [
    ([good(parent=1)], r"children\[0\].parent must be a node asked for, one of \[0\], got 1"),
    ([good(parent=-1)], r"parent .* got -1"),
    ([good(parent=0.0)], r"children\[0\].parent must be an integer, got 0.0"),
    ([good(parent=False)], r"parent must be an integer, got False"),
    ([good(), good(index=3)], r"children\[1\].index .* one of \[2\], got 3"),
    ([good(index=1)], r"index .* not told yet, one of \[0, 2\], got 1"),
    ([good(index=-1)], r"index must be at least 0, got -1"),
    ([good(index="0")], r"index must be an integer, got '0'"),
    ([good(), good(index=0)], r"children\[1\].index .* one of \[2\], got 0"),
    ([good()] * 3, r"children\[2\]: node 0 was asked for 3 continuations, of which 2"),
    ([good(tokens=-1)], r"children\[0\].tokens must be at least 0, got -1"),
    ([good(tokens=2.0)], r"tokens must be an integer, got 2.0"),
    ([good(tokens=2**32)], r"tokens must be below 2\*\*32"),
    ([good(), good(reward=float("nan"))], r"children\[1\].reward must lie in \[0, 1\], got nan"),
    ([good(reward=1.5)], r"reward must lie in \[0, 1\], got 1.5"),
    ([good(reward=-0.001)], r"reward must lie in \[0, 1\], got -0.001"),
    ([good(reward=float("inf"))], r"reward .* got inf"),
    ([good(reward=None)], r"reward must be a number in \[0, 1\], got None"),
    ([good(reward=True)], r"reward must be a number"),
    ([good(reward="0.5")], r"reward must be a number"),
    ([good(reward=np.complex64(0.5))], r"reward must lie"),
    ([good(finished=1)], r"finished must be True or False, got 1"),
    ([good(text=b"a")], r"text must be a text or None"),
    ([good(embedding=[1.0, 2.0])], r"embedding must be a float32 array, got list"),
    ([good(embedding=np.array([1.0, 2.0]))], r"embedding .* float32 array, got float64"),
    ([good(embedding=np.ones((1, 2), dtype=np.float32))], r"got float32 of shape \(1, 2\)"),
    ([good(embedding=np.zeros(2, dtype=np.float32))], r"embedding must not be zero"),
    ([good(embedding=np.zeros(0, dtype=np.float32))], r"embedding must not be zero"),
    ([good(embedding=np.array([1, np.nan], dtype=np.float32))], r"embedding\[1\] must be finite"),
    ([good(embedding=None, text=None)], r"children\[0\] needs an embedding"),
    ([good(), good(embedding=None, text="b")], r"continuation 2 of node 0 has no embedding"),
    ([good(), good(embedding=np.ones(3, dtype=np.float32))], r"one length, got 2 .* and 3"),
    ([(0, 5, 0.5)], r"children\[0\] must be a Child, got tuple"),
    ([None], r"children\[0\] must be a Child, got NoneType"),
]


@pytest.mark.parametrize(("children", "message"), HOSTILE)
def test_a_rejected_tell_changes_nothing(children: list[Any], message: str) -> None:
    search = begin(ETS(width=3))
    search.tell([good(index=1)])
    before, asks = search.to_json(), search.ask()
    with pytest.raises(InputError, match=message):
        search.tell(children)
    assert search.to_json() == before
    assert search.ask() == asks
    search.tell([good(), good()])
    assert len(search.nodes) == 4


def test_a_generator_that_fails_midway_changes_nothing() -> None:
    def children() -> Any:
        yield good()
        raise RuntimeError("engine died")

    search = begin(ETS(width=3))
    before = search.to_json()
    with pytest.raises(RuntimeError, match="engine died"):
        search.tell(children())
    assert search.to_json() == before


def test_nothing_can_be_told_when_the_search_is_over() -> None:
    search = begin(REBASE(width=1))
    search.tell([Child(0, 5, 0.5, finished=True)])
    assert search.end == "width_used_up"
    search.tell([])
    with pytest.raises(InputError, match="the search is over"):
        search.tell([Child(0, 5, 0.5)])


def test_a_reward_of_minus_zero_is_zero() -> None:
    searches = [begin(REBASE(width=2)) for _ in range(2)]
    for search, zero in zip(searches, (0.0, -0.0), strict=True):
        search.tell([Child(0, 5, zero)])
    assert searches[0].to_json() == searches[1].to_json()


def test_numpy_values_are_welcome() -> None:
    child = Child(np.int64(0), np.uint8(5), np.float32(0.5), np.bool_(True), index=np.int16(0))  # type: ignore[arg-type]
    search = begin(REBASE(width=1))
    search.tell([child])
    assert TreeSearch.from_json(search.to_json()) == search


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompt_tokens": -1}, "prompt_tokens must be at least 0, got -1"),
        ({"prompt_tokens": 1.5}, "prompt_tokens must be an integer"),
        ({"prompt_tokens": 2**32}, "prompt_tokens"),
        ({"max_tokens": 0}, "max_tokens must be at least 1, got 0"),
        ({"max_depth": 0}, "max_depth must be at least 1, got 0"),
        ({"seed": "x"}, "seed must be an integer, got 'x'"),
        ({"strategy": "ets"}, "strategy must have width, needs_embeddings and decide"),
    ],
)
def test_wrong_settings_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        TreeSearch(**{"strategy": REBASE(width=2), "prompt_tokens": 5, **options})
