"""One budget for many problems: where it goes, and what that is worth."""

from __future__ import annotations

import functools
import itertools
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import ets
from ets.answer.worth import worth_of_votes
from ets.errors import InputError
from ets.search.shared import Bid, chosen
from scripted_search import PROBLEMS, search
from test_until import Skewed, all_of

# -- what votes are worth --------------------------------------------------------------------------


def over_half(x: int, y: int) -> Fraction:
    """P(theta > 1/2) of Beta(x + 1, y + 1), exactly."""
    n = x + y + 1
    return Fraction(sum(math.comb(n, k) for k in range(x + 1)), 2**n)


def beta(x: int, y: int) -> Fraction:
    return Fraction(math.factorial(x) * math.factorial(y), math.factorial(x + y + 1))


def exact_worth(counts: list[int], batch: int) -> Fraction:
    a, b = ([*sorted(counts, reverse=True), 0])[:2]
    now, best, h = over_half(a, b), Fraction(0), batch
    while True:
        then = Fraction(0)
        for k in range(h + 1):
            falls = math.comb(h, k) * beta(a + k, b + h - k) / beta(a, b)
            later = over_half(a + k, b + h - k)
            then += falls * max(later, 1 - later)
        best = max(best, (then - now) / h)
        if h >= max(128, batch):
            return best * (a + b) / sum(counts)
        h *= 2


@settings(max_examples=12, deadline=None)
@given(
    counts=st.lists(st.integers(1, 25), min_size=1, max_size=5),
    batch=st.sampled_from([1, 3, 4, 200]),
)
def test_the_worth_is_that_of_the_definition(counts: list[int], batch: int) -> None:
    found = worth_of_votes(counts, batch)
    assert found == pytest.approx(float(exact_worth(counts, batch)), rel=1e-6, abs=1e-13)
    assert 0.0 <= found <= 1.0
    assert found == worth_of_votes(counts[::-1], batch)


def test_the_closer_the_race_the_more_a_vote_is_worth() -> None:
    races = [[7], [6, 1], [5, 2], [4, 3]]
    worths = [worth_of_votes(counts, 4) for counts in races]
    assert worths == sorted(worths)
    assert worths[0] > 0, "looks farther ahead than one batch"
    # Of as close a race, later votes are worth less, and so are those that go to others.
    assert worth_of_votes([40, 39], 4) < worth_of_votes([4, 3], 4)
    assert worth_of_votes([4, 3, 3, 3], 4) < worth_of_votes([4, 3], 4)
    assert worth_of_votes([], 4) == worth_of_votes([0, 0], 4) == 1.0


# -- who is chosen ---------------------------------------------------------------------------------


def test_a_quarter_is_chosen_by_worth_of_a_token_as_far_as_it_fits() -> None:
    close, clear = [4, 3], [7]
    bids: list[Bid | None] = [
        Bid(clear, 4, 10.0),
        Bid(close, 4, 10.0),
        None,
        Bid(close, 4, 1000.0),
        Bid(close, 4, 15.0),
        *[Bid(clear, 4, 10.0)] * 4,
    ]
    assert chosen(bids, 1e9) == [1, 4]
    assert chosen(bids, 85.0) == [1, 0], "what does not fit leaves its place to others"
    assert chosen(bids, 39.0) == []
    assert chosen([None, None], 100.0) == []
    assert chosen([Bid(clear, 1, 1.0)], 1.0) == [0]


def votes_after(
    shares: list[NDArray[np.float64]], streams: NDArray[np.int64], budget: int
) -> list[list[int]]:
    """Votes by answer, of problems that draw from fixed streams, over one budget of votes."""
    used = [7] * len(shares)

    def counts(at: int) -> list[int]:
        found = np.bincount(streams[at][: used[at]], minlength=len(shares[at]))
        return [int(count) for count in found]

    while True:
        bids = [Bid([c for c in counts(at) if c], 4, 1.0) for at in range(len(shares))]
        take = chosen(bids, budget - sum(used))
        if not take:
            return [counts(at) for at in range(len(shares))]
        for at in take:
            used[at] += 4


