"""A strategy as plain values, for searches that are saved."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from ets.errors import InputError
from ets.strategy.base import Strategy
from ets.strategy.beam_search import BeamSearch
from ets.strategy.best_of_n import BestOfN
from ets.strategy.dora import DORA
from ets.strategy.dvts import DVTS
from ets.strategy.ets import ETS
from ets.strategy.particle_filter import ParticleFilter
from ets.strategy.rebase import REBASE

Ours = ETS | REBASE | BeamSearch | DVTS | BestOfN | ParticleFilter | DORA
STRATEGIES: dict[str, type[Ours]] = {
    kind.__name__: kind for kind in (ETS, REBASE, BeamSearch, DVTS, BestOfN, ParticleFilter, DORA)
}
"""The strategies that a saved search may name."""


def strategy_to_dict(strategy: Strategy) -> dict[str, Any]:
    """A strategy as JSON-able `{"name": ..., "fields": {...}}`; no fields if it is not of ours."""
    name = type(strategy).__name__
    if type(strategy) is not STRATEGIES.get(name):
        return {"name": name, "fields": {}}
    return {"name": name, "fields": {f.name: getattr(strategy, f.name) for f in fields(strategy)}}


def strategy_from_dict(data: dict[str, Any]) -> Strategy:
    """The strategy that `strategy_to_dict` described. `InputError` for an unknown name or field."""
    name, values = data["name"], data["fields"]
    kind = STRATEGIES.get(name)
    if kind is None:
        raise InputError(
            f"strategy must be one of {sorted(STRATEGIES)}, got {name!r}; "
            "a search with a strategy of your own is loaded with strategy=THE_OBJECT"
        )
    if unknown := values.keys() - {f.name for f in fields(kind)}:
        raise InputError(f"{name} has no fields {sorted(unknown)}")
    return kind(**values)
