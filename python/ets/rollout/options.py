"""The options of a search, each declared once: name, type, default, range and meaning.

`ets.Search`, the files that `ets.search.toml` reads, the command line and the table in
`docs/options.md` take them from here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypeAlias, get_type_hints

from ets.answer import Aggregation, VoteMethod
from ets.answer.tally import Tally
from ets.checks import (
    MOST,
    as_integer,
    check_choice,
    check_int,
    check_number,
    check_options,
    checked_count,
    integer,
    shown,
)
from ets.engines import PRM, Embedder, Policy
from ets.engines.whole_answers import check_steps
from ets.errors import InputError
from ets.policy.limits import PRMThinking
from ets.rollout.budget import Budget
from ets.rollout.until import Certain, check_until
from ets.shown.redaction import redacted_repr
from ets.strategy import ETS, Strategy
from ets.strategy.registry import DEFAULT_WIDTH
from ets.tree_search.selection import check_kv_budget, check_strategy

TABLES = ("policy_options", "prm_options", "embedder_options", "strategy", "budget", "until")
"""What is a table of its own in a file; all else is a plain value."""
RequestOrder = Literal["tree", "best_first"]
"""In which order a step's requests go out: siblings and cousins together, or the best leaf's first.
It changes no result, only what an engine short of KV space still has in its cache."""
OnePRM: TypeAlias = str | PRM | Callable[[str, list[str]], float]
"""A PRM by name, as an object, or as a function."""
_USUAL = ETS(width=DEFAULT_WIDTH)


@dataclass(frozen=True, slots=True)
class Option:
    """What is said of an option; both in Markdown."""

    meaning: str
    unless: str | None = None
    """What holds without it, where its default does not say."""


@dataclass(frozen=True, kw_only=True, repr=False)
class SearchOptions:
    """All that an `ets.Search` is told, which see for what each option means in full.

    # Errors
    `InputError` for a value of another type or out of range, and for a KV budget beside a strategy
    that does not prune to one. Engines given by name are not loaded, so not checked.
    """

    policy: Annotated[
        str | Policy | Sequence[str | Policy],
        Option(
            "the model that writes the steps: `demo`, `transformers:PATH`, `vllm:PATH` or "
            "`openai:MODEL@URL`; or whole answers, `chat:MODEL@URL`; several addresses, "
            "`URL1,URL2`, are replicas"
        ),
    ] = "demo"
    prm: Annotated[
        OnePRM | Sequence[OnePRM],
        Option(
            "the model that scores them: `demo`, `transformers:PATH`, `vllm:PATH`, "
            "`pooling:MODEL@URL` (or `URL1,URL2`), `policy` or `none`"
        ),
    ] = "demo"
    strategy: Annotated[
        Strategy,
        Option("how the tree is searched; in a file a table, below", "`ets`, width 16"),
    ] = _USUAL
    embedder: Annotated[
        str | Embedder,
        Option(
            "what finds steps that mean the same: `lexical`, `demo`, `policy`, "
            "`sentence-transformers:NAME` or `vllm:NAME`"
        ),
    ] = "lexical"
    seed: Annotated[int, Option("the same seed gives the same search")] = 0
    policy_options: Annotated[
        Mapping[str, Any] | None, Option("below; a table in a file, as the next two", "none")
    ] = None
    prm_options: Annotated[Mapping[str, Any] | None, Option("below", "none")] = None
    embedder_options: Annotated[Mapping[str, Any] | None, Option("below", "none")] = None
    max_step_tokens: Annotated[
        int | None,
        Option(
            "tokens of one step, at most", '256; 512 if the policy thinks; N of `step="tokens:N"`'
        ),
    ] = None
    max_tokens: Annotated[
        int | None,
        Option(
            "tokens of one solution, the prompt not counted; what the engines can read limits it",
            "1024; 32768 if the policy thinks",
        ),
    ] = None
    max_depth: Annotated[
        int | None,
        Option(
            "steps of one solution",
            '25; 128 if the policy thinks; no less than `max_tokens` / N of `step="tokens:N"`',
        ),
    ] = None
    prm_thinking: Annotated[
        PRMThinking | None,
        Option(
            "of a policy that thinks first: `read`, the PRM is given its thoughts; `skip`, only "
            "what follows them",
            "`read`, if the PRM's context holds them",
        ),
    ] = None
    vote: Annotated[
        VoteMethod, Option("how the solutions vote for an answer; or `majority`, `best`")
    ] = "weighted"
    score: Annotated[
        Aggregation,
        Option("how a solution's weight comes from its rewards; or `min`, `prod`, `mean`"),
    ] = "last"
    answer_pattern: Annotated[
        str | re.Pattern[str] | None,
        Option("a regular expression whose group 1 is the answer", "the usual rules"),
    ] = None
    budget: Annotated[
        Budget | None,
        Option("where a problem's search ends early; in a file a table, below", "none"),
    ] = None
    until: Annotated[
        Certain | None,
        Option(
            "ask for votes until the answer is certain (`ets.Certain`); in a file a table, below",
            "none, the strategy is searched once",
        ),
    ] = None
    kv_budget: Annotated[
        int | Literal["auto"] | None,
        Option(
            "the most KV tokens a tree may keep (ETS, MPTS); `auto`: its part of the engine's "
            "cache",
            "none",
        ),
    ] = None
    straggler: Annotated[
        float, Option("the share of a step's samples, in [0, 1), that need not be waited for")
    ] = 0.0
    request_order: Annotated[
        RequestOrder, Option("in which order a step's requests go out; or `best_first`")
    ] = "tree"
    engine_timeout: Annotated[
        float | None,
        Option(
            "seconds in which not one sample of a step comes back, after which the engines count "
            "as lost",
            "none, they are waited for",
        ),
    ] = None

    def __post_init__(self) -> None:
        for name in ("max_step_tokens", "max_tokens", "max_depth"):
            if (value := getattr(self, name)) is not None:
                self._become(name, checked_count(name, value))
        for name in ("policy_options", "prm_options", "embedder_options"):
            if (options := getattr(self, name)) is not None:
                check_options(name, options)
        if self.prm_thinking is not None:
            check_choice("prm_thinking", self.prm_thinking, PRMThinking)
        check_choice("request_order", self.request_order, RequestOrder)
        check_number("straggler", self.straggler, "in [0, 1)", lambda x: 0 <= x < 1)
        if self.engine_timeout is not None:
            check_number("engine_timeout", self.engine_timeout, "> 0", lambda x: x > 0)
        if self.kv_budget is not None and not self.shares_kv:
            right = as_integer(self.kv_budget) or self.kv_budget
            check_int("kv_budget", right, 1, MOST, ", 'auto', or None")
            self._become("kv_budget", right)
        if self.budget is not None and not isinstance(self.budget, Budget):
            raise InputError(f"budget must be an ets.Budget or None, got {shown(self.budget)}")
        check_strategy(self.strategy)
        given = self.policy if isinstance(self.policy, list | tuple) else [self.policy]
        check_steps(self.strategy, given)
        if self.until is not None:
            check_until(self.until, self.strategy, self.vote, self.straggler)
        embedder = self.embedder
        if not isinstance(embedder, str | Embedder) or isinstance(embedder, type):
            raise InputError(f"embedder must be a name or an ets Embedder, got {shown(embedder)}")
        check_kv_budget(self.strategy, 1 if self.shares_kv else self.kv_budget)
        self._become("seed", integer("seed", self.seed, None))
        if not -MOST <= self.seed <= MOST:
            raise InputError(f"seed must be an integer of 64 bits, got {shown(self.seed)}")
        self.tally()

    def __repr__(self) -> str:
        return redacted_repr(self)

    @property
    def shares_kv(self) -> bool:
        """Whether trees may keep their parts of the engine's cache, rather than a number."""
        return isinstance(self.kv_budget, str) and self.kv_budget == "auto"

    @property
    def stated_kv_budget(self) -> int | None:
        """The KV tokens of `kv_budget`; None where no number is given."""
        return self.kv_budget if isinstance(self.kv_budget, int) else None

    def tally(self) -> Tally:
        """How answers are read and votes are weighed."""
        return Tally(self.vote, self.score, self.answer_pattern)

    def _become(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)


def _declared() -> Mapping[str, Option]:
    hints = get_type_hints(SearchOptions, include_extras=True)
    return MappingProxyType({f.name: hints[f.name].__metadata__[0] for f in fields(SearchOptions)})


OPTIONS = _declared()
"""All of them, in order."""


def default_text(name: str, write: Callable[[Any], str] = str) -> str:
    """What holds without an option, in Markdown; `write` makes a text of a plain default."""
    return OPTIONS[name].unless or f"`{write(getattr(SearchOptions, name))}`"
