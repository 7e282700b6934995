"""A worker as a place where one search's problems are searched."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import Literal

from ets.answer.tally import Tally
from ets.dialogue import Posed
from ets.errors import EngineLostError
from ets.rollout.belongings import Belongings
from ets.rollout.course import Course
from ets.rollout.options import SearchOptions
from ets.rollout.result import SearchResult
from ets.rollout.stay import Stay
from ets.tree.events import Event
from ets.tree_search.search import TreeSearch
from ets.workers.away import Away
from ets.workers.messages import Done, Left, Sent, Stepped
from ets.workers.worker import Worker

_KEYS = itertools.count()


class WorkerSite:
    """Sends problems to a worker, and keeps what is needed to go on with them elsewhere."""

    def __init__(self, worker: Worker, options: SearchOptions, belongings: Belongings) -> None:
        self.worker = worker
        # The worker has engines, which need not pickle here.
        self._options = replace(options, policy="demo", prm="demo", embedder="lexical")
        self._has = belongings
        self._key = next(_KEYS)
        self._opening = asyncio.Lock()
        self._opened_in = 0
        self._kv_space: int | None = None
        self._tally: Tally | None = None
        self._auto = 1

    @property
    def kv_space(self) -> int | None:
        """Tokens of its KV cache; None while that is not known."""
        return self._kv_space

    @property
    def returns(self) -> bool:
        """Whether the worker is there, or is started again."""
        return self.worker.returns

    @property
    def is_back(self) -> bool:
        """Whether the worker runs."""
        return self.worker.is_ready

    async def at_once(self, concurrency: int | Literal["auto"]) -> Callable[[], int]:
        """How many problems may be in flight, to be asked anew for each.

        A worker that is lost meanwhile is asked again when it is back. One that is given up leaves
        the problems to others, or to its last words.

        # Errors
        As `KVBudgets.at_once`; those of loading the engines.
        """
        if concurrency != "auto" and not self._options.shares_kv:
            return lambda: concurrency
        most = 1
        while self.returns:
            with suppress(EngineLostError):
                await self._opened()
                most = await self.worker.call("at_once", self._key, concurrency)
                self._kv_space = await self.worker.call("kv_space", self._key)
                break
        if concurrency != "auto":
            return lambda: most
        self._auto = most
        return lambda: self._auto

    async def search(
        self, course: Course[Away], stay: Stay, seen: Callable[[TreeSearch], None]
    ) -> AsyncGenerator[Event, None]:
        """Search a problem to its end, or until it is to go on elsewhere.

        Of a course that is watched, `seen` is given the tree as it was after each step, and the
        events of the step follow; of others there are none.

        # Errors
        Those of the engines, and of loading them.
        """
        carried = course.carried
        away = course.searched or Away(None if carried is None else carried.packed())
        course.searched, away.lost = away, None
        try:
            await self._opened()
            stay.holds(away)
            course.replicas.append(stay.name)
            async with aclosing(self._sent(course, away, stay)) as every:
                async for sent in every:
                    away.take(sent)
                    if course.watched:
                        tree = await self._tree(away)
                        seen(tree)
                        for event in tree.events[away.shown :]:
                            away.shown += 1
                            yield event
                    if stay.should_end():
                        return
        except EngineLostError as error:
            away.lost = stay.lose(error)
            if not stay.can_end():
                raise away.lost from error

    async def result(self, course: Course[Away]) -> SearchResult:
        """That of a search that is over."""
        away = course.searched
        if away is None or not away.ended:
            raise RuntimeError("a search ended before its result came")
        if away.given_up is None:
            return await self._has.voting.run(away.result)
        return await self._has.voting.run(self._counted, course.posed, away)

    async def aclose(self) -> None:
        """Have the worker forget this search; it may serve others."""
        if self.worker.is_ready and self._opened_in == self.worker.starts:
            with suppress(EngineLostError):
                await self.worker.call("shut", self._key)

    async def _opened(self) -> None:
        """Have the worker know this search."""
        await self.worker.ready()
        async with self._opening:
            starts = self.worker.starts
            if self._opened_in != starts:
                self._tally = await self.worker.call("open", self._key, self._options)
                self._opened_in = starts

    async def _sent(
        self, course: Course[Away], away: Away, stay: Stay
    ) -> AsyncGenerator[Stepped | Done, None]:
        worker = self.worker
        starts, begin = worker.starts, time.monotonic()
        asked = (self._key, stay.name, course.posed, away.carried, course.watched)
        async with aclosing(worker.stream("search", *asked)) as every:
            sent: Sent
            async for sent in every:
                if isinstance(sent, Left):
                    away.take(sent)
                    worker.restart(sent.words, starts)
                    raise EngineLostError(sent.words)
                if isinstance(sent, Stepped):
                    stay.answered(begin, sent.tokens)
                    begin = time.monotonic()
                elif sent.at_once is not None:
                    self._auto = sent.at_once
                yield sent

    async def _tree(self, away: Away) -> TreeSearch:
        return await self._has.voting.run(away.tree)

    def _counted(self, posed: Posed, away: Away) -> SearchResult:
        """The votes of a search that was given up, counted here."""
        carried = away.given_up
        if carried is None:
            raise RuntimeError("the search was not given up")
        usage = replace(carried.usage, seconds=carried.seconds)
        result = SearchResult.of(carried.tree, self._tally, problem=posed, usage=usage)
        return replace(result, lost=str(away.lost))
