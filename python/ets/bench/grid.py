"""What a benchmark runs: strategies x widths x seeds x lambdas over problems, one configuration."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from ets.checks import (
    check_flag,
    check_int,
    check_number,
    check_options,
    check_text,
    shown,
)
from ets.engines.whole_answers import check_steps
from ets.errors import InputError
from ets.presets import with_preset
from ets.problems.problem import Fields
from ets.search.toml import check_arguments, search_arguments
from ets.shown.redaction import redacted, redacted_repr
from ets.strategy import Strategy
from ets.strategy.registry import STRATEGIES, strategy_by_name, strategy_options

BASELINE = "rebase"
"""The strategy that the others are measured by."""
INDEPENDENT = "best-of-n"
"""The strategy whose completed trajectories are independent samples."""
_SET_BY_THE_GRID = ("strategy", "seed")
_AXES = {"width": "widths", "lambda_b": "lambda_b", "lambda_d": "lambda_d"}
"""Options of strategies that have a key of their own."""
_FREE = (
    "concurrency",
    "workers",
    "ray",
    "worker_options",
    "trees",
    "bank",
    "bank_read_only",
    "bank_gib",
)
"""What does not change what is found."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One strategy with its settings, without the seed."""

    name: str
    options: tuple[tuple[str, Any], ...]
    """Its fields and their values, `width` first."""

    @property
    def width(self) -> int:
        """Solutions to complete."""
        return int(dict(self.options)["width"])

    @property
    def label(self) -> str:
        """`ets width=16 lambda_b=1.0`: what a row of a run folder calls it."""
        return " ".join([self.name, *(f"{key}={value}" for key, value in self.options)])

    def strategy(self) -> Strategy:
        """The strategy itself."""
        return strategy_by_name(self.name, **dict(self.options))


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """The whole configuration of a benchmark, in plain values.

    Raises `InputError` for a value out of range, or one of an unknown strategy or argument.
    """

    dataset: str = "demo"
    split: str | None = None
    """Of `demo` (`test`, `dev` or `fresh`) or of a data set of the hub."""
    fields: dict[str, str] = field(default_factory=dict)
    """`problem`, `answer`, `key`: the fields of the data set that hold them."""
    skip: int = 0
    """Problems left out at the start: a development split, say."""
    problems: int | None = None
    """Problems searched; None: all."""
    strategies: tuple[str, ...] = ("best-of-n", "rebase", "ets-kv", "ets")
    widths: tuple[int, ...] = (16,)
    seeds: tuple[int, ...] = (0,)
    lambda_b: tuple[float, ...] = ()
    """For `ets`, `ets-kv` and `mpts`; empty: their defaults."""
    lambda_d: tuple[float, ...] = ()
    """For `ets`; empty: as published for the width."""
    sweep: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    """Other options, each with the values at which every strategy that has it is searched.
    REBASE, by which the others are measured, keeps its own."""
    concurrency: int = 8
    """Problems in flight, on each worker."""
    workers: int = 1
    """Processes, each with engines of its own; 1: this one, unless on Ray."""
    ray: str | None = None
    """The address of a Ray cluster, or `auto`: the workers are actors there."""
    worker_options: dict[str, Any] = field(default_factory=dict)
    """Those of `ets.Workers`, or of `ets.ray.RayWorkers`."""
    trees: bool | None = None
    """Whether the run folder keeps the trees, for replay and for looking at them; None: yes, unless
    a problem has several, as with `until`."""
    bank: str | None = None
    """A file that keeps what the models say, so that no strategy asks twice; None: no bank."""
    bank_read_only: bool = False
    """Whether the bank is only read."""
    bank_gib: float = 4.0
    """The bank's size, > 0; beyond it the oldest answers are dropped."""
    shared_tokens: int | None = None
    """Tokens that all problems of a cell and seed may sample together (`ets.SharedBudget`), of
    searches with `until`; None: each by itself."""
    search: dict[str, Any] = field(default_factory=dict)
    """The arguments of `ets.Search`, but `strategy` and `seed`, as a TOML file holds them."""

    def __repr__(self) -> str:
        return redacted_repr(self)

    def __post_init__(self) -> None:
        check_text("dataset", self.dataset)
        for name in ("split", "bank", "ray"):
            if getattr(self, name) is not None:
                check_text(name, getattr(self, name))
        if self.trees is not None:
            check_flag("trees", self.trees)
        check_flag("bank_read_only", self.bank_read_only)
        for name in ("fields", "search", "worker_options"):
            check_options(name, getattr(self, name))
        for name in ("strategies", "widths", "seeds", "lambda_b", "lambda_d"):
            object.__setattr__(self, name, _values(name, getattr(self, name)))
        for name in self.strategies:
            if not isinstance(name, str) or name not in STRATEGIES:
                raise InputError(
                    f"strategies must be among {', '.join(STRATEGIES)}, got {shown(name)}"
                )
        object.__setattr__(self, "sweep", self._checked_sweep())
        check_int("skip", self.skip, 0, 2**31)
        if self.problems is not None:
            check_int("problems", self.problems, 1, 2**31, ", or nothing for all")
        check_int("concurrency", self.concurrency, 1, 2**31)
        check_int("workers", self.workers, 1, 1024)
        check_number("bank_gib", self.bank_gib, "> 0", lambda x: x > 0)
        if self.bank_read_only and self.bank is None:
            raise InputError("bank_read_only needs a bank")
        for i, seed in enumerate(self.seeds):
            check_int(f"seeds[{i}]", seed, 0, 2**63 - 1)
        if unknown := [name for name in self.fields if name not in ("problem", "answer", "key")]:
            raise InputError(f"fields has the keys problem, answer and key, got {unknown[0]!r}")
        check_arguments(self.search, "search")
        object.__setattr__(self, "search", with_preset(self.search))
        for name in _SET_BY_THE_GRID:
            if name in self.search:
                raise InputError(f"search.{name} is set by the grid: give strategies and seeds")
        policy = self.search.get("policy", "demo")
        if "prm" not in self.search and policy.partition("?")[0] != "demo":
            raise InputError(
                f"search.prm must be given with the policy {redacted(policy)!r}; none scores none"
            )
        if self._repeats and self.trees:
            raise InputError(
                "trees must be off with search.until, which grows several for a problem"
            )
        if self.shared_tokens is not None:
            check_int("shared_tokens", self.shared_tokens, 1, 2**63 - 1, ", or nothing")
            if not self._repeats:
                raise InputError("shared_tokens needs search.until (--until-error 0.05)")
        for cell in self.cells():
            check_steps(cell.strategy(), [policy])
        if not (self.strategies and self.widths and self.seeds):
            raise InputError("strategies, widths and seeds must not be empty")

    @classmethod
    def read(cls, said: Mapping[str, Any], *, where: str = "") -> Grid:
        """The grid of a TOML file's contents; `where` stands in front of an error about a key.

        # Errors
        `InputError` for an unknown key, and as the constructor.
        """
        known = [f.name for f in fields(cls)]
        if unknown := [key for key in said if key not in known]:
            raise InputError(f"{where}unknown key {unknown[0]!r}; the keys are {', '.join(known)}")
        return cls(**said)

    @property
    def keeps_trees(self) -> bool:
        """Whether a run writes them."""
        return not self._repeats if self.trees is None else self.trees

    @property
    def _repeats(self) -> bool:
        return search_arguments(self.search).get("until") is not None

    @property
    def dataset_fields(self) -> Fields | None:
        """The mapping of fields, where one is given."""
        return Fields(**self.fields) if self.fields else None

    def cells(self) -> list[Cell]:
        """Every strategy with every width and its lambdas."""
        return [cell for name in self.strategies for cell in self._cells(name)]

    def configuration(self) -> dict[str, Any]:
        """What two sittings of one run must have alike, as JSON-able values."""
        return {key: value for key, value in self.to_dict().items() if key not in _FREE}

    def to_dict(self) -> dict[str, Any]:
        """As JSON-able values."""
        said = {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self).items()}
        return {**said, "sweep": {key: list(values) for key, values in self.sweep.items()}}

    def _cells(self, name: str) -> Iterator[Cell]:
        axes = {option: getattr(self, key) for option, key in _AXES.items()}
        if name != BASELINE:
            axes |= self.sweep
        axes = {k: v for k, v in axes.items() if v and k in strategy_options(name)}
        for values in itertools.product(*axes.values()):
            yield Cell(name, tuple(zip(axes, values, strict=True)))

    def _checked_sweep(self) -> dict[str, tuple[Any, ...]]:
        if not isinstance(self.sweep, Mapping):
            raise InputError(
                f"sweep must be a table of options and values, got {shown(self.sweep)}"
            )
        known = sorted({key for name in STRATEGIES for key in strategy_options(name)} - {*_AXES})
        found = {}
        for key, values in self.sweep.items():
            if key in _AXES:
                raise InputError(f"sweep.{key} has a key of its own, {_AXES[key]}")
            if key not in known:
                raise InputError(
                    f"sweep.{key} is no option of a strategy; those are {', '.join(known)}"
                )
            found[key] = _values(f"sweep.{key}", values)
            if not found[key]:
                raise InputError(f"sweep.{key} must hold at least one value")
        return found


def _values(name: str, values: Any) -> tuple[Any, ...]:
    if not isinstance(values, list | tuple):
        raise InputError(f"{name} must be a list, got {shown(values)}")
    if any(value in values[:at] for at, value in enumerate(values)):
        raise InputError(f"{name} must not hold a value twice, got {shown(list(values))}")
    return tuple(values)
