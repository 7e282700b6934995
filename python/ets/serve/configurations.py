"""The search configurations of a server, over engines that are loaded once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, cast

from ets.checks import shown
from ets.engines.whole_answers import writes_whole_answers
from ets.errors import InputError
from ets.rollout.budget import Budget
from ets.rollout.options import TABLES, SearchOptions
from ets.search.search import Search
from ets.search.toml import check_arguments, search_arguments
from ets.serve.extension import Wishes
from ets.serve.refusal import Refusal
from ets.serve.settings import Settings
from ets.strategy import ETS, REBASE, BestOfN, Strategy
from ets.strategy.registry import STRATEGIES, strategy_by_name
from ets.workers.fleet import Fleet

_OF_ENGINES = ("policy", "prm", "embedder", "preset", *(t for t in TABLES if "options" in t))
_OF_STRATEGY = ("width", "lambda_b", "lambda_d")
_OF_BUDGET = ("tokens", "seconds", "prm_calls")


@dataclass(frozen=True, slots=True)
class Served:
    """What a server is made of."""

    settings: Settings
    arguments: Mapping[str, Any]
    """Of `Search`, for engines and for all configurations."""
    searches: Mapping[str, Mapping[str, Any]]
    """Those of each configuration, which win; at least one."""
    workers: Fleet | None = None

    @classmethod
    def of(
        cls,
        arguments: Mapping[str, Any],
        searches: Mapping[str, Any],
        settings: Settings,
        workers: Fleet | None = None,
    ) -> Served:
        """Of tables as a file has them: `searches` by name, each with what it sets.

        Without any there is one, of the arguments alone, with its strategy and width as its name.

        # Errors
        `InputError` for engines, unknown keys and values that are none in a configuration, and for
        a default that is not one of them.
        """
        if not isinstance(searches, Mapping):
            raise InputError(f"searches must be tables by name, got {shown(searches)}")
        if not searches:
            strategy = {"name": "ets", "width": 16, **arguments.get("strategy", {})}
            searches = {f"{strategy['name']}-{strategy['width']}": {}}
        read = {}
        for name, table in searches.items():
            where = f"searches.{name}"
            if not isinstance(table, Mapping):
                raise InputError(f"{where} must be a table, got {shown(table)}")
            check_arguments(table, where)
            for key in table:
                if key in _OF_ENGINES:
                    raise InputError(f"{where}: {key} is of the engines, which all share")
            read[name] = search_arguments({**arguments, **table})
        if settings.default is not None and settings.default not in read:
            raise InputError(
                f"serve.default must be one of {', '.join(read)}, got {settings.default!r}"
            )
        return cls(settings, search_arguments(arguments), read, workers)


class Configurations:
    """The searches of a server, made beside one that has the engines.

    # Errors
    Those of `Search`.
    """

    def __init__(self, served: Served) -> None:
        settings = served.settings
        made = [SearchOptions(**given) for given in served.searches.values()]
        for name, options in zip(served.searches, made, strict=True):
            if options.until is not None:
                raise InputError(
                    f"searches.{name}: until is not served: the events of a request are those of "
                    "one search"
                )
        widest = max(options.strategy.width for options in made)
        self.max_width = settings.max_width or widest
        self.settings = settings
        embeds = any(options.strategy.needs_embeddings for options in made)
        embeds = embeds or served.arguments.get("embedder", "lexical") == "lexical"
        width = max(widest, self.max_width)
        strategy: Strategy = ETS(width=width) if embeds else REBASE(width=width)
        policies = served.arguments.get("policy", "demo")
        if any(map(writes_whole_answers, policies if isinstance(policies, list) else [policies])):
            strategy = BestOfN(width=width)  # the only one that takes such a policy
        arguments = {**served.arguments, "strategy": strategy}
        arguments.pop("kv_budget", None)
        if served.workers is not None:
            arguments["workers"] = served.workers
        self.engines = Search(**arguments)
        """The search that has the engines, and closes them."""
        try:
            self._searches = {
                name: self.engines.beside(**_settings(given))
                for name, given in served.searches.items()
            }
        except BaseException:
            self.engines.close()
            raise
        self.default = settings.default or next(iter(self._searches))

    @property
    def names(self) -> Iterable[str]:
        """In the order of the file, the default first."""
        return sorted(self._searches, key=lambda name: name != self.default)

    def __getitem__(self, name: str) -> Search:
        return self._searches[name]

    def search(
        self, model: str | None, wishes: Wishes, *, max_tokens: int | None, seed: int | None
    ) -> tuple[str, Search]:
        """The configuration's name, and its search with a request's wishes over its settings.

        # Errors
        `Refusal` that names the field.
        """
        name = self.default if model is None else model
        if name not in self._searches:
            known = ", ".join(self.names)
            raise Refusal(
                404,
                f"model must be one of {known}, got {shown(name)}",
                param="model",
                code="model_not_found",
            )
        search = self._searches[name]
        changes = self._changes(search.options, wishes)
        if seed is not None:
            changes["seed"] = seed
        if max_tokens is not None:
            most = self.settings.max_tokens
            changes["max_tokens"] = max_tokens if most is None else min(max_tokens, most)
        elif (most := self.settings.max_tokens) is not None:
            own = search.options.max_tokens
            changes["max_tokens"] = most if own is None else min(own, most)
        if not changes:
            return name, search
        try:
            return name, search.beside(**changes)
        except InputError as error:
            raise Refusal(400, f"ets: {error}", param="ets", code="invalid_value") from error

    def _changes(self, options: SearchOptions, wishes: Wishes) -> dict[str, Any]:
        changes: dict[str, Any] = {}
        if (strategy := self._strategy(options.strategy, wishes)) is not None:
            changes["strategy"] = strategy
            if options.kv_budget is not None and not isinstance(strategy, ETS):
                changes["kv_budget"] = None
        for field in ("kv_budget", "vote", "score", "max_depth", "max_step_tokens"):
            if (value := getattr(wishes, field)) is not None:
                changes[field] = value
        budget = self._budget(options.budget or Budget(), wishes)
        if budget != options.budget:
            changes["budget"] = budget
        return changes

    def _strategy(self, own: Strategy, wishes: Wishes) -> Strategy | None:
        said = {key: value for key in _OF_STRATEGY if (value := getattr(wishes, key)) is not None}
        if wishes.strategy is None and not said:
            return None
        if said.get("width", 0) > self.max_width:
            raise Refusal(
                400,
                f"ets.width must be at most {self.max_width}, got {said['width']}",
                param="ets.width",
                code="above_limit",
            )
        try:
            if wishes.strategy is not None and STRATEGIES[wishes.strategy] is not type(own):
                return strategy_by_name(wishes.strategy, **{"width": own.width, **said})
            if wishes.strategy == "ets-kv":
                said.setdefault("lambda_d", 0.0)
            elif wishes.strategy == "ets" and getattr(own, "lambda_d", None) == 0:
                said.setdefault("lambda_d", None)
            known = [field.name for field in fields(cast(Any, own))]
            for key in said:
                if key not in known:
                    raise InputError(f"{key} has no meaning with {type(own).__name__}")
            changed: Strategy = replace(cast(Any, own), **said)
            return changed
        except InputError as error:
            field = next((key for key in said if str(error).startswith(key)), "strategy")
            raise Refusal(
                400, f"ets.{error}", param=f"ets.{field}", code="invalid_value"
            ) from error

    def _budget(self, own: Budget, wishes: Wishes) -> Budget:
        most = {"tokens": self.settings.max_budget_tokens, "seconds": self.settings.max_seconds}
        least = {}
        for key in _OF_BUDGET:
            wished = getattr(wishes, key)
            limits = [getattr(own, key) if wished is None else wished, most.get(key)]
            least[key] = min((limit for limit in limits if limit is not None), default=None)
        return Budget(**least)


def _settings(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in arguments.items() if key not in _OF_ENGINES}
