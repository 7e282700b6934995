"""Searches beside a search: other settings, the same engines."""

from __future__ import annotations

import re
from typing import Any

import pytest

import ets
from ets.errors import EngineError, EngineLostError, InputError
from ets.step import Prefix, Step
from scripted_engines import ScriptedEmbedder, ScriptedPolicy, ScriptedPRM

ENGINES: dict[str, Any] = {"max_step_tokens": 20, "max_tokens": 200}


def made(**more: Any) -> ets.Search:
    given = {"policy": ScriptedPolicy(), "prm": ScriptedPRM(), "embedder": ScriptedEmbedder()}
    return ets.Search(**{**given, "strategy": ets.ETS(width=4), **ENGINES, **more})


def test_finds_what_a_search_of_its_own_finds() -> None:
    with made() as search, made(strategy=ets.REBASE(width=7), seed=5) as alone:
        beside = search.beside(strategy=ets.REBASE(width=7), seed=5)
        assert beside.options.seed == 5
        assert beside.solve("p").tree == alone.solve("p").tree
        assert beside.replicas is search.replicas
        assert search.solve("p").tree != alone.solve("p").tree


def test_closing_it_closes_nothing_and_it_ends_with_the_first() -> None:
    search = made()
    beside = search.beside(seed=1)
    with beside:
        beside.solve("p")
    search.solve("p")
    search.close()
    with pytest.raises(EngineError, match="closed"):
        beside.solve("p")


def test_replicas_are_shared_with_their_load_and_their_losses() -> None:
    class Lost(ScriptedPolicy):
        async def sample(self, prefix: Prefix, *, seed: int, max_tokens: int) -> Step:
            raise EngineLostError("it has gone")

    policies = [Lost(), ScriptedPolicy()]
    with made(policy=policies) as search:
        for seed in range(4):
            search.beside(seed=seed).solve("p")
        assert search.replicas[0].lost == "it has gone"
        assert len(policies[0].started) == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"policy": "demo"}, "policy cannot differ beside a search"),
        ({"colour": 1}, "colour cannot differ beside a search"),
        ({"seed": "x"}, "seed must be an integer"),
    ],
)
def test_other_engines_and_unknown_names_are_refused(changes: dict[str, Any], words: str) -> None:
    with made() as search, pytest.raises(InputError, match=re.escape(words)):
        search.beside(**changes)


def test_a_strategy_that_needs_an_embedder_needs_one_from_the_start() -> None:
    with made(strategy=ets.REBASE(width=4)) as search, pytest.raises(InputError, match="embedder"):
        search.beside(strategy=ets.ETS(width=4))
