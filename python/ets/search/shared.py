"""Many problems over one budget: more votes for those to which they are worth most."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from ets.answer.worth import worth_of_votes
from ets.rollout.result import SearchResult
from ets.rollout.shared_budget import SharedBudget
from ets.search.many import in_flight
from ets.search.poll import Poll
from ets.search.repeated import Repeated


@dataclass(frozen=True, slots=True)
class Bid:
    """What a problem's next votes promise and cost."""

    counts: Sequence[int]
    """Votes so far, by answer."""
    votes: int
    """How many more are asked for, >= 1."""
    tokens: float
    """Of a vote, on average so far, > 0."""

    @property
    def worth(self) -> float:
        """Of a token."""
        return worth_of_votes(self.counts, self.votes) / self.tokens


def chosen(bids: Sequence[Bid | None], left: float) -> list[int]:
    """Positions of the bids to take in this round, best first; none where none fits.

    A quarter of the bids, rounded up, that are worth most and together cost no more than `left`
    tokens; of equal worth the first. None bids nothing.
    """
    standing = [at for at, bid in enumerate(bids) if bid is not None]
    worths = {at: bid.worth for at, bid in enumerate(bids) if bid is not None}
    taken: list[int] = []
    for at in sorted(standing, key=lambda at: -worths[at]):
        bid = bids[at]
        if len(taken) == math.ceil(len(standing) / 4):
            break
        if bid is not None and bid.tokens * bid.votes <= left:
            taken.append(at)
            left -= bid.tokens * bid.votes
    return taken


@dataclass(slots=True)
class _Polls:
    """The problems of one map, and which of them have been handed out."""

    polls: list[Poll] = field(default_factory=list)
    given: set[int] = field(default_factory=set)

    def over(self, repeated: Repeated, *, ordered: bool) -> Iterator[tuple[int, Poll]]:
        """Those not handed out that are final, in order; with `ordered` none behind one that is
        not."""
        for at, poll in enumerate(self.polls):
            if at in self.given:
                continue
            if not repeated.is_over(poll):
                if ordered:
                    return
                continue
            self.given.add(at)
            yield at, poll


async def shared(
    problems: Iterator[Any],
    repeated: Repeated,
    budget: SharedBudget,
    limit: Callable[[], int],
    *,
    ordered: bool,
) -> AsyncGenerator[SearchResult, None]:
    """The results of all problems, each as soon as it is final, at most `limit()` searched at once.

    All of `problems` are read before the first round ends.

    # Errors
    Those of the engines and of `problems`.
    """
    has = _Polls()

    async def first(index: int, problem: Any) -> Poll:
        poll = repeated.poll(problem, f"problems[{index}]")
        await poll.ask(repeated.next_votes(poll))
        return poll

    async def more(_: int, at: int) -> None:
        await has.polls[at].ask(repeated.next_votes(has.polls[at]))

    async with aclosing(in_flight(problems, first, limit, ordered=True)) as asked:
        async for poll in asked:
            has.polls.append(poll)
    while True:
        for _, poll in has.over(repeated, ordered=ordered):
            yield await repeated.result(poll)
        left = budget.tokens - sum(poll.tokens for poll in has.polls)
        take = chosen([_bid(poll, repeated) for poll in has.polls], left)
        if not take:
            break
        async with aclosing(in_flight(iter(take), more, limit, ordered=True)) as rounds:
            async for _ in rounds:
                pass
    for at, poll in enumerate(has.polls):
        if at not in has.given:
            yield await repeated.result(poll, "shared_budget")


def _bid(poll: Poll, repeated: Repeated) -> Bid | None:
    if repeated.is_over(poll):
        return None
    counts = Counter(answer for answer in poll.answers if answer is not None)
    return Bid([*counts.values()], repeated.next_votes(poll), max(1, poll.tokens) / poll.asked)
