"""From the options of a command line to a `Search`."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import Enum
from typing import Any, Literal

from ets.answer import Aggregation, VoteMethod
from ets.budget import Budget
from ets.engine_name import read_value
from ets.errors import InputError
from ets.search import Search
from ets.strategy import DVTS, ETS, REBASE, BeamSearch, BestOfN, Strategy

NO_PRM = "none"
WAY_OUT = (
    "no --prm: steps are not scored, so this is a plain majority vote over independent samples; "
    "add --prm vllm:PATH, transformers:PATH or pooling:MODEL@URL to search"
)


class StrategyName(str, Enum):
    """The strategies by the names that the command line gives them."""

    ets = "ets"
    ets_kv = "ets-kv"
    rebase = "rebase"
    beam = "beam"
    dvts = "dvts"
    best_of_n = "best-of-n"


_KINDS: dict[StrategyName, type[ETS | REBASE | BeamSearch | DVTS | BestOfN]] = {
    StrategyName.ets: ETS,
    StrategyName.ets_kv: ETS,
    StrategyName.rebase: REBASE,
    StrategyName.beam: BeamSearch,
    StrategyName.dvts: DVTS,
    StrategyName.best_of_n: BestOfN,
}


def make_strategy(name: StrategyName, width: int, **options: object) -> Strategy:
    """The strategy with those options that are not None.

    Raises `InputError` for an option that the strategy does not have.
    """
    kind = _KINDS[name]
    known = {field.name for field in fields(kind)}
    given: dict[str, Any] = {key: value for key, value in options.items() if value is not None}
    if name is StrategyName.ets_kv and given.setdefault("lambda_d", 0.0) != 0.0:
        raise InputError("--lambda-d is 0 with --strategy ets-kv; use --strategy ets")
    for key in given:
        if key not in known:
            flag = "--" + key.replace("_", "-")
            raise InputError(f"{flag} has no meaning with --strategy {name.value}")
    return kind(width=width, **given)


@dataclass(frozen=True, slots=True)
class Setup:
    """All that a `Search` is made of, as the command line gave it."""

    policy: str
    prm: str | None
    embedder: str
    strategy: Strategy
    seed: int
    policy_options: dict[str, Any]
    prm_options: dict[str, Any]
    embedder_options: dict[str, Any]
    max_step_tokens: int
    max_tokens: int
    max_depth: int
    vote: VoteMethod
    score: Aggregation
    answer_pattern: str | None
    budget: Budget
    kv_budget: int | Literal["auto"] | None

    @property
    def title(self) -> str:
        """Strategy and engines in one line."""
        engines = [self.policy]
        if self.prm not in (None, NO_PRM, self.policy):
            engines.append(str(self.prm))
        return f"{describe(self.strategy)} · {' + '.join(map(short, engines))}"

    def open(self) -> Search:
        """Load the engines."""
        unscored = self.prm in (None, NO_PRM)
        return Search(
            policy=self.policy,
            prm=_every_step_alike if unscored or self.prm is None else self.prm,
            strategy=self.strategy,
            embedder=self.embedder,
            seed=self.seed,
            policy_options=self.policy_options,
            prm_options=self.prm_options,
            embedder_options=self.embedder_options,
            max_step_tokens=self.max_step_tokens,
            max_tokens=self.max_tokens,
            max_depth=self.max_depth,
            vote="majority" if unscored else self.vote,
            score=self.score,
            answer_pattern=self.answer_pattern,
            budget=self.budget,
            kv_budget=self.kv_budget,
        )


def _every_step_alike(problem: str, steps: list[str]) -> float:
    return 1.0


def describe(strategy: Strategy) -> str:
    """`ETS width 16, lambda_d 1.5`."""
    name = type(strategy).__name__
    if isinstance(strategy, ETS):
        name = "ETS" if strategy.lambda_d else "ETS-KV"
    return f"{name}, width {strategy.width}"


def short(engine: str) -> str:
    """An engine's name without options and the folders above it: `vllm:Qwen2.5-Math-PRM-7B`."""
    backend, colon, path = engine.partition("?")[0].partition(":")
    return backend + colon + path.rstrip("/").rpartition("/")[2]


def parse_options(flag: str, pairs: list[str]) -> dict[str, Any]:
    """`KEY=VALUE` pairs as keyword arguments; a value that reads as JSON is what it reads as."""
    options: dict[str, Any] = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not sign or not key.isidentifier():
            raise InputError(f"{flag} takes KEY=VALUE, got {pair!r}")
        options[key] = read_value(value)
    return options


def number_or_auto(flag: str, text: str) -> int | Literal["auto"]:
    """The value of an option that is a positive number or `auto`."""
    if text == "auto":
        return "auto"
    if not text.isdecimal() or int(text) < 1:
        raise InputError(f"{flag} must be a number from 1 on, or auto, got {text!r}")
    return int(text)
