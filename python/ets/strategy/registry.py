"""The strategies by name: of files and command lines, and of searches that are saved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from ets.checks import shown
from ets.errors import InputError
from ets.strategy.base import Strategy
from ets.strategy.beam_search import BeamSearch
from ets.strategy.best_of_n import BestOfN
from ets.strategy.dora import DORA
from ets.strategy.dvts import DVTS
from ets.strategy.ets import ETS
from ets.strategy.mpts import MPTS
from ets.strategy.particle_filter import ParticleFilter
from ets.strategy.rebase import REBASE

Ours: TypeAlias = ETS | MPTS | REBASE | BeamSearch | DVTS | ParticleFilter | DORA | BestOfN
StrategyName = Literal[
    "ets", "ets-kv", "mpts", "rebase", "beam", "dvts", "particle", "dora", "best-of-n"
]
STRATEGIES: Mapping[str, type[Ours]] = MappingProxyType(
    {
        "ets": ETS,
        "ets-kv": ETS,
        "mpts": MPTS,
        "rebase": REBASE,
        "beam": BeamSearch,
        "dvts": DVTS,
        "particle": ParticleFilter,
        "dora": DORA,
        "best-of-n": BestOfN,
    }
)
DEFAULT_WIDTH = 16
_OF_DIVERSITY = ("lambda_d", "cluster_threshold")
"""Options of `ets` that `ets-kv`, for which diversity is worth nothing, does not have."""
_CLASSES = MappingProxyType({kind.__name__: kind for kind in STRATEGIES.values()})
"""As a saved search names them: by class, since `ets-kv` is an ETS of certain settings."""


def strategy_by_name(name: str, **options: Any) -> Strategy:
    """The strategy of a name, with the fields of its dataclass as options; width 16 by default.

    `ets-kv` is `ets` with `lambda_d=0`.

    # Errors
    `InputError` for an unknown name, and for an option that the strategy does not have.
    """
    kind = STRATEGIES.get(name) if isinstance(name, str) else None
    if kind is None:
        raise InputError(f"strategy must be one of {', '.join(STRATEGIES)}, got {shown(name)}")
    known = strategy_options(name)
    if unknown := [key for key in options if key not in known]:
        raise InputError(
            f"{unknown[0]} has no meaning with the strategy {name}; its options are "
            f"{', '.join(known)}"
        )
    if name == "ets-kv":
        options["lambda_d"] = 0.0
    return kind(**{"width": DEFAULT_WIDTH, **options})


def strategy_options(name: str) -> tuple[str, ...]:
    """The options that the strategy of a known name has."""
    names = tuple(field.name for field in fields(STRATEGIES[name]))
    return tuple(key for key in names if name != "ets-kv" or key not in _OF_DIVERSITY)


def strategy_to_dict(strategy: Strategy) -> dict[str, Any]:
    """A strategy as JSON-able `{"name": ..., "fields": {...}}`; no fields if it is not of ours, or
    holds a function."""
    name, values = type(strategy).__name__, _own_fields(strategy)
    if functions := [key for key, value in values.items() if callable(value)]:
        return {"name": f"{name} with {functions[0]} of your own", "fields": {}}
    return {"name": name, "fields": values}


def shown_settings(strategy: Strategy) -> dict[str, Any]:
    """A strategy's fields for people, JSON-able: a function as its name; of a strategy that is not
    of ours its width alone."""
    return {
        name: str(getattr(value, "__name__", "a function")) if callable(value) else value
        for name, value in _own_fields(strategy).items()
    } or {"width": int(strategy.width)}


def _own_fields(strategy: Strategy) -> dict[str, Any]:
    """The fields of a strategy of ours, none of another's."""
    kind = type(strategy)
    if not is_dataclass(strategy) or kind is not _CLASSES.get(kind.__name__):
        return {}
    return {f.name: getattr(strategy, f.name) for f in fields(strategy)}


def strategy_from_dict(data: dict[str, Any]) -> Strategy:
    """The strategy that `strategy_to_dict` described. `InputError` for an unknown name or field."""
    name, values = data["name"], data["fields"]
    kind = _CLASSES.get(name)
    if kind is None:
        raise InputError(
            f"strategy must be one of {sorted(_CLASSES)}, got {name!r}; "
            "a search with a strategy of your own is loaded with strategy=THE_OBJECT"
        )
    if unknown := values.keys() - {f.name for f in fields(kind)}:
        raise InputError(f"{name} has no fields {sorted(unknown)}")
    return kind(**values)
