"""Engines that return whatever they are told to, and searches over them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import ets
from ets.step import Prefix, Score, Step
from scripted_engines import ScriptedPolicy, ScriptedPRM


def answer(**fields: Any) -> Step:
    return Step(**{"text": "The answer is 3.", "token_ids": (1, 2), "finish": "answer", **fields})


class Writer(ScriptedPolicy):
    """Returns whatever it is told to."""

    def __init__(self, sampled: Any = None, begun: Any = None) -> None:
        super().__init__(slow=False)
        self._sampled: Callable[[], Step] | None = sampled
        self._begun = begun

    def start(self, problem: str) -> Prefix:
        return super().start(problem) if self._begun is None else self._begun

    async def sample(self, prefix: Prefix, *, seed: int, max_tokens: int) -> Step:
        if self._sampled is None:
            return await super().sample(prefix, seed=seed, max_tokens=max_tokens)
        return self._sampled()


class Judge(ScriptedPRM):
    def __init__(self, scored: Callable[[], Any]) -> None:
        super().__init__()
        self._scored: Callable[[], Score] = scored

    async def score(self, prefix: Prefix) -> Score:
        return self._scored()


class Meaning:
    def __init__(self, embedded: Callable[[str], Any]) -> None:
        self._embedded = embedded

    async def embed(self, text: str) -> Any:
        return self._embedded(text)

    async def aclose(self) -> None:
        pass


class InstantMeaning(Meaning):
    def vector(self, text: str) -> Any:
        return self._embedded(text)


def solve(policy: Any, prm: Any = None, **options: Any) -> ets.SearchResult:
    options = {"strategy": ets.REBASE(width=2), "max_depth": 4, "max_step_tokens": 9, **options}
    with ets.Search(policy, ScriptedPRM() if prm is None else prm, **options) as search:
        return search.solve("What is 1 + 2?")


def refused(*words: str, **engines: Any) -> None:
    """The search fails with one line that holds these words."""
    with pytest.raises(ets.EngineError) as error:
        solve(engines.pop("policy", None) or ScriptedPolicy(slow=False), **engines)
    for word in words:
        assert word in str(error.value)
    assert "\n" not in str(error.value)
