"""What a page draws of a search while it runs: made once, for any number of readers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from ets.answer.tally import Outcome
from ets.dialogue import transcript
from ets.rollout.result import SearchResult
from ets.serve.certain import certain_of
from ets.serve.extension import Found, TokensOut
from ets.serve.refusal import Refusal
from ets.serve.running import RunningSearch
from ets.serve.solutions import chosen
from ets.serve.sse import event
from ets.shown.log import Log
from ets.tree.events import Event
from ets.tree_page.data import PageData
from ets.tree_page.mathml import Convert
from ets.tree_page.page import tree_page
from ets.tree_search.search import TreeSearch

_LOG = Log("ets.serve")


class Growth:
    """The pieces of one search's tree page (`PageData`), which begin with its first reader.

    They are made in threads: why a leaf was pruned may mean to select anew, and formulas take a
    tenth of a millisecond each.
    """

    def __init__(self, running: RunningSearch, convert: Convert) -> None:
        self._running = running
        problem, tally = transcript(running.problem), running.search.options.tally()
        self._data = PageData(problem, tally, convert)
        self._told: list[str] = []
        self._over = False
        self._news = asyncio.Event()
        self._making = asyncio.create_task(self._make())

    async def follow(self, first: int = 0) -> AsyncGenerator[str, None]:
        """Server-sent events from number `first` on: `grown`, each with a piece, and at the end
        `answer` or `error`."""
        at = first
        while True:
            while at < len(self._told):
                at += 1
                yield self._told[at - 1]
            if self._over:
                return
            await self._news.wait()

    async def _make(self) -> None:
        try:
            await self._make_pieces()
        except Exception as error:  # noqa: BLE001 - of a search's own objects; readers are told
            _LOG.error("%s: its tree cannot be drawn, %s", self._running.key, type(error).__name__)
            fault = Refusal(500, "the tree cannot be drawn", code="internal_error")
            self._tell(fault.answer.model_dump(), "error")
        finally:
            self._over = True
            self._wake()

    async def _make_pieces(self) -> None:
        running, at = self._running, 0
        while events := await running.news(at):
            await self._grow(events, at)
            at += len(events)
        if running.tree is not None:  # which one that was ended may have left ahead of its events
            await self._grow(running.tree.events[at:], at)
        try:
            result = await running.outcome()
        except Refusal as refusal:
            self._tell(refusal.answer.model_dump(), "error")
            return
        self._tell(await asyncio.to_thread(self._answer, result), "answer")

    async def _grow(self, events: Sequence[Event], at: int) -> None:
        tree = self._running.tree
        if tree is not None and events:
            for piece in await asyncio.to_thread(self._pieces, tree, events, at == 0):
                self._tell(piece, "grown")
            self._wake()

    def _pieces(self, tree: TreeSearch, events: Sequence[Event], first: bool) -> list[str]:
        found = [self._data.beginning(tree)] if first else []
        found += [p for each in events if (p := self._data.take(tree, each)) is not None]
        return [json.dumps(piece, ensure_ascii=False) for piece in found]

    def _answer(self, result: SearchResult) -> str:
        running = self._running
        certain = "" if result.trajectories else certain_of(running.events, result.tree.nodes)
        (solution,) = chosen(result, certain, 1, ())
        answer = {
            "solution": self._data.text(solution.text),
            "ets": Found.of(running.key, result, running.wishes).model_dump(),
            "usage": TokensOut.of(result).model_dump(),
            **self._data.outcome(result.tree, _outcome(result)),  # last: it has the formulas
        }
        return json.dumps(answer, ensure_ascii=False)

    def _tell(self, value: str | dict[str, Any], name: str) -> None:
        self._told.append(event(value, name, len(self._told)))

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


def page_of(running: RunningSearch, convert: Convert) -> str:
    """The tree page of a search that is over, also of one that was ended.

    # Errors
    `Refusal`: 409 while it runs, 404 where it ended before its first event.
    """
    if not running.over:
        raise Refusal(409, "the search is not over", param="id", code="not_over")
    if running.tree is None:
        raise Refusal(404, "the search ended before its tree began", param="id", code="not_found")
    result = running.result
    tree = running.tree if result is None else result.tree
    tally = running.search.options.tally()
    done = Outcome([tally.solution(trajectory) for trajectory in tree.trajectories], [], 0)
    outcome = done if result is None else _outcome(result)
    return tree_page(tree, outcome, problem=transcript(running.problem), convert=convert)


def _outcome(result: SearchResult) -> Outcome:
    return Outcome(result.trajectories, result.votes, result.undecided)