def test_it_finds_the_likeliest_answer_more_often_than_even_shares_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On 60 trials of 50 problems at 16 votes each on average; easy problems, close ones, split
    ones, so that most need fewer."""
    known = functools.cache(worth_of_votes)

    def worth(counts: list[int], batch: int) -> float:
        return known(tuple(sorted(counts)), batch)

    monkeypatch.setattr("ets.search.shared.worth_of_votes", worth)
    draw = np.random.default_rng(5)
    shared, even = [], []
    for _ in range(60):
        shares = []
        for _ in range(50):
            most = draw.choice([0.95, 0.85, 0.6, 0.45])
            second = min(1 - most, most * draw.uniform(0.3, 0.8))
            rest = 1 - most - second
            shares.append(np.array([most, second, rest / 2, rest / 2]))
        streams = np.array([draw.choice(4, size=400, p=p) for p in shares])
        found = votes_after(shares, streams, budget=50 * 16)
        assert sum(map(sum, found)) <= 50 * 16
        shared.append(np.mean([np.argmax(votes) == 0 for votes in found]))
        fixed = [np.bincount(stream[:16], minlength=4) for stream in streams]
        even.append(np.mean([np.argmax(votes) == 0 for votes in fixed]))
    gains = np.array(shared) - np.array(even)
    assert gains.mean() > 0.01
    assert gains.mean() > 3 * gains.std() / math.sqrt(len(gains))


# -- in a search -----------------------------------------------------------------------------------


class Mixed(Skewed):
    """Sure of some problems, and torn about others."""

    async def sample(self, prefix: Any, *, seed: int, max_tokens: int) -> Any:
        self.share = 1.0 if int(prefix.problem.split()[-1]) % 3 else 0.4
        return await super().sample(prefix, seed=seed, max_tokens=max_tokens)


def spent(results: list[ets.SearchResult]) -> int:
    return sum(sum(sum(tree.nodes.tokens[1:]) for tree in result.trees) for result in results)


STRATEGIES = [ets.BestOfN(width=40), ets.REBASE(width=2)]


@pytest.mark.parametrize("strategy", STRATEGIES, ids=repr)
def test_the_torn_problems_get_what_the_sure_ones_leave(strategy: Any) -> None:
    until, tokens = ets.Certain(most=40), 1200 if isinstance(strategy, ets.BestOfN) else 1800
    found = []
    for slow, concurrency in [(False, 1), (True, 3), (True, 9)]:
        with search(strategy, policy=Mixed(slow=slow), until=until, vote="majority") as s:
            budget = ets.SharedBudget(tokens=tokens)
            results = list(s.map(PROBLEMS[:9], budget=budget, concurrency=concurrency))
        assert [result.problem for result in results] == PROBLEMS[:9]
        found.append([all_of(result) for result in results])
    assert found[0] == found[1] == found[2]
    votes = [len(result.ballots) for result in results]
    torn, sure = votes[::3], [v for at, v in enumerate(votes) if at % 3]
    assert sum(torn) / len(torn) > sum(sure) / len(sure)
    assert {result.end for result in results} <= {"certain", "uncertain", "shared_budget"}
    assert spent(results) <= tokens * 1.1
    if isinstance(strategy, ets.BestOfN):
        assert {result.end for result in results[1:3]} == {"certain"}


def test_first_votes_are_asked_for_whatever_they_take() -> None:
    with search(ets.BestOfN(width=40), policy=Mixed(), until=ets.Certain(), vote="majority") as s:
        results = list(s.map(PROBLEMS[:3], budget=ets.SharedBudget(tokens=1)))
    assert [len(result.ballots) for result in results] == [7, 7, 7]
    assert [result.end for result in results] == ["shared_budget", "certain", "certain"]


def test_results_come_as_they_become_final() -> None:
    with search(ets.BestOfN(width=40), policy=Mixed(), until=ets.Certain(), vote="majority") as s:
        budget = ets.SharedBudget(tokens=10**6)
        stream = s.map(PROBLEMS, budget=budget, ordered=False)
        first = [result.problem for result in itertools.islice(stream, 4)]
        others = list(stream)
    assert first == [problem for at, problem in enumerate(PROBLEMS) if at % 3][:4]
    assert len(others) == len(PROBLEMS) - 4
    assert {result.end for result in others} <= {"certain", "uncertain"}


def test_no_problems_are_no_results() -> None:
    with search(ets.BestOfN(width=40), policy=Mixed(), until=ets.Certain()) as s:
        assert list(s.map([], budget=ets.SharedBudget(tokens=5))) == []


@pytest.mark.parametrize(
    ("until", "budget", "message"),
    [
        (None, ets.SharedBudget(tokens=5), r"budget needs a search .* until=ets\.Certain"),
        (ets.Certain(), 500, r"budget must be an ets\.SharedBudget or None, got 500"),
        (ets.Certain(), ets.Budget(tokens=5), r"budget must be an ets\.SharedBudget"),
    ],
)
def test_what_is_no_shared_budget_is_refused(until: Any, budget: Any, message: str) -> None:
    with (
        search(ets.BestOfN(width=8), until=until) as s,
        pytest.raises(InputError, match=message),
    ):
        s.map(["p"], budget=budget)
    with pytest.raises(InputError, match=r"budget\.tokens must be an integer from 1"):
        ets.SharedBudget(tokens=0)


def test_an_error_of_a_problem_ends_the_map() -> None:
    with search(ets.BestOfN(width=8), policy=Mixed(), until=ets.Certain()) as s:
        stream = s.map(["problem 1", "\udc80 2"], budget=ets.SharedBudget(tokens=500))
        with pytest.raises(InputError, match=r"problems\[1\]"):
            list(stream)
